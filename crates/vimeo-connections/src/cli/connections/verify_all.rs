//! `connections verify --all`: has Vimeo check every enabled connection, and reports those that are not healthy.

use std::pin::pin;
use std::process::ExitCode;

use futures_util::stream::{self, StreamExt as _};
use serde::Serialize;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::health_operations::CheckError;
use super::health_view::{HealthView, Verdict};
use super::view::ConnectionView;
use crate::cli::backend::Backend;
use crate::cli::output::{self, on_one_line};
use crate::cli::uploads::Interrupts;
use crate::cli::{BoxError, Format};

/// What happened to one connection.
enum Outcome {
    Checked(Box<HealthView>),
    /// It could not be checked, for this reason.
    Failed(String),
    /// It is disabled, and was not checked.
    Disabled,
    /// It was deleted meanwhile.
    Gone,
}

/// The result for one connection, as a line of JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LineOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    account_name: Option<&'a str>,
    connection_id: &'a str,
    name: &'a str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    health: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// How many connections have which result.
#[derive(Debug, Default)]
struct Counts {
    healthy: u64,
    unhealthy: u64,
    not_verified: u64,
    disabled: u64,
}

/// `at_once`: how many are checked at the same time.
pub(super) async fn run(
    backends: &[Backend<'_>],
    at_once: usize,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let interrupts = Interrupts::listen()?;
    let mut counts = Counts::default();
    for backend in backends {
        let checked = check_all(backend, at_once, &interrupts.stopping, |connection, outcome| {
            counts.add(outcome);
            report(backend, connection, outcome, format)
        })
        .await;
        if interrupts.stopping.is_cancelled() {
            counts.print(format)?;
            output::status("Interrupted. Not all connections were checked.");
            return Ok(ExitCode::from(interrupts.code()));
        }
        if checked.is_err() {
            counts.print(format)?;
        }
        checked?;
    }
    counts.print(format)?;
    Ok(counts.verdict().exit_code())
}

/// Checks the connections of an account, and reports them oldest first. Once `stopping` is cancelled, only the checks
/// that are in progress end.
async fn check_all(
    backend: &Backend<'_>,
    at_once: usize,
    stopping: &CancellationToken,
    mut report: impl FnMut(&ConnectionView, &Outcome) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let connections = backend.list_connections(None).await?;
    let checks = stream::iter(connections)
        .take_until(stopping.cancelled())
        .map(async |connection| {
            let outcome = check(backend, &connection, stopping).await;
            (connection, outcome)
        })
        .buffered(at_once);
    let mut checks = pin!(checks);
    while let Some((connection, outcome)) = checks.next().await {
        report(&connection, &outcome?)?;
    }
    Ok(())
}

/// An error means that other connections cannot be checked either.
async fn check(
    backend: &Backend<'_>,
    connection: &ConnectionView,
    stopping: &CancellationToken,
) -> Result<Outcome, BoxError> {
    if !connection.is_enabled() {
        return Ok(Outcome::Disabled);
    }
    match backend.verify_connection(connection, stopping).await {
        Ok(health) => Ok(Outcome::Checked(Box::new(health))),
        Err(CheckError::Gone) => Ok(Outcome::Gone),
        Err(CheckError::Later(_, error) | CheckError::OfConnection(error)) => {
            Ok(Outcome::Failed(on_one_line(&output::with_causes(&*error))))
        }
        Err(CheckError::Fatal(error)) => Err(error),
    }
}

/// Prints the line of a connection: as text only if it is not healthy.
fn report(
    backend: &Backend<'_>,
    connection: &ConnectionView,
    outcome: &Outcome,
    format: &Format,
) -> Result<(), BoxError> {
    let (label, reason) = match outcome {
        Outcome::Gone => return Ok(()),
        Outcome::Checked(health) => (health.verdict().as_str(), health.reason()),
        Outcome::Failed(error) => (Verdict::NotVerified.as_str(), error.clone()),
        Outcome::Disabled => ("disabled", String::new()),
    };
    let account = backend.account_name();
    if format.json {
        let line = LineOut {
            account_name: account,
            connection_id: connection.id(),
            name: connection.name(),
            outcome: label,
            health: if let Outcome::Checked(health) = outcome { Some(&health.json) } else { None },
            error: if let Outcome::Failed(error) = outcome { Some(error) } else { None },
        };
        output::print(&serde_json::to_string(&line)?)?;
        return Ok(());
    }
    if matches!(outcome.verdict(), Some(Verdict::NotVerified | Verdict::Unhealthy)) {
        let account = account.map(|account| format!(" of the account {account}")).unwrap_or_default();
        output::print(&format!("{}{account}: {label}: {reason}", connection.label()))?;
    }
    Ok(())
}

impl Outcome {
    /// `None`: it was not to be checked.
    fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Checked(health) => Some(health.verdict()),
            Self::Failed(_) => Some(Verdict::NotVerified),
            Self::Disabled | Self::Gone => None,
        }
    }
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        let count = match (outcome, outcome.verdict()) {
            (_, Some(Verdict::Healthy)) => &mut self.healthy,
            (_, Some(Verdict::Unhealthy)) => &mut self.unhealthy,
            (_, Some(Verdict::NotVerified)) => &mut self.not_verified,
            (Outcome::Disabled, None) => &mut self.disabled,
            (_, None) => return,
        };
        *count += 1;
    }

    /// That of the worst connection.
    fn verdict(&self) -> Verdict {
        match self {
            Self { unhealthy: 1.., .. } => Verdict::Unhealthy,
            Self { not_verified: 1.., .. } => Verdict::NotVerified,
            _ => Verdict::Healthy,
        }
    }

    /// The summary. JSON has a line for each connection instead.
    fn print(&self, format: &Format) -> Result<(), BoxError> {
        if format.json {
            return Ok(());
        }
        let Self { healthy, unhealthy, not_verified, disabled } = self;
        output::print(&format!(
            "{healthy} healthy, {unhealthy} unhealthy, {not_verified} not verified, {disabled} disabled"
        ))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_connection_decides() {
        let verdict =
            |unhealthy, not_verified| Counts { healthy: 9, unhealthy, not_verified, disabled: 9 }.verdict();
        assert_eq!(verdict(0, 0), Verdict::Healthy);
        assert_eq!(verdict(0, 1), Verdict::NotVerified);
        assert_eq!([verdict(1, 0), verdict(1, 1)], [Verdict::Unhealthy; 2]);
    }
}
