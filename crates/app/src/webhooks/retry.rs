//! What follows from an attempt: pure decisions.

use std::time::Duration;

use domain::time::Timestamp;
use domain::webhook::{AttemptResult, DisabledReason};
use egress::RetryAfter;

/// The receiver does not want any more webhooks.
const GONE: u16 = 410;
/// The statuses whose `Retry-After` is honoured.
const BUSY: [u16; 2] = [429, 503];
/// The longest delay that a receiver can ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// How much later than its delays say the last attempt of a delivery may be.
const LATENESS_MAX: Duration = Duration::from_hours(24);

/// The longest attempt.
const POST_TIMEOUT: Duration = Duration::from_secs(15);
/// What is left of a lease for storing the result.
const WRITE_MARGIN: Duration = Duration::from_secs(5);

/// What follows from an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivered,
    /// No attempt follows, and the endpoint is disabled.
    Gone,
    Exhausted,
    Retry(Duration),
}

/// What follows from an attempt, after this many failed ones. The delay varies by a tenth, so that many do not come at once,
/// and is at least what the receiver asked for.
pub(super) fn judge(
    result: AttemptResult,
    failed_before: u32,
    asked_for: Option<Duration>,
    (delays, random): (&[Duration], u8),
) -> Verdict {
    match result {
        AttemptResult::Http(200..=299) => return Verdict::Delivered,
        AttemptResult::Http(GONE) => return Verdict::Gone,
        AttemptResult::Http(_) | AttemptResult::NoResponse | AttemptResult::Unreachable => {}
        AttemptResult::NotAllowed
        | AttemptResult::EndpointDisabled
        | AttemptResult::EndpointDeleted
        | AttemptResult::Unreadable => return Verdict::Exhausted,
    }
    let delay = usize::try_from(failed_before).ok().and_then(|failed| delays.get(failed));
    let Some(delay) = delay else { return Verdict::Exhausted };
    let varied = *delay * 9 / 10 + *delay / 5 * u32::from(random) / 255;
    Verdict::Retry(varied.max(asked_for.unwrap_or_default()))
}

/// The delay that a response asks for.
pub(super) fn asked_delay(status: u16, retry_after: Option<RetryAfter>, now: Timestamp) -> Option<Duration> {
    if !BUSY.contains(&status) {
        return None;
    }
    let delay = match retry_after? {
        RetryAfter::Seconds(seconds) => Duration::from_secs(seconds),
        // The receiver means its own clock, but says only this.
        RetryAfter::At(at) => Duration::from_secs(at.seconds_after(now)),
    };
    Some(delay.min(RETRY_AFTER_MAX))
}

/// Whether a delivery ends with its next failure although it has delays left: it is older than all of them and a day together,
/// because its attempts wait behind others. A receiver that never answers gets one attempt at a time, so that many deliveries to
/// it would take weeks. When a delivery was requested again is not stored; but only an attempt that waited for longer than its
/// share of that day counts, so that an old delivery that is made again has all its delays.
pub(super) fn has_waited_for_long(
    created_at: Timestamp,
    due_at: Option<Timestamp>,
    at: Timestamp,
    delays: &[Duration],
) -> bool {
    let attempts = u32::try_from(delays.len()).unwrap_or(u32::MAX).saturating_add(1);
    let is_late = due_at.is_some_and(|due_at| due_at.plus(LATENESS_MAX / attempts) < at);
    is_late && created_at.plus(delays.iter().sum::<Duration>() + LATENESS_MAX) < at
}

/// Why an endpoint is disabled after an attempt, if it is. One failure of an endpoint that rarely receives something says
/// little, however long ago the one before it was: only a delivery whose attempts have all failed counts.
pub(super) fn disabling(
    (result, verdict): (AttemptResult, Verdict),
    failing_since: Option<Timestamp>,
    now: Timestamp,
    disable_after: Duration,
) -> Option<DisabledReason> {
    match verdict {
        Verdict::Gone => Some(DisabledReason::Gone),
        // What was not sent says nothing about the endpoint.
        Verdict::Exhausted if result.is_attempt() => {
            has_failed_for_long(failing_since, now, disable_after).then_some(DisabledReason::Failing)
        }
        Verdict::Exhausted | Verdict::Retry(_) | Verdict::Delivered => None,
    }
}

/// Whether the attempts at an endpoint have failed for long enough.
fn has_failed_for_long(failing_since: Option<Timestamp>, now: Timestamp, disable_after: Duration) -> bool {
    failing_since.is_some_and(|since| since.plus(disable_after) <= now)
}

/// Whether an attempt and its result have time before the lease of the delivery expires; otherwise another worker might send it
/// at the same time.
pub(super) fn has_time(lease: Duration, elapsed: Duration) -> bool {
    lease.saturating_sub(elapsed) >= POST_TIMEOUT + WRITE_MARGIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAYS: [Duration; 2] = [Duration::from_secs(5), Duration::from_mins(1)];

    fn judge_status(status: u16, failed_before: u32) -> Verdict {
        judge(AttemptResult::Http(status), failed_before, None, (&DELAYS, 7))
    }

    #[test]
    fn every_2xx_is_a_delivery_and_410_ends_the_attempts() {
        for failed_before in 0..4 {
            for status in 200..300 {
                assert_eq!(judge_status(status, failed_before), Verdict::Delivered);
            }
            assert_eq!(judge_status(410, failed_before), Verdict::Gone);
        }
    }

    #[test]
    fn every_other_answer_is_retried_after_each_delay() {
        let others = [301, 302, 400, 404, 429, 500, 503].map(AttemptResult::Http);
        for result in others.into_iter().chain([AttemptResult::NoResponse, AttemptResult::Unreachable]) {
            let judged = |failed_before| judge(result, failed_before, None, (&DELAYS, 7));
            assert!(matches!(judged(0), Verdict::Retry(_)) && matches!(judged(1), Verdict::Retry(_)));
            assert_eq!((judged(2), judged(u32::MAX)), (Verdict::Exhausted, Verdict::Exhausted), "{result:?}");
        }
    }

    #[test]
    fn what_could_not_be_sent_is_not_tried_again() {
        use AttemptResult as R;
        for result in [R::NotAllowed, R::EndpointDisabled, R::EndpointDeleted, R::Unreadable] {
            assert_eq!(judge(result, 0, None, (&DELAYS, 7)), Verdict::Exhausted, "{result:?}");
        }
    }

    #[test]
    fn a_delay_varies_by_a_tenth_and_is_at_least_what_was_asked_for() {
        let delay = |random, asked_for| match judge(AttemptResult::Http(503), 1, asked_for, (&DELAYS, random))
        {
            Verdict::Retry(delay) => delay.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!([delay(0, None), delay(255, None)], [54, 66]);
        assert_eq!(delay(0, Some(Duration::from_secs(10))), 54);
        assert_eq!(delay(0, Some(Duration::from_secs(100))), 100);
    }

    #[test]
    fn a_receiver_can_ask_for_a_day_at_most() {
        let now = Timestamp::from_millis(1_000_000);
        let seconds = |status, seconds| asked_delay(status, Some(RetryAfter::Seconds(seconds)), now);
        assert_eq!(seconds(429, 7), Some(Duration::from_secs(7)));
        assert_eq!(seconds(503, u64::MAX), Some(RETRY_AFTER_MAX));
        assert_eq!((seconds(500, 7), asked_delay(503, None, now)), (None, None));
        let at = |seconds| asked_delay(503, Some(RetryAfter::At(now.plus_seconds(seconds))), now);
        assert_eq!((at(90), at(-90)), (Some(Duration::from_secs(90)), Some(Duration::ZERO)));
    }

    #[test]
    fn an_endpoint_is_disabled_when_a_delivery_is_exhausted_after_it_has_failed_for_long_enough() {
        let (day, now) = (Duration::from_hours(24), Timestamp::from_millis(1_000_000_000));
        let disabled = |verdict, since| disabling((AttemptResult::Http(502), verdict), since, now, day);
        let long_ago = Some(now.minus(day));
        assert_eq!(disabled(Verdict::Exhausted, long_ago), Some(DisabledReason::Failing));
        assert_eq!(disabled(Verdict::Exhausted, Some(now.minus(day).plus_seconds(1))), None);
        assert_eq!(disabled(Verdict::Exhausted, None), None);
        assert_eq!(disabled(Verdict::Retry(day), long_ago), None, "one failure of a quiet endpoint");
        assert_eq!(disabled(Verdict::Delivered, long_ago), None);
        assert_eq!(disabled(Verdict::Gone, None), Some(DisabledReason::Gone));
        let unsent = (AttemptResult::NotAllowed, Verdict::Exhausted);
        assert_eq!(disabling(unsent, long_ago, now, day), None);
    }

    #[test]
    fn a_delivery_that_waits_behind_others_ends_a_day_after_its_last_delay() {
        let (hour, created_at) = (Duration::from_hours(1), Timestamp::from_millis(1_000_000_000));
        let waited = |due_at: Timestamp, at| has_waited_for_long(created_at, Some(due_at), at, &[hour; 3]);
        let last = created_at.plus(27 * hour);
        let after = last.plus_seconds(1);
        assert!(!waited(created_at, last) && waited(created_at, after));
        // A quarter of a day for each attempt.
        assert!(
            !waited(after.minus(6 * hour), after) && waited(after.minus(6 * hour).plus_seconds(-1), after)
        );
        let again = created_at.plus(900 * hour);
        assert!(!waited(again, again.plus_seconds(9)), "an old one that is made again");
    }

    #[test]
    fn a_lease_has_time_for_an_attempt_and_its_result() {
        let lease = Duration::from_secs(30);
        assert!(has_time(lease, Duration::from_secs(10)));
        assert!(!has_time(lease, Duration::from_millis(10_001)) && !has_time(lease, Duration::from_hours(1)));
    }
}
