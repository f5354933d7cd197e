//! The requests that wait for Vimeo. They need no database and no CPU, so that the limit of requests in progress leaves
//! them out.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::share::AccountShare;
use crate::{App, Caller};

/// Their number.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

/// A request that waits, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct Waits<'a> {
    all: &'a Waiting,
    share: &'a AccountShare,
}

impl App {
    /// How many requests of clients wait for Vimeo now.
    pub fn waiting_for_vimeo(&self) -> usize {
        self.waiting.0.load(Ordering::Relaxed)
    }
}

impl Waiting {
    pub(crate) fn begin<'a>(&'a self, caller: &'a Caller) -> Waits<'a> {
        let waits = Waits { all: self, share: &caller.share };
        for count in waits.counts() {
            count.fetch_add(1, Ordering::Relaxed);
        }
        waits
    }
}

impl Waits<'_> {
    fn counts(&self) -> [&AtomicUsize; 2] {
        [&self.all.0, &self.share.waiting]
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        for count in self.counts() {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
