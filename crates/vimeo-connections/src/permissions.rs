//! Checks which other users can read or change the service's secret files and database. `seal::keyring_file` checks the
//! keyring's mode more strictly when it is read.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::config::{Bootstrap, Config, KeyHolderConfig, KeyringSource};

const OTHERS_WRITE: u32 = 0o002;
const OTHERS_READ: u32 = 0o004;
const ROOT: u32 = 0;

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PathKind {
    /// The keyring, whose mode is checked when it is read.
    Keyring,
    /// The bootstrap API key, the TLS key, or the secret of the operator's webhooks, of the identity provider or for the
    /// keyring's holder. Groups may read them, as is usual for TLS keys.
    Secret,
    /// The database. Its secrets are encrypted; names and addresses are not.
    Database,
    /// The database's directory. Anyone who can write to it can replace the database.
    Directory,
}

/// What is wrong with a path's permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exposure {
    /// Every user of the machine can change it.
    Writable,
    /// Every user of the machine can read it.
    Readable,
    /// Its owner, who can change it, is neither the service's user nor root.
    Owner,
}

/// How the service reacts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accept,
    Warn(Exposure),
    Reject(Exposure),
}

/// Decides by the owner and mode of a path, and the service's user.
fn evaluate(kind: PathKind, owner: u32, mode: u32, service: u32) -> Verdict {
    let has = |bit: u32| mode & bit != 0;
    match kind {
        // Anyone who can change a secret can choose it.
        PathKind::Secret if has(OTHERS_WRITE) => Verdict::Reject(Exposure::Writable),
        PathKind::Database | PathKind::Directory if has(OTHERS_WRITE) => Verdict::Warn(Exposure::Writable),
        PathKind::Secret | PathKind::Database if has(OTHERS_READ) => Verdict::Warn(Exposure::Readable),
        // Root may check files of a service that runs as another user.
        _ if service != ROOT && owner != service && owner != ROOT => Verdict::Warn(Exposure::Owner),
        _ => Verdict::Accept,
    }
}

/// A secret file that every user of the machine can change.
#[derive(Debug, Error)]
#[error("{key} {} can be changed by every user of this machine (mode {mode:04o}): run `chmod 600` on it", path.display())]
pub(crate) struct ExposedFile {
    key: &'static str,
    path: PathBuf,
    mode: u32,
}

/// Checks all configured paths: returns an error, or logs warnings.
pub(crate) fn check(config: &Config) -> Result<(), ExposedFile> {
    if let KeyringSource::File { path, .. } = &config.keyring {
        check_path(PathKind::Keyring, "keyring.file", path)?;
    }
    if let Some((key, path)) = config.key_holder.as_ref().and_then(KeyHolderConfig::secret_file) {
        check_path(PathKind::Secret, key, path)?;
    }
    if let Some(files) = &config.tls {
        check_path(PathKind::Secret, "tls.key_file", &files.key)?;
    }
    if let Some(Bootstrap { api_key_file: Some(path), .. }) = &config.bootstrap {
        check_path(PathKind::Secret, "bootstrap.api_key_file", path)?;
    }
    if let Some(operator) = &config.webhooks.operator {
        check_path(PathKind::Secret, "webhooks.operator_secret_file", &operator.secret_file)?;
    }
    if let Some(oidc) = &config.oidc {
        check_path(PathKind::Secret, "oidc.client_secret_file", &oidc.client_secret_file)?;
    }
    if let Some(path) = config.database_url.file() {
        check_path(PathKind::Database, "database_url", path)?;
        let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
        check_path(PathKind::Directory, "database_url", directory.unwrap_or(Path::new(".")))?;
    }
    Ok(())
}

fn check_path(kind: PathKind, key: &'static str, path: &Path) -> Result<(), ExposedFile> {
    // Missing files are created for the service only; unreadable ones are reported when they are used.
    let Ok(metadata) = std::fs::metadata(path) else { return Ok(()) };
    let (owner, mode) = owner_and_mode(&metadata);
    let exposure = match evaluate(kind, owner, mode, rustix::process::geteuid().as_raw()) {
        Verdict::Accept => return Ok(()),
        Verdict::Reject(_) => return Err(ExposedFile { key, path: path.to_owned(), mode }),
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

/// Checks that files can be created in a directory, without creating one.
pub(crate) fn require_writable(directory: &Path) -> io::Result<()> {
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
        use PathKind::{Database, Directory, Keyring, Secret};
        use Verdict::{Accept, Reject, Warn};
        for (kind, owner, mode, expected) in [
            (Secret, SERVICE, 0o600, Accept),
            (Secret, ROOT, 0o640, Accept),
            (Secret, SERVICE, 0o644, Warn(Readable)),
            (Secret, SERVICE, 0o602, Reject(Writable)),
            (Secret, SERVICE, 0o666, Reject(Writable)),
            (Secret, STRANGER, 0o600, Warn(Owner)),
            (Keyring, SERVICE, 0o600, Accept),
            (Keyring, ROOT, 0o440, Accept),
            (Keyring, STRANGER, 0o440, Warn(Owner)),
            (Database, SERVICE, 0o600, Accept),
            (Database, SERVICE, 0o644, Warn(Readable)),
            (Database, SERVICE, 0o646, Warn(Writable)),
            (Database, STRANGER, 0o660, Warn(Owner)),
            (Directory, SERVICE, 0o755, Accept),
            (Directory, ROOT, 0o777, Warn(Writable)),
            (Directory, STRANGER, 0o755, Warn(Owner)),
        ] {
            assert_eq!(evaluate(kind, owner, mode, SERVICE), expected, "{kind:?} {owner} {mode:o}");
        }
        assert_eq!(evaluate(Keyring, SERVICE, 0o600, ROOT), Accept, "checked with sudo");
    }
}
