//! The keyring file. It is never overwritten, and its permissions are checked on the open descriptor.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use zeroize::Zeroizing;

use crate::keyring::{Keyring, KeyringError};
use crate::{Randomness, secret_file};

const FILE_MAX_BYTES: u64 = 64 * 1024;

/// Whether the keyring file's group may read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupAccess {
    /// Only the owner may read it.
    Forbidden,
    /// The group may read it, but not write.
    Read,
}

/// Why a keyring file cannot be used.
#[derive(Debug, Error)]
pub enum KeyringFileError {
    /// The file does not exist.
    #[error("there is no keyring file at {}", .0.display())]
    Absent(PathBuf),
    /// `init` found an existing file.
    #[error("{} exists already, and a keyring is never overwritten", .0.display())]
    Exists(PathBuf),
    /// Other users can read it.
    #[error("the keyring file {} can be read by others (mode {mode:04o}): run `chmod 600` on it", path.display())]
    Readable {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Container platforms create a directory if the file to mount does not exist.
    #[error(
        "{} is a directory, not a keyring file: a container platform probably created it because the file did not exist. Remove \
         the directory and put the keyring there, or run `vimeo-connections init` if this is a new installation",
        .0.display()
    )]
    Directory(PathBuf),
    /// Not a regular file, or too large.
    #[error("{} is not a keyring file", .0.display())]
    NotAFile(PathBuf),
    /// A container platform has mounted the file alone: it can be written, but not replaced.
    #[error(
        "the keyring file {} is mounted alone, so that it cannot be replaced: mount its directory instead, or run the command where          the file is kept. Nothing was changed",
        .0.display()
    )]
    Mounted(PathBuf),
    /// The content is not a valid keyring.
    #[error("the keyring file {}: {source}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: KeyringError,
    },
    /// The system reported an error.
    #[error("the keyring file {} cannot be used: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Reads a keyring file of format 1.
pub fn read(path: &Path, group: GroupAccess) -> Result<Keyring, KeyringFileError> {
    parse(path, &read_text(path, group)?)
}

/// Parses the text of a keyring file of format 1.
pub fn parse(path: &Path, text: &str) -> Result<Keyring, KeyringFileError> {
    Keyring::parse(text).map_err(|source| KeyringFileError::Content { path: path.to_owned(), source })
}

/// Reads the text of a keyring file of any format, and checks its permissions.
pub fn read_text(path: &Path, group: GroupAccess) -> Result<Zeroizing<String>, KeyringFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => KeyringFileError::Absent(path.to_owned()),
        _ => KeyringFileError::Io { path: path.to_owned(), source },
    };
    // Opening a pipe would block until someone writes to it. The open descriptor is checked again below.
    require_regular_file(path, &std::fs::metadata(path).map_err(failed)?)?;
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    require_regular_file(path, &metadata)?;
    let mode = metadata.mode() & 0o777;
    let forbidden = match group {
        GroupAccess::Forbidden => 0o077,
        GroupAccess::Read => 0o037,
    };
    if mode & forbidden != 0 {
        return Err(KeyringFileError::Readable { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.take(FILE_MAX_BYTES).read_to_string(&mut text).map_err(|source| match source.kind() {
        io::ErrorKind::InvalidData => {
            KeyringFileError::Content { path: path.to_owned(), source: KeyringError::Malformed { line: 1 } }
        }
        _ => failed(source),
    })?;
    // Some editors add a byte order mark.
    let text_start = text.len() - text.trim_start_matches('\u{feff}').len();
    text.drain(..text_start);
    Ok(text)
}

fn require_regular_file(path: &Path, metadata: &Metadata) -> Result<(), KeyringFileError> {
    if metadata.is_dir() {
        return Err(KeyringFileError::Directory(path.to_owned()));
    }
    if !metadata.is_file() || metadata.len() > FILE_MAX_BYTES {
        return Err(KeyringFileError::NotAFile(path.to_owned()));
    }
    Ok(())
}

/// Creates a keyring file with this text, atomically, readable by its owner only. Fails if the file exists.
pub fn create(path: &Path, text: &str, randomness: &Randomness) -> Result<(), KeyringFileError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyringFileError::Exists(path.to_owned()),
        _ => KeyringFileError::Io { path: path.to_owned(), source },
    };
    secret_file::create(path, text.as_bytes(), randomness).map_err(failed)
}

/// A keyring file that no other process changes meanwhile.
#[derive(Debug)]
pub struct LockedKeyring {
    path: PathBuf,
    target: PathBuf,
    /// Unlocked when it is closed.
    _file: File,
}

impl LockedKeyring {
    /// Waits until no other process changes the file.
    pub fn lock(path: &Path) -> Result<Self, KeyringFileError> {
        // A link stays a link.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match lock(&target) {
            Ok(file) => Ok(Self { path: path.to_owned(), target, _file: file }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(KeyringFileError::Absent(path.to_owned()))
            }
            Err(source) => Err(KeyringFileError::Io { path: path.to_owned(), source }),
        }
    }

    /// Replaces its content atomically, keeping its owner and mode. A crash leaves the one or the other.
    pub fn replace(self, text: &str) -> Result<(), KeyringFileError> {
        let replaced = secret_file::replace(&self.target, text.as_bytes());
        replaced.map_err(|source| not_replaced(self.path, source))
    }
}

fn not_replaced(path: PathBuf, source: io::Error) -> KeyringFileError {
    match source.kind() {
        io::ErrorKind::ResourceBusy => KeyringFileError::Mounted(path),
        _ => KeyringFileError::Io { path, source },
    }
}

/// Locks a file that is replaced under its lock.
fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        let (locked, current) = (file.metadata()?, std::fs::metadata(path)?);
        if (locked.dev(), locked.ino()) == (current.dev(), current.ino()) {
            return Ok(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_that_is_mounted_alone_is_named_as_that() {
        let error = not_replaced("k".into(), io::ErrorKind::ResourceBusy.into());
        assert!(error.to_string().contains("mounted alone"), "{error}");
        let error = not_replaced("k".into(), io::ErrorKind::StorageFull.into());
        assert!(matches!(error, KeyringFileError::Io { .. }), "{error}");
    }

    #[test]
    fn a_keyring_file_is_created_once_and_readable_by_its_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k.keyring");
        let randomness = Randomness::system();
        let keyring = Keyring::generate(&randomness);
        assert!(matches!(read(&path, GroupAccess::Forbidden), Err(KeyringFileError::Absent(_))));
        create(&path, &keyring.to_text(), &randomness).unwrap();
        assert_eq!(read(&path, GroupAccess::Forbidden).unwrap().primary_id(), keyring.primary_id());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        let other = Keyring::generate(&randomness);
        assert!(matches!(create(&path, &other.to_text(), &randomness), Err(KeyringFileError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_keyring_file_is_replaced_with_its_mode_and_changes_at_once_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k.keyring");
        let randomness = Randomness::system();
        create(&path, &Keyring::generate(&randomness).to_text(), &randomness).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let randomness = Randomness::system();
                    let locked = LockedKeyring::lock(&path).unwrap();
                    let keyring = read(&path, GroupAccess::Forbidden).unwrap().rotated(&randomness);
                    locked.replace(&keyring.to_text()).unwrap();
                });
            }
        });
        assert_eq!(read(&path, GroupAccess::Forbidden).unwrap().key_ids().count(), 9);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_keyring_file_readable_by_others_is_rejected() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("k.keyring");
        let randomness = Randomness::system();
        create(&path, &Keyring::generate(&randomness).to_text(), &randomness).unwrap();
        for (mode, group, good) in [
            (0o400, GroupAccess::Forbidden, true),
            (0o440, GroupAccess::Forbidden, false),
            (0o440, GroupAccess::Read, true),
            (0o460, GroupAccess::Read, false),
            (0o444, GroupAccess::Read, false),
            (0o604, GroupAccess::Forbidden, false),
        ] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&path, group).is_ok(), good, "{mode:o} {group:?}");
        }
        assert!(matches!(
            read(directory.path(), GroupAccess::Forbidden),
            Err(KeyringFileError::Directory(_))
        ));
    }
}
