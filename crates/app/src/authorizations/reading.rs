//! Reading authorizations.

use std::sync::Arc;

use domain::authorization::Authorization;
use domain::id::AuthorizationId;
use domain::page::PageLimit;
use store::{AuthorizationKey, AuthorizationRow};

use super::content::{AuthorizationOutcome, AuthorizationRequest, AuthorizationSecrets, DevicePrompt};
use crate::{App, Caller, Error};

/// An authorization as its account sees it. It contains no credential.
#[derive(Debug, Clone)]
pub struct ShownAuthorization {
    /// Its state.
    pub authorization: Authorization,
    /// What the person is asked for.
    pub request: AuthorizationRequest,
    /// What the person enters at Vimeo, with the device flow and until it ends. Not in lists.
    pub device: Option<DevicePrompt>,
    /// What it led to.
    pub outcome: Option<AuthorizationOutcome>,
}

/// A page of authorizations, newest first.
#[derive(Debug, Clone)]
pub struct AuthorizationPage {
    /// The authorizations.
    pub items: Vec<ShownAuthorization>,
    /// The key of the next page; `None` on the last page.
    pub next: Option<Vec<u8>>,
}

impl App {
    /// One of the caller's authorizations. If it waits for a device, Vimeo is asked for the decision, at most once within the
    /// interval that Vimeo wants. [`Error::AuthorizationNotFound`].
    pub async fn find_authorization(
        self: &Arc<Self>,
        caller: &Caller,
        id: &AuthorizationId,
    ) -> Result<ShownAuthorization, Error> {
        let key = AuthorizationKey::Id(id.clone());
        let found = self.store.find_authorization(&caller.account_id, &key).await?;
        let row = self.refresh(found.ok_or(Error::AuthorizationNotFound)?).await?;
        self.show_authorization(row).await
    }

    /// The caller's authorizations, newest first. Vimeo is not asked about them.
    pub async fn list_authorizations(
        &self,
        caller: &Caller,
        before: Option<&AuthorizationId>,
        limit: PageLimit,
    ) -> Result<AuthorizationPage, Error> {
        let account = &caller.account_id;
        // One more than the page, to see whether there is a next one.
        let mut rows = self.store.list_authorizations(account, before, limit.as_u32() + 1).await?;
        let is_last = rows.len() <= limit.as_u32() as usize;
        rows.truncate(limit.as_u32() as usize);
        let last = rows.last().filter(|_| !is_last).map(|row| &row.authorization.id);
        let next = last.map(|last| self.service_keys().encode_authorization_page_key(account, last));
        let mut items = Vec::with_capacity(rows.len());
        for row in rows {
            // What is overdue is shown as ended. A read or the sweep writes it.
            let mut shown = shown(row, None)?;
            if let Some(end) = shown.authorization.overdue(self.clock.now()) {
                shown.authorization.state = end;
            }
            items.push(shown);
        }
        Ok(AuthorizationPage { items, next })
    }

    /// The caller's authorizations that wait for their person, newest first, at most `limit`. Vimeo is not asked about them.
    pub async fn list_open_authorizations(
        &self,
        caller: &Caller,
        limit: u32,
    ) -> Result<Vec<ShownAuthorization>, Error> {
        let now = self.clock.now();
        let rows = self.store.list_open_authorizations(&caller.account_id, now, limit).await?;
        rows.into_iter().map(|row| shown(row, None)).collect()
    }

    /// The place that a page key of authorizations names; `None` if it was not issued to this account.
    pub fn read_authorization_page_key(&self, caller: &Caller, bytes: &[u8]) -> Option<AuthorizationId> {
        self.service_keys().decode_authorization_page_key(&caller.account_id, bytes)
    }

    /// The authorization after what happened meanwhile: a decision at Vimeo, or the end of its time.
    pub(super) async fn refresh(self: &Arc<Self>, row: AuthorizationRow) -> Result<AuthorizationRow, Error> {
        let row = self.end_overdue(row).await?;
        self.poll_if_due(row).await
    }

    pub(super) async fn show_authorization(
        &self,
        row: AuthorizationRow,
    ) -> Result<ShownAuthorization, Error> {
        let device = if row.authorization.flow.next_poll_at().is_some() && row.sealed.is_some() {
            let key = self.account_key(&row.authorization.account_id).await?;
            AuthorizationSecrets::open(&row, &key)?.and_then(|secrets| secrets.device)
        } else {
            None
        };
        shown(row, device.map(|(_, prompt)| prompt))
    }
}

fn shown(row: AuthorizationRow, device: Option<DevicePrompt>) -> Result<ShownAuthorization, Error> {
    Ok(ShownAuthorization {
        request: AuthorizationRequest::from_stored(&row.request)?,
        authorization: row.authorization,
        device,
        outcome: row.outcome.as_deref().and_then(AuthorizationOutcome::from_stored),
    })
}
