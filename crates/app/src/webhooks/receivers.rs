//! How many webhooks go to one receiver at once: one that does not answer holds no more slots than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::AccountId;

/// Webhooks that are sent at once by one node to one receiver whose last attempt succeeded.
const PER_RECEIVER: usize = 4;
/// When this many receivers are remembered, those that nothing is sent to are forgotten.
const CAPACITY: usize = 10_000;

/// An account and its receiver. Two accounts with the same receiver do not wait for each other.
type Receiver = (AccountId, String);

/// The receivers of this node.
#[derive(Debug)]
pub(super) struct Receivers {
    /// Receivers that fail take this many slots at most, all together.
    failing_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    receivers: HashMap<Receiver, Entry>,
    /// Webhooks that are being sent to receivers that fail.
    failing: usize,
}

#[derive(Debug, Default)]
struct Entry {
    sending: usize,
    health: Health,
}

/// What the last attempt of this node says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Health {
    /// There was none: one attempt shows how it is.
    #[default]
    Unknown,
    Working,
    Failing,
}

/// A webhook that is being sent, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    receivers: Arc<Receivers>,
    receiver: Receiver,
    health: Health,
}

/// The state of a receiver after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Yes,
    No,
}

impl Receivers {
    /// Of this many slots, half are never taken by receivers that fail.
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { failing_max: (slots / 2).max(1), state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more webhook to this receiver; `None` if it has enough requests to answer.
    pub(super) fn start(self: &Arc<Self>, account: &AccountId, receiver: &str) -> Option<Sending> {
        let receiver = (account.clone(), receiver.to_owned());
        let mut state = self.lock();
        if state.receivers.len() >= CAPACITY {
            state.receivers.retain(|_, entry| entry.sending > 0);
        }
        let failing = state.failing;
        let entry = state.receivers.entry(receiver.clone()).or_default();
        let is_admitted = match entry.health {
            Health::Working => entry.sending < PER_RECEIVER,
            Health::Unknown => entry.sending == 0,
            Health::Failing => entry.sending == 0 && failing < self.failing_max,
        };
        if !is_admitted {
            return None;
        }
        entry.sending += 1;
        let health = entry.health;
        if health == Health::Failing {
            state.failing += 1;
        }
        Some(Sending { receivers: self.clone(), receiver, health })
    }
}

impl Sending {
    /// Records how the attempt ended.
    pub(super) fn record(&self, answered: Answered) {
        if let Some(entry) = self.receivers.lock().receivers.get_mut(&self.receiver) {
            entry.health = match answered {
                Answered::Yes => Health::Working,
                Answered::No => Health::Failing,
            };
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut state = self.receivers.lock();
        if self.health == Health::Failing {
            state.failing -= 1;
        }
        if let Some(entry) = state.receivers.get_mut(&self.receiver) {
            entry.sending -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(number: u8) -> AccountId {
        AccountId::from_random([number; 16])
    }

    #[test]
    fn a_receiver_gets_one_webhook_until_it_has_answered() {
        let receivers = Receivers::new(16);
        let start = |number, receiver| receivers.start(&account(number), receiver);
        let first = start(1, "a").unwrap();
        assert!(start(1, "a").is_none());
        assert!(start(1, "b").is_some() && start(2, "a").is_some(), "others do not wait for it");
        first.record(Answered::Yes);
        drop(first);
        let sending: Vec<_> = (0..9).filter_map(|_| start(1, "a")).collect();
        assert_eq!(sending.len(), PER_RECEIVER);
        sending[0].record(Answered::No);
        drop(sending);
        let last = start(1, "a");
        assert!(last.is_some() && start(1, "a").is_none(), "one while it fails");
    }

    #[test]
    fn receivers_that_fail_leave_half_of_the_slots() {
        let receivers = Receivers::new(4);
        let names: Vec<_> = (0..9).map(|number| number.to_string()).collect();
        for name in &names {
            receivers.start(&account(1), name).unwrap().record(Answered::No);
        }
        let failing: Vec<_> = names.iter().filter_map(|name| receivers.start(&account(1), name)).collect();
        assert_eq!(failing.len(), 2);
        assert!(receivers.start(&account(1), "new").is_some());
        drop(failing);
        assert!(receivers.start(&account(1), &names[8]).is_some());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let receivers = Receivers::new(4);
        for number in 0..2 * CAPACITY {
            receivers.start(&account(1), &number.to_string()).unwrap().record(Answered::Yes);
        }
        assert!(receivers.lock().receivers.len() <= CAPACITY);
    }
}
