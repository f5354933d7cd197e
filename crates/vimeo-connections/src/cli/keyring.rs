//! `keyring`: rotating the keys that wrap everything stored. And `account-key`, which replaces the key of one account.

use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

use app::{AccountKeyState, App, InDatabase, InKeyring, KeyringKeyStatus, Pace};
use clap::{Args, Subcommand};
use domain::account::Label;
use domain::secret::KeyringKeyId;
use seal::Randomness;
use seal::keyring::Keyring;
use serde_json::{Value, json};

use super::confirmation::Confirmation;
use super::{BoxError, Format, output};
use crate::config::{Config, KeyringSource};
use crate::keyring_source::{self, KeyringSourceError};
use crate::wiring;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the keys of the keyring and of the database, and how many accounts need each
    Status {
        #[command(flatten)]
        format: Format,
    },
    /// Add a new key to the keyring file and make it the primary one; nothing is encrypted with it yet
    ///
    /// Back up the file, copy it to every node, and have every node read it (SIGHUP, or a restart). Then run `keyring rewrap`.
    Rotate {
        #[command(flatten)]
        format: Format,
    },
    /// Wrap the keys of all accounts with the primary key, while the service runs; rerun to resume
    ///
    /// From then on every node needs the primary key, and new accounts are encrypted with it.
    Rewrap {
        #[command(flatten)]
        pace: PaceArguments,
        #[command(flatten)]
        format: Format,
    },
    /// Remove a key that nothing needs any more from the database and from the keyring file
    ///
    /// Backups made before `keyring rewrap` can only be restored with a keyring that has the key: keep a copy with them.
    Retire {
        /// The key's identifier, as `keyring status` shows it
        key: String,
        #[command(flatten)]
        confirmation: Confirmation,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Subcommand)]
pub(super) enum AccountKeyCommand {
    /// Replace the key of an account, while the service runs; rerun to resume
    ///
    /// Everything that is stored encrypted for the account is wrapped with a new key. The former key is deleted by the running
    /// service a day later, when the stored responses that need it have expired.
    Replace {
        /// The account's name
        #[arg(long, value_parser = Label::parse)]
        account: Label,
        #[command(flatten)]
        pace: PaceArguments,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Args)]
pub(super) struct PaceArguments {
    /// Rewrite at most this many rows a second, so that requests are not slowed down
    #[arg(long, value_name = "ROWS", default_value = "500")]
    pub(super) per_second: NonZeroU32,
}

pub(super) async fn run(config: &Config, command: Command) -> Result<ExitCode, BoxError> {
    if !matches!(command, Command::Rotate { .. }) {
        // Opening would create one, and everything would look as if nothing needed the old key.
        require_database(config).await?;
    }
    match command {
        Command::Status { format } => {
            super::administer(config, async |app| show_status(app, &format).await).await
        }
        Command::Rotate { format } => rotate(config, &format).await,
        Command::Rewrap { pace, format } => {
            super::administer(config, async |app| rewrap(app, &pace, &format).await).await
        }
        Command::Retire { key, confirmation, format } => {
            super::administer(config, async |app| retire(app, config, key, &confirmation, &format).await)
                .await
        }
    }
}

/// Fails if there is no database, or nothing was sealed in it yet.
pub(super) async fn require_database(config: &Config) -> Result<(), BoxError> {
    let found = app::inspect(&config.database_url).await?;
    if found.is_some_and(|found| found.service_secrets.is_some()) {
        return Ok(());
    }
    Err(format!(
        "the database {} does not exist, or nothing is in it yet: is database_url the one of the service?",
        config.database_url
    )
    .into())
}

pub(super) async fn run_account_key(app: &App, command: AccountKeyCommand) -> Result<ExitCode, BoxError> {
    let AccountKeyCommand::Replace { account, pace, format } = command;
    let account = app.find_account(&account).await?;
    let pace = Pace::per_second(pace.per_second);
    let progress = |done| output::report_progress(&format!("{done} values rewrapped"));
    let replaced = app.replace_account_key(&account, pace, progress).await;
    output::end_progress();
    let report = replaced?;
    let (state, until, damaged) = match report.state {
        AccountKeyState::Replaced { former_key_until } => ("replaced", Some(former_key_until.to_string()), 0),
        AccountKeyState::Damaged { values } => ("damaged", None, values),
    };
    if format.json {
        return output::print_json(&json!({
            "accountId": account.id.as_str(),
            "state": state,
            "resumed": report.is_resumed,
            "rewrapped": report.rewrapped,
            "formerKeyUntil": until,
            "damagedValues": damaged,
        }));
    }
    let done = if report.is_resumed { "Continued the replacement of" } else { "Replaced" };
    let rest = match until {
        Some(until) => format!(
            "The former key is needed only for stored responses; a running service deletes it after {until}."
        ),
        None => format!(
            "{damaged} values cannot be decrypted with either key, so the former key is kept. The database was damaged: \
             the warnings above name the records."
        ),
    };
    output::print(&format!(
        "{done} the key of the account {} (values rewrapped: {}).\n{rest}",
        account.name, report.rewrapped
    ))
}

/// The keyring file; a value in the configuration cannot be rotated.
fn file(config: &Config) -> Result<&Path, BoxError> {
    match &config.keyring {
        KeyringSource::File { path, .. } => Ok(path),
        KeyringSource::Value(_) => Err(KeyringSourceError::Value.into()),
    }
}

async fn rotate(config: &Config, format: &Format) -> Result<ExitCode, BoxError> {
    let path = file(config)?;
    // A keyring of another installation is not rotated by mistake.
    wiring::check_keyring(config).await?;
    let randomness = Randomness::system();
    let rotated = keyring_source::update(config, |keyring| Some(keyring.rotated(&randomness))).await?;
    let Some(keyring) = rotated else { return Ok(ExitCode::SUCCESS) };
    if format.json {
        return output::print_json(&json!({
            "file": path.display().to_string(),
            "primary": keyring.primary_id().to_string(),
            "keys": keyring.key_ids().map(ToString::to_string).collect::<Vec<_>>(),
        }));
    }
    output::print(&format!(
        "Added the key {} to {}. It is the primary key, and not in use yet.\n\
         Next:\n\
         1. Back up the file, separately from the database.\n\
         2. If there are several nodes, copy it to each.\n\
         3. Send SIGHUP to each running service (systemctl reload vimeo-connections).\n\
         4. vimeo-connections keyring rewrap",
        keyring.primary_id(),
        path.display()
    ))
}

async fn rewrap(app: &App, pace: &PaceArguments, format: &Format) -> Result<ExitCode, BoxError> {
    let progress = |done| output::report_progress(&format!("{done} accounts rewrapped"));
    let rewrapped = app.rewrap_account_keys(Pace::per_second(pace.per_second), progress).await;
    output::end_progress();
    let report = rewrapped?;
    let unneeded: Vec<_> = app
        .list_keyring_keys()
        .await?
        .into_iter()
        .filter(|key| !key.is_primary() && key.accounts == 0)
        .map(|key| key.id.to_string())
        .collect();
    if format.json {
        return output::print_json(&json!({
            "keyringKey": report.keyring_key.to_string(),
            "accounts": report.accounts,
            "unneededKeys": unneeded,
        }));
    }
    let next = match unneeded.first() {
        Some(key) => format!("\nNext: vimeo-connections keyring retire {key}"),
        None => String::new(),
    };
    output::print(&format!(
        "Everything is wrapped with {} now (accounts rewrapped: {}).{next}",
        report.keyring_key, report.accounts
    ))
}

async fn retire(
    app: &App,
    config: &Config,
    key: String,
    confirmation: &Confirmation,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let path = file(config)?;
    let key = KeyringKeyId(key);
    let status = app.check_retirable(&key).await?;
    let unused = match status.in_database {
        Some(_) => String::new(),
        None => format!(
            "the database {} has never used {key}, or it was retired there before; and ",
            config.database_url
        ),
    };
    let sentence = format!(
        "{unused}backups made before the last `keyring rewrap` can only be restored with a keyring that has {key}; keep a copy of \
         the keyring file with them"
    );
    confirmation.ask_word(&sentence, "retire")?;
    let without = |keyring: &Keyring| keyring.without(&key);
    let changed =
        app.retire_keyring_key(&key, async || keyring_source::update(config, without).await).await??;
    if format.json {
        return output::print_json(&json!({ "keyringKey": key.to_string(), "status": "retired" }));
    }
    let changed = if changed.is_some() { "removed from" } else { "not in" };
    output::print(&format!(
        "Retired the key {key}: the database does not need it any more, and it was {changed} {}.\n\
         If there are several nodes, copy the file to each, and send SIGHUP to each running service.",
        path.display()
    ))
}

async fn show_status(app: &App, format: &Format) -> Result<ExitCode, BoxError> {
    let keys = app.list_keyring_keys().await?;
    if format.json {
        return output::print_json(&Value::Array(keys.iter().map(key_json).collect()));
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            vec![
                key.id.to_string(),
                match key.in_keyring {
                    Some(InKeyring::Primary) => "primary".to_owned(),
                    Some(InKeyring::Other) => "yes".to_owned(),
                    None => "no".to_owned(),
                },
                match key.in_database {
                    Some(InDatabase::Active) => "active".to_owned(),
                    Some(InDatabase::Other) => "yes".to_owned(),
                    None => "no".to_owned(),
                },
                key.accounts.to_string(),
            ]
        })
        .collect();
    output::print_table(&["KEY", "IN THE KEYRING", "IN THE DATABASE", "ACCOUNTS"], &rows)?;
    match next_step(&keys) {
        Some(next) => output::print(&format!("\n{next}")),
        None => Ok(ExitCode::SUCCESS),
    }
}

fn key_json(key: &KeyringKeyStatus) -> Value {
    json!({
        "keyringKey": key.id.to_string(),
        "inKeyring": key.in_keyring.is_some(),
        "primary": key.is_primary(),
        "inDatabase": key.in_database.is_some(),
        "active": key.is_active(),
        "accounts": key.accounts,
    })
}

/// What is left to do of a rotation.
fn next_step(keys: &[KeyringKeyStatus]) -> Option<String> {
    let primary = keys.iter().find(|key| key.is_primary())?;
    if !primary.is_active() {
        return Some(format!(
            "The primary key {} is not in use yet. Next: when every node has it, vimeo-connections keyring rewrap",
            primary.id
        ));
    }
    let others = || keys.iter().filter(|key| !key.is_primary());
    if others().any(|key| key.accounts > 0) {
        return Some("Accounts need an earlier key. Next: vimeo-connections keyring rewrap".to_owned());
    }
    let unneeded = others().next()?;
    Some(format!("Nothing needs {}. Next: vimeo-connections keyring retire {}", unneeded.id, unneeded.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_names_the_next_step_of_a_rotation() {
        let key = |id: &str, is_primary, is_active, accounts| KeyringKeyStatus {
            id: KeyringKeyId(id.into()),
            in_keyring: Some(if is_primary { InKeyring::Primary } else { InKeyring::Other }),
            in_database: Some(if is_active { InDatabase::Active } else { InDatabase::Other }),
            accounts,
        };
        let next = |keys: &[KeyringKeyStatus]| next_step(keys).unwrap_or_default();
        assert_eq!(next(&[key("k_a", true, true, 3)]), "");
        let rotated = next(&[key("k_a", false, true, 3), key("k_b", true, false, 0)]);
        assert!(rotated.contains("k_b is not in use yet") && rotated.contains("rewrap"), "{rotated}");
        let rewrapping = next(&[key("k_a", false, false, 1), key("k_b", true, true, 2)]);
        assert!(rewrapping.contains("rewrap"), "{rewrapping}");
        let rewrapped = next(&[key("k_a", false, false, 0), key("k_b", true, true, 3)]);
        assert!(rewrapped.contains("retire k_a"), "{rewrapped}");
    }
}
