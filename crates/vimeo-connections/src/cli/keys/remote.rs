//! `keys` on a remote service, through its API. The account is that of the API key.

use std::process::ExitCode;

use domain::api_key::{KEY_PREFIX, KeyStatus};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::pasted::find_key;
use super::{Command, KEY_IN_HISTORY, KeySelector, NewKey, read_input};
use crate::cli::backend::UsageError;
use crate::cli::output::on_one_line;
use crate::cli::{BoxError, Format, output};
use crate::client::{ApiClient, Call, Identity};

const COLLECTION: [&str; 2] = ["v1", "api-keys"];
const UNAUTHORIZED: &str = "UNAUTHORIZED";

/// A key as the API presents it.
#[derive(Debug, Clone)]
struct KeyView {
    json: Value,
    fields: Fields,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields {
    key_id: String,
    name: String,
    last_four: String,
    status: String,
    scopes: Vec<String>,
    expires_date: Option<String>,
    last_used_date: Option<String>,
}

impl KeyView {
    /// With the account, as on the database.
    fn parse(mut json: Value, account: &Identity) -> Result<Self, serde_json::Error> {
        let fields = Fields::deserialize(&json)?;
        if let Some(object) = json.as_object_mut() {
            object.insert("account".to_owned(), json!(account.account_name));
            object.insert("accountId".to_owned(), json!(account.account_id));
        }
        Ok(Self { json, fields })
    }

    fn row(&self, account: &Identity) -> Vec<String> {
        let fields = &self.fields;
        let date = |date: &Option<String>| date.clone().unwrap_or_else(|| "never".to_owned());
        let cells = [
            fields.key_id.clone(),
            account.account_name.clone(),
            fields.name.clone(),
            format!("…{}", fields.last_four),
            fields.status.clone(),
            super::scope_names_text(&fields.scopes),
            date(&fields.expires_date),
            date(&fields.last_used_date),
        ];
        cells.iter().map(|cell| on_one_line(cell)).collect()
    }
}

pub(in crate::cli) async fn run(client: &ApiClient, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Create { options, format } => create(client, options, &format).await,
        Command::Import { .. } => Err(UsageError::NeedsDatabase.into()),
        Command::List { account, format } => {
            if account.is_some() {
                return Err(UsageError::AccountUnused.into());
            }
            let (account, keys) = list(client).await?;
            if format.json {
                return output::print_json(&json!(keys.iter().map(|key| &key.json).collect::<Vec<_>>()));
            }
            let rows: Vec<_> = keys.iter().map(|key| key.row(&account)).collect();
            output::print_table(&super::COLUMNS, &rows)
        }
        Command::Rename { key, to, format } => {
            let key = select(client, &key).await?;
            let body = json!({ "name": to.as_str() });
            let renamed = send(client, Method::PATCH, &[&key.fields.key_id], Some(&body)).await?;
            if format.json {
                return output::print_json(&KeyView::parse(renamed, &client.whoami().await?)?.json);
            }
            output::print(&format!("Renamed the key {} to {to}.", on_one_line(&key.fields.key_id)))
        }
        Command::Rotate { key, overlap_seconds, expires_in_days, format } => {
            let key = select(client, &key).await?;
            // Before: the key that sends this may be the one that is rotated.
            let account = client.whoami().await?;
            let mut body = json!({ "overlapSeconds": overlap_seconds });
            add(&mut body, "expiresInDays", expires_in_days.map(|days| json!(days)));
            let created = send(client, Method::POST, &[&key.fields.key_id, "rotate"], Some(&body)).await?;
            show_new(client, created, &account, &format).await
        }
        Command::Revoke { key, format } => {
            let key = select(client, &key).await?;
            revoke(client, &key.fields.key_id).await?;
            let Fields { key_id, name, last_four, .. } = &key.fields;
            if format.json {
                return output::print_json(&json!({ "keyId": key_id, "status": "revoked" }));
            }
            output::print(&on_one_line(&super::revoked_text(key_id, name, last_four)))
        }
        Command::Inspect { revoke, format } => inspect(client, revoke, &format).await,
    }
}

async fn create(client: &ApiClient, options: NewKey, format: &Format) -> Result<ExitCode, BoxError> {
    if options.account.is_some() {
        return Err(UsageError::AccountUnused.into());
    }
    let account = client.whoami().await?;
    let mut body = json!({ "name": options.name.as_str() });
    let scopes: Vec<_> = options.scopes.iter().map(|scope| scope.as_str()).collect();
    add(&mut body, "scopes", (!scopes.is_empty()).then(|| json!(scopes)));
    add(&mut body, "expiresInDays", options.expires_in_days.map(|days| json!(days)));
    let created = send(client, Method::POST, &[], Some(&body)).await?;
    show_new(client, created, &account, format).await
}

fn add(body: &mut Value, field: &str, value: Option<Value>) {
    if let (Some(object), Some(value)) = (body.as_object_mut(), value) {
        object.insert(field.to_owned(), value);
    }
}

/// Prints a new key. If that fails, the key was not shown, so it must not be valid.
async fn show_new(
    client: &ApiClient,
    created: Value,
    account: &Identity,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let view = KeyView::parse(created, account)?;
    let key_id = view.fields.key_id.clone();
    let shown = print_new(view, account, format);
    if shown.is_err() {
        revoke(client, &key_id).await.map_err(|error| super::not_revoked(&key_id, &error))?;
    }
    shown
}

fn print_new(mut view: KeyView, account: &Identity, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        if let Some(object) = view.json.as_object_mut() {
            object.shift_remove("status");
        }
        return output::print_json(&view.json);
    }
    let key = view.json.get("key").and_then(Value::as_str).ok_or("the service returned no key")?;
    let [key, id, account] = [key, &view.fields.key_id, &account.account_name].map(on_one_line);
    output::print(&super::new_key_text(&key, &id, &account))
}

async fn send(
    client: &ApiClient,
    method: Method,
    below: &[&str],
    body: Option<&Value>,
) -> Result<Value, BoxError> {
    let path = [&COLLECTION[..], below].concat();
    let mut call = Call::new(method, &path);
    if let Some(body) = body {
        call = call.body(Zeroizing::new(serde_json::to_vec(body)?));
    }
    Ok(client.send(call).await?.json()?)
}

async fn revoke(client: &ApiClient, id: &str) -> Result<(), BoxError> {
    let path = [&COLLECTION[..], &[id]].concat();
    client.send(Call::new(Method::DELETE, &path)).await?;
    Ok(())
}

/// Revokes a key, which may be one of another account.
async fn revoke_inspected(client: &ApiClient, key: &Identity) -> Result<(), BoxError> {
    if client.whoami().await?.account_id != key.account_id {
        let (id, account) = (on_one_line(&key.key_id), on_one_line(&key.account_name));
        return Err(format!(
            "not revoked: it is the key {id} of the account {account}, and the API key of this command belongs to \
             another account; revoke it with a key of {account}, or with this command on the machine of the service"
        )
        .into());
    }
    revoke(client, &key.key_id).await
}

/// The account and its keys, oldest first.
async fn list(client: &ApiClient) -> Result<(Identity, Vec<KeyView>), BoxError> {
    let account = client.whoami().await?;
    let items = client.list(&Call::get(&COLLECTION), None).await?;
    let keys = items.into_iter().map(|item| KeyView::parse(item, &account)).collect::<Result<_, _>>()?;
    Ok((account, keys))
}

/// The key with this ID or name. Of several with one name, the active one is meant.
async fn select(client: &ApiClient, selector: &KeySelector) -> Result<KeyView, BoxError> {
    if selector.account.is_some() {
        return Err(UsageError::AccountUnused.into());
    }
    let wanted = &selector.key;
    // An error about an unknown name would show the key.
    if wanted.contains(KEY_PREFIX) {
        return Err(KEY_IN_HISTORY.into());
    }
    let (_, keys) = list(client).await?;
    if let Some(key) = keys.iter().find(|key| key.fields.key_id == *wanted) {
        return Ok(key.clone());
    }
    let named = keys.into_iter().filter(|key| key.fields.name == *wanted).collect();
    let is_active = |key: &KeyView| key.fields.status == KeyStatus::Active.as_str();
    super::only_one(wanted, named, is_active, |key| on_one_line(&key.fields.key_id))
}

/// Asks the service whose a key on standard input is. It does not say why it does not accept a key.
async fn inspect(client: &ApiClient, is_revoking: bool, format: &Format) -> Result<ExitCode, BoxError> {
    let plain = find_key(&read_input()?)?;
    let identity = match &plain {
        None => None,
        Some(plain) => match client.with_key(plain).whoami().await {
            Ok(identity) => Some(identity),
            Err(error) if error.code() == Some(UNAUTHORIZED) => None,
            Err(error) => return Err(error.into()),
        },
    };
    let Some(identity) = identity else {
        if format.json {
            output::print_json(&json!({ "known": false }))?;
        } else {
            output::print("The service does not accept this as a key: it is unknown, expired or revoked.")?;
        }
        return Ok(ExitCode::FAILURE);
    };
    if is_revoking {
        revoke_inspected(client, &identity).await?;
    }
    let status = if is_revoking { "revoked" } else { "active" };
    if format.json {
        return output::print_json(&json!({
            "keyId": identity.key_id,
            "name": identity.key_name,
            "status": status,
            "scopes": identity.scopes,
            "expiresDate": identity.expires_date,
            "account": identity.account_name,
            "accountId": identity.account_id,
            "known": true,
        }));
    }
    output::print(&output::to_lines(&[
        ("key", format!("{} ({})", identity.key_name, identity.key_id)),
        ("account", format!("{} ({})", identity.account_name, identity.account_id)),
        ("status", status.to_owned()),
        ("scopes", super::scope_names_text(&identity.scopes)),
        ("expires", identity.expires_date.unwrap_or_else(|| "never".to_owned())),
    ]))
}
