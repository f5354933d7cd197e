//! Backups of SQLite databases, and restoring them.

use std::path::PathBuf;

use domain::secret::KeyringKeyId;
use domain::time::Timestamp;

use crate::{BackupError, DatabaseUrl, Inspection, blocking, sqlite};

/// The first line of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupHeader {
    /// The number of the last migration of its database.
    pub schema: u32,
    /// When it was created: ISO 8601.
    pub made_at: String,
    /// The keyring keys that its sealed data needs.
    pub keyring_keys: Vec<KeyringKeyId>,
    /// The size of its database.
    pub bytes: u64,
    /// The SHA-256 of its database, in hexadecimal digits.
    pub sha256: String,
}

/// Time and randomness for a backup.
#[derive(Debug, Clone)]
pub struct BackupStamp {
    /// Now.
    pub at: Timestamp,
    /// A random name, which distinguishes temporary files from others.
    pub tag: String,
}

/// Copies a snapshot of the database into a new file, while other processes write.
pub async fn back_up(
    database_url: &DatabaseUrl,
    target: PathBuf,
    stamp: BackupStamp,
) -> Result<BackupHeader, BackupError> {
    let path = backup_path_of(database_url)?;
    blocking(move || sqlite::backups::back_up(&path, &target, &stamp)).await
}

/// Verifies a backup. Returns its header, and what its database contains.
pub async fn check_backup(file: PathBuf, tag: String) -> Result<(BackupHeader, Inspection), BackupError> {
    blocking(move || sqlite::backups::check(&file, &tag)).await
}

/// Verifies a backup and unpacks its database beside the target file, which must not exist.
pub async fn stage_backup(
    file: PathBuf,
    database_url: &DatabaseUrl,
    tag: String,
) -> Result<StagedBackup, BackupError> {
    let path = backup_path_of(database_url)?;
    blocking(move || sqlite::backups::stage(&file, &path, &tag)).await.map(StagedBackup)
}

/// A database that was unpacked from a backup and does not have its final name yet. Dropped, it is removed.
#[derive(Debug)]
pub struct StagedBackup(sqlite::backups::Staged);

impl StagedBackup {
    /// The header of the backup.
    pub fn header(&self) -> &BackupHeader {
        &self.0.header
    }

    /// What its database contains.
    pub fn found(&self) -> &Inspection {
        &self.0.found
    }

    /// The URL of the database until then. It must be closed before it is put in place.
    pub fn database_url(&self) -> DatabaseUrl {
        DatabaseUrl::of_file(self.0.path())
    }

    /// Gives the database its final name, atomically and durably.
    pub async fn put_in_place(self) -> Result<(), BackupError> {
        blocking(move || self.0.put_in_place()).await
    }
}

fn backup_path_of(database_url: &DatabaseUrl) -> Result<PathBuf, BackupError> {
    Ok(database_url.file().ok_or(BackupError::OtherEngine)?.to_owned())
}
