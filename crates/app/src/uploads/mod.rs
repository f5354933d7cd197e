//! Uploads: their operations, and the worker that runs them.
//!
//! A job runs step by step. A step (`steps/`) is a function from the job to an outcome; the executor decides what follows
//! (`outcome.rs`, `retry.rs`) and alone writes the job, through its lease.

mod chunks;
mod client_upload;
mod diagnosis;
mod executor;
mod failures;
mod job_metrics;
mod lease;
mod listings;
mod local_file;
mod outcome;
mod postpone;
mod prepare;
mod request;
mod request_form;
mod reschedule;
mod resubmission;
mod retry;
mod setup;
mod shown;
mod slots;
mod sources;
mod steps;
mod stored_responses;
mod transfer_counter;
mod webhook_handover;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use domain::audit::Action;
use domain::connection::{Availability, Connection};
use domain::id::ConnectionId;
use domain::job::{Job, JobId, JobState, Queued, RetryState, SourceFacts, WaitingFor, Webhook};
use domain::page::PageLimit;
use domain::secret::Sealed;
use domain::video::VideoNumber;
use egress::{EgressUrl, UrlError};
use store::{
    Changed, Counted, JobFilter, JobGuard, JobStart, JobUpdate, LeaseAfter, LeasedJob, NewJob, SealedPart,
    StoredJob,
};
use vimeo::UploadLink;

use crate::context::Context;
use crate::idempotency::Creation;
use crate::{App, Caller, Error, IdempotentRequest, Outcome};
use client_upload::{LinkCompletion, LinkResult, create_link};
use lease::LEASE;
use prepare::PrepareError;
pub(crate) use prepare::REQUEST_VERSIONS;

pub use local_file::{FileRun, LocalFile, LocalFileFailed};
pub use request::{RequestedSource, UploadRequest, WebhookTarget};
pub(crate) use setup::Uploads;
pub use setup::{CREATE_TIMEOUT_MAX, UploadOptions, UploadSetup};
pub use shown::UploadCounts;
pub(crate) use slots::Slots;
pub(crate) use webhook_handover::record as record_webhook;

/// Attempts of a change that meets another write of the job each time.
const CHANGE_ATTEMPTS: u32 = 20;

/// Some of an account's jobs, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<Job>,
    /// What to ask the next page with; `None` if this is the last.
    pub next: Option<Vec<u8>>,
}

/// An upload whose bytes the client sends itself.
#[derive(Debug, Clone)]
pub struct ClientUpload {
    /// Its job.
    pub job_id: JobId,
    /// Its placeholder.
    pub video: VideoNumber,
    /// Where the bytes go: shown this once.
    pub link: UploadLink,
}

impl App {
    /// Reads an address that a user gives, by its form alone.
    pub fn check_address(&self, text: &str) -> Result<EgressUrl, UrlError> {
        match &self.uploads {
            Some(uploads) => uploads.egress.validate(text),
            None => Err(UrlError::NotPublic),
        }
    }

    /// Creates an upload whose bytes the service fetches.
    pub async fn create_upload(
        &self,
        caller: &Caller,
        connection: &str,
        request: UploadRequest,
        idempotency: Option<IdempotentRequest<'_, JobId>>,
    ) -> Result<Outcome<JobId>, Error> {
        let account = &caller.account_id;
        let claim = idempotency.as_ref().map(|request| (&request.key, content_of(connection, request.body)));
        self.idempotent(caller, Creation::upload(connection), claim, async |guard| {
            self.check_publish_at(request.publish_at)?;
            let connection = self.usable_connection(caller, connection).await?;
            let uploads = self.uploads()?;
            self.require_webhook_secret(caller, &request).await?;
            let job = self.new_job(&connection, &request);
            let sealed = self.seal_request(&job, &request).await?;
            let completion = match (&idempotency, guard) {
                (Some(IdempotentRequest { key, present, .. }), Some(guard)) => {
                    guard.completion(self.seal_answer(account, key, &present(&job.id)).await?)
                }
                _ => None,
            };
            let new = self.new_row(caller, job.clone(), sealed, JobStart::Queued);
            self.insert_job(caller, NewJob { completion, ..new }).await?;
            uploads.wakeup.notify_one();
            Ok(job.id)
        })
        .await
    }

    /// Creates an upload link, to which the client sends the bytes itself.
    pub async fn create_upload_link(
        &self,
        caller: &Caller,
        connection: &str,
        request: UploadRequest,
        idempotency: Option<IdempotentRequest<'_, ClientUpload>>,
    ) -> Result<Outcome<ClientUpload>, Error> {
        let account = &caller.account_id;
        let claim = idempotency.as_ref().map(|request| (&request.key, content_of(connection, request.body)));
        self.idempotent(caller, Creation::upload(connection), claim, async |guard| {
            self.check_publish_at(request.publish_at)?;
            let connection = self.usable_connection(caller, connection).await?;
            let uploads = self.uploads()?;
            self.require_webhook_secret(caller, &request).await?;
            let job = self.new_job(&connection, &request);
            let sealed = self.seal_request(&job, &request).await?;
            let new = self.new_row(caller, job.clone(), sealed.clone(), JobStart::Leased(LEASE));
            self.insert_job(caller, new).await?;
            let row_mac = Some(self.mac_job(&job));
            let leased = LeasedJob {
                job,
                row_mac,
                fence: 1,
                leased_at: self.clock.now(),
                request: Some(sealed),
                link: None,
            };
            let idempotency = &idempotency;
            let complete = async move |upload: ClientUpload| {
                let (Some(idempotency), Some(guard)) = (idempotency, guard) else { return Ok(None) };
                let answer = (idempotency.present)(&upload);
                let answer = self.seal_link_answer(account, &upload.job_id, &answer).await?;
                let completion = guard.completion(stored_responses::marker_of(&upload.job_id));
                Ok(completion.map(|completion| LinkCompletion { completion, answer }))
            };
            let waits = self.waiting.begin(caller);
            let created = Box::pin(create_link(&self.context, &uploads, leased, complete)).await;
            drop(waits);
            match created? {
                LinkResult::Created(upload) => Ok(upload),
                LinkResult::Refused(failure) => Err(Error::UploadRefused(failure)),
                LinkResult::Unavailable { retry_after_seconds } => {
                    Err(Error::VimeoUnavailable { retry_after_seconds })
                }
            }
        })
        .await
    }

    /// Stores a new job, if the account may have one more in progress.
    async fn insert_job(&self, caller: &Caller, new: NewJob) -> Result<(), Error> {
        let (account, limit) = (&caller.account_id, caller.limits.jobs_in_progress);
        let place = self.usage.reserve(&*self.store, account, Counted::JobsInProgress, limit).await?;
        let inserted = self.store.insert_job(account, new).await;
        place.settle(inserted.map_err(of_connection))
    }

    /// One of the caller's jobs.
    pub async fn find_job(&self, caller: &Caller, id: &JobId) -> Result<Job, Error> {
        self.store.find_job(&caller.account_id, id).await?.ok_or(Error::JobNotFound)
    }

    /// The caller's jobs, the newest first: those of one connection if one is named, those before a place.
    pub async fn list_jobs(
        &self,
        caller: &Caller,
        filter: &JobFilter,
        limit: PageLimit,
    ) -> Result<JobPage, Error> {
        let account = &caller.account_id;
        // One more than the page, to see whether there is a next one.
        let mut items = self.store.list_jobs(account, filter, limit.as_u32() + 1).await?;
        let is_last = items.len() <= limit.as_u32() as usize;
        items.truncate(limit.as_u32() as usize);
        let last = items.last().filter(|_| !is_last);
        let next = last.map(|last| self.service_keys().encode_job_page_key(account, &last.id));
        Ok(JobPage { items, next })
    }

    /// The place that a page key of jobs names; `None` if this service did not give it to this account.
    pub fn read_job_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<JobId> {
        self.service_keys().decode_job_page_key(&caller.account_id, bytes)
    }

    /// Cancels a job; what it created at Vimeo is cleaned up afterwards. One that has ended stays as it is.
    pub async fn cancel_upload(&self, caller: &Caller, id: &str) -> Result<(), Error> {
        let id = self.well_formed(caller, Action::CancelUpload, JobId::parse(id), Error::JobNotFound).await?;
        let cancelled = self.try_cancel_upload(caller, &id).await;
        self.audited(caller, Action::CancelUpload, Some(id.to_string()), cancelled).await
    }

    async fn try_cancel_upload(&self, caller: &Caller, id: &JobId) -> Result<(), Error> {
        let account = &caller.account_id;
        for _ in 0..CHANGE_ATTEMPTS {
            let found = self.store.find_stored_job(account, id).await?.ok_or(Error::JobNotFound)?;
            let Some(state) = found.job.cancel() else { return Ok(()) };
            self.require_verified(&found).await?;
            let job = found.job;
            let is_webhook_due = matches!(job.webhook, Webhook::Waiting { .. });
            let has_ended = state.has_ended();
            let ended = has_ended.then(|| state.clone());
            let now = self.clock.now();
            let event =
                self.audit_event(account, caller.actor.clone(), Action::CancelUpload, Some(id.to_string()));
            let job = Job {
                version: job.version + 1,
                updated_at: now,
                bytes_per_second: None,
                waiting_for: None,
                retry: RetryState::progressed(now),
                state,
                ..job
            };
            let update = JobUpdate {
                guard: JobGuard::Version(job.version - 1),
                due_in: (!has_ended || is_webhook_due).then_some(Duration::ZERO),
                due_not_before: None,
                lease: LeaseAfter::Released,
                request: if has_ended && !is_webhook_due { SealedPart::Wiped } else { SealedPart::Kept },
                link: SealedPart::Wiped,
                answer: None,
                delivery: None,
                event: Some(self.announce_end(event, &job)),
                completion: None,
                row_mac: Vec::new(),
                now,
                job,
            };
            let connection = update.job.connection_id.clone();
            if lease::write(self, account, update).await? == Changed::Yes {
                if let Some(state) = ended {
                    job_metrics::record_end(&state);
                }
                tracing::info!(job = %id, %account, %connection, "the cancellation of an upload was requested");
                if let Some(uploads) = &self.uploads {
                    uploads.wakeup.notify_one();
                }
                return Ok(());
            }
        }
        Err(Error::Overloaded)
    }

    /// Nothing is changed in a row that does not verify. What is sealed is not needed to change one.
    async fn require_verified(&self, found: &StoredJob) -> Result<(), Error> {
        match prepare::verify(self, &found.job, found.row_mac.as_deref(), found.request.as_ref()).await {
            Ok(_) | Err(PrepareError::Undecryptable) => Ok(()),
            Err(PrepareError::Temporary(error)) => Err(error),
            Err(_) => Err(Error::Internal("the row of a job does not verify".into())),
        }
    }

    /// Wakes the uploads that wait for a connection, after it was enabled. If that fails, they run hours later.
    pub(crate) async fn wake_uploads(&self, connection: &Connection) {
        if connection.availability == Availability::Disabled {
            return;
        }
        let (account, now) = (&connection.account_id, self.clock.now());
        let woken = self.store.wake_jobs(account, &connection.id, WaitingFor::Connection, now).await;
        if let Err(error) = woken {
            tracing::warn!(%error, connection = %connection.id, "the uploads of a connection could not be woken");
        }
        if let Some(uploads) = &self.uploads {
            uploads.wakeup.notify_one();
        }
    }

    fn uploads(&self) -> Result<Arc<Uploads>, Error> {
        self.uploads.clone().ok_or_else(|| Error::Internal("uploads are not set up in this process".into()))
    }

    async fn usable_connection(&self, caller: &Caller, id: &str) -> Result<Connection, Error> {
        let id = ConnectionId::parse(id).ok_or(Error::ConnectionNotFound)?;
        let connection = self.find_connection(caller, &id).await?;
        match connection.availability {
            Availability::Enabled => self.require_healthy(&connection).await.map(|()| connection),
            Availability::Disabled => Err(Error::ConnectionDisabled),
        }
    }

    /// Webhooks are always signed. A secret that was never shown could not be checked by any receiver, so the client
    /// creates it first.
    async fn require_webhook_secret(&self, caller: &Caller, request: &UploadRequest) -> Result<(), Error> {
        if request.webhook.is_some() && !self.has_webhook_secret(&caller.account_id).await? {
            return Err(Error::WebhookSecretMissing);
        }
        Ok(())
    }

    fn new_job(&self, connection: &Connection, request: &UploadRequest) -> Job {
        let now = self.clock.now().floor_to_millis();
        let facts = match request.source {
            RequestedSource::Url { .. } => None,
            RequestedSource::Client { size } => Some(SourceFacts {
                length: size,
                validator: None,
                marks: None,
                fetch: domain::job::Fetch::Whole,
            }),
        };
        Job {
            id: JobId::make(now, self.randomness.identifier_bytes()),
            account_id: connection.account_id.clone(),
            connection_id: connection.id.clone(),
            created_at: now,
            updated_at: now,
            version: 1,
            source: request.source.kind(),
            retry_of: None,
            replaces: request.replaces,
            request_format: request.format(),
            publish_at: request.publish_at,
            is_playable: false,
            facts,
            state: JobState::Queued(Queued::default()),
            bytes_per_second: None,
            warnings: Vec::new(),
            undeleted: Vec::new(),
            unconfirmed_since: None,
            retry: RetryState::progressed(now),
            waiting_for: None,
            is_connection_deleted: false,
            webhook: match request.webhook {
                Some(_) => Webhook::Waiting { attempts: 0 },
                None => Webhook::None,
            },
        }
    }

    fn new_row(&self, caller: &Caller, job: Job, request: Sealed, start: JobStart) -> NewJob {
        let subject = Some(job.id.to_string());
        let action = if job.retry_of.is_some() { Action::RetryUpload } else { Action::CreateUpload };
        let event = self.audit_event(&caller.account_id, caller.actor.clone(), action, subject);
        let row_mac = self.mac_job(&job);
        NewJob { job, row_mac, request, start, event, completion: None, now: self.clock.now() }
    }

    async fn seal_request(&self, job: &Job, request: &UploadRequest) -> Result<Sealed, Error> {
        let key = self.account_key(&job.account_id).await?;
        Ok(key.seal(prepare::request_sealed_as(job), &request.to_bytes(), &self.randomness)?)
    }
}

/// What a repeated request must have in common with the first. The connection is in the path: the same body for another
/// connection is another request.
fn content_of(connection: &str, body: &[u8]) -> Vec<u8> {
    [connection.as_bytes(), b"\n", body].concat()
}

/// A store's error where a connection's job is written.
fn of_connection(error: store::Error) -> Error {
    match error {
        store::Error::NotFound => Error::ConnectionNotFound,
        other => other.into(),
    }
}

/// Whether something else than the service changed a job.
pub(crate) async fn is_tampered(context: &Context, stored: &StoredJob) -> Result<bool, Error> {
    match prepare::verify(context, &stored.job, stored.row_mac.as_deref(), stored.request.as_ref()).await {
        Err(PrepareError::Tampered) => Ok(true),
        Err(PrepareError::Temporary(error)) => Err(error),
        Ok(_) | Err(_) => Ok(false),
    }
}
