//! `connections health` and `connections verify`: what the last check found, and what Vimeo says now.

use std::process::ExitCode;

use clap::Args;
use tokio_util::sync::CancellationToken;

use super::health_view::HealthView;
use super::verify_all;
use super::view::ConnectionView;
use crate::cli::backend::{AccountArg, Backend, Place};
use crate::cli::{BoxError, Format, output};

/// What is verified.
#[derive(Args)]
pub(in crate::cli) struct ToVerify {
    /// The connection's ID or name
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    connection: Option<String>,
    /// Every enabled connection: of the account, or on the database without --account of all accounts
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    account: AccountArg,
}

/// `connections verify`. `at_once`: how many are checked at the same time.
pub(super) async fn verify(
    place: Place<'_>,
    what: &ToVerify,
    at_once: usize,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let Some(id_or_name) = &what.connection else {
        return verify_all::run(&what.account.open_all(place).await?, at_once, format).await;
    };
    let backend = what.account.open(place).await?;
    let connection = backend.find_connection(id_or_name).await?;
    let health = backend.verify_connection(&connection, &CancellationToken::new()).await?;
    print(&backend, &connection, &health, format)?;
    Ok(health.verdict().exit_code())
}

/// Prints the health of a connection.
pub(super) fn print(
    backend: &Backend<'_>,
    connection: &ConnectionView,
    health: &HealthView,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&health.json);
    }
    let update = format!("vimeo-connections connections update {}{}", connection.id(), backend.selection());
    let mut lines = vec![("connection", connection.label())];
    lines.extend(health.lines(&update));
    output::print(&output::to_lines(&lines))
}
