//! Reading the audit log.

use domain::audit::{AuditFilter, AuditRecord};
use domain::id::{AccountId, AuditEventId};
use domain::page::PageLimit;
use store::AuditPage;

use crate::{App, Caller, Error};

/// A page of audit events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEventPage {
    /// The events, newest first. A selective filter may leave a page short or empty that is not the last.
    pub items: Vec<AuditRecord>,
    /// The page key of the next page.
    pub next: Option<Vec<u8>>,
}

impl App {
    /// The caller's audit events, newest first.
    pub async fn list_audit_events(
        &self,
        caller: &Caller,
        filter: &AuditFilter,
        limit: PageLimit,
    ) -> Result<AuditEventPage, Error> {
        let account = &caller.account_id;
        let page = self.store.list_audit_events(account, filter, limit.as_u32()).await?;
        let next = page.next.map(|next| self.service_keys().encode_audit_page_key(account, &next));
        Ok(AuditEventPage { items: page.events, next })
    }

    /// Decodes a page key of audit events; `None` if it was not issued to this account.
    pub fn read_audit_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<AuditEventId> {
        self.service_keys().decode_audit_page_key(&caller.account_id, bytes)
    }

    /// Whether an account exists, or has existed: it has a chain or audit events.
    pub async fn has_audit_events(&self, account: &AccountId) -> Result<bool, Error> {
        if self.store.find_account(account).await?.is_some()
            || self.store.find_audit_chain(account).await?.is_some()
        {
            return Ok(true);
        }
        let page = self.store.list_audit_events(account, &AuditFilter::default(), 1).await?;
        Ok(!page.events.is_empty())
    }

    /// The next events of an export, newest first, for an account that may have been deleted. The caller passes the `next`
    /// of a page as the filter's `before_id`.
    pub async fn export_audit_events(
        &self,
        account: &AccountId,
        filter: &AuditFilter,
        limit: PageLimit,
    ) -> Result<AuditPage, Error> {
        Ok(self.store.list_audit_events(account, filter, limit.as_u32()).await?)
    }
}
