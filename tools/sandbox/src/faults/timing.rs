//! When a fault happens: how often, after how many requests, by which chance, in which window of time.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// How often a fault still happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Left(u64),
    Always,
}

/// Which of the requests that could meet the fault do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Chosen {
    All,
    /// The last of each so many.
    Every(u64),
    /// Each with this probability, thrown with dice that fall alike for the same seed.
    Chance {
        probability: f64,
        seed: u64,
    },
}

/// When a fault is to happen, as it was ordered.
#[derive(Clone, Debug)]
pub(crate) struct NewTiming {
    pub(super) times: Times,
    /// How many matching requests go by unharmed at first.
    pub(super) after: u64,
    pub(super) chosen: Chosen,
    /// How long from now it begins.
    pub(super) starts_in: Option<SignedDuration>,
    /// How long it lasts.
    pub(super) lasts: Option<SignedDuration>,
}

/// When a fault is to happen.
#[derive(Debug)]
pub(super) struct Timing {
    times: Times,
    after: u64,
    /// How many of those that go by unharmed have gone by.
    gone_by: u64,
    chosen: Chosen,
    begins_at: Option<Timestamp>,
    ends_at: Option<Timestamp>,
    /// The matching requests since it began and `after` was over.
    met: u64,
    happened: u64,
}

/// What a timing says to a matching request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    NotYet,
    Now,
}

impl Timing {
    pub(super) fn new(new: &NewTiming, now: Timestamp) -> Self {
        let later = |from: Timestamp, by: SignedDuration| from.checked_add(by).unwrap_or(Timestamp::MAX);
        let begins_at = new.starts_in.map(|by| later(now, by));
        let ends_at = new.lasts.map(|by| later(begins_at.unwrap_or(now), by));
        let NewTiming { times, after, chosen, .. } = *new;
        Self { times, after, gone_by: 0, chosen, begins_at, ends_at, met: 0, happened: 0 }
    }

    /// Whether nothing more will come of it.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.times == Times::Left(0) || self.ends_at.is_some_and(|end| end <= now)
    }

    /// Counts a matching request, and says whether the fault is for it.
    pub(super) fn meet(&mut self, now: Timestamp) -> Due {
        if self.begins_at.is_some_and(|begin| now < begin) {
            return Due::NotYet;
        }
        if self.gone_by < self.after {
            self.gone_by += 1;
            return Due::NotYet;
        }
        self.met += 1;
        let is_due = match self.chosen {
            Chosen::All => true,
            Chosen::Every(each) => self.met.is_multiple_of(each),
            Chosen::Chance { probability, seed } => falls(probability, seed, self.met),
        };
        if is_due { Due::Now } else { Due::NotYet }
    }

    /// Books that it happened.
    pub(super) fn happen(&mut self) {
        self.happened += 1;
        if let Times::Left(left) = &mut self.times {
            *left = left.saturating_sub(1);
        }
    }

    /// Adds what is to be shown of it. What was not ordered is null.
    pub(super) fn show(&self, shown: &mut Map<String, Value>) {
        let remaining = match self.times {
            Times::Left(left) => json!(left),
            Times::Always => json!("always"),
        };
        let (every, probability, seed) = match self.chosen {
            Chosen::All => (None, None, None),
            Chosen::Every(each) => (Some(each), None, None),
            Chosen::Chance { probability, seed } => (None, Some(probability), Some(seed)),
        };
        let text = |instant: Option<Timestamp>| instant.map(|instant| instant.to_string());
        for (name, value) in [
            ("remaining", remaining),
            ("after", json!(self.after)),
            ("happened", json!(self.happened)),
            ("every", json!(every)),
            ("probability", json!(probability)),
            ("seed", json!(seed)),
            ("begins_at", json!(text(self.begins_at))),
            ("ends_at", json!(text(self.ends_at))),
        ] {
            shown.insert(name.to_owned(), value);
        }
    }
}

/// Throws the dice for the request of this number. They come from a hash, so that they fall alike everywhere.
fn falls(probability: f64, seed: u64, number: u64) -> bool {
    let thrown = Sha256::new().chain_update(seed.to_be_bytes()).chain_update(number.to_be_bytes()).finalize();
    let word = thrown.iter().take(4).fold(0_u32, |word, byte| (word << 8) | u32::from(*byte));
    f64::from(word) < probability * 2_f64.powi(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certain_chance_always_comes_and_a_half_about_every_other_time() {
        assert!((1..1000).all(|number| falls(1.0, 7, number)));
        let hits = (1..=1000).filter(|number| falls(0.5, 7, *number)).count();
        assert!((400..600).contains(&hits), "{hits}");
        let others: Vec<bool> = (1..=64).map(|number| falls(0.5, 8, number)).collect();
        assert_ne!(others, (1..=64).map(|number| falls(0.5, 7, number)).collect::<Vec<_>>());
    }
}
