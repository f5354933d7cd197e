//! Making audit events.

use domain::audit::{Action, Outcome};

use crate::idempotency::Held;
use crate::{App, Caller, Error};

impl App {
    /// Ends an attempt that was refused: gives its idempotency key back, writes the refusal down if it is one for the
    /// audit log, and gives the error back.
    ///
    /// In a task of its own, because whoever hangs up in the middle neither keeps the key nor escapes the log.
    pub(crate) async fn refuse(&self, caller: &Caller, attempt: Attempt, error: Error) -> Error {
        let Attempt { action, subject, mut held } = attempt;
        let event = error.audit_code().map(|code| {
            let mut event = self.audit_event(&caller.account_id, caller.actor.clone(), action, subject);
            event.outcome = Outcome::Refused(code.to_owned());
            event
        });
        // Where nobody knows what became of it, the key stays reserved for its time.
        if let Some(held) = held.as_mut().filter(|_| matches!(error, Error::OutcomeUnknown)) {
            held.forget();
        }
        if event.is_none() && held.is_none() {
            return error;
        }
        let (store, account) = (self.store.clone(), caller.account_id.clone());
        let ending = self.tasks.spawn(async move {
            if let Some(held) = held {
                held.give_back().await;
            }
            match event {
                Some(event) => store.insert_audit_event(&account, &event).await,
                None => Ok(()),
            }
        });
        match ending.await {
            Ok(Ok(())) => error,
            // A refusal that could not be written down is no answer yet.
            Ok(Err(audit)) => audit.into(),
            Err(failed) => Error::Internal(Box::new(failed)),
        }
    }
}

/// A mutation that was begun.
pub(crate) struct Attempt {
    /// What was tried.
    pub(crate) action: Action,
    /// On which record, if that is known.
    pub(crate) subject: Option<String>,
    /// The idempotency key that it holds, if it holds one.
    pub(crate) held: Option<Held>,
}
