//! Starting an upload of a file that the browser sends to Vimeo itself. The script posts the form and reads JSON.

use app::{IdempotentRequest, Outcome};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use domain::audit::Action;
use domain::id::ConnectionId;
use domain::scope::Scope;
use serde::Serialize;
use serde_json::Value;

use super::super::super::errors::PageError;
use super::super::super::messages as m;
use super::super::super::views::parts::Errors;
use super::super::super::visit::Submission;
use super::form::{self, Draft, Origin};
use super::present;
use crate::Shared;
use crate::replay::ReplayableResponse;

/// The answer to a form that was accepted.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartedOut<'a> {
    job_id: &'a str,
    /// Where the bytes go, by tus. It is shown only here.
    upload_link: &'a str,
    /// The page of the upload.
    href: &'a str,
    /// Where the form that cancels it is posted.
    cancel_href: String,
}

/// The answer to a form that was not accepted.
#[derive(Serialize)]
struct RefusedOut {
    message: String,
    fields: Vec<FieldOut>,
}

#[derive(Serialize)]
struct FieldOut {
    name: String,
    message: String,
}

pub(super) async fn create_link(
    State(shared): State<Shared>,
    sent: Result<Submission, PageError>,
) -> Response {
    let created = match sent {
        Ok(sent) => Box::pin(create(&shared, &sent)).await,
        Err(error) => Err(error),
    };
    created.unwrap_or_else(refused)
}

async fn create(shared: &Shared, sent: &Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = sent;
    let subject = ConnectionId::parse(form.text("connection")).map(|id| id.to_string());
    visit.require_to_change(shared, Scope::UploadsWrite, (Action::CreateUpload, subject)).await?;
    let Draft { connection, request, body, key } = match form::read(shared, form, Origin::File)? {
        Ok(draft) => draft,
        Err(errors) => return Ok(invalid(errors)),
    };
    let base_path = &shared.settings.base_path;
    let answer = |made: &_| ReplayableResponse::upload_link(base_path, made);
    let present = |made: &_| answer(made).encode();
    let idempotency = Some(IdempotentRequest { key, body: &body, present: &present });
    let caller = &visit.person.caller;
    let answer = match shared.app.create_upload_link(caller, &connection, request, idempotency).await {
        Ok(Outcome::Fresh(made)) => answer(&made),
        Ok(Outcome::Replayed(stored)) => ReplayableResponse::decode(&stored)?,
        Err(error) => return form::refusal(error).map(|(errors, _)| invalid(errors)),
    };
    let job = answer.job_id()?;
    // Also of a form that was sent twice.
    let body = answer.json();
    let upload_link = body.pointer("/data/uploadLink").and_then(Value::as_str).unwrap_or_default();
    let href = present::href(&job);
    let cancel_href = format!("{href}/cancel");
    let out = StartedOut { job_id: job.as_str(), upload_link, href: &href, cancel_href };
    Ok((StatusCode::CREATED, Json(out)).into_response())
}

fn invalid(errors: Errors) -> Response {
    let fields = errors.fields.into_iter().map(|(name, message)| FieldOut { name, message }).collect();
    let out = RefusedOut { message: errors.general, fields };
    (StatusCode::UNPROCESSABLE_ENTITY, Json(out)).into_response()
}

fn refused(error: PageError) -> Response {
    let (status, message) = match error {
        PageError::NotSignedIn { .. } => (StatusCode::UNAUTHORIZED, m::SENDING_SIGNED_OUT.to_owned()),
        PageError::StaleForm => (StatusCode::FORBIDDEN, m::PROBLEM_STALE.to_owned()),
        PageError::Forbidden | PageError::NotRecent { .. } => {
            (StatusCode::FORBIDDEN, m::PROBLEM_403.to_owned())
        }
        PageError::BadRequest => (StatusCode::BAD_REQUEST, m::PROBLEM_400.to_owned()),
        PageError::NotFound | PageError::NoSuchMethod => (StatusCode::NOT_FOUND, m::PROBLEM_404.to_owned()),
        PageError::Operation { code, message, .. } => (code.status(), message),
    };
    (status, Json(RefusedOut { message, fields: Vec::new() })).into_response()
}
