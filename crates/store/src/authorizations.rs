//! Authorizations in the store. Every step is a compare-and-set of the version, so that of several requests one takes it.

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::authorization::{
    Authorization, AuthorizationState, BrowserTokens, FailureReason, Flow, TokenHash,
};
use domain::id::{AccountId, AuthorizationId, ConnectionId};
use domain::secret::Sealed;
use domain::time::Timestamp;

use crate::{Changed, Completion, Error};

/// An authorization as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRow {
    /// What is not sealed.
    pub authorization: Authorization,
    /// What was asked for: the application's JSON.
    pub request: String,
    /// What it led to: the application's JSON.
    pub outcome: Option<String>,
    /// The client secret and the device code; `None` if it has ended, and in lists.
    pub sealed: Option<Sealed>,
}

/// An authorization to add, and what is written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuthorization {
    /// The authorization, which no browser has started.
    pub authorization: Authorization,
    /// What is asked for.
    pub request: String,
    /// The hash of the token that opens its page.
    pub connect_hash: TokenHash,
    /// The client secret and the device code.
    pub sealed: Sealed,
    /// The audit event.
    pub event: AuditEvent,
    /// For a request with an idempotency key: its completion.
    pub completion: Option<Completion>,
}

/// An authorization's new state, and what is written in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationUpdate {
    /// The version that the stored authorization must have.
    pub expected_version: u64,
    /// The new state. If it has ended, what is sealed is wiped.
    pub authorization: Authorization,
    /// What it led to.
    pub outcome: Option<String>,
    /// The audit event; `None` if the step only reserves the next one.
    pub event: Option<AuditEvent>,
}

/// What an authorization is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationKey {
    /// Its identifier.
    Id(AuthorizationId),
    /// The hash of the token that opens its page.
    ConnectToken(TokenHash),
    /// The hash of the `state` that was sent to Vimeo last.
    State(TokenHash),
}

/// An authorization that ends without another step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueAuthorization {
    /// The account that owns it.
    pub account_id: AccountId,
    /// Its identifier.
    pub id: AuthorizationId,
}

/// Authorizations.
#[async_trait]
pub trait Authorizations: Send + Sync {
    /// Adds an authorization. [`Error::KeyNotActive`], [`Error::ReservationLost`].
    async fn insert_authorization(&self, account: &AccountId, new: NewAuthorization) -> Result<(), Error>;
    /// Replaces the state of an authorization that still has the expected version; [`Changed::No`] if it has another one, or is
    /// gone. [`Error::KeyNotActive`] if the account was deleted.
    async fn update_authorization(
        &self,
        account: &AccountId,
        update: AuthorizationUpdate,
    ) -> Result<Changed, Error>;
    /// An authorization.
    async fn find_authorization(
        &self,
        account: &AccountId,
        key: &AuthorizationKey,
    ) -> Result<Option<AuthorizationRow>, Error>;
    /// The account's authorizations, the newest first: those older than `before`, at most `limit`. Without what is sealed.
    async fn list_authorizations(
        &self,
        account: &AccountId,
        before: Option<&AuthorizationId>,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, Error>;
    /// The account's authorizations that have not ended and are not overdue, the newest first, at most `limit`. Without what is
    /// sealed.
    async fn list_open_authorizations(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AuthorizationRow>, Error>;
    /// Authorizations of all accounts that end without another step, at most `limit`.
    async fn list_overdue_authorizations(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<OverdueAuthorization>, Error>;
}

/// Where a list of authorizations starts. Every identifier sorts before `~`.
pub(crate) fn list_start(before: Option<&AuthorizationId>) -> &str {
    before.map_or("~", AuthorizationId::as_str)
}

/// The columns that an update writes.
pub(crate) struct StepColumns {
    pub(crate) version: u64,
    pub(crate) next_poll_at: Option<i64>,
    pub(crate) state: &'static str,
    pub(crate) exchanging_since: Option<i64>,
    pub(crate) connection_id: Option<String>,
    pub(crate) failure_reason: Option<&'static str>,
    pub(crate) overdue_at: Option<i64>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) state_hash: Option<[u8; 32]>,
    pub(crate) binding_hash: Option<[u8; 32]>,
}

impl StepColumns {
    pub(crate) fn of(authorization: &Authorization) -> Self {
        let (mut exchanging_since, mut connection) = (None, None);
        match &authorization.state {
            AuthorizationState::Exchanging { since, connection_id } => {
                (exchanging_since, connection) = (Some(since.as_micros()), Some(connection_id));
            }
            AuthorizationState::Completed { connection_id, .. } => connection = Some(connection_id),
            AuthorizationState::Pending
            | AuthorizationState::Started
            | AuthorizationState::Denied { .. }
            | AuthorizationState::Failed { .. }
            | AuthorizationState::Expired { .. } => {}
        }
        let failure_reason = authorization.failure().map(FailureReason::as_str);
        Self {
            version: authorization.version,
            next_poll_at: authorization.flow.next_poll_at().map(Timestamp::as_micros),
            state: authorization.state.as_str(),
            exchanging_since,
            connection_id: connection.map(ToString::to_string),
            failure_reason,
            overdue_at: authorization.overdue_at().map(Timestamp::as_micros),
            ended_at: authorization.state.ended_at().map(Timestamp::as_micros),
            state_hash: authorization.browser.map(|browser| browser.state.0),
            binding_hash: authorization.browser.map(|browser| browser.binding.0),
        }
    }
}

/// The columns of an authorization that are not sealed.
pub(crate) struct AuthorizationColumns {
    pub(crate) account_id: String,
    pub(crate) authorization_id: String,
    pub(crate) created_at: i64,
    pub(crate) expires_at: i64,
    pub(crate) version: i64,
    pub(crate) flow: String,
    pub(crate) next_poll_at: Option<i64>,
    pub(crate) state: String,
    pub(crate) exchanging_since: Option<i64>,
    pub(crate) connection_id: Option<String>,
    pub(crate) failure_reason: Option<String>,
    pub(crate) ended_at: Option<i64>,
    pub(crate) state_hash: Option<Vec<u8>>,
    pub(crate) binding_hash: Option<Vec<u8>>,
}

impl AuthorizationColumns {
    /// `Err` is the column whose value the service cannot have written.
    pub(crate) fn into_authorization(self) -> Result<Authorization, &'static str> {
        let state = self.state()?;
        let last_failure = match state {
            AuthorizationState::Failed { .. } => None,
            _ => self.failure_reason()?,
        };
        let flow = match (self.flow.as_str(), self.next_poll_at) {
            ("redirect", None) => Flow::Redirect,
            ("device", Some(at)) => Flow::Device { next_poll_at: Timestamp::from_micros(at) },
            _ => return Err("flow"),
        };
        let hash = |bytes: Vec<u8>, column| bytes.try_into().map(TokenHash).map_err(|_| column);
        let browser = match (self.state_hash, self.binding_hash) {
            (Some(state), Some(binding)) => Some(BrowserTokens {
                state: hash(state, "state_hash")?,
                binding: hash(binding, "binding_hash")?,
            }),
            (None, None) => None,
            _ => return Err("binding_hash"),
        };
        Ok(Authorization {
            id: AuthorizationId::from_stored(self.authorization_id),
            account_id: AccountId::from_stored(self.account_id),
            created_at: Timestamp::from_micros(self.created_at),
            expires_at: Timestamp::from_micros(self.expires_at),
            version: u64::try_from(self.version).map_err(|_| "version")?,
            flow,
            browser,
            state,
            last_failure,
        })
    }

    fn failure_reason(&self) -> Result<Option<FailureReason>, &'static str> {
        let reason = self.failure_reason.as_deref();
        reason.map(|text| FailureReason::from_stored(text).ok_or("failure_reason")).transpose()
    }

    fn state(&self) -> Result<AuthorizationState, &'static str> {
        let ended_at = || self.ended_at.map(Timestamp::from_micros).ok_or("ended_at");
        let connection_id =
            || self.connection_id.clone().map(ConnectionId::from_stored).ok_or("connection_id");
        Ok(match self.state.as_str() {
            "pending" => AuthorizationState::Pending,
            "started" => AuthorizationState::Started,
            "exchanging" => AuthorizationState::Exchanging {
                since: self.exchanging_since.map(Timestamp::from_micros).ok_or("exchanging_since")?,
                connection_id: connection_id()?,
            },
            "completed" => AuthorizationState::Completed { at: ended_at()?, connection_id: connection_id()? },
            "denied" => AuthorizationState::Denied { at: ended_at()? },
            "failed" => {
                let reason = self.failure_reason()?.ok_or("failure_reason")?;
                AuthorizationState::Failed { at: ended_at()?, reason }
            }
            "expired" => AuthorizationState::Expired { at: ended_at()? },
            _ => return Err("state"),
        })
    }
}
