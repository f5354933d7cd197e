//! Requests that Vimeo must not carry out twice, such as the creation of a text track.
//!
//! That one is sent is stored before it is sent. A worker that finds this and did not store it itself does not know whether
//! Vimeo carried it out: it waits until the request has certainly ended, and then looks.
//!
//! Folders and showcases have names of their own, by which they are found: nothing is stored for them.

use std::time::Duration;

use domain::job::{Failure, FailureCode, UniqueRequest, WaitingFor};
use domain::publication::Requirement;
use domain::time::Timestamp;

use super::{CALL_TIMEOUT, StepContext};
use crate::uploads::failures::{delay_until, failure};
use crate::uploads::outcome::Then;

/// How often a part that may be left out is tried in a row.
const PART_ATTEMPTS: u32 = 6;

/// What a step does about a request that must not be repeated.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Prepares it, and has it stored.
    Prepare,
    /// Sends it: this worker has just stored it.
    Send,
    /// Waits until the request of an earlier attempt has certainly ended.
    Wait(Timestamp),
    /// Looks whether Vimeo carried it out.
    LookUp,
}

/// What to do next. `is_ours`: whether this worker has stored the request and not sent it.
pub(super) fn next(request: UniqueRequest, is_ours: Ours, now: Timestamp, margin: Duration) -> Next {
    match (request, is_ours) {
        (UniqueRequest::NotSent, _) => Next::Prepare,
        (UniqueRequest::Sent, Ours::Yes) => Next::Send,
        (UniqueRequest::Sent, Ours::No) => Next::Wait(now.plus(margin)),
        (UniqueRequest::Unconfirmed { lookup_at }, _) if now < lookup_at => Next::Wait(lookup_at),
        (UniqueRequest::Unconfirmed { .. }, _) => Next::LookUp,
    }
}

/// Whether this worker has stored a request and not sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ours {
    Yes,
    No,
}

impl Ours {
    /// Of what a worker remembers of the request that it has stored.
    pub(super) fn of<T>(remembered: Option<&T>) -> Self {
        if remembered.is_some() { Self::Yes } else { Self::No }
    }
}

impl StepContext<'_> {
    /// What to do next about this request.
    pub(super) fn next_of(&self, request: UniqueRequest, is_ours: Ours) -> Next {
        next(request, is_ours, self.now(), CALL_TIMEOUT + self.uploads.options.probe_delay)
    }

    /// When a request that has just been sent, and whose outcome is unknown, has certainly ended.
    pub(super) fn lookup_at(&self) -> Timestamp {
        self.now().plus(self.uploads.options.probe_delay)
    }

    /// How the job waits until a request has certainly ended.
    pub(super) fn wait_for_lookup(&self, lookup_at: Timestamp) -> Then {
        Then::Snooze(delay_until(lookup_at, self.now()), WaitingFor::Confirmation)
    }

    /// Another attempt after a request whose outcome is unknown and that may have created something with a name: not before it
    /// has certainly ended, so that the search by name finds what it created.
    pub(super) fn retry_by_name(&self, error: &vimeo::TransportError) -> Then {
        let failure = failure(FailureCode::VimeoUnavailable, format!("Vimeo {error}."));
        Then::RetryAfter(failure, self.uploads.options.probe_delay)
    }

    /// Whether the file of a part has been fetched often enough.
    pub(super) fn is_fetch_exhausted(&self, requirement: Requirement) -> bool {
        match requirement {
            Requirement::Optional => self.is_part_exhausted(),
            Requirement::Required => {
                self.job.retry.count >= self.uploads.options.retry_policy().source_attempts
            }
        }
    }

    /// Whether a part that may be left out has been tried often enough.
    pub(super) fn is_part_exhausted(&self) -> bool {
        self.job.retry.count >= PART_ATTEMPTS
    }
}

/// Another attempt of a part that Vimeo did not confirm.
pub(super) fn retry_part(what: &str) -> Then {
    Then::Retry(not_confirmed(what))
}

fn not_confirmed(what: &str) -> Failure {
    failure(FailureCode::VimeoUnavailable, format!("Vimeo repeatedly did not confirm {what}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_worker_that_stored_a_request_sends_it() {
        let now = Timestamp::from_millis(10_000);
        let margin = Duration::from_secs(5);
        let at = |seconds| now.plus_seconds(seconds);
        let unconfirmed = |seconds| UniqueRequest::Unconfirmed { lookup_at: at(seconds) };
        for (request, is_ours, expected) in [
            (UniqueRequest::NotSent, Ours::No, Next::Prepare),
            (UniqueRequest::NotSent, Ours::Yes, Next::Prepare),
            (UniqueRequest::Sent, Ours::Yes, Next::Send),
            (UniqueRequest::Sent, Ours::No, Next::Wait(at(5))),
            (unconfirmed(1), Ours::No, Next::Wait(at(1))),
            (unconfirmed(1), Ours::Yes, Next::Wait(at(1))),
            (unconfirmed(0), Ours::No, Next::LookUp),
            (unconfirmed(-9), Ours::No, Next::LookUp),
        ] {
            assert_eq!(next(request, is_ours, now, margin), expected, "{request:?} {is_ours:?}");
        }
    }
}
