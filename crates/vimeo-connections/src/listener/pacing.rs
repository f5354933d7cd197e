//! Paces clients that ignore a refusal: the next request on the same connection is handled a little later. A client that
//! waits as long as `Retry-After` says is not affected. Without this, a flood of requests would take the CPU from those that
//! are admitted, though each refusal is cheap.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long after a refusal the next request on its connection is handled, at least. Far shorter than any `Retry-After`.
const PAUSE: Duration = Duration::from_millis(100);
/// How many different pauses connections have, so that requests that were refused together do not return together.
const STEPS: u32 = 64;

/// The pace of one connection.
#[derive(Debug)]
pub(super) enum Pace {
    /// A connection that is not a proxy's.
    Client {
        pause: Duration,
        /// When the next request may be handled, after a refusal.
        next_request_at: Mutex<Option<Instant>>,
    },
    /// A connection of a proxy has requests of many clients, which do not wait for each other.
    Proxy,
}

impl Pace {
    /// `number` is the connection's.
    pub(super) fn new(number: u32, is_proxy: bool) -> Self {
        if is_proxy {
            return Self::Proxy;
        }
        let pause = PAUSE + PAUSE * (number % STEPS) / STEPS;
        Self::Client { pause, next_request_at: Mutex::default() }
    }

    /// Notes that a request was refused because there were too many.
    pub(super) fn note_refusal(&self, now: Instant) {
        if let Self::Client { pause, next_request_at } = self {
            *lock(next_request_at) = Some(now + *pause);
        }
    }

    /// When the request that has just arrived may be handled; `None`: now.
    pub(super) fn take_pause(&self) -> Option<Instant> {
        match self {
            Self::Client { next_request_at, .. } => lock(next_request_at).take(),
            Self::Proxy => None,
        }
    }
}

fn lock(next_request_at: &Mutex<Option<Instant>>) -> MutexGuard<'_, Option<Instant>> {
    next_request_at.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_next_request_after_a_refusal_waits() {
        let now = Instant::now();
        for number in 0..2 * STEPS {
            let pace = Pace::new(number, false);
            assert_eq!(pace.take_pause(), None);
            pace.note_refusal(now - PAUSE);
            pace.note_refusal(now);
            let until = pace.take_pause().unwrap();
            assert!((now + PAUSE..now + 2 * PAUSE).contains(&until), "{number}");
            assert_eq!(pace.take_pause(), None);
        }
    }

    #[test]
    fn requests_of_a_proxy_do_not_wait() {
        let pace = Pace::new(1, true);
        pace.note_refusal(Instant::now());
        assert_eq!(pace.take_pause(), None);
    }
}
