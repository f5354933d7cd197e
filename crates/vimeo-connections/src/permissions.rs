//! Who besides the service may read or change its secret files and its database. The keyring's own mode is checked where it
//! is read (`seal::keyring_file`), more strictly.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::{Bootstrap, Config, KeyringSource};

const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;
const ROOT: u32 = 0;

/// What a path holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// The keyring, whose mode was checked when it was read.
    Keyring,
    /// The bootstrap API key or the TLS key. Groups may read them, as is usual for TLS keys.
    Secret,
    /// The database: its secrets are sealed, its names and addresses are not.
    Database,
    /// The database's directory: any user who can write it can replace the database.
    Directory,
}

/// What is wrong with who may use a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exposure {
    /// Everyone on the machine can change it.
    Writable,
    /// Everyone on the machine can read it.
    Readable,
    /// Its owner, who can change it, is neither the service's user nor root.
    Owner,
}

/// What the service does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Warn(Exposure),
    Refuse(Exposure),
}

/// By owner and mode of a path, and the service's own user.
fn judge(holds: Holds, owner: u32, mode: u32, service: u32) -> Verdict {
    let has = |bit: u32| mode & bit != 0;
    match holds {
        // A user who can change a secret can choose it.
        Holds::Secret if has(OTHERS_WRITE) => Verdict::Refuse(Exposure::Writable),
        Holds::Database | Holds::Directory if has(OTHERS_WRITE) => Verdict::Warn(Exposure::Writable),
        Holds::Secret | Holds::Database if has(OTHERS_READ) => Verdict::Warn(Exposure::Readable),
        // Root may check what another user's service will read.
        _ if service != ROOT && owner != service && owner != ROOT => Verdict::Warn(Exposure::Owner),
        _ => Verdict::Fine,
    }
}

/// A secret file that everyone on the machine can change.
#[derive(Debug, Error)]
#[error("{key} {} can be changed by every user of this machine (mode {mode:04o}): run `chmod 600` on it", path.display())]
pub(crate) struct ExposedFile {
    key: &'static str,
    path: PathBuf,
    mode: u32,
}

/// Checks every path that the configuration names: refuses, or warns in the log.
pub(crate) fn check(config: &Config) -> Result<(), ExposedFile> {
    if let KeyringSource::File { path, .. } = &config.keyring {
        check_path(Holds::Keyring, "keyring.file", path)?;
    }
    if let Some(files) = &config.tls {
        check_path(Holds::Secret, "tls.key_file", &files.key)?;
    }
    if let Some(Bootstrap { api_key_file: Some(path), .. }) = &config.bootstrap {
        check_path(Holds::Secret, "bootstrap.api_key_file", path)?;
    }
    if let Some(path) = config.database_url.file() {
        check_path(Holds::Database, "database_url", path)?;
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        check_path(Holds::Directory, "database_url", directory.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn check_path(holds: Holds, key: &'static str, path: &Path) -> Result<(), ExposedFile> {
    // What is not there yet is made for the service alone; what cannot be read is named when it is used.
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let (owner, mode) = owner_and_mode(&metadata);
    let exposure = match judge(holds, owner, mode, rustix::process::geteuid().as_raw()) {
        Verdict::Fine => return Ok(()),
        Verdict::Refuse(_) => return Err(ExposedFile { key, path: path.to_owned(), mode }),
        Verdict::Warn(exposure) => exposure,
    };
    let (path, mode) = (path.display(), format!("{mode:04o}"));
    match exposure {
        Exposure::Writable => tracing::warn!(
            key, %path, mode,
            "every user of this machine can change what is at this path: run `chmod o-w` on it"
        ),
        Exposure::Readable => tracing::warn!(
            key, %path, mode,
            "every user of this machine can read this file: run `chmod o-r` on it"
        ),
        Exposure::Owner => tracing::warn!(
            key, %path, owner,
            "the owner of this path is neither the service's user nor root, and can change it: run `chown` on it"
        ),
    }
    Ok(())
}

fn owner_and_mode(metadata: &Metadata) -> (u32, u32) {
    (metadata.uid(), metadata.mode() & 0o777)
}

/// Whether files can be made in a directory; without making one.
pub(crate) fn refuse_unwritable(directory: &Path) -> io::Result<()> {
    use rustix::fs::{Access, access};
    if !std::fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    Ok(access(directory, Access::WRITE_OK | Access::EXEC_OK)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_and_mode_decide() {
        const SERVICE: u32 = 1000;
        const STRANGER: u32 = 1001;
        use Exposure::{Owner, Readable, Writable};
        use Holds::{Database, Directory, Keyring, Secret};
        use Verdict::{Fine, Refuse, Warn};
        for (holds, owner, mode, expected) in [
            (Secret, SERVICE, 0o600, Fine),
            (Secret, ROOT, 0o640, Fine),
            (Secret, SERVICE, 0o644, Warn(Readable)),
            (Secret, SERVICE, 0o602, Refuse(Writable)),
            (Secret, SERVICE, 0o666, Refuse(Writable)),
            (Secret, STRANGER, 0o600, Warn(Owner)),
            (Keyring, SERVICE, 0o600, Fine),
            (Keyring, ROOT, 0o440, Fine),
            (Keyring, STRANGER, 0o440, Warn(Owner)),
            (Database, SERVICE, 0o600, Fine),
            (Database, SERVICE, 0o644, Warn(Readable)),
            (Database, SERVICE, 0o646, Warn(Writable)),
            (Database, STRANGER, 0o660, Warn(Owner)),
            (Directory, SERVICE, 0o755, Fine),
            (Directory, ROOT, 0o777, Warn(Writable)),
            (Directory, STRANGER, 0o755, Warn(Owner)),
        ] {
            assert_eq!(judge(holds, owner, mode, SERVICE), expected, "{holds:?} {owner} {mode:o}");
        }
        assert_eq!(judge(Keyring, SERVICE, 0o600, ROOT), Fine, "checked with sudo");
    }
}
