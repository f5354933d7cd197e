//! `keys`.

mod inspect;
mod pasted;
mod remote;

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use app::{App, Caller, KeyOptions, NewApiKey, RotateOptions};
use clap::{Args, Subcommand};
use domain::account::{Account, Label};
use domain::api_key::{ApiKey, KEY_PREFIX, KeyStatus, PlainKey};
use domain::id::ApiKeyId;
use domain::scope::{Scope, Scopes};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::backend::UsageError;
use super::{BoxError, Format, output};
use crate::prepare::parse_key;
use inspect::Revoke;

pub(super) use remote::run as run_remotely;

const COLUMNS: [&str; 8] =
    ["KEY ID", "ACCOUNT", "NAME", "ENDS IN", "STATUS", "SCOPES", "EXPIRES", "LAST USED"];
const KEY_IN_HISTORY: &str = "that is a key, and it is now in your shell's history: revoke it with \
                              `vimeo-connections keys inspect --revoke`, which reads it from standard input";
/// Limit for a key on standard input.
const INPUT_MAX_BYTES: u64 = 4096;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an API key; it is shown only once
    Create {
        #[command(flatten)]
        options: NewKey,
        #[command(flatten)]
        format: Format,
    },
    /// Import an existing API key from standard input
    Import {
        #[command(flatten)]
        options: NewKey,
        #[command(flatten)]
        format: Format,
    },
    /// List keys: of one account, or of all
    List {
        /// The account's name
        #[arg(long, value_parser = Label::parse)]
        account: Option<Label>,
        #[command(flatten)]
        format: Format,
    },
    /// Rename a key
    Rename {
        #[command(flatten)]
        key: KeySelector,
        /// The new name
        #[arg(long, value_parser = Label::parse)]
        to: Label,
        #[command(flatten)]
        format: Format,
    },
    /// Create a key's successor, shown only once; the old key expires after an overlap
    Rotate {
        #[command(flatten)]
        key: KeySelector,
        /// Seconds for which the old key remains valid
        #[arg(long, value_name = "SECONDS", default_value_t = 86_400, value_parser = clap::value_parser!(u32).range(0..=2_592_000))]
        overlap_seconds: u32,
        /// Days until the new key expires [default: when the old one would have]
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
        expires_in_days: Option<u32>,
        #[command(flatten)]
        format: Format,
    },
    /// Revoke a key; it stops working within a second
    Revoke {
        #[command(flatten)]
        key: KeySelector,
        #[command(flatten)]
        format: Format,
    },
    /// Report whether the key in a text on standard input is one of this service, and whose
    Inspect {
        /// Revoke it as well
        #[arg(long)]
        revoke: bool,
        #[command(flatten)]
        format: Format,
    },
}

/// A stored key.
#[derive(Args)]
pub(super) struct KeySelector {
    /// The key's ID or name, as shown by `keys list` (not the key itself)
    #[arg(value_name = "ID_OR_NAME")]
    key: String,
    /// The name of its account, if several accounts have a key of that name
    #[arg(long, value_parser = Label::parse)]
    account: Option<Label>,
}

#[derive(Args)]
pub(super) struct NewKey {
    /// The account's name; required for the database, and not for a remote service
    #[arg(long, value_parser = Label::parse)]
    account: Option<Label>,
    /// A name for the key
    #[arg(long, value_parser = Label::parse, default_value = "api key")]
    name: Label,
    /// What the key allows, separated by commas [default: everything]
    #[arg(long, value_name = "SCOPES", value_delimiter = ',', value_parser = Scope::parse)]
    scopes: Vec<Scope>,
    /// Days until the key expires; 0 creates one that has already expired, for tests [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    expires_in_days: Option<u32>,
}

pub(super) async fn run(app: &App, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Create { options, format } => {
            let account = options.find_account(app).await?;
            let caller = Caller::operator_for(&account);
            let created = app.create_api_key(&caller, options.into()).await?;
            show_new(app, &account, &created, &format).await
        }
        Command::Import { options, format } => {
            let account = options.find_account(app).await?;
            let plain = read_key()?;
            let key = app.import_api_key(&account, &plain, options.into()).await?;
            if format.json {
                return output::print_json(&shown(&key, KeyStatus::Active, account.name.as_str()));
            }
            output::print(&format!("Imported the key as {} of {}.", key.id, account.name))
        }
        Command::List { account, format } => list(app, account, &format).await,
        Command::Rename { key, to, format } => {
            let (account, key) = select(app, &key).await?;
            let (key, status) = app.rename_api_key(&Caller::operator_for(&account), &key.id, to).await?;
            if format.json {
                return output::print_json(&shown(&key, status, account.name.as_str()));
            }
            output::print(&format!("Renamed the key {} to {}.", key.id, key.name))
        }
        Command::Rotate { key, overlap_seconds, expires_in_days, format } => {
            let (account, key) = select(app, &key).await?;
            let overlap = Duration::from_secs(overlap_seconds.into());
            let options = RotateOptions { overlap, expires_in_days };
            let created = app.rotate_api_key(&Caller::operator_for(&account), &key.id, options).await;
            let created = created.map_err(|error| not_active(error, &key.id))?;
            show_new(app, &account, &created, &format).await
        }
        Command::Revoke { key, format } => {
            let (account, key) = select(app, &key).await?;
            let key = app.revoke_api_key(&Caller::operator_for(&account), &key.id).await?;
            if format.json {
                return output::print_json(&json!({ "keyId": key.id.as_str(), "status": "revoked" }));
            }
            output::print(&revoked_text(key.id.as_str(), key.name.as_str(), &key.last_four))
        }
        Command::Inspect { revoke, format } => {
            let revoke = if revoke { Revoke::IfKnown } else { Revoke::No };
            inspect::run(app, revoke, &format).await
        }
    }
}

impl NewKey {
    async fn find_account(&self, app: &App) -> Result<Account, BoxError> {
        Ok(app.find_account(self.account.as_ref().ok_or(UsageError::AccountMissing)?).await?)
    }
}

/// The key that a selector names, and its account.
async fn select(app: &App, selector: &KeySelector) -> Result<(Account, ApiKey), BoxError> {
    let KeySelector { key: wanted, account } = selector;
    // An error about an unknown name would show the key.
    if wanted.contains(KEY_PREFIX) {
        return Err(KEY_IN_HISTORY.into());
    }
    let accounts = match account {
        Some(name) => vec![app.find_account(name).await?],
        None => app.list_accounts().await?,
    };
    let name = Label::parse(wanted).ok();
    let mut found = Vec::new();
    for account in accounts {
        for (key, status) in app.list_api_keys(&account).await? {
            if key.id.as_str() == wanted {
                return Ok((account, key));
            }
            if name.as_ref() == Some(&key.name) {
                found.push((account.clone(), key, status));
            }
        }
    }
    let is_active = |(_, _, status): &(Account, ApiKey, KeyStatus)| *status == KeyStatus::Active;
    let (account, key, _) =
        only_one(wanted, found, is_active, |(account, key, _)| format!("{} of {}", key.id, account.name))?;
    Ok((account, key))
}

/// The key that a name means: of several with that name the active one, because the others may be its predecessors.
fn only_one<K>(
    wanted: &str,
    mut named: Vec<K>,
    is_active: impl Fn(&K) -> bool,
    describe: impl Fn(&K) -> String,
) -> Result<K, BoxError> {
    if named.len() > 1 && named.iter().any(&is_active) {
        named.retain(&is_active);
    }
    match (named.pop(), named.as_slice()) {
        (None, _) => {
            Err(format!("no key has the ID or name {wanted}; `vimeo-connections keys list` shows them")
                .into())
        }
        (Some(key), []) => Ok(key),
        (Some(last), others) => {
            let ids: Vec<_> = others.iter().chain([&last]).map(describe).collect();
            Err(format!("several keys are called {wanted}: {}; name one by its ID", ids.join(", ")).into())
        }
    }
}

fn revoked_text(id: &str, name: &str, last_four: &str) -> String {
    format!("Revoked the key {id} ({name}, ends in {last_four}).")
}

fn new_key_text(key: &str, id: &str, account: &str) -> String {
    format!("{key}\n\nThis is the key {id} of {account}, shown only once: only a keyed hash of it is stored.")
}

fn not_active(error: app::Error, id: &ApiKeyId) -> BoxError {
    match error {
        app::Error::ApiKeyNotActive => {
            format!("the key {id} is expired or revoked, and cannot be rotated; create a new one").into()
        }
        error => error.into(),
    }
}

/// Prints a new key. If that fails, the key was not shown, so it must not be valid.
async fn show_new(
    app: &App,
    account: &Account,
    created: &NewApiKey,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let shown = print_new(created, account, format);
    if shown.is_err() {
        let revoked = app.revoke_api_key(&Caller::operator_for(account), &created.key.id).await;
        revoked.map_err(|error| not_revoked(created.key.id.as_str(), &error.into()))?;
    }
    shown
}

/// The error about a new key that could neither be printed nor revoked.
fn not_revoked(id: &str, error: &BoxError) -> BoxError {
    format!(
        "the new key {id} could not be printed, and is still valid because it could not be revoked: {error}"
    )
    .into()
}

impl From<NewKey> for KeyOptions {
    fn from(options: NewKey) -> Self {
        let scopes =
            if options.scopes.is_empty() { Scopes::ALL } else { options.scopes.into_iter().collect() };
        Self { name: options.name, scopes, expires_in_days: options.expires_in_days }
    }
}

/// Prints a new key. It is shown only this once.
fn print_new(created: &NewApiKey, account: &Account, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        let mut shown = shown(&created.key, KeyStatus::Active, account.name.as_str());
        if let Some(object) = shown.as_object_mut() {
            object.remove("status");
            object.insert("key".to_owned(), json!(created.plain.expose()));
        }
        return output::print_json(&shown);
    }
    output::print(&new_key_text(created.plain.expose(), created.key.id.as_str(), account.name.as_str()))
}

fn read_key() -> Result<PlainKey, BoxError> {
    parse_key(&read_input()?)
        .map_err(|error| format!("standard input contains no valid API key: {error}").into())
}

/// The text on standard input, which may be a key.
fn read_input() -> Result<Zeroizing<String>, BoxError> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(INPUT_MAX_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

async fn list(app: &App, account: Option<Label>, format: &Format) -> Result<ExitCode, BoxError> {
    let accounts: Vec<Account> = match account {
        Some(name) => vec![app.find_account(&name).await?],
        None => app.list_accounts().await?,
    };
    let (mut items, mut rows) = (Vec::new(), Vec::new());
    for account in &accounts {
        for (key, status) in app.list_api_keys(account).await? {
            rows.push(vec![
                key.id.to_string(),
                account.name.to_string(),
                key.name.to_string(),
                format!("…{}", key.last_four),
                status.as_str().to_owned(),
                scopes_text(key.scopes()),
                key.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
                key.last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
            ]);
            items.push(shown(&key, status, account.name.as_str()));
        }
    }
    if format.json {
        return output::print_json(&json!(items));
    }
    output::print_table(&COLUMNS, &rows)
}

/// A key in JSON: the object of the API, and its account.
pub(super) fn shown(key: &ApiKey, status: KeyStatus, account: &str) -> Value {
    let mut shown = web::api_key_object(key, status);
    if let Some(object) = shown.as_object_mut() {
        object.insert("account".to_owned(), json!(account));
        object.insert("accountId".to_owned(), json!(key.account_id.as_str()));
    }
    shown
}

fn scopes_text(scopes: Scopes) -> String {
    scope_names_text(&scopes.iter().map(Scope::as_str).collect::<Vec<_>>())
}

/// The scopes of a key, to read: "all", or their names.
fn scope_names_text<S: AsRef<str>>(scopes: &[S]) -> String {
    let names: Vec<_> = scopes.iter().map(S::as_ref).collect();
    let is_complete = Scopes::ALL.iter().all(|scope| names.contains(&scope.as_str()));
    if is_complete { "all".to_owned() } else { names.join(",") }
}
