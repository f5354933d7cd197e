//! How many webhooks go to one receiver at once: one that does not answer holds no more slots than that.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::id::AccountId;

/// Webhooks that are sent at once to one receiver of an account by one node.
const PER_RECEIVER: usize = 4;
/// The shortest wait of a webhook whose receiver is busy, and how much longer it may be.
const BUSY_PAUSE: Duration = Duration::from_secs(2);
const BUSY_SPREAD: Duration = Duration::from_secs(4);

/// An account and the origin of its receiver. Two accounts with the same receiver do not wait for each other.
type Receiver = (AccountId, String);

/// The receivers that webhooks are being sent to.
#[derive(Debug, Default)]
pub(super) struct Receivers(Mutex<HashMap<Receiver, usize>>);

/// A webhook that is being sent, until it is dropped.
#[derive(Debug)]
pub(super) struct Sending {
    receivers: Arc<Receivers>,
    receiver: Receiver,
}

impl Receivers {
    /// Counts one more webhook to this receiver; `None` if it is busy.
    pub(super) fn start(self: &Arc<Self>, account: &AccountId, origin: String) -> Option<Sending> {
        let receiver = (account.clone(), origin);
        let mut sending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = sending.entry(receiver.clone()).or_default();
        if *count >= PER_RECEIVER {
            return None;
        }
        *count += 1;
        Some(Sending { receivers: self.clone(), receiver })
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut sending = self.receivers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = sending.get_mut(&self.receiver) {
            *count -= 1;
            if *count == 0 {
                sending.remove(&self.receiver);
            }
        }
    }
}

/// How long a webhook waits for its busy receiver: `random` spreads those that wait.
pub(super) fn busy_pause(random: u8) -> Duration {
    BUSY_PAUSE + BUSY_SPREAD * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_gets_no_more_than_its_share_and_others_do_not_wait_for_it() {
        let receivers = Arc::<Receivers>::default();
        let (one, two) = (AccountId::from_stored("one".to_owned()), AccountId::from_stored("two".to_owned()));
        let start = |account, origin: &str| receivers.start(account, origin.to_owned());
        let mut silent: Vec<_> = (0..60).filter_map(|_| start(&one, "https://silent.example")).collect();
        assert_eq!(silent.len(), PER_RECEIVER);
        assert!(start(&one, "https://other.example").is_some());
        assert!(start(&two, "https://silent.example").is_some(), "another account's own webhooks");
        silent.pop();
        assert!(start(&one, "https://silent.example").is_some(), "one has ended, and the next is sent");
        drop(silent);
        assert!(receivers.0.lock().unwrap().is_empty());
    }

    #[test]
    fn the_delays_of_a_busy_receiver_are_spread() {
        assert_eq!([busy_pause(0), busy_pause(255)], [BUSY_PAUSE, BUSY_PAUSE + BUSY_SPREAD]);
    }
}
