//! Signing rows again with the current service secret.

use domain::api_key::{ApiKeyRow, RowMac};
use domain::id::{AccountId, ApiKeyId, DeliveryId, SessionId};
use domain::job::JobId;
use seal::service::ServiceKeys;
use store::{RowMacUpdate, SignedKind, SignedMessage};

use super::rewrap::{Pace, RewrapError, WorkLease};
use crate::{App, Error};

/// What one pass over all rows with a MAC has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct SigningPass {
    /// The number of rows that the former secret had signed and the current one has now.
    pub(super) signed: u64,
    /// The number of rows that had changed meanwhile.
    pub(super) changed: u64,
    /// The number of rows that no secret has signed. They are refused as before.
    pub(super) foreign: u64,
}

/// What a row's MAC is.
enum Signature {
    /// By the current secret, or the row is gone.
    Current,
    /// By the former one.
    Former { mac: Vec<u8>, new: [u8; 32] },
    /// By none.
    Foreign,
}

impl Signature {
    fn of(mac: &[u8], new: [u8; 32], is_authentic: bool) -> Self {
        if mac == new {
            return Self::Current;
        }
        if is_authentic { Self::Former { mac: mac.to_vec(), new } } else { Self::Foreign }
    }
}

impl App {
    /// Visits all rows that have a MAC. The lease is kept meanwhile.
    pub(super) async fn sign_rows_again(
        &self,
        keys: &ServiceKeys,
        (lease, pace): (&WorkLease<'_>, Pace),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<SigningPass, RewrapError> {
        let mut pass = SigningPass::default();
        // Chains outlive their accounts.
        let chains = self.list_audit_chains(None).await?;
        let mut accounts: Vec<_> = chains.into_iter().map(|chain| chain.account_id).collect();
        accounts.extend(self.store.list_account_ids().await.map_err(Error::from)?);
        accounts.sort_unstable();
        accounts.dedup();
        for account in &accounts {
            for kind in SignedKind::ALL {
                let mut after = String::new();
                loop {
                    let found = self.store.list_signed_records(account, kind, &after, pace.piece()).await;
                    let found = found.map_err(Error::from)?;
                    let Some(last) = found.last() else { break };
                    after.clone_from(last);
                    let updates = self.updates_of(keys, account, (kind, &found), &mut pass).await?;
                    let mut written = 0;
                    if !updates.is_empty() {
                        let replaced = self.store.replace_row_macs(account, kind, &updates).await;
                        written = replaced.map_err(Error::from)?;
                    }
                    pass.signed += written as u64;
                    pass.changed += (updates.len() - written) as u64;
                    progress(pass.signed);
                    // A row that is only read costs less than one that is written.
                    lease.renew_after(pace.pause(updates.len() + found.len() / 10)).await?;
                }
            }
        }
        Ok(pass)
    }

    async fn updates_of(
        &self,
        keys: &ServiceKeys,
        account: &AccountId,
        (kind, records): (SignedKind, &[String]),
        pass: &mut SigningPass,
    ) -> Result<Vec<RowMacUpdate>, Error> {
        let mut updates = Vec::new();
        for record in records {
            match self.signature_of(keys, account, kind, record).await? {
                Signature::Current => {}
                Signature::Former { mac, new } => {
                    updates.push(RowMacUpdate { record: record.clone(), expected: mac, mac: new });
                }
                Signature::Foreign => {
                    pass.foreign += 1;
                    tracing::warn!(
                        %account,
                        ?kind,
                        record,
                        "a row was not written by this service, or was changed since: it is not signed again, and not accepted"
                    );
                }
            }
        }
        Ok(updates)
    }

    async fn signature_of(
        &self,
        keys: &ServiceKeys,
        account: &AccountId,
        kind: SignedKind,
        record: &str,
    ) -> Result<Signature, Error> {
        let id = || record.to_owned();
        let found = match kind {
            SignedKind::ApiKey => {
                let row = self.store.find_api_key(&ApiKeyId::from_stored(id())).await?;
                row.map(|ApiKeyRow { key, hash, mac }| {
                    let RowMac(new) = keys.mac_api_key(&key, &hash);
                    Signature::of(&mac.0, new, keys.verify_api_key(&key, &hash, &mac))
                })
            }
            SignedKind::Session => {
                let id = SessionId::from_stored(id());
                let found = self.store.find_dashboard_session(account, &id, self.clock.now()).await?;
                found.map(|found| {
                    let new = keys.mac_session(&found.row.session, &found.row.token);
                    Signature::of(&found.row.mac, new, keys.verify_session(&found.row))
                })
            }
            SignedKind::Job => {
                let Some(id) = JobId::parse(record) else { return Ok(Signature::Foreign) };
                let found = self.store.find_stored_job(account, &id).await?;
                found.and_then(|found| {
                    let (bytes, mac) = (store::authenticated_bytes(&found.job), found.row_mac?);
                    Some(Signature::of(&mac, keys.mac_job(&bytes), keys.verify_job(&bytes, &mac)))
                })
            }
            SignedKind::WebhookMessage => {
                let id = DeliveryId::from_stored(id());
                let found = self.store.find_signed_message(account, &id).await?;
                found.map(|SignedMessage { event_id, event_type, body, mac }| {
                    let message = [&*event_id, &*event_type, &*body];
                    let new = keys.mac_webhook_message(account, message);
                    Signature::of(&mac, new, keys.verify_webhook_message(account, message, &mac))
                })
            }
            SignedKind::AuditChain => self.store.find_audit_chain(account).await?.map(|chain| {
                let new = keys.mac_audit_chain(&chain);
                Signature::of(&chain.row_mac, new, keys.verify_audit_chain(&chain))
            }),
        };
        Ok(found.unwrap_or(Signature::Current))
    }
}
