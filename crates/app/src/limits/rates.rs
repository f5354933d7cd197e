//! The rates of requests: token buckets for each API key and each account that sends some. Only valid keys get buckets,
//! and full buckets are removed, so that a flood of invalid keys takes no memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::api_key::ApiKey;
use domain::id::{AccountId, ApiKeyId};
use domain::limits::AccountLimits;
use tokio::time::Instant;

use super::bucket::{Bucket, MINUTE_NANOS, MINUTE_SECONDS, Quota};

/// The maximum number of buckets of keys, and of accounts. Those beyond it are not remembered, and admit more.
const CAPACITY: usize = 100_000;

/// A policy of the limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RatePolicy {
    /// The requests of one API key.
    Key,
    /// The requests of all keys of an account.
    Account,
    /// Requests with invalid keys from one address.
    FailedKeys,
}

/// The state of a policy after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateState {
    /// The policy.
    pub policy: RatePolicy,
    /// How many requests it admits per window, and at once.
    pub quota: u64,
    /// The window, in seconds.
    pub window_seconds: u64,
    /// How many requests it would admit now.
    pub remaining: u64,
    /// Seconds until it admits the whole quota at once; or, if nothing remains, until it admits one.
    pub reset_seconds: u64,
}

/// The states of all policies that apply to a request, and whether they admit it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateReport {
    /// At most one for each of key and account.
    pub states: [Option<RateState>; 2],
    /// If the request is refused: seconds until one is admitted.
    pub retry_after_seconds: Option<u64>,
}

/// The buckets of one API key and its account, with the quotas that apply.
#[derive(Debug)]
pub struct CallerRates {
    limits: [Option<RateLimit>; 2],
    started_at: Instant,
}

#[derive(Debug)]
struct RateLimit {
    policy: RatePolicy,
    /// The requests of a minute, which may all come at once.
    minute: Quota,
    /// While other accounts send requests, fewer may come at once.
    burst: Quota,
    buckets: Arc<BucketPair>,
}

/// The buckets of a key or an account.
#[derive(Debug, Default)]
struct BucketPair {
    minute: Bucket,
    /// Used only while other accounts send requests, so it is never emptier than the other one.
    burst: Bucket,
}

/// The buckets of all API keys and accounts.
#[derive(Debug)]
pub(crate) struct Rates {
    burst_seconds: AtomicU64,
    started_at: Instant,
    keys: Mutex<Buckets<ApiKeyId>>,
    accounts: Mutex<Buckets<AccountId>>,
}

#[derive(Debug)]
struct Buckets<K> {
    by_id: HashMap<K, Arc<BucketPair>>,
    swept_at: u64,
}

/// The time since the start of a limiter, in nanoseconds. Five centuries fit.
pub(crate) fn nanos_since(started_at: Instant) -> u64 {
    u64::try_from(started_at.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Whole seconds, rounded up, as headers give them.
pub(crate) fn rounded_up_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Rates {
    /// Admits this many seconds of each quota at once, while several accounts send requests.
    pub(crate) fn new(burst_seconds: u64) -> Self {
        Self {
            burst_seconds: AtomicU64::new(burst_seconds),
            started_at: Instant::now(),
            keys: Mutex::new(Buckets::new()),
            accounts: Mutex::new(Buckets::new()),
        }
    }

    /// Changes the burst of the buckets that are found from now on.
    pub(crate) fn replace_burst(&self, seconds: u64) {
        self.burst_seconds.store(seconds, Ordering::Relaxed);
    }

    fn burst_seconds(&self) -> u64 {
        self.burst_seconds.load(Ordering::Relaxed)
    }

    /// The buckets of a valid key.
    pub(crate) fn of(&self, key: &ApiKey, limits: &AccountLimits) -> CallerRates {
        let now = nanos_since(self.started_at);
        let of_key =
            RateLimit::new(RatePolicy::Key, limits.key_requests_per_minute, self.burst_seconds(), || {
                lock(&self.keys).find_or_add(&key.id, now)
            });
        let of_account =
            RateLimit::new(RatePolicy::Account, limits.requests_per_minute, self.burst_seconds(), || {
                lock(&self.accounts).find_or_add(&key.account_id, now)
            });
        CallerRates { limits: [of_key, of_account], started_at: self.started_at }
    }
}

impl Rates {
    /// The bucket of an account, for a person's requests.
    pub(crate) fn of_account(&self, account: &AccountId, limits: &AccountLimits) -> CallerRates {
        let now = nanos_since(self.started_at);
        let of_account =
            RateLimit::new(RatePolicy::Account, limits.requests_per_minute, self.burst_seconds(), || {
                lock(&self.accounts).find_or_add(account, now)
            });
        CallerRates { limits: [None, of_account], started_at: self.started_at }
    }
}

impl RateLimit {
    /// `None`: no limit.
    fn new(
        policy: RatePolicy,
        per_minute: u64,
        burst_seconds: u64,
        buckets: impl FnOnce() -> Arc<BucketPair>,
    ) -> Option<Self> {
        let minute = Quota::per_minute(per_minute, MINUTE_SECONDS)?;
        let burst = Quota::per_minute(per_minute, burst_seconds)?;
        Some(Self { policy, minute, burst, buckets: buckets() })
    }

    /// The buckets that apply.
    fn buckets(&self, is_shared: bool) -> impl Iterator<Item = (&Bucket, Quota)> {
        let burst = is_shared.then_some((&self.buckets.burst, self.burst));
        [(&self.buckets.minute, self.minute)].into_iter().chain(burst)
    }

    /// The state of the bucket that admits the fewest requests.
    fn state(&self, now: u64, is_shared: bool) -> Option<RateState> {
        let states = self.buckets(is_shared).map(|(bucket, quota)| state(self.policy, quota, bucket, now));
        states.min_by_key(|state| state.remaining)
    }
}

fn lock<K>(buckets: &Mutex<Buckets<K>>) -> MutexGuard<'_, Buckets<K>> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Clone + Eq + Hash> Buckets<K> {
    fn new() -> Self {
        Self { by_id: HashMap::new(), swept_at: 0 }
    }

    fn find_or_add(&mut self, id: &K, now: u64) -> Arc<BucketPair> {
        if let Some(buckets) = self.by_id.get(id) {
            return buckets.clone();
        }
        if now.saturating_sub(self.swept_at) >= MINUTE_NANOS {
            self.by_id.retain(|_, buckets| !buckets.minute.is_full(now) || Arc::strong_count(buckets) > 1);
            self.swept_at = now;
        }
        let buckets = Arc::<BucketPair>::default();
        if self.by_id.len() < CAPACITY {
            self.by_id.insert(id.clone(), buckets.clone());
        }
        buckets
    }
}

impl CallerRates {
    /// Takes one request from each bucket, or from none if one of them is empty. `is_shared`: other accounts send requests
    /// too.
    pub fn take(&self, is_shared: bool) -> RateReport {
        self.take_at(nanos_since(self.started_at), is_shared)
    }

    fn take_at(&self, now: u64, is_shared: bool) -> RateReport {
        let buckets = || self.limits.iter().flatten().flat_map(|limit| limit.buckets(is_shared));
        let mut refused = None;
        for (at, (bucket, quota)) in buckets().enumerate() {
            if let Err(wait) = bucket.take(now, quota) {
                buckets().take(at).for_each(|(taken, quota)| taken.put_back(quota));
                refused = Some(wait);
                break;
            }
        }
        let states = self.limits.each_ref().map(|limit| limit.as_ref()?.state(now, is_shared));
        // The other policy may admit nothing either, for longer.
        let empty = states.iter().flatten().filter(|state| state.remaining == 0);
        let others = empty.map(|state| state.reset_seconds).max().unwrap_or(0);
        let retry_after_seconds = refused.map(|wait| rounded_up_seconds(wait).max(others).max(1));
        RateReport { states, retry_after_seconds }
    }
}

/// The state of one bucket.
pub(crate) fn state(policy: RatePolicy, quota: Quota, bucket: &Bucket, now: u64) -> RateState {
    let level = bucket.level(now, quota);
    let reset = if level.remaining == 0 { quota.wait_of(level.full_in) } else { level.full_in };
    RateState {
        policy,
        quota: quota.units(),
        window_seconds: quota.window_seconds(),
        remaining: level.remaining,
        reset_seconds: rounded_up_seconds(reset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rates(key: u64, account: u64) -> CallerRates {
        let limit = |policy, units| RateLimit::new(policy, units, 2, Arc::default);
        let limits = [limit(RatePolicy::Key, key), limit(RatePolicy::Account, account)];
        CallerRates { limits, started_at: Instant::now() }
    }

    fn remaining(report: &RateReport) -> [Option<u64>; 2] {
        report.states.map(|state| state.map(|state| state.remaining))
    }

    #[test]
    fn a_refused_request_takes_nothing_from_either_bucket() {
        let rates = rates(10, 3);
        for left in [[9, 2], [8, 1], [7, 0]] {
            let report = rates.take_at(SECOND, false);
            assert_eq!((remaining(&report), report.retry_after_seconds), (left.map(Some), None));
        }
        for _ in 0..5 {
            let report = rates.take_at(SECOND, false);
            assert_eq!(remaining(&report), [Some(7), Some(0)]);
            assert_eq!(report.retry_after_seconds, Some(20), "a third of a minute");
            assert_eq!(report.states[1].unwrap().reset_seconds, 20, "the same instant");
        }
        assert_eq!(rates.take_at(22 * SECOND, false).retry_after_seconds, None);
    }

    #[test]
    fn a_refused_client_waits_for_all_policies() {
        let rates = rates(2, 1);
        assert_eq!(rates.take_at(0, false).retry_after_seconds, None);
        for (now, seconds) in [(0, 60), (20 * SECOND, 40)] {
            let report = rates.take_at(now, false);
            assert_eq!((remaining(&report), report.retry_after_seconds), ([Some(1), Some(0)], Some(seconds)));
        }
        rates.limits[0].as_ref().unwrap().buckets.minute.take(0, Quota::per_minute(2, 1).unwrap()).unwrap();
        assert_eq!(
            rates.take_at(0, false).retry_after_seconds,
            Some(60),
            "the key alone would be admitted after 30 s"
        );
    }

    #[test]
    fn a_burst_is_shorter_while_the_node_is_shared() {
        let rates = rates(60_000, 120_000);
        for taken in 1..=2_000 {
            let report = rates.take_at(SECOND, true);
            assert_eq!((remaining(&report)[0], report.retry_after_seconds), (Some(2_000 - taken), None));
        }
        let report = rates.take_at(SECOND, true);
        assert_eq!((remaining(&report), report.retry_after_seconds), ([Some(0), Some(2_000)], Some(1)));
        let policies = report.states.map(|state| state.map(|state| (state.quota, state.window_seconds)));
        assert_eq!(policies, [Some((2_000, 2)), Some((4_000, 2))]);
        assert_eq!(remaining(&rates.take_at(2 * SECOND, true)), [Some(999), Some(3_999)]);
    }

    #[test]
    fn nothing_is_regained_by_a_change_between_alone_and_shared() {
        let rates = rates(0, 1_200);
        let admitted = |is_shared| {
            let takes = (0..2_000).map(|_| rates.take_at(SECOND, is_shared));
            takes.filter(|report| report.retry_after_seconds.is_none()).count()
        };
        assert_eq!([true, false, true, false].map(admitted), [600, 600, 0, 0]);
        let report = rates.take_at(SECOND, true);
        assert_eq!(report.states[1].map(|state| (state.quota, state.window_seconds)), Some((1_200, 60)));
    }

    #[test]
    fn a_limit_of_zero_does_not_apply() {
        let unlimited = rates(0, 0);
        assert_eq!(
            unlimited.take_at(0, false),
            RateReport { states: [None, None], retry_after_seconds: None }
        );
        let report = rates(0, 2).take_at(0, false);
        assert_eq!(remaining(&report), [None, Some(1)]);
        let state = report.states[1].unwrap();
        assert_eq!((state.policy, state.quota, state.reset_seconds), (RatePolicy::Account, 2, 30));
    }

    #[test]
    fn full_buckets_are_removed_and_others_remain() {
        let mut buckets = Buckets::<u32>::new();
        let quota = Quota::per_minute(60, 2).unwrap();
        for id in 0..1_000 {
            buckets.find_or_add(&id, 0).minute.take(0, quota).unwrap();
        }
        let held = buckets.find_or_add(&7, 0);
        let recent = buckets.find_or_add(&8, 60 * SECOND);
        recent.minute.take(60 * SECOND, quota).unwrap();
        drop(recent);
        buckets.find_or_add(&2_000, 60 * SECOND);
        let mut left: Vec<_> = buckets.by_id.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [7, 8, 2_000]);
        drop(held);
    }

    #[test]
    fn the_number_of_buckets_is_bounded() {
        let mut buckets = Buckets::<usize>::new();
        for id in 0..CAPACITY + 10 {
            buckets.find_or_add(&id, 0);
        }
        assert_eq!(buckets.by_id.len(), CAPACITY);
    }
}
