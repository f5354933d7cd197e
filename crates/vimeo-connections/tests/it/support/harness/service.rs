//! The service as a process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::harness::WAIT_LIMIT;

/// The limit of the wait for the log of a service, which may not respond.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// The prefix of the request IDs that flush the log.
pub(crate) const FLUSH_REQUEST: &str = "flush-the-log-";

/// The service as a process. Killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Service {
    /// Starts the service in a directory with a configuration and a keyring; waits until it listens.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_as(binary(directory), directory)
    }

    /// The same with these environment variables.
    pub(crate) fn start_with(directory: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = binary(directory);
        command.envs(environment.iter().copied());
        Self::start_as(command, directory)
    }

    /// The same with this command: the binary, with another environment.
    pub(crate) fn start_as(command: Command, directory: &Path) -> Self {
        Self::try_start(command, directory).unwrap_or_else(|printed| panic!("{printed}"))
    }

    /// The same, for a service that may fail to start: its error.
    pub(crate) fn try_start(command: Command, directory: &Path) -> Result<Self, String> {
        Self::try_start_with_stdout(command, directory, Stdio::null())
    }

    /// The same with this standard output, which the command may use for something else.
    pub(crate) fn try_start_with_stdout(
        mut command: Command,
        directory: &Path,
        stdout: Stdio,
    ) -> Result<Self, String> {
        let log = directory.join("service.log");
        let before = fs::read_to_string(&log).map_or(0, |text| text.len());
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.arg("serve").stdout(stdout).stderr(file).spawn().unwrap();
        let started = Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some(address) = listening(&text[before..]) {
                return Ok(Self { child, address });
            }
            if let Some(status) = child.try_wait().unwrap() {
                let text = fs::read_to_string(&log).unwrap();
                return Err(format!("the service ended with {status}: {}", &text[before..]));
            }
            assert!(started.elapsed() < WAIT_LIMIT, "the service does not listen: {}", &text[before..]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until all lines so far are in the file, if the service responds. A separate thread writes the lines, in
    /// order.
    pub(crate) fn flush_log(&self, directory: &Path) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("{FLUSH_REQUEST}{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let request = format!(
            "GET /health/live HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n"
        );
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&self.address, FLUSH_TIMEOUT).ok()?;
            stream.set_read_timeout(Some(FLUSH_TIMEOUT)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.starts_with("HTTP/1.1 200 ").then_some(())
        };
        let started = Instant::now();
        let is_answered = ask().is_some();
        let is_written = || {
            let log = fs::read_to_string(directory.join("service.log")).unwrap_or_default();
            log.lines().any(|line| line.contains(&id) && line.contains("\"answered\""))
        };
        while is_answered && !is_written() && started.elapsed() < FLUSH_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end; the exit status.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; the exit status, `None` if a signal ended the service.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < WAIT_LIMIT, "the service does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn listening(log: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "listening")
        .find_map(|line| line["address"].as_str()?.parse().ok())
}

/// The binary, to be run in a directory, without the environment of the tests.
pub(crate) fn binary(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vimeo-connections"));
    command.current_dir(directory).env_clear();
    command
}
