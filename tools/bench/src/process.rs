//! Child processes, which end with this one, and their figures from the kernel.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::error::{BenchError, Context as _};

/// The unit of `utime` and `stime` in `/proc`: a hundredth of a second, on every machine that Debian runs on.
const TICK_US: u64 = 10_000;
const STEP: Duration = Duration::from_millis(10);
/// For waiting for a start, whose duration may be measured.
const SHORT_STEP: Duration = Duration::from_millis(1);

/// A child process. Killed when dropped.
pub(crate) struct Process {
    child: Child,
    name: String,
}

impl Process {
    /// Starts a program with its output in files of a directory. The kernel kills it when the *thread* that started it
    /// ends, so call this on the main thread.
    pub(crate) fn start<A: AsRef<OsStr>>(
        program: &Path,
        arguments: &[A],
        directory: &Path,
    ) -> Result<Self, BenchError> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let output = |kind: &str| {
            let path = directory.join(format!("{name}.{kind}"));
            File::create(&path).context(format!("{} cannot be written", path.display()))
        };
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(program)
            .args(arguments)
            .current_dir(directory)
            .stdin(Stdio::null())
            .stdout(output("out")?)
            .stderr(output("log")?)
            .spawn()
            .context(format!("{name} cannot be started"))?;
        Ok(Self { child, name })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, and kills it if that takes too long.
    pub(crate) fn wait(&mut self, timeout: Duration) -> Result<ExitStatus, BenchError> {
        let started = Instant::now();
        while started.elapsed() < timeout {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            sleep(STEP);
        }
        Err(format!("{} took longer than {} s and was ended", self.name, timeout.as_secs()).into())
    }

    /// Waits until it has written a line in which `find` finds something.
    pub(crate) fn wait_for<T>(
        &mut self,
        file: &Path,
        timeout: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BenchError> {
        let started = Instant::now();
        loop {
            let written = fs::read_to_string(file).unwrap_or_default();
            // The last line may be incomplete.
            let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
            if let Some(found) = whole.lines().find_map(&find) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                return Err(format!("{} ended at once ({status}): {written}", self.name).into());
            }
            if started.elapsed() > timeout {
                return Err(format!("{} does not answer: {written}", self.name).into());
            }
            sleep(SHORT_STEP);
        }
    }

    /// Sends SIGTERM, and waits for its end.
    pub(crate) fn terminate(mut self, timeout: Duration) -> Result<(), BenchError> {
        let asked =
            Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &self.id().to_string()]).status()?;
        if !asked.success() {
            return Err(format!("{} could not be asked to end", self.name).into());
        }
        let status = self.wait(timeout)?;
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.name).into()) }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Memory {
    /// All resident memory, including mapped files.
    pub(crate) rss: u64,
    /// Anonymous memory.
    pub(crate) rss_anon: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self, BenchError> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))
            .context(format!("the memory of process {pid} is not known"))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).map(|kib| kib * 1024)
        };
        match (bytes("VmRSS:"), bytes("RssAnon:")) {
            (Some(rss), Some(rss_anon)) => Ok(Self { rss, rss_anon }),
            _ => Err(format!("the memory of process {pid} is not known: it has ended").into()),
        }
    }
}

/// The CPU time of a process so far, in microseconds.
pub(crate) fn cpu_us(pid: u32) -> Result<u64, BenchError> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))
        .context(format!("the CPU time of process {pid} is not known"))?;
    let times = Times::read(&text).ok_or("the CPU time of a process is not known: /proc has another form")?;
    Ok(times.own * TICK_US)
}

/// The CPU time of a process and its children so far, including those that have ended, in microseconds.
pub(crate) fn family_cpu_us(parent: u32) -> Result<u64, BenchError> {
    let mut ticks = 0;
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A child that has just ended is counted with its parent.
        let Some(times) =
            fs::read_to_string(entry.path().join("stat")).ok().and_then(|text| Times::read(&text))
        else {
            continue;
        };
        if pid == parent {
            ticks += times.own + times.of_ended_children;
        } else if times.parent == parent {
            ticks += times.own;
        }
    }
    Ok(ticks * TICK_US)
}

/// The CPU times in a line of `/proc/PID/stat`, in ticks.
#[derive(Debug, PartialEq)]
struct Times {
    parent: u32,
    own: u64,
    of_ended_children: u64,
}

impl Times {
    fn read(line: &str) -> Option<Self> {
        // The name of the program is in parentheses and may contain anything.
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: number(11)? + number(12)?,
            of_ended_children: number(13)? + number(14)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_parsed_with_any_program_name() {
        let line = "7 (a) (b c) S 3 7 7 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 5 6 7";
        assert_eq!(Times::read(line), Some(Times { parent: 3, own: 110, of_ended_children: 150 }));
        assert_eq!(Times::read("7 (short) S 3"), None);
    }

    #[test]
    fn this_process_has_memory_and_time() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss >= memory.rss_anon && memory.rss_anon > 0);
        // Read in this order: other tests of this process use time between the two.
        let own = cpu_us(std::process::id()).unwrap();
        assert!(family_cpu_us(std::process::id()).unwrap() >= own);
    }
}
