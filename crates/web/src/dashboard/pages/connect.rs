//! Connecting with Vimeo: starting an authorization for a new connection or a new token.

use app::{
    AuthorizationDraft, CreatedAuthorization, DraftFlow, DraftTarget, Error, IdempotentRequest, Outcome,
    ReturnUrl,
};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use domain::audit::Action;
use domain::connection::Connection;
use domain::id::{AuthorizationId, ConnectionId};
use domain::idempotency::{IdempotencyKey, StoredResponse};
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::messages as m;
use super::super::respond::{page, redirect, rejected};
use super::super::views::authorization::{ConnectPage, approvers, scopes};
use super::super::views::hosted::LeavePage;
use super::super::views::parts::Errors;
use super::super::views::shell::{Bare, Extent, Section};
use super::super::visit::{Submission, Visit};
use super::authorization::{self, page_view};
use super::connection_fields as fields;
use super::connections::LIST as CONNECTIONS;
use crate::Shared;

/// The path of the form.
pub(super) const CONNECT: &str = "/dashboard/connect";
/// Scopes that are chosen at first, beside those that connections need.
const USUAL_SCOPES: [&str; 2] = ["public", "delete"];

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route("/dashboard/connect", get(new_form).post(create))
        .route("/dashboard/connections/{id}/renew", post(renew))
        .merge(authorization::routes())
}

/// Who approves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Approver {
    Me,
    Customer,
    Device,
}

impl Approver {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "me" => Some(Self::Me),
            "customer" => Some(Self::Customer),
            "device" => Some(Self::Device),
            _ => None,
        }
    }
}

async fn new_form(State(shared): State<Shared>, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsWrite)?;
    Ok(page(&view(&shared, &visit, None, &USUAL_SCOPES)))
}

/// The empty form; `renewed`: for a new token of this connection.
fn view(shared: &Shared, visit: &Visit, renewed: Option<&Connection>, chosen: &[&str]) -> ConnectPage {
    let required = shared.app.missing_scopes(&["public".to_owned()]);
    let required: Vec<_> = required.iter().map(String::as_str).collect();
    let callback = "/connect/callback";
    let href = renewed.map(|connection| format!("{CONNECTIONS}/{}", connection.id));
    ConnectPage {
        shell: visit.shell(Section::Connections),
        action: href.as_ref().map_or_else(|| CONNECT.to_owned(), |href| format!("{href}/renew")),
        request_id: shared.app.random_cookie(),
        renews: renewed.map(|connection| connection.name.as_str().to_owned()),
        cancel_href: href.unwrap_or_else(|| CONNECTIONS.to_owned()),
        name: String::new(),
        description: String::new(),
        client_identifier: String::new(),
        return_url: String::new(),
        scopes: scopes(chosen, &required),
        approvers: approvers("me"),
        callback_url: shared.settings.public_url.as_ref().map_or_else(String::new, |url| url.join(callback)),
        errors: Errors::default(),
        must_reenter: false,
    }
}

async fn create(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    visit.require_to_change(&shared, Scope::ConnectionsWrite, (Action::CreateAuthorization, None)).await?;
    let mut errors = Errors::default();
    let name = fields::name(form, &mut errors);
    let description = fields::description(form, &mut errors);
    let identifier = fields::client_identifier(form, &mut errors);
    let secret = fields::client_secret(form, &mut errors);
    let terms = read_terms(&shared, form, &mut errors);
    let (Some(name), Some(identifier), Some(secret), Some(terms)) = (name, identifier, secret, terms) else {
        return Ok(rejected(&entered(&shared, visit, form, errors)));
    };
    let target = DraftTarget::Create { name, description, app: (identifier, secret) };
    match begin(&shared, &sent, terms, target).await {
        Ok(response) => Ok(response),
        Err(error) => Ok(rejected(&entered(&shared, visit, form, refusal(error)?))),
    }
}

/// Without `approver`, the form is asked for.
async fn renew(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    sent: Submission,
) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    let subject = ConnectionId::parse(&id).map(|id| id.to_string());
    visit.require_to_change(&shared, Scope::ConnectionsWrite, (Action::CreateAuthorization, subject)).await?;
    let id = ConnectionId::parse(&id).ok_or(PageError::NotFound)?;
    let connection = shared.app.find_connection(&visit.person.caller, &id).await?;
    if form.raw("approver").is_empty() {
        return Ok(page(&view(&shared, visit, Some(&connection), &USUAL_SCOPES)));
    }
    let mut errors = Errors::default();
    let secret = match form.text(fields::CLIENT_SECRET) {
        "" => None,
        _ => fields::client_secret(form, &mut errors),
    };
    let terms = read_terms(&shared, form, &mut errors);
    let result = match terms {
        Some(terms) if errors.is_empty() => {
            let app = secret.map(|secret| (connection.client_identifier.clone(), secret));
            let target = DraftTarget::Renew { connection_id: connection.id.clone(), app };
            match begin(&shared, &sent, terms, target).await {
                Ok(response) => return Ok(response),
                Err(error) => refusal(error)?,
            }
        }
        _ => errors,
    };
    let chosen: Vec<_> = form.all("scopes").collect();
    let again = view(&shared, visit, Some(&connection), &chosen);
    Ok(rejected(&ConnectPage {
        approvers: approvers(form.text("approver")),
        errors: result,
        must_reenter: fields::has_secret(form),
        ..again
    }))
}

/// What both forms decide beside the connection.
struct Terms {
    approver: Approver,
    scopes: Vec<String>,
    return_url: Option<ReturnUrl>,
}

fn read_terms(shared: &Shared, form: &Form, errors: &mut Errors) -> Option<Terms> {
    let approver = Approver::parse(form.text("approver"));
    if approver.is_none() {
        errors.add("approver", m::ERROR_APPROVER);
    }
    let scopes: Vec<_> = form.all("scopes").map(str::to_owned).collect();
    let missing = shared.app.missing_scopes(&scopes);
    if scopes.is_empty() || !missing.is_empty() || scopes.iter().any(|scope| !is_vimeo_scope(scope)) {
        errors.add("scopes", m::ERROR_CONNECT_SCOPES);
    }
    let own = || shared.settings.public_url.as_ref().map(|url| url.join("/dashboard/connect/done"));
    let return_url = match (form.text("returnUrl"), approver) {
        // The person comes back to the page that shows the result.
        (_, Some(Approver::Me)) => own().and_then(|url| ReturnUrl::parse(&url).ok()),
        ("", _) => None,
        (text, _) => match ReturnUrl::parse(text) {
            Ok(url) => Some(url),
            Err(error) => {
                errors.add("returnUrl", m::broken_rule(m::SUBJECT_RETURN, &error.to_string()));
                None
            }
        },
    };
    Some(Terms { approver: approver?, scopes, return_url }).filter(|_| errors.is_empty())
}

fn is_vimeo_scope(text: &str) -> bool {
    app::VIMEO_SCOPES.contains(&text)
}

/// Creates the authorization, and leads to what follows.
async fn begin(
    shared: &Shared,
    sent: &Submission,
    terms: Terms,
    target: DraftTarget,
) -> Result<Response, Error> {
    let Submission { visit, form, .. } = sent;
    let Terms { approver, scopes, return_url } = terms;
    let flow = if approver == Approver::Device { DraftFlow::Device } else { DraftFlow::Redirect };
    let draft = AuthorizationDraft { flow, target, scopes, return_url };
    let body = form.without_token();
    let key = IdempotencyKey::parse(form.text("requestId")).ok();
    let present = |created: &CreatedAuthorization| StoredResponse(stored(created).into_bytes());
    let idempotency = key.map(|key| IdempotentRequest { key, body: body.as_bytes(), present: &present });
    let text = match shared.app.create_authorization(&visit.person.caller, draft, idempotency).await? {
        Outcome::Fresh(created) => stored(&created),
        Outcome::Replayed(StoredResponse(bytes)) => String::from_utf8(bytes).unwrap_or_default(),
    };
    let (id, link) = text.split_once('\n').unwrap_or((&text, ""));
    match approver {
        Approver::Me => {
            let bare = Bare::without_form(Extent::Page);
            Ok(page(&LeavePage { bare, url: link.to_owned() }))
        }
        Approver::Device => Ok(redirect(&format!("{CONNECT}/{id}"))),
        Approver::Customer => {
            let parsed = AuthorizationId::parse(id).ok_or(Error::AuthorizationNotFound)?;
            let shown = shared.app.find_authorization(&visit.person.caller, &parsed).await?;
            Ok(page(&page_view(visit, &shown, Some(link.to_owned()))))
        }
    }
}

/// What is kept for a form that is sent twice: the ID, and the link, which is shown once.
fn stored(created: &CreatedAuthorization) -> String {
    let link = created.connect_url.as_ref().map_or("", |url| url.expose());
    format!("{}\n{link}", created.shown.authorization.id)
}

fn refusal(error: Error) -> Result<Errors, PageError> {
    match error {
        Error::PublicUrlMissing => Ok(Errors { general: m::ERROR_PUBLIC_URL.to_owned(), fields: Vec::new() }),
        error => fields::refusal(error),
    }
}

/// The form as it was entered, with what is wrong with it.
fn entered(shared: &Shared, visit: &Visit, form: &Form, errors: Errors) -> ConnectPage {
    let chosen: Vec<_> = form.all("scopes").collect();
    ConnectPage {
        name: form.raw(fields::NAME).to_owned(),
        description: fields::entered_description(form),
        client_identifier: form.raw(fields::CLIENT_IDENTIFIER).to_owned(),
        return_url: form.raw("returnUrl").to_owned(),
        approvers: approvers(form.text("approver")),
        errors,
        must_reenter: fields::has_secret(form),
        ..view(shared, visit, None, &chosen)
    }
}
