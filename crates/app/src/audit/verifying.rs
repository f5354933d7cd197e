//! Verifying audit chains: every linked event, and that no event is there that was not linked.

use std::collections::HashMap;
use std::time::Duration;

use domain::audit::{AuditChain, Link};
use domain::id::{AccountId, AuditEventId};

use super::check::{ChainCheck, Finding, FindingKind, LinkVerifier};
use super::heads::SignedHead;
use super::linking::{LATE, horizons};
use crate::{App, Error};

/// Links in one read.
const LINKS_PAGE: u32 = 2_000;
/// Identifiers in one read.
const IDS_PAGE: u32 = 10_000;

/// The result for the events of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedChain {
    /// The account.
    pub account_id: AccountId,
    /// How many linked events are as they were written.
    pub verified: u64,
    /// How many events are too new to be linked. They are not protected yet.
    pub unlinked: u64,
    /// How many events were deleted because of their age; they are not verified any more.
    pub deleted: u64,
    /// What was found.
    pub findings: Vec<Finding>,
}

impl App {
    /// Verifies the audit events of one account, or of all, and compares the chains with exported heads. Events that are
    /// written or deleted meanwhile do no harm.
    pub async fn verify_audit(
        &self,
        account: Option<&AccountId>,
        heads: &[SignedHead],
    ) -> Result<Vec<VerifiedChain>, Error> {
        let mut heads_of: HashMap<&AccountId, Vec<&SignedHead>> = HashMap::new();
        for signed in heads {
            heads_of.entry(&signed.head.account_id).or_default().push(signed);
        }
        let mut accounts: Vec<AccountId> = if let Some(account) = account {
            vec![account.clone()]
        } else {
            let chains = self.list_audit_chains(None).await?;
            let linked = chains.into_iter().map(|chain| chain.account_id);
            let named = heads_of.keys().map(|account| (*account).clone());
            linked.chain(self.store.list_account_ids().await?).chain(named).collect()
        };
        accounts.sort_unstable();
        accounts.dedup();
        let mut verified = Vec::with_capacity(accounts.len());
        for account in accounts {
            let heads = heads_of.remove(&account).unwrap_or_default();
            verified.push(self.verify_audit_chain(account, &heads).await?);
        }
        Ok(verified)
    }

    async fn verify_audit_chain(
        &self,
        account: AccountId,
        heads: &[&SignedHead],
    ) -> Result<VerifiedChain, Error> {
        let stored = self.store.find_audit_chain(&account).await?;
        let chain = stored.clone().unwrap_or_else(|| AuditChain::empty(account.clone(), self.clock.now()));
        let (verified, mut findings, compared) = self.verify_links(&chain, heads).await?;
        let keys = self.fresh_service_keys().await?;
        if stored.as_ref().is_some_and(|chain| !keys.verify_audit_chain(chain)) {
            findings.insert(0, Finding::of_chain(FindingKind::ChainChanged));
        }
        let late = horizons(self.clock.now(), Duration::ZERO).late;
        if stored.is_none() && self.lacks_chain(&account, &late).await? {
            findings.insert(0, Finding::of_chain(FindingKind::ChainMissing));
        }
        let (unlinked, inserted) = self.find_inserted(&chain).await?;
        findings.extend(inserted);
        for signed in heads {
            let is_valid = keys.verify_audit_head(&signed.head, &signed.signature);
            let found = compared.get(&signed.head.position).copied();
            findings.extend(compare_head(&chain, signed, is_valid, found));
        }
        // What was deleted because of its age while the links were read is not missing.
        let now = self.store.find_audit_chain(&account).await?;
        let deleted = now.map_or(0, |chain| chain.deleted_position);
        findings.retain(|finding| {
            let last = finding.until.or(finding.position);
            finding.kind != FindingKind::Removed || last.is_none_or(|last| last > deleted)
        });
        Ok(VerifiedChain {
            account_id: account,
            verified,
            unlinked,
            deleted: chain.deleted_position,
            findings,
        })
    }

    /// Verifies all links. Also returns the stored links at the positions of the heads.
    async fn verify_links(
        &self,
        chain: &AuditChain,
        heads: &[&SignedHead],
    ) -> Result<(u64, Vec<Finding>, HashMap<u64, Link>), Error> {
        let account = &chain.account_id;
        let keys = self.fresh_service_keys().await?;
        let is_link = |position: u64, previous: &Link, event: &[u8], link: &Link| {
            keys.verify_audit_link(account, position, (previous, event), link)
        };
        let mut check = ChainCheck::new(is_link, chain);
        let mut compared = HashMap::from([(chain.deleted_position, chain.deleted_link)]);
        let mut after = AuditEventId::smallest();
        loop {
            let page = self.store.list_audit_links(account, &after, LINKS_PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.link.event_id.clone();
            for row in page {
                if heads.iter().any(|signed| signed.head.position == row.link.position) {
                    compared.insert(row.link.position, row.link.link);
                }
                check.add(row);
            }
        }
        let now = self.store.find_audit_chain(account).await?;
        let (verified, findings) = finish(check, now.as_ref());
        Ok((verified, findings, compared))
    }

    /// The number of events that are to be linked, and those that were inserted.
    async fn find_inserted(&self, chain: &AuditChain) -> Result<(u64, Vec<Finding>), Error> {
        let (mut unlinked, mut inserted) = (0, Vec::new());
        // Clocks of nodes do not differ more.
        let future = AuditEventId::first_at(self.clock.now().plus(LATE));
        let mut after = AuditEventId::smallest();
        loop {
            let page = self.store.list_audit_event_ids(&chain.account_id, &after, IDS_PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok((unlinked, inserted)) };
            after = last.clone();
            for (id, _) in page.into_iter().filter(|(_, is_linked)| !is_linked) {
                if id < chain.checked_event_id || id > future {
                    inserted.push(Finding::of_event(FindingKind::Inserted, id.as_str(), None));
                } else {
                    unlinked += 1;
                }
            }
        }
    }
}

fn finish<L: LinkVerifier>(check: ChainCheck<L>, now: Option<&AuditChain>) -> (u64, Vec<Finding>) {
    check.finish(now.map_or(0, |chain| chain.position))
}

/// What an exported head shows about the chain, of which `found` is the stored link at the position of the head.
fn compare_head(
    chain: &AuditChain,
    signed: &SignedHead,
    is_valid: bool,
    found: Option<Link>,
) -> Option<Finding> {
    let head = &signed.head;
    if !is_valid {
        return Some(Finding {
            position: Some(head.position),
            ..Finding::of_chain(FindingKind::HeadInvalid)
        });
    }
    if head.position > chain.position {
        return Some(Finding::of_positions(FindingKind::CutOff, chain.position + 1, head.position));
    }
    // Without a link, its event was removed, which is found anyway, or deleted because of its age.
    let is_other = found.is_some_and(|link| link != head.link);
    is_other.then(|| Finding { position: Some(head.position), ..Finding::of_chain(FindingKind::Replaced) })
}

#[cfg(test)]
mod tests {
    use domain::audit::AuditHead;
    use domain::time::Timestamp;

    use super::*;

    #[test]
    fn a_head_shows_what_was_cut_off_or_replaced() {
        let at = Timestamp::from_millis(1);
        let chain = AuditChain { position: 5, ..AuditChain::empty(AccountId::from_random([1; 16]), at) };
        let compared = |position, is_valid, found: Option<u8>| {
            let link = Link([7; 32]);
            let head = AuditHead { account_id: chain.account_id.clone(), position, link, at };
            let signed = SignedHead { head, signature: Vec::new() };
            let found = compare_head(&chain, &signed, is_valid, found.map(|fill| Link([fill; 32])));
            found.map(|finding| (finding.kind, finding.position, finding.until))
        };
        assert_eq!(compared(5, true, Some(7)), None);
        assert_eq!(compared(5, true, Some(8)), Some((FindingKind::Replaced, Some(5), None)));
        assert_eq!(compared(6, true, None), Some((FindingKind::CutOff, Some(6), None)));
        assert_eq!(compared(9, true, None), Some((FindingKind::CutOff, Some(6), Some(9))));
        assert_eq!(compared(9, false, None), Some((FindingKind::HeadInvalid, Some(9), None)));
        assert_eq!(compared(2, true, None), None, "deleted because of its age");
    }
}
