//! The state file: the whole world as JSON, written anew after each change, so that what was answered is kept.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::state::World;

/// Changes when a program of before could not read the file any more.
const FORMAT: u32 = 2;

/// The formats that this program reads. Since 1 there are more stages, plans, periods and quotas without an end.
const FORMATS_READ: RangeInclusive<u32> = 1..=FORMAT;

#[derive(Serialize, Deserialize)]
struct Head {
    vimeo_sandbox_state: u32,
}

/// What a state file holds.
#[derive(Deserialize)]
pub(crate) struct Saved {
    /// What a reset goes back to.
    pub(crate) first_world: World,
    pub(crate) world: World,
}

#[derive(Serialize)]
struct SavedRef<'a> {
    first_world: &'a World,
    world: &'a World,
}

/// A state file's whole text.
pub(crate) fn write(first_world: &World, world: &World) -> serde_json::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(&Head { vimeo_sandbox_state: FORMAT })?;
    text.push(b'\n');
    serde_json::to_writer(&mut text, &SavedRef { first_world, world })?;
    text.push(b'\n');
    Ok(text)
}

/// The one sandbox that may write a state file.
pub(crate) struct Saver {
    file: PathBuf,
    /// The number of the last change that is in the file.
    written: Arc<Mutex<u64>>,
    /// Held as long as the file is ours.
    _lock: File,
}

impl Saver {
    /// Takes the file for this sandbox alone.
    ///
    /// # Errors
    /// `ResourceBusy` while another sandbox has it, otherwise what making the lock beside it gives.
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let beside = sibling(file, ".lock");
        let lock = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&beside);
        let lock = lock.map_err(|error| explained(&error, &beside, "cannot be opened"))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { file: file.to_owned(), written: Arc::default(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} belongs to a sandbox that is running.", file.display());
                Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
            }
            Err(TryLockError::Error(error)) => Err(explained(&error, &beside, "cannot be locked")),
        }
    }

    /// Reads what the file holds; `None` if there is no such file yet.
    ///
    /// # Errors
    /// `InvalidData` for a file that no sandbox of this format has written, otherwise what reading it gives.
    pub(crate) fn read(&self) -> io::Result<Option<Saved>> {
        let text = match fs::read_to_string(&self.file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.map_err(|error| explained(&error, &self.file, "cannot be read"))?,
        };
        let invalid = |what: &str| {
            let text = format!("{} {what}; it was left as it is.", self.file.display());
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        let (head, saved) = text.split_once('\n').ok_or_else(|| invalid("is no state of a sandbox"))?;
        let head: Head = serde_json::from_str(head).map_err(|_| invalid("is no state of a sandbox"))?;
        if !FORMATS_READ.contains(&head.vimeo_sandbox_state) {
            return Err(invalid("was written by another version of the sandbox"));
        }
        serde_json::from_str(saved).map(Some).map_err(|error| invalid(&format!("is damaged ({error})")))
    }

    /// Sees to it that change number `wanted` is in the file. `take` gives the text with the number of its last
    /// change; it is asked once the writings before are done, so that one writing serves all who waited for it.
    ///
    /// # Errors
    /// What writing the file gives.
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
        // The guard goes with the writing, which ends also when nobody waits for it any more: two at once would spoil
        // the file, and an older one must not come last.
        let writing = spawn_blocking(move || {
            replace(&file, &text)?;
            *written = change;
            Ok(())
        });
        writing.await.map_err(io::Error::other)?
    }
}

/// Puts a new file in the place of the old one, so that there is a whole one at any moment.
fn replace(file: &Path, text: &[u8]) -> io::Result<()> {
    let fresh = sibling(file, ".new");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    // It holds credentials, if only those of a sandbox.
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        options.open(&fresh)?.write_all(text)?;
        fs::rename(&fresh, file)
    };
    write().map_err(|error| explained(&error, file, "cannot be written"))
}

fn sibling(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    file.with_file_name(name)
}

fn explained(error: &io::Error, file: &Path, what: &str) -> io::Error {
    io::Error::new(error.kind(), format!("{} {what}: {error}.", file.display()))
}
