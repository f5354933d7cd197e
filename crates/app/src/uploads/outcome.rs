//! What a step returns, and what the executor makes of it. Nothing here asks Vimeo, the source or the store.

use std::time::Duration;

use domain::job::{
    Failure, FailureCode, Job, JobState, Refusal, RetryState, SourceFacts, Target, Verdict, WaitingFor,
};
use domain::time::Timestamp;
use domain::upload::VideoName;
use vimeo::UploadLink;

use super::retry::{LeaseRetry, RetryPolicy, backoff};

/// What a step returns: the state that follows, what changes beside it, and how the job continues.
#[derive(Debug)]
pub(super) struct StepOutcome {
    pub(super) next: JobState,
    pub(super) patch: JobPatch,
    pub(super) then: Then,
}

/// How a job continues after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// With the next state, at once.
    Continue(Progress),
    /// Later, without anything having failed.
    Snooze(Duration, WaitingFor),
    /// At this instant by the database's clock, without anything having failed: the retries start from zero then.
    SleepUntil(Timestamp, WaitingFor),
    /// The same as [`Self::Snooze`] after progress: the retries start from zero.
    ProgressThenSnooze(Duration, WaitingFor),
    /// With another attempt within the lease, after this delay.
    RetryInLease(LeaseRetry, Duration),
    /// With another attempt; if the retries are exhausted, the job fails like this.
    Retry(Failure),
    /// The same, not before this delay.
    RetryAfter(Failure, Duration),
    /// With another attempt: Vimeo refuses a request for a video whose bytes it has. If that lasts, the job fails like this.
    Refused(Failure, Refusal),
    /// Not at all.
    Fail(Failure),
}

/// Whether a step brought the job forward, so that its retries start from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    Made,
    None,
}

/// A change of an optional value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}

impl<T: Clone> Change<T> {
    fn apply_to(&self, value: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *value = None,
            Self::Set(new) => *value = Some(new.clone()),
        }
    }
}

/// What changes in a job beside its state.
#[derive(Debug, Default)]
pub(super) struct JobPatch {
    /// What is known of the source.
    pub(super) facts: Change<SourceFacts>,
    /// Sentences for people.
    pub(super) warnings: Vec<String>,
    /// What could not be deleted.
    pub(super) undeleted: Vec<Target>,
    /// A create that was asked for from here on was not confirmed.
    pub(super) unconfirmed_since: Option<Timestamp>,
    /// Vimeo returned the video.
    pub(super) is_found: bool,
    /// Vimeo accepted every request of the step.
    pub(super) is_accepted: bool,
    /// Vimeo can play the file.
    pub(super) is_playable: bool,
    /// The rate at which a client sends.
    pub(super) bytes_per_second: Change<u64>,
    /// The upload link of the placeholder.
    pub(super) link: Option<UploadLink>,
    /// A name for the video, from its source.
    pub(super) name: Option<VideoName>,
    /// The values of `privacy.view` that the account may use.
    pub(super) allowed_privacies: Option<Vec<String>>,
}

/// What the executor does with an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Writes the job and runs its next step.
    Continue(RetryState),
    /// Writes the job and releases it until an instant by the database's clock.
    Sleep { until: Timestamp, waiting_for: WaitingFor, retry: RetryState },
    /// Writes the job and releases it. `cause`: the failure that is retried.
    Release { delay: Duration, waiting_for: Option<WaitingFor>, retry: RetryState, cause: Option<Failure> },
    /// Waits, and runs the step again.
    RetryInLease(LeaseRetry, Duration),
    /// Asks whether the account's list of videos still has the video, before the job fails.
    ConfirmDeletion(Failure),
    /// Lets the job fail.
    Fail(Failure),
}

impl Decision {
    /// Another attempt at once, which counts as none: what was refused has been replaced.
    pub(super) fn try_again(retry: RetryState) -> Self {
        Self::Release { delay: Duration::ZERO, waiting_for: None, retry, cause: None }
    }
}

impl StepOutcome {
    /// The next state, which is progress.
    pub(super) fn advance(next: JobState) -> Self {
        Self { next, patch: JobPatch::default(), then: Then::Continue(Progress::Made) }
    }

    /// The next state, which is no progress: the retries are not reset.
    pub(super) fn enter(next: JobState) -> Self {
        Self { next, patch: JobPatch::default(), then: Then::Continue(Progress::None) }
    }

    /// The same state, and how the job continues.
    pub(super) fn stay(state: impl Into<JobState>, then: Then) -> Self {
        Self { next: state.into(), patch: JobPatch::default(), then }
    }

    pub(super) fn with(self, patch: JobPatch) -> Self {
        Self { patch, ..self }
    }
}

/// The job after a step, before the decision about its retries. Sealed parts are the executor's.
pub(super) fn apply(job: &Job, next: JobState, patch: &JobPatch) -> Job {
    let mut job = Job { state: next, ..job.clone() };
    patch.facts.apply_to(&mut job.facts);
    patch.bytes_per_second.apply_to(&mut job.bytes_per_second);
    for warning in &patch.warnings {
        if !job.warnings.contains(warning) {
            job.warnings.push(warning.clone());
        }
    }
    for target in &patch.undeleted {
        if !job.undeleted.contains(target) {
            job.undeleted.push(*target);
        }
    }
    job.is_playable |= patch.is_playable;
    if let Some(since) = patch.unconfirmed_since {
        job.unconfirmed_since = Some(job.unconfirmed_since.map_or(since, |earlier| earlier.min(since)));
    }
    if patch.is_found {
        job.retry = job.retry.found();
    }
    if patch.is_accepted {
        job.retry = job.retry.accepted();
    }
    job
}

/// What follows from a step of this job, which already has the changes of the step.
pub(super) fn decide(job: &Job, then: Then, policy: &RetryPolicy, now: Timestamp, random: u8) -> Decision {
    match then {
        Then::Continue(Progress::Made) => Decision::Continue(RetryState::progressed(now)),
        Then::Continue(Progress::None) => Decision::Continue(job.retry),
        Then::Snooze(delay, reason) => {
            Decision::Release { delay, waiting_for: Some(reason), retry: job.retry, cause: None }
        }
        Then::SleepUntil(until, waiting_for) => {
            Decision::Sleep { until, waiting_for, retry: RetryState::progressed(now) }
        }
        Then::ProgressThenSnooze(delay, reason) => {
            let retry = RetryState::progressed(now);
            Decision::Release { delay, waiting_for: Some(reason), retry, cause: None }
        }
        Then::RetryInLease(retry, delay) => Decision::RetryInLease(retry, delay),
        Then::Retry(failure) => retry_or_fail(job, failure, policy, now, random),
        Then::RetryAfter(failure, least) => match retry_or_fail(job, failure, policy, now, random) {
            Decision::Release { delay, waiting_for, retry, cause } => {
                Decision::Release { delay: delay.max(least), waiting_for, retry, cause }
            }
            decision => decision,
        },
        Then::Refused(failure, refusal) => {
            let refused = job.retry.refused(refusal, now);
            match refused.verdict(now, policy.confirm) {
                Verdict::Retry => {
                    let job = Job { retry: refused, ..job.clone() };
                    retry_or_fail(&job, failure, policy, now, random)
                }
                Verdict::Refused => Decision::Fail(failure),
                Verdict::Missing => Decision::ConfirmDeletion(failure),
            }
        }
        Then::Fail(failure) => Decision::Fail(failure),
    }
}

fn retry_or_fail(job: &Job, failure: Failure, policy: &RetryPolicy, now: Timestamp, random: u8) -> Decision {
    if policy.is_exhausted(&job.state, failure.code, job.retry, now) {
        return Decision::Fail(failure);
    }
    Decision::Release {
        delay: backoff(job.retry.count, random),
        waiting_for: Some(waits_for(failure.code)),
        retry: job.retry.failed(),
        cause: Some(failure),
    }
}

/// What a job waits for that is retried after this failure.
fn waits_for(code: FailureCode) -> WaitingFor {
    match code {
        FailureCode::SourceUnreachable | FailureCode::SourceBroken | FailureCode::SourceTooSlow => {
            WaitingFor::Source
        }
        _ => WaitingFor::Vimeo,
    }
}

#[cfg(test)]
#[path = "outcome_tests.rs"]
mod tests;
