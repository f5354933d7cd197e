//! Audit events, from the database or from a remote service, where the account is that of the API key.

use std::io::{self, Write};
use std::process::ExitCode;

use app::App;
use domain::audit::{Action, AuditFilter, FilterActor};
use domain::id::AccountId;
use domain::page::PageLimit;
use domain::time::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{Selection, find_account};
use crate::cli::backend::{Place, UsageError};
use crate::cli::output::on_one_line;
use crate::cli::{BoxError, Format, output};
use crate::client::{ApiClient, Call};

const COLUMNS: [&str; 6] = ["DATE", "ACTOR", "ACTION", "SUBJECT", "ADDRESS", "OUTCOME"];
const COLLECTION: [&str; 2] = ["v1", "audit-events"];
const EXPORT: [&str; 3] = ["v1", "audit-events", "export"];

/// The events of one account that a filter selects.
pub(super) struct Events<'a> {
    source: Source<'a>,
    filter: AuditFilter,
}

enum Source<'a> {
    Database { app: &'a App, account: AccountId },
    Service(&'a ApiClient),
}

/// An audit event, as far as the table shows it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventIn {
    date: String,
    actor: ActorIn,
    action: String,
    subject: Option<String>,
    address: Option<String>,
    outcome: String,
    error_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ActorIn {
    #[serde(rename = "type")]
    kind: String,
    key_id: Option<String>,
    key_name: Option<String>,
}

impl Selection {
    /// The events that it selects.
    pub(super) async fn open(self, place: Place<'_>) -> Result<Events<'_>, BoxError> {
        let Self { account, after, before, action, subject, actor } = self;
        let source = match (place, account) {
            (Place::Database(app), Some(account)) => {
                Source::Database { app, account: find_account(app, &account).await? }
            }
            (Place::Service(client), None) => Source::Service(client),
            (Place::Database(_), None) => return Err(UsageError::AccountMissing.into()),
            (Place::Service(_), Some(_)) => return Err(UsageError::AccountUnused.into()),
        };
        let filter = AuditFilter { before_id: None, after, before, action, subject, actor };
        Ok(Events { source, filter })
    }
}

impl Events<'_> {
    /// The newest, as the API presents them.
    pub(super) async fn list(self, limit: PageLimit) -> Result<Vec<Value>, BoxError> {
        let Self { source, mut filter } = self;
        let count = limit.as_u32() as usize;
        let (app, account) = match source {
            Source::Database { app, account } => (app, account),
            Source::Service(client) => {
                return Ok(client.list(&filtered(Call::get(&COLLECTION), &filter), Some(count)).await?);
            }
        };
        let mut events = Vec::new();
        // With a filter, a page may have fewer events than its limit, and not be the last.
        while events.len() < count {
            let page = app.export_audit_events(&account, &filter, limit).await?;
            for event in &page.events {
                events.push(serde_json::from_slice(&web::audit_event_object(event))?);
            }
            let Some(next) = page.next else { break };
            filter.before_id = Some(next);
        }
        events.truncate(count);
        Ok(events)
    }

    /// Prints all of them as JSON lines, as they are read.
    pub(super) async fn export(self) -> Result<ExitCode, BoxError> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = match self.write_to(&mut stdout).await {
            Ok(()) => stdout.flush().map_err(BoxError::from),
            failed => failed,
        };
        match written {
            // The reader has closed the pipe (`… | head`).
            Err(error) if is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
            written => written.map(|()| ExitCode::SUCCESS),
        }
    }

    async fn write_to(self, out: &mut impl Write) -> Result<(), BoxError> {
        let Self { source, mut filter } = self;
        match source {
            Source::Database { app, account } => loop {
                let page = app.export_audit_events(&account, &filter, PageLimit::MAX).await?;
                for event in &page.events {
                    let mut line = web::audit_event_object(event);
                    line.push(b'\n');
                    out.write_all(&line)?;
                }
                let Some(next) = page.next else { return Ok(()) };
                filter.before_id = Some(next);
            },
            Source::Service(client) => {
                let mut lines = client.open_lines(filtered(Call::get(&EXPORT), &filter)).await?;
                while let Some(complete) = lines.next().await? {
                    out.write_all(&complete)?;
                }
                Ok(())
            }
        }
    }
}

fn filtered<'a>(call: Call<'a>, filter: &AuditFilter) -> Call<'a> {
    let text = |at: Timestamp| at.to_string();
    call.query("after", filter.after.map(text))
        .query("before", filter.before.map(text))
        .query("action", filter.action.map(Action::as_str).map(str::to_owned))
        .query("subject", filter.subject.clone())
        .query("actor", filter.actor.as_ref().map(FilterActor::to_string))
}

fn is_closed_pipe(error: &BoxError) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(output::is_closed_pipe)
}

/// Prints events as the API presents them.
pub(super) fn print(events: &[Value], format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&events);
    }
    let rows = events.iter().map(row).collect::<Result<Vec<_>, _>>()?;
    output::print_table(&COLUMNS, &rows)
}

fn row(event: &Value) -> Result<Vec<String>, serde_json::Error> {
    let event = EventIn::deserialize(event)?;
    let actor = match (event.actor.key_name, event.actor.key_id) {
        (Some(name), Some(id)) => format!("{name} ({id})"),
        (None, Some(id)) => id,
        _ => event.actor.kind,
    };
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let cells = [
        event.date,
        actor,
        event.action,
        or_dash(event.subject),
        or_dash(event.address),
        event.error_code.unwrap_or(event.outcome),
    ];
    Ok(cells.iter().map(|cell| on_one_line(cell)).collect())
}
