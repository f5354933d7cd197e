//! Limits requests with invalid API keys per address, before they reach the database. Keys that were valid recently are
//! remembered by their hashes, and continue to work from an address that has exceeded its limit.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use domain::api_key::HashedKey;
use domain::network;
use tokio::time::Instant;

use super::bucket::{Bucket, Quota};
use super::rates::{RatePolicy, RateReport, nanos_since, rounded_up_seconds, state};

/// The maximum number of addresses. Further ones share one bucket until others are full again.
const ADDRESSES: usize = 10_000;
/// The number of valid keys after which the ones before them are forgotten.
const KEYS: usize = 10_000;

/// The limiter.
#[derive(Debug)]
pub(crate) struct FailedKeys {
    /// `None`: no limit.
    quota: ArcSwapOption<Quota>,
    started_at: Instant,
    addresses: Mutex<Addresses>,
    valid: Mutex<RecentKeys>,
}

#[derive(Debug, Default)]
struct Addresses {
    by_network: HashMap<IpAddr, Arc<Bucket>>,
    /// Of all networks that have no bucket of their own.
    others: Arc<Bucket>,
}

/// Keys that were valid: the latest ones, and those before them.
#[derive(Debug, Default)]
struct RecentKeys {
    latest: HashSet<HashedKey>,
    earlier: HashSet<HashedKey>,
}

/// An attempt that counts as failed unless it is taken back.
#[derive(Debug)]
pub(crate) struct Attempt(Option<(Arc<Bucket>, Quota)>);

impl FailedKeys {
    pub(crate) fn new(quota: Option<Quota>) -> Self {
        Self {
            quota: ArcSwapOption::from_pointee(quota),
            started_at: Instant::now(),
            addresses: Mutex::default(),
            valid: Mutex::default(),
        }
    }

    /// Replaces the quota. Attempts so far remain counted.
    pub(crate) fn replace_quota(&self, quota: Option<Quota>) {
        self.quota.store(quota.map(Arc::new));
    }

    fn quota(&self) -> Option<Quota> {
        self.quota.load().as_deref().copied()
    }

    /// Counts an attempt with a key that may be invalid. The error says when the next one is admitted.
    pub(crate) fn attempt(&self, address: Option<IpAddr>) -> Result<Attempt, RateReport> {
        self.attempt_at(address, nanos_since(self.started_at))
    }

    fn attempt_at(&self, address: Option<IpAddr>, now: u64) -> Result<Attempt, RateReport> {
        let Some((quota, address)) = self.quota().zip(address) else { return Ok(Attempt(None)) };
        let bucket = lock(&self.addresses).bucket_of(network::of_client(address), now);
        match bucket.take(now, quota) {
            Ok(()) => Ok(Attempt(Some((bucket, quota)))),
            Err(wait) => Err(RateReport {
                states: [Some(state(RatePolicy::FailedKeys, quota, &bucket, now)), None],
                retry_after_seconds: Some(rounded_up_seconds(wait).max(1)),
            }),
        }
    }

    /// Whether a key was valid recently.
    pub(crate) fn was_valid(&self, key: &HashedKey) -> bool {
        self.quota().is_some() && lock(&self.valid).contains(key)
    }

    /// Remembers a valid key.
    pub(crate) fn remember(&self, key: HashedKey) {
        if self.quota().is_some() {
            lock(&self.valid).insert(key);
        }
    }

    /// Forgets a key that is no longer valid.
    pub(crate) fn forget(&self, key: &HashedKey) {
        lock(&self.valid).remove(key);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Attempt {
    /// The key was valid, or could not be looked up.
    pub(crate) fn take_back(self) {
        if let Some((bucket, quota)) = self.0 {
            bucket.put_back(quota);
        }
    }
}

impl Addresses {
    fn bucket_of(&mut self, network: IpAddr, now: u64) -> Arc<Bucket> {
        if let Some(bucket) = self.by_network.get(&network) {
            return bucket.clone();
        }
        if self.by_network.len() >= ADDRESSES {
            // Under a flood from many networks none of them is full, and each request would look at all of them.
            if !self.others.is_full(now) {
                return self.others.clone();
            }
            self.by_network.retain(|_, bucket| !bucket.is_full(now) || Arc::strong_count(bucket) > 1);
            if self.by_network.len() >= ADDRESSES {
                return self.others.clone();
            }
        }
        self.by_network.entry(network).or_default().clone()
    }
}

impl RecentKeys {
    fn contains(&self, key: &HashedKey) -> bool {
        self.latest.contains(key) || self.earlier.contains(key)
    }

    fn insert(&mut self, key: HashedKey) {
        if self.latest.len() >= KEYS && !self.latest.contains(&key) {
            self.earlier = std::mem::take(&mut self.latest);
        }
        self.latest.insert(key);
    }

    fn remove(&mut self, key: &HashedKey) {
        self.latest.remove(key);
        self.earlier.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn key(number: usize) -> HashedKey {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        HashedKey(bytes)
    }

    fn address(text: &str) -> Option<IpAddr> {
        text.parse().ok()
    }

    fn limiter(units: u64) -> FailedKeys {
        FailedKeys::new(Quota::per_minute(units, 2))
    }

    #[test]
    fn an_address_over_its_limit_is_refused_and_others_are_not() {
        let limiter = limiter(3);
        for _ in 0..3 {
            limiter.attempt_at(address("2001:db8::1"), 0).unwrap();
        }
        let refused = limiter.attempt_at(address("2001:db8::ffff"), 0).unwrap_err();
        assert_eq!(refused.retry_after_seconds, Some(20));
        let state = refused.states[0].unwrap();
        assert_eq!(
            (state.policy, state.quota, state.remaining, state.reset_seconds),
            (RatePolicy::FailedKeys, 3, 0, 20)
        );
        limiter.attempt_at(address("2001:db8:0:1::1"), 0).unwrap();
        limiter.attempt_at(None, 0).unwrap();
        limiter.attempt_at(address("2001:db8::1"), 20 * SECOND).unwrap();
    }

    #[test]
    fn a_valid_key_costs_nothing() {
        let limiter = limiter(1);
        for _ in 0..100 {
            limiter.attempt_at(address("192.0.2.1"), 0).unwrap().take_back();
        }
        limiter.attempt_at(address("192.0.2.1"), 0).unwrap();
        limiter.attempt_at(address("192.0.2.1"), 0).unwrap_err();
    }

    #[test]
    fn without_a_limit_nothing_is_refused_or_remembered() {
        let limiter = limiter(0);
        for _ in 0..1_000 {
            limiter.attempt_at(address("192.0.2.1"), 0).unwrap();
        }
        limiter.remember(key(1));
        assert!(!limiter.was_valid(&key(1)));
        assert!(lock(&limiter.addresses).by_network.is_empty());
    }

    #[test]
    fn recent_keys_are_remembered_until_many_others_were_valid() {
        let limiter = limiter(1);
        limiter.remember(key(0));
        for number in 1..=KEYS {
            limiter.remember(key(number));
        }
        assert!(limiter.was_valid(&key(0)) && limiter.was_valid(&key(KEYS)));
        for number in KEYS + 1..=2 * KEYS {
            limiter.remember(key(number));
        }
        assert!(!limiter.was_valid(&key(0)));
        limiter.forget(&key(2 * KEYS));
        assert!(!limiter.was_valid(&key(2 * KEYS)));
        let valid = lock(&limiter.valid);
        assert!(valid.latest.len() + valid.earlier.len() <= 2 * KEYS);
    }

    #[test]
    fn a_new_quota_applies_at_once_to_the_attempts_so_far() {
        let limiter = limiter(2);
        for _ in 0..2 {
            limiter.attempt_at(address("192.0.2.1"), 0).unwrap();
        }
        limiter.attempt_at(address("192.0.2.1"), 0).unwrap_err();
        limiter.replace_quota(Quota::per_minute(600, 2));
        limiter.attempt_at(address("192.0.2.1"), SECOND).unwrap();
        limiter.replace_quota(None);
        for _ in 0..1_000 {
            limiter.attempt_at(address("192.0.2.1"), SECOND).unwrap();
        }
    }

    #[test]
    fn the_number_of_addresses_is_bounded() {
        let limiter = limiter(2);
        let nth = |number: usize| Some(IpAddr::from(u32::try_from(number).unwrap().to_be_bytes()));
        for number in 0..ADDRESSES {
            limiter.attempt_at(nth(number), 0).unwrap();
        }
        // These share a bucket.
        limiter.attempt_at(nth(ADDRESSES), 0).unwrap();
        limiter.attempt_at(nth(ADDRESSES + 1), 0).unwrap();
        limiter.attempt_at(nth(ADDRESSES + 2), 0).unwrap_err();
        assert_eq!(lock(&limiter.addresses).by_network.len(), ADDRESSES);
        limiter.attempt_at(nth(5), 0).unwrap();
        // A minute later all are full again.
        limiter.attempt_at(nth(ADDRESSES + 2), 60 * SECOND).unwrap();
        assert_eq!(lock(&limiter.addresses).by_network.len(), 1);
    }
}
