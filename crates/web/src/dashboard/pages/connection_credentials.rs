//! Replacing the credentials of a connection.

use app::Error;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::get;
use domain::audit::Action;
use domain::connection::{Connection, ConnectionChange};
use domain::health::HealthStatus;
use domain::scope::Scope;

use super::super::errors::PageError;
use super::super::form::Form;
use super::super::messages as m;
use super::super::respond::{Notice, page, redirect_with, rejected};
use super::super::views::connection_forms::CredentialsPage;
use super::super::views::parts::Errors;
use super::super::views::shell::Section;
use super::super::visit::{Submission, Visit};
use super::connection::{SentId, find, find_to_change};
use super::{connection_fields as fields, present_connections as present};
use crate::Shared;

pub(super) fn routes() -> Router<Shared> {
    Router::new().route("/dashboard/connections/{id}/credentials", get(form).post(replace))
}

async fn form(State(shared): State<Shared>, id: SentId, visit: Visit) -> Result<Response, PageError> {
    visit.require(Scope::ConnectionsWrite)?;
    let connection = find(&shared, &visit.person.caller, id).await?;
    let entered = connection.client_identifier.as_str().to_owned();
    Ok(page(&view(&visit, &connection, connection.version, entered, Errors::default())))
}

async fn replace(State(shared): State<Shared>, id: SentId, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    let caller = &visit.person.caller;
    let connection = find_to_change(&shared, visit, Action::UpdateConnection, id).await?;
    let version = fields::version(form)?;
    let again = |connection: &Connection, version, errors| {
        let entered = form.raw(fields::CLIENT_IDENTIFIER).to_owned();
        let view = view(visit, connection, version, entered, errors);
        Ok(rejected(&CredentialsPage { must_reenter: fields::has_secret(form), ..view }))
    };
    let change = match read_change(form, &connection, version) {
        Ok(change) => change,
        Err(errors) => return again(&connection, version, errors),
    };
    match shared.app.update_connection(caller, connection.id.as_str(), change).await {
        Ok(updated) => {
            let report = shared.app.find_connection_health(caller, &updated.id).await;
            let is_asked = report.is_ok_and(|report| report.health.status != HealthStatus::Unverified);
            let notice =
                if is_asked { Notice::CredentialsReplaced } else { Notice::CredentialsReplacedUnverified };
            Ok(redirect_with(&present::href(&updated.id), notice))
        }
        Err(Error::VersionConflict { .. }) => {
            let current = shared.app.find_connection(caller, &connection.id).await?;
            let errors = Errors { general: m::ERROR_CONFLICT.to_owned(), ..Errors::default() };
            again(&current, current.version, errors)
        }
        Err(error) => again(&connection, version, fields::refusal(error)?),
    }
}

/// What is left empty is kept.
fn read_change(form: &Form, connection: &Connection, version: u64) -> Result<ConnectionChange, Errors> {
    let mut errors = Errors::default();
    let is_given = |field: &str| !form.text(field).is_empty();
    let client_identifier = fields::client_identifier(form, &mut errors);
    let client_secret =
        is_given(fields::CLIENT_SECRET).then(|| fields::client_secret(form, &mut errors)).flatten();
    let access_token =
        is_given(fields::ACCESS_TOKEN).then(|| fields::access_token(form, &mut errors)).flatten();
    if !errors.is_empty() {
        return Err(errors);
    }
    let client_identifier = client_identifier.filter(|entered| *entered != connection.client_identifier);
    if client_identifier.is_none() && client_secret.is_none() && access_token.is_none() {
        errors.add(fields::ACCESS_TOKEN, m::ERROR_NOTHING_REPLACED);
        return Err(errors);
    }
    Ok(ConnectionChange { client_identifier, client_secret, access_token, ..ConnectionChange::none(version) })
}

fn view(
    visit: &Visit,
    connection: &Connection,
    version: u64,
    client_identifier: String,
    errors: Errors,
) -> CredentialsPage {
    CredentialsPage {
        shell: visit.shell(Section::Connections),
        href: present::href(&connection.id),
        title: connection.name.as_str().to_owned(),
        version: version.to_string(),
        client_identifier,
        errors,
        must_reenter: false,
    }
}
