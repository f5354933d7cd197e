//! A token bucket, by the generic cell rate algorithm: its whole state is the instant when it is full again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The time in which an empty bucket fills.
pub(crate) const WINDOW_SECONDS: u64 = 60;
const NANOS: u64 = 1_000_000_000;
/// The same in nanoseconds.
pub(crate) const WINDOW_NANOS: u64 = WINDOW_SECONDS * NANOS;

/// How many requests a bucket holds, which is also how many it regains per [`WINDOW_SECONDS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    units: u64,
    /// The time in which one request is regained, in nanoseconds.
    cost: u64,
}

impl Quota {
    /// `None` for zero: no limit.
    pub(crate) fn per_minute(units: u64) -> Option<Self> {
        let cost = WINDOW_NANOS.checked_div(units)?.max(1);
        Some(Self { units, cost })
    }

    pub(crate) fn units(self) -> u64 {
        self.units
    }

    /// How long an empty bucket takes to regain one request, given when it is full.
    pub(crate) fn wait_of(self, full_in: Duration) -> Duration {
        (full_in + Duration::from_nanos(self.cost)).saturating_sub(Duration::from_secs(WINDOW_SECONDS))
    }
}

/// When a bucket is full again, in nanoseconds of its limiter's clock; zero is a full bucket.
#[derive(Debug, Default)]
pub(crate) struct Bucket(AtomicU64);

/// The state of a bucket after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Level {
    /// How many requests it holds now.
    pub(crate) remaining: u64,
    /// When it is full again.
    pub(crate) full_in: Duration,
}

/// Whether a bucket has a request left: when it is full again after that, or else how long one takes to be regained.
fn decide(full_at: u64, now: u64, quota: Quota) -> Result<u64, Duration> {
    let after = full_at.max(now).saturating_add(quota.cost);
    let missing = after - now;
    if missing > WINDOW_NANOS { Err(Duration::from_nanos(missing - WINDOW_NANOS)) } else { Ok(after) }
}

fn level(full_at: u64, now: u64, quota: Quota) -> Level {
    let missing = full_at.saturating_sub(now);
    let remaining = (WINDOW_NANOS.saturating_sub(missing) / quota.cost).min(quota.units);
    Level { remaining, full_in: Duration::from_nanos(missing) }
}

impl Bucket {
    /// Takes one request; the error is how long one takes to be regained.
    pub(crate) fn take(&self, now: u64, quota: Quota) -> Result<(), Duration> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let after = decide(full_at, now, quota)?;
            match self.0.compare_exchange_weak(full_at, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(changed) => full_at = changed,
            }
        }
    }

    /// Returns a request that was taken.
    pub(crate) fn put_back(&self, quota: Quota) {
        self.0.fetch_sub(quota.cost, Ordering::Relaxed);
    }

    pub(crate) fn level(&self, now: u64, quota: Quota) -> Level {
        level(self.0.load(Ordering::Relaxed), now, quota)
    }

    pub(crate) fn is_full(&self, now: u64) -> bool {
        self.0.load(Ordering::Relaxed) <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn quota(units: u64) -> Quota {
        Quota::per_minute(units).unwrap()
    }

    #[test]
    fn a_full_bucket_admits_its_quota_at_once_and_then_at_its_rate() {
        let (bucket, quota, start) = (Bucket::default(), quota(600), 7 * NANOS);
        for taken in 1..=600 {
            bucket.take(start, quota).unwrap();
            assert_eq!(bucket.level(start, quota).remaining, 600 - taken);
        }
        assert_eq!(bucket.take(start, quota), Err(Duration::from_millis(100)));
        assert_eq!(bucket.level(start, quota).full_in, Duration::from_mins(1));
        let later = start + NANOS / 10;
        bucket.take(later, quota).unwrap();
        assert_eq!(bucket.take(later, quota), Err(Duration::from_millis(100)));
        let much_later = start + 1_000 * NANOS;
        assert!(bucket.is_full(much_later));
        assert_eq!(bucket.level(much_later, quota), Level { remaining: 600, full_in: Duration::ZERO });
    }

    #[test]
    fn a_request_that_is_put_back_can_be_taken_again() {
        let (bucket, quota) = (Bucket::default(), quota(1));
        bucket.take(5, quota).unwrap();
        assert!(bucket.take(5, quota).is_err());
        bucket.put_back(quota);
        bucket.take(5, quota).unwrap();
    }

    #[test]
    fn zero_is_no_limit() {
        assert_eq!(Quota::per_minute(0), None);
    }

    #[test]
    fn a_smaller_quota_applies_to_what_was_taken_before() {
        let bucket = Bucket::default();
        for _ in 0..300 {
            bucket.take(0, quota(600)).unwrap();
        }
        // Half of the minute is used, whatever the quota.
        assert_eq!(bucket.level(0, quota(10)).remaining, 5);
    }

    proptest! {
        #[test]
        fn no_minute_admits_more_than_twice_the_quota(
            units in 1..2_000_u64,
            gaps in prop::collection::vec(0..200_000_000_u64, 1..3_000),
        ) {
            let (bucket, quota) = (Bucket::default(), quota(units));
            let (mut now, mut admitted) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                if bucket.take(now, quota).is_ok() {
                    admitted.push(now);
                }
            }
            for (first, at) in admitted.iter().enumerate() {
                let in_minute = admitted[first..].iter().filter(|other| **other - at < WINDOW_NANOS).count();
                // The burst, what is regained meanwhile, and the rounding of the cost.
                prop_assert!(in_minute as u64 <= 2 * units + 1, "{in_minute} of {units}");
            }
        }
    }
}
