//! Bytes on their way in: hashed, written to the version's file if bytes are kept, and then booked in the world.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::desk::{Desk, Taken};
use crate::state::{Failure, Received, Stage, Version, VersionId, VideoId};

const LOCK: &str = ".vimeo-sandbox.lock";

/// The one sandbox that may write to a directory of bytes. It is the directory's as long as this is held.
pub(crate) struct Keeper {
    _lock: File,
}

impl Keeper {
    /// Takes the directory for this sandbox alone; makes it, if need be.
    ///
    /// # Errors
    /// `ResourceBusy` while another sandbox has it, otherwise what making it or writing into it gives.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let explained = |error: &io::Error| {
            let text = format!("Bytes cannot be kept in {}: {error}.", directory.display());
            io::Error::new(error.kind(), text)
        };
        let made = fs::create_dir_all(directory)
            .and_then(|()| {
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(false).open(directory.join(LOCK))
            })
            .map_err(|error| explained(&error))?;
        match made.try_lock() {
            Ok(()) => Ok(Self { _lock: made }),
            Err(TryLockError::WouldBlock) => {
                let text = format!("{} belongs to a sandbox that is running.", directory.display());
                Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
            }
            Err(TryLockError::Error(error)) => Err(explained(&error)),
        }
    }
}

/// Where a version's bytes are kept, if bytes are. Versions are numbered across videos, but people look for videos.
pub(crate) fn path_of(desk: &Desk, video: VideoId, version: VersionId) -> Option<PathBuf> {
    let directory = desk.bytes_directory.as_ref()?;
    Some(directory.join(format!("{}-{}", video.number(), version.number())))
}

/// Cuts off what was written to a version's file and never booked.
pub(super) fn settle(desk: &Desk, video: VideoId, version: VersionId, received: u64) {
    let Some(path) = path_of(desk, video, version) else { return };
    // A file that cannot be cut now is cut, or complained of, when somebody goes on with it.
    if let Ok(file) = OpenOptions::new().write(true).open(path)
        && file.metadata().is_ok_and(|known| known.len() > received)
    {
        let _ = file.set_len(received);
    }
}

/// Where writing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum From {
    /// After what is here already.
    Offset,
    /// Anew.
    Zero,
}

/// Why nothing can be written.
#[derive(Debug)]
pub(super) enum Closed {
    /// The version is no more.
    Gone,
    /// Its bytes came already, or never will.
    Over,
    /// Somebody else is writing.
    Busy,
    /// The file cannot be opened.
    Disk,
}

/// The version was deleted while its bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

/// The one writer of a version's bytes.
pub(super) struct Inlet<'a> {
    desk: &'a Desk,
    video: VideoId,
    version: VersionId,
    key: String,
    taken: Taken<'a>,
    file: Option<File>,
    pub(super) received: Received,
    pub(super) size: Option<u64>,
}

impl<'a> Inlet<'a> {
    /// Takes a version for this writer. `key` is that of its link.
    pub(super) fn open(
        desk: &'a Desk,
        (video, version): (VideoId, VersionId),
        key: &str,
        from: From,
    ) -> Result<Self, Closed> {
        let taken = desk.take_upload(key).ok_or(Closed::Busy)?;
        let world = desk.world();
        let upload = world.version(video, version).map(|version| &version.upload);
        let upload = upload.filter(|upload| upload.key == key).ok_or(Closed::Gone)?;
        let received = match from {
            From::Offset => upload.received.clone(),
            From::Zero if *upload.stage() != Stage::Uploading => return Err(Closed::Over),
            From::Zero => Received::default(),
        };
        // While the version is surely there: its file must not come after its deletion.
        let file = match path_of(desk, video, version) {
            Some(path) => open_at(&path, received.bytes).map_err(|_| Closed::Disk)?,
            None => None,
        };
        let size = upload.size;
        drop(world);
        Ok(Self { desk, video, version, key: key.to_owned(), taken, file, received, size })
    }

    /// Ends when the version is deleted.
    pub(super) fn gone(&self) -> CancellationToken {
        self.taken.gone()
    }

    /// How many bytes of those that were announced are still missing.
    pub(super) fn room(&self) -> u64 {
        self.size.map_or(u64::MAX, |size| size.saturating_sub(self.received.bytes))
    }

    /// Writes and hashes bytes, which count once they are booked. Nothing of this waits anywhere else, so that a
    /// writer who is given up has nothing under way that could meet the next one's.
    pub(super) fn take(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(data)?;
        }
        self.received.take(data);
        Ok(())
    }

    /// Books what came, in the way that is given.
    fn book(&self, write: impl FnOnce(&mut Version, Received)) -> Result<(), Gone> {
        let mut world = self.desk.world();
        let booked = world.edit_version(self.video, self.version, |version| {
            // After a reset the same numbers may be another upload's.
            let is_ours = version.upload.key == self.key;
            if is_ours {
                write(version, self.received.clone());
            }
            is_ours
        });
        if booked == Some(true) { Ok(()) } else { Err(Gone) }
    }

    /// Books what came; what follows the last byte begins with it.
    pub(super) fn book_arrival(&self) -> Result<(), Gone> {
        let now = self.desk.now();
        self.book(|version, received| version.upload.receive(received, now))
    }

    /// Books progress of an upload that is whole only when its sender says so.
    pub(super) fn book_progress(&self) -> Result<(), Gone> {
        let mut is_over = false;
        self.book(|Version { upload, .. }, received| {
            is_over = *upload.stage() != Stage::Uploading;
            if !is_over {
                upload.received = received;
            }
        })?;
        if is_over { Err(Gone) } else { Ok(()) }
    }

    /// Books the end of such an upload, with the file's name if its sender told it. Only now is it known whether its
    /// owner has room for it.
    pub(super) fn book_whole(&self, file_name: Option<String>) -> Result<(), Gone> {
        let now = self.desk.now();
        let overrun = if self.size.is_none() { self.desk.world().overrun_by(self.video) } else { None };
        self.book(|version, received| {
            let upload = &mut version.upload;
            if *upload.stage() == Stage::Uploading {
                upload.size = Some(received.bytes);
                match overrun {
                    Some(bound) => upload.fail(Failure::with_status(bound.status()), now),
                    None => upload.receive(received, now),
                }
            }
            version.file_name = file_name.or(version.file_name.take());
        })
    }

    /// Begins anew.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.received = Received::default();
        if let Some(file) = &mut self.file {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(())
    }
}

/// Opens a version's file so that it ends at the offset. `None` if its beginning was never kept.
fn open_at(path: &Path, offset: u64) -> io::Result<Option<File>> {
    let mut options = OpenOptions::new();
    options.write(true);
    if offset == 0 {
        return options.create(true).truncate(true).open(path).map(Some);
    }
    let mut file = match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    if file.metadata()?.len() < offset {
        return Ok(None);
    }
    file.set_len(offset)?;
    file.seek(SeekFrom::Start(offset))?;
    Ok(Some(file))
}
