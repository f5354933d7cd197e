//! Programs in other languages that tests run, as installed by `scripts/clients`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::harness;

/// The maximum run time of a program. Tests make no other assertions about time.
const WAIT_LIMIT: Duration = Duration::from_mins(15);

/// A path below `target/tools`. `None`, and reported, if it is missing: the test is skipped. In CI this is a failure.
pub(crate) fn find_tool(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_vimeo-connections")).ancestors();
    let found = target.map(|folder| folder.join("tools").join(path)).find(|tool| tool.exists());
    if found.is_none() {
        skip(&format!("target/tools/{path} is missing; run ./test once, it installs it"));
    }
    found
}

/// Copies what is unpacked at a path below `target/tools`, so that the user of the servers can read it. `None`, and reported,
/// if it is missing.
pub(crate) fn copy_tool(path: &str, to: &Path) -> Option<()> {
    let mut command = program("sh");
    command.args(["-c", "cp -r \"$1\" \"$2\" && chmod -R go+rX \"$2\"", "sh"]).arg(find_tool(path)?).arg(to);
    let output = finish(command);
    assert!(output.status.success(), "{}", harness::printed(&output));
    Some(())
}

/// A program of unpacked packages, with their libraries.
pub(crate) fn unpacked(root: &Path, path: &str) -> Command {
    let mut command = program(root.join(path));
    let libraries = std::fs::read_dir(root.join("usr/lib")).unwrap().map(|entry| entry.unwrap().path());
    let libraries = libraries.into_iter().find(|path| path.to_string_lossy().ends_with("-linux-gnu"));
    if let Some(libraries) = libraries {
        command.env("LD_LIBRARY_PATH", libraries);
    }
    command
}

/// Reports that a test is skipped, and why. In CI this is a failure.
pub(crate) fn skip(why: &str) {
    assert!(variable("CI").is_none(), "{why}");
    skip_everywhere(why);
}

/// The same for a reason that is not a failure in CI either: the machine does not support it.
pub(crate) fn skip_everywhere(why: &str) {
    // Written past the captured output of the test.
    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

/// Whether `./test --all` runs the tests, including the slow ones.
pub(crate) fn is_all() -> bool {
    variable("TEST_ALL").is_some()
}

/// An environment variable of the test process.
#[expect(
    clippy::disallowed_methods,
    reason = "the environment of a test is not configuration of the service"
)]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A program with an empty environment except `PATH`.
#[expect(clippy::disallowed_methods, reason = "PATH is not configuration of the service")]
pub(crate) fn program(name: impl AsRef<Path>) -> Command {
    let mut command = Command::new(name.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// The directory of the tests, with the example clients and the rules of conformance.
pub(crate) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Runs a program to its end.
pub(crate) fn finish(command: Command) -> Output {
    harness::finish(command, WAIT_LIMIT)
}

/// Prints numbers of a run, which are visible with `--nocapture`.
#[expect(clippy::print_stdout, reason = "the numbers are for people only")]
pub(crate) fn print_numbers(numbers: &str) {
    println!("{numbers}");
}
