//! Programs in other languages that tests run, installed by `scripts/clients`, with a timeout.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a test waits for a program. No test asserts how long something took.
const TIMEOUT: Duration = Duration::from_mins(10);

/// A path below `target/tools`. `None`, with a message, if it does not exist: the test is skipped. In CI that is a
/// failure.
pub(crate) fn find_tool(path: &str) -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_BIN_EXE_vimeo-sandbox")).ancestors();
    let found = target.map(|folder| folder.join("tools").join(path)).find(|tool| tool.exists());
    if found.is_none() {
        skip(&format!("target/tools/{path} is missing; run ./test once, it installs it"));
    }
    found
}

/// Reports a skipped test. In CI that is a failure.
pub(crate) fn skip(why: &str) {
    assert!(variable("CI").is_none(), "{why}");
    // Not captured by the test harness.
    std::io::stderr().write_all(format!("SKIPPED: {why}\n").as_bytes()).unwrap();
}

#[expect(
    clippy::disallowed_methods,
    reason = "the environment of a test is not configuration of the service"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A client in JavaScript, or `None` if its packages are missing.
pub(crate) fn node(script: &str) -> Option<Command> {
    let packages = find_tool("sandbox-javascript/node_modules")?;
    let mut command = program("node");
    command.env("NODE_PATH", packages).arg(client(&format!("javascript/{script}")));
    Some(command)
}

/// A client in Python, or `None` if its packages are missing.
pub(crate) fn python(script: &str) -> Option<Command> {
    let mut command = program(find_tool("sandbox-python/bin/python")?);
    command.arg(client(&format!("python/{script}")));
    Some(command)
}

fn client(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

/// A program to be run with no environment except PATH.
#[expect(clippy::disallowed_methods, reason = "PATH is not configuration of the service")]
pub(crate) fn program(name: impl AsRef<Path>) -> Command {
    let mut command = Command::new(name.as_ref());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// A running program. Killed at the end of the test.
pub(crate) struct Program {
    child: Child,
    /// Files, not pipes: a program with much output would block on a pipe.
    said: File,
    complained: File,
}

impl Program {
    pub(crate) fn start(mut command: Command) -> Self {
        let (said, complained) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        command.stdin(Stdio::null());
        command.stdout(said.try_clone().unwrap()).stderr(complained.try_clone().unwrap());
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, said, complained }
    }

    /// Its output. It must have succeeded.
    pub(crate) fn finish(mut self) -> String {
        let status = self.wait();
        let (said, complained) = (read(&mut self.said), read(&mut self.complained));
        assert!(status.success(), "{status}\n{said}\n{complained}");
        said
    }

    fn wait(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(started.elapsed() < TIMEOUT, "{:?} does not end", self.child);
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Fails only if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(file: &mut File) -> String {
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
