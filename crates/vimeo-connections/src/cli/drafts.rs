//! `connections create` and `connections update`: arguments become a record, which follows the rules of the API.

use app::{App, Caller, Outcome};
use clap::Args;
use domain::connection::{Availability, Connection};
use web::UnknownFields;
use web::connection_json::ConnectionRecord;
use zeroize::Zeroizing;

use super::BoxError;
use super::credentials::{self, CredentialsArg, PromptedSecret};
use super::error_messages::to_message;

/// A new connection.
#[derive(Args)]
pub(super) struct NewConnection {
    /// The name, unique in the account
    #[arg(long)]
    name: String,
    /// A description
    #[arg(long)]
    description: Option<String>,
    /// Store the connection disabled
    #[arg(long)]
    disabled: bool,
    /// The client identifier of the customer's Vimeo app (not a secret)
    #[arg(long)]
    client_identifier: Option<String>,
    #[command(flatten)]
    credentials: CredentialsArg,
}

/// The changes; at least one.
#[derive(Args)]
pub(super) struct Changes {
    /// A new name
    #[arg(long)]
    name: Option<String>,
    /// A new description
    #[arg(long, conflicts_with = "clear_description")]
    description: Option<String>,
    /// Clear the description
    #[arg(long)]
    clear_description: bool,
    /// A new client identifier
    #[arg(long)]
    client_identifier: Option<String>,
    /// Prompt for a new client secret, without echo
    #[arg(long)]
    ask_client_secret: bool,
    /// Prompt for a new access token, without echo
    #[arg(long)]
    ask_access_token: bool,
    #[command(flatten)]
    credentials: CredentialsArg,
}

/// Creates a connection.
pub(super) async fn create(app: &App, caller: &Caller, new: NewConnection) -> Result<Connection, BoxError> {
    let mut record = new.credentials.read()?;
    add(&mut record, "name", Some(new.name))?;
    add(&mut record, "description", new.description)?;
    add(&mut record, "clientIdentifier", new.client_identifier)?;
    record.add_availability(Availability::from_enabled(!new.disabled));
    if new.credentials.credentials.is_none() {
        credentials::ask(&mut record, &[PromptedSecret::ClientSecret, PromptedSecret::AccessToken])?;
    }
    let draft = record.into_draft(UnknownFields::Reject)?;
    match app.create_connection(caller, draft, None).await.map_err(to_message)? {
        Outcome::Fresh(connection) => Ok(connection),
        Outcome::Replayed(_) => Err("the connection already exists".into()),
    }
}

/// Updates a connection, unless it has changed since it was read.
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
    let secrets = [
        changes.ask_client_secret.then_some(PromptedSecret::ClientSecret),
        changes.ask_access_token.then_some(PromptedSecret::AccessToken),
    ];
    let secrets: Vec<_> = secrets.into_iter().flatten().collect();
    credentials::ask(&mut record, &secrets)?;
    if record.is_empty() {
        return Err("there is nothing to change; see `vimeo-connections connections update --help`".into());
    }
    let change = record.into_change(before.version)?;
    app.update_connection(caller, before.id.as_str(), change).await.map_err(to_message)
}

fn add(record: &mut ConnectionRecord, field: &str, text: Option<String>) -> Result<(), BoxError> {
    let Some(text) = text else { return Ok(()) };
    if record.has(field) {
        return Err(format!("{field} is given twice: as an argument and with --credentials").into());
    }
    record.add_text(field, Zeroizing::new(text));
    Ok(())
}
