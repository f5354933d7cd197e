//! How much memory the beginnings of requests may take, on all connections together, until each request is whole.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use http::Request;
use tower_service::Service;

use super::ceilings::{Kind, Place};

/// What each connection may send of an unfinished header without being counted: more than an honest one has.
const FREE_BYTES: usize = 8 * 1024;

/// Memory for what is longer.
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

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::AcqRel);
    }
}

/// The unfinished header of one connection.
#[derive(Debug)]
pub(super) struct Head {
    budget: Arc<Budget>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes read since the last request.
    read: usize,
    /// Bytes of the budget.
    taken: usize,
    /// A request is being handled: what is read is its body.
    is_in_request: bool,
}

impl Head {
    pub(super) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was read; `false` if there is no room for it.
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

    fn begin_request(&self) {
        let mut state = self.state();
        self.budget.give_back(state.taken);
        *state = State { is_in_request: true, ..State::default() };
    }

    fn end_request(&self) {
        self.state().is_in_request = false;
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        let taken = self.state().taken;
        self.budget.give_back(taken);
    }
}

/// The service of a connection, which knows when its requests begin and end.
#[derive(Clone)]
pub(crate) struct Tracked<S> {
    pub(super) service: S,
    pub(super) head: Arc<Head>,
    /// Kept for as long as the connection or one of its requests lasts.
    pub(super) place: Arc<Place>,
}

impl<S, B> Service<Request<B>> for Tracked<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        self.head.begin_request();
        if self.place.kind == Kind::Reserve {
            request.extensions_mut().insert(web::OverCapacity);
        }
        let (response, head) = (self.service.call(request), self.head.clone());
        Box::pin(async move {
            let response = response.await;
            head.end_request();
            response
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_headers_share_a_budget_beyond_what_each_may_have() {
        let budget = Budget::new(10_000);
        let heads: Vec<_> = (0..3).map(|_| Head::new(budget.clone())).collect();
        for head in &heads {
            assert!(head.read(FREE_BYTES), "so much is free");
        }
        assert!(heads[0].read(6_000) && heads[1].read(4_000));
        assert!(!heads[2].read(1), "the budget is used up");
        // A request that is whole gives its part back.
        heads[0].begin_request();
        assert!(heads[0].read(1_000_000), "a body is not counted");
        assert!(heads[1].read(6_000));
        assert!(!heads[1].read(1));
        heads[0].end_request();
        assert!(
            heads[0].read(FREE_BYTES) && !heads[0].read(1),
            "the next header is counted from its beginning"
        );
        // And so does a connection that is gone.
        let mut heads = heads;
        drop(heads.remove(1));
        assert!(heads[0].read(9_000));
    }
}
