//! The open event streams of each account on this node.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::AccountId;
use domain::limits::Limit;

use crate::{App, Caller, Error};

/// Counts the streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Streams(Arc<Mutex<HashMap<AccountId, u64>>>);

/// One open stream, until it is dropped.
#[derive(Debug)]
pub struct StreamPermit {
    streams: Streams,
    account: AccountId,
}

impl App {
    /// Opens an event stream of the caller's account. [`Error::LimitReached`].
    pub fn open_stream(&self, caller: &Caller) -> Result<StreamPermit, Error> {
        self.streams.open(&caller.account_id, caller.limits.event_streams)
    }
}

impl Streams {
    fn open(&self, account: &AccountId, limit: u64) -> Result<StreamPermit, Error> {
        let mut accounts = self.accounts();
        let open = accounts.get(account).copied().unwrap_or_default();
        if limit > 0 && open >= limit {
            return Err(Error::LimitReached { limit: Limit::EventStreams, value: limit });
        }
        accounts.insert(account.clone(), open + 1);
        Ok(StreamPermit { streams: self.clone(), account: account.clone() })
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<AccountId, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut accounts = self.streams.accounts();
        match accounts.get_mut(&self.account) {
            Some(open) if *open > 1 => *open -= 1,
            _ => {
                accounts.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_has_a_limited_number_of_streams_and_others_have_their_own() {
        let streams = Streams::default();
        let account = |number| AccountId::from_random([number; 16]);
        let first = streams.open(&account(1), 2).unwrap();
        let second = streams.open(&account(1), 2).unwrap();
        let refused = streams.open(&account(1), 2).unwrap_err();
        assert!(matches!(refused, Error::LimitReached { limit: Limit::EventStreams, value: 2 }));
        drop(streams.open(&account(2), 2).unwrap());
        drop(first);
        let third = streams.open(&account(1), 2).unwrap();
        drop((third, second, streams.open(&account(1), 0).unwrap()));
        assert!(streams.accounts().is_empty());
    }
}
