//! The file that is uploaded: read a little at a time, and looked at before each bit leaves, so that what arrives is one
//! state of it and not a mixture.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use domain::upload::{VIDEO_MAX_BYTES, VideoName};
use futures_util::Stream;
use futures_util::stream::poll_fn;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::progress::Progress;
use crate::cli::BoxError;

/// How much is read at once.
const READ_BYTES: u64 = 1024 * 1024;
/// How much of that waits to be sent.
const READS_AHEAD: usize = 4;

/// A file, opened.
#[derive(Debug, Clone)]
pub(super) struct FileToSend {
    file: Arc<File>,
    path: PathBuf,
    state: State,
}

/// What a change of the file would change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    size: u64,
    /// Seconds and nanoseconds since 1970.
    modified_at: (i64, i64),
}

/// Why no more can be read.
#[derive(Debug, Error)]
pub(super) enum ReadFault {
    /// It is no longer what it was when it was opened.
    #[error("the file changed")]
    Changed,
    /// The disk, or whatever it is on.
    #[error("the file cannot be read")]
    Unreadable(#[source] io::Error),
}

impl FileToSend {
    /// Opens a file that can be uploaded.
    pub(super) fn open(path: &Path) -> Result<Self, BoxError> {
        let shown = path.display();
        let unreadable = |error: io::Error| -> BoxError { format!("{shown} cannot be read: {error}").into() };
        let path = fs::canonicalize(path).map_err(unreadable)?;
        // Before it is opened: opening a pipe would wait for somebody to write to it.
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

    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        self.state.size
    }

    /// Which file it is, and in which state: two runs that say the same here speak of the same bytes.
    pub(super) fn identity(&self) -> String {
        // Its bytes, whatever they are: two names that look the same may be two files.
        format!("{} {:?}", self.path.as_os_str().as_bytes().escape_ascii(), self.state)
    }

    /// A video's name out of the file's, if it can be one.
    pub(super) fn video_name(&self) -> Option<VideoName> {
        VideoName::parse(self.path.file_stem()?.to_str()?).ok()
    }

    /// Its bytes from an offset on, so many; read on a thread of its own, and no faster than they are taken.
    pub(super) fn read(
        &self,
        offset: u64,
        length: u64,
        tasks: &TaskTracker,
        progress: &Progress,
    ) -> impl Stream<Item = Result<Bytes, ReadFault>> + Send + use<> {
        let (sender, mut receiver) = mpsc::channel(READS_AHEAD);
        let reader = self.clone();
        tasks.spawn_blocking(move || reader.read_into(&sender, offset, length));
        let (mut reached, progress) = (offset, progress.clone());
        poll_fn(move |context| {
            receiver.poll_recv(context).map(|next: Option<Result<Bytes, ReadFault>>| {
                if let Some(Ok(bytes)) = &next {
                    reached += bytes.len() as u64;
                    progress.sent(reached);
                }
                next
            })
        })
    }

    /// Ends early when nobody takes the bytes any more.
    fn read_into(&self, sender: &mpsc::Sender<Result<Bytes, ReadFault>>, offset: u64, length: u64) {
        let (mut offset, end) = (offset, offset.saturating_add(length));
        while offset < end {
            let read = self.read_at(offset, READ_BYTES.min(end - offset));
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
        // Behind each reading, and so before the last bytes leave: a changed file never becomes a whole video.
        if State::of(&self.file).map_err(ReadFault::Unreadable)? != self.state {
            return Err(ReadFault::Changed);
        }
        Ok(bytes.into())
    }
}

impl State {
    fn of(file: &File) -> io::Result<Self> {
        let found = file.metadata()?;
        Ok(Self { size: found.size(), modified_at: (found.mtime(), found.mtime_nsec()) })
    }
}
