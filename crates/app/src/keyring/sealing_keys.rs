//! Wrapping the keys of what is sealed for an account with the account's current key.

use domain::id::AccountId;
use seal::envelope::{AccountKey, AssociatedData, Purpose, Rewrapped};
use store::{SealedKind, SealingKey, SealingKeyUpdate};

use super::rewrap::{Pace, RewrapError, WorkLease};
use crate::uploads::REQUEST_VERSIONS;
use crate::{App, Error};

/// What one pass over everything that is sealed for an account has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pass {
    /// The number of keys that were wrapped with the former key and are no longer.
    pub(super) rewrapped: u64,
    /// The number of keys that had changed meanwhile.
    pub(super) changed: u64,
    /// The number of keys that neither account key decrypts.
    pub(super) damaged: u64,
}

/// What a key may be bound to: the first that fits is right. One whose row was changed outside the service stays bound to what
/// it was sealed for.
fn candidates(kind: SealedKind, key: &SealingKey) -> Vec<AssociatedData<'_>> {
    let one = |purpose, version| AssociatedData { purpose, record: key.record.as_str(), version };
    match kind {
        SealedKind::Connection => {
            vec![one(Purpose::Credentials, key.version), one(Purpose::DisabledCredentials, key.version)]
        }
        SealedKind::JobRequest => REQUEST_VERSIONS.map(|version| one(Purpose::JobRequest, version)).to_vec(),
        // A link may be of an earlier placeholder.
        SealedKind::JobLink => {
            (0..=key.version).rev().map(|version| one(Purpose::JobLink, version)).collect()
        }
        SealedKind::JobAnswer => vec![one(Purpose::StoredResponse, 1)],
        SealedKind::WebhookSecret => vec![one(Purpose::WebhookSecret, 1)],
        SealedKind::WebhookEndpoint => vec![one(Purpose::WebhookEndpoint, key.version)],
        SealedKind::WebhookDelivery => vec![one(Purpose::WebhookDelivery, 1)],
        SealedKind::Authorization => vec![one(Purpose::Authorization, 1)],
    }
}

/// Whether a key was overwritten with zeros: what it sealed is gone.
fn is_wiped(key: &SealingKey) -> bool {
    key.wrapped.0.iter().all(|byte| *byte == 0)
}

impl App {
    /// Visits everything that is sealed for an account. The lease is kept meanwhile.
    pub(super) async fn rewrap_sealing_keys(
        &self,
        account: &AccountId,
        key: &AccountKey,
        (lease, pace): (&WorkLease<'_>, Pace),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<Pass, RewrapError> {
        let mut pass = Pass::default();
        for kind in SealedKind::ALL {
            let mut after = String::new();
            loop {
                let found = self.store.list_sealing_keys(account, kind, &after, pace.piece()).await;
                let found = found.map_err(Error::from)?;
                let Some(last) = found.last() else { break };
                after.clone_from(&last.record);
                let mut updates = Vec::new();
                for sealing_key in found.iter().filter(|key| !is_wiped(key)) {
                    match self.rewrap_one(key, kind, sealing_key) {
                        Some(Rewrapped::Current) => {}
                        Some(Rewrapped::New(wrapped)) => updates.push(SealingKeyUpdate {
                            record: sealing_key.record.clone(),
                            expected: sealing_key.wrapped.clone(),
                            wrapped,
                        }),
                        None => {
                            pass.damaged += 1;
                            tracing::warn!(
                                %account,
                                ?kind,
                                record = sealing_key.record,
                                "a sealed value cannot be decrypted with either key of its account: it was damaged"
                            );
                        }
                    }
                }
                let mut rewrapped = 0;
                if !updates.is_empty() {
                    let written = self.store.replace_sealing_keys(account, kind, &updates).await;
                    rewrapped = written.map_err(Error::from)?;
                }
                pass.rewrapped += rewrapped as u64;
                pass.changed += (updates.len() - rewrapped) as u64;
                progress(pass.rewrapped);
                // A row that is only read costs less than one that is written.
                lease.renew_after(pace.pause(updates.len() + found.len() / 10)).await?;
            }
        }
        Ok(pass)
    }

    fn rewrap_one(&self, key: &AccountKey, kind: SealedKind, sealing_key: &SealingKey) -> Option<Rewrapped> {
        candidates(kind, sealing_key)
            .into_iter()
            .find_map(|data| key.rewrap(data, &sealing_key.wrapped, &self.randomness).ok())
    }
}
