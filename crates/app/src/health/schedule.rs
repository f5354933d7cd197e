//! When a connection is checked next. Nothing here reads a clock.

use std::time::Duration;

use domain::health::{CheckName, CheckResult, Health, HealthStatus};
use domain::time::Timestamp;

/// The interval of schedules that are stored where nothing checks in the background. Another node may check.
pub(super) const DEFAULT_INTERVAL: Duration = Duration::from_hours(24);
/// The first pause of an unverified connection that Vimeo did not answer for.
const UNVERIFIED_PAUSE: Duration = Duration::from_secs(5);
/// The longest.
const UNVERIFIED_PAUSE_MAX: Duration = Duration::from_mins(2);
/// The first pause of another connection that Vimeo did not answer for.
const UNANSWERED_PAUSE: Duration = Duration::from_mins(1);
/// The longest.
const UNANSWERED_PAUSE_MAX: Duration = Duration::from_hours(1);
/// The first pause of an unhealthy connection. Later ones grow with the time that it has been unhealthy.
const UNHEALTHY_PAUSE: Duration = Duration::from_mins(5);
/// The longest pause after a check to which Vimeo said nothing of the account.
const WITHOUT_USER_PAUSE: Duration = Duration::from_mins(15);
/// How much earlier than the interval a check may be, in percent: so they are spread over the day.
const SPREAD_PERCENT: u32 = 20;
/// A connection in use is checked this many times as often.
const USED_FACTOR: u32 = 4;
/// How long after an upload a connection counts as used.
pub(super) const USED_FOR: Duration = Duration::from_hours(7 * 24);
/// A new connection is checked in full after this, which adds what its creation did not ask.
const FIRST_CHECK: Duration = Duration::from_secs(90);

/// Whether a connection is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Usage {
    /// Something was uploaded recently.
    Used,
    /// Nothing was.
    Idle,
}

/// What Vimeo said of an accepted token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Everything that it says.
    Whole,
    /// Nothing of its user: the account and its space are not known.
    WithoutUser,
}

/// What the schedule depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation<'a> {
    /// The health after the check.
    pub(super) health: &'a Health,
    /// Checks in a row, this one included, that Vimeo did not answer.
    pub(super) unanswered: u32,
    /// The earliest time that Vimeo allows.
    pub(super) not_before: Option<Timestamp>,
    /// Whether the connection is in use.
    pub(super) usage: Usage,
    /// What Vimeo said.
    pub(super) extent: Extent,
    /// Now.
    pub(super) now: Timestamp,
}

/// Whether Vimeo did not say what the status depends on: no required check fails, and one is unknown.
pub(super) fn is_unanswered(health: &Health) -> bool {
    let required = || health.checks.iter().filter(|check| CheckName::REQUIRED.contains(&check.name));
    let has = |result| required().any(|check| check.latest.result == result);
    has(CheckResult::Unknown) && !has(CheckResult::Fail)
}

/// When the next check is due. `random` spreads the checks of many connections; `interval` is the longest pause.
pub(super) fn next_check(situation: &Situation<'_>, interval: Duration, random: u8) -> Timestamp {
    let Situation { health, unanswered, not_before, usage, extent, now } = *situation;
    let pause = match (unanswered, health.status) {
        (1.., HealthStatus::Unverified) => {
            doubled(UNVERIFIED_PAUSE, unanswered - 1).min(UNVERIFIED_PAUSE_MAX)
        }
        (1.., _) => doubled(UNANSWERED_PAUSE, unanswered - 1).min(UNANSWERED_PAUSE_MAX),
        (0, HealthStatus::Unhealthy) => {
            let lasted = Duration::from_secs(now.seconds_after(health.since));
            (lasted / 2).max(UNHEALTHY_PAUSE)
        }
        (0, _) if usage == Usage::Used => interval / USED_FACTOR,
        (0, _) => interval,
    };
    let pause = if extent == Extent::WithoutUser { pause.min(WITHOUT_USER_PAUSE) } else { pause };
    let at = now.plus(spread(pause.min(interval), random));
    not_before.map_or(at, |not_before| at.max(not_before))
}

/// When a new connection is checked, whose credentials Vimeo has accepted.
pub(super) fn first_check(created_at: Timestamp, interval: Duration, random: u8) -> Timestamp {
    created_at.plus(spread(FIRST_CHECK.min(interval), random))
}

/// When a connection is checked whose credentials Vimeo was not asked about.
pub(super) fn first_check_of_unverified(created_at: Timestamp, interval: Duration) -> Timestamp {
    created_at.plus(UNVERIFIED_PAUSE.min(interval))
}

fn doubled(pause: Duration, times: u32) -> Duration {
    pause.saturating_mul(1_u32.checked_shl(times.min(16)).unwrap_or(u32::MAX))
}

/// Up to a fifth less.
fn spread(pause: Duration, random: u8) -> Duration {
    pause.saturating_sub(pause * SPREAD_PERCENT / 100 * u32::from(random) / 255)
}

#[cfg(test)]
mod tests {
    use domain::health::{Credentials, Finding, Observation, ProblemCode};

    use super::*;

    const DAY: Duration = Duration::from_hours(24);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn health(observation: Observation) -> Health {
        Health::unverified(at(0)).observe(observation, Credentials::Same, at(0))
    }

    fn rejected() -> Observation {
        let mut observation = Observation::accepted();
        observation.findings[1] = Finding::fail(ProblemCode::TokenRejected, "No.");
        observation
    }

    fn seconds(health: &Health, unanswered: u32, usage: Usage, now: i64) -> i64 {
        let situation =
            Situation { health, unanswered, not_before: None, usage, extent: Extent::Whole, now: at(now) };
        (next_check(&situation, DAY, 0).as_millis() - at(now).as_millis()) / 1_000
    }

    #[test]
    fn a_connection_in_use_is_checked_more_often() {
        let healthy = health(Observation::accepted());
        assert_eq!(seconds(&healthy, 0, Usage::Idle, 9), 86_400);
        assert_eq!(seconds(&healthy, 0, Usage::Used, 9), 21_600);
    }

    #[test]
    fn an_unhealthy_connection_is_checked_less_often_the_longer_it_lasts() {
        let unhealthy = health(rejected());
        let pauses = [0, 500, 1_000, 10_000, 900_000].map(|now| seconds(&unhealthy, 0, Usage::Used, now));
        assert_eq!(pauses, [300, 300, 500, 5_000, 86_400]);
    }

    #[test]
    fn an_unverified_connection_is_checked_soon_and_others_wait_longer() {
        let unverified = health(Observation::unknown("Vimeo could not be reached."));
        let healthy = health(Observation::accepted());
        let pauses = |health| [1, 2, 3, 6, 40].map(|unanswered| seconds(health, unanswered, Usage::Idle, 9));
        assert_eq!(pauses(&unverified), [5, 10, 20, 120, 120]);
        assert_eq!(pauses(&healthy), [60, 120, 240, 1_920, 3_600]);
    }

    #[test]
    fn a_rate_limit_is_waited_for() {
        let healthy = health(Observation::accepted());
        let situation = Situation {
            health: &healthy,
            unanswered: 1,
            not_before: Some(at(500)),
            usage: Usage::Idle,
            extent: Extent::Whole,
            now: at(9),
        };
        assert_eq!(next_check(&situation, DAY, 0), at(500));
    }

    #[test]
    fn the_account_is_asked_for_again_soon() {
        let healthy = health(Observation::accepted());
        let situation = Situation {
            health: &healthy,
            unanswered: 0,
            not_before: None,
            usage: Usage::Idle,
            extent: Extent::WithoutUser,
            now: at(0),
        };
        assert_eq!(next_check(&situation, DAY, 0), at(900));
    }

    #[test]
    fn a_pause_is_spread_and_never_longer_than_the_interval() {
        let healthy = health(Observation::accepted());
        let next = |interval, random| {
            let situation = Situation {
                health: &healthy,
                unanswered: 0,
                not_before: None,
                usage: Usage::Idle,
                extent: Extent::Whole,
                now: at(0),
            };
            next_check(&situation, Duration::from_secs(interval), random)
        };
        assert_eq!([next(100, 0), next(100, 255)], [at(100), at(80)]);
        assert_eq!(first_check(at(10), DAY, 0), at(100));
        assert_eq!(first_check(at(10), Duration::from_secs(20), 0), at(30));
        assert_eq!(first_check_of_unverified(at(10), DAY), at(15));
    }

    #[test]
    fn a_rejection_is_an_answer_even_beside_an_unknown_result() {
        let mut mixed = rejected();
        mixed.findings[0] = Finding::unknown("Vimeo could not be reached.");
        assert!(!is_unanswered(&health(mixed)));
        let mut partly = Observation::accepted();
        partly.findings[0] = Finding::unknown("Vimeo could not be reached.");
        assert!(is_unanswered(&health(partly)));
        assert!(!is_unanswered(&health(Observation::accepted())));
    }
}
