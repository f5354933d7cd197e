//! `keys inspect`: whether a text is a key of this service, and whose.

use std::process::ExitCode;

use app::{App, Caller};
use domain::account::Account;
use domain::api_key::{ApiKey, KeyStatus, PlainKey};
use serde_json::{Value, json};

use super::pasted::find_key;
use super::{BoxError, Format, output, read_input, scopes_text, shown};

/// Whether the key is revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revoke {
    No,
    /// If the service knows it.
    IfKnown,
}

/// What the form of a text says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// It cannot be a key.
    NoKey,
    /// It can be an imported key; it was not created by a service like this one, or has a typing error.
    WithoutChecksum,
    /// Its checksum is right: some service like this one created it.
    WithChecksum,
}

/// Reads the text, reports on it, and revokes the key if asked to. The exit status is 1 if no account has the key.
pub(super) async fn run(app: &App, revoke: Revoke, format: &Format) -> Result<ExitCode, BoxError> {
    let plain = find_key(&read_input()?)?;
    let form = form_of(plain.as_ref());
    let found = match &plain {
        Some(plain) => find(app, plain).await?,
        None => None,
    };
    let Some((account, key)) = found else {
        if format.json {
            output::print_json(&json!({ "known": false, "form": form.as_str() }))?;
        } else {
            output::print(form.of_unknown())?;
        }
        return Ok(ExitCode::FAILURE);
    };
    let (mut key, mut status) = app.find_own_api_key(&Caller::operator_for(&account), &key.id).await?;
    if revoke == Revoke::IfKnown {
        key = app.revoke_api_key(&Caller::operator_for(&account), &key.id).await?;
        status = KeyStatus::Revoked;
    }
    if format.json {
        let mut about = shown(&key, status, account.name.as_str());
        if let Some(object) = about.as_object_mut() {
            object.insert("known".to_owned(), Value::Bool(true));
            object.insert("form".to_owned(), json!(form.as_str()));
        }
        return output::print_json(&about);
    }
    output::print(&text(&key, status, &account))
}

async fn find(app: &App, plain: &PlainKey) -> Result<Option<(Account, ApiKey)>, BoxError> {
    let Some(key) = app.find_api_key(plain).await? else { return Ok(None) };
    let accounts = app.list_accounts().await?;
    Ok(accounts.into_iter().find(|account| account.id == key.account_id).map(|account| (account, key)))
}

fn form_of(plain: Option<&PlainKey>) -> Form {
    match plain {
        None => Form::NoKey,
        Some(plain) if plain.has_checksum() => Form::WithChecksum,
        Some(_) => Form::WithoutChecksum,
    }
}

impl Form {
    fn as_str(self) -> &'static str {
        match self {
            Self::NoKey => "not a key",
            Self::WithoutChecksum => "without checksum",
            Self::WithChecksum => "valid checksum",
        }
    }

    fn of_unknown(self) -> &'static str {
        match self {
            Self::NoKey => {
                "This is not an API key: a key is `pictai_` and 8 to 200 visible ASCII characters."
            }
            Self::WithoutChecksum => {
                "No account has this key. Its checksum does not match: it was mistyped or cut, or made elsewhere."
            }
            Self::WithChecksum => {
                "No account has this key, but its checksum matches: another installation created it, or its account was deleted."
            }
        }
    }
}

fn text(key: &ApiKey, status: KeyStatus, account: &Account) -> String {
    let date =
        |at: Option<domain::time::Timestamp>| at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    format!(
        "{} is the key {} of {}.\n  status     {}\n  scopes     {}\n  created    {}\n  expires    {}\n  last used  {}",
        key.id,
        key.name,
        account.name,
        status.as_str(),
        scopes_text(key.scopes()),
        key.created_at,
        date(key.expires_at),
        date(key.last_used_at),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_text_is_no_key_a_key_or_a_key_with_a_checksum() {
        let generated = PlainKey::from_random([7; 32]);
        assert_eq!(form_of(Some(&generated)), Form::WithChecksum);
        assert_eq!(form_of(PlainKey::parse("pictai_12345678").ok().as_ref()), Form::WithoutChecksum);
        assert_eq!(form_of(PlainKey::parse("sk_12345678").ok().as_ref()), Form::NoKey);
    }
}
