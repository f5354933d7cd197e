//! One installation of the service: a keyring, and configurations that differ in nothing but the database.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use hyper::StatusCode;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::process::{Memory, Process};
use crate::rounds::room;
use crate::service::{Template, listening, outcome};
use crate::trouble::{Trouble, While as _};

/// For a start or an end; the end of a service on a large database writes its log into the file.
const PATIENCE: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_millis(1);
/// How long memory is let settle after a start.
const REST: Duration = Duration::from_millis(300);

/// Where the keyring, the configurations and the databases are.
pub(crate) struct Home {
    program: PathBuf,
    directory: PathBuf,
}

/// A configuration, which names one database.
#[derive(Clone)]
pub(crate) struct Configured {
    path: PathBuf,
    /// Where its processes run and write their output.
    room: PathBuf,
    /// The database, if it is a file.
    pub(crate) file: Option<PathBuf>,
}

/// A service that answers. Killed when dropped.
pub(crate) struct Serving {
    process: Process,
    pub(crate) address: SocketAddr,
    /// From when the process was started to the first answer that it is ready.
    pub(crate) start: Duration,
    /// Before the first request.
    pub(crate) idle: Memory,
}

impl Home {
    pub(crate) fn new(program: &Path, directory: &Path) -> Self {
        Self { program: program.to_owned(), directory: directory.to_owned() }
    }

    /// A configuration with a database of its own: the one of the URL, or else a file.
    pub(crate) fn configure(&self, name: &str, url: Option<&str>) -> Result<Configured, Trouble> {
        let room = self.room(name)?;
        let file = url.is_none().then(|| room.join("vimeo-connections.db"));
        let url = match (&file, url) {
            (Some(file), _) => format!("sqlite:{}", file.display()),
            (None, url) => url.unwrap_or_default().to_owned(),
        };
        let keyring = self.directory.join("vimeo-connections.keyring");
        let keyring = keyring.to_string_lossy();
        let text = format!(
            "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\ndatabase_url = {url:?}\nkeyring.file = {keyring:?}\n\
             vimeo.verification = \"off\"\n"
        );
        let path = room.join("vimeo-connections.toml");
        fs::write(&path, text)?;
        Ok(Configured { path, room, file })
    }

    /// A directory in it, which is made.
    pub(crate) fn room(&self, name: &str) -> Result<PathBuf, Trouble> {
        room(&self.directory, name)
    }

    /// Runs one command to its end; what it printed.
    pub(crate) fn command(
        &self,
        configured: &Configured,
        arguments: &[&str],
        patience: Duration,
    ) -> Result<String, Trouble> {
        let process = self.begin(configured, &configured.room, arguments)?;
        outcome(process, &configured.room, patience)
    }

    /// Begins a command, with its output in that directory.
    pub(crate) fn begin(
        &self,
        configured: &Configured,
        room: &Path,
        arguments: &[&str],
    ) -> Result<Process, Trouble> {
        let path = configured.path.to_string_lossy();
        let arguments: Vec<&str> = ["--config", &path].iter().chain(arguments).copied().collect();
        Process::start(&self.program, &arguments, room)
    }

    pub(crate) fn serve(&self, runtime: &Runtime, configured: &Configured) -> Result<Serving, Trouble> {
        let started = Instant::now();
        let mut process = self.begin(configured, &configured.room, &["serve"])?;
        let address = listening(&mut process, &configured.room)?;
        runtime.block_on(ready(address, started))?;
        let start = started.elapsed();
        sleep(REST);
        let idle = Memory::of(process.id())?;
        Ok(Serving { process, address, start, idle })
    }
}

async fn ready(address: SocketAddr, started: Instant) -> Result<(), Trouble> {
    let mut client = Client::connect(address).await?;
    while started.elapsed() < PATIENCE {
        let (status, _) = client.ask(Template::plain(address, "/health/ready")?).await?;
        if status == StatusCode::OK {
            return Ok(());
        }
        tokio::time::sleep(STEP).await;
    }
    Err("the service does not become ready".into())
}

impl Serving {
    pub(crate) fn memory(&self) -> Result<Memory, Trouble> {
        Memory::of(self.process.id())
    }

    /// As an operator ends it.
    pub(crate) fn stop(self) -> Result<(), Trouble> {
        self.process.terminate(PATIENCE)
    }

    /// With no chance to do anything.
    pub(crate) fn kill(self) {
        drop(self);
    }
}

impl Configured {
    /// Puts a copy of another's file in the place of its own; both are at rest. What is written is on the disk when this
    /// is done, so that it disturbs nothing later.
    pub(crate) fn copy_from(&self, other: &Self) -> Result<(), Trouble> {
        let (Some(from), Some(to)) = (&other.file, &self.file) else {
            return Err("only files are copied".into());
        };
        self.empty()?;
        fs::copy(from, to).while_doing(format!("{} cannot be copied", from.display()))?;
        fs::File::open(to)?.sync_all()?;
        Ok(())
    }

    /// Removes its file and what stands beside that.
    pub(crate) fn empty(&self) -> Result<(), Trouble> {
        for (path, _) in self.files()? {
            fs::remove_file(&path).while_doing(format!("{} cannot be removed", path.display()))?;
        }
        Ok(())
    }

    /// The bytes of its file and of what stands beside it.
    pub(crate) fn bytes(&self) -> Result<u64, Trouble> {
        Ok(self.files()?.iter().map(|(_, bytes)| bytes).sum())
    }

    fn files(&self) -> Result<Vec<(PathBuf, u64)>, Trouble> {
        let Some(name) = self.file.as_ref().and_then(|file| file.file_name()) else { return Ok(Vec::new()) };
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.room)? {
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
    fn a_copy_replaces_what_was_there_and_leaves_the_rest() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::new(Path::new("none"), directory.path());
        let (a, b) = (home.configure("a", None).unwrap(), home.configure("b", None).unwrap());
        fs::write(a.file.as_ref().unwrap(), "four").unwrap();
        fs::write(b.room.join("vimeo-connections.db-wal"), "old").unwrap();
        b.copy_from(&a).unwrap();
        assert_eq!((a.bytes().unwrap(), b.bytes().unwrap()), (4, 4));
        b.empty().unwrap();
        assert_eq!(b.bytes().unwrap(), 0);
        assert!(b.path.exists());
        let other = home.configure("c", Some("postgres://u@h/d")).unwrap();
        assert!(other.copy_from(&a).is_err());
    }
}
