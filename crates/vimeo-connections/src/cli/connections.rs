//! `connections`.

mod health;
mod health_operations;
mod health_view;
mod operations;
mod verify_all;
mod view;

use std::process::ExitCode;

use app::{App, IntegrityFailure};
use clap::{Args, Subcommand};
use domain::connection::Availability;
use domain::health::HealthStatus;
use serde_json::json;
use web::UnknownFields;
use web::connection_json::ConnectionRecord;

use super::backend::{AccountArg, Backend, Place};
use super::confirmation::Confirmation;
use super::{BoxError, Format, drafts, imports, output};

pub(super) use operations::COLLECTION;
pub(super) use view::ConnectionView;

#[derive(Subcommand)]
pub(super) enum Command {
    /// List an account's connections, oldest first
    List {
        #[command(flatten)]
        account: AccountArg,
        /// Only connections with this health, as the last check found it: healthy, unhealthy or unverified
        #[arg(long, value_parser = parse_health)]
        health: Option<HealthStatus>,
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
    /// Show the health of a connection as the last check found it, without asking Vimeo
    Health {
        #[command(flatten)]
        connection: ConnectionArg,
        #[command(flatten)]
        format: Format,
    },
    /// Have Vimeo check a connection now, or with --all every enabled one
    ///
    /// --all prints a line for each connection that is not healthy, and a summary; with --json, a line of JSON for each
    /// connection. The exit status is 0 if all are healthy, 1 if one is unhealthy, and 75 if none is unhealthy but one could
    /// not be verified, for example because Vimeo did not answer.
    Verify {
        #[command(flatten)]
        what: health::ToVerify,
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

    /// Whether the command asks Vimeo, or shows when it will be asked.
    pub(super) fn needs_vimeo(&self) -> bool {
        self.takes_credentials() || matches!(self, Self::Verify { .. } | Self::Health { .. })
    }
}

/// The options of commands on connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// How to treat unknown fields of imported files.
    pub(super) unknown_fields: UnknownFields,
    /// How many connections `verify --all` checks at the same time.
    pub(super) checks_at_once: usize,
}

impl Options {
    /// At a remote service, which decides about unknown fields: those of a file are ignored.
    pub(super) const REMOTE: Self = Self { unknown_fields: UnknownFields::Ignore, checks_at_once: 4 };
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
    async fn find<'a>(&self, place: Place<'a>) -> Result<(Backend<'a>, ConnectionView), BoxError> {
        let backend = self.account.open(place).await?;
        let found = backend.find_connection(&self.connection).await?;
        Ok((backend, found))
    }
}

fn parse_health(text: &str) -> Result<HealthStatus, &'static str> {
    HealthStatus::parse(text).ok_or("must be healthy, unhealthy or unverified")
}

pub(super) async fn run(place: Place<'_>, options: Options, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::List { account, health, format } => {
            let listed = account.open(place).await?.list_connections(health).await?;
            print_list(&listed, &format)
        }
        Command::Show { connection, format } => {
            let (backend, connection) = connection.find(place).await?;
            if format.json {
                return output::print_json(&connection.json);
            }
            let mut lines = connection.lines();
            lines.push(("health", backend.find_health(&connection).await?.summary()));
            output::print(&output::to_lines(&lines))
        }
        Command::Health { connection, format } => {
            let (backend, connection) = connection.find(place).await?;
            let health = backend.find_health(&connection).await?;
            health::print(&backend, &connection, &health, &format)
        }
        Command::Verify { what, format } => {
            health::verify(place, &what, options.checks_at_once, &format).await
        }
        Command::Create { account, new, format } => {
            let backend = account.open(place).await?;
            let created = backend.create_connection(new.into_record()?).await?;
            print_result("Created", &created, &format)
        }
        Command::Update { connection, changes, format } => {
            let (backend, before) = connection.find(place).await?;
            let updated = backend.update_connection(&before, changes.into_record()?).await?;
            print_result("Updated", &updated, &format)
        }
        Command::Enable { connection, format } => {
            set_availability(place, &connection, Availability::Enabled, &format).await
        }
        Command::Disable { connection, format } => {
            set_availability(place, &connection, Availability::Disabled, &format).await
        }
        Command::Delete { connection, confirmation, format } => {
            let (backend, connection) = connection.find(place).await?;
            let label = connection.label();
            confirmation.ask(&format!("deleting the connection {label}"), connection.name())?;
            backend.delete_connection(&connection).await?;
            if format.json {
                return output::print_json(&json!({ "connectionId": connection.id(), "status": "deleted" }));
            }
            output::print(&format!("Deleted the connection {label}."))
        }
        Command::Import { account, import, format } => {
            imports::run(account.open(place).await?, &import, options.unknown_fields, &format).await
        }
        Command::Check { format } => check(place.database()?, &format).await,
    }
}

fn print_list(listed: &[ConnectionView], format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&listed.iter().map(|view| &view.json).collect::<Vec<_>>());
    }
    let rows: Vec<_> = listed.iter().map(ConnectionView::row).collect();
    output::print_table(&["NAME", "CONNECTION", "STATUS", "CLIENT IDENTIFIER", "VERSION", "UPDATED"], &rows)
}

async fn set_availability(
    place: Place<'_>,
    connection: &ConnectionArg,
    to: Availability,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let (backend, before) = connection.find(place).await?;
    let (status, done) = if to.is_enabled() { ("enabled", "Enabled") } else { ("disabled", "Disabled") };
    if before.is_enabled() == to.is_enabled() {
        if format.json {
            return output::print_json(&before.json);
        }
        return output::print(&format!("The connection {} is {status} already.", before.label()));
    }
    let mut record = ConnectionRecord::default();
    record.add_availability(to);
    let updated = backend.update_connection(&before, record).await?;
    print_result(done, &updated, format)
}

fn print_result(done: &str, connection: &ConnectionView, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&connection.json);
    }
    output::print(&format!("{done} the connection {}.", connection.label()))
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
