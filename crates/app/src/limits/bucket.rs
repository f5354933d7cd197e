//! A token bucket, by the generic cell rate algorithm: its whole state is the instant when it is full again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const NANOS: u64 = 1_000_000_000;
/// Quotas are given per minute; in seconds.
const MINUTE_SECONDS: u64 = 60;
/// The same in nanoseconds. No bucket takes longer to fill.
pub(crate) const MINUTE_NANOS: u64 = MINUTE_SECONDS * NANOS;
/// As many requests are admitted at once whatever the burst, unless a minute admits fewer.
const LEAST_BURST: u64 = 600;

/// How many requests a bucket holds, and the rate at which it regains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    units: u64,
    /// The time in which an empty bucket fills, in seconds.
    window_seconds: u64,
    /// The time in which one request is regained, in nanoseconds.
    cost: u64,
}

impl Quota {
    /// A quota of requests per minute, of which those of a few seconds are admitted at once, or of the whole minute if they
    /// are few. `None` for zero: no limit.
    pub(crate) fn per_minute(units: u64, burst_seconds: u64) -> Option<Self> {
        let cost = MINUTE_NANOS.checked_div(units)?.max(1);
        let window_seconds =
            (LEAST_BURST * MINUTE_SECONDS).div_ceil(units).max(burst_seconds).clamp(1, MINUTE_SECONDS);
        let units = if window_seconds == MINUTE_SECONDS { units } else { window_seconds * NANOS / cost };
        Some(Self { units, window_seconds, cost })
    }

    /// How many requests are admitted at once, which is also how many are regained per window.
    pub(crate) fn units(self) -> u64 {
        self.units
    }

    pub(crate) fn window_seconds(self) -> u64 {
        self.window_seconds
    }

    fn window_nanos(self) -> u64 {
        self.window_seconds * NANOS
    }

    /// How long an empty bucket takes to regain one request, given when it is full.
    pub(crate) fn wait_of(self, full_in: Duration) -> Duration {
        (full_in + Duration::from_nanos(self.cost)).saturating_sub(Duration::from_secs(self.window_seconds))
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

/// When a bucket is full again, or now. The quota may have a shorter window than the one that applied before.
fn full_at_of(full_at: u64, now: u64, quota: Quota) -> u64 {
    full_at.clamp(now, now.saturating_add(quota.window_nanos()))
}

/// Whether a bucket has a request left: when it is full again after that, or else how long one takes to be regained.
fn decide(full_at: u64, now: u64, quota: Quota) -> Result<u64, Duration> {
    let after = full_at_of(full_at, now, quota).saturating_add(quota.cost);
    let missing = after - now;
    let window = quota.window_nanos();
    if missing > window { Err(Duration::from_nanos(missing - window)) } else { Ok(after) }
}

fn level(full_at: u64, now: u64, quota: Quota) -> Level {
    let missing = full_at_of(full_at, now, quota) - now;
    let remaining = ((quota.window_nanos() - missing) / quota.cost).min(quota.units);
    Level { remaining, full_in: Duration::from_nanos(missing) }
}

impl Bucket {
    /// Takes one request; the error is how long one takes to be regained.
    pub(crate) fn take(&self, now: u64, quota: Quota) -> Result<(), Duration> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let taken = decide(full_at, now, quota);
            let next = match taken {
                Ok(after) => after,
                Err(_) => full_at_of(full_at, now, quota),
            };
            if next == full_at {
                return taken.map(drop);
            }
            match self.0.compare_exchange_weak(full_at, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return taken.map(drop),
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
        Quota::per_minute(units, 2).unwrap()
    }

    #[test]
    fn a_few_seconds_of_a_large_quota_are_admitted_at_once_and_all_of_a_small_one() {
        let at_once = |units, seconds| {
            let quota = Quota::per_minute(units, seconds).unwrap();
            (quota.units(), quota.window_seconds())
        };
        assert_eq!(at_once(1, 2), (1, 60));
        assert_eq!(at_once(7, 2), (7, 60));
        assert_eq!(at_once(600, 2), (600, 60));
        assert_eq!(at_once(1_000, 2), (600, 36));
        assert_eq!(at_once(6_000, 2), (600, 6));
        assert_eq!(at_once(60_000, 2), (2_000, 2));
        assert_eq!(at_once(120_000, 2), (4_000, 2));
        assert_eq!(at_once(120_000, 10), (20_000, 10));
        assert_eq!(at_once(120_000, 60), (120_000, 60));
        assert_eq!(at_once(120_000, 1), (2_000, 1));
        assert_eq!(at_once(1_000_000_000, 1), (16_666_666, 1));
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
        assert_eq!(Quota::per_minute(0, 2), None);
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

    #[test]
    fn a_larger_quota_applies_at_once_to_an_empty_bucket() {
        let bucket = Bucket::default();
        bucket.take(0, quota(1)).unwrap();
        let larger = quota(60_000);
        assert_eq!(bucket.take(0, larger), Err(Duration::from_millis(1)));
        bucket.take(NANOS / 1_000, larger).unwrap();
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_twice_the_quota(
            units in 1..20_000_u64,
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
                let in_window = admitted[first..].iter().filter(|other| **other - at < quota.window_nanos()).count();
                // The burst, what is regained meanwhile, and the rounding of the cost.
                prop_assert!(in_window as u64 <= 2 * quota.units() + 1, "{in_window} of {units}");
            }
        }
    }
}
