//! Webhook endpoints: the list, creating, changing, testing and deleting them, and rotating their secrets.

use app::{
    CreatedEndpoint, EndpointChange, EndpointDescription, EndpointDraft, Error, IdempotentRequest, Outcome,
    ShownEndpoint,
};
use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::audit::Action;
use domain::id::EndpointId;
use domain::idempotency::IdempotencyKey;
use domain::page::PageLimit;
use domain::scope::Scope;
use domain::secret::Secret;
use domain::webhook::{DisabledReason, EndpointState, EventFilter, EventType};

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::messages as m;
use super::super::respond::{Notice, number, page, redirect_with, rejected, when};
use super::super::views::parts::{Badge, Errors, Tone, When};
use super::super::views::shell::Section;
use super::super::views::webhooks::{
    EndpointConfirmPage, EndpointFormPage, EndpointQuestion, EndpointRow, EndpointSecretPage, WebhooksPage,
    events,
};
use super::super::visit::{Submission, Visit};
use super::connection_fields as fields;
use super::paging::{pager, position};
use crate::Shared;
use crate::replay::ReplayableResponse;

pub(super) const WEBHOOKS: &str = "/dashboard/webhooks";
/// Endpoints on a page.
const PAGE: PageLimit = PageLimit::of(50);

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/webhooks", get(list))
        .route("/dashboard/webhooks/new", get(new_form).post(create))
        .route("/dashboard/webhooks/{id}/edit", get(edit_form).post(edit))
        .route("/dashboard/webhooks/{id}/enable", post(enable))
        .route("/dashboard/webhooks/{id}/disable", post(disable))
        .route("/dashboard/webhooks/{id}/test", post(test))
        .route("/dashboard/webhooks/{id}/rotate-secret", get(ask_rotate).post(rotate))
        .route("/dashboard/webhooks/{id}/delete", get(ask_delete).post(delete))
}

async fn list(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::WebhooksManage)?;
    let (caller, query) = (&visit.person.caller, query.as_deref());
    let after = position(query, |bytes| shared.app.read_endpoint_page_key(caller, bytes))?;
    let found = shared.app.list_webhook_endpoints(caller, after.as_ref(), PAGE).await?;
    let is_all = after.is_none() && found.next.is_none();
    let view = WebhooksPage {
        shell: visit.shell(Section::Webhooks),
        rows: found.items.iter().map(row).collect(),
        pager: pager(WEBHOOKS, query, found.next.as_deref()),
        count: if is_all { m::endpoint_count(&number(found.items.len() as u64)) } else { String::new() },
        can_write: true,
    };
    Ok(page(&view))
}

async fn new_form(State(shared): State<Shared>, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::WebhooksManage)?;
    Ok(page(&EndpointFormPage {
        shell: visit.shell(Section::Webhooks),
        action: format!("{WEBHOOKS}/new"),
        cancel_href: WEBHOOKS.to_owned(),
        is_new: true,
        request_id: shared.app.random_cookie(),
        url: String::new(),
        description: String::new(),
        events: events(&[]),
        is_enabled: true,
        errors: Errors::default(),
    }))
}

async fn create(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    require(&shared, visit, Action::CreateWebhookEndpoint, None).await?;
    let fields = match read_fields(&shared, form) {
        Ok(fields) => fields,
        Err(errors) => return Ok(rejected(&entered_new(visit, form, errors))),
    };
    let Fields { url, events, description, state } = fields;
    let draft = EndpointDraft { url, events, description, state };
    let base_path = &shared.settings.base_path;
    let present =
        |created: &CreatedEndpoint| ReplayableResponse::endpoint_created(base_path, created).encode();
    let body = form.without_token();
    let key = IdempotencyKey::parse(form.text("requestId")).ok();
    let idempotency = key.map(|key| IdempotentRequest { key, body: body.as_bytes(), present: &present });
    let created = match shared.app.create_webhook_endpoint(&visit.person.caller, draft, idempotency).await {
        Ok(created) => created,
        Err(Error::IdempotencyKeyReused) => {
            let errors = Errors { general: m::ERROR_ENDPOINT_FORM_REUSED.to_owned(), fields: Vec::new() };
            let request_id = shared.app.random_cookie();
            return Ok(rejected(&EndpointFormPage { request_id, ..entered_new(visit, form, errors) }));
        }
        Err(error) => return Ok(rejected(&entered_new(visit, form, fields::refusal(error)?))),
    };
    match created {
        Outcome::Fresh(created) => Ok(secret_page(visit, &created, None)),
        // The form was sent twice.
        Outcome::Replayed(stored) => {
            let body = ReplayableResponse::decode(&stored)?.json();
            let text = |name: &str| body.get(name).and_then(|value| value.as_str()).unwrap_or_default();
            Ok(page(&EndpointSecretPage {
                shell: visit.shell(Section::Webhooks),
                href: format!("{WEBHOOKS}/{}", text("endpointId")),
                url: without_query(text("url")),
                secret: text("secret").to_owned(),
                old_until: None,
            }))
        }
    }
}

async fn edit_form(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    let shown = find(&shared, &visit, &id).await?;
    let types = shown.endpoint.events.types().unwrap_or_default();
    let chosen: Vec<_> = types.into_iter().map(EventType::as_str).collect();
    Ok(page(&EndpointFormPage {
        shell: visit.shell(Section::Webhooks),
        action: format!("{WEBHOOKS}/{id}/edit"),
        cancel_href: format!("{WEBHOOKS}/{id}"),
        is_new: false,
        request_id: String::new(),
        url: shown.url.expose().to_owned(),
        description: shown.description.unwrap_or_default(),
        events: events(&chosen),
        is_enabled: shown.endpoint.state.is_enabled(),
        errors: Errors::default(),
    }))
}

async fn edit(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    require(&shared, visit, Action::UpdateWebhookEndpoint, Some(&id)).await?;
    let shown = find(&shared, visit, &id).await?;
    let fields = match read_fields(&shared, form) {
        Ok(fields) => fields,
        Err(errors) => {
            let (action, cancel) = (format!("{WEBHOOKS}/{id}/edit"), format!("{WEBHOOKS}/{id}"));
            return Ok(rejected(&entered(visit, form, errors, (action, cancel))));
        }
    };
    let Fields { url, events, description, state } = fields;
    // What stays as it is keeps why it was disabled, and since when it fails.
    let change = EndpointChange {
        url: (!url.is_same(&shown.url)).then_some(url),
        events: Some(events),
        description: Some(description),
        state: (state.is_enabled() != shown.endpoint.state.is_enabled()).then_some(state),
    };
    shared.app.update_webhook_endpoint(&visit.person.caller, &shown.endpoint.id, change).await?;
    Ok(redirect_with(&format!("{WEBHOOKS}/{id}"), Notice::EndpointSaved))
}

async fn enable(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    set_state(&shared, &sent.visit, &id, EndpointState::Enabled).await?;
    Ok(redirect_with(&format!("{WEBHOOKS}/{id}"), Notice::EndpointEnabled))
}

async fn disable(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    set_state(&shared, &sent.visit, &id, EndpointState::Disabled(None)).await?;
    Ok(redirect_with(&format!("{WEBHOOKS}/{id}"), Notice::EndpointDisabled))
}

async fn set_state(shared: &Shared, visit: &Visit, id: &str, state: EndpointState) -> Result<(), PageError> {
    let id = required_id(shared, visit, Action::UpdateWebhookEndpoint, id).await?;
    let change = EndpointChange { state: Some(state), ..EndpointChange::default() };
    shared.app.update_webhook_endpoint(&visit.person.caller, &id, change).await?;
    Ok(())
}

async fn test(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let parsed = required_id(&shared, &sent.visit, Action::TestWebhookEndpoint, &id).await?;
    shared.app.test_webhook_endpoint(&sent.visit.person.caller, &parsed).await?;
    Ok(redirect_with(&format!("{WEBHOOKS}/{id}"), Notice::TestSent))
}

async fn ask_rotate(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    question(&shared, &visit, &id, EndpointQuestion::RotateSecret).await
}

async fn rotate(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let visit = &sent.visit;
    let id = required_id(&shared, visit, Action::RotateWebhookEndpointSecret, &id).await?;
    let rotated = shared.app.rotate_webhook_endpoint_secret(&visit.person.caller, &id).await?;
    let old_until = rotated.shown.endpoint.updated_at.plus(app::WEBHOOK_SECRET_OVERLAP);
    Ok(secret_page(visit, &rotated, Some(when(old_until))))
}

async fn ask_delete(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, PageError> {
    question(&shared, &visit, &id, EndpointQuestion::Delete).await
}

async fn delete(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let id = required_id(&shared, &sent.visit, Action::DeleteWebhookEndpoint, &id).await?;
    shared.app.delete_webhook_endpoint(&sent.visit.person.caller, &id).await?;
    Ok(redirect_with(WEBHOOKS, Notice::EndpointDeleted))
}

async fn question(
    shared: &Shared,
    visit: &Visit,
    id: &str,
    question: EndpointQuestion,
) -> Result<Response, PageError> {
    let shown = find(shared, visit, id).await?;
    Ok(page(&EndpointConfirmPage {
        shell: visit.shell(Section::Webhooks),
        href: format!("{WEBHOOKS}/{id}"),
        url: without_query(shown.url.expose()),
        question,
        errors: Errors::default(),
    }))
}

/// The endpoint of a page.
pub(super) async fn find(shared: &Shared, visit: &Visit, id: &str) -> Result<ShownEndpoint, PageError> {
    visit.require(Scope::WebhooksManage)?;
    let id = EndpointId::parse(id).ok_or(PageError::NotFound)?;
    Ok(shared.app.find_webhook_endpoint(&visit.person.caller, &id).await?)
}

/// Refuses a change by a person who may not manage webhooks, and audits it.
pub(super) async fn require(
    shared: &Shared,
    visit: &Visit,
    action: Action,
    id: Option<&str>,
) -> Result<(), PageError> {
    let subject = id.filter(|id| EndpointId::parse(id).is_some()).map(str::to_owned);
    visit.require_to_change(shared, Scope::WebhooksManage, (action, subject)).await
}

async fn required_id(
    shared: &Shared,
    visit: &Visit,
    action: Action,
    id: &str,
) -> Result<EndpointId, PageError> {
    require(shared, visit, action, Some(id)).await?;
    let (parsed, unknown) = (EndpointId::parse(id), Error::WebhookEndpointNotFound);
    Ok(shared.app.well_formed(&visit.person.caller, action, parsed, unknown).await?)
}

/// The settings of an endpoint.
struct Fields {
    url: Secret,
    events: EventFilter,
    description: Option<EndpointDescription>,
    state: EndpointState,
}

fn read_fields(shared: &Shared, form: &Form) -> Result<Fields, Errors> {
    let mut errors = Errors::default();
    let url = form.text("url");
    if let Err(error) = shared.app.check_address(url) {
        let broken = m::broken_rule(m::SUBJECT_URL, &error.to_string());
        errors.add("url", if url.is_empty() { m::ERROR_REQUIRED.to_owned() } else { broken });
    }
    let description = EndpointDescription::parse(form.text("description"));
    if let Err(error) = &description {
        errors.add("description", m::broken_rule(m::SUBJECT_DESCRIPTION, &error.to_string()));
    }
    let types: Result<Vec<_>, _> = form.all("events").map(EventType::parse).collect();
    if types.is_err() {
        errors.add("events", m::ERROR_EVENTS);
    }
    match (description, types) {
        (Ok(description), Ok(types)) if errors.is_empty() => Ok(Fields {
            url: Secret::new(url.to_owned()),
            events: if types.is_empty() { EventFilter::All } else { EventFilter::only(types) },
            description,
            state: if form.is_checked("enabled") {
                EndpointState::Enabled
            } else {
                EndpointState::Disabled(None)
            },
        }),
        _ => Err(errors),
    }
}

fn entered_new(visit: &Visit, form: &Form, errors: Errors) -> EndpointFormPage {
    entered(visit, form, errors, (format!("{WEBHOOKS}/new"), WEBHOOKS.to_owned()))
}

/// The form as it was entered, with what is wrong with it.
fn entered(
    visit: &Visit,
    form: &Form,
    errors: Errors,
    (action, cancel_href): (String, String),
) -> EndpointFormPage {
    let chosen: Vec<_> = form.all("events").collect();
    let request_id = form.text("requestId").to_owned();
    EndpointFormPage {
        shell: visit.shell(Section::Webhooks),
        action,
        cancel_href,
        is_new: !request_id.is_empty(),
        request_id,
        url: form.text("url").to_owned(),
        description: form.text("description").to_owned(),
        events: events(&chosen),
        is_enabled: form.is_checked("enabled"),
        errors,
    }
}

fn secret_page(visit: &Visit, created: &CreatedEndpoint, old_until: Option<When>) -> Response {
    page(&EndpointSecretPage {
        shell: visit.shell(Section::Webhooks),
        href: format!("{WEBHOOKS}/{}", created.shown.endpoint.id),
        url: without_query(created.shown.url.expose()),
        secret: created.secret.expose().to_owned(),
        old_until,
    })
}

/// An endpoint as lists show it.
pub(super) fn row(shown: &ShownEndpoint) -> EndpointRow {
    let endpoint = &shown.endpoint;
    let (tone, text) = match endpoint.state {
        EndpointState::Enabled if endpoint.failing_since.is_some() => (Tone::Warn, m::ENDPOINT_FAILING),
        EndpointState::Enabled => (Tone::Good, m::ENABLED),
        EndpointState::Disabled(None) => (Tone::Muted, m::DISABLED),
        EndpointState::Disabled(Some(_)) => (Tone::Bad, m::ENDPOINT_DISABLED_BY_SERVICE),
    };
    let reason = match endpoint.state.disabled_reason() {
        None => "",
        Some(DisabledReason::Gone) => m::ENDPOINT_GONE,
        Some(DisabledReason::Failing) => m::ENDPOINT_FAILED_TOO_LONG,
    };
    let types = endpoint.events.types().unwrap_or_default();
    EndpointRow {
        href: format!("{WEBHOOKS}/{}", endpoint.id),
        url: without_query(shown.url.expose()),
        description: shown.description.clone().unwrap_or_default(),
        status: Badge { tone, text: text.to_owned() },
        reason: reason.to_owned(),
        events: types.into_iter().map(|kind| kind.as_str().to_owned()).collect(),
        created: when(endpoint.created_at),
    }
}

/// A URL as lists show it: its query may have a secret.
fn without_query(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}
