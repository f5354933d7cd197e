//! Backups: made without the keyring, restored only with it.

use std::path::{Path, PathBuf};

use domain::secret::{KeyringCheck, KeyringKeyId};
use seal::Randomness;
use seal::keyring::Keyring;
use store::{BackupError, BackupHeader, BackupStamp, DatabaseUrl, Migrations, StagedBackup};
use thiserror::Error;

use crate::{App, Clock, Error, Setup, StartError, keys_in_words};

/// What becomes of the API keys in a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoredKeys {
    /// They let their holders in as they did when the backup was made.
    Keep,
    /// All are revoked before the database is in its place.
    Revoke,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// What the backup says of itself.
    pub header: BackupHeader,
    /// How many keys were revoked, if they were to be.
    pub revoked_keys: Option<usize>,
}

/// Why a backup was not restored. The sentences are for the operator.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The backup was sealed with keys that the keyring does not hold.
    #[error(
        "the keyring is not the one that the backup {} was sealed with. The backup needs {}; the keyring's primary key \
         is {found}. Nothing was changed. Put the right keyring where keyring.file says, from its own backup if need \
         be. Without it the stored credentials cannot be opened, by anybody",
        file.display(),
        keys_in_words(missing)
    )]
    WrongKeyring {
        /// The backup.
        file: PathBuf,
        /// The keys that are missing.
        missing: Vec<KeyringKeyId>,
        /// The key that the keyring does hold.
        found: KeyringKeyId,
    },
    /// The backup is not good, or its place is taken.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The database in the backup does not open.
    #[error("{0}. Nothing was restored")]
    Start(#[source] StartError),
    /// The keys could not be revoked.
    #[error("the API keys in the backup could not be revoked, and so nothing was restored")]
    Keys(#[source] Error),
}

/// Copies the database, as it is at one moment, into a new file. Needs no keyring: nothing is opened.
pub async fn back_up(
    database_url: &DatabaseUrl,
    file: PathBuf,
    clock: &Clock,
    randomness: &Randomness,
) -> Result<BackupHeader, BackupError> {
    let stamp = BackupStamp { at: clock.now(), tag: make_tag(randomness) };
    store::back_up(database_url, file, stamp).await
}

/// Whether a backup could be restored, with this keyring if there is one at hand. Restores nothing.
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

/// Puts the database of a backup where `setup` says that the database is, if there is none yet.
pub async fn restore_backup(setup: Setup, file: &Path, keys: RestoredKeys) -> Result<Restored, RestoreError> {
    let tag = make_tag(&setup.randomness);
    let staged = store::stage_backup(file.to_owned(), &setup.database_url, tag).await?;
    compare(&setup.keyring, &staged.found().keyring_checks, file)?;
    let header = staged.header().clone();
    let revoked_keys = match keys {
        RestoredKeys::Keep => None,
        RestoredKeys::Revoke => Some(revoke_keys(setup, &staged).await?),
    };
    staged.put_in_place().await?;
    Ok(Restored { header, revoked_keys })
}

/// The database has another name meanwhile: under its own it is never seen with keys that were to be revoked.
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
