//! When a fault happens: how often, after how many requests, with which probability, in which time window.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// How often a fault will still happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Left(u64),
    Always,
}

/// Which of the matching requests are affected.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Frequency {
    All,
    /// Every n-th request.
    Every(u64),
    /// Each with this probability. The choice is deterministic for a seed.
    Chance {
        probability: f64,
        seed: u64,
    },
}

/// The timing of a fault, as given by its creator.
#[derive(Clone, Debug)]
pub(crate) struct NewTiming {
    pub(super) times: Times,
    /// How many matching requests are not affected at first.
    pub(super) after: u64,
    pub(super) frequency: Frequency,
    /// How long until it starts.
    pub(super) starts_in: Option<SignedDuration>,
    /// How long it lasts.
    pub(super) lasts: Option<SignedDuration>,
}

/// The timing of a fault and its progress.
#[derive(Debug)]
pub(super) struct Timing {
    times: Times,
    after: u64,
    /// How many of the first `after` requests have passed.
    passed: u64,
    frequency: Frequency,
    starts_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    /// The matching requests since it started and `after` requests have passed.
    matched: u64,
    happened: u64,
}

/// Whether a matching request is affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    NotYet,
    Now,
}

impl Timing {
    pub(super) fn new(new: &NewTiming, now: Timestamp) -> Self {
        let later = |from: Timestamp, by: SignedDuration| from.checked_add(by).unwrap_or(Timestamp::MAX);
        let starts_at = new.starts_in.map(|by| later(now, by));
        let ends_at = new.lasts.map(|by| later(starts_at.unwrap_or(now), by));
        let NewTiming { times, after, frequency, .. } = *new;
        Self { times, after, passed: 0, frequency, starts_at, ends_at, matched: 0, happened: 0 }
    }

    /// Whether it will not happen again.
    pub(super) fn has_ended(&self, now: Timestamp) -> bool {
        self.times == Times::Left(0) || self.ends_at.is_some_and(|end| end <= now)
    }

    /// Counts a matching request. Returns whether it is affected.
    pub(super) fn count_match(&mut self, now: Timestamp) -> Due {
        if self.starts_at.is_some_and(|begin| now < begin) {
            return Due::NotYet;
        }
        if self.passed < self.after {
            self.passed += 1;
            return Due::NotYet;
        }
        self.matched += 1;
        let is_affected = match self.frequency {
            Frequency::All => true,
            Frequency::Every(each) => self.matched.is_multiple_of(each),
            Frequency::Chance { probability, seed } => is_chosen(probability, seed, self.matched),
        };
        if is_affected { Due::Now } else { Due::NotYet }
    }

    /// Records that it happened.
    pub(super) fn record(&mut self) {
        self.happened += 1;
        if let Times::Left(left) = &mut self.times {
            *left = left.saturating_sub(1);
        }
    }

    /// Adds its parameters to the JSON. Those that were not given are null.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) {
        let remaining = match self.times {
            Times::Left(left) => json!(left),
            Times::Always => json!("always"),
        };
        let (every, probability, seed) = match self.frequency {
            Frequency::All => (None, None, None),
            Frequency::Every(each) => (Some(each), None, None),
            Frequency::Chance { probability, seed } => (None, Some(probability), Some(seed)),
        };
        let text = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
        for (name, value) in [
            ("remaining", remaining),
            ("after", json!(self.after)),
            ("happened", json!(self.happened)),
            ("every", json!(every)),
            ("probability", json!(probability)),
            ("seed", json!(seed)),
            ("begins_at", json!(text(self.starts_at))),
            ("ends_at", json!(text(self.ends_at))),
        ] {
            shown.insert(name.to_owned(), value);
        }
    }
}

/// Chooses for the request of this number. The choice comes from a hash, so that it is the same on every machine.
fn is_chosen(probability: f64, seed: u64, number: u64) -> bool {
    let thrown = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(number.to_be_bytes()).finalize();
    let word = thrown.iter().take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    f64::from(word) < probability * 2_f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certain_chance_always_comes_and_a_half_about_every_other_time() {
        assert!((1..1000).all(|number| is_chosen(1.0, 7, number)));
        let hits = (1..=1000).filter(|number| is_chosen(0.5, 7, *number)).count();
        assert!((400..600).contains(&hits), "{hits}");
        let others: Vec<bool> = (1..=64).map(|number| is_chosen(0.5, 8, number)).collect();
        assert_ne!(others, (1..=64).map(|number| is_chosen(0.5, 7, number)).collect::<Vec<_>>());
    }
}
