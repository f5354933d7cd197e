//! `connections create` and `connections update`: arguments become a record, which follows the rules of the API.

use clap::Args;
use domain::connection::Availability;
use web::connection_json::ConnectionRecord;
use zeroize::Zeroizing;

use super::BoxError;
use super::credentials::{self, CredentialsArg, PromptedSecret};

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

impl NewConnection {
    /// All fields. Prompts for the secrets unless a file has them.
    pub(super) fn into_record(self) -> Result<ConnectionRecord, BoxError> {
        let mut record = self.credentials.read()?;
        add(&mut record, "name", Some(self.name))?;
        add(&mut record, "description", self.description)?;
        add(&mut record, "clientIdentifier", self.client_identifier)?;
        record.add_availability(Availability::from_enabled(!self.disabled));
        if self.credentials.credentials.is_none() {
            credentials::ask(&mut record, &[PromptedSecret::ClientSecret, PromptedSecret::AccessToken])?;
        }
        Ok(record)
    }
}

impl Changes {
    /// The fields that change. Prompts for secrets if requested.
    pub(super) fn into_record(self) -> Result<ConnectionRecord, BoxError> {
        let mut record = self.credentials.read()?;
        add(&mut record, "name", self.name)?;
        add(&mut record, "description", self.description)?;
        add(&mut record, "clientIdentifier", self.client_identifier)?;
        if self.clear_description {
            record.clear_description();
        }
        let secrets = [
            self.ask_client_secret.then_some(PromptedSecret::ClientSecret),
            self.ask_access_token.then_some(PromptedSecret::AccessToken),
        ];
        let secrets: Vec<_> = secrets.into_iter().flatten().collect();
        credentials::ask(&mut record, &secrets)?;
        if record.is_empty() {
            return Err(
                "there is nothing to change; see `vimeo-connections connections update --help`".into()
            );
        }
        Ok(record)
    }
}

fn add(record: &mut ConnectionRecord, field: &str, text: Option<String>) -> Result<(), BoxError> {
    let Some(text) = text else { return Ok(()) };
    if record.has(field) {
        return Err(format!("{field} is given twice: as an argument and with --credentials").into());
    }
    record.add_text(field, Zeroizing::new(text));
    Ok(())
}
