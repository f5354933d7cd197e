//! What holds a job up, and when enough was asked after Vimeo's refusals that follow the last byte.

use std::time::Duration;

use crate::time::Timestamp;

/// Refusals in a row before one of them is believed, however much time has passed.
const REFUSALS_MIN: u32 = 3;

/// What holds a job up: troubles one after another, since something went well last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Troubles {
    /// How many.
    pub count: u32,
    /// When something went well last: from then on patience is counted.
    pub well_at: Timestamp,
    /// Since when Vimeo has refused requests for a video whose bytes it has.
    pub refused_since: Option<Timestamp>,
    /// Since when Vimeo has answered 404 to every question for that video that it answered.
    pub missing_since: Option<Timestamp>,
}

/// What Vimeo answered to a request for a video whose bytes it has, other than success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 404 to a question for the video.
    Missing,
    /// Any other answer that is not success: 403, 410, 404 to a change.
    Other,
}

/// What follows from a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Retry, with backoff.
    Retry,
    /// The upload fails; the video is kept.
    Refused,
    /// The video was missing for long enough: it counts as deleted if the account's list does not show it either.
    Missing,
}

impl Troubles {
    /// Nothing holds it up at `now`.
    pub fn none(now: Timestamp) -> Self {
        Self { count: 0, well_at: now, refused_since: None, missing_since: None }
    }

    /// One more.
    #[must_use]
    pub fn one_more(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    /// Vimeo refused at `now`. An answer other than 404 says that something knows the video.
    #[must_use]
    pub fn refused(self, refusal: Refusal, now: Timestamp) -> Self {
        let missing_since = match refusal {
            Refusal::Missing => Some(self.missing_since.unwrap_or(now)),
            Refusal::Other => None,
        };
        Self { refused_since: Some(self.refused_since.unwrap_or(now)), missing_since, ..self }
    }

    /// Vimeo showed the video.
    #[must_use]
    pub fn found(self) -> Self {
        Self { missing_since: None, ..self }
    }

    /// Vimeo refused nothing of what was asked: what went wrong before has passed.
    #[must_use]
    pub fn accepted(self) -> Self {
        Self { count: 0, refused_since: None, missing_since: None, ..self }
    }

    /// What follows at `now` from the refusal that was just counted, when refusals are believed after `confirm`.
    pub fn verdict(self, now: Timestamp, confirm: Duration) -> Verdict {
        let has_lasted = |since: Option<Timestamp>| {
            self.count >= REFUSALS_MIN && since.is_some_and(|since| now >= since.plus(confirm))
        };
        match (has_lasted(self.missing_since), has_lasted(self.refused_since)) {
            (true, _) => Verdict::Missing,
            (false, true) => Verdict::Refused,
            (false, false) => Verdict::Retry,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIRM: Duration = Duration::from_mins(10);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    /// The troubles after these refusals, at these seconds.
    fn after(refusals: &[(i64, Refusal)]) -> Troubles {
        refusals.iter().fold(Troubles::none(at(0)), |troubles, (second, refusal)| {
            troubles.refused(*refusal, at(*second)).one_more()
        })
    }

    #[test]
    fn a_video_counts_as_missing_only_when_every_answer_of_ten_minutes_was_404() {
        use Refusal::{Missing, Other};
        for (refusals, now, verdict) in [
            (&[(0, Missing)][..], 0, Verdict::Retry),
            (&[(0, Missing)], 3_600, Verdict::Retry),
            (&[(0, Missing), (300, Missing), (599, Missing)], 599, Verdict::Retry),
            (&[(0, Missing), (300, Missing), (600, Missing)], 600, Verdict::Missing),
            (&[(0, Missing), (300, Other), (600, Missing)], 600, Verdict::Refused),
            (&[(0, Missing), (300, Other), (600, Missing), (900, Missing)], 900, Verdict::Refused),
            (&[(0, Other), (1, Missing), (300, Missing), (601, Missing)], 601, Verdict::Missing),
            (&[(0, Other), (300, Other), (600, Other)], 600, Verdict::Refused),
            (&[(0, Other), (300, Other), (599, Other)], 599, Verdict::Retry),
        ] {
            assert_eq!(after(refusals).verdict(at(now), CONFIRM), verdict, "{refusals:?}");
        }
    }

    #[test]
    fn a_video_that_was_shown_meanwhile_is_missing_from_then_on_only() {
        let shown = after(&[(0, Refusal::Missing), (300, Refusal::Missing)]).found();
        let again = shown.refused(Refusal::Missing, at(700)).one_more();
        assert_eq!(again.verdict(at(700), CONFIRM), Verdict::Refused);
        let seconds = [700, 900, 1_100];
        let accepted = seconds.into_iter().fold(shown.accepted(), |troubles, second| {
            troubles.refused(Refusal::Missing, at(second)).one_more()
        });
        assert_eq!(accepted.verdict(at(1_299), CONFIRM), Verdict::Retry);
        assert_eq!(accepted.verdict(at(1_300), CONFIRM), Verdict::Missing);
    }
}
