//! Idempotent requests: a key is reserved, then completed together with the effect, or released without one.

use std::sync::Arc;

use domain::audit::Action;
use domain::id::{AccountId, ConnectionId};
use domain::idempotency::{
    IdempotencyKey, Operation, OperationId, Reservation, ReserveRequest, Reserved, StoredResponse,
};
use store::{Completion, Counted, Store};
use tokio_util::task::TaskTracker;

use crate::audit::AuditContext;
use crate::limits::usage::Place;
use crate::{App, Caller, Clock, Error};

/// The idempotency of a request: its key, and how its response is stored.
pub struct IdempotentRequest<'a, T> {
    /// The client's key.
    pub key: IdempotencyKey,
    /// The request's body, byte for byte.
    pub body: &'a [u8],
    /// Renders the response, which is stored together with the effect.
    pub present: &'a (dyn Fn(&T) -> StoredResponse + Send + Sync),
}

/// The result of an operation that may be repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<T> {
    /// The operation was executed.
    Fresh(T),
    /// It was executed by an earlier request with the same key, which got this response.
    Replayed(StoredResponse),
}

/// The result of claiming a key.
enum Claim {
    /// The caller executes the request.
    Acquired(IdempotencyGuard),
    /// The response of an earlier request.
    Replay(StoredResponse),
}

/// A reserved key. Dropping the guard (the client disconnected) releases the key; if the effect was written by then, the
/// release has no effect.
pub(crate) struct IdempotencyGuard {
    store: Arc<dyn Store>,
    clock: Clock,
    tasks: TaskTracker,
    account: AccountId,
    reservation: Option<Reservation>,
}

/// What a request creates. A refusal is audited with the connection, if the path names one.
#[derive(Debug)]
pub(crate) struct Creation {
    pub(crate) operation: Operation,
    pub(crate) connection: Option<ConnectionId>,
}

impl Creation {
    /// An upload through the connection that a path names.
    pub(crate) fn upload(connection: &str) -> Self {
        Self { operation: Operation::CreateUpload, connection: ConnectionId::parse(connection) }
    }
}

impl App {
    /// Executes an operation once per idempotency key, or each time if the request has none. Beside the key, `request` has
    /// the content that a repeated request must share with the first. `execute` stores the guard's completion in the
    /// transaction of the effect. An error releases the key and is audited.
    pub(crate) async fn idempotent<T>(
        &self,
        caller: &Caller,
        creation: Creation,
        request: Option<(&IdempotencyKey, impl AsRef<[u8]>)>,
        execute: impl AsyncFnOnce(Option<&IdempotencyGuard>) -> Result<T, Error>,
    ) -> Result<Outcome<T>, Error> {
        let Creation { operation, connection } = creation;
        let mut guard = None;
        let outcome = async {
            if let Some((key, content)) = request {
                match self.claim(caller, operation, key, content.as_ref()).await? {
                    Claim::Acquired(acquired) => guard = Some(acquired),
                    Claim::Replay(response) => return Ok(Outcome::Replayed(response)),
                }
            }
            execute(guard.as_ref()).await.map(Outcome::Fresh)
        };
        match outcome.await {
            Ok(outcome) => {
                if let Some(guard) = &mut guard {
                    guard.disarm();
                }
                Ok(outcome)
            }
            Err(error) => {
                let action = match operation {
                    Operation::CreateConnection => Action::CreateConnection,
                    Operation::CreateUpload => Action::CreateUpload,
                    Operation::CreateWebhookEndpoint => Action::CreateWebhookEndpoint,
                    Operation::CreateAuthorization => Action::CreateAuthorization,
                };
                let subject = connection.map(|id| id.to_string());
                let context = AuditContext { action, subject, guard };
                Err(self.audit_refusal(caller, context, error).await)
            }
        }
    }

    async fn claim(
        &self,
        caller: &Caller,
        operation: Operation,
        key: &IdempotencyKey,
        content: &[u8],
    ) -> Result<Claim, Error> {
        let place = self.reserve_record(caller, operation, key).await?;
        let mut macs = self.service_keys().hash_request_body(&caller.account_id, operation, content);
        // The current one; there is always one.
        let mac = macs.remove(0);
        let operation_id = OperationId(self.randomness.bytes());
        let request = ReserveRequest {
            operation_id,
            operation,
            key: key.clone(),
            mac,
            other_macs: macs,
            at: self.clock.now(),
        };
        let (store, clock, tasks) = (self.store.clone(), self.clock.clone(), self.tasks.clone());
        let account = caller.account_id.clone();
        // In a task of its own: if the client disconnects meanwhile, the guard is dropped there, which releases the key.
        let claiming = self.tasks.spawn(async move {
            let reserved = match store.reserve_idempotency_key(&account, &request).await {
                Ok(Reserved::Acquired(reservation)) => Ok(reservation),
                Ok(Reserved::InProgress) => Err(Error::IdempotencyKeyInUse),
                Ok(Reserved::BodyMismatch) => Err(Error::IdempotencyKeyReused),
                Ok(Reserved::Completed(response)) => {
                    place.into_iter().for_each(Place::withdraw);
                    return Ok(Claim::Replay(response));
                }
                Err(error) => Err(error.into()),
            };
            // Only a key that was acquired has a new record, or takes over one that has ended.
            let reservation = Some(match place {
                Some(place) => place.settle(reserved)?,
                None => reserved?,
            });
            Ok::<_, Error>(Claim::Acquired(IdempotencyGuard { store, clock, tasks, account, reservation }))
        });
        let claim = claiming.await.map_err(|error| Error::Internal(Box::new(error)))??;
        match (claim, operation) {
            (claim, Operation::CreateConnection) | (claim @ Claim::Acquired(_), _) => Ok(claim),
            (Claim::Replay(response), _) => {
                self.open_answer(&caller.account_id, key, &response).await.map(Claim::Replay)
            }
        }
    }

    /// Reserves a place for the record of a key. A key that has a record needs none: its request may be a repetition.
    async fn reserve_record(
        &self,
        caller: &Caller,
        operation: Operation,
        key: &IdempotencyKey,
    ) -> Result<Option<Place>, Error> {
        let (account, limit) = (&caller.account_id, caller.limits.idempotency_records);
        match self.usage.reserve(&*self.store, account, Counted::IdempotencyRecords, limit).await {
            Err(error @ Error::LimitReached { .. }) => {
                let is_known = self.store.has_idempotency_record(account, operation, key).await?;
                if is_known { Ok(None) } else { Err(error) }
            }
            reserved => reserved.map(Some),
        }
    }
}

impl IdempotencyGuard {
    /// The completion of the request, to be written in the transaction of its effect.
    pub(crate) fn completion(&self, answer: StoredResponse) -> Option<Completion> {
        let reservation = self.reservation.clone()?;
        Some(Completion { reservation, answer, at: self.clock.now() })
    }

    /// Keeps the key from being released: the effect was written, or may have been.
    pub(crate) fn disarm(&mut self) {
        self.reservation = None;
    }

    /// Releases the key: there was no effect, and the client may retry at once.
    pub(crate) async fn release(mut self) {
        if let Some(releasing) = self.start_release() {
            releasing.await;
        }
    }

    /// The release of the key, unless the guard is disarmed. The store executes it after the request's own writes.
    fn start_release(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
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

impl Drop for IdempotencyGuard {
    fn drop(&mut self) {
        if let Some(releasing) = self.start_release() {
            self.tasks.spawn(releasing);
        }
    }
}
