//! The audit log: auditing refused operations, reading, linking, verifying and deleting by age.

mod check;
mod heads;
mod linking;
mod pending;
mod reading;
mod retention;
mod verifying;

pub use check::{Finding, FindingKind};
pub use heads::SignedHead;
pub use linking::AuditOptions;
pub(crate) use pending::PendingAccounts;
pub use reading::AuditEventPage;
pub use verifying::VerifiedChain;

use domain::audit::{Action, Outcome};

use crate::idempotency::IdempotencyGuard;
use crate::{App, Caller, Error};

impl App {
    /// The result of an operation without an idempotency key. A refusal is audited.
    pub(crate) async fn audited<T>(
        &self,
        caller: &Caller,
        action: Action,
        subject: Option<String>,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        match result {
            Ok(value) => Ok(value),
            Err(error) => {
                let context = AuditContext { action, subject, guard: None };
                Err(self.audit_refusal(caller, context, error).await)
            }
        }
    }

    /// The ID of what a mutation concerns. A malformed one, of which nothing can exist, is refused and audited like an unknown
    /// one, but without a subject: it may be an API key that was pasted there.
    pub async fn well_formed<T>(
        &self,
        caller: &Caller,
        action: Action,
        id: Option<T>,
        unknown: Error,
    ) -> Result<T, Error> {
        self.audited(caller, action, None, id.ok_or(unknown)).await
    }

    /// Ends a failed operation: releases its idempotency key, and writes an audit event if the error is audited. Returns
    /// the error, or that of the audit write.
    ///
    /// The writes run in a task of their own, so that they finish even if the client disconnects.
    pub(crate) async fn audit_refusal(&self, caller: &Caller, context: AuditContext, error: Error) -> Error {
        let AuditContext { action, subject, mut guard } = context;
        let event = error.audit_code().map(|code| {
            let mut event = self.audit_event(&caller.account_id, caller.actor.clone(), action, subject);
            event.outcome = Outcome::Refused(code.to_owned());
            event
        });
        // If the outcome is unknown, the key stays reserved until the reservation expires.
        if let Some(guard) = guard.as_mut().filter(|_| matches!(error, Error::OutcomeUnknown)) {
            guard.disarm();
        }
        if event.is_none() && guard.is_none() {
            return error;
        }
        let (store, account) = (self.store.clone(), caller.account_id.clone());
        let writes = self.tasks.spawn(async move {
            if let Some(guard) = guard {
                guard.release().await;
            }
            match event {
                Some(event) => store.insert_audit_event(&account, &event).await,
                None => Ok(()),
            }
        });
        match writes.await {
            Ok(Ok(())) => error,
            // An error that could not be audited is not returned.
            Ok(Err(audit)) => audit.into(),
            Err(failed) => Error::Internal(Box::new(failed)),
        }
    }
}

/// The operation that an audit event is about.
pub(crate) struct AuditContext {
    pub(crate) action: Action,
    /// The record, if it is known.
    pub(crate) subject: Option<String>,
    /// The idempotency key that the operation holds.
    pub(crate) guard: Option<IdempotencyGuard>,
}
