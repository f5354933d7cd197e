//! Creates a file with a secret: atomically, without overwriting, readable by its owner only. Or replaces one, atomically too.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::Randomness;

const OWNER_ONLY: u32 = 0o600;

/// Creates a file. Returns `AlreadyExists` if it exists. The file is durable when this returns.
pub fn create(path: &Path, bytes: &[u8], randomness: &Randomness) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let (directory, temporary) = beside(path, randomness);
    let written = write_durably(&temporary, bytes)
        // Unlike a rename, a link fails if the target exists.
        .and_then(|()| std::fs::hard_link(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    // The temporary name is no longer needed. A leftover does no harm.
    let _ = std::fs::remove_file(&temporary);
    written
}

/// Replaces a file, keeping its owner and its mode. The new content is durable when this returns. The caller has locked it.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let metadata = path.metadata()?;
    let directory = directory_of(path);
    // Always the same name, so that what a killed process has left is removed.
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".tmp");
    let temporary = directory.join(name);
    match std::fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let replaced = write_durably(&temporary, bytes)
        .and_then(|()| keep_owner(&temporary, &metadata))
        .and_then(|()| std::fs::set_permissions(&temporary, metadata.permissions()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    if replaced.is_err() {
        let _ = std::fs::remove_file(&temporary);
    }
    replaced
}

/// Gives a file the owner and group of the one that it replaces, so that the service can still read it.
fn keep_owner(path: &Path, old: &Metadata) -> io::Result<()> {
    let new = path.metadata()?;
    if (new.uid(), new.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(path, Some(old.uid()), Some(old.gid()))
}

/// The directory of a file, and the path of a temporary file in it.
fn beside<'a>(path: &'a Path, randomness: &Randomness) -> (&'a Path, PathBuf) {
    let directory = directory_of(path);
    let name = format!(".secret-{:016x}.tmp", u64::from_be_bytes(randomness.bytes()));
    (directory, directory.join(name))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
