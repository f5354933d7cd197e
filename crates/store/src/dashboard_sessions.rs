//! Sessions of the dashboard in the store. A sign-in link is a session that has not started.

use async_trait::async_trait;
use domain::account::Label;
use domain::audit::AuditEvent;
use domain::id::{AccountId, ApiKeyId, SessionId};
use domain::limits::LimitOverrides;
use domain::scope::Scopes;
use domain::session::{HashedToken, Role, Session, SessionRow, SessionState, SignInMethod};
use domain::time::Timestamp;

use crate::{Changed, Error, Expired};

/// A session that was found by its identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSession {
    /// Its row.
    pub row: SessionRow,
    /// The name of its account.
    pub account_name: Label,
    /// The limits that are set for its account.
    pub limits: LimitOverrides,
    /// The instant of the lookup.
    pub read_at: Timestamp,
}

/// Sessions of the dashboard.
#[async_trait]
pub trait DashboardSessions: Send + Sync {
    /// Adds a session or a sign-in link by an actor who may act. [`Error::NameTaken`]: there is one with this identifier.
    async fn insert_dashboard_session(
        &self,
        account: &AccountId,
        row: &SessionRow,
        event: &AuditEvent,
    ) -> Result<(), Error>;
    /// The session with this identifier, in any state.
    async fn find_dashboard_session(
        &self,
        account: &AccountId,
        id: &SessionId,
        now: Timestamp,
    ) -> Result<Option<FoundSession>, Error>;
    /// Sessions and links that have neither ended nor expired, newest first, at most `limit`.
    async fn list_dashboard_sessions(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<SessionRow>, Error>;
    /// Replaces a session whose stored MAC is still the expected one.
    async fn update_dashboard_session(
        &self,
        account: &AccountId,
        update: SessionUpdate,
        event: &AuditEvent,
    ) -> Result<Changed, Error>;
    /// Stores when a session was last used, unless a later request is stored.
    async fn touch_dashboard_session(
        &self,
        account: &AccountId,
        id: &SessionId,
        at: Timestamp,
    ) -> Result<(), Error>;
    /// Deletes sessions that expired that long ago. Returns how many.
    async fn delete_expired_dashboard_sessions(&self, expired: &Expired) -> Result<usize, Error>;
}

/// A session's new row.
#[derive(Debug, Clone)]
pub struct SessionUpdate {
    /// The MAC of the row that the change is based on.
    pub expected: [u8; 32],
    /// The row as it becomes.
    pub row: SessionRow,
}

/// A row as both engines read it.
pub(crate) struct SessionColumns {
    pub(crate) account_id: String,
    pub(crate) session_id: String,
    pub(crate) state: String,
    pub(crate) method: String,
    pub(crate) api_key_id: Option<String>,
    pub(crate) person: String,
    pub(crate) role: Option<String>,
    pub(crate) scopes: String,
    pub(crate) created_at: Timestamp,
    pub(crate) authenticated_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_seen_at: Timestamp,
    pub(crate) remote: Option<String>,
    pub(crate) user_agent: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) token_hash: [u8; 32],
    pub(crate) row_mac: [u8; 32],
}

impl SessionColumns {
    /// The row; the name of the column whose value the service does not write.
    pub(crate) fn into_row(self) -> Result<SessionRow, &'static str> {
        let key_id = self.api_key_id.map(ApiKeyId::from_stored);
        let role = self.role.as_deref().map(Role::parse).transpose().map_err(|_| "role")?;
        let session = Session {
            id: SessionId::from_stored(self.session_id),
            account_id: AccountId::from_stored(self.account_id),
            state: SessionState::from_stored(&self.state).ok_or("state")?,
            method: SignInMethod::from_stored(&self.method, key_id).ok_or("method")?,
            person: Label::from_stored(self.person),
            role,
            scopes: Scopes::from_stored(&self.scopes),
            created_at: self.created_at,
            authenticated_at: self.authenticated_at,
            expires_at: self.expires_at,
            last_seen_at: self.last_seen_at,
            remote: self.remote,
            user_agent: self.user_agent,
            subject: self.subject,
        };
        Ok(SessionRow { session, token: HashedToken(self.token_hash), mac: self.row_mac })
    }
}
