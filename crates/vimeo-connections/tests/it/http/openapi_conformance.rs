//! Conformance with the OpenAPI description: valid and invalid requests are generated from it, and every response is
//! checked against it. The rules are in `tests/conformance`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::harness::{EnvOptions, TestEnv, printed};
use crate::support::tools::{find_tool, finish, program, tests_folder};

/// Fewer cases than this would mean that the rules filter out nearly everything.
const CASES_MIN: usize = 300;

fn rules(file: &str) -> PathBuf {
    tests_folder().join("conformance").join(file)
}

/// Python, without compiled files in the tree.
fn python(tool: &Path, env: &TestEnv) -> Command {
    let mut command = program(tool);
    command.current_dir(env.path()).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONUTF8", "1");
    command
}

/// The number of generated cases in a report.
fn cases(report: &str) -> Option<usize> {
    let line = report.lines().find(|line| line.contains(" generated, "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_conform_to_the_openapi_description() {
    let Some(schemathesis) = find_tool("python/bin/st") else { return };
    // The sources are made up, so no worker may fetch them.
    let config = "uploads.work = false\nlimits.failed_keys_per_minute = 0\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await;
    let mut command = python(&schemathesis, &env);
    command.env("SCHEMATHESIS_HOOKS", rules("hooks.py"));
    let whoami = env.get("/pictoryapis/v1/whoami").await.json();
    command.env("OWN_KEY_ID", whoami["keyId"].as_str().unwrap());
    command.arg("--config-file").arg(rules("schemathesis.toml")).arg("run").arg(env.url("/openapi.json"));
    command.args(["--no-color", "--header", &format!("Authorization: {}", env.api_key)]);
    let output = finish(command);
    let report = printed(&output);
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("schemathesis.txt"), &report).unwrap();
    assert!(output.status.success(), "{report}");
    let cases = cases(&report).unwrap();
    assert!(cases >= CASES_MIN, "{report}");
    // Written past the captured output: the number is part of the result.
    writeln!(std::io::stderr(), "schemathesis: {cases} cases; see target/tmp/schemathesis.txt").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_openapi_description_and_its_examples_are_valid() {
    let Some(tool) = find_tool("python/bin/python") else { return };
    let env = TestEnv::without_verification("").await;
    let document = env.path().join("openapi.json");
    fs::write(&document, env.get("/openapi.json").await.text).unwrap();
    for arguments in
        [&["-m".as_ref(), "openapi_spec_validator".as_ref()][..], &[rules("examples.py").as_os_str()]]
    {
        let mut command = python(&tool, &env);
        command.args(arguments).arg(&document);
        let output = finish(command);
        assert!(output.status.success(), "{}", printed(&output));
    }
}
