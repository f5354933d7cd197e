//! Retries of a job, and when Vimeo's refusals after the last byte are final.

use std::time::Duration;

use crate::time::Timestamp;

/// Refusals in a row before one of them counts as final, however much time has passed.
const REFUSALS_MIN: u32 = 3;

/// The failed attempts of a job since it last made progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryState {
    /// Failed attempts.
    pub count: u32,
    /// When the job last made progress: the retry deadline counts from here.
    pub last_progress_at: Timestamp,
    /// Since when Vimeo has refused requests for a video whose bytes it has.
    pub refused_since: Option<Timestamp>,
    /// Since when Vimeo has answered 404 to every GET of that video that it answered.
    pub missing_since: Option<Timestamp>,
}

/// An answer other than success to a request for a video whose bytes Vimeo has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 404 to a GET of the video.
    Missing,
    /// Any other: 403, 410, 404 to a change.
    Other,
}

/// The decision about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Retry, with backoff.
    Retry,
    /// The upload fails; the video is kept.
    Refused,
    /// The video was missing for long enough: it counts as deleted if the account's list does not show it either.
    Missing,
}

impl RetryState {
    /// The job made progress at `now`.
    pub fn progressed(now: Timestamp) -> Self {
        Self { count: 0, last_progress_at: now, refused_since: None, missing_since: None }
    }

    /// One more attempt failed.
    #[must_use]
    pub fn failed(self) -> Self {
        Self { count: self.count.saturating_add(1), ..self }
    }

    /// Vimeo refused at `now`. An answer other than 404 proves that the video exists.
    #[must_use]
    pub fn refused(self, refusal: Refusal, now: Timestamp) -> Self {
        let missing_since = match refusal {
            Refusal::Missing => Some(self.missing_since.unwrap_or(now)),
            Refusal::Other => None,
        };
        Self { refused_since: Some(self.refused_since.unwrap_or(now)), missing_since, ..self }
    }

    /// Vimeo returned the video.
    #[must_use]
    pub fn found(self) -> Self {
        Self { missing_since: None, ..self }
    }

    /// Vimeo accepted every request, so earlier failures no longer count.
    #[must_use]
    pub fn accepted(self) -> Self {
        Self { count: 0, refused_since: None, missing_since: None, ..self }
    }

    /// The decision at `now` about the refusal that was just counted. Refusals are final after `confirm`.
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

    /// The state after these refusals, at these seconds.
    fn after(refusals: &[(i64, Refusal)]) -> RetryState {
        refusals.iter().fold(RetryState::progressed(at(0)), |retry, (second, refusal)| {
            retry.refused(*refusal, at(*second)).failed()
        })
    }

    #[test]
    fn a_video_counts_as_missing_only_after_ten_minutes_of_nothing_but_404() {
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
    fn a_video_that_was_found_meanwhile_counts_as_missing_only_from_then_on() {
        let shown = after(&[(0, Refusal::Missing), (300, Refusal::Missing)]).found();
        let again = shown.refused(Refusal::Missing, at(700)).failed();
        assert_eq!(again.verdict(at(700), CONFIRM), Verdict::Refused);
        let seconds = [700, 900, 1_100];
        let accepted = seconds
            .into_iter()
            .fold(shown.accepted(), |retry, second| retry.refused(Refusal::Missing, at(second)).failed());
        assert_eq!(accepted.verdict(at(1_299), CONFIRM), Verdict::Retry);
        assert_eq!(accepted.verdict(at(1_300), CONFIRM), Verdict::Missing);
    }
}
