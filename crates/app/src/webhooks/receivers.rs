//! How many webhooks go to one receiver at once: one that does not answer holds no more slots than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::id::AccountId;
use domain::webhook::OPERATOR_RECEIVER;

/// Webhooks that are sent at once by one node to one receiver whose last attempt succeeded.
const PER_RECEIVER: usize = 4;
/// When this many receivers are remembered, those that nothing is sent to are forgotten.
const CAPACITY: usize = 10_000;

/// An account and its receiver. Two accounts with the same receiver do not wait for each other, but all share that of the
/// operator, which has no account.
type Receiver = (Option<AccountId>, String);

/// The receivers of this node.
#[derive(Debug)]
pub(super) struct Receivers {
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    receivers: HashMap<Receiver, Entry>,
    taken: Taken,
}

/// How many slots receivers may take, all together.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Those that fail.
    failing: usize,
    /// Those that fail, and those of which nothing is known: any of them may take as long as an attempt can.
    unproven: usize,
}

/// The slots that they have.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    failing: usize,
    unknown: usize,
}

#[derive(Debug, Default)]
struct Entry {
    sending: usize,
    health: Health,
}

/// What the last attempt of this node says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Health {
    /// There was none, or this node has restarted: one attempt shows how it is.
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
    /// For a node with this many slots.
    pub(super) fn new(slots: usize) -> Arc<Self> {
        Arc::new(Self { limits: Limits::of(slots), state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more webhook to this receiver, which had this many attempts; `None` if it has enough requests to answer.
    pub(super) fn start(
        self: &Arc<Self>,
        account: &AccountId,
        receiver: &str,
        attempts: u32,
    ) -> Option<Sending> {
        let account = (receiver != OPERATOR_RECEIVER).then(|| account.clone());
        let receiver = (account, receiver.to_owned());
        let mut state = self.lock();
        if state.receivers.len() >= CAPACITY {
            state.receivers.retain(|_, entry| entry.sending > 0);
        }
        let taken = state.taken;
        let entry = state.receivers.entry(receiver.clone()).or_default();
        let health = entry.health.with(attempts);
        if !self.limits.admit(health, entry.sending, taken) {
            return None;
        }
        entry.sending += 1;
        match health {
            Health::Working => {}
            Health::Unknown => state.taken.unknown += 1,
            Health::Failing => state.taken.failing += 1,
        }
        Some(Sending { receivers: self.clone(), receiver, health })
    }
}

impl Limits {
    /// Of this many slots, half are left to receivers that do not fail, and a quarter to those that work: at least one, unless
    /// there is only one.
    fn of(slots: usize) -> Self {
        Self { failing: (slots / 2).max(1), unproven: (slots * 3 / 4).max(1) }
    }

    /// Whether a receiver to which this many webhooks are being sent may get one more.
    fn admit(self, health: Health, sending: usize, taken: Taken) -> bool {
        let has_unproven = taken.failing + taken.unknown < self.unproven;
        match health {
            Health::Working => sending < PER_RECEIVER,
            Health::Unknown => sending == 0 && has_unproven,
            Health::Failing => sending == 0 && has_unproven && taken.failing < self.failing,
        }
    }
}

impl Health {
    /// With what the attempts of a delivery say: a failed one, maybe of another node or before a restart.
    fn with(self, attempts: u32) -> Self {
        match self {
            Self::Unknown if attempts > 0 => Self::Failing,
            known => known,
        }
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
        match self.health {
            Health::Working => {}
            Health::Unknown => state.taken.unknown -= 1,
            Health::Failing => state.taken.failing -= 1,
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
        let start = |number, receiver| receivers.start(&account(number), receiver, 0);
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
            receivers.start(&account(1), name, 0).unwrap().record(Answered::No);
        }
        let failing: Vec<_> = names.iter().filter_map(|name| receivers.start(&account(1), name, 1)).collect();
        assert_eq!(failing.len(), 2);
        assert!(receivers.start(&account(1), "new", 0).is_some());
        drop(failing);
        assert!(receivers.start(&account(1), &names[8], 1).is_some());
    }

    #[test]
    fn receivers_of_which_nothing_is_known_leave_a_quarter_of_the_slots() {
        for slots in 1..64 {
            let Limits { failing, unproven } = Limits::of(slots);
            assert!(failing >= 1 && unproven >= failing && (slots == 1 || unproven < slots), "{slots}");
        }
        let receivers = Receivers::new(16);
        let working = receivers.start(&account(1), "working", 0).unwrap();
        working.record(Answered::Yes);
        drop(working);
        // After a restart: those whose deliveries have failed before, and those with new ones.
        let start = |number: u8, attempts| receivers.start(&account(number), "a", attempts);
        let mut taken: Vec<_> = (10..50).filter_map(|number| start(number, 3)).collect();
        assert_eq!(taken.len(), 8);
        taken.extend((60..99).filter_map(|number| start(number, 0)));
        assert_eq!(taken.len(), 12);
        assert!(receivers.start(&account(1), "working", 2).is_some());
        drop(taken);
        assert!(start(10, 3).is_some() && start(60, 0).is_some());
    }

    #[test]
    fn all_accounts_share_the_requests_to_the_operator() {
        let receivers = Receivers::new(16);
        let start = |number| receivers.start(&account(number), OPERATOR_RECEIVER, 0);
        let first = start(1).unwrap();
        assert!(start(2).is_none());
        first.record(Answered::Yes);
        drop(first);
        assert_eq!((1..9).filter_map(start).collect::<Vec<_>>().len(), PER_RECEIVER);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let receivers = Receivers::new(4);
        for number in 0..2 * CAPACITY {
            receivers.start(&account(1), &number.to_string(), 0).unwrap().record(Answered::Yes);
        }
        assert!(receivers.lock().receivers.len() <= CAPACITY);
    }
}
