//! Where the keyring comes from: a file with plain keys, a file whose keys are encrypted by a holder, or a value.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::{DatabaseUrl, KeyringReadError, Repeat};
use async_trait::async_trait;
use key_holders::{FailureKind, Holder, HolderError, HolderKind};
use seal::Randomness;
use seal::keyring::{Keyring, KeyringError};
use seal::keyring_file::{self, GroupAccess, KeyringFileError, LockedKeyring};
use seal::sealed_keyring_file::{self, PlainKeyringKey, SealedKeyring, SealedKeyringError};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::config::{Config, KeyHolderConfig, KeyringSource};

/// What happens while the holder of the keyring's keys cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WhenUnavailable {
    /// For commands.
    Fail,
    /// For the service. Each attempt is logged.
    Wait,
}

/// Why there is no keyring. The messages are for operators.
#[derive(Debug, Error)]
pub(crate) enum KeyringSourceError {
    #[error(
        "there is no keyring file at {}. Run `vimeo-connections init` once: it creates the keyring, which encrypts \
         everything stored. If you had one before, set keyring.file (VIMEO_CONNECTIONS_KEYRING__FILE) to its \
         path",
        .0.display()
    )]
    NoKeyringYet(PathBuf),
    #[error(
        "there is no keyring file at {}, and the database {database_url} was sealed with {keys}. Nothing was changed. \
         Probably the service was started in a different directory, or the file was not mounted: set \
         keyring.file (VIMEO_CONNECTIONS_KEYRING__FILE) to its path, or restore it from its backup. Do not run \
         `init`: a new keyring cannot decrypt what an old one encrypted",
        path.display()
    )]
    KeyringLost { path: PathBuf, database_url: DatabaseUrl, keys: String },
    #[error("{0}. Nothing was changed. Correct the file, or restore it from its backup")]
    Damaged(KeyringFileError),
    #[error("{0}. Nothing was changed")]
    File(KeyringFileError),
    #[error("the keyring file {}: {source}. Nothing was changed", path.display())]
    Sealed { path: PathBuf, source: SealedKeyringError },
    /// What the holder decrypted does not match the file.
    #[error("the keyring file {}: {source}. Nothing was changed. Restore the keyring from its backup", path.display())]
    Decrypted { path: PathBuf, source: KeyringError },
    #[error(
        "the keys in the keyring file {} are encrypted by another holder ({found}) than keyring.holder names \
         ({configured}): change it",
        path.display()
    )]
    OtherHolder { path: PathBuf, found: &'static str, configured: &'static str },
    #[error("keyring.holder: {0}")]
    Holder(HolderError),
    #[error(
        "keyring.value is set: it has one key, and only a file can have several. Write a keyring file with this key (see \
         docs/operations.md), and set keyring.file to its path instead"
    )]
    Value,
    #[error(transparent)]
    Open(#[from] app::OpenError),
}

/// The keyring as configured.
pub(crate) async fn read(config: &Config, when: WhenUnavailable) -> Result<Keyring, KeyringSourceError> {
    match &config.keyring {
        KeyringSource::Value(keyring) => Ok(keyring.clone()),
        KeyringSource::File { path, group } => KeyringFile::of(config, path, *group).read(when).await,
    }
}

/// What a running service reads its keyring from again; `None` if it cannot change.
pub(crate) fn reader(config: &Config) -> Option<Arc<dyn app::KeyringSource>> {
    match &config.keyring {
        KeyringSource::Value(_) => None,
        KeyringSource::File { path, group } => Some(Arc::new(KeyringFile::of(config, path, *group))),
    }
}

/// Changes the keyring file, in the format that the configuration asks for. Two changes at once come one after the other.
/// `None`: `change` had nothing to change.
pub(crate) async fn update(
    config: &Config,
    change: impl FnOnce(&Keyring) -> Option<Keyring>,
) -> Result<Option<Keyring>, KeyringSourceError> {
    let KeyringSource::File { path, .. } = &config.keyring else {
        return Err(KeyringSourceError::Value);
    };
    let locked = LockedKeyring::lock(path).map_err(KeyringSourceError::File)?;
    let Some(keyring) = change(&read(config, WhenUnavailable::Fail).await?) else { return Ok(None) };
    let text = match &config.key_holder {
        None => keyring.to_text(),
        Some(KeyHolderConfig { holder, timeouts }) => {
            let holder = Holder::new(holder.clone(), *timeouts).map_err(KeyringSourceError::Holder)?;
            Zeroizing::new(protect(path, &keyring, &holder).await?)
        }
    };
    locked.replace(&text).map_err(KeyringSourceError::File)?;
    Ok(Some(keyring))
}

/// A keyring file, and what is needed to read it.
#[derive(Debug)]
struct KeyringFile {
    path: PathBuf,
    group: GroupAccess,
    key_holder: Option<KeyHolderConfig>,
    database_url: DatabaseUrl,
}

#[async_trait]
impl app::KeyringSource for KeyringFile {
    async fn read(&self) -> Result<Keyring, KeyringReadError> {
        KeyringFile::read(self, WhenUnavailable::Fail).await.map_err(|error| {
            let repeat = match &error {
                KeyringSourceError::Holder(error) if error.kind() != FailureKind::Unavailable => {
                    Repeat::Rarely
                }
                _ => Repeat::Soon,
            };
            KeyringReadError { error: error.into(), repeat }
        })
    }
}

impl KeyringFile {
    fn of(config: &Config, path: &Path, group: GroupAccess) -> Self {
        Self {
            path: path.to_owned(),
            group,
            key_holder: config.key_holder.clone(),
            database_url: config.database_url.clone(),
        }
    }

    async fn read(&self, when: WhenUnavailable) -> Result<Keyring, KeyringSourceError> {
        match read_file(&self.path, self.group)? {
            Some(File::Plain(keyring)) => {
                if let Some(KeyHolderConfig { holder, .. }) = &self.key_holder {
                    tracing::warn!(
                        file = %self.path.display(),
                        holder = holder.describe(),
                        "keyring.holder is set, but the keys in the keyring file are not encrypted"
                    );
                }
                Ok(keyring)
            }
            Some(File::Sealed(sealed)) => self.open(&sealed, when).await,
            None => Err(match sealed_with(&self.database_url).await? {
                Some(keys) => KeyringSourceError::KeyringLost {
                    path: self.path.clone(),
                    database_url: self.database_url.clone(),
                    keys,
                },
                None => KeyringSourceError::NoKeyringYet(self.path.clone()),
            }),
        }
    }

    async fn open(
        &self,
        sealed: &SealedKeyring,
        when: WhenUnavailable,
    ) -> Result<Keyring, KeyringSourceError> {
        let configured = self.key_holder.as_ref().map(|configured| configured.holder.kind());
        let other = |found: Option<HolderKind>| KeyringSourceError::OtherHolder {
            path: self.path.clone(),
            found: found.map_or("unknown to this version", HolderKind::as_str),
            configured: configured.map_or("none", HolderKind::as_str),
        };
        for found in sealed.entries.values().map(|text| HolderKind::of_text(text)) {
            if found.is_none() || found != configured {
                return Err(other(found));
            }
        }
        let Some(KeyHolderConfig { holder, timeouts }) = self.key_holder.clone() else {
            return Err(other(None));
        };
        let holder = Holder::new(holder, timeouts).map_err(KeyringSourceError::Holder)?;
        let mut attempt = 0_u32;
        loop {
            let error = match open(&self.path, sealed, &holder).await {
                Err(KeyringSourceError::Holder(error)) if error.kind() == FailureKind::Unavailable => error,
                opened => return opened,
            };
            if when == WhenUnavailable::Fail {
                return Err(KeyringSourceError::Holder(error));
            }
            let delay = key_holders::wait_before(attempt, u16::from_be_bytes(Randomness::system().bytes()));
            attempt = attempt.saturating_add(1);
            tracing::warn!(
                %error,
                attempt,
                retry_in_seconds = delay.as_secs_f32(),
                "waiting for the holder of the keyring's keys: the service has not started"
            );
            tokio::time::sleep(delay).await;
        }
    }
}

/// Creates the keyring file, in the format that the configuration asks for. Returns the holder that encrypted it.
pub(crate) async fn create(
    config: &Config,
    path: &Path,
    keyring: &Keyring,
    randomness: &Randomness,
) -> Result<Option<String>, KeyringSourceError> {
    let Some(KeyHolderConfig { holder, timeouts }) = &config.key_holder else {
        keyring_file::create(path, &keyring.to_text(), randomness).map_err(KeyringSourceError::File)?;
        return Ok(None);
    };
    if path.symlink_metadata().is_ok() {
        return Err(KeyringSourceError::File(KeyringFileError::Exists(path.to_owned())));
    }
    let holder = Holder::new(holder.clone(), *timeouts).map_err(KeyringSourceError::Holder)?;
    let text = protect(path, keyring, &holder).await?;
    keyring_file::create(path, &text, randomness).map_err(KeyringSourceError::File)?;
    Ok(Some(holder.describe().to_owned()))
}

/// The content of a keyring file whose keys are encrypted by this holder, which has decrypted them again: a holder may allow
/// the one and not the other, and the plain keys are gone afterwards.
async fn protect(path: &Path, keyring: &Keyring, holder: &Holder) -> Result<String, KeyringSourceError> {
    let mut entries = BTreeMap::new();
    for (id, key) in sealed_keyring_file::keys_of(keyring) {
        let text = holder.encrypt(&id.0, key.expose()).await.map_err(KeyringSourceError::Holder)?;
        entries.insert(id, text);
    }
    let sealed = SealedKeyring { primary: keyring.primary_id().clone(), entries };
    open(path, &sealed, holder).await?;
    Ok(sealed.to_text())
}

/// The keyring in a file whose keys are encrypted by this holder.
async fn open(path: &Path, sealed: &SealedKeyring, holder: &Holder) -> Result<Keyring, KeyringSourceError> {
    let mut decrypted = BTreeMap::new();
    for (id, text) in &sealed.entries {
        let key = holder.decrypt(&id.0, text).await.map_err(KeyringSourceError::Holder)?;
        decrypted.insert(id.clone(), PlainKeyringKey::from(key));
    }
    let failed = |source| KeyringSourceError::Decrypted { path: path.to_owned(), source };
    sealed.open(decrypted).map_err(failed)
}

/// The keys that a database was sealed with, for a message; `None` if there is no such database.
pub(crate) async fn sealed_with(database_url: &DatabaseUrl) -> Result<Option<String>, app::OpenError> {
    let checks = app::inspect(database_url).await?.map_or_else(Vec::new, |found| found.keyring_checks);
    Ok((!checks.is_empty()).then(|| app::describe_keys(checks.iter().map(|check| &check.keyring_key))))
}

/// A keyring file of either format.
enum File {
    Plain(Keyring),
    Sealed(SealedKeyring),
}

/// `None` if there is no file.
fn read_file(path: &Path, group: GroupAccess) -> Result<Option<File>, KeyringSourceError> {
    let text = match keyring_file::read_text(path, group) {
        Ok(text) => text,
        Err(KeyringFileError::Absent(_)) => return Ok(None),
        Err(error @ KeyringFileError::Content { .. }) => return Err(KeyringSourceError::Damaged(error)),
        Err(error) => return Err(KeyringSourceError::File(error)),
    };
    let error = match keyring_file::parse(path, &text) {
        Ok(keyring) => return Ok(Some(File::Plain(keyring))),
        Err(error) => error,
    };
    // What is not of format 1 may be of format 2.
    match SealedKeyring::parse(&text) {
        Ok(sealed) => Ok(Some(File::Sealed(sealed))),
        Err(SealedKeyringError::OtherFormat(_) | SealedKeyringError::Malformed { .. }) => {
            Err(KeyringSourceError::Damaged(error))
        }
        Err(source) => Err(KeyringSourceError::Sealed { path: path.to_owned(), source }),
    }
}
