//! What the operations and the upload worker share: the store, the keys, the clock and the sources of identifiers.

use std::sync::{Arc, Mutex, PoisonError};

use domain::account::Account;
use domain::audit::{Action, Actor, AuditEvent, Outcome};
use domain::id::{AccountId, AscendingId, AscendingIds};
use domain::job::Job;
use domain::secret::KeyringKeyId;
use seal::Randomness;
use store::Store;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::audit::PendingAccounts;
use crate::cache::SingleFlightCache;
use crate::health::HealthChecks;
use crate::keyring::{CurrentKeyring, CurrentServiceKeys};
use crate::rate_limits::RateLimits;
use crate::webhooks::Announcer;
use crate::{Clock, Error};

/// What operations and the worker need to act for an account.
pub struct Context {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) keyring: CurrentKeyring,
    pub(crate) service_keys: CurrentServiceKeys,
    pub(crate) clock: Clock,
    pub(crate) randomness: Randomness,
    pub(crate) ids: Mutex<AscendingIds>,
    pub(crate) accounts: SingleFlightCache<AccountId, Account>,
    /// How events are announced to webhook endpoints.
    pub(crate) announcer: Announcer,
    /// Accounts whose audit events are to be linked.
    pub(crate) pending: PendingAccounts,
    /// What checks of connections need; `None` in a process that cannot ask Vimeo.
    pub(crate) health: Option<Arc<HealthChecks>>,
    /// The rate limits of tokens.
    pub(crate) rate_limits: Arc<RateLimits>,
    /// Wakes the upload worker: a job may be due.
    pub(crate) upload_wakeup: Arc<Notify>,
    /// Work that continues after its request. A shutdown waits for it.
    pub(crate) tasks: TaskTracker,
}

impl Context {
    pub(crate) fn next_id(&self) -> AscendingId {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.make(self.clock.now(), self.randomness.identifier_bytes())
    }

    /// The audit event of a successful operation, to be written in the same transaction.
    pub(crate) fn audit_event(
        &self,
        account_id: &AccountId,
        actor: Actor,
        action: Action,
        subject: Option<String>,
    ) -> AuditEvent {
        let (id, now) = (self.next_id(), self.clock.now());
        self.pending.mark(account_id, now);
        AuditEvent {
            // Filters by time go by the identifier.
            at: now.max(id.at()),
            id: id.into_audit_event_id(),
            account_id: account_id.clone(),
            actor,
            action,
            subject,
            outcome: Outcome::Done,
            announcement: None,
        }
    }

    /// The account, which may have been deleted since its API key was verified.
    pub(crate) async fn account(&self, account: &AccountId) -> Result<Account, Error> {
        let found = self.accounts.find(account, async || Ok(self.store.find_account(account).await?)).await?;
        Ok(found.ok_or(Error::Unauthorized)?.value)
    }

    /// The keyring key that wraps the keys of new accounts.
    pub(crate) async fn active_keyring_key(&self) -> Result<KeyringKeyId, Error> {
        let secrets = self.store.find_service_secrets().await?;
        let primary = || self.keyring.get().primary_id().clone();
        Ok(secrets.map_or_else(primary, |secrets| secrets.current.wrapped.keyring_key))
    }

    /// The MAC of a job's row.
    pub(crate) fn mac_job(&self, job: &Job) -> Vec<u8> {
        self.service_keys().mac_job(&store::authenticated_bytes(job)).to_vec()
    }

    /// Verifies the MAC of a job's row.
    pub(crate) async fn verify_job(&self, job: &Job, row_mac: &[u8]) -> Result<bool, Error> {
        Ok(self.fresh_service_keys().await?.verify_job(&store::authenticated_bytes(job), row_mac))
    }
}
