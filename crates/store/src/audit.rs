//! The audit log and the chain that links its events, as the engines keep them.

use async_trait::async_trait;
use domain::audit::{AuditChain, AuditEvent, AuditFilter, AuditLink, AuditRecord};
use domain::id::{AccountId, AuditEventId};

use crate::{Changed, Error};

/// How many events a page with a selective filter reads at most.
pub(crate) const SCAN_MAX: u32 = 10_000;

/// The audit log, and the chain that links its events.
#[async_trait]
pub trait Audit: Send + Sync {
    /// Adds an audit event without another write: a refusal.
    async fn insert_audit_event(&self, account: &AccountId, event: &AuditEvent) -> Result<(), Error>;
    /// A page of the account's audit events, newest first. With a selective filter a bounded number of events is read, so
    /// that a page may be short, or empty, and yet not be the last.
    async fn list_audit_events(
        &self,
        account: &AccountId,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<AuditPage, Error>;
    /// Of the next `limit` accounts after `after`, also deleted ones, those that have events to link.
    async fn list_unlinked_accounts(
        &self,
        after: Option<&AccountId>,
        horizons: &LinkHorizons,
        limit: u32,
    ) -> Result<UnlinkedAccounts, Error>;
    /// The account's events that are not linked, oldest first: those from `first`, before `end`, at most `limit`.
    async fn list_unlinked_audit_events(
        &self,
        account: &AccountId,
        first: &AuditEventId,
        end: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditRecord>, Error>;
    /// The state of the account's chain.
    async fn find_audit_chain(&self, account: &AccountId) -> Result<Option<AuditChain>, Error>;
    /// The chains of all accounts, also of deleted ones: those after `after`, at most `limit`.
    async fn list_audit_chains(
        &self,
        after: Option<&AccountId>,
        limit: u32,
    ) -> Result<Vec<AuditChain>, Error>;
    /// Writes a chain's row with what belongs to it; [`Changed::No`] if another node wrote it first.
    async fn write_audit_chain(&self, account: &AccountId, write: AuditChainWrite) -> Result<Changed, Error>;
    /// The account's links with their events, ordered by event: those after `after`, at most `limit`.
    async fn list_audit_links(
        &self,
        account: &AccountId,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditLinkRow>, Error>;
    /// The identifiers of the account's events in order, and whether each is linked: those after `after`, at most `limit`.
    async fn list_audit_event_ids(
        &self,
        account: &AccountId,
        after: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<(AuditEventId, bool)>, Error>;
    /// The links of events before `end` at the `limit` positions after `position`, in no particular order.
    async fn list_audit_links_after(
        &self,
        account: &AccountId,
        position: u64,
        end: &AuditEventId,
        limit: u32,
    ) -> Result<Vec<AuditLink>, Error>;
}

/// A page of audit events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// The events, newest first.
    pub events: Vec<AuditRecord>,
    /// The next page has the events before this one; `None` on the last page.
    pub next: Option<AuditEventId>,
}

/// Which events are to be linked. Both instants are the first identifiers of their millisecond.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkHorizons {
    /// Events before this are linked.
    pub settled: AuditEventId,
    /// Events before this are not waited for any longer.
    pub late: AuditEventId,
}

/// Some accounts, of which few have events to link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnlinkedAccounts {
    /// Those that have.
    pub accounts: Vec<AccountId>,
    /// The last account that was visited; `None` if there was none.
    pub last: Option<AccountId>,
}

/// A chain's new row, and what is written with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChainWrite {
    /// The version that the stored row must have; 0 if there must be none.
    pub expected_version: u64,
    /// The new row.
    pub chain: AuditChain,
    /// Links to add.
    pub links: Vec<AuditLink>,
    /// Events to delete with their links.
    pub deleted: Vec<AuditEventId>,
}

/// A link and its event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLinkRow {
    /// The link.
    pub link: AuditLink,
    /// The event; `None` if it was removed.
    pub event: Option<AuditRecord>,
}

/// A page of up to `limit` events, of which one more was asked for. `last_scanned` returns where a page ends that is short
/// because too many events were left out.
pub(crate) fn page<E>(
    mut events: Vec<AuditRecord>,
    limit: u32,
    last_scanned: impl FnOnce() -> Result<Option<AuditEventId>, E>,
) -> Result<AuditPage, E> {
    let limit = limit as usize;
    if events.len() > limit {
        events.truncate(limit);
        let next = events.last().map(|event| event.id.clone());
        return Ok(AuditPage { events, next });
    }
    let next = last_scanned()?;
    Ok(AuditPage { events, next })
}
