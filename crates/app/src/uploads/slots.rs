//! The slots of a node: how many jobs it works on at once, and how many of them one account may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::AccountId;

/// Slots for one kind of work.
#[derive(Debug)]
pub(crate) struct Slots {
    total: usize,
    taken: Mutex<HashMap<AccountId, usize>>,
}

/// A slot that is taken, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    account: AccountId,
}

impl Slots {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { total, taken: Mutex::default() })
    }

    /// How many are free.
    pub(crate) fn free(&self) -> usize {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.total.saturating_sub(taken.values().sum())
    }

    /// A slot for this account, if it may have one more.
    pub(crate) fn take(self: &Arc<Self>, account: &AccountId) -> Option<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.total.saturating_sub(taken.values().sum());
        let running = taken.get(account).copied().unwrap_or(0);
        if !may_take(running, free) {
            return None;
        }
        *taken.entry(account.clone()).or_default() += 1;
        Some(Slot { slots: self.clone(), account: account.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

/// Whether an account with this many slots may take one more while this many are free. The more slots are free, the more
/// it may have (a dynamic threshold, as switches share buffers): alone it gets most of them, and the last free slot is
/// always left to an account that has none.
fn may_take(running: usize, free: usize) -> bool {
    match running {
        0 => free > 0,
        _ => free > 1 && running <= 2 * (free - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: usize) -> AccountId {
        AccountId::from_stored(format!("account {number}"))
    }

    /// Takes slots in turns, until none of the accounts may have one more; how many each got.
    fn share(total: usize, accounts: usize) -> Vec<usize> {
        let slots = Slots::new(total);
        let mut taken: Vec<Vec<Slot>> = (0..accounts).map(|_| Vec::new()).collect();
        loop {
            let before = slots.free();
            for (number, taken) in taken.iter_mut().enumerate() {
                taken.extend(slots.take(&account(number)));
            }
            if slots.free() == before {
                return taken.iter().map(Vec::len).collect();
            }
        }
    }

    #[test]
    fn one_account_alone_gets_most_of_the_slots_but_not_the_last() {
        assert_eq!(share(16, 1), [11]);
        assert_eq!(share(4, 1), [3]);
        assert_eq!(share(2, 1), [1]);
        assert_eq!(share(1, 1), [1], "a node with one slot works");
    }

    #[test]
    fn a_few_accounts_never_take_all_slots() {
        assert_eq!(share(16, 2), [7, 6]);
        assert_eq!(share(16, 5), [3; 5]);
        for total in 2..=64 {
            for accounts in 1..total {
                let taken: usize = share(total, accounts).iter().sum();
                assert!(taken < total, "{accounts} accounts took all of {total} slots");
            }
        }
    }

    #[test]
    fn an_account_with_nothing_running_gets_a_slot_as_long_as_one_is_free() {
        let slots = Slots::new(16);
        let mut taken = Vec::new();
        for _ in 0..16 {
            taken.extend(slots.take(&account(1)));
            taken.extend(slots.take(&account(2)));
        }
        assert!(slots.take(&account(1)).is_none() && slots.take(&account(2)).is_none());
        let third = slots.take(&account(3));
        assert!(third.is_some());
        assert_eq!(share(16, 16), [1; 16], "as many accounts as slots share them all");
    }

    #[test]
    fn a_slot_that_is_dropped_is_free_again() {
        let slots = Slots::new(1);
        let slot = slots.take(&account(1)).unwrap();
        assert_eq!((slots.free(), slots.take(&account(2)).is_none()), (0, true));
        drop(slot);
        assert_eq!(slots.free(), 1);
        assert!(slots.taken.lock().unwrap().is_empty(), "an account without slots is forgotten");
    }
}
