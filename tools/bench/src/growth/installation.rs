//! One installation of the service: a keyring, and configurations that differ only in the database.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::error::{BenchError, Context as _};
use crate::process::{Memory, Process};
use crate::rounds::subdirectory;
use crate::service::{Template, listening, outcome, unlimited};

/// For a start or a stop; stopping on a large database writes its log into the file.
const TIMEOUT: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_millis(1);
/// How long memory may settle after a start.
const REST: Duration = Duration::from_millis(300);

/// The directory of the keyring, the configurations and the databases.
pub(crate) struct Installation {
    program: PathBuf,
    directory: PathBuf,
}

/// A configuration, which names one database.
#[derive(Clone)]
pub(crate) struct Configured {
    path: PathBuf,
    /// The directory of its processes and their output.
    subdirectory: PathBuf,
    /// The database file, on SQLite.
    pub(crate) file: Option<PathBuf>,
}

/// A running service. Killed when dropped.
pub(crate) struct Serving {
    process: Process,
    pub(crate) address: SocketAddr,
    /// From the start of the process to its first successful readiness check.
    pub(crate) start: Duration,
    /// Memory before the first request.
    pub(crate) idle: Memory,
}

impl Installation {
    pub(crate) fn new(program: &Path, directory: &Path) -> Self {
        Self { program: program.to_owned(), directory: directory.to_owned() }
    }

    /// A configuration with its own database: the one of the URL, or a file.
    pub(crate) fn configure(&self, name: &str, url: Option<&str>) -> Result<Configured, BenchError> {
        let subdirectory = self.subdirectory(name)?;
        let file = url.is_none().then(|| subdirectory.join("vimeo-connections.db"));
        let url = match (&file, url) {
            (Some(file), _) => format!("sqlite:{}", file.display()),
            (None, url) => url.unwrap_or_default().to_owned(),
        };
        let keyring = self.directory.join("vimeo-connections.keyring");
        let keyring = keyring.to_string_lossy();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\ndatabase_url = {url:?}\nkeyring.file = {keyring:?}\n\
             vimeo.verification = \"off\"\n{}",
            unlimited(&self.program)?
        );
        let path = subdirectory.join("vimeo-connections.toml");
        fs::write(&path, text)?;
        Ok(Configured { path, subdirectory, file })
    }

    /// Creates a directory in it.
    pub(crate) fn subdirectory(&self, name: &str) -> Result<PathBuf, BenchError> {
        subdirectory(&self.directory, name)
    }

    /// Runs one command. Returns its output.
    pub(crate) fn command(
        &self,
        configured: &Configured,
        arguments: &[&str],
        timeout: Duration,
    ) -> Result<String, BenchError> {
        let process = self.begin(configured, &configured.subdirectory, arguments)?;
        outcome(process, &configured.subdirectory, timeout)
    }

    /// Starts a command, with its output in that directory.
    pub(crate) fn begin(
        &self,
        configured: &Configured,
        subdirectory: &Path,
        arguments: &[&str],
    ) -> Result<Process, BenchError> {
        let path = configured.path.to_string_lossy();
        let arguments: Vec<&str> = ["--config", &path].iter().chain(arguments).copied().collect();
        Process::start(&self.program, &arguments, subdirectory)
    }

    pub(crate) fn serve(&self, runtime: &Runtime, configured: &Configured) -> Result<Serving, BenchError> {
        let started = Instant::now();
        let mut process = self.begin(configured, &configured.subdirectory, &["serve"])?;
        let address = listening(&mut process, &configured.subdirectory)?;
        runtime.block_on(ready(address, started))?;
        let start = started.elapsed();
        sleep(REST);
        let idle = Memory::of(process.id())?;
        Ok(Serving { process, address, start, idle })
    }
}

async fn ready(address: SocketAddr, started: Instant) -> Result<(), BenchError> {
    let mut client = Client::connect(address).await?;
    while started.elapsed() < TIMEOUT {
        let (status, _) = client.send(Template::plain(address, "/health/ready")?).await?;
        if status == StatusCode::OK {
            return Ok(());
        }
        tokio::time::sleep(STEP).await;
    }
    Err("the service does not become ready".into())
}

impl Serving {
    pub(crate) fn memory(&self) -> Result<Memory, BenchError> {
        Memory::of(self.process.id())
    }

    /// Stops it with SIGTERM.
    pub(crate) fn stop(self) -> Result<(), BenchError> {
        self.process.terminate(TIMEOUT)
    }

    /// Stops it with SIGKILL.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Configured {
    /// Replaces its file by a copy of another's; neither is in use. The copy is synced, so that it does not disturb
    /// later measurements.
    pub(crate) fn copy_from(&self, other: &Self) -> Result<(), BenchError> {
        let (Some(from), Some(to)) = (&other.file, &self.file) else {
            return Err("only files are copied".into());
        };
        self.empty()?;
        fs::copy(from, to).context(format!("{} cannot be copied", from.display()))?;
        fs::File::open(to)?.sync_all()?;
        Ok(())
    }

    /// Removes its file and the files beside it.
    pub(crate) fn empty(&self) -> Result<(), BenchError> {
        for (path, _) in self.files()? {
            fs::remove_file(&path).context(format!("{} cannot be removed", path.display()))?;
        }
        Ok(())
    }

    /// The size of its file and the files beside it.
    pub(crate) fn bytes(&self) -> Result<u64, BenchError> {
        Ok(self.files()?.iter().map(|(_, bytes)| bytes).sum())
    }

    fn files(&self) -> Result<Vec<(PathBuf, u64)>, BenchError> {
        let Some(name) = self.file.as_ref().and_then(|file| file.file_name()) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.subdirectory)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&*name.to_string_lossy()) {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_replaces_the_database_file_only() {
        let directory = tempfile::tempdir().unwrap();
        // In the place of an older service, which has no limits.
        let installation = Installation::new(Path::new("false"), directory.path());
        let (a, b) = (installation.configure("a", None).unwrap(), installation.configure("b", None).unwrap());
        fs::write(a.file.as_ref().unwrap(), "four").unwrap();
        fs::write(b.subdirectory.join("vimeo-connections.db-wal"), "old").unwrap();
        b.copy_from(&a).unwrap();
        assert_eq!((a.bytes().unwrap(), b.bytes().unwrap()), (4, 4));
        b.empty().unwrap();
        assert_eq!(b.bytes().unwrap(), 0);
        assert!(b.path.exists());
        let other = installation.configure("c", Some("postgres://u@h/d")).unwrap();
        assert!(other.copy_from(&a).is_err());
    }
}
