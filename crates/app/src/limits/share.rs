//! The writes of each account in progress on this node. While several accounts send requests, the number of each one's writes
//! is limited, apart from bursts, so that none waits behind a flood of another one. Alone, an account may use the whole node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use domain::id::AccountId;
use tokio::time::Instant;

use super::bucket::{Bucket, Quota};
use super::per_account::PerAccount;
use super::rates::nanos_since;
use crate::{App, Caller, Error};

/// How long after requests of two accounts the node counts as shared.
const SHARED_FOR: Duration = Duration::from_secs(10);
/// How many writes per minute an account may begin beyond its share: a client that starts all of its uploads at once.
const BURST_PER_MINUTE: u64 = 200;

/// The shares of all accounts.
#[derive(Debug)]
pub(crate) struct Shares {
    accounts: PerAccount<AccountShare>,
    /// How many accounts have had a number.
    count: AtomicU64,
    started_at: Instant,
    /// The number of the account that sent the last request; zero: there was none.
    last: AtomicU64,
    /// When a request came from another account than the one before, in nanoseconds after the start; zero: never.
    alternated_at: AtomicU64,
}

/// What one account has in progress.
#[derive(Debug, Default)]
pub(crate) struct AccountShare {
    number: u64,
    writes: AtomicUsize,
    /// Those of them that wait for Vimeo.
    pub(super) waiting: AtomicUsize,
    /// Writes beyond its share.
    burst: Bucket,
}

/// A write in progress, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct WriteInProgress(Arc<AccountShare>);

impl App {
    /// Whether several accounts have sent requests to this node within ten seconds.
    pub fn is_shared(&self) -> bool {
        self.shares.is_shared_at(nanos_since(self.shares.started_at))
    }

    /// Begins a write of the caller, which is in progress until the result is dropped. [`Error::Overloaded`] if its account
    /// has too many while other accounts send requests.
    pub fn begin_write(&self, caller: &Caller) -> Result<WriteInProgress, Error> {
        let (share, limit) = (&caller.share, self.limits.load().concurrent_writes_per_account);
        let others = share.writes.fetch_add(1, Ordering::Relaxed);
        let write = WriteInProgress(share.clone());
        let waiting = share.waiting.load(Ordering::Relaxed);
        if is_within_share(others, waiting, limit) || self.shares.admits_more(share) {
            Ok(write)
        } else {
            Err(Error::Overloaded)
        }
    }
}

/// Whether one more write is within the share, beside others of the account of which some wait for Vimeo.
fn is_within_share(others: usize, waiting: usize, limit: usize) -> bool {
    limit == 0 || others.saturating_sub(waiting) < limit
}

impl Shares {
    pub(crate) fn new() -> Self {
        Self {
            accounts: PerAccount::default(),
            count: AtomicU64::new(0),
            started_at: Instant::now(),
            last: AtomicU64::new(0),
            alternated_at: AtomicU64::new(0),
        }
    }

    /// The share of an account; the same one as long as it is used.
    pub(crate) fn of(&self, account: &AccountId) -> Arc<AccountShare> {
        self.accounts.find_or_add(account, || {
            let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
            AccountShare { number, ..AccountShare::default() }
        })
    }

    /// Notes that an account sent a request.
    pub(crate) fn note_request(&self, share: &AccountShare) {
        let before = self.last.load(Ordering::Relaxed);
        if before == share.number {
            return;
        }
        self.last.store(share.number, Ordering::Relaxed);
        if before > 0 {
            self.alternated_at.store(nanos_since(self.started_at).max(1), Ordering::Relaxed);
        }
    }

    /// Whether an account may begin a write beyond its share.
    fn admits_more(&self, share: &AccountShare) -> bool {
        let now = nanos_since(self.started_at);
        // So few are admitted at once.
        let Some(burst) = Quota::per_minute(BURST_PER_MINUTE, 1) else { return false };
        !self.is_shared_at(now) || share.burst.take(now, burst).is_ok()
    }

    fn is_shared_at(&self, now: u64) -> bool {
        let at = self.alternated_at.load(Ordering::Relaxed);
        at > 0 && Duration::from_nanos(now.saturating_sub(at)) < SHARED_FOR
    }
}

impl Drop for WriteInProgress {
    fn drop(&mut self) {
        self.0.writes.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::per_account::tests::account;

    #[tokio::test(start_paused = true)]
    async fn a_node_is_shared_while_more_than_one_account_sends_requests() {
        let shares = Shares::new();
        let is_shared = || shares.is_shared_at(nanos_since(shares.started_at));
        let (first, second) = (shares.of(&account(1)), shares.of(&account(2)));
        shares.note_request(&first);
        shares.note_request(&first);
        assert!(!is_shared(), "one account is alone");
        shares.note_request(&second);
        assert!(is_shared());
        tokio::time::advance(SHARED_FOR / 2).await;
        shares.note_request(&first);
        tokio::time::advance(SHARED_FOR / 2).await;
        assert!(is_shared());
        tokio::time::advance(SHARED_FOR / 2).await;
        shares.note_request(&first);
        assert!(!is_shared(), "the other account sent nothing for a while");
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_may_exceed_its_share_for_a_moment_and_always_when_it_is_alone() {
        let shares = Shares::new();
        let (flood, other) = (shares.of(&account(1)), shares.of(&account(2)));
        shares.note_request(&flood);
        assert!((0..5 * BURST_PER_MINUTE).all(|_| shares.admits_more(&flood)), "it is alone");
        shares.note_request(&other);
        let admitted = (0..5 * BURST_PER_MINUTE).filter(|_| shares.admits_more(&flood)).count();
        assert_eq!(admitted as u64, BURST_PER_MINUTE);
        assert!(shares.admits_more(&other), "each account has its own");
        tokio::time::advance(Duration::from_secs(6)).await;
        let admitted = (0..BURST_PER_MINUTE).filter(|_| shares.admits_more(&flood)).count();
        assert_eq!(admitted as u64, BURST_PER_MINUTE / 10);
    }

    #[test]
    fn writes_that_wait_for_vimeo_are_not_part_of_the_share() {
        assert!(is_within_share(1, 0, 2) && !is_within_share(2, 0, 2));
        assert!(is_within_share(9, 8, 2) && !is_within_share(9, 7, 2));
        assert!(is_within_share(9, 0, 0), "no limit");
        assert!(is_within_share(1, 5, 1), "those that have just ended");

        let caller = Caller::operator(account(1));
        let waiting = crate::limits::waiting::Waiting::default();
        let waits = [waiting.begin(&caller), waiting.begin(&caller)];
        assert_eq!(caller.share.waiting.load(Ordering::Relaxed), 2);
        drop(waits);
        assert_eq!(caller.share.waiting.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_account_has_one_share_while_it_is_used() {
        let shares = Shares::new();
        let used = shares.of(&account(0));
        assert!(Arc::ptr_eq(&used, &shares.of(&account(0))));
        for number in 1..=20_000 {
            drop(shares.of(&account(number)));
        }
        assert!(Arc::ptr_eq(&used, &shares.of(&account(0))));
        let numbers: std::collections::HashSet<_> =
            (0..5).map(|number| shares.of(&account(number)).number).collect();
        assert_eq!(numbers.len(), 5);
    }
}
