//! The requests of a bulk upload, to the database or to a remote service, with failures by what follows from them.

use std::sync::Arc;
use std::time::Duration;

use app::{App, Caller, Error, IdempotentRequest, JobFilter, Outcome, RequestedSource};
use domain::idempotency::{IdempotencyKey, StoredResponse};
use domain::job::{JobId, JobStatus};
use domain::page::PageLimit;
use domain::time::Timestamp;
use reqwest::Method;

use super::super::once::link_answer;
use super::super::submission::{Accepted, Submission, submit};
use super::decision::Fault;
use super::entries::Entry;
use crate::cli::BoxError;
use crate::cli::error_messages::to_message;
use crate::cli::jobs::JobView;
use crate::client::{ApiClient, Call, ClientError};

const JOBS: [&str; 2] = ["v1", "jobs"];
/// The largest page of jobs.
const PAGE: usize = 1_000;
/// How many jobs are listed at most. Jobs beyond are read one by one.
const LISTED_MAX: usize = 20_000;

/// Where the uploads run.
#[derive(Clone, Copy)]
pub(super) enum Service<'a> {
    Database { app: &'a Arc<App>, caller: &'a Caller },
    Remote(&'a ApiClient),
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    pub(super) error: BoxError,
}

impl Service<'_> {
    /// Requests an upload, or finds the one that was requested with this key.
    pub(super) async fn submit(&self, entry: &Entry, key: IdempotencyKey) -> Result<Submission, Failed> {
        match self {
            Self::Database { app, caller } => match submit_to_database(app, caller, entry, key).await {
                Ok(submission) => Ok(submission),
                Err(Error::UploadOver { job_id }) => Ok(Submission::Ended(Some(job_id))),
                Err(Error::IdempotencyKeyReused) => Ok(Submission::Reused),
                Err(error) => Err(Failed::of_operation(error)),
            },
            Self::Remote(client) => {
                let submitted = submit(client, &entry.connection, entry.body.clone(), &key).await?;
                submitted.ok_or_else(|| Failed::other("the service returned no valid job ID".into()))
            }
        }
    }

    /// A job; `None` if it does not exist.
    pub(super) async fn find(&self, id: &JobId) -> Result<Option<JobView>, Failed> {
        match self {
            Self::Database { app, caller } => match app.find_job(caller, id).await {
                Ok(job) => Ok(Some(JobView::of(&job)?)),
                Err(Error::JobNotFound) => Ok(None),
                Err(error) => Err(Failed::of_operation(error)),
            },
            Self::Remote(client) => {
                let path = [&JOBS[..], &[id.as_str()]].concat();
                match client.send(Call::get(&path)).await {
                    Ok(answer) => Ok(Some(JobView::parse(answer.json()?)?)),
                    Err(error) if error.code() == Some("JOB_NOT_FOUND") => Ok(None),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// The jobs of the account with this status, created at the time of this one or later.
    pub(super) async fn list(
        &self,
        status: Option<JobStatus>,
        oldest: &JobId,
    ) -> Result<Vec<JobView>, Failed> {
        let mut all = Vec::new();
        match self {
            Self::Database { app, caller } => {
                let mut filter =
                    JobFilter { status, created_from: created_at(oldest), ..JobFilter::default() };
                while all.len() < LISTED_MAX {
                    let limit =
                        PageLimit::parse(&PAGE.to_string()).map_err(|error| Failed::other(error.into()))?;
                    let page = app.list_jobs(caller, &filter, limit).await.map_err(Failed::of_operation)?;
                    filter.before = page.items.last().map(|last| last.id.clone());
                    for job in &page.items {
                        all.push(JobView::of(job)?);
                    }
                    if page.next.is_none() {
                        break;
                    }
                }
            }
            Self::Remote(client) => {
                let call = Call::get(&JOBS)
                    .query("status", status.map(|status| status.as_str().to_owned()))
                    .query("createdAfter", created_at(oldest).map(|at| at.to_string()));
                for item in client.list(&call, Some(LISTED_MAX)).await? {
                    all.push(JobView::parse(item)?);
                }
            }
        }
        Ok(all)
    }

    /// Cancels a job, unless it has ended.
    pub(super) async fn cancel(&self, id: &JobId) -> Result<(), Failed> {
        match self {
            Self::Database { app, caller } => {
                app.cancel_upload(caller, id.as_str()).await.map_err(Failed::of_operation)
            }
            Self::Remote(client) => {
                let path = [&JOBS[..], &[id.as_str()]].concat();
                client.send(Call::new(Method::DELETE, &path)).await?;
                Ok(())
            }
        }
    }
}

/// When a job was created, which is the first part of its ID.
fn created_at(id: &JobId) -> Option<Timestamp> {
    let digits: String = id.as_str().chars().filter(char::is_ascii_hexdigit).take(12).collect();
    Some(Timestamp::from_millis(i64::from_str_radix(&digits, 16).ok()?))
}

async fn submit_to_database(
    app: &App,
    caller: &Caller,
    entry: &Entry,
    key: IdempotencyKey,
) -> Result<Submission, Error> {
    let (request, connection, body) = (entry.request.clone(), &entry.connection, &entry.body[..]);
    let made = match request.source {
        RequestedSource::Client { .. } => {
            let once = IdempotentRequest { key, body, present: &link_answer };
            match app.create_upload_link(caller, connection, request, Some(once)).await? {
                Outcome::Fresh(upload) => Outcome::Fresh(upload.job_id),
                Outcome::Replayed(answer) => Outcome::Replayed(answer),
            }
        }
        RequestedSource::Url { .. } => {
            let present = |id: &JobId| StoredResponse(id.as_str().as_bytes().to_vec());
            let once = IdempotentRequest { key, body, present: &present };
            app.create_upload(caller, connection, request, Some(once)).await?
        }
    };
    Ok(match made {
        Outcome::Fresh(id) => Submission::Fresh(Accepted { id, link: None }),
        Outcome::Replayed(answer) => {
            let text = std::str::from_utf8(&answer.0).unwrap_or_default();
            match JobId::parse(text.lines().next().unwrap_or_default()) {
                Some(id) => Submission::Known(Accepted { id, link: None }),
                None => Submission::Reused,
            }
        }
    })
}

impl Failed {
    fn of_operation(error: Error) -> Self {
        let seconds = |seconds: u64| Some(Duration::from_secs(seconds));
        let (code, status, retry_after) = match &error {
            Error::LimitReached { .. } => ("LIMIT_REACHED", 409, None),
            Error::VimeoUnavailable { retry_after_seconds } => {
                ("VIMEO_UNAVAILABLE", 503, seconds(*retry_after_seconds))
            }
            Error::Overloaded => ("OVERLOADED", 503, seconds(1)),
            Error::StoreUnavailable(_) | Error::KeyringLacksKey => ("STORE_UNAVAILABLE", 503, None),
            Error::OutcomeUnknown => ("OUTCOME_UNKNOWN", 503, None),
            Error::IdempotencyKeyInUse => ("IDEMPOTENCY_KEY_IN_USE", 409, None),
            Error::ConnectionNotFound => ("CONNECTION_NOT_FOUND", 404, None),
            Error::ConnectionDisabled => ("CONNECTION_DISABLED", 409, None),
            Error::ConnectionUnhealthy(_) => ("CONNECTION_UNHEALTHY", 409, None),
            Error::WebhookSecretMissing => ("WEBHOOK_SECRET_MISSING", 409, None),
            Error::UploadRefused(_) => ("UPLOAD_REFUSED", 422, None),
            Error::InvalidPublishAt(_) => ("INVALID_REQUEST_BODY", 400, None),
            Error::Unauthorized => ("UNAUTHORIZED", 401, None),
            _ => ("INTERNAL_ERROR", 400, None),
        };
        let fault = Fault::Code { code: code.to_owned(), status, retry_after };
        let error = match error {
            Error::VimeoUnavailable { .. } => "Vimeo could not create the video".into(),
            error => to_message(error),
        };
        Self { fault, error }
    }

    /// Nothing that a repetition changes.
    pub(super) fn other(error: BoxError) -> Self {
        Self { fault: Fault::Misconfigured, error }
    }

    /// The error code.
    pub(super) fn code(&self) -> String {
        match &self.fault {
            Fault::Code { code, .. } => code.clone(),
            Fault::Unreachable => "UNREACHABLE".to_owned(),
            Fault::Misconfigured => "FAILED".to_owned(),
        }
    }
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        let fault = match &error {
            ClientError::Refused(refusal) => Fault::Code {
                code: refusal.code.clone(),
                status: refusal.status,
                retry_after: refusal.retry_after_seconds.map(Duration::from_secs),
            },
            error if error.is_temporary() => Fault::Unreachable,
            _ => Fault::Misconfigured,
        };
        Self { fault, error: error.into() }
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self::other(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_job_is_in_its_id() {
        let id = JobId::parse("019c1234-5678-7abc-8def-0123456789ab").unwrap();
        assert_eq!(created_at(&id), Some(Timestamp::from_millis(0x019c_1234_5678)));
    }
}
