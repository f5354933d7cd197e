//! The audit log: listing and exporting it.

use std::sync::Arc;

use app::{App, Caller};
use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use domain::audit::{Action, AuditFilter, AuditRecord, FilterActor};
use domain::page::PageLimit;
use domain::time::Timestamp;
use futures_util::stream;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::auth::Authenticated;
use crate::error::Problem;
use crate::openapi;
use crate::page_key::{PageKey, page_key_text};
use crate::query::Query;
use crate::replay::json_with_capacity;

/// Approximate size of an event in JSON.
const EVENT_BYTES: usize = 320;

/// An audit event. Fields without a value are omitted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEvent)]
pub(crate) struct AuditEventOut<'a> {
    #[schema(example = "20260131090500042k3v9x0q2m7t1b8z")]
    event_id: &'a str,
    #[schema(format = "date-time", example = "2026-01-31T09:05:00.042Z")]
    date: String,
    actor: ActorOut<'a>,
    /// What was done. Later versions add actions.
    #[schema(example = "create_connection")]
    action: &'a str,
    /// The ID of the affected record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "20260131090500042k3v9x0q2m7t1b8z")]
    subject: Option<&'a str>,
    /// The client's IP address, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "192.0.2.7")]
    address: Option<&'a str>,
    /// `done`, or `refused`: nothing was changed.
    #[schema(pattern = "^(done|refused)$", example = "done")]
    outcome: &'static str,
    /// The error code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "CONNECTION_NAME_EXISTS")]
    error_code: Option<&'a str>,
}

/// Who performed an action.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditActor)]
struct ActorOut<'a> {
    /// `api_key`, `session` (a person in the dashboard), `guest` (a person with the link of an authorization), `operator` (on the command line) or `worker` (the service itself). Later versions add kinds.
    #[serde(rename = "type")]
    #[schema(example = "api_key")]
    kind: &'a str,
    /// The ID of the API key, not the key. For a session, of the key that the person signed in with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "key_7t1b8z4d0c6q2v9x1k3m")]
    key_id: Option<&'a str>,
    /// The name of the key at that time, or of the person.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "api key")]
    key_name: Option<&'a str>,
}

/// A page of audit events.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AuditEvents)]
pub(crate) struct AuditEventsOut<'a> {
    items: Vec<AuditEventOut<'a>>,
    /// Omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_page_key: Option<String>,
}

/// Filters of audit events.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for its description")]
pub(super) struct AuditQuery {
    /// Only events after this instant.
    #[param(format = "date-time", example = "2026-01-31T09:05:00Z", nullable = false)]
    after: Option<String>,
    /// Only events before this instant.
    #[param(format = "date-time", example = "2036-01-31T09:05:00Z", nullable = false)]
    before: Option<String>,
    /// Only this action.
    #[param(example = "create_connection", nullable = false)]
    action: Option<String>,
    /// Only events about the record with this ID.
    #[param(example = "20260131090500042k3v9x0q2m7t1b8z", nullable = false)]
    subject: Option<String>,
    /// Only events of this actor: the ID of an API key, or `api_key`, `session`, `guest`, `operator` or `worker` for all of a kind.
    #[param(
        example = "operator",
        nullable = false,
        pattern = "^(key_[a-z0-9]{20}|api_key|session|guest|operator|worker)$"
    )]
    actor: Option<String>,
}

impl<'a> From<&'a AuditRecord> for AuditEventOut<'a> {
    fn from(record: &'a AuditRecord) -> Self {
        Self {
            event_id: record.id.as_str(),
            date: record.at.to_string(),
            actor: ActorOut {
                kind: record.actor_kind(),
                key_id: record.api_key_id.as_deref(),
                key_name: record.actor_name.as_deref(),
            },
            action: &record.action,
            subject: record.subject.as_deref(),
            address: record.address(),
            outcome: if record.refusal.is_none() { "done" } else { "refused" },
            error_code: record.refusal.as_deref(),
        }
    }
}

/// An audit event as a JSON object on one line.
pub fn audit_event_object(record: &AuditRecord) -> Vec<u8> {
    // A serialisation of texts does not fail.
    serde_json::to_vec(&AuditEventOut::from(record)).unwrap_or_default()
}

/// List audit events
///
/// Newest first. With `action`, `subject` or `actor`, a page may have fewer events than the limit, or none, although there
/// is a `nextPageKey`.
#[utoipa::path(
    get, path = "/v1/audit-events", operation_id = "list_audit_events", tag = "Audit",
    security(("apiKey" = ["audit:read"])),
    params(openapi::PageQuery, AuditQuery),
    responses(
        (status = 200, description = "A page.", body = AuditEventsOut,
            links(
                ("next" = (operation_id = "list_audit_events",
                    parameters(("nextPageKey" = "$response.body#/nextPageKey")))),
            ),
        ),
        openapi::ListErrors,
    ),
)]
pub(crate) async fn list_audit_events(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let limit = query.parsed("limit", PageLimit::parse).unwrap_or(PageLimit::MAX);
    let page_key = PageKey::from_query(&mut query);
    let filter = read_filter(&mut query);
    query.finish_strict()?;
    let before_id = page_key.decode(|bytes| shared.app.read_audit_page_key(&caller, bytes))?;
    let filter = AuditFilter { before_id, ..filter };
    let page = shared.app.list_audit_events(&caller, &filter, limit).await?;
    let next_page_key = page.next.map(|bytes| page_key_text(&bytes));
    let shown = AuditEventsOut { items: page.items.iter().map(AuditEventOut::from).collect(), next_page_key };
    Ok(json_with_capacity((shown.items.len() + 1) * EVENT_BYTES, &shown))
}

/// Export audit events
///
/// All events that match, newest first, as JSON lines: one event per line, as `list_audit_events` returns it. A response that
/// does not end regularly is incomplete.
#[utoipa::path(
    get, path = "/v1/audit-events/export", operation_id = "export_audit_events", tag = "Audit",
    security(("apiKey" = ["audit:read"])),
    params(AuditQuery),
    responses(
        (status = 200, description = "The events.", content_type = "application/x-ndjson", body = String),
        openapi::ExportErrors,
    ),
)]
pub(crate) async fn export_audit_events(
    State(shared): State<Shared>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::new(query.as_deref());
    let filter = read_filter(&mut query);
    query.finish_strict()?;
    export_response(shared, caller, filter).await
}

/// The export of the events that match a filter.
pub(crate) async fn export_response(
    shared: Shared,
    caller: Arc<Caller>,
    filter: AuditFilter,
) -> Result<Response, Problem> {
    let mut export = Export { shared, caller, filter: Some(filter) };
    // An error of the first page is still a response of its own.
    let first = export.next_page().await?.unwrap_or_default();
    let rest = stream::try_unfold(export, async |mut export| {
        let page = export.next_authorized_page().await?;
        Ok::<_, Incomplete>(page.map(|page| (page, export)))
    });
    let lines = stream::once(async { Ok(first) });
    let body = Body::from_stream(futures_util::StreamExt::chain(lines, rest));
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], body).into_response())
}

/// The filters of a query.
fn read_filter(query: &mut Query) -> AuditFilter {
    let action = |text: &str| {
        let names = || Action::ALL.map(Action::as_str).join(", ");
        Action::parse(text).ok_or_else(|| format!("must be one of: {}", names()))
    };
    AuditFilter {
        before_id: None,
        after: query.parsed("after", Timestamp::parse),
        before: query.parsed("before", Timestamp::parse),
        action: query.parsed("action", action),
        subject: query.optional("subject"),
        actor: query.parsed("actor", str::parse::<FilterActor>),
    }
}

/// An export in progress.
struct Export {
    shared: Shared,
    caller: Arc<Caller>,
    /// The filter of the next page; `None` after the last.
    filter: Option<AuditFilter>,
}

/// Why an export ends before its end. The connection is then closed.
type Incomplete = Box<dyn std::error::Error + Send + Sync>;

impl Export {
    /// The lines of the next page; `None` after the last.
    async fn next_page(&mut self) -> Result<Option<Bytes>, app::Error> {
        let Some(filter) = self.filter.take() else { return Ok(None) };
        let app: &App = &self.shared.app;
        let page = app.export_audit_events(&self.caller.account_id, &filter, PageLimit::MAX).await?;
        let mut lines = Vec::with_capacity(page.events.len() * EVENT_BYTES);
        for event in &page.events {
            lines.extend_from_slice(&audit_event_object(event));
            lines.push(b'\n');
        }
        self.filter = page.next.map(|next| AuditFilter { before_id: Some(next), ..filter });
        Ok(Some(lines.into()))
    }

    /// The same while the key is active and the service runs: an export may take long.
    async fn next_authorized_page(&mut self) -> Result<Option<Bytes>, Incomplete> {
        if self.filter.is_none() {
            return Ok(None);
        }
        if self.shared.settings.stopping.is_cancelled() {
            return Err("the service is stopping".into());
        }
        if !self.shared.app.is_authorized(&self.caller).await? {
            return Err("the API key is not active any more".into());
        }
        Ok(self.next_page().await?)
    }
}
