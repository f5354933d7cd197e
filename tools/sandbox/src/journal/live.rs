//! The journal as it is written: what happens, told to whoever follows it.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::broadcast;

// Who falls further behind than this is let go, and may come back and say how far they were.
const BEHIND_MAX: usize = 1024;

/// Something that has happened to an entry.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    /// The entry's number.
    pub(crate) number: u64,
    pub(crate) what: What,
    /// The entry as it is by then.
    pub(crate) entry: Arc<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Arrived,
    Abandoned,
    Settled,
}

impl What {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arrived => "arrived",
            Self::Abandoned => "abandoned",
            Self::Settled => "settled",
        }
    }
}

/// Tells followers.
pub(super) struct Teller(broadcast::Sender<Happening>);

impl Default for Teller {
    fn default() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }
}

impl Teller {
    pub(super) fn tell(&self, number: u64, what: What, entry: impl FnOnce() -> Value) {
        if self.0.receiver_count() > 0 {
            // Nobody there is nobody told.
            let _ = self.0.send(Happening { number, what, entry: entry().to_string().into() });
        }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Happening> {
        self.0.subscribe()
    }
}

/// Somebody who follows the journal.
pub(crate) struct Follower {
    /// What they missed.
    pub(super) missed: VecDeque<Happening>,
    pub(super) coming: broadcast::Receiver<Happening>,
}

impl Follower {
    /// What has happened next; `None` when they were too slow to be told.
    pub(crate) async fn next(&mut self) -> Option<Happening> {
        match self.missed.pop_front() {
            Some(missed) => Some(missed),
            None => self.coming.recv().await.ok(),
        }
    }
}
