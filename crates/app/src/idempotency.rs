//! Requests that may be sent again: the key is reserved, and given back or completed.

use std::sync::Arc;

use domain::id::AccountId;
use domain::idempotency::{
    IdempotencyKey, Operation, OperationId, Reservation, ReserveRequest, Reserved, StoredResponse,
};
use store::{Completion, Store};
use tokio_util::task::TaskTracker;

use crate::{App, Caller, Clock, Error};

/// How many records are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: u32 = 1_000;

/// A wish that something be done once, however often it is asked for.
pub struct Once<'a, T> {
    /// What the client calls the request.
    pub key: IdempotencyKey,
    /// The request's body, as it came.
    pub body: &'a [u8],
    /// How the first answer will look, to be kept together with the effect.
    pub present: &'a (dyn Fn(&T) -> StoredResponse + Send + Sync),
}

/// What became of a request that may be sent again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It was done now.
    Done(T),
    /// It was done before, and answered so.
    Repeated(StoredResponse),
}

/// What a reserved key leads to.
pub(crate) enum Turn {
    /// It is ours to do it.
    Ours(Held),
    /// It was done before.
    Before(StoredResponse),
}

/// A reserved key. Dropped (the client hung up), it is given back; if the effect was written by then, that is kept.
pub(crate) struct Held {
    store: Arc<dyn Store>,
    clock: Clock,
    tasks: TaskTracker,
    account: AccountId,
    reservation: Option<Reservation>,
}

impl App {
    /// Reserves the key of a request.
    pub(crate) async fn reserve(
        &self,
        caller: &Caller,
        operation: Operation,
        key: &IdempotencyKey,
        body: &[u8],
    ) -> Result<Turn, Error> {
        let account = &caller.account_id;
        let mac = self.service_keys.hash_request_body(account, operation, body);
        let operation_id = OperationId(self.randomness.bytes());
        let request = ReserveRequest { operation_id, operation, key: key.clone(), mac, at: self.clock.now() };
        let (store, clock, tasks) = (self.store.clone(), self.clock.clone(), self.tasks.clone());
        let account = account.clone();
        // In a task of its own: when the client hangs up in the middle, what was reserved is dropped there, and so
        // given back.
        let reserving = self.tasks.spawn(async move {
            let reserved = store.reserve_idempotency_key(&account, &request).await;
            reserved.map(|reserved| match reserved {
                Reserved::Acquired(reservation) => {
                    let reservation = Some(reservation);
                    Ok(Turn::Ours(Held { store, clock, tasks, account, reservation }))
                }
                Reserved::InProgress => Err(Error::IdempotencyKeyInUse),
                Reserved::BodyMismatch => Err(Error::IdempotencyKeyReused),
                Reserved::Completed(answer) => Ok(Turn::Before(answer)),
            })
        });
        reserving.await.map_err(|error| Error::Internal(Box::new(error)))??
    }

    /// Forgets the answers that were kept for long enough; how many there were.
    pub async fn forget_answers(&self) -> Result<usize, Error> {
        let mut forgotten = 0;
        loop {
            let part = self.store.delete_idempotency_records(self.clock.now(), FORGOTTEN_AT_ONCE).await?;
            forgotten += part;
            if part < FORGOTTEN_AT_ONCE as usize {
                return Ok(forgotten);
            }
        }
    }
}

impl Held {
    /// What is written together with the effect, so that a repetition is answered alike.
    pub(crate) fn completion(&self, answer: StoredResponse) -> Option<Completion> {
        let reservation = self.reservation.clone()?;
        Some(Completion { reservation, answer, at: self.clock.now() })
    }

    /// The key is not to be given back: the effect was written, or nobody knows whether it was.
    pub(crate) fn forget(&mut self) {
        self.reservation = None;
    }

    /// There was no effect: the client may try again as soon as this is done.
    pub(crate) async fn give_back(mut self) {
        if let Some(release) = self.release() {
            release.await;
        }
    }

    /// What gives the key back, if it is still held; behind whatever the request has written.
    fn release(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let reservation = self.reservation.take()?;
        let (store, account, at) = (self.store.clone(), self.account.clone(), self.clock.now());
        Some(async move {
            if let Err(error) = store.release_idempotency_key(&account, &reservation, at).await {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(error, "an idempotency key could not be released; it expires automatically");
            }
        })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(release) = self.release() {
            self.tasks.spawn(release);
        }
    }
}
