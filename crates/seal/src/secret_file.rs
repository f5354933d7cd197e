//! Creates a file with a secret: atomically, without overwriting, readable by its owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::Randomness;

const OWNER_ONLY: u32 = 0o600;

/// Creates a file. Returns `AlreadyExists` if it exists. The file is durable when this returns.
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
        // Unlike a rename, a link fails if the target exists.
        .and_then(|()| std::fs::hard_link(&temporary, path))
        .and_then(|()| File::open(directory)?.sync_all());
    // The temporary name is no longer needed. A leftover does no harm.
    let _ = std::fs::remove_file(&temporary);
    written
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
