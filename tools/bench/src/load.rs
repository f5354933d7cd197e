//! A closed loop of requests by `wrk`: each of its connections sends the next request as soon as it has the response.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use crate::error::{BenchError, Context as _};
use crate::process::Process;

/// Prepended to every script; prints what [`Measured`] is parsed from.
const REPORT: &str = include_str!("../lua/report.lua");
const MARK: &str = "MEASURED ";
/// How long `wrk` may run beyond its time.
const GRACE: Duration = Duration::from_secs(30);

/// The load.
pub(crate) struct Load<'a> {
    /// The address of the server.
    pub(crate) address: std::net::SocketAddr,
    /// The script for `wrk`, in Lua, without a function `done`.
    pub(crate) script: &'a str,
    /// The arguments of the script's function `init`.
    pub(crate) arguments: &'a [&'a str],
    /// How many connections are open.
    pub(crate) connections: u32,
    pub(crate) seconds: u32,
}

/// The result of a load.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Measured {
    pub(crate) requests: u64,
    pub(crate) duration_us: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) p999_us: u64,
    pub(crate) errors: Errors,
}

/// Errors: on the socket, or a status of 400 and above.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct Errors {
    pub(crate) connect: u64,
    pub(crate) read: u64,
    pub(crate) write: u64,
    pub(crate) timeout: u64,
    pub(crate) status: u64,
}

impl Load<'_> {
    /// Runs the load; its files stay in the directory.
    pub(crate) fn run(&self, directory: &Path) -> Result<Measured, BenchError> {
        let mut wrk = self.start(directory)?;
        let status = wrk.wait(Duration::from_secs(u64::from(self.seconds)) + GRACE)?;
        let said = fs::read_to_string(directory.join("wrk.out"))?;
        let log = fs::read_to_string(directory.join("wrk.log"))?;
        Measured::read(&said).ok_or_else(|| format!("wrk did not measure ({status}): {log}{said}").into())
    }

    /// Starts the load without waiting for its end.
    pub(crate) fn start(&self, directory: &Path) -> Result<Process, BenchError> {
        let script = directory.join("wrk.lua");
        fs::write(&script, format!("{REPORT}\n{}", self.script))
            .context(format!("{} cannot be written", script.display()))?;
        let mut arguments = vec![
            "-t1".to_owned(),
            format!("-c{}", self.connections),
            format!("-d{}s", self.seconds),
            "--timeout=10s".to_owned(),
            format!("--script={}", script.display()),
            format!("http://{}", self.address),
            "--".to_owned(),
        ];
        arguments.extend(self.arguments.iter().map(|&argument| argument.to_owned()));
        Process::start(Path::new("wrk"), &arguments, directory)
    }
}

impl Measured {
    fn read(said: &str) -> Option<Self> {
        let line = said.lines().find_map(|line| line.strip_prefix(MARK))?;
        serde_json::from_str(line).ok()
    }

    #[expect(clippy::cast_precision_loss, reason = "counts and microseconds of a run are far below 2^52")]
    pub(crate) fn requests_per_second(&self) -> f64 {
        self.requests as f64 / (self.duration_us.max(1) as f64 / 1e6)
    }

    /// Why the result is void, if it is: any error makes it void.
    pub(crate) fn fault(&self) -> Option<String> {
        let Errors { connect, read, write, timeout, status } = self.errors;
        if self.errors.count() > 0 {
            return Some(format!(
                "errors: {connect} connect, {read} read, {write} write, {timeout} timeout, {status} status"
            ));
        }
        (self.requests == 0).then(|| "no request was answered".to_owned())
    }
}

impl Errors {
    pub(crate) fn count(&self) -> u64 {
        self.connect + self.read + self.write + self.timeout + self.status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_line_is_found_in_wrks_output() {
        let said = "Running 2s test\nMEASURED {\"requests\":9,\"duration_us\":3000000,\"p50_us\":1,\"p99_us\":2,\
            \"p999_us\":3,\"errors\":{\"connect\":0,\"read\":0,\"write\":0,\"timeout\":0,\"status\":0}}\nbye\n";
        let measured = Measured::read(said).unwrap();
        assert_eq!((measured.requests, measured.p999_us), (9, 3));
        assert!((measured.requests_per_second() - 3.0).abs() < 1e-9);
        assert_eq!(measured.fault(), None);
        assert_eq!(Measured::read("Running 2s test\n"), None);
    }

    #[test]
    fn any_error_voids_the_measurement() {
        let errors = Errors { connect: 0, read: 0, write: 0, timeout: 0, status: 1 };
        let measured = Measured {
            requests: 9,
            duration_us: 1,
            p50_us: 1,
            p99_us: 1,
            p999_us: 1,
            errors: errors.clone(),
        };
        assert!(measured.fault().unwrap().contains("1 status"));
        let errors = Errors { status: 0, ..errors };
        assert!(Measured { requests: 0, errors, ..measured }.fault().is_some());
    }
}
