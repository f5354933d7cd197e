//! The page of a connection, and what its buttons do.

use app::{Caller, ConnectionReport, Error, JobFilter};
use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::audit::{Action, AuditFilter};
use domain::connection::{Availability, Connection, ConnectionChange, Description};
use domain::health::{CheckName, CheckResult, Health, HealthStatus};
use domain::id::ConnectionId;
use domain::page::PageLimit;
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::present_audit::audit_row;
use super::super::respond::{Notice, page, percent_encode, redirect_with, when};
use super::super::views::connection::{BriefUpload, ConnectionPage};
use super::super::views::parts::AuditRow;
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::present_connections::{self as present, Renewal};
use super::uploads;
use crate::Shared;

/// The newest uploads on the page.
const UPLOADS: PageLimit = PageLimit::of(5);
/// The newest events on the page.
const EVENTS: PageLimit = PageLimit::of(20);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/connections/{id}", get(show))
        .route("/dashboard/connections/{id}/test", post(test))
        .route("/dashboard/connections/{id}/enable", post(enable))
        .route("/dashboard/connections/{id}/disable", post(disable))
}

/// The ID in a path, as it was sent. An unreadable one is of no connection.
pub(super) type SentId = Result<Path<String>, PathRejection>;

/// The connection of a page. A malformed ID is of no connection.
pub(super) async fn find(shared: &Shared, caller: &Caller, id: SentId) -> Result<Connection, PageError> {
    let id = id.ok().and_then(|Path(id)| ConnectionId::parse(&id)).ok_or(Error::ConnectionNotFound)?;
    Ok(shared.app.find_connection(caller, &id).await?)
}

/// The connection that a form changes, if the person may change connections. Refusals are audited.
pub(super) async fn find_to_change(
    shared: &Shared,
    visit: &Visit,
    action: Action,
    id: SentId,
) -> Result<Connection, PageError> {
    let caller = &visit.person.caller;
    let id = id.ok().and_then(|Path(id)| ConnectionId::parse(&id));
    if !visit.may(Scope::ConnectionsWrite) {
        let subject = id.map(|id| id.to_string());
        return Err(shared.app.forbid(caller, Scope::ConnectionsWrite, Some((action, subject))).await.into());
    }
    let found = match &id {
        Some(id) => match shared.app.find_connection(caller, id).await {
            Ok(connection) => Some(connection),
            Err(Error::ConnectionNotFound) => None,
            Err(error) => return Err(error.into()),
        },
        None => None,
    };
    Ok(shared.app.well_formed(caller, action, found, Error::ConnectionNotFound).await?)
}

async fn show(State(shared): State<Shared>, id: SentId, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsRead)?;
    let id = id.ok().and_then(|Path(id)| ConnectionId::parse(&id)).ok_or(Error::ConnectionNotFound)?;
    let report = shared.app.find_connection_health(&visit.person.caller, &id).await?;
    let uploads = newest_uploads(&shared, &visit, &id).await?;
    let history = history(&shared, &visit, &id).await?;
    Ok(page(&view(&shared, &visit, &report, uploads, history)))
}

async fn newest_uploads(
    shared: &Shared,
    visit: &Visit,
    id: &ConnectionId,
) -> Result<Option<Vec<BriefUpload>>, Error> {
    if !visit.may(Scope::UploadsRead) {
        return Ok(None);
    }
    let filter = JobFilter { connection_id: Some(id.clone()), ..JobFilter::default() };
    let listed = shared.app.list_jobs(&visit.person.caller, &filter, UPLOADS).await?;
    let mut rows = Vec::new();
    for job in &listed.items {
        rows.push(uploads::brief(shared, &visit.person.caller, job).await?);
    }
    Ok(Some(rows))
}

async fn history(shared: &Shared, visit: &Visit, id: &ConnectionId) -> Result<Option<Vec<AuditRow>>, Error> {
    if !visit.may(Scope::AuditRead) {
        return Ok(None);
    }
    let filter = AuditFilter { subject: Some(id.to_string()), ..AuditFilter::default() };
    let listed = shared.app.list_audit_events(&visit.person.caller, &filter, EVENTS).await?;
    Ok(Some(listed.items.iter().map(audit_row).collect()))
}

fn view(
    shared: &Shared,
    visit: &Visit,
    report: &ConnectionReport,
    uploads: Option<Vec<BriefUpload>>,
    history: Option<Vec<AuditRow>>,
) -> ConnectionPage {
    let ConnectionReport { connection, health, next_check_at } = report;
    let facts = &health.facts;
    let can_renew = shared.settings.public_url.is_some();
    let renewal = if can_renew { Renewal::Possible } else { Renewal::NotPossible };
    let id = connection.id.as_str();
    let is_usable = connection.availability.is_enabled() && health.status != HealthStatus::Unhealthy;
    ConnectionPage {
        shell: visit.shell(Section::Connections),
        href: present::href(&connection.id),
        id: id.to_owned(),
        name: connection.name.as_str().to_owned(),
        description: description_text(connection),
        health: present::status(health.status),
        is_enabled: connection.availability.is_enabled(),
        problem: present::problem(report, renewal),
        checks: present::checks(health),
        checked: health.checked_at.map(when),
        next_check: next_check_at.map(when),
        vimeo_account: facts.user.as_ref().map(present::vimeo_account),
        quotas: facts.quota.map(present::quotas).unwrap_or_default(),
        privacies: facts.allowed_privacies.iter().flatten().map(|value| present::privacy(value)).collect(),
        scopes: facts.scopes.clone().unwrap_or_default(),
        client_identifier: connection.client_identifier.as_str().to_owned(),
        created: when(connection.created_at),
        updated: when(connection.updated_at),
        version: connection.version.to_string(),
        uploads,
        uploads_href: format!("/dashboard/uploads?connection={}", percent_encode(id)),
        history,
        history_href: format!("/dashboard/audit?subject={}", percent_encode(id)),
        can_write: visit.may(Scope::ConnectionsWrite),
        new_upload_href: Some(format!("/dashboard/uploads/new?connection={}", percent_encode(id)))
            .filter(|_| visit.may(Scope::UploadsWrite) && is_usable),
        can_renew,
    }
}

/// The description as it was entered; empty if there is none.
pub(super) fn description_text(connection: &Connection) -> String {
    connection.description.as_ref().map(Description::as_str).unwrap_or_default().to_owned()
}

async fn test(State(shared): State<Shared>, id: SentId, sent: Submission) -> Result<Response, PageError> {
    let visit = &sent.visit;
    let connection = find_to_change(&shared, visit, Action::VerifyConnection, id).await?;
    let notice = match shared.app.verify_connection(&visit.person.caller, connection.id.as_str()).await {
        Ok(report) => test_notice(&report.health),
        Err(Error::CheckedRecently { .. }) => Notice::TestedRecently,
        Err(error) => return Err(error.into()),
    };
    Ok(redirect_with(&present::href(&connection.id), notice))
}

/// What a test found. A check that Vimeo did not answer leaves the status as it was.
fn test_notice(health: &Health) -> Notice {
    let is_unanswered = health
        .checks
        .iter()
        .filter(|check| CheckName::REQUIRED.contains(&check.name))
        .all(|check| check.latest.result == CheckResult::Unknown);
    match health.status {
        _ if is_unanswered => Notice::TestUnavailable,
        HealthStatus::Healthy => Notice::TestHealthy,
        HealthStatus::Unhealthy => Notice::TestUnhealthy,
        HealthStatus::Unverified => Notice::TestUnavailable,
    }
}

async fn enable(State(shared): State<Shared>, id: SentId, sent: Submission) -> Result<Response, PageError> {
    toggle(&shared, id, &sent, Availability::Enabled).await
}

async fn disable(State(shared): State<Shared>, id: SentId, sent: Submission) -> Result<Response, PageError> {
    toggle(&shared, id, &sent, Availability::Disabled).await
}

/// Enabling what is enabled changes nothing, and so does disabling what is disabled.
async fn toggle(
    shared: &Shared,
    id: SentId,
    sent: &Submission,
    availability: Availability,
) -> Result<Response, PageError> {
    let caller = &sent.visit.person.caller;
    let connection = find_to_change(shared, &sent.visit, Action::UpdateConnection, id).await?;
    let page = present::href(&connection.id);
    if connection.availability != availability {
        let change = |version| ConnectionChange {
            availability: Some(availability),
            ..ConnectionChange::none(version)
        };
        let update = async |version| {
            shared.app.update_connection(caller, connection.id.as_str(), change(version)).await
        };
        let updated = match update(connection.version).await {
            // Something else of it was changed meanwhile, which does not matter here.
            Err(Error::VersionConflict { current }) => update(current).await,
            other => other,
        };
        match updated {
            Err(Error::VersionConflict { .. }) => return Ok(redirect_with(&page, Notice::Conflict)),
            other => drop(other?),
        }
    }
    let notice = match availability {
        Availability::Enabled => Notice::ConnectionEnabled,
        Availability::Disabled => Notice::ConnectionDisabled,
    };
    Ok(redirect_with(&page, notice))
}
