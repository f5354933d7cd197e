//! The health of connections, as it is stored.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use domain::audit::AuditEvent;
use domain::connection::{ClientIdentifier, Connection};
use domain::health::HealthStatus;
use domain::id::{AccountId, ConnectionId};
use domain::time::Timestamp;

use crate::{Changed, Error};

/// The health of connections.
#[async_trait]
pub trait ConnectionHealth: Send + Sync {
    /// The health of a connection. `None` if there is none, or an older version added the connection.
    async fn find_connection_health(
        &self,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<HealthRow>, Error>;
    /// The health of several connections of the account, by connection. Those that have none are left out.
    async fn list_connection_health(
        &self,
        account: &AccountId,
        ids: &[ConnectionId],
    ) -> Result<HashMap<ConnectionId, HealthRow>, Error>;
    /// Writes the health of a connection with its audit events, and releases its lease. [`Changed::No`] if the connection is
    /// gone or has other credentials than those that were checked, or its health was written meanwhile.
    async fn write_connection_health(
        &self,
        account: &AccountId,
        update: HealthUpdate,
    ) -> Result<Changed, Error>;
    /// Makes the check of a connection due in `delay` at the latest.
    async fn schedule_health_check(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        delay: Duration,
        now: Timestamp,
    ) -> Result<(), Error>;
    /// Due checks that no worker has: at most `per_account` of each account, its earliest first. Costs a search for each
    /// account.
    async fn list_due_health_checks(
        &self,
        now: Timestamp,
        per_account: u32,
    ) -> Result<Vec<DueHealthCheck>, Error>;
    /// Takes the lease of a check; `None` if its health was written meanwhile, or another worker has it.
    async fn lease_health_check(
        &self,
        account: &AccountId,
        id: &ConnectionId,
        terms: &HealthLease,
    ) -> Result<Option<HealthRow>, Error>;
    /// The account's connections with this status ordered by identifier: those after `after`, at most `limit`.
    async fn list_connections_by_health(
        &self,
        account: &AccountId,
        status: HealthStatus,
        after: Option<&ConnectionId>,
        limit: u32,
    ) -> Result<Vec<Connection>, Error>;
    /// How many connections of all accounts are not healthy; at most `most` of each are counted.
    async fn count_not_healthy_connections(&self, most: u32) -> Result<NotHealthy, Error>;
    /// Deletes the health of a connection that does not exist: an older version has deleted the connection alone.
    async fn delete_orphaned_health(&self, account: &AccountId, id: &ConnectionId) -> Result<(), Error>;
    /// Adds the health of those of the account's next `limit` connections after `after` that have none, due at once. Returns
    /// the last of these connections, or `None` if there are no more.
    async fn insert_missing_connection_health(
        &self,
        account: &AccountId,
        after: Option<&ConnectionId>,
        limit: u32,
        now: Timestamp,
    ) -> Result<Option<ConnectionId>, Error>;
}

/// The health of a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewHealth {
    /// Its status.
    pub status: HealthStatus,
    /// When Vimeo accepted its credentials, if it was asked.
    pub checked_at: Option<Timestamp>,
    /// When it is checked; `None`: never.
    pub next_check_at: Option<Timestamp>,
}

/// The stored health of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthRow {
    /// Its status.
    pub status: HealthStatus,
    /// Since when.
    pub since: Timestamp,
    /// When Vimeo was last asked.
    pub checked_at: Option<Timestamp>,
    /// When it is checked next; `None`: never.
    pub next_check_at: Option<Timestamp>,
    /// Checks in a row that Vimeo did not answer.
    pub unanswered: u32,
    /// Increases with every write.
    pub revision: u64,
    /// The application's JSON.
    pub details: Option<String>,
}

/// A write of a connection's health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthUpdate {
    /// The connection.
    pub connection_id: ConnectionId,
    /// When the secrets that were checked were sealed.
    pub sealed_version: u64,
    /// The client identifier that was checked.
    pub client_identifier: ClientIdentifier,
    /// The new row. Its revision is the one that the stored row must have.
    pub row: HealthRow,
    /// When the next check was due as it was read. If it was made due earlier since, that stays.
    pub read_next_check_at: Option<Timestamp>,
    /// The audit events.
    pub events: Vec<AuditEvent>,
}

/// A check that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueHealthCheck {
    /// The account.
    pub account_id: AccountId,
    /// The connection.
    pub connection_id: ConnectionId,
    /// The revision of its health.
    pub revision: u64,
    /// Since when it is due.
    pub due_at: Timestamp,
}

/// The terms of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthLease {
    /// The revision that the health must have.
    pub expected_revision: u64,
    /// How long the lease lasts.
    pub lasts: Duration,
    /// Now.
    pub now: Timestamp,
}

/// Connections that are not healthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotHealthy {
    /// Unhealthy ones.
    pub unhealthy: u64,
    /// Unverified ones.
    pub unverified: u64,
}
