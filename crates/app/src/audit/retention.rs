//! Deleting old audit events, in small pieces by one node at a time. The chain's row keeps the link of the last one that was
//! deleted: the checkpoint from which the rest is verified.

use std::time::Duration;

use domain::audit::{AuditChain, AuditLink};
use domain::id::{AccountId, AuditEventId};
use domain::time::Timestamp;
use store::{AuditChainWrite, Changed};

use crate::{App, Error};

/// The name of the lease.
const SWEEP: &str = "audit_events";
/// How often old events are looked for.
const INTERVAL: Duration = Duration::from_mins(10);
const DAY: Duration = Duration::from_hours(24);
/// Events deleted in one transaction: few, because requests wait for it.
const BATCH: u32 = 100;
/// The pause after each: requests write meanwhile.
const BATCH_PAUSE: Duration = Duration::from_millis(10);

impl App {
    /// Deletes linked events older than this, if no node has done so recently.
    pub(super) async fn delete_old_audit_events(&self, days: u32) -> Result<(), Error> {
        let now = self.clock.now();
        if self.store.lease_sweep(SWEEP, INTERVAL, now).await?.is_none() {
            return Ok(());
        }
        let end = first_kept(now, days);
        for chain in self.list_audit_chains(None).await? {
            let mut deleted = 0;
            while let Some(count) = self.delete_audit_batch(&chain.account_id, &end).await? {
                deleted += count;
                tokio::time::sleep(BATCH_PAUSE).await;
            }
            if deleted > 0 {
                tracing::info!(account = %chain.account_id, deleted, "old audit events were deleted");
            }
        }
        Ok(())
    }

    /// Deletes the first events of a chain that are older; how many, `None` if there are none.
    async fn delete_audit_batch(
        &self,
        account: &AccountId,
        end: &AuditEventId,
    ) -> Result<Option<usize>, Error> {
        let Some(chain) = self.store.find_audit_chain(account).await? else { return Ok(None) };
        if !self.fresh_service_keys().await?.verify_audit_chain(&chain) {
            tracing::error!(%account, "the account's audit chain was changed: its old events are not deleted");
            return Ok(None);
        }
        let found = self.store.list_audit_links_after(account, chain.deleted_position, end, BATCH).await?;
        let links = first_run(&chain, found);
        let Some(last) = links.last() else { return Ok(None) };
        let expected_version = chain.version;
        let (deleted_position, deleted_link) = (last.position, last.link);
        let chain = self.renew_audit_chain(AuditChain { deleted_position, deleted_link, ..chain });
        let deleted: Vec<_> = links.into_iter().map(|link| link.event_id).collect();
        let count = deleted.len();
        let write = AuditChainWrite { expected_version, chain, links: Vec::new(), deleted };
        match self.store.write_audit_chain(account, write).await? {
            Changed::Yes => Ok(Some(count)),
            // Events were linked meanwhile: the next attempt reads the chain again.
            Changed::No => Ok(Some(0)),
        }
    }
}

/// The smallest identifier of an event that is kept.
fn first_kept(now: Timestamp, days: u32) -> AuditEventId {
    AuditEventId::first_at(now.minus(DAY * days))
}

/// The links that follow the last deleted one without a gap: a late event stays until all before it are old.
fn first_run(chain: &AuditChain, mut links: Vec<AuditLink>) -> Vec<AuditLink> {
    links.sort_unstable_by_key(|link| link.position);
    let next = (chain.deleted_position + 1..).zip(links);
    next.take_while(|(position, link)| *position == link.position).map(|(_, link)| link).collect()
}

#[cfg(test)]
mod tests {
    use domain::audit::Link;

    use super::*;

    #[test]
    fn events_are_deleted_up_to_the_first_gap() {
        let mut chain = AuditChain::empty(AccountId::from_random([1; 16]), Timestamp::from_millis(1));
        let link = |position: u64| AuditLink {
            event_id: AuditEventId::from_stored(position.to_string()),
            position,
            link: Link([1; 32]),
        };
        let run = |chain: &AuditChain, positions: &[u64]| -> Vec<u64> {
            let links = positions.iter().map(|position| link(*position)).collect();
            first_run(chain, links).iter().map(|link| link.position).collect()
        };
        assert_eq!(run(&chain, &[2, 1, 3, 5]), [1, 2, 3]);
        assert!(run(&chain, &[2, 3]).is_empty());
        chain.deleted_position = 4;
        assert_eq!(run(&chain, &[6, 5]), [5, 6]);
    }

    #[test]
    fn an_event_is_kept_for_whole_days() {
        let now = Timestamp::from_micros(1_769_850_300_042_999);
        assert_eq!(first_kept(now, 30).as_str(), "20260101090500042");
        assert_eq!(first_kept(now, 1_000_000), AuditEventId::first_at(Timestamp::from_micros(0)));
    }
}
