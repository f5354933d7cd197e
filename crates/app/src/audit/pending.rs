//! Which accounts this process has written audit events for, so that their events are linked without searching for them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::id::AccountId;
use domain::time::Timestamp;

/// Events younger than this are not linked, so that those of other nodes and slower commits are linked in their order.
pub(super) const SETTLE: Duration = Duration::from_secs(3);
/// After this, a write that was accepted has been committed or has failed.
const COMMIT: Duration = Duration::from_secs(10);

/// Accounts with events that may not be linked yet.
#[derive(Debug, Default)]
pub(crate) struct PendingAccounts(Mutex<HashMap<AccountId, Entry>>);

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// When the last event was created.
    marked_at: Timestamp,
    visit_at: Timestamp,
}

impl PendingAccounts {
    /// Notes that an event was created.
    pub(crate) fn mark(&self, account: &AccountId, now: Timestamp) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let settled_at = now.plus(SETTLE);
        if let Some(entry) = accounts.get_mut(account) {
            *entry = Entry { marked_at: now, visit_at: entry.visit_at.min(settled_at) };
        } else {
            accounts.insert(account.clone(), Entry { marked_at: now, visit_at: settled_at });
        }
    }

    /// Up to `limit` accounts to visit now, the longest waiting first.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<AccountId> {
        let accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = |(account, entry): (&AccountId, &Entry)| {
            (entry.visit_at <= now).then(|| (entry.visit_at, account.clone()))
        };
        let mut due: Vec<_> = accounts.iter().filter_map(is_due).collect();
        drop(accounts);
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter().map(|(_, account)| account).collect()
    }

    /// Notes that all settled events of an account were linked at `now`. It is visited once more for events whose commit took
    /// longer.
    pub(super) fn visited(&self, account: &AccountId, now: Timestamp) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = accounts.get_mut(account) else { return };
        let last_visit_at = entry.marked_at.plus(COMMIT);
        if last_visit_at <= now {
            accounts.remove(account);
        } else {
            entry.visit_at = last_visit_at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000).plus_seconds(seconds)
    }

    fn account(number: u8) -> AccountId {
        AccountId::from_random([number; 16])
    }

    #[test]
    fn an_account_is_visited_when_its_event_has_settled_and_once_more_later() {
        let pending = PendingAccounts::default();
        pending.mark(&account(1), at(0));
        assert_eq!(pending.due(at(2), 9), []);
        assert_eq!(pending.due(at(3), 9), [account(1)]);
        pending.visited(&account(1), at(3));
        assert_eq!(pending.due(at(9), 9), []);
        assert_eq!(pending.due(at(10), 9), [account(1)]);
        pending.visited(&account(1), at(10));
        assert_eq!(pending.due(at(1_000), 9), []);
    }

    #[test]
    fn an_account_with_constant_events_is_visited_every_few_seconds() {
        let pending = PendingAccounts::default();
        let mut visits = 0;
        for second in 0..40 {
            pending.mark(&account(1), at(second));
            for account in pending.due(at(second), 9) {
                visits += 1;
                pending.visited(&account, at(second));
            }
        }
        assert!((10..=13).contains(&visits), "{visits}");
    }

    #[test]
    fn the_longest_waiting_accounts_are_visited_first() {
        let pending = PendingAccounts::default();
        for number in [3, 1, 2] {
            pending.mark(&account(number), at(i64::from(number)));
        }
        assert_eq!(pending.due(at(100), 2), [account(1), account(2)]);
    }
}
