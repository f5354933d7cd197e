//! Exponential backoff with full jitter.

use std::time::Duration;

/// Delays that are random between zero and a limit. The limit doubles with each attempt up to `longest`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The limit of the first delay.
    pub first: Duration,
    /// The limit of all delays.
    pub longest: Duration,
}

impl Backoff {
    /// The delay after `attempts` failed attempts, counted from 1. `random` is uniformly distributed.
    pub fn pause(&self, attempts: u32, random: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let most = self.first.saturating_mul(1 << doublings).min(self.longest);
        // The upper half of the product scales `most` by `random / 2^64`.
        let nanos = (most.as_nanos().min(u128::from(u64::MAX)) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_are_random_below_it() {
        let backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_mins(1) };
        let whole = |pause: Duration| pause.as_secs_f64().round();
        for (attempts, most) in
            [(0, 1.0), (1, 1.0), (2, 2.0), (3, 4.0), (6, 32.0), (7, 60.0), (u32::MAX, 60.0)]
        {
            assert!((whole(backoff.pause(attempts, u64::MAX)) - most).abs() < 0.001, "{attempts}");
            assert_eq!(backoff.pause(attempts, 0), Duration::ZERO);
        }
        assert_eq!(backoff.pause(3, 1 << 63), Duration::from_secs(2));
    }
}
