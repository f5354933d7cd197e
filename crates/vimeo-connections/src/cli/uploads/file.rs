//! The file to upload. It is read in small parts and checked for changes after each read, so that the upload is one
//! consistent state of the file.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use app::{LocalFile, LocalFileFailed};
use bytes::Bytes;
use domain::upload::{VIDEO_MAX_BYTES, VideoName};
use futures_util::stream::{BoxStream, StreamExt as _, poll_fn};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::progress::Progress;
use crate::cli::BoxError;

/// How much is read at once.
const READ_BYTES: u64 = 1024 * 1024;
/// How many reads are buffered.
const READS_AHEAD: usize = 4;

/// An open file.
#[derive(Debug, Clone)]
pub(super) struct FileToSend {
    file: Arc<File>,
    path: PathBuf,
    state: State,
}

/// The metadata that changes with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified_at: (i64, i64),
}

/// Why reading failed.
#[derive(Debug, Error)]
pub(super) enum ReadFault {
    /// The file has changed since it was opened.
    #[error("the file changed")]
    Changed,
    /// An error of the disk or file system.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
}

impl FileToSend {
    /// Opens a file for an upload.
    pub(super) fn open(path: &Path) -> Result<Self, BoxError> {
        let shown = path.display();
        let unreadable = |error: io::Error| -> BoxError { format!("{shown} cannot be read: {error}").into() };
        let path = fs::canonicalize(path).map_err(unreadable)?;
        // Checked first, because opening a pipe would block until someone writes to it.
        let kind = fs::metadata(&path).map_err(unreadable)?.file_type();
        if kind.is_dir() {
            return Err(format!("{shown} is a directory; name the file to upload").into());
        }
        if !kind.is_file() {
            return Err(format!("{shown} is not a regular file, so the upload could not be resumed").into());
        }
        let file = File::open(&path).map_err(unreadable)?;
        let state = State::of(&file).map_err(unreadable)?;
        if state.size == 0 {
            return Err(format!("{shown} is empty").into());
        }
        if state.size > VIDEO_MAX_BYTES {
            return Err(format!("{shown} is larger than the {VIDEO_MAX_BYTES} bytes that Vimeo takes").into());
        }
        Ok(Self { file: Arc::new(file), path, state })
    }

    /// Its size in bytes.
    pub(super) fn size(&self) -> u64 {
        self.state.size
    }

    /// Identifies the file and its state: two runs with the same identity read the same bytes.
    pub(super) fn identity(&self) -> String {
        // The path as bytes: two paths that look the same may be two files.
        format!("{} {:?}", self.path.as_os_str().as_bytes().escape_ascii(), self.state)
    }

    /// A video name derived from the file name, if it is valid.
    pub(super) fn video_name(&self) -> Option<VideoName> {
        VideoName::parse(self.path.file_stem()?.to_str()?).ok()
    }

    /// Reads to the end. Stops early if the receiver is dropped.
    fn read_into(&self, sender: &mpsc::Sender<Result<Bytes, ReadFault>>, mut offset: u64) {
        while offset < self.size() {
            let read = self.read_at(offset, READ_BYTES.min(self.size() - offset));
            offset += READ_BYTES;
            let is_fault = read.is_err();
            if sender.blocking_send(read).is_err() || is_fault {
                return;
            }
        }
    }

    fn read_at(&self, offset: u64, length: u64) -> Result<Bytes, ReadFault> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(ReadFault::Changed),
            Err(error) => return Err(ReadFault::Unreadable(error)),
        }
        // Checked after each read, and before the last bytes are sent: a changed file never becomes a complete video.
        if State::of(&self.file).map_err(ReadFault::Unreadable)? != self.state {
            return Err(ReadFault::Changed);
        }
        Ok(bytes.into())
    }
}

/// A file whose bytes this command sends.
pub(super) struct SendingFile {
    file: FileToSend,
    tasks: TaskTracker,
    progress: Progress,
    fault: Arc<Mutex<Option<ReadFault>>>,
}

impl SendingFile {
    pub(super) fn new(file: FileToSend, tasks: TaskTracker, progress: Progress) -> Self {
        Self { file, tasks, progress, fault: Arc::default() }
    }

    /// The size of the file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.file.size()
    }

    /// Whether reading has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Why reading has failed.
    pub(super) fn take_fault(&self) -> Option<ReadFault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl LocalFile for SendingFile {
    /// The bytes are read on a thread of their own and no faster than they are consumed.
    fn read(&self, offset: u64) -> BoxStream<'static, Result<Bytes, LocalFileFailed>> {
        let (sender, mut receiver) = mpsc::channel(READS_AHEAD);
        let reader = self.file.clone();
        self.tasks.spawn_blocking(move || reader.read_into(&sender, offset));
        self.progress.sending_from(offset, self.file.size());
        let (mut reached, progress, fault) = (offset, self.progress.clone(), self.fault.clone());
        let bytes = poll_fn(move |context| receiver.poll_recv(context));
        bytes
            .map(move |read: Result<Bytes, ReadFault>| match read {
                Ok(bytes) => {
                    reached += bytes.len() as u64;
                    progress.sent(reached);
                    Ok(bytes)
                }
                Err(error) => {
                    *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    Err(LocalFileFailed)
                }
            })
            .boxed()
    }
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { size: found.size(), modified_at: (found.mtime(), found.mtime_nsec()) })
    }
}
