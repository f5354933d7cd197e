//! The state file: the whole state as JSON, rewritten after each change, before the response is sent.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::state::VimeoState;

/// Incremented when older versions cannot read the file.
const FORMAT: u32 = 2;

/// The formats that this version reads. Format 2 added stages, plans, periods and unlimited quotas.
const FORMATS_READ: RangeInclusive<u32> = 1..=FORMAT;

#[derive(Serialize, Deserialize)]
struct Head {
    vimeo_sandbox_state: u32,
}

/// The content of a state file.
#[derive(Deserialize)]
pub(crate) struct Snapshot {
    /// The state that a reset restores.
    #[serde(rename = "first_world")]
    pub(crate) initial: VimeoState,
    #[serde(rename = "world")]
    pub(crate) vimeo: VimeoState,
}

#[derive(Serialize)]
struct SnapshotRef<'a> {
    #[serde(rename = "first_world")]
    initial: &'a VimeoState,
    #[serde(rename = "world")]
    vimeo: &'a VimeoState,
}

/// The text of a state file.
pub(crate) fn write(initial: &VimeoState, vimeo: &VimeoState) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&Head { vimeo_sandbox_state: FORMAT })?;
    text.push(b'\n');
    serde_json::to_writer(&mut text, &SnapshotRef { initial, vimeo })?;
    text.push(b'\n');
    Ok(text)
}

/// The state file, locked by this sandbox.
pub(crate) struct StateFile {
    file: PathBuf,
    /// The number of the last change that has been written.
    written: Arc<Mutex<u64>>,
    /// Held while this sandbox runs.
    _lock: File,
}

impl StateFile {
    /// Locks the file.
    ///
    /// # Errors
    /// `ResourceBusy` while another sandbox holds the lock, otherwise the error of creating the lock file.
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let beside = beside(file, ".lock");
        let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&beside);
        let lock = lock.map_err(|error| with_path(&error, &beside, "cannot be opened"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { file: file.to_owned(), written: Arc::default(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} is in use by another sandbox that is running.", file.display());
                Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
            }
            Err(TryLockError::Error(error)) => Err(with_path(&error, &beside, "cannot be locked")),
        }
    }

    /// Reads the file; `None` if it does not exist.
    ///
    /// # Errors
    /// `InvalidData` if the file is not a state file of a known format, otherwise the error of reading it.
    pub(crate) fn read(&self) -> io::Result<Option<Snapshot>> {
        let text = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| with_path(&error, &self.file, "cannot be read"))?,
        };
        let invalid = |what: &str| {
            let text = format!("{} {what}; it was left as it is.", self.file.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let (head, snapshot) =
            text.split_once('\n').ok_or_else(|| invalid("is not a state file of the sandbox"))?;
        let head: Head =
            serde_json::from_str(head).map_err(|_| invalid("is not a state file of the sandbox"))?;
        if !FORMATS_READ.contains(&head.vimeo_sandbox_state) {
            return Err(invalid("was written by another version of the sandbox"));
        }
        serde_json::from_str(snapshot).map(Some).map_err(|error| invalid(&format!("is damaged ({error})")))
    }

    /// Makes sure that change number `wanted` is in the file. `take` returns the text and the number of its last
    /// change; it is called once earlier writes have finished, so that one write serves all callers that wait.
    ///
    /// # Errors
    /// The error of writing the file.
    pub(crate) async fn save(
        &self,
        wanted: u64,
        take: impl FnOnce() -> (u64, serde_json::Result<Vec<u8>>),
    ) -> io::Result<()> {
        let mut written = Arc::clone(&self.written).lock_owned().await;
        if *written >= wanted {
            return Ok(());
        }
        let (change, text) = take();
        let (file, text) = (self.file.clone(), text?);
        // The lock moves into the task, which runs to its end even if the caller goes away: two writes at once would
        // corrupt the file, and an older one must not come last.
        let writing = spawn_blocking(move || {
            replace(&file, &text)?;
            *written = change;
            Ok(())
        });
        writing.await.map_err(io::Error::other)?
    }
}

/// Replaces the file atomically.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = beside(file, ".new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    // It holds credentials, even if only those of a sandbox.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        options.open(&fresh)?.write_all(text)?;
        fs::rename(&fresh, file)
    };
    write().map_err(|error| with_path(&error, file, "cannot be written"))
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    file.with_file_name(name)
}

fn with_path(error: &io::Error, file: &Path, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}.", file.display()))
}
