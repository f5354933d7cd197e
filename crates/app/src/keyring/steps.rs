//! The steps of replacing a key of which there are two meanwhile: that of an account, or the service secret.

use std::time::Duration;

use domain::account::SecondKeyRole;
use domain::time::Timestamp;

/// How long the phases of a replacement last.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How long the next key is there before it is used: longer than nodes cache keys, with time for requests in flight.
    pub(super) next_settles: Duration,
    /// How long a former key is kept at least.
    pub(super) former_kept: Duration,
}

/// The next step of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Add the next key.
    AddNext,
    /// Wait, and look again.
    Wait(Duration),
    /// Make the next key the current one.
    Switch,
    /// Rewrite everything with the current key. `may_end`: if nothing was left to rewrite, the former key goes.
    Rewrite { may_end: bool },
}

/// Whether this process has waited for long enough since it read the next key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Settled {
    /// Only the stored instant is known.
    Unknown,
    /// Yes, whatever the clock says.
    Waited,
}

/// The next step, by the second key and its age.
pub(super) fn next_step(
    second: Option<(SecondKeyRole, Timestamp)>,
    terms: Terms,
    settled: Settled,
    now: Timestamp,
) -> Step {
    let Some((role, since)) = second else { return Step::AddNext };
    let wait = |lasts: Duration| {
        let left = since.plus(lasts).as_micros().saturating_sub(now.as_micros());
        u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_micros)
    };
    match role {
        SecondKeyRole::Next if settled == Settled::Waited => Step::Switch,
        // A clock that was set back does not make it wait for longer.
        SecondKeyRole::Next => {
            wait(terms.next_settles).map_or(Step::Switch, |left| Step::Wait(left.min(terms.next_settles)))
        }
        SecondKeyRole::Former => Step::Rewrite { may_end: wait(terms.former_kept).is_none() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_goes_through_its_steps_by_the_second_key_and_the_time() {
        let terms = Terms { next_settles: Duration::from_secs(5), former_kept: Duration::from_hours(25) };
        let at = |second| Timestamp::from_millis(1_000_000).plus_seconds(second);
        let unknown = |second, now| next_step(second, terms, Settled::Unknown, now);
        assert_eq!(unknown(None, at(0)), Step::AddNext);
        let next = Some((SecondKeyRole::Next, at(0)));
        assert_eq!(unknown(next, at(0)), Step::Wait(Duration::from_secs(5)));
        assert_eq!(unknown(next, at(4)), Step::Wait(Duration::from_secs(1)));
        assert_eq!(unknown(next, at(-900)), Step::Wait(Duration::from_secs(5)), "a clock set back");
        assert_eq!(next_step(next, terms, Settled::Waited, at(-900)), Step::Switch);
        assert_eq!(unknown(next, at(5)), Step::Switch);
        let former = Some((SecondKeyRole::Former, at(5)));
        assert_eq!(unknown(former, at(5)), Step::Rewrite { may_end: false });
        assert_eq!(unknown(former, at(5 + 25 * 3_600 - 1)), Step::Rewrite { may_end: false });
        assert_eq!(unknown(former, at(5 + 25 * 3_600)), Step::Rewrite { may_end: true });
    }
}
