//! When a failed attempt is retried, and when the retries are exhausted: one policy for every state of a job. Short
//! interruptions are retried while the worker keeps the lease; then the lease is released, and the job is retried later.

use std::time::Duration;

use domain::job::{FailureCode, JobState, RetryState};
use domain::time::Timestamp;

/// The first delay; it doubles with each attempt.
const BACKOFF: Duration = Duration::from_secs(1);
/// The longest delay.
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// Attempts that are made however much time has passed.
const ATTEMPTS_MIN: u32 = 8;
/// The first delay within a lease; it doubles with each attempt.
const LEASE_BACKOFF: Duration = Duration::from_millis(250);
/// The longest delay within a lease.
const LEASE_BACKOFF_MAX: Duration = Duration::from_secs(8);
/// Retries within a lease.
const LEASE_RETRIES: u32 = 6;
/// Retries within a lease before an upload restarts at its first byte.
const RESTART_RETRIES: u32 = 2;
/// How long a cleanup is retried.
const CLEANUP_DEADLINE: Duration = Duration::from_hours(1);

/// The limits of retries.
///
/// | state | failure | retried until |
/// |---|---|---|
/// | cleaning up | any | one hour without progress |
/// | any other | the source's: unreachable, broken, too slow | `source_attempts` attempts, and as below |
/// | any other | any other | 8 attempts and `deadline` without progress |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RetryPolicy {
    /// Attempts in a row at a source that does not deliver its bytes.
    pub(super) source_attempts: u32,
    /// How long a job may make no progress.
    pub(super) deadline: Duration,
    /// How long Vimeo must refuse requests for a video whose bytes it has before that is final.
    pub(super) confirm: Duration,
}

impl RetryPolicy {
    /// Whether a job in this state, which has failed so, is not retried again.
    pub(super) fn is_exhausted(
        &self,
        state: &JobState,
        code: FailureCode,
        retry: RetryState,
        now: Timestamp,
    ) -> bool {
        if let JobState::CleaningUp(_) = state {
            return now > retry.last_progress_at.plus(CLEANUP_DEADLINE);
        }
        let is_about_source = matches!(
            code,
            FailureCode::SourceUnreachable | FailureCode::SourceBroken | FailureCode::SourceTooSlow
        );
        // A first failure after a long quiet time is retried.
        let is_late = retry.count >= ATTEMPTS_MIN && now > retry.last_progress_at.plus(self.deadline);
        is_late || (is_about_source && retry.count >= self.source_attempts)
    }
}

/// A failed attempt that is retried while the worker keeps the lease.
///
/// | failed | retries | then |
/// |---|---|---|
/// | to send bytes to the upload link, or to ask it for the offset | 6 | the lease is released, as above |
/// | to open or read the source | 6, together with those | the lease is released, as above |
/// | to read a source that sends nothing | while it is fast enough | the lease is released, as above |
/// | to ask for an offset that can be one of this upload | 6 | the upload restarts |
/// | to send bytes that Vimeo refuses | 2 | the upload restarts |
/// | to open a source that seems to be another file | 2 | the upload restarts |
///
/// Progress resets the counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaseRetry {
    /// To send bytes to the upload link, or to ask it for the offset.
    Link,
    /// To ask for an offset that can be one of this upload.
    ImpossibleOffset,
    /// To open or read the source.
    Source,
    /// To read a source that sends nothing. Its minimum rate is the limit.
    StalledSource,
    /// To send bytes that Vimeo refuses. The offset is asked for first.
    RefusedBytes,
    /// To open a source that seems to be another file: another node of its cluster may have the one that was read.
    ChangedSource,
}

impl LeaseRetry {
    /// Whether the attempt failed because of the source.
    pub(super) fn is_about_source(self) -> bool {
        matches!(self, Self::Source | Self::StalledSource | Self::ChangedSource)
    }
}

/// The failed attempts within a lease since the last progress.
#[derive(Debug, Default)]
pub(super) struct LeaseAttempts {
    failed: u32,
    impossible: u32,
    refused: u32,
    changed: u32,
}

impl LeaseAttempts {
    /// Counts a failed attempt. Returns the delay until the next one; `None`: there is none in this lease.
    pub(super) fn fail(&mut self, retry: LeaseRetry) -> Option<Duration> {
        let is_exhausted = match retry {
            LeaseRetry::Link | LeaseRetry::Source => self.failed >= LEASE_RETRIES,
            LeaseRetry::ImpossibleOffset => self.impossible >= LEASE_RETRIES,
            LeaseRetry::StalledSource => false,
            LeaseRetry::RefusedBytes => self.refused >= RESTART_RETRIES,
            LeaseRetry::ChangedSource => self.changed >= RESTART_RETRIES,
        };
        if is_exhausted {
            return None;
        }
        let delay = lease_backoff(self.failed);
        self.failed = self.failed.saturating_add(1);
        match retry {
            LeaseRetry::ImpossibleOffset => self.impossible += 1,
            LeaseRetry::RefusedBytes => self.refused += 1,
            LeaseRetry::ChangedSource => self.changed += 1,
            LeaseRetry::Link | LeaseRetry::Source | LeaseRetry::StalledSource => {}
        }
        Some(delay)
    }
}

/// The delay within a lease after this many failed attempts. Nothing of it is random: the attempts of other jobs failed at other
/// times.
pub(super) fn lease_backoff(failed_attempts: u32) -> Duration {
    let factor = 1_u32.checked_shl(failed_attempts).unwrap_or(u32::MAX);
    LEASE_BACKOFF.saturating_mul(factor).min(LEASE_BACKOFF_MAX)
}

/// The delay after this many failed attempts: it doubles, and half of it is random, so that the jobs that failed together
/// do not return together. `random`: any byte.
pub(super) fn backoff(failed_attempts: u32, random: u8) -> Duration {
    let factor = 1_u32.checked_shl(failed_attempts.min(16)).unwrap_or(u32::MAX);
    let longest = BACKOFF.saturating_mul(factor).min(BACKOFF_MAX);
    longest / 2 + longest / 2 * u32::from(random) / 255
}

/// Whether this many failed attempts in a row are worth a line in the log: the first, the second, the fourth and so on.
pub(super) fn is_logged(attempts: u32) -> bool {
    attempts.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use domain::job::{CleaningUp, Configuring, Ending, Queued, Uploading};
    use domain::video::VideoNumber;

    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        source_attempts: 10,
        deadline: Duration::from_hours(24),
        confirm: Duration::from_mins(10),
    };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn failed(count: u32) -> RetryState {
        RetryState { count, ..RetryState::progressed(at(0)) }
    }

    fn states() -> [JobState; 3] {
        let video = VideoNumber::from_stored(1);
        [
            JobState::Queued(Queued::default()),
            JobState::Uploading(Uploading { target: video.into(), size: 9, sent: 3, restarts: 0 }),
            JobState::Configuring(Configuring::new(video.into(), 9)),
        ]
    }

    #[test]
    fn a_source_is_asked_a_fixed_number_of_times_in_every_state() {
        for state in states() {
            for code in FailureCode::ALL {
                let name = code.as_str();
                let is_limited = ["SOURCE_UNREACHABLE", "SOURCE_BROKEN", "SOURCE_TOO_SLOW"].contains(&name);
                assert!(!POLICY.is_exhausted(&state, *code, failed(9), at(60)), "{name}");
                assert_eq!(POLICY.is_exhausted(&state, *code, failed(10), at(60)), is_limited, "{name}");
            }
        }
    }

    #[test]
    fn vimeo_is_retried_until_the_deadline() {
        let code = FailureCode::VimeoUnavailable;
        for state in states() {
            assert!(!POLICY.is_exhausted(&state, code, failed(100), at(24 * 3_600)));
            assert!(POLICY.is_exhausted(&state, code, failed(100), at(24 * 3_600 + 1)));
        }
    }

    #[test]
    fn a_first_failure_after_a_long_quiet_time_is_retried() {
        let [queued, ..] = states();
        let late = at(100 * 3_600);
        assert!(!POLICY.is_exhausted(&queued, FailureCode::VimeoUnavailable, failed(7), late));
        assert!(POLICY.is_exhausted(&queued, FailureCode::VimeoUnavailable, failed(8), late));
    }

    #[test]
    fn a_cleanup_is_retried_for_an_hour_whatever_failed() {
        let cleaning = CleaningUp { ending: Ending::Cancelled, unconfirmed: None, target: None, size: None };
        let cleaning = JobState::CleaningUp(cleaning);
        for code in FailureCode::ALL {
            assert!(!POLICY.is_exhausted(&cleaning, *code, failed(1_000), at(3_600)), "{code:?}");
            assert!(POLICY.is_exhausted(&cleaning, *code, failed(0), at(3_601)), "{code:?}");
        }
    }

    #[test]
    fn the_backoff_doubles_up_to_its_maximum() {
        let longest: Vec<_> = (0..10).map(|count| backoff(count, 255).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
        assert_eq!(backoff(u32::MAX, 255), BACKOFF_MAX);
    }

    #[test]
    fn the_delays_within_a_lease_double_up_to_their_maximum() {
        let millis: Vec<_> = (0..8).map(|failed| lease_backoff(failed).as_millis()).collect();
        assert_eq!(millis, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000]);
        assert_eq!(lease_backoff(u32::MAX), LEASE_BACKOFF_MAX);
    }

    /// The retries of one kind of attempt that always fails.
    fn retries(retry: LeaseRetry) -> Vec<Duration> {
        let mut attempts = LeaseAttempts::default();
        std::iter::from_fn(|| attempts.fail(retry)).take(100).collect()
    }

    #[test]
    fn a_lease_is_released_after_a_few_attempts() {
        use LeaseRetry::{ChangedSource, ImpossibleOffset, Link, RefusedBytes, Source, StalledSource};
        for (retry, count) in [
            (Link, 6),
            (ImpossibleOffset, 6),
            (Source, 6),
            (RefusedBytes, 2),
            (ChangedSource, 2),
            (StalledSource, 100),
        ] {
            assert_eq!(retries(retry).len(), count, "{retry:?}");
        }
        // The lease is renewed meanwhile, so that the sum may be longer than it is; other jobs need the slot.
        let total: Duration = retries(Link).into_iter().sum();
        assert!(total < Duration::from_secs(16), "{total:?}");
    }

    #[test]
    fn failures_of_different_kinds_count_together() {
        use LeaseRetry::{ChangedSource, ImpossibleOffset, Link, RefusedBytes, Source, StalledSource};
        let mut attempts = LeaseAttempts::default();
        for retry in [Link, Source, StalledSource, RefusedBytes, ChangedSource, Link] {
            assert!(attempts.fail(retry).is_some(), "{retry:?}");
        }
        assert_eq!((attempts.fail(Link), attempts.fail(Source)), (None, None));
        // An upload restarts only after several failures of the same kind.
        assert!((0..6).all(|_| attempts.fail(ImpossibleOffset).is_some()));
        assert_eq!(attempts.fail(ImpossibleOffset), None);
        assert_eq!(attempts.fail(RefusedBytes), Some(LEASE_BACKOFF_MAX));
        assert_eq!(attempts.fail(RefusedBytes), None);
    }

    #[test]
    fn time_counts_as_the_sources_if_the_attempt_failed_because_of_it() {
        use LeaseRetry::{ChangedSource, ImpossibleOffset, Link, RefusedBytes, Source, StalledSource};
        assert_eq!([Source, StalledSource, ChangedSource].map(LeaseRetry::is_about_source), [true; 3]);
        assert_eq!([Link, ImpossibleOffset, RefusedBytes].map(LeaseRetry::is_about_source), [false; 3]);
    }

    #[test]
    fn half_of_the_backoff_is_random() {
        for count in 0..12 {
            let [shortest, longest] = [0, 255].map(|random| backoff(count, random));
            assert_eq!(shortest * 2, longest, "{count}");
            let middle = backoff(count, 128);
            assert!(shortest < middle && middle < longest, "{count}");
        }
    }

    #[test]
    fn repeated_failures_are_logged_ever_less_often() {
        let logged: Vec<_> = (1..=300).filter(|attempts| is_logged(*attempts)).collect();
        assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64, 128, 256]);
    }
}
