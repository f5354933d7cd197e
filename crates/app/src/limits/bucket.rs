//! A token bucket, by the generic cell rate algorithm: its whole state is the instant when it is full again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const NANOS: u64 = 1_000_000_000;
/// Quotas are given per minute; in seconds.
pub(crate) const MINUTE_SECONDS: u64 = 60;
/// The same in nanoseconds. No bucket takes longer to fill.
pub(crate) const MINUTE_NANOS: u64 = MINUTE_SECONDS * NANOS;
/// As many requests are admitted at once whatever the burst, unless a minute admits fewer.
const LEAST_BURST: u64 = 600;
/// A bucket that is full later than its window allows was last used with a longer one. Threads read the clock before they
/// change a bucket, and differ by far less.
const CLOCK_TOLERANCE: u64 = NANOS;

/// How many requests a bucket holds, and the rate at which it regains them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quota {
    units: u64,
    /// The time in which one request is regained, in nanoseconds.
    cost: u64,
}

impl Quota {
    /// A quota of requests per minute, of which those of this many seconds are admitted at once, but at least
    /// [`LEAST_BURST`] or all. `None` for zero: no limit.
    pub(crate) fn per_minute(units: u64, burst_seconds: u64) -> Option<Self> {
        let cost = MINUTE_NANOS.checked_div(units)?.max(1);
        let burst = units.saturating_mul(burst_seconds) / MINUTE_SECONDS;
        Some(Self { units: burst.max(LEAST_BURST).min(units), cost })
    }

    /// How many requests are admitted at once, which is also how many are regained per window.
    pub(crate) fn units(self) -> u64 {
        self.units
    }

    /// The time in which an empty bucket fills, in nanoseconds.
    fn window(self) -> u64 {
        self.units * self.cost
    }

    /// The same in seconds, rounded up.
    pub(crate) fn window_seconds(self) -> u64 {
        self.window().div_ceil(NANOS)
    }

    /// How long an empty bucket takes to regain one request, given when it is full.
    pub(crate) fn wait_of(self, full_in: Duration) -> Duration {
        (full_in + Duration::from_nanos(self.cost)).saturating_sub(Duration::from_nanos(self.window()))
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

/// When a bucket is full again, or now. If its quota had a longer window before, it counts as empty.
fn full_at_of(full_at: u64, now: u64, quota: Quota) -> u64 {
    let latest = now.saturating_add(quota.window());
    if full_at > latest.saturating_add(CLOCK_TOLERANCE) { latest } else { full_at.max(now) }
}

/// Whether a bucket has a request left: when it is full again after that, or else how long one takes to be regained.
fn decide(full_at: u64, now: u64, quota: Quota) -> Result<u64, Duration> {
    let after = full_at_of(full_at, now, quota).saturating_add(quota.cost);
    let missing = after - now;
    let window = quota.window();
    if missing > window { Err(Duration::from_nanos(missing - window)) } else { Ok(after) }
}

fn level(full_at: u64, now: u64, quota: Quota) -> Level {
    let missing = full_at_of(full_at, now, quota) - now;
    let remaining = quota.window().saturating_sub(missing) / quota.cost;
    Level { remaining, full_in: Duration::from_nanos(missing) }
}

impl Bucket {
    /// Takes one request; the error is how long one takes to be regained.
    pub(crate) fn take(&self, now: u64, quota: Quota) -> Result<(), Duration> {
        let mut full_at = self.0.load(Ordering::Relaxed);
        loop {
            let taken = decide(full_at, now, quota);
            // After a refusal too: so that the time of a longer window does not have to pass.
            let next = taken.unwrap_or_else(|_| full_at_of(full_at, now, quota));
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
        let less = |full_at: u64| Some(full_at.saturating_sub(quota.cost));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
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
        for (per_minute, seconds, expected) in [
            (1, 2, (1, 60)),
            (7, 2, (7, 60)),
            (599, 1, (599, 60)),
            (600, 1, (600, 60)),
            (601, 1, (600, 60)),
            (1_000, 2, (600, 36)),
            (5_000, 1, (600, 8)),
            (35_999, 1, (600, 2)),
            (36_000, 1, (600, 1)),
            (60_000, 1, (1_000, 1)),
            (60_000, 2, (2_000, 2)),
            (120_000, 10, (20_000, 10)),
            (120_000, 60, (120_000, 60)),
            (1_000_000_000, 1, (16_666_666, 1)),
            (1_000_000_000, 60, (1_000_000_000, 60)),
        ] {
            assert_eq!(at_once(per_minute, seconds), expected, "{per_minute} {seconds}");
        }
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
        // Half of the minute is used; both quotas have the same window.
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

    #[test]
    fn a_thread_with_an_old_time_gives_nothing_back() {
        let (bucket, quota) = (Bucket::default(), quota(60_000));
        for _ in 0..2_000 {
            bucket.take(9 * NANOS, quota).unwrap();
        }
        bucket.take(9 * NANOS - NANOS / 2, quota).unwrap_err();
        assert_eq!(bucket.take(9 * NANOS, quota), Err(Duration::from_millis(1)));
    }

    #[test]
    fn a_request_is_put_back_after_the_quota_has_changed() {
        let bucket = Bucket::default();
        bucket.take(0, quota(1)).unwrap();
        bucket.take(0, quota(60_000)).unwrap_err();
        bucket.put_back(quota(1));
        assert!(bucket.is_full(0));
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_twice_the_quota(
            per_minute in 1..20_000_u64,
            gaps in prop::collection::vec(0..1_000_u64, 2_000..3_000),
        ) {
            let (bucket, quota) = (Bucket::default(), quota(per_minute));
            let (mut now, mut admitted, mut refused) = (0, Vec::new(), 0);
            for gap in gaps {
                // Twice as fast as the rate.
                now += gap * quota.cost / 1_000;
                match bucket.take(now, quota) {
                    Ok(()) => admitted.push(now),
                    Err(_) => refused += 1,
                }
            }
            prop_assert!(refused > 0);
            for (first, at) in admitted.iter().enumerate() {
                let in_window = admitted[first..].iter().filter(|other| **other - at < quota.window()).count();
                // The burst, and what is regained meanwhile.
                prop_assert!(in_window as u64 <= 2 * quota.units(), "{in_window} of {per_minute}");
            }
        }
    }
}
