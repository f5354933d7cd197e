//! Writing a file that holds a secret: never over another, whole or not at all, readable by its owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::Randomness;

const OWNER_ONLY: u32 = 0o600;

/// Writes a file that must not exist; `AlreadyExists` if it does. Durable when this returns.
pub fn create(path: &Path, bytes: &[u8], randomness: &Randomness) -> io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let temporary = directory.join(format!(".secret-{:016x}.tmp", u64::from_be_bytes(randomness.bytes())));
    let written = write_durably(&temporary, bytes)
        // A link, unlike a rename, fails where something stands already.
        .and_then(|()| std::fs::hard_link(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    // Whether or not it was linked, the temporary name has served; that it stays would harm nobody.
    let _ = std::fs::remove_file(&temporary);
    written
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
