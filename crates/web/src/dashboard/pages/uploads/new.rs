//! Starting an upload from a URL.

use std::collections::HashSet;

use app::{IdempotentRequest, Outcome};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use domain::audit::Action;
use domain::health::HealthStatus;
use domain::id::ConnectionId;
use domain::page::PageLimit;
use domain::scope::Scope;

use super::super::super::errors::PageError;
use super::super::super::form::Form;
use super::super::super::respond::{Notice, page, redirect_with, rejected};
use super::super::super::security::Policy;
use super::super::super::views::new_upload::{NewUploadPage, VideoFields};
use super::super::super::views::parts::{Choice, Errors};
use super::super::super::views::shell::Section;
use super::super::super::visit::{Submission, Visit};
use super::super::sign_in::parameter;
use super::connections::{Connections, target_choices};
use super::form::{self, Draft, Origin, Repeat};
use super::present;
use crate::Shared;
use crate::replay::ReplayableResponse;

pub(super) async fn new_page(
    State(shared): State<Shared>,
    RawQuery(query): RawQuery,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::UploadsWrite)?;
    let chosen = parameter(query.as_deref(), "connection");
    let view = NewUploadPage {
        shell: visit.shell(Section::Uploads),
        request_id: shared.app.random_cookie(),
        connections: targets(&shared, &visit, &chosen).await?,
        privacies: form::privacies(""),
        source: String::new(),
        video: VideoFields::default(),
        errors: Errors::default(),
        must_reenter: false,
    };
    Ok(with_uploads(page(&view)))
}

pub(super) async fn create(State(shared): State<Shared>, sent: Submission) -> Result<Response, PageError> {
    let Submission { visit, form, .. } = &sent;
    let subject = ConnectionId::parse(form.text("connection")).map(|id| id.to_string());
    visit.require_to_change(&shared, Scope::UploadsWrite, (Action::CreateUpload, subject)).await?;
    let draft = match form::read(&shared, form, Origin::Url)? {
        Ok(draft) => draft,
        Err(errors) => return again(&shared, visit, form, errors, Repeat::SameId).await,
    };
    let Draft { connection, request, body, key } = draft;
    let base_path = &shared.settings.base_path;
    let present = |job: &_| ReplayableResponse::upload_accepted(base_path, job).encode();
    let idempotency = Some(IdempotentRequest { key, body: &body, present: &present });
    let caller = &visit.person.caller;
    let job = match shared.app.create_upload(caller, &connection, request, idempotency).await {
        Ok(Outcome::Fresh(job)) => job,
        Ok(Outcome::Replayed(stored)) => ReplayableResponse::decode(&stored)?.job_id()?,
        Err(error) => {
            let (errors, repeat) = form::refusal(error)?;
            return again(&shared, visit, form, errors, repeat).await;
        }
    };
    Ok(redirect_with(&present::href(&job), Notice::UploadStarted))
}

/// The form with what was entered, except for secrets, and its errors.
async fn again(
    shared: &Shared,
    visit: &Visit,
    form: &Form,
    errors: Errors,
    repeat: Repeat,
) -> Result<Response, PageError> {
    let request_id = match repeat {
        Repeat::SameId => form.raw("requestId").to_owned(),
        Repeat::NewId => shared.app.random_cookie(),
    };
    // What grants access to a file is often in the query of its URL, and then all of the URL is entered again.
    let source = Some(form.text("source")).filter(|url| !url.contains('?'));
    let view = NewUploadPage {
        shell: visit.shell(Section::Uploads),
        request_id,
        connections: targets(shared, visit, form.text("connection")).await?,
        privacies: form::privacies(form.text("privacy")),
        must_reenter: !form.raw("password").is_empty() || source.is_none(),
        source: source.unwrap_or_default().to_owned(),
        video: form::entered(form),
        errors,
    };
    Ok(with_uploads(rejected(&view)))
}

/// The connections that can be used.
async fn targets(shared: &Shared, visit: &Visit, chosen: &str) -> Result<Vec<Choice>, PageError> {
    let caller = &visit.person.caller;
    let listed = Connections::for_caller(caller).list(shared, caller).await?;
    if listed.is_empty() {
        return Ok(target_choices(&listed, chosen, |_| false));
    }
    let unhealthy =
        shared.app.list_connections_by_health(caller, HealthStatus::Unhealthy, None, PageLimit::MAX).await?;
    let unhealthy: HashSet<_> = unhealthy.items.into_iter().map(|connection| connection.id).collect();
    Ok(target_choices(&listed, chosen, |id| unhealthy.contains(id)))
}

/// Lets the page send bytes to Vimeo.
fn with_uploads(mut response: Response) -> Response {
    response.extensions_mut().insert(Policy::Uploads);
    response
}
