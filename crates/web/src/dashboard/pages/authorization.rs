//! An authorization: watching it, withdrawing it, and how it ended.

use std::sync::Arc;

use app::{AuthorizationTarget, ShownAuthorization};
use askama::Template as _;
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::audit::Action;
use domain::authorization::{AuthorizationState as Stored, FailureReason};
use domain::id::AuthorizationId;
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::messages as m;
use super::super::respond::{page, redirect, when};
use super::super::views::authorization::{
    AuthorizationPage, AuthorizationState, AuthorizationUpdate, AuthorizationView, DeviceCode, WaitingRow,
};
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::connect::CONNECT;
use super::connections::LIST as CONNECTIONS;
use super::present_connections::https_only;
use super::sign_in::parameter;
use super::waiting::{self, reload};
use crate::Shared;
use crate::event_stream::event;

/// How many of those that wait are shown.
const WAITING_ROWS: u32 = 20;

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/connect/done", get(done))
        .route("/dashboard/connect/{id}", get(show))
        .route("/dashboard/connect/{id}/events", get(events))
        .route("/dashboard/connect/{id}/withdraw", post(withdraw))
}

/// The page to which a person comes back who approved in this browser.
async fn done(RawQuery(query): RawQuery, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsRead)?;
    let id = parameter(query.as_deref(), "authorizationId");
    let id = AuthorizationId::parse(&id).ok_or(PageError::NotFound)?;
    Ok(redirect(&format!("{CONNECT}/{id}")))
}

async fn show(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    let shown = find(&shared, &visit, &id).await?;
    Ok(page(&page_view(&visit, &shown, None)))
}

/// Its link and its code lead nowhere from then on. Who was faster decides: the page shows how it ended.
async fn withdraw(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let Submission { visit, .. } = &sent;
    let subject = AuthorizationId::parse(&id).map(|id| id.to_string());
    visit
        .require_to_change(&shared, Scope::ConnectionsWrite, (Action::WithdrawAuthorization, subject))
        .await?;
    shared.app.withdraw_authorization(&visit.person.caller, &id).await?;
    Ok(redirect(&format!("{CONNECT}/{id}")))
}

/// The authorizations that wait for approval, for the list of connections.
pub(super) async fn waiting_rows(shared: &Shared, visit: &Visit) -> Result<Vec<WaitingRow>, PageError> {
    let open = shared.app.list_open_authorizations(&visit.person.caller, WAITING_ROWS).await?;
    let row = |shown: &ShownAuthorization| WaitingRow {
        href: format!("{CONNECT}/{}", shown.authorization.id),
        name: name_of(shown),
        is_renewal: matches!(shown.request.target, AuthorizationTarget::Renew { .. }),
        expires: when(shown.authorization.expires_at),
    };
    Ok(open.iter().map(row).collect())
}

fn name_of(shown: &ShownAuthorization) -> String {
    shown.request.target.name().as_str().to_owned()
}

async fn find(shared: &Shared, visit: &Visit, id: &str) -> Result<ShownAuthorization, PageError> {
    visit.require(Scope::ConnectionsRead)?;
    let id = AuthorizationId::parse(id).ok_or(PageError::NotFound)?;
    Ok(shared.app.find_authorization(&visit.person.caller, &id).await?)
}

async fn events(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    find(&shared, &visit, &id).await?;
    let stopping = shared.settings.stopping.clone();
    let watched = Arc::new((shared, visit, id));
    Ok(waiting::stream(stopping, move || {
        let watched = watched.clone();
        async move {
            let (shared, visit, id) = &*watched;
            // Without a session, later changes must not be seen: the page leads to the sign-in.
            if !shared.app.is_session_active(&visit.token).await.ok()? {
                return Some(reload());
            }
            let shown = find(shared, visit, id).await.ok()?;
            let view = authorization_view(&shown);
            if view.state == AuthorizationState::Waiting {
                return None;
            }
            let html = AuthorizationUpdate { view }.render().unwrap_or_default();
            Some(event("update", &html) + &event("end", "-"))
        }
    }))
}

/// The page; `link`: what is sent to the person, once.
pub(super) fn page_view(
    visit: &Visit,
    shown: &ShownAuthorization,
    link: Option<String>,
) -> AuthorizationPage {
    let device = shown.device.as_ref().map(|device| DeviceCode {
        code: device.user_code.expose().to_owned(),
        address: https_only(&device.activate_url),
    });
    AuthorizationPage {
        shell: visit.shell(Section::Connections),
        name: name_of(shown),
        view: authorization_view(shown),
        link,
        device,
        href: format!("{CONNECT}/{}", shown.authorization.id),
        can_write: visit.may(Scope::ConnectionsWrite),
    }
}

fn authorization_view(shown: &ShownAuthorization) -> AuthorizationView {
    let authorization = &shown.authorization;
    let last = authorization.last_failure.map_or("", FailureReason::message);
    let (state, reason, connection) = match &authorization.state {
        Stored::Pending | Stored::Started | Stored::Exchanging { .. } => {
            (AuthorizationState::Waiting, last, None)
        }
        Stored::Completed { connection_id, .. } => {
            let connection = (name_of(shown), format!("{CONNECTIONS}/{connection_id}"));
            (AuthorizationState::Completed, "", Some(connection))
        }
        Stored::Denied { .. } => (AuthorizationState::Denied, "", None),
        Stored::Failed { reason: FailureReason::Withdrawn, .. } => (AuthorizationState::Withdrawn, "", None),
        Stored::Failed { reason, .. } => (AuthorizationState::Failed, reason.message(), None),
        Stored::Expired { .. } => (AuthorizationState::Expired, last, None),
    };
    let outcome = shown.outcome.as_ref();
    let account = outcome.and_then(|outcome| outcome.account.as_ref());
    let mut lines: Vec<_> = account.map(|account| m::connected_account(&account.name)).into_iter().collect();
    if outcome.is_some_and(|outcome| outcome.has_upload_access == Some(false)) {
        lines.push(m::HOSTED_NO_UPLOAD_ACCESS.to_owned());
    }
    if !reason.is_empty() {
        lines.push(reason.to_owned());
    }
    let restart_href = match &shown.request.target {
        AuthorizationTarget::Create { .. } => CONNECT.to_owned(),
        AuthorizationTarget::Renew { connection_id, .. } => format!("{CONNECTIONS}/{connection_id}"),
    };
    let expires = when(authorization.expires_at);
    AuthorizationView { state, reason: lines.join("\n"), connection, restart_href, expires }
}
