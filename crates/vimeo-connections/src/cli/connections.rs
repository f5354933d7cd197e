//! `connections`.

use std::process::ExitCode;

use app::{App, Caller, IntegrityFailure};
use clap::{Args, Subcommand};
use domain::account::Label;
use domain::connection::{Availability, Connection, ConnectionChange, ConnectionName};
use domain::id::ConnectionId;
use domain::page::PageLimit;
use serde_json::json;

use super::confirmation::Confirmation;
use super::error_messages::to_message;
use super::{BoxError, Format, drafts, imports, output};
use crate::config::Config;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List an account's connections, oldest first
    List {
        #[command(flatten)]
        account: AccountArg,
        #[command(flatten)]
        format: Format,
    },
    /// Show a connection; never its secrets
    Show {
        #[command(flatten)]
        connection: ConnectionArg,
        #[command(flatten)]
        format: Format,
    },
    /// Create a connection; its credentials are checked at Vimeo first
    Create {
        #[command(flatten)]
        account: AccountArg,
        #[command(flatten)]
        new: drafts::NewConnection,
        #[command(flatten)]
        format: Format,
    },
    /// Update a connection; new credentials are checked at Vimeo first
    Update {
        #[command(flatten)]
        connection: ConnectionArg,
        #[command(flatten)]
        changes: drafts::Changes,
        #[command(flatten)]
        format: Format,
    },
    /// Enable a connection
    Enable {
        #[command(flatten)]
        connection: ConnectionArg,
        #[command(flatten)]
        format: Format,
    },
    /// Disable a connection without deleting it
    Disable {
        #[command(flatten)]
        connection: ConnectionArg,
        #[command(flatten)]
        format: Format,
    },
    /// Delete a connection, and wipe the key of its secrets
    Delete {
        #[command(flatten)]
        connection: ConnectionArg,
        #[command(flatten)]
        confirmation: Confirmation,
        #[command(flatten)]
        format: Format,
    },
    /// Import connections from a file, each checked at Vimeo; can be rerun
    Import {
        #[command(flatten)]
        account: AccountArg,
        #[command(flatten)]
        import: imports::FileToImport,
        #[command(flatten)]
        format: Format,
    },
    /// Decrypt every stored connection and list those that fail, for example after a restore
    Check {
        #[command(flatten)]
        format: Format,
    },
}

impl Command {
    /// Whether the command takes credentials, which must be checked.
    pub(super) fn takes_credentials(&self) -> bool {
        matches!(self, Self::Create { .. } | Self::Update { .. } | Self::Import { .. })
    }
}

/// The account of the connections.
#[derive(Args)]
pub(super) struct AccountArg {
    /// The account's name
    #[arg(long, value_parser = Label::parse)]
    account: Label,
}

impl AccountArg {
    pub(super) async fn caller(&self, app: &App) -> Result<Caller, BoxError> {
        Ok(Caller::operator_for(&app.find_account(&self.account).await?))
    }
}

/// The connection.
#[derive(Args)]
pub(super) struct ConnectionArg {
    /// The connection's ID or name
    connection: String,
    #[command(flatten)]
    account: AccountArg,
}

impl ConnectionArg {
    async fn find(&self, app: &App) -> Result<(Caller, Connection), BoxError> {
        self.account.find(app, &self.connection).await
    }
}

impl AccountArg {
    /// The connection with this ID or name.
    pub(super) async fn find(
        &self,
        app: &App,
        identifier_or_name: &str,
    ) -> Result<(Caller, Connection), BoxError> {
        let caller = self.caller(app).await?;
        if let Some(id) = ConnectionId::parse(identifier_or_name) {
            match app.find_connection(&caller, &id).await {
                Ok(connection) => return Ok((caller, connection)),
                Err(app::Error::ConnectionNotFound) => {}
                Err(error) => return Err(to_message(error)),
            }
        }
        let named = match ConnectionName::parse(identifier_or_name) {
            Ok(name) => app.find_connection_by_name(&caller, &name).await.map_err(to_message)?,
            Err(_) => None,
        };
        // The argument is not echoed: it may be a secret pasted in the wrong place.
        named.map(|connection| (caller, connection)).ok_or_else(|| {
            let account = &self.account;
            format!(
                "the account {account} has no connection with this ID or name; \
                 `vimeo-connections connections list --account {account}` shows them"
            )
            .into()
        })
    }
}

pub(super) async fn run(app: &App, config: &Config, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::List { account, format } => list(app, &account.caller(app).await?, &format).await,
        Command::Show { connection, format } => {
            let (_, connection) = connection.find(app).await?;
            if format.json { print_connection(&connection) } else { output::print(&to_lines(&connection)) }
        }
        Command::Create { account, new, format } => {
            let connection = drafts::create(app, &account.caller(app).await?, new).await?;
            print_result("Created", &connection, &format)
        }
        Command::Update { connection, changes, format } => {
            let (caller, before) = connection.find(app).await?;
            let connection = drafts::update(app, &caller, &before, changes).await?;
            print_result("Updated", &connection, &format)
        }
        Command::Enable { connection, format } => {
            set_availability(app, &connection, Availability::Enabled, &format).await
        }
        Command::Disable { connection, format } => {
            set_availability(app, &connection, Availability::Disabled, &format).await
        }
        Command::Delete { connection, confirmation, format } => {
            let (caller, connection) = connection.find(app).await?;
            let name = connection.name.as_str();
            confirmation.ask(&format!("deleting the connection {name} ({})", connection.id), name)?;
            app.delete_connection(&caller, &connection.id).await.map_err(to_message)?;
            if format.json {
                let id = connection.id.as_str();
                return output::print_json(&json!({ "connectionId": id, "status": "deleted" }));
            }
            output::print(&format!("Deleted the connection {name} ({}).", connection.id))
        }
        Command::Import { account, import, format } => {
            imports::run(app, account.caller(app).await?, &import, config.unknown_fields, &format).await
        }
        Command::Check { format } => check(app, &format).await,
    }
}

async fn list(app: &App, caller: &Caller, format: &Format) -> Result<ExitCode, BoxError> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = app.list_connections(caller, after.as_ref(), PageLimit::MAX).await.map_err(to_message)?;
        after = page.items.last().map(|last| last.id.clone());
        all.extend(page.items);
        if page.next.is_none() {
            break;
        }
    }
    if format.json {
        return output::print_json(&all.iter().map(web::connection_json::present).collect::<Vec<_>>());
    }
    let rows: Vec<_> = all
        .iter()
        .map(|connection| {
            vec![
                connection.name.as_str().to_owned(),
                connection.id.to_string(),
                availability_text(connection.availability).to_owned(),
                connection.client_identifier.as_str().to_owned(),
                connection.version.to_string(),
                connection.updated_at.to_string(),
            ]
        })
        .collect();
    output::print_table(&["NAME", "CONNECTION", "STATUS", "CLIENT IDENTIFIER", "VERSION", "UPDATED"], &rows)
}

async fn set_availability(
    app: &App,
    connection: &ConnectionArg,
    to: Availability,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let (caller, before) = connection.find(app).await?;
    let status = availability_text(to);
    if before.availability == to {
        if format.json {
            return print_connection(&before);
        }
        let name = before.name.as_str();
        return output::print(&format!("The connection {name} ({}) is {status} already.", before.id));
    }
    let change = ConnectionChange { availability: Some(to), ..ConnectionChange::none(before.version) };
    let connection = app.update_connection(&caller, before.id.as_str(), change).await.map_err(to_message)?;
    print_result(if to.is_enabled() { "Enabled" } else { "Disabled" }, &connection, format)
}

fn print_result(done: &str, connection: &Connection, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return print_connection(connection);
    }
    let name = connection.name.as_str();
    output::print(&format!("{done} the connection {name} ({}).", connection.id))
}

fn print_connection(connection: &Connection) -> Result<ExitCode, BoxError> {
    output::print_json(&web::connection_json::present(connection))
}

fn to_lines(connection: &Connection) -> String {
    let mut lines = vec![
        ("name", connection.name.as_str().to_owned()),
        ("connection", connection.id.to_string()),
        ("status", availability_text(connection.availability).to_owned()),
        ("client identifier", connection.client_identifier.as_str().to_owned()),
        ("created", connection.created_at.to_string()),
        ("updated", connection.updated_at.to_string()),
        ("version", connection.version.to_string()),
    ];
    if let Some(description) = &connection.description {
        lines.insert(1, ("description", on_one_line(description.as_str())));
    }
    let lines: Vec<_> = lines.into_iter().map(|(title, text)| format!("{title:<17}  {text}")).collect();
    lines.join("\n")
}

/// A text without line breaks, control characters and direction overrides.
fn on_one_line(text: &str) -> String {
    let is_unsafe = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    };
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

fn availability_text(availability: Availability) -> &'static str {
    match availability {
        Availability::Enabled => "enabled",
        Availability::Disabled => "disabled",
    }
}

async fn check(app: &App, format: &Format) -> Result<ExitCode, BoxError> {
    let report = app.check_integrity().await?;
    let code = if report.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if format.json {
        let broken: Vec<_> = report
            .failures
            .iter()
            .map(|broken| match broken {
                IntegrityFailure::AccountKey(account) => json!({ "accountId": account.as_str() }),
                IntegrityFailure::Connection(account, connection) => {
                    json!({ "accountId": account.as_str(), "connectionId": connection.as_str() })
                }
                IntegrityFailure::Job(account, job) => {
                    json!({ "accountId": account.as_str(), "jobId": job.as_str() })
                }
            })
            .collect();
        output::print_json(
            &json!({ "accounts": report.accounts, "opened": report.decrypted, "broken": broken }),
        )?;
        return Ok(code);
    }
    let mut lines =
        vec![format!("Connections decrypted: {} (accounts: {}).", report.decrypted, report.accounts)];
    lines.extend(report.failures.iter().map(|broken| match broken {
        IntegrityFailure::AccountKey(account) => {
            format!("The key of account {account} cannot be decrypted, so none of its connections can.")
        }
        IntegrityFailure::Connection(account, connection) => {
            format!(
                "The connection {connection} of account {account} cannot be decrypted: it was damaged, moved, or enabled in the database."
            )
        }
        IntegrityFailure::Job(account, job) => {
            format!(
                "The job {job} of account {account} does not verify: it was changed in the database. It is not executed."
            )
        }
    }));
    output::print(&lines.join("\n"))?;
    Ok(code)
}
