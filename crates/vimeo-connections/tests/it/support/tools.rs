//! Programs in other languages that tests run: found where `scripts/clients` has put them, and not waited for in vain.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use crate::support::harness;

/// How long a program is waited for before a test gives up. No test asserts how long something took.
const WAIT_LIMIT: Duration = Duration::from_mins(15);

/// A path below `target/tools`. `None`, and said aloud, if it is not there: the test is skipped. In CI that is a failure.
pub(crate) fn find_tool(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_vimeo-connections")).ancestors();
    let found = target.map(|folder| folder.join("tools").join(path)).find(|tool| tool.exists());
    if found.is_none() {
        skip(&format!("target/tools/{path} is missing; run ./test once, it installs it"));
    }
    found
}

/// Says aloud that a test is skipped, and why. In CI that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(variable("CI").is_none(), "{why}");
    skip_everywhere(why);
}

/// The same where it is nothing that CI could be blamed for: the machine cannot do it.
pub(crate) fn skip_everywhere(why: &str) {
    // Past the capture of the test's output.
    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

/// Whether `./test --all` runs the tests: then nothing is left out because it takes long.
pub(crate) fn is_all() -> bool {
    variable("TEST_ALL").is_some()
}

/// A variable of the environment that the tests run in.
#[expect(clippy::disallowed_methods, reason = "where a test runs is no configuration of the service")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A program to be run with no environment but the path to other programs.
#[expect(clippy::disallowed_methods, reason = "programs are found by the path, which is no configuration")]
pub(crate) fn program(name: impl AsRef<Path>) -> Command {
    let mut command = Command::new(name.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// The folder of the tests, where the clients and the rules of conformance are.
pub(crate) fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// Runs a program to its end.
pub(crate) fn finish(command: Command) -> Output {
    harness::finish(command, WAIT_LIMIT)
}

/// Numbers of a run, for whoever asks for them with `--nocapture`.
#[expect(clippy::print_stdout, reason = "nothing else is made of them")]
pub(crate) fn print_numbers(numbers: &str) {
    println!("{numbers}");
}
