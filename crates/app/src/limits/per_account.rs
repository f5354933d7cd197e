//! What this node remembers of each account while it is used.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::AccountId;

/// When this many accounts are remembered, those that are not used now are forgotten.
const CAPACITY: usize = 10_000;

/// A value for each account.
#[derive(Debug)]
pub(super) struct PerAccount<T>(Mutex<HashMap<AccountId, Arc<T>>>);

impl<T> Default for PerAccount<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> PerAccount<T> {
    /// The value of an account; the same one as long as it is used.
    pub(super) fn find_or_add(&self, account: &AccountId, make: impl FnOnce() -> T) -> Arc<T> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = values.get(account) {
            return value.clone();
        }
        if values.len() >= CAPACITY {
            values.retain(|_, value| Arc::strong_count(value) > 1);
        }
        values.entry(account.clone()).or_insert_with(|| Arc::new(make())).clone()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::limits) fn account(number: u16) -> AccountId {
        let mut bytes = [0; 16];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        AccountId::from_random(bytes)
    }

    #[test]
    fn an_account_has_one_value_while_it_is_used() {
        let values = PerAccount::default();
        let used = values.find_or_add(&account(0), || 0);
        for number in 1..=20_000 {
            drop(values.find_or_add(&account(number), || number));
        }
        assert!(Arc::ptr_eq(&used, &values.find_or_add(&account(0), || 1)));
        assert!(values.0.lock().unwrap().len() <= CAPACITY + 1);
    }
}
