//! `keys`.

use std::io::Read as _;
use std::process::ExitCode;

use app::{App, KeyOptions, NewApiKey};
use clap::{Args, Subcommand};
use domain::account::{Account, Label};
use domain::api_key::{ApiKey, KEY_PREFIX, KeyStatus, PlainKey};
use domain::id::ApiKeyId;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{BoxError, Format, output};
use crate::prepare::parse_key;

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
    /// Revoke a key; it stops working within a second
    Revoke {
        /// The key's ID, as shown by `keys list` (not the key itself)
        id: String,
        #[command(flatten)]
        format: Format,
    },
}

#[derive(Args)]
pub(super) struct NewKey {
    /// The account's name
    #[arg(long, value_parser = Label::parse)]
    account: Label,
    /// A name for the key
    #[arg(long, value_parser = Label::parse, default_value = "api key")]
    name: Label,
    /// Days until the key expires; 0 creates one that has already expired, for tests [default: never]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    expires_in_days: Option<u32>,
}

pub(super) async fn run(app: &App, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Create { options, format } => {
            let account = app.find_account(&options.account).await?;
            let created = app.create_api_key(&account, options.into()).await?;
            let shown = print_new(&created, &account, &format);
            if shown.is_err() {
                // The key was not shown, so it must not be valid.
                app.revoke_api_key(&created.key.id).await?;
            }
            shown
        }
        Command::Import { options, format } => {
            let account = app.find_account(&options.account).await?;
            let plain = read_key()?;
            let key = app.import_api_key(&account, &plain, options.into()).await?;
            if format.json {
                return output::print_json(&shown(&key, KeyStatus::Active, account.name.as_str()));
            }
            output::print(&format!("Imported the key as {} of {}.", key.id, account.name))
        }
        Command::List { account, format } => list(app, account, &format).await,
        Command::Revoke { id, format } => {
            // The error about an unknown ID would show the key.
            if id.contains(KEY_PREFIX) {
                return Err("that is a key, and it is now in your shell's history; revoke it by its ID, \
                            which `vimeo-connections keys list` shows"
                    .into());
            }
            let key = app.revoke_api_key(&ApiKeyId::from_stored(id)).await?;
            if format.json {
                return output::print_json(&json!({ "keyId": key.id.as_str(), "status": "revoked" }));
            }
            output::print(&format!("Revoked the key {} ({}, ends in {}).", key.id, key.name, key.last_four))
        }
    }
}

impl From<NewKey> for KeyOptions {
    fn from(options: NewKey) -> Self {
        Self { name: options.name, expires_in_days: options.expires_in_days }
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
    output::print(&format!(
        "{}\n\nThis is the key {} of {}, shown only once: only a keyed hash of it is stored.",
        created.plain.expose(),
        created.key.id,
        account.name
    ))
}

fn read_key() -> Result<PlainKey, BoxError> {
    let mut text = Zeroizing::new(String::new());
    std::io::stdin().take(INPUT_MAX_BYTES).read_to_string(&mut text)?;
    parse_key(&text).map_err(|error| format!("standard input contains no valid API key: {error}").into())
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
                status_text(status).to_owned(),
                key.expires_at.map_or_else(|| "never".to_owned(), |at| at.to_string()),
            ]);
            items.push(shown(&key, status, account.name.as_str()));
        }
    }
    if format.json {
        return output::print_json(&json!(items));
    }
    output::print_table(&["KEY ID", "ACCOUNT", "NAME", "ENDS IN", "STATUS", "EXPIRES"], &rows)
}

fn shown(key: &ApiKey, status: KeyStatus, account: &str) -> Value {
    json!({
        "keyId": key.id.as_str(),
        "account": account,
        "accountId": key.account_id.as_str(),
        "name": key.name.as_str(),
        "lastFour": key.last_four,
        "status": status_text(status),
        "createdDate": key.created_at.to_string(),
        "expiresDate": key.expires_at.map(|at| at.to_string()),
    })
}

fn status_text(status: KeyStatus) -> &'static str {
    match status {
        KeyStatus::Active => "active",
        KeyStatus::Expired => "expired",
        KeyStatus::Revoked => "revoked",
        KeyStatus::Tampered => "unproven",
    }
}
