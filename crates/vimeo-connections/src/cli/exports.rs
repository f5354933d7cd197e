//! `accounts export`: everything that an account has, as JSON lines without secrets.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use app::{App, Caller, Clock, DeliveryFilter, IdempotencyRecordId, JobFilter};
use domain::account::Account;
use domain::audit::AuditFilter;
use domain::page::PageLimit;
use domain::webhook::{DisabledReason, EventType};
use serde::Serialize;
use serde_json::json;

use super::{BoxError, accounts, keys, output};

/// Writes an export to a new file, or to standard output.
pub(super) async fn export(
    app: &App,
    account: &Account,
    path: Option<PathBuf>,
) -> Result<ExitCode, BoxError> {
    let Some(path) = path else {
        let mut lines = Lines::to(BufWriter::new(io::stdout()));
        return match write_records(app, account, &mut lines).await {
            Err(ExportError::Output(error)) if output::is_closed_pipe(&error) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(error.into()),
            Ok(()) => Ok(ExitCode::SUCCESS),
        };
    };
    let file = create(&path)?;
    match write_file(app, account, file).await {
        Ok(records) => output::print(&format!(
            "Exported the account {} to {}: {records} records.",
            account.name,
            path.display()
        )),
        Err(error) => {
            // A part could be taken for all.
            let _ = fs::remove_file(&path);
            Err(error.into())
        }
    }
}

/// An export has data of the account's customers: it is for the owner alone.
fn create(path: &Path) -> Result<File, BoxError> {
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).to_owned();
    options.open(path).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => format!("{} exists and is not overwritten", path.display()).into(),
        _ => format!("{}: {error}", path.display()).into(),
    })
}

/// Returns the number of records.
async fn write_file(app: &App, account: &Account, file: File) -> Result<u64, ExportError> {
    let mut lines = Lines::to(BufWriter::new(file));
    write_records(app, account, &mut lines).await?;
    let file = lines.output.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(lines.counts.values().sum())
}

/// Why an export is incomplete.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the export could not be written")]
    Output(#[from] io::Error),
    #[error("the export is incomplete")]
    App(#[from] app::Error),
    #[error("the export is incomplete")]
    Account(#[from] app::AccountError),
}

/// Lines with a record each, counted by type.
struct Lines<W> {
    output: W,
    counts: BTreeMap<&'static str, u64>,
}

impl<W: Write> Lines<W> {
    fn to(output: W) -> Self {
        Self { output, counts: BTreeMap::new() }
    }

    /// Adds a record, a JSON object.
    fn add(&mut self, kind: &'static str, object: &[u8]) -> io::Result<()> {
        *self.counts.entry(kind).or_default() += 1;
        self.write(kind, object)
    }

    fn add_value(&mut self, kind: &'static str, record: &impl Serialize) -> io::Result<()> {
        self.add(kind, &serde_json::to_vec(record)?)
    }

    /// The record has a member of its own: some records have a `type` themselves.
    fn write(&mut self, kind: &str, object: &[u8]) -> io::Result<()> {
        write!(self.output, "{{\"type\":\"{kind}\",\"record\":")?;
        self.output.write_all(object)?;
        self.output.write_all(b"}\n")
    }
}

/// Writes all records and then a summary: an export without one was cut off.
async fn write_records(
    app: &App,
    account: &Account,
    lines: &mut Lines<impl Write>,
) -> Result<(), ExportError> {
    let limits = app.find_account_limits(account).await?;
    lines.add_value(
        "account",
        &json!({
            "accountId": account.id.as_str(),
            "name": account.name.as_str(),
            "createdDate": account.created_at.to_string(),
            "limits": accounts::limits_json(&limits),
        }),
    )?;
    for (key, status) in app.list_api_keys(account).await? {
        lines.add_value("api_key", &keys::shown(&key, status, account.name.as_str()))?;
    }
    write_connections(app, account, lines).await?;
    write_jobs(app, account, lines).await?;
    for dates in app.list_webhook_secret_dates(&account.id).await? {
        let (created, retires) = (dates.created_at, dates.retires_at);
        let record = json!({
            "createdDate": created.to_string(),
            "retiresDate": retires.map(|at| at.to_string()),
        });
        lines.add_value("webhook_secret", &record)?;
    }
    write_webhooks(app, account, lines).await?;
    write_idempotency_records(app, account, lines).await?;
    write_audit_events(app, account, lines).await?;
    let summary = json!({
        "accountId": account.id.as_str(),
        "exportedDate": Clock::system().now().to_string(),
        "counts": lines.counts,
    });
    lines.write("summary", &serde_json::to_vec(&summary).map_err(io::Error::from)?)?;
    lines.output.flush()?;
    Ok(())
}

async fn write_connections(
    app: &App,
    account: &Account,
    lines: &mut Lines<impl Write>,
) -> Result<(), ExportError> {
    let caller = Caller::operator_for(account);
    let mut after = None;
    loop {
        let page = app.list_connections(&caller, after.as_ref(), PageLimit::MAX).await?;
        for connection in &page.items {
            lines.add_value("connection", &web::connection_json::present(connection))?;
        }
        after = page.items.last().map(|last| last.id.clone());
        if page.next.is_none() {
            return Ok(());
        }
    }
}

async fn write_jobs(app: &App, account: &Account, lines: &mut Lines<impl Write>) -> Result<(), ExportError> {
    let caller = Caller::operator_for(account);
    let mut filter = JobFilter::default();
    loop {
        let page = app.list_jobs(&caller, &filter, PageLimit::MAX).await?;
        for job in &page.items {
            lines.add("job", &web::job_object(job, None))?;
        }
        filter.before = page.items.last().map(|last| last.id.clone());
        if page.next.is_none() {
            return Ok(());
        }
    }
}

/// The endpoints without what they keep sealed, and the deliveries without their content.
async fn write_webhooks(
    app: &App,
    account: &Account,
    lines: &mut Lines<impl Write>,
) -> Result<(), ExportError> {
    let mut after = None;
    loop {
        let page = app.list_plain_webhook_endpoints(&account.id, after.as_ref(), PageLimit::MAX).await?;
        for endpoint in &page {
            let record = json!({
                "endpointId": endpoint.id.as_str(),
                "events": endpoint.events.types().map(|types| types.into_iter().map(EventType::as_str).collect::<Vec<_>>()),
                "enabled": endpoint.state.is_enabled(),
                "disabledReason": endpoint.state.disabled_reason().map(DisabledReason::as_str),
                "createdDate": endpoint.created_at.to_string(),
                "updatedDate": endpoint.updated_at.to_string(),
            });
            lines.add_value("webhook_endpoint", &record)?;
        }
        match page.last() {
            Some(last) if page.len() == PageLimit::MAX.as_u32() as usize => after = Some(last.id.clone()),
            _ => break,
        }
    }
    let (caller, mut filter) = (Caller::operator_for(account), DeliveryFilter::default());
    loop {
        let page = app.list_webhook_deliveries(&caller, &filter, PageLimit::MAX).await?;
        for delivery in &page.items {
            lines.add_value("webhook_delivery", &web::webhook_delivery_object(delivery))?;
        }
        filter.before = page.items.last().map(|last| last.id.clone());
        if page.next.is_none() {
            return Ok(());
        }
    }
}

async fn write_idempotency_records(
    app: &App,
    account: &Account,
    lines: &mut Lines<impl Write>,
) -> Result<(), ExportError> {
    let mut after = IdempotencyRecordId::default();
    loop {
        let page = app.list_idempotency_records(&account.id, &after, PageLimit::MAX).await?;
        for record in &page {
            let record = json!({
                "operation": record.id.operation,
                "idempotencyKey": record.id.key,
                "reservedUntilDate": record.reserved_until.to_string(),
                "completedDate": record.answered_at.map(|at| at.to_string()),
            });
            lines.add_value("idempotency_record", &record)?;
        }
        match page.last() {
            Some(last) if page.len() == PageLimit::MAX.as_u32() as usize => after = last.id.clone(),
            _ => return Ok(()),
        }
    }
}

/// The events, newest first.
async fn write_audit_events(
    app: &App,
    account: &Account,
    lines: &mut Lines<impl Write>,
) -> Result<(), ExportError> {
    let mut filter = AuditFilter::default();
    loop {
        let page = app.export_audit_events(&account.id, &filter, PageLimit::MAX).await?;
        for event in &page.events {
            lines.add("audit_event", &web::audit_event_object(event))?;
        }
        filter.before_id = page.next;
        if filter.before_id.is_none() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_with_its_type_and_is_counted() {
        let mut lines = Lines::to(Vec::new());
        lines.add_value("job", &json!({ "type": "}\n" })).unwrap();
        lines.add("job", b"{\"b\":1}").unwrap();
        lines.write("summary", b"{\"c\":2}").unwrap();
        let text = String::from_utf8(lines.output).unwrap();
        let expected = [
            r#"{"type":"job","record":{"type":"}\n"}}"#,
            r#"{"type":"job","record":{"b":1}}"#,
            r#"{"type":"summary","record":{"c":2}}"#,
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), expected);
        assert_eq!(lines.counts, BTreeMap::from([("job", 2)]));
    }
}
