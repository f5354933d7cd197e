//! A new connection from credentials that a person pastes.

use app::{App, Caller, Error, IdempotentRequest, Outcome};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::audit::Action;
use domain::connection::{Availability, Connection, ConnectionDraft, Credentials};
use domain::health::HealthStatus;
use domain::id::ConnectionId;
use domain::idempotency::{IdempotencyKey, StoredResponse};
use domain::scope::Scope;
use zeroize::Zeroizing;

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::respond::{Notice, page, redirect_with, rejected};
use super::super::views::connection_forms::NewConnectionPage;
use super::super::views::parts::Errors;
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::connection_fields as fields;
use super::present_connections as present;
use crate::Shared;

const REQUEST_ID: &str = "requestId";

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/dashboard/connections/new", get(form).post(create))
}

async fn form(State(shared): State<Shared>, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsWrite)?;
    Ok(page(&NewConnectionPage {
        shell: visit.shell(Section::Connections),
        request_id: shared.app.random_cookie(),
        name: String::new(),
        description: String::new(),
        is_enabled: true,
        client_identifier: String::new(),
        errors: Errors::default(),
        must_reenter: false,
    }))
}

async fn create(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    let caller = &visit.person.caller;
    if !visit.may(Scope::ConnectionsWrite) {
        let mutation = Some((Action::CreateConnection, None));
        return Err(shared.app.forbid(caller, Scope::ConnectionsWrite, mutation).await.into());
    }
    let key = IdempotencyKey::parse(form.raw(REQUEST_ID)).map_err(|_| PageError::BadRequest)?;
    let draft = match read_draft(form) {
        Ok(draft) => draft,
        Err(errors) => return Ok(rejected(&again(visit, form, key.as_str(), errors))),
    };
    let body = content(form);
    let present = |connection: &Connection| StoredResponse(connection.id.as_str().as_bytes().to_vec());
    let request = IdempotentRequest { key: key.clone(), body: body.as_bytes(), present: &present };
    match shared.app.create_connection(caller, draft, Some(request)).await {
        Ok(outcome) => {
            let id = created_id(outcome)?;
            Ok(redirect_with(&present::href(&id), created_notice(&shared.app, caller, &id).await))
        }
        // The form may be sent again, which is another request.
        Err(Error::IdempotencyKeyReused) => {
            let errors = fields::refusal(Error::IdempotencyKeyReused)?;
            Ok(rejected(&again(visit, form, &shared.app.random_cookie(), errors)))
        }
        Err(error) => Ok(rejected(&again(visit, form, key.as_str(), fields::refusal(error)?))),
    }
}

fn read_draft(form: &Form) -> Result<ConnectionDraft, Errors> {
    let mut errors = Errors::default();
    let name = fields::name(form, &mut errors);
    let description = fields::description(form, &mut errors);
    let client_identifier = fields::client_identifier(form, &mut errors);
    let client_secret = fields::client_secret(form, &mut errors);
    let access_token = fields::access_token(form, &mut errors);
    match (name, client_identifier, client_secret, access_token) {
        (Some(name), Some(client_identifier), Some(client_secret), Some(access_token))
            if errors.is_empty() =>
        {
            Ok(ConnectionDraft {
                name,
                description,
                availability: Availability::from_enabled(form.is_checked(fields::ENABLED)),
                credentials: Credentials { client_identifier, client_secret, access_token },
            })
        }
        _ => Err(errors),
    }
}

/// What a repeated form must share with the first. It begins unlike the body of any request of the API.
fn content(form: &Form) -> Zeroizing<String> {
    let entered = [
        fields::NAME,
        fields::DESCRIPTION,
        fields::ENABLED,
        fields::CLIENT_IDENTIFIER,
        fields::CLIENT_SECRET,
        fields::ACCESS_TOKEN,
    ]
    .map(|field| form.text(field));
    let parts = ["form"].into_iter().chain(entered);
    // The capacity is never exceeded, which would leave a copy.
    let capacity = parts.clone().map(|part| part.len() + 1).sum();
    let mut content = Zeroizing::new(String::with_capacity(capacity));
    for part in parts {
        content.push_str(part);
        // No field that was accepted has one.
        content.push('\0');
    }
    content
}

fn created_id(outcome: Outcome<Connection>) -> Result<ConnectionId, PageError> {
    match outcome {
        Outcome::Fresh(connection) => Ok(connection.id),
        Outcome::Replayed(StoredResponse(bytes)) => {
            let id = std::str::from_utf8(&bytes).ok().and_then(ConnectionId::parse);
            id.ok_or_else(|| Error::Internal("the stored response of a form is not an ID".into()).into())
        }
    }
}

/// Whether Vimeo has accepted the credentials, as far as this can be read.
async fn created_notice(app: &App, caller: &Caller, id: &ConnectionId) -> Notice {
    match app.find_connection_health(caller, id).await {
        Ok(report) if report.health.status == HealthStatus::Healthy => Notice::ConnectionCreated,
        _ => Notice::ConnectionCreatedUnverified,
    }
}

fn again(visit: &Visit, form: &Form, request_id: &str, errors: Errors) -> NewConnectionPage {
    NewConnectionPage {
        shell: visit.shell(Section::Connections),
        request_id: request_id.to_owned(),
        name: form.raw(fields::NAME).to_owned(),
        description: fields::entered_description(form),
        is_enabled: form.is_checked(fields::ENABLED),
        client_identifier: form.raw(fields::CLIENT_IDENTIFIER).to_owned(),
        errors,
        must_reenter: fields::has_secret(form),
    }
}
