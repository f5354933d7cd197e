//! `connections create` and `connections update`: what was typed becomes a record, which is read by the API's rules.

use app::{App, Caller, Outcome};
use clap::Args;
use domain::connection::{Availability, Connection};
use web::UnknownFields;
use web::connection_json::ConnectionRecord;
use zeroize::Zeroizing;

use super::BoxError;
use super::credentials::{self, Asked, CredentialsFrom};
use super::refusals::in_words;

/// A connection to be made.
#[derive(Args)]
pub(super) struct NewConnection {
    /// Its name, unique in the account
    #[arg(long)]
    name: String,
    /// What to remember it by
    #[arg(long)]
    description: Option<String>,
    /// Keep it, but do not let it be used yet
    #[arg(long)]
    disabled: bool,
    /// The client identifier of the customer's Vimeo app (not a secret)
    #[arg(long)]
    client_identifier: Option<String>,
    #[command(flatten)]
    credentials: CredentialsFrom,
}

/// What is to change; at least one thing.
#[derive(Args)]
pub(super) struct Changes {
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// A new description
    #[arg(long, conflicts_with = "clear_description")]
    description: Option<String>,
    /// Take the description away
    #[arg(long)]
    clear_description: bool,
    /// Another client identifier
    #[arg(long)]
    client_identifier: Option<String>,
    /// Ask for a new client secret, unseen, at the terminal
    #[arg(long)]
    ask_client_secret: bool,
    /// Ask for a new access token, unseen, at the terminal
    #[arg(long)]
    ask_access_token: bool,
    #[command(flatten)]
    credentials: CredentialsFrom,
}

/// Makes a connection.
pub(super) async fn create(app: &App, caller: &Caller, new: NewConnection) -> Result<Connection, BoxError> {
    let mut record = new.credentials.read()?;
    add(&mut record, "name", Some(new.name))?;
    add(&mut record, "description", new.description)?;
    add(&mut record, "clientIdentifier", new.client_identifier)?;
    record.add_availability(Availability::from_enabled(!new.disabled));
    if new.credentials.credentials.is_none() {
        credentials::ask(&mut record, &[Asked::ClientSecret, Asked::AccessToken])?;
    }
    let draft = record.into_draft(UnknownFields::Reject)?;
    match app.create_connection(caller, draft, None).await.map_err(in_words)? {
        Outcome::Done(connection) => Ok(connection),
        Outcome::Repeated(_) => Err("the connection was made before".into()),
    }
}

/// Changes a connection, if nobody else did since it was read.
pub(super) async fn update(
    app: &App,
    caller: &Caller,
    before: &Connection,
    changes: Changes,
) -> Result<Connection, BoxError> {
    let mut record = changes.credentials.read()?;
    add(&mut record, "name", changes.name)?;
    add(&mut record, "description", changes.description)?;
    add(&mut record, "clientIdentifier", changes.client_identifier)?;
    if changes.clear_description {
        record.clear_description();
    }
    let asked = [
        changes.ask_client_secret.then_some(Asked::ClientSecret),
        changes.ask_access_token.then_some(Asked::AccessToken),
    ];
    let asked: Vec<_> = asked.into_iter().flatten().collect();
    credentials::ask(&mut record, &asked)?;
    if record.is_empty() {
        return Err(
            "there is nothing to change; `vimeo-connections connections update --help` shows what can be"
                .into(),
        );
    }
    let change = record.into_change(before.version)?;
    app.update_connection(caller, before.id.as_str(), change).await.map_err(in_words)
}

fn add(record: &mut ConnectionRecord, field: &str, text: Option<String>) -> Result<(), BoxError> {
    let Some(text) = text else { return Ok(()) };
    if record.has(field) {
        return Err(format!("{field} is given twice: as an argument and with --credentials").into());
    }
    record.add_text(field, Zeroizing::new(text));
    Ok(())
}
