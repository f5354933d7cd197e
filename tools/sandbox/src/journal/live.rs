//! The live journal: events of entries, published to subscribers.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;

// A subscriber that falls further behind is disconnected; it may reconnect with the last number that it received.
const BEHIND_MAX: usize = 1024;

/// An event of an entry.
#[derive(Clone, Debug)]
pub(crate) struct JournalEvent {
    /// The entry's number.
    pub(crate) number: u64,
    pub(crate) what: EventKind,
    /// The entry at that time, as JSON.
    pub(crate) entry: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Arrived,
    Abandoned,
    Finished,
}

impl EventKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Abandoned => "abandoned",
            Self::Finished => "settled",
        }
    }
}

/// Publishes events to subscribers.
pub(super) struct Publisher(broadcast::Sender<JournalEvent>);

impl Default for Publisher {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl Publisher {
    pub(super) fn publish(&self, number: u64, what: EventKind, entry: impl FnOnce() -> Value) {
        if self.0.receiver_count() > 0 {
            // Fails only if no subscriber is left.
            let _ = self.0.send(JournalEvent { number, what, entry: entry().to_string().into() });
        }
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<JournalEvent> {
        self.0.subscribe()
    }
}

/// A subscription to the journal.
pub(crate) struct Subscription {
    /// The events since the last one that the client received.
    pub(super) missed: VecDeque<JournalEvent>,
    pub(super) coming: broadcast::Receiver<JournalEvent>,
}

impl Subscription {
    /// The next event; `None` if the subscriber is too far behind.
    pub(crate) async fn next(&mut self) -> Option<JournalEvent> {
        match self.missed.pop_front() {
            Some(missed) => Some(missed),
            None => self.coming.recv().await.ok(),
        }
    }
}
