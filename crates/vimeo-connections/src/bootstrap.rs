//! The account and the API key that the configuration names: created at the start, unless they exist.

use std::io;
use std::path::Path;

use app::{AccountError, App, Clock, ImportError, KeyOptions};
use domain::account::{Account, Label};
use domain::api_key::{KeyStatus, PlainKey};
use domain::scope::Scopes;
use seal::{Randomness, secret_file};
use zeroize::Zeroizing;

use crate::cli::BoxError;
use crate::config::Bootstrap;
use crate::prepare;
use crate::serve::ServeError;

/// The name of a bootstrapped key.
const BOOTSTRAP_KEY_NAME: &str = "bootstrap";

/// Creates the configured account and key, unless they exist.
pub(crate) async fn create(app: &App, bootstrap: &Bootstrap) -> Result<(), BoxError> {
    let account = find_or_create_account(app, &bootstrap.account).await?;
    let Some(path) = &bootstrap.api_key_file else { return Ok(()) };
    let plain = read_or_create_key(path)?;
    let options =
        KeyOptions { name: Label::parse(BOOTSTRAP_KEY_NAME)?, scopes: Scopes::ALL, expires_in_days: None };
    if app.find_api_key(&plain).await?.is_none() {
        match app.import_api_key(&account, &plain, options).await {
            Ok(key) => tracing::info!(api_key = %key.id, "the bootstrap key was imported"),
            // Another node was first.
            Err(ImportError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let known = app.find_api_key(&plain).await?;
    let Some(key) = known.filter(|key| key.account_id == account.id) else {
        let reason = "the key in it belongs to another account".to_owned();
        return Err(ServeError::Key { path: path.clone(), reason }.into());
    };
    let status = key.status(Clock::system().now());
    if status != KeyStatus::Active {
        tracing::warn!(api_key = %key.id, ?status, "the bootstrap key is not active and was left unchanged");
    }
    Ok(())
}

async fn find_or_create_account(app: &App, name: &Label) -> Result<Account, AccountError> {
    match app.find_account(name).await {
        Err(AccountError::Unknown(_)) => {}
        found => return found,
    }
    match app.create_account(name.clone()).await {
        Ok(account) => {
            tracing::info!(account = %account.id, "the bootstrap account was created");
            Ok(account)
        }
        // Another node was first.
        Err(AccountError::Exists(_)) => app.find_account(name).await,
        Err(error) => Err(error),
    }
}

/// The key in the file. If the file does not exist, a new key is written there before it becomes valid, so that the
/// next start finds it after any interruption.
fn read_or_create_key(path: &Path) -> Result<PlainKey, BoxError> {
    if let Some(plain) = prepare::read_key_file(path)? {
        return Ok(plain);
    }
    let randomness = Randomness::system();
    let plain = PlainKey::from_random(randomness.bytes());
    let line = Zeroizing::new(format!("{}\n", plain.expose()));
    match secret_file::create(path, line.as_bytes(), &randomness) {
        Ok(()) => Ok(plain),
        // Another node was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_or_create_key(path),
        Err(source) => Err(ServeError::KeyFile { path: path.to_owned(), source }.into()),
    }
}
