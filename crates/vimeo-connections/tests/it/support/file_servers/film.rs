//! The uploaded file, on the disk of a file server or as an S3 object, and ways to replace it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};

use crate::support::file_servers::s3::Object;

/// Longer than all socket buffers between server and proxy, so that the end has not been read yet when a response is
/// paused near its start.
pub(crate) const SIZE: usize = 8 * 1024 * 1024;
/// The start of an MP4 file. The service inspects nothing else.
const START: &[u8] = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2";

/// The two films of each test: of equal length and start, and with no other byte in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Film {
    Old,
    New,
}

impl Film {
    pub(crate) fn bytes(self) -> Vec<u8> {
        static BOTH: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [Film::Old, Film::New].map(Film::make));
        BOTH[self as usize].clone()
    }

    fn make(self) -> Vec<u8> {
        let mut bytes = crate::support::uploads::source::bytes(SIZE as u64);
        bytes[..START.len()].copy_from_slice(START);
        if self == Self::New {
            bytes[START.len()..].iter_mut().for_each(|byte| *byte = !*byte);
        }
        bytes
    }
}

impl Film {
    /// Both films by their SHA-256.
    pub(crate) fn hashes() -> BTreeMap<String, Self> {
        let hash =
            |film: Self| crate::support::file_servers::s3::hex(digest(&SHA256, &film.bytes()).as_ref());
        [Self::Old, Self::New].map(|film| (hash(film), film)).into()
    }
}

/// The location of the film.
#[derive(Clone)]
pub(crate) enum Place {
    File(PathBuf),
    Object(Object),
}

/// The modification time of the new film.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// The current time.
    Now,
    /// Half a second after the old film, within the same second.
    HalfSecondLater,
}

impl Place {
    /// Overwrites the file in place.
    pub(crate) async fn overwrite(&self, film: Film, at: Written) {
        match self {
            Self::File(path) => {
                let then = modified(path);
                let mut output =
                    OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
                output.write_all(&film.bytes()).unwrap();
                date(&output, then, at);
            }
            Self::Object(object) => object.put(film.bytes()).await,
        }
    }

    /// Replaces the file by another one.
    pub(crate) async fn rename_over(&self, film: Film, at: Written) {
        match self {
            Self::File(path) => {
                let then = modified(path);
                let other = path.with_extension("new");
                let mut output = File::create(&other).unwrap();
                output.write_all(&film.bytes()).unwrap();
                date(&output, then, at);
                fs::rename(other, path).unwrap();
            }
            Self::Object(object) => object.put(film.bytes()).await,
        }
    }

    /// Sets the modification time back by a day. S3 objects cannot be dated.
    pub(crate) fn make_old(&self) {
        if let Self::File(path) = self {
            set_modified(path, start_of_second(now() - Duration::from_hours(24)));
        }
    }

    /// Sets the modification time to now, early in a second.
    pub(crate) fn make_fresh(&self) {
        if let Self::File(path) = self {
            set_modified(path, start_of_second(now()));
        }
    }
}

fn date(file: &File, before: Option<SystemTime>, at: Written) {
    if let (Written::HalfSecondLater, Some(before)) = (at, before) {
        file.set_modified(before + Duration::from_millis(500)).unwrap();
    }
}

fn modified(path: &PathBuf) -> Option<SystemTime> {
    fs::metadata(path).ok().map(|metadata| metadata.modified().unwrap())
}

fn set_modified(path: &PathBuf, at: SystemTime) {
    OpenOptions::new().write(true).open(path).unwrap().set_modified(at).unwrap();
}

/// A tenth of a second after the start of this second.
fn start_of_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs()) + Duration::from_millis(100)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the date of a file is compared with the clock of a real server"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}
