//! Commands of the binary, and other programs.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::harness::{WAIT_LIMIT, binary};

/// The schema version of this build: the number of migrations.
pub(crate) fn schema() -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/migrations/sqlite");
    fs::read_dir(directory).unwrap().count()
}

/// Runs a command of the binary.
pub(crate) fn cli(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let pipes = (Stdio::piped(), Stdio::piped(), Stdio::piped());
    let mut child =
        binary(directory).args(arguments).stdin(pipes.0).stdout(pipes.1).stderr(pipes.2).spawn().unwrap();
    // A command that does not read its input may have ended already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// The standard output and standard error of a command.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Whether a command failed with a documented exit status. `cli/exit_status.rs` tests which.
pub(crate) fn is_documented_failure(output: &Output) -> bool {
    matches!(output.status.code(), Some(1 | 69 | 78))
}

/// Creates a key, and its account if it does not exist.
pub(crate) fn make_key(directory: &Path, account: &str, arguments: &[&str]) -> String {
    let arguments = [&["keys", "create", "--json", "--account", account], arguments].concat();
    let mut output = cli(directory, &arguments, "");
    if printed(&output).contains("no account is named") {
        assert!(cli(directory, &["accounts", "create", account], "").status.success());
        output = cli(directory, &arguments, "");
    }
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// Runs the binary with these variables. It must end, even for `serve`.
pub(crate) fn run(directory: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = binary(directory);
    command.envs(environment.iter().copied()).args(arguments);
    finish(command, WAIT_LIMIT)
}

/// Runs a program that must end within this time.
pub(crate) fn finish(mut command: Command, wait_limit: Duration) -> Output {
    // Files, not pipes, which would fill up without a reader.
    let (out, complaints) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null());
    command.stdout(out.try_clone().unwrap()).stderr(complaints.try_clone().unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let started = Instant::now();
    let (status, is_late) = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break (status, false);
        }
        if started.elapsed() > wait_limit {
            child.kill().unwrap();
            break (child.wait().unwrap(), true);
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let read = |mut file: fs::File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    let output = Output { status, stdout: read(out), stderr: read(complaints) };
    assert!(!is_late, "{command:?} did not end within {wait_limit:?}\n{}", printed(&output));
    output
}

/// Runs `serve`, which must not start; its error.
pub(crate) fn serve_error(directory: &Path) -> String {
    let output = run(directory, &[], &["serve"]);
    // `cli/exit_status.rs` tests which error has which status.
    assert!(is_documented_failure(&output), "{}", printed(&output));
    let text = printed(&output);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let error = lines.filter_map(|line| line["error"].as_str().map(str::to_owned)).next_back();
    error.unwrap_or(text)
}
