//! Writing of uploaded bytes: they are hashed, written to the version's file if bytes are kept, and recorded in the
//! state.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::app_state::{AppState, UploadLock};
use crate::state::{Failure, Received, Stage, Version, VersionId, VideoId};

const LOCK: &str = ".vimeo-sandbox.lock";

/// The lock on the directory of bytes, held while the sandbox runs.
pub(crate) struct UploadDirLock {
    _lock: File,
}

impl UploadDirLock {
    /// Creates the directory if necessary, and locks it.
    ///
    /// # Errors
    /// `ResourceBusy` while another sandbox holds the lock, otherwise the error of creating the directory or the lock
    /// file.
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
                let text = format!("{} is in use by another sandbox that is running.", directory.display());
                Err(io::Error::new(io::ErrorKind::ResourceBusy, text))
            }
            Err(TryLockError::Error(error)) => Err(explained(&error)),
        }
    }
}

/// The file of a version, if bytes are kept. Its name starts with the video's number, which people look for.
pub(crate) fn path_of(app_state: &AppState, video: VideoId, version: VersionId) -> Option<PathBuf> {
    let directory = app_state.bytes_directory.as_ref()?;
    Some(directory.join(format!("{}-{}", video.number(), version.number())))
}

/// Truncates a version's file to the recorded length.
pub(super) fn truncate(app_state: &AppState, video: VideoId, version: VersionId, received: u64) {
    let Some(path) = path_of(app_state, video, version) else { return };
    // An error here is reported when the upload is resumed.
    if let Ok(file) = OpenOptions::new().write(true).open(path)
        && file.metadata().is_ok_and(|known| known.len() > received)
    {
        let _ = file.set_len(received);
    }
}

/// Where writing starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartAt {
    /// After the bytes that have arrived.
    Offset,
    /// At the beginning.
    Zero,
}

/// Why an upload cannot be written.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The version was deleted.
    Deleted,
    /// It is already complete, or failed.
    Ended,
    /// Another writer holds the lock.
    Busy,
    /// The file cannot be opened.
    Disk,
}

/// The version was deleted during the upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct VersionDeleted;

/// The writer of a version's bytes, which holds its lock.
pub(super) struct UploadWriter<'a> {
    app_state: &'a AppState,
    video: VideoId,
    version: VersionId,
    key: String,
    lock: UploadLock<'a>,
    file: Option<File>,
    pub(super) received: Received,
    pub(super) size: Option<u64>,
}

impl<'a> UploadWriter<'a> {
    /// Locks a version for writing. `key` is that of its link.
    pub(super) fn open(
        app_state: &'a AppState,
        (video, version): (VideoId, VersionId),
        key: &str,
        from: StartAt,
    ) -> Result<Self, OpenError> {
        let lock = app_state.lock_upload(key).ok_or(OpenError::Busy)?;
        let vimeo_state = app_state.vimeo();
        let upload = vimeo_state.version(video, version).map(|version| &version.upload);
        let upload = upload.filter(|upload| upload.key == key).ok_or(OpenError::Deleted)?;
        let received = match from {
            StartAt::Offset => upload.received.clone(),
            StartAt::Zero if *upload.stage() != Stage::Uploading => return Err(OpenError::Ended),
            StartAt::Zero => Received::default(),
        };
        // Opened while the state is locked, so that the file is not created after the version was deleted.
        let file = match path_of(app_state, video, version) {
            Some(path) => open_at(&path, received.bytes).map_err(|_| OpenError::Disk)?,
            None => None,
        };
        let size = upload.size;
        drop(vimeo_state);
        Ok(Self { app_state, video, version, key: key.to_owned(), lock, file, received, size })
    }

    /// Cancelled when the version is deleted.
    pub(super) fn deleted(&self) -> CancellationToken {
        self.lock.deleted()
    }

    /// How many bytes of the announced size are missing.
    pub(super) fn remaining(&self) -> u64 {
        self.size.map_or(u64::MAX, |size| size.saturating_sub(self.received.bytes))
    }

    /// Writes and hashes bytes, which count once they are recorded. It is synchronous, so that a dropped writer leaves
    /// no write in progress that could interleave with the next writer's.
    pub(super) fn write(&mut self, data: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.write_all(data)?;
        }
        self.received.take(data);
        Ok(())
    }

    /// Updates the version with what has been received.
    fn record(&self, write: impl FnOnce(&mut Version, Received)) -> Result<(), VersionDeleted> {
        let mut vimeo_state = self.app_state.vimeo();
        let booked = vimeo_state.edit_version(self.video, self.version, |version| {
            // After a reset another upload may have the same numbers.
            let is_ours = version.upload.key == self.key;
            if is_ours {
                write(version, self.received.clone());
            }
            is_ours
        });
        if booked == Some(true) { Ok(()) } else { Err(VersionDeleted) }
    }

    /// Records received bytes; the next stage starts with the last of them.
    pub(super) fn record_received(&self) -> Result<(), VersionDeleted> {
        let now = self.app_state.now();
        self.record(|version, received| version.upload.receive(received, now))
    }

    /// Records progress of an upload that is complete only when its sender has finished.
    pub(super) fn record_progress(&self) -> Result<(), VersionDeleted> {
        let mut is_complete = false;
        self.record(|Version { upload, .. }, received| {
            is_complete = *upload.stage() != Stage::Uploading;
            if !is_complete {
                upload.received = received;
            }
        })?;
        if is_complete { Err(VersionDeleted) } else { Ok(()) }
    }

    /// Records the end of such an upload, with the file name if the sender gave one. The quota is checked here, since
    /// the size was unknown before.
    pub(super) fn record_complete(&self, file_name: Option<String>) -> Result<(), VersionDeleted> {
        let now = self.app_state.now();
        let exceeded_quota =
            if self.size.is_none() { self.app_state.vimeo().quota_exceeded_by(self.video) } else { None };
        self.record(|version, received| {
            let upload = &mut version.upload;
            if *upload.stage() == Stage::Uploading {
                upload.size = Some(received.bytes);
                match exceeded_quota {
                    Some(bound) => upload.fail(Failure::with_status(bound.status()), now),
                    None => upload.receive(received, now),
                }
            }
            version.file_name = file_name.or(version.file_name.take());
        })
    }

    /// Starts again at the beginning.
    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.received = Received::default();
        if let Some(file) = &mut self.file {
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
        }
        Ok(())
    }
}

/// Opens a version's file for writing at the offset. `None` if its beginning was not kept.
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
