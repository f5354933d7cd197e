//! Runs a leased job: step by step, until it has ended, has to wait, or must be released. It alone writes the job.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Action, Actor, Outcome};
use domain::job::{
    Ending, Failure, Job, JobId, JobState, RetryState, SourceKind, Target, WaitingFor, Webhook,
};
use store::{LeasedJob, SealedPart};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use vimeo::UploadLink;

use super::diagnosis::Diagnosis;
use super::failures::then_of_list;
use super::lease::{AbortReason, Commit, JobLease, NextRun};
use super::local_file::LocalFile;
use super::outcome::{Decision, JobPatch, StepOutcome, Then, apply, decide};
use super::postpone::{defer, pause_for_connection, refuse};
use super::prepare::{self, Prepared};
use super::retry::is_logged;
use super::setup::Uploads;
use super::steps::{self, Memory, StepContext};
use crate::Error;
use crate::context::Context;

/// A leased job, and everything that is needed to run it.
pub(super) struct Executor<'a> {
    pub(super) context: &'a Arc<Context>,
    pub(super) uploads: &'a Uploads,
    pub(super) lease: JobLease,
    pub(super) prepared: Prepared,
    pub(super) memory: Memory,
}

/// What a worker does after a step.
enum Next {
    /// It runs the job's next step.
    Step,
    /// It runs the same step again, with the link that it has: an attempt needs no database.
    SameStep,
    /// Nothing: the lease was released.
    Nothing,
}

impl Next {
    fn of(has_ended: bool) -> Self {
        if has_ended { Self::Nothing } else { Self::Step }
    }
}

/// Runs a leased job. `local_file`: its bytes, if this process is its client.
pub(super) async fn execute(
    context: &Arc<Context>,
    uploads: &Uploads,
    leased: LeasedJob,
    (local_file, stopping): (Option<Arc<dyn LocalFile>>, CancellationToken),
) {
    let id = leased.job.id.clone();
    let (row_mac, sealed) = (leased.row_mac.clone(), leased.request.clone());
    let mut lease = JobLease::new(leased, context.clone());
    if local_file.is_some() {
        lease.shorten();
    } else if lease.job.is_publication() {
        lease.shorten_for_publication();
    }
    let verified = prepare::verify(context, &lease.job, row_mac.as_deref(), sealed.as_ref()).await;
    if lease.job.state.has_ended() {
        let delivered = match verified {
            Ok(request) => Box::pin(super::webhook_handover::hand_over(context, &mut lease, request)).await,
            Err(error) => refuse(context, &mut lease, error).await,
        };
        return report(&id, delivered);
    }
    let prepared = match verified {
        Ok(request) => match prepare::require_healthy(context, &lease.job).await {
            Ok(()) => prepare::prepare(context, uploads, &lease.job, request).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match prepared {
        Ok(prepared) => {
            let progress = uploads.progresses.take(&id);
            let memory = Memory { local_file, progress, ..Memory::default() };
            let mut executor = Executor { context, uploads, lease, prepared, memory };
            // Its future is large.
            report(&id, Box::pin(executor.run(stopping)).await);
            if matches!(executor.lease.job.state, JobState::Uploading(_)) {
                uploads.progresses.put(id, executor.memory.progress);
            }
        }
        Err(error) => report(&id, refuse(context, &mut lease, error).await),
    }
}

/// The write that ends a job: the audit event, and the wiping of its secrets, except those that a webhook or a retry may
/// still need.
pub(super) fn end_commit(context: &Context, mut job: Job) -> Commit {
    let mut event =
        context.audit_event(&job.account_id, Actor::Service, Action::EndUpload, Some(job.id.to_string()));
    event.outcome = match &job.state {
        JobState::Failed(failed) => Outcome::Refused(failed.failure.code.as_str().to_owned()),
        JobState::Cancelled(_) => Outcome::Refused("CANCELLED".to_owned()),
        _ => Outcome::Done,
    };
    job.waiting_for = None;
    let event = context.announce_end(event, &job);
    let is_webhook_due = matches!(job.webhook, Webhook::Waiting { .. });
    let next_run = if is_webhook_due { NextRun::In(Duration::ZERO) } else { NextRun::Never };
    let request = if is_webhook_due { SealedPart::Kept } else { request_after(&job) };
    Commit { request, link: SealedPart::Wiped, event: Some(event), ..Commit::new(job, next_run) }
}

/// What becomes of the sealed request once a job has ended and its webhook is done.
pub(super) fn request_after(job: &Job) -> SealedPart {
    if job.keeps_request() { SealedPart::Retained } else { SealedPart::Wiped }
}

fn report(id: &JobId, outcome: Result<(), AbortReason>) {
    match outcome {
        Ok(()) | Err(AbortReason::ConnectionDisabled | AbortReason::Shutdown) => {}
        Err(AbortReason::LeaseLost) => {
            tracing::info!(job = %id, "the lease of a job was lost; its new holder continues");
        }
        Err(AbortReason::Store(error)) => {
            tracing::warn!(%error, job = %id, "a job could not be written; it will be retried when its lease expires");
        }
    }
}

/// Logs that the job waits and why. A source's host and the cause have a line of their own.
fn log_retry(failure: &Failure, attempts: u32) {
    let (code, cause) = (failure.code.as_str(), &failure.message);
    if is_logged(attempts) {
        tracing::info!(code, cause, attempts, "an upload is waiting for its next attempt");
    } else {
        tracing::debug!(code, cause, attempts, "an upload is waiting for its next attempt");
    }
}

/// What an error of another operation means for a job.
pub(super) fn abort(error: Error) -> AbortReason {
    AbortReason::Store(store::Error::Unavailable(Box::new(error)))
}

impl Executor<'_> {
    /// Runs until there is nothing more to do now, or the work is aborted.
    async fn run(&mut self, stopping: CancellationToken) -> Result<(), AbortReason> {
        let heartbeat = self.lease.heartbeat(stopping);
        let outcome = tokio::select! {
            outcome = self.run_steps() => outcome,
            reason = heartbeat => Err(reason),
        };
        match outcome {
            Err(AbortReason::ConnectionDisabled) => pause_for_connection(self.context, &mut self.lease).await,
            Err(AbortReason::Shutdown) => {
                let delay = self.uploads.delay_after_abort(&self.lease.job.state);
                self.lease.release(delay, None).await
            }
            outcome => outcome,
        }
    }

    async fn run_steps(&mut self) -> Result<(), AbortReason> {
        let has_no_link = matches!(self.lease.job.state, JobState::Queued(_) | JobState::Creating(_));
        if self.lease.job.source == SourceKind::Client && has_no_link {
            // The client that asked for the link did not get it, and no other can. The cleanup continues from the next lease.
            let job = self.lease.job.clone();
            return self.end(job, Ending::Cancelled).await;
        }
        let mut link = self.open_link().await?;
        loop {
            let Some(outcome) = self.step(link.clone()).await else { return Ok(()) };
            match self.carry_out(outcome).await? {
                Next::SameStep => {}
                Next::Step => link = self.open_link().await?,
                Next::Nothing => return Ok(()),
            }
        }
    }

    async fn open_link(&self) -> Result<Option<UploadLink>, AbortReason> {
        let (JobState::Uploading(uploading), Some(sealed)) = (&self.lease.job.state, &self.lease.link) else {
            return Ok(None);
        };
        let key = self.context.account_key(&self.lease.job.account_id).await.map_err(abort)?;
        Ok(prepare::open_link(&key, self.uploads, &self.lease.job, uploading.restarts, sealed))
    }

    pub(super) async fn step(&mut self, link: Option<UploadLink>) -> Option<StepOutcome> {
        let Self { context, uploads, lease, prepared, memory } = self;
        let step_context = StepContext::new(context, uploads, prepared, (lease, &lease.job));
        steps::run(&StepContext { link, ..step_context }, memory).await
    }

    /// Carries out what follows from a step.
    async fn carry_out(&mut self, outcome: StepOutcome) -> Result<Next, AbortReason> {
        let StepOutcome { next, patch, then } = outcome;
        let job = apply(&self.lease.job, next, &patch);
        let [random] = self.context.randomness.identifier_bytes::<1>();
        let policy = self.uploads.options.retry_policy();
        let mut decision = decide(&job, then, &policy, self.context.clock.now(), random);
        if let Decision::ConfirmDeletion(failure) = decision {
            decision = self.confirm_deletion(&job, failure).await;
        }
        // A token that was replaced meanwhile says nothing about the new one.
        if let Decision::Fail(failure) = &decision
            && failure.code.is_about_token()
            && self.has_new_credentials().await?
        {
            decision = Decision::try_again(job.retry);
        }
        if let Decision::Fail(failure) | Decision::ConfirmDeletion(failure) = decision {
            if let Some(allowed) = patch.allowed_privacies.clone() {
                self.learn_privacies(allowed);
            }
            decision = match self.diagnose(&job, failure).await? {
                Diagnosis::Fail(failure) => Decision::Fail(failure),
                Diagnosis::Wait => return self.wait_for_health(job).await.map(|()| Next::Nothing),
                Diagnosis::TryAgain => Decision::try_again(job.retry),
                Diagnosis::Retry(failure) => {
                    decide(&job, Then::Retry(failure), &policy, self.context.clock.now(), random)
                }
            };
        }
        self.carry_out_decision(job, patch, decision).await
    }

    async fn carry_out_decision(
        &mut self,
        job: Job,
        patch: JobPatch,
        decision: Decision,
    ) -> Result<Next, AbortReason> {
        match decision {
            Decision::Continue(retry) => {
                let job = Job { retry, ..job };
                let has_ended = job.state.has_ended();
                let allowed_privacies = patch.allowed_privacies.clone();
                let commit = self.commit_of(job, patch).await?;
                if let Some(allowed) = allowed_privacies {
                    self.learn_privacies(allowed);
                }
                let created =
                    commit.job.target().filter(|_| matches!(self.lease.job.state, JobState::Creating(_)));
                let written = self.lease.commit(commit).await;
                if let (Err(AbortReason::LeaseLost), Some(target)) = (&written, created) {
                    self.delete_orphan(target).await;
                }
                written.map(|()| Next::of(has_ended))
            }
            Decision::RetryInLease(retry, delay) => {
                if job.state != self.lease.job.state {
                    self.lease.commit(Commit::new(job, NextRun::Continue)).await?;
                }
                sleep(delay).await;
                if retry.is_about_source() {
                    // If that makes it too slow, its next bytes show it.
                    let _ = self.uploads.egress.record_wait(&self.memory.progress, delay);
                }
                Ok(Next::SameStep)
            }
            Decision::Release { delay, waiting_for, retry, cause } => {
                if let Some(failure) = cause {
                    log_retry(&failure, retry.count);
                }
                let job = Job { retry, waiting_for, ..job };
                self.lease.commit(Commit::new(job, NextRun::In(delay))).await?;
                if waiting_for == Some(WaitingFor::RateLimit) {
                    defer(self.context, &self.lease.job, WaitingFor::RateLimit, delay).await;
                }
                Ok(Next::Nothing)
            }
            Decision::Sleep { until, waiting_for, retry } => {
                let job = Job { retry, waiting_for: Some(waiting_for), ..job };
                self.lease.commit(Commit::new(job, NextRun::At(until))).await?;
                Ok(Next::Nothing)
            }
            Decision::Fail(failure) | Decision::ConfirmDeletion(failure) => {
                self.fail(job, patch, failure).await
            }
        }
    }

    /// The write of a job that continues, with what it keeps sealed.
    async fn commit_of(&mut self, job: Job, patch: JobPatch) -> Result<Commit, AbortReason> {
        if job.state.has_ended() {
            return Ok(end_commit(self.context, job));
        }
        let mut commit = Commit::new(job, NextRun::Continue);
        if let Some(link) = &patch.link {
            commit.link = self.seal_link(&commit.job, link).await?;
        }
        if let Some(name) = patch.name.filter(|_| self.prepared.request.settings.name.is_none()) {
            self.prepared.request.settings.name = Some(name);
            let sealed_as = prepare::request_sealed_as(&commit.job);
            let bytes = self.prepared.request.to_bytes();
            let key = self.context.account_key(&commit.job.account_id).await.map_err(abort)?;
            let sealed = key.seal(sealed_as, &bytes, &self.context.randomness);
            commit.request = SealedPart::Replaced(sealed.map_err(|error| abort(error.into()))?);
        }
        Ok(commit)
    }

    pub(super) async fn seal_link(&self, job: &Job, link: &UploadLink) -> Result<SealedPart, AbortReason> {
        let JobState::Uploading(uploading) = &job.state else { return Ok(SealedPart::Kept) };
        let key = self.context.account_key(&job.account_id).await.map_err(abort)?;
        let sealed_as = prepare::link_sealed_as(job, uploading.restarts);
        let sealed = key.seal(sealed_as, link.expose().as_bytes(), &self.context.randomness);
        Ok(SealedPart::Replaced(sealed.map_err(|error| abort(error.into()))?))
    }

    /// The job fails. A video that may be whole is kept; what else it created at Vimeo is cleaned up next.
    async fn fail(&mut self, job: Job, patch: JobPatch, failure: Failure) -> Result<Next, AbortReason> {
        tracing::debug!(job = %job.id, code = failure.code.as_str(), "a job fails");
        let state = if let JobState::CleaningUp(cleaning) = &job.state {
            let outcome = {
                let context = self.step_context(&job);
                steps::clean_up::leave(&context, cleaning.clone())
            };
            return self.write_ended(apply(&job, outcome.next, &outcome.patch), patch).await;
        } else {
            job.fail(failure)
        };
        match state {
            Some(state) => self.write_ended(Job { state, ..job }, patch).await,
            None => Ok(Next::Nothing),
        }
    }

    /// Writes a job that has ended or is cleaned up next.
    async fn write_ended(&mut self, job: Job, patch: JobPatch) -> Result<Next, AbortReason> {
        let has_ended = job.state.has_ended();
        let retry = RetryState::progressed(self.context.clock.now());
        let commit = self.commit_of(Job { retry, ..job }, patch).await?;
        self.lease.commit(commit).await?;
        Ok(Next::of(has_ended))
    }

    /// Ends a job whose client does not learn of it, and so expects no webhook.
    pub(super) async fn end(&mut self, job: Job, ending: Ending) -> Result<(), AbortReason> {
        let job = Job { webhook: Webhook::None, ..job };
        let state = match ending {
            Ending::Failed(failure) => job.fail(failure),
            Ending::Cancelled => job.cancel(),
        };
        let Some(state) = state else { return Ok(()) };
        let job = Job { state, ..job };
        if job.state.has_ended() {
            return self.lease.commit(end_commit(self.context, job)).await;
        }
        self.lease.commit(Commit::new(job, NextRun::In(Duration::ZERO))).await
    }

    fn step_context<'a>(&'a self, job: &'a Job) -> StepContext<'a> {
        StepContext::new(self.context, self.uploads, &self.prepared, (&self.lease, job))
    }

    /// Vimeo has answered 404 for long enough: the account's list decides.
    async fn confirm_deletion(&self, job: &Job, failure: Failure) -> Decision {
        let Some(target) = job.target() else { return Decision::Fail(failure) };
        let context = self.step_context(job);
        let is_listed = context.is_listed(target).await;
        let now = self.context.clock.now();
        let [random] = self.context.randomness.identifier_bytes::<1>();
        decide(job, then_of_list(is_listed, now), &self.uploads.options.retry_policy(), now, random)
    }

    /// The lease was lost while Vimeo created a placeholder. It is deleted unless the job's new worker may have found it.
    async fn delete_orphan(&self, created: Target) {
        let leased = &self.lease.job;
        let Ok(Some(job)) = self.context.store.find_job(&leased.account_id, &leased.id).await else { return };
        let is_needed = match &job.state {
            JobState::Queued(_) | JobState::Creating(_) => true,
            JobState::CleaningUp(_) | JobState::Failed(_) | JobState::Cancelled(_) => false,
            _ => job.target() == Some(created),
        };
        if !is_needed && self.step_context(leased).delete_target(created).await.is_err() {
            tracing::warn!(job = %job.id, target = %created, "a placeholder of a lost lease could not be deleted");
        }
    }

    pub(super) async fn has_new_credentials(&self) -> Result<bool, AbortReason> {
        let job = &self.lease.job;
        let found = self.context.store.find_connection(&job.account_id, &job.connection_id).await?;
        Ok(found.is_some_and(|found| found.sealed_version != self.prepared.sealed_version))
    }
}
