//! The kinds of answers under overload, with the latencies of each.

use std::time::Duration;

use hdrhistogram::Histogram;
use hyper::StatusCode;
use serde::Serialize;

use crate::error::BenchError;
use crate::open_loop::new_histogram;

/// The error code of a request beyond a limit of requests in progress, as in a body.
const OVERLOADED: &[u8] = b"\"OVERLOADED\"";
/// All connections of a flood send their first requests at the same instant, in this time.
const FIRST_SECOND: Duration = Duration::from_secs(1);
/// Later seconds are counted with this one.
const LAST_SECOND: usize = 3_600;

/// What a request expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expected {
    /// A valid key: to be admitted, or refused because of a limit.
    Admission,
    /// An unknown key: to be refused.
    Refusal,
    /// A health probe: 200, under any load.
    Health,
}

/// A kind of answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Admitted,
    /// 429.
    RateLimited,
    /// 503 because of the requests in progress.
    Overloaded,
    /// 503 for another reason.
    Unavailable,
    /// 401.
    KeyRefused,
    Unexpected,
}

impl Answer {
    /// Whether the client should wait before its next request.
    pub(super) fn is_refusal(self) -> bool {
        matches!(self, Self::RateLimited | Self::Overloaded)
    }

    pub(super) fn of(expected: Expected, status: StatusCode, body: &[u8]) -> Self {
        match (expected, status.as_u16()) {
            (Expected::Health, 200) | (Expected::Admission, 200..=299) => Self::Admitted,
            (Expected::Refusal, 401) => Self::KeyRefused,
            (Expected::Admission | Expected::Refusal, 429) => Self::RateLimited,
            (Expected::Admission | Expected::Refusal, 503) => {
                let is_overload = body.windows(OVERLOADED.len()).any(|part| part == OVERLOADED);
                if is_overload { Self::Overloaded } else { Self::Unavailable }
            }
            _ => Self::Unexpected,
        }
    }
}

/// The answers of one load so far. Latencies are in microseconds.
pub(super) struct Tally {
    pub(super) admitted: Histogram<u64>,
    /// Those of them that were admitted after the first second.
    pub(super) admitted_later: Histogram<u64>,
    rate_limited: Histogram<u64>,
    overloaded: Histogram<u64>,
    key_refused: Histogram<u64>,
    after_refusal: Histogram<u64>,
    admitted_after_refusal: u64,
    unavailable: u64,
    unexpected: u64,
    first_unexpected: Option<String>,
    by_second: Vec<Second>,
}

impl Tally {
    pub(super) fn new() -> Result<Self, BenchError> {
        Ok(Self {
            admitted: new_histogram()?,
            admitted_later: new_histogram()?,
            rate_limited: new_histogram()?,
            overloaded: new_histogram()?,
            key_refused: new_histogram()?,
            after_refusal: new_histogram()?,
            admitted_after_refusal: 0,
            unavailable: 0,
            unexpected: 0,
            first_unexpected: None,
            by_second: Vec::new(),
        })
    }

    /// Records the answer to a request that was sent at once after a refusal on its connection. Its latency is another one:
    /// the service handles such a request later.
    pub(super) fn record_after_refusal(&mut self, answer: Answer, latency: Duration, since_start: Duration) {
        record(&mut self.after_refusal, latency);
        self.admitted_after_refusal += u64::from(answer == Answer::Admitted);
        self.count_second(answer, since_start);
    }

    fn count_second(&mut self, answer: Answer, since_start: Duration) {
        let at = usize::try_from(since_start.as_secs()).map_or(LAST_SECOND, |at| at.min(LAST_SECOND));
        if self.by_second.len() <= at {
            self.by_second.resize(at + 1, Second::default());
        }
        if let Some(second) = self.by_second.get_mut(at) {
            second.count(answer);
        }
    }

    /// Records an answer that came this long after the start.
    pub(super) fn record(&mut self, answer: Answer, latency: Duration, since_start: Duration) {
        let histogram = match answer {
            Answer::Admitted => &mut self.admitted,
            Answer::RateLimited => &mut self.rate_limited,
            Answer::Overloaded => &mut self.overloaded,
            Answer::KeyRefused => &mut self.key_refused,
            Answer::Unavailable => {
                self.unavailable += 1;
                return;
            }
            Answer::Unexpected => {
                self.unexpected += 1;
                return;
            }
        };
        record(histogram, latency);
        if answer == Answer::Admitted && since_start >= FIRST_SECOND {
            record(&mut self.admitted_later, latency);
        }
        self.count_second(answer, since_start);
    }

    /// Remembers what was unexpected, if it is the first.
    pub(super) fn explain(&mut self, text: impl FnOnce() -> String) {
        self.first_unexpected.get_or_insert_with(text);
    }

    /// Counts requests without an answer.
    pub(super) fn unanswered(&mut self, requests: u64, why: &str) {
        if requests > 0 {
            self.unexpected += requests;
            self.explain(|| why.to_owned());
        }
    }

    /// All requests that were counted.
    pub(super) fn count(&self) -> u64 {
        let answered =
            [&self.admitted, &self.rate_limited, &self.overloaded, &self.key_refused, &self.after_refusal];
        answered.into_iter().map(Histogram::len).sum::<u64>() + self.unavailable + self.unexpected
    }

    pub(super) fn answers(&self) -> Answers {
        Answers {
            admitted: Latency::of(&self.admitted),
            admitted_later: Latency::of(&self.admitted_later),
            rate_limited: Latency::of(&self.rate_limited),
            overloaded: Latency::of(&self.overloaded),
            key_refused: Latency::of(&self.key_refused),
            after_refusal: Latency::of(&self.after_refusal),
            admitted_after_refusal: self.admitted_after_refusal,
            unavailable: self.unavailable,
            unexpected: self.unexpected,
            first_unexpected: self.first_unexpected.clone(),
            by_second: self.by_second.clone(),
        }
    }
}

fn record(histogram: &mut Histogram<u64>, latency: Duration) {
    histogram.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
}

/// Answers in one second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Second {
    admitted: u64,
    rate_limited: u64,
    overloaded: u64,
    key_refused: u64,
}

impl Second {
    fn count(&mut self, answer: Answer) {
        match answer {
            Answer::Admitted => self.admitted += 1,
            Answer::RateLimited => self.rate_limited += 1,
            Answer::Overloaded => self.overloaded += 1,
            Answer::KeyRefused => self.key_refused += 1,
            Answer::Unavailable | Answer::Unexpected => {}
        }
    }
}

/// The answers of a load.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Answers {
    pub(super) admitted: Latency,
    /// Those of them that were admitted after the first second.
    pub(super) admitted_later: Latency,
    pub(super) rate_limited: Latency,
    pub(super) overloaded: Latency,
    pub(super) key_refused: Latency,
    /// Any of these, if the request was sent at once after a refusal on its connection; not counted above.
    pub(super) after_refusal: Latency,
    pub(super) admitted_after_refusal: u64,
    pub(super) unavailable: u64,
    pub(super) unexpected: u64,
    pub(super) first_unexpected: Option<String>,
    /// From the start of the load.
    pub(super) by_second: Vec<Second>,
}

impl Answers {
    pub(super) fn count(&self) -> u64 {
        self.admitted.count
            + self.rate_limited.count
            + self.overloaded.count
            + self.key_refused.count
            + self.after_refusal.count
            + self.unavailable
            + self.unexpected
    }
}

/// The latencies of one kind of answer.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(super) struct Latency {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) most_us: u64,
}

impl Latency {
    pub(super) fn of(latencies: &Histogram<u64>) -> Self {
        Self {
            count: latencies.len(),
            p50_us: latencies.value_at_quantile(0.5),
            p99_us: latencies.value_at_quantile(0.99),
            most_us: latencies.max(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(expected: Expected, status: u16, body: &str) -> Answer {
        Answer::of(expected, StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn a_valid_key_is_admitted_or_refused_because_of_a_limit() {
        let overloaded = r#"{"error":{"code":"OVERLOADED"}}"#;
        assert_eq!(of(Expected::Admission, 201, ""), Answer::Admitted);
        assert_eq!(of(Expected::Admission, 429, ""), Answer::RateLimited);
        assert_eq!(of(Expected::Admission, 503, overloaded), Answer::Overloaded);
        assert_eq!(of(Expected::Admission, 503, r#"{"code":"STORE_UNAVAILABLE"}"#), Answer::Unavailable);
        for status in [401, 404, 409, 422, 500] {
            assert_eq!(of(Expected::Admission, status, overloaded), Answer::Unexpected, "{status}");
        }
    }

    #[test]
    fn an_unknown_key_is_never_admitted() {
        assert_eq!(of(Expected::Refusal, 401, ""), Answer::KeyRefused);
        assert_eq!(of(Expected::Refusal, 429, ""), Answer::RateLimited);
        assert_eq!(of(Expected::Refusal, 200, ""), Answer::Unexpected);
    }

    #[test]
    fn a_health_probe_accepts_only_200() {
        assert_eq!(of(Expected::Health, 200, ""), Answer::Admitted);
        for status in [204, 401, 429, 503] {
            assert_eq!(of(Expected::Health, status, "\"OVERLOADED\""), Answer::Unexpected, "{status}");
        }
    }

    #[test]
    fn every_request_is_counted_once_and_by_its_second() {
        let mut tally = Tally::new().unwrap();
        let (early, late) = (Duration::from_millis(999), Duration::from_millis(2_500));
        tally.record(Answer::Admitted, Duration::from_micros(100), early);
        tally.record(Answer::Admitted, Duration::from_micros(300), late);
        tally.record(Answer::RateLimited, Duration::from_micros(50), late);
        tally.record(Answer::Overloaded, Duration::from_micros(60), late);
        tally.record(Answer::KeyRefused, Duration::from_micros(70), late);
        tally.record(Answer::Unavailable, Duration::ZERO, late);
        tally.record_after_refusal(Answer::Admitted, Duration::from_micros(900), late);
        tally.record_after_refusal(Answer::RateLimited, Duration::from_micros(800), late);
        tally.record(Answer::Unexpected, Duration::ZERO, late);
        tally.unanswered(2, "too late");
        tally.unanswered(0, "never");
        let answers = tally.answers();
        assert_eq!((tally.count(), answers.count()), (11, 11));
        assert_eq!((tally.admitted_later.len(), tally.admitted_later.max()), (1, 300));
        assert_eq!((answers.admitted.count, answers.admitted.most_us), (2, 300));
        assert_eq!((answers.unexpected, answers.first_unexpected.as_deref()), (3, Some("too late")));
        let first = Second { admitted: 1, ..Second::default() };
        assert_eq!((answers.after_refusal.count, answers.after_refusal.most_us), (2, 900));
        assert_eq!(answers.admitted_after_refusal, 1);
        let third = Second { admitted: 2, rate_limited: 2, overloaded: 1, key_refused: 1 };
        assert_eq!(answers.by_second, [first, Second::default(), third]);
    }
}
