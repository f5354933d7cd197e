//! Making audit events.

use domain::audit::{Action, Actor, AuditEvent, Outcome};
use domain::id::AccountId;

use crate::{App, Caller, Error};

impl App {
    /// An event of something that is done in the same transaction.
    pub(crate) fn done(
        &self,
        account_id: &AccountId,
        actor: Actor,
        action: Action,
        subject: Option<String>,
    ) -> AuditEvent {
        AuditEvent {
            id: self.next_id().into_audit_event_id(),
            account_id: account_id.clone(),
            at: self.clock.now(),
            actor,
            action,
            subject,
            outcome: Outcome::Done,
        }
    }

    /// Writes down that a mutation was refused, if this error is a refusal, and gives the error back.
    pub(crate) async fn audit_refusal(
        &self,
        caller: &Caller,
        action: Action,
        subject: Option<String>,
        error: Error,
    ) -> Error {
        let Some(code) = error.refusal() else { return error };
        let mut event = self.done(&caller.account_id, caller.actor.clone(), action, subject);
        event.outcome = Outcome::Refused(code.to_owned());
        match self.store.insert_audit_event(&caller.account_id, &event).await {
            Ok(()) => error,
            // A refusal that could not be written down is no answer yet.
            Err(audit) => audit.into(),
        }
    }
}
