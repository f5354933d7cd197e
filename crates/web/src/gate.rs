//! Limits the requests in progress. Those beyond the limit are refused at once: none waits for another, so that the time
//! of an admitted request depends on the limit and not on the load. Reads and writes have limits of their own, health
//! probes have none, and a request that waits for Vimeo does not count.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::Method;

use crate::Live;

/// How many requests may be in progress at once; zero: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConcurrencyLimits {
    /// Requests that only read.
    pub reads: usize,
    /// Other requests, except for those that wait for Vimeo.
    pub writes: usize,
}

/// The requests in progress.
#[derive(Debug)]
pub(crate) struct Gate {
    limits: Live<ConcurrencyLimits>,
    reads: AtomicUsize,
    writes: AtomicUsize,
}

/// The limit is reached.
#[derive(Debug)]
pub(crate) struct Full;

/// A request in progress, until it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted<'a>(&'a AtomicUsize);

impl Gate {
    pub(crate) fn new(limits: Live<ConcurrencyLimits>) -> Self {
        Self { limits, reads: AtomicUsize::new(0), writes: AtomicUsize::new(0) }
    }

    /// Admits a request, while this many writes wait for Vimeo.
    pub(crate) fn admit(&self, method: &Method, waiting_for_vimeo: usize) -> Result<Admitted<'_>, Full> {
        let limits = self.limits.get();
        let (count, limit, waiting) = if method.is_safe() {
            (&self.reads, limits.reads, 0)
        } else {
            (&self.writes, limits.writes, waiting_for_vimeo)
        };
        let admitted = Admitted(count);
        let others = count.fetch_add(1, Ordering::Relaxed);
        if limit == 0 || others.saturating_sub(waiting) < limit { Ok(admitted) } else { Err(Full) }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(limits: ConcurrencyLimits) -> Gate {
        Gate::new(Live::new(limits))
    }

    #[test]
    fn reads_and_writes_have_limits_of_their_own() {
        let gate = gate(ConcurrencyLimits { reads: 1, writes: 2 });
        let writes = [gate.admit(&Method::POST, 0).unwrap(), gate.admit(&Method::DELETE, 0).unwrap()];
        assert!(gate.admit(&Method::PUT, 0).is_err());
        let read = gate.admit(&Method::GET, 0).unwrap();
        assert!(gate.admit(&Method::HEAD, 0).is_err());
        drop(read);
        drop(writes);
        assert!(gate.admit(&Method::HEAD, 0).is_ok() && gate.admit(&Method::PATCH, 0).is_ok());
        assert_eq!((gate.reads.into_inner(), gate.writes.into_inner()), (0, 0));
    }

    #[test]
    fn a_write_that_waits_for_vimeo_does_not_count() {
        let gate = gate(ConcurrencyLimits { reads: 1, writes: 2 });
        let waiting: Vec<_> = (0..5).map(|number| gate.admit(&Method::POST, number).unwrap()).collect();
        let active = [gate.admit(&Method::POST, 5).unwrap(), gate.admit(&Method::POST, 5).unwrap()];
        assert!(gate.admit(&Method::POST, 5).is_err());
        let _read = gate.admit(&Method::GET, 5).unwrap();
        assert!(gate.admit(&Method::GET, 5).is_err(), "no read waits for it");
        drop((waiting, active));
    }

    #[test]
    fn a_new_limit_counts_the_requests_that_were_admitted_before() {
        let limits = Live::new(ConcurrencyLimits { reads: 2, writes: 1 });
        let gate = Gate::new(limits.clone());
        let _first = gate.admit(&Method::GET, 0).unwrap();
        limits.replace(ConcurrencyLimits { reads: 1, writes: 1 });
        assert!(gate.admit(&Method::GET, 0).is_err());
        limits.replace(ConcurrencyLimits { reads: 2, writes: 1 });
        assert!(gate.admit(&Method::GET, 0).is_ok());
    }

    #[test]
    fn zero_is_no_limit() {
        let gate = gate(ConcurrencyLimits { reads: 0, writes: 0 });
        let admitted: Vec<_> = (0..10_000).map(|_| gate.admit(&Method::GET, 0).unwrap()).collect();
        assert_eq!(admitted.len(), 10_000);
    }
}
