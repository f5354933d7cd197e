//! What a refusal of Vimeo says of the connection: whether it is checked, and whether the job fails or waits until it has
//! recovered.

use std::time::Duration;

use domain::connection::Connection;
use domain::health::{HealthStatus, ProblemCode};
use domain::job::{Failure, FailureCode, Job, JobState, WaitingFor};

use super::executor::Executor;
use super::failures::failure;
use super::lease::{AbortReason, JobLease};
use super::postpone::defer;
use crate::context::Context;
use crate::health::{Checked, in_one_line};

/// A job of an unhealthy connection runs again after this, unless the connection recovers before. It only matters if that
/// wake-up is lost.
pub(super) const UNHEALTHY_DELAY: Duration = Duration::from_hours(6);

/// What a failure says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspicion {
    /// Nothing.
    None,
    /// The account has changed: a check shows how.
    CheckLater,
    /// Its credentials or its app may be the cause, and what becomes of the job depends on that.
    CheckNow,
}

/// What becomes of a job that Vimeo refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Diagnosis {
    /// It waits until the connection has recovered.
    Wait,
    /// It is tried again: the connection has other credentials now.
    TryAgain,
    /// It is tried again later: Vimeo did not say how the connection is. If that lasts, it fails like this.
    Retry(Failure),
    /// It fails like this.
    Fail(Failure),
}

/// What a failure in this state says of the connection.
fn suspect(state: &JobState, code: FailureCode) -> Suspicion {
    let has_started = !matches!(state, JobState::Queued(_));
    match code {
        FailureCode::CredentialsRejected | FailureCode::ScopeMissing if has_started => Suspicion::CheckLater,
        FailureCode::CredentialsRejected | FailureCode::ScopeMissing => Suspicion::CheckNow,
        // The app may have lost its upload access, which has no code of its own.
        FailureCode::VimeoRefused if !has_started => Suspicion::CheckNow,
        FailureCode::QuotaExceeded | FailureCode::PrivacyNotAllowed => Suspicion::CheckLater,
        _ => Suspicion::None,
    }
}

/// What becomes of a job that has not started, once its connection was checked.
fn conclude(failed: Failure, checked: Option<&Checked>) -> Diagnosis {
    let Some(Checked { health, .. }) = checked.filter(|checked| checked.is_answered) else {
        return if failed.code.is_about_token() {
            Diagnosis::Retry(unconfirmed())
        } else {
            Diagnosis::Fail(failed)
        };
    };
    let Some(problem) = health.problem.as_ref().filter(|_| health.status == HealthStatus::Unhealthy) else {
        return Diagnosis::Fail(failed);
    };
    if problem.code == ProblemCode::UploadAccessMissing {
        return Diagnosis::Fail(failure(FailureCode::UploadAccessMissing, in_one_line(problem)));
    }
    if failed.code.is_about_token() { Diagnosis::Wait } else { Diagnosis::Fail(failed) }
}

fn unconfirmed() -> Failure {
    let message = "Vimeo rejected the credentials of the connection, and did not confirm it.";
    failure(FailureCode::VimeoUnavailable, message)
}

impl Executor<'_> {
    /// Checks the connection if the failure casts doubt on it, and decides whether the job fails or waits.
    pub(super) async fn diagnose(&self, job: &Job, failure: Failure) -> Result<Diagnosis, AbortReason> {
        let suspicion = suspect(&job.state, failure.code);
        if suspicion == Suspicion::None {
            return Ok(Diagnosis::Fail(failure));
        }
        let (account, id) = (&job.account_id, &job.connection_id);
        let found = self.context.store.find_connection(account, id).await?;
        let Some(connection) = found else { return Ok(Diagnosis::Fail(failure)) };
        if suspicion == Suspicion::CheckLater {
            check_soon(self.context, &connection).await;
            return Ok(Diagnosis::Fail(failure));
        }
        let checked = self.context.check_connection(&connection, None).await;
        if let Err(error) = &checked {
            tracing::info!(?error, job = %job.id, "the connection of a refused upload could not be checked");
        }
        // They may have been replaced while it was checked.
        if failure.code.is_about_token() && self.has_new_credentials().await? {
            return Ok(Diagnosis::TryAgain);
        }
        Ok(conclude(failure, checked.as_ref().ok()))
    }

    /// Stores which values of `privacy.view` the account may use. It may be lost: the next upload shows them again.
    pub(super) fn learn_privacies(&self, allowed: Vec<String>) {
        let (context, job) = (self.context.clone(), &self.lease.job);
        let (account, id) = (job.account_id.clone(), job.connection_id.clone());
        self.context.tasks.spawn(async move {
            let learn = async {
                let Some(connection) = context.store.find_connection(&account, &id).await? else {
                    return Ok(());
                };
                context.learn_privacies(&connection, allowed).await
            };
            if let Err(error) = learn.await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::debug!(error, connection = %id, "the allowed privacies could not be stored");
            }
        });
    }

    /// Makes the job, and those that wait behind it, wait until the connection has recovered.
    pub(super) async fn wait_for_health(&mut self, job: Job) -> Result<(), AbortReason> {
        let retry = domain::job::RetryState::progressed(self.context.clock.now());
        let waiting = Job { waiting_for: Some(WaitingFor::Health), retry, ..job };
        let commit = super::lease::Commit::new(waiting, super::lease::NextRun::In(UNHEALTHY_DELAY));
        self.lease.commit(commit).await?;
        defer_unhealthy(self.context, &self.lease).await
    }
}

/// The jobs of an unhealthy connection wait until it has recovered.
pub(super) async fn pause_for_health(context: &Context, lease: &mut JobLease) -> Result<(), AbortReason> {
    lease.release(UNHEALTHY_DELAY, Some(WaitingFor::Health)).await?;
    defer_unhealthy(context, lease).await
}

async fn defer_unhealthy(context: &Context, lease: &JobLease) -> Result<(), AbortReason> {
    let (account, connection) = (&lease.job.account_id, &lease.job.connection_id);
    defer(context, &lease.job, WaitingFor::Health, UNHEALTHY_DELAY).await;
    // It may have recovered since it was read: then nothing else wakes these jobs.
    if !context.is_unhealthy(account, connection).await? {
        let now = context.clock.now();
        context.store.wake_jobs(account, connection, WaitingFor::Health, now).await?;
    }
    Ok(())
}

async fn check_soon(context: &Context, connection: &Connection) {
    let (account, id, now) = (&connection.account_id, &connection.id, context.clock.now());
    if let Err(error) = context.store.schedule_health_check(account, id, Duration::ZERO, now).await {
        tracing::debug!(%error, connection = %id, "the check of a connection could not be scheduled");
    }
    context.wake_health_worker();
}

#[cfg(test)]
mod tests {
    use domain::health::{Credentials, Finding, Health, Observation};
    use domain::job::{Configuring, Queued};
    use domain::time::Timestamp;
    use domain::video::VideoNumber;

    use super::*;

    fn queued() -> JobState {
        JobState::Queued(Queued::default())
    }

    fn configuring() -> JobState {
        JobState::Configuring(Configuring::new(VideoNumber::from_stored(1).into(), 9))
    }

    fn checked(code: Option<ProblemCode>) -> Checked {
        let mut observed = Observation::accepted();
        if let Some(code) = code {
            observed.findings[1] = Finding::fail(code, "It is broken:\nrepair it.");
        }
        let health = Health::unverified(Timestamp::from_millis(0)).observe(
            observed,
            Credentials::Same,
            Timestamp::from_millis(1),
        );
        Checked { health, transition: None, is_answered: true }
    }

    #[test]
    fn a_refusal_about_the_credentials_or_the_app_is_checked() {
        for (code, waiting, started) in [
            (FailureCode::CredentialsRejected, Suspicion::CheckNow, Suspicion::CheckLater),
            (FailureCode::ScopeMissing, Suspicion::CheckNow, Suspicion::CheckLater),
            (FailureCode::VimeoRefused, Suspicion::CheckNow, Suspicion::None),
            (FailureCode::QuotaExceeded, Suspicion::CheckLater, Suspicion::CheckLater),
            (FailureCode::PrivacyNotAllowed, Suspicion::CheckLater, Suspicion::CheckLater),
            (FailureCode::SourceUnreachable, Suspicion::None, Suspicion::None),
            (FailureCode::VimeoUnavailable, Suspicion::None, Suspicion::None),
        ] {
            assert_eq!(suspect(&queued(), code), waiting, "{code:?}");
            assert_eq!(suspect(&configuring(), code), started, "{code:?}");
        }
    }

    #[test]
    fn a_job_waits_only_if_the_check_confirms_what_vimeo_refused() {
        let rejected = || failure(FailureCode::CredentialsRejected, "No.");
        let refused = || failure(FailureCode::VimeoRefused, "No.");
        let broken = checked(Some(ProblemCode::TokenRejected));
        assert_eq!(conclude(rejected(), Some(&broken)), Diagnosis::Wait);
        assert_eq!(conclude(rejected(), Some(&checked(None))), Diagnosis::Fail(rejected()));
        assert_eq!(conclude(refused(), Some(&broken)), Diagnosis::Fail(refused()));
        let without_access = checked(Some(ProblemCode::UploadAccessMissing));
        let named = failure(FailureCode::UploadAccessMissing, "It is broken: repair it.");
        assert_eq!(conclude(refused(), Some(&without_access)), Diagnosis::Fail(named));
        let unanswered = Checked { is_answered: false, ..broken };
        for checked in [None, Some(&unanswered)] {
            assert_eq!(conclude(rejected(), checked), Diagnosis::Retry(unconfirmed()));
            assert_eq!(conclude(refused(), checked), Diagnosis::Fail(refused()));
        }
    }
}
