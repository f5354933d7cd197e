//! Exporting the heads of audit chains, to be kept where the database's administrators cannot change them.

use domain::audit::{AuditChain, AuditHead};
use domain::id::AccountId;

use crate::{App, Error};

/// Chains in one read.
const PAGE: u32 = 500;

/// A head and its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHead {
    /// The head.
    pub head: AuditHead,
    /// A keyed hash under the service secret.
    pub signature: Vec<u8>,
}

impl App {
    /// The signed heads of all chains, also those of deleted accounts, or of one account.
    pub async fn export_audit_heads(&self, account: Option<&AccountId>) -> Result<Vec<SignedHead>, Error> {
        let chains = self.list_audit_chains(account).await?;
        let now = self.clock.now();
        Ok(chains
            .iter()
            .map(|chain| {
                let head = chain.head(now);
                let signature = self.service_keys().sign_audit_head(&head).to_vec();
                SignedHead { head, signature }
            })
            .collect())
    }

    /// The chains of all accounts, or of one.
    pub(crate) async fn list_audit_chains(
        &self,
        account: Option<&AccountId>,
    ) -> Result<Vec<AuditChain>, Error> {
        if let Some(account) = account {
            return Ok(self.store.find_audit_chain(account).await?.into_iter().collect());
        }
        let mut chains: Vec<AuditChain> = Vec::new();
        loop {
            let after = chains.last().map(|chain| chain.account_id.clone());
            let page = self.store.list_audit_chains(after.as_ref(), PAGE).await?;
            if page.is_empty() {
                return Ok(chains);
            }
            chains.extend(page);
        }
    }
}
