//! One upload: its page, cancelling and retrying it.

use app::Error;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::Response;
use domain::audit::Action;
use domain::job::{Job, JobId, JobState, NotRetryable};
use domain::scope::Scope;

use super::super::super::errors::PageError;
use super::super::super::respond::{Notice, page, redirect_with, when};
use super::super::super::views::shell::Section;
use super::super::super::views::upload::UploadPage;
use super::super::super::visit::{Submission, Visit};
use super::connections::Connections;
use super::list::find_settings;
use super::present::{self, Access};
use super::{facts, job_id};
use crate::Shared;

pub(super) async fn detail_page(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    visit: Visit,
) -> Result<Response, PageError> {
    visit.require(Scope::UploadsRead)?;
    let (caller, access) = (&visit.person.caller, Access::of(&visit));
    let job = shared.app.find_job(caller, &job_id(id)?).await?;
    let settings = find_settings(&shared, caller, &job).await?;
    let connection = Connections::for_caller(caller).of(&shared, caller, &job.connection_id).await?;
    let retry = match job.state {
        JobState::Failed(_) => shared.app.find_retry(caller, &job.id).await?,
        _ => None,
    };
    // Without its request, or its connection, a retry is refused.
    let can_retry =
        job.check_retry().is_ok() && settings.is_some() && retry.is_none() && !connection.is_deleted;
    Ok(page(&UploadPage {
        shell: visit.shell(Section::Uploads),
        href: present::href(&job.id),
        id: job.id.to_string(),
        name: present::name(&job, settings.as_ref()),
        view: present::view(&job, &connection),
        settings: facts::facts(&job, settings.as_ref()),
        created: when(job.created_at),
        updated: when(job.updated_at),
        retry_of_href: job.retry_of.as_ref().map(present::href),
        retried_as_href: retry.as_ref().map(present::href),
        can_cancel: access == Access::Write && present::can_be_cancelled(&job),
        can_retry: access == Access::Write && can_retry,
        connection: connection.name,
        connection_href: connection.href,
        is_connection_deleted: connection.is_deleted,
    }))
}

pub(super) async fn cancel(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    sent: Submission,
) -> Result<Response, PageError> {
    let (id, job) = find_for_change(&shared, id, &sent.visit, Action::CancelUpload).await?;
    let notice = if job.is_some_and(|job| !present::can_be_cancelled(&job)) {
        Notice::UploadHasEnded
    } else {
        shared.app.cancel_upload(&sent.visit.person.caller, &id).await?;
        Notice::UploadCancelled
    };
    Ok(redirect_with(&format!("/dashboard/uploads/{id}"), notice))
}

pub(super) async fn retry(
    State(shared): State<Shared>,
    id: Result<Path<String>, PathRejection>,
    sent: Submission,
) -> Result<Response, PageError> {
    let caller = &sent.visit.person.caller;
    let (id, _) = find_for_change(&shared, id, &sent.visit, Action::RetryUpload).await?;
    let parsed = JobId::parse(&id);
    let id = shared.app.well_formed(caller, Action::RetryUpload, parsed, Error::JobNotFound).await?;
    let failed = match shared.app.retry_upload(caller, &id).await {
        // A second click leads to the same upload.
        Ok(retry) | Err(Error::JobAlreadyRetried { job_id: retry }) => {
            return Ok(redirect_with(&present::href(&retry), Notice::UploadRetried));
        }
        Err(error) => retry_failed(error)?,
    };
    Ok(redirect_with(&present::href(&id), failed))
}

/// The upload that a form changes, if it exists. The operation refuses one that does not.
async fn find_for_change(
    shared: &Shared,
    id: Result<Path<String>, PathRejection>,
    visit: &Visit,
    action: Action,
) -> Result<(String, Option<Job>), PageError> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let parsed = JobId::parse(&id);
    visit
        .require_to_change(shared, Scope::UploadsWrite, (action, parsed.as_ref().map(ToString::to_string)))
        .await?;
    let Some(parsed) = parsed else { return Ok((id, None)) };
    match shared.app.find_job(&visit.person.caller, &parsed).await {
        Ok(job) => Ok((id, Some(job))),
        Err(Error::JobNotFound) => Ok((id, None)),
        Err(error) => Err(error.into()),
    }
}

/// Why an upload was not retried, for a notice on its page.
fn retry_failed(error: Error) -> Result<Notice, PageError> {
    match error {
        Error::ConnectionDisabled => Ok(Notice::RetryDisabled),
        Error::ConnectionUnhealthy(_) => Ok(Notice::RetryUnhealthy),
        Error::LimitReached { .. } => Ok(Notice::RetryLimit),
        Error::JobNotRetryable(NotRetryable::NotFailed) => Ok(Notice::RetryNotFailed),
        Error::WebhookSecretMissing => Ok(Notice::RetrySecret),
        Error::JobNotRetryable(NotRetryable::ClientUpload | NotRetryable::NotKept)
        | Error::ConnectionNotFound => Ok(Notice::RetryNotKept),
        error => Err(error.into()),
    }
}
