//! How long to wait before asking again.

use std::time::Duration;

/// Pauses that may be twice as long after each attempt, up to a longest one. Each is anything between nothing and that,
/// so that those who failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// What the first pause is at the most.
    pub first: Duration,
    /// What any pause is at the most.
    pub longest: Duration,
}

impl Backoff {
    /// The pause after so many attempts that failed, counted from 1. `random` is anything, evenly spread.
    pub fn pause(&self, attempts: u32, random: u64) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        let most = self.first.saturating_mul(1 << doublings).min(self.longest);
        // The upper half of the product is a fraction of the whole.
        let nanos = (most.as_nanos().min(u128::from(u64::MAX)) * u128::from(random)) >> 64;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest_and_are_spread_below_it() {
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
