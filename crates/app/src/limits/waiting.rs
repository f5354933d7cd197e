//! The requests that wait for Vimeo. They need no database and no CPU, so that the limit of requests in progress leaves
//! them out.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::App;

/// Their number.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

/// A request that waits, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Waits<'a>(&'a Waiting);

impl App {
    /// How many requests of clients wait for Vimeo now.
    pub fn waiting_for_vimeo(&self) -> usize {
        self.waiting.0.load(Ordering::Relaxed)
    }
}

impl Waiting {
    pub(crate) fn begin(&self) -> Waits<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}
