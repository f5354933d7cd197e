//! Limits the memory for incomplete request headers on all connections.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use super::limits::{ConnectionPermit, Kind};
use super::pacing::Pace;

/// How much of an incomplete header each connection may send without using the budget; more than a normal client needs.
const FREE_BYTES: usize = 8 * 1024;

/// The shared memory budget for longer headers.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    pub(super) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self(AtomicUsize::new(bytes)))
    }

    fn take(&self, bytes: usize) -> bool {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok()
    }

    fn release(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The incomplete header of one connection.
#[derive(Debug)]
pub(super) struct HeaderReservation {
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes read since the last request.
    read: usize,
    /// Bytes taken from the budget.
    taken: usize,
    /// A request is being handled, so data belongs to its body.
    is_in_request: bool,
}

impl HeaderReservation {
    pub(super) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts received bytes; `false` if the budget is exhausted.
    pub(super) fn read(&self, bytes: usize) -> bool {
        let mut state = self.state();
        if state.is_in_request {
            return true;
        }
        state.read = state.read.saturating_add(bytes);
        let more = state.read.saturating_sub(FREE_BYTES).saturating_sub(state.taken);
        if more > 0 && !self.budget.take(more) {
            return false;
        }
        state.taken += more;
        true
    }

    fn start_request(&self) {
        let mut state = self.state();
        self.budget.release(state.taken);
        *state = State { is_in_request: true, ..State::default() };
    }

    fn end_request(&self) {
        self.state().is_in_request = false;
    }
}

impl Drop for HeaderReservation {
    fn drop(&mut self) {
        let taken = self.state().taken;
        self.budget.release(taken);
    }
}

/// The service of a connection. Tracks when requests start and end.
#[derive(Clone)]
pub(crate) struct Tracked<S> {
    pub(super) service: S,
    pub(super) head: Arc<HeaderReservation>,
    /// Held as long as the connection or one of its requests exists.
    pub(super) permit: Arc<ConnectionPermit>,
    pub(super) pace: Arc<Pace>,
}

impl<S, B, R> Service<Request<B>> for Tracked<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.head.start_request();
        if self.permit.kind == Kind::Reserve {
            request.extensions_mut().insert(web::OverCapacity);
        }
        let pause = self.pace.take_pause();
        let (response, head, pace) = (self.service.call(request), self.head.clone(), self.pace.clone());
        Box::pin(async move {
            if let Some(until) = pause {
                sleep_until(until).await;
            }
            let response = response.await;
            head.end_request();
            if let Ok(response) = &response
                && response.extensions().get::<web::LimitExceeded>().is_some()
            {
                pace.note_refusal(Instant::now());
            }
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_headers_share_a_budget() {
        let budget = Budget::new(10_000);
        let heads: Vec<_> = (0..3).map(|_| HeaderReservation::new(budget.clone())).collect();
        for head in &heads {
            assert!(head.read(FREE_BYTES), "so much is free");
        }
        assert!(heads[0].read(6_000) && heads[1].read(4_000));
        assert!(!heads[2].read(1), "the budget is used up");
        // A complete request releases its part.
        heads[0].start_request();
        assert!(heads[0].read(1_000_000), "a body is not counted");
        assert!(heads[1].read(6_000));
        assert!(!heads[1].read(1));
        heads[0].end_request();
        assert!(
            heads[0].read(FREE_BYTES) && !heads[0].read(1),
            "the next header is counted from its beginning"
        );
        // A closed connection does, too.
        let mut heads = heads;
        drop(heads.remove(1));
        assert!(heads[0].read(9_000));
    }
}
