//! Backups: created without the keyring, restored only with it.

use std::path::{Path, PathBuf};

use domain::secret::{KeyringCheck, KeyringKeyId};
use seal::Randomness;
use seal::keyring::Keyring;
use store::{BackupError, BackupHeader, BackupStamp, DatabaseUrl, Migrations, StagedBackup};
use thiserror::Error;

use crate::{App, Clock, Error, Setup, StartError, describe_keys};

/// Whether the API keys in a backup remain valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoredKeys {
    /// They have the status that they had in the backup.
    Keep,
    /// All are revoked before the database is moved to its path.
    Revoke,
}

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// The header of the backup.
    pub header: BackupHeader,
    /// How many keys were revoked; `None` with [`RestoredKeys::Keep`].
    pub revoked_keys: Option<usize>,
}

/// Why a backup was not restored. The messages are for the operator.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The backup was sealed with keys that the keyring does not hold.
    #[error(
        "the keyring is not the one that the backup {} was sealed with. The backup needs {}; the keyring's primary key \
         is {found}. Nothing was changed. Set keyring.file to the right keyring, or restore it from its own backup. \
         Without it the stored credentials cannot be decrypted",
        file.display(),
        describe_keys(missing)
    )]
    WrongKeyring {
        /// The backup.
        file: PathBuf,
        /// The missing keys.
        missing: Vec<KeyringKeyId>,
        /// The keyring's primary key.
        found: KeyringKeyId,
    },
    /// The backup is invalid, or the target exists.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The database in the backup cannot be opened.
    #[error("{0}. Nothing was restored")]
    Start(#[source] StartError),
    /// The keys could not be revoked.
    #[error("the API keys in the backup could not be revoked, and so nothing was restored")]
    Keys(#[source] Error),
}

/// Writes a consistent copy of the database to a new file. Needs no keyring, because nothing is decrypted.
pub async fn back_up(
    database_url: &DatabaseUrl,
    file: PathBuf,
    clock: &Clock,
    randomness: &Randomness,
) -> Result<BackupHeader, BackupError> {
    let stamp = BackupStamp { at: clock.now(), tag: make_tag(randomness) };
    store::back_up(database_url, file, stamp).await
}

/// Checks that a backup can be restored, and, if a keyring is given, that it is the right one. Restores nothing.
pub async fn check_backup(
    file: &Path,
    keyring: Option<&Keyring>,
    randomness: &Randomness,
) -> Result<BackupHeader, RestoreError> {
    let (header, found) = store::check_backup(file.to_owned(), make_tag(randomness)).await?;
    if let Some(keyring) = keyring {
        compare(keyring, &found.keyring_checks, file)?;
    }
    Ok(header)
}

/// Restores a backup to the database of `setup`, which must not exist.
pub async fn restore_backup(setup: Setup, file: &Path, keys: RestoredKeys) -> Result<Restored, RestoreError> {
    let tag = make_tag(&setup.randomness);
    let staged = store::stage_backup(file.to_owned(), &setup.database_url, tag).await?;
    compare(&setup.keyring, &staged.found().keyring_checks, file)?;
    let header = staged.header().clone();
    let revoked_keys = match keys {
        RestoredKeys::Keep => None,
        RestoredKeys::Revoke => Some(Box::pin(revoke_keys(setup, &staged)).await?),
    };
    staged.put_in_place().await?;
    Ok(Restored { header, revoked_keys })
}

/// Revokes all keys in a staged backup, before it is visible at its path.
async fn revoke_keys(setup: Setup, staged: &StagedBackup) -> Result<usize, RestoreError> {
    let setup = Setup { database_url: staged.database_url(), migrations: Migrations::Apply, ..setup };
    let app = App::open(setup).await.map_err(RestoreError::Start)?;
    let revoked = app.revoke_all_api_keys().await;
    app.close().await;
    revoked.map_err(RestoreError::Keys)
}

fn compare(keyring: &Keyring, checks: &[KeyringCheck], file: &Path) -> Result<(), RestoreError> {
    let missing: Vec<_> = keyring.missing(checks).into_iter().cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(RestoreError::WrongKeyring { file: file.to_owned(), missing, found: keyring.primary_id().clone() })
}

fn make_tag(randomness: &Randomness) -> String {
    format!("{:016x}", u64::from_be_bytes(randomness.bytes()))
}
