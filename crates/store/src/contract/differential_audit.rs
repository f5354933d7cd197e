//! The operations on the audit log in the random sequences.

use domain::audit::{Action, AuditChain, AuditFilter, AuditLink, FilterActor, Link};
use domain::id::{AccountId, AuditEventId};
use proptest::prelude::*;

use super::differential::{ACCOUNTS, Run, describe};
use super::samples;
use crate::{AuditChainWrite, LinkHorizons, Store};

/// An operation.
#[derive(Debug, Clone)]
pub(super) enum AuditOp {
    /// Links up to `limit` events; from a stale row if `behind` is not 0.
    Link { account: u8, limit: u32, behind: u64 },
    /// Deletes the events at the first positions.
    Trim { account: u8, limit: u32 },
    /// Takes the lease of the sweep of this name.
    Lease { name: &'static str },
    /// Looks for accounts with events to link.
    Visit { after: u8, limit: u32 },
    /// Adds an event alone.
    Refuse { account: u8 },
}

pub(super) fn op() -> impl Strategy<Value = AuditOp> {
    let account = 0..ACCOUNTS;
    let names = vec!["link", "retain"];
    prop_oneof![
        4 => (account.clone(), 0..6_u32, prop::sample::select(vec![0, 0, 0, 1])).prop_map(
            |(account, limit, behind)| AuditOp::Link { account, limit, behind }),
        1 => (account.clone(), 1..4_u32).prop_map(|(account, limit)| AuditOp::Trim { account, limit }),
        1 => prop::sample::select(names).prop_map(|name| AuditOp::Lease { name }),
        1 => (account.clone(), 1..4_u32).prop_map(|(after, limit)| AuditOp::Visit { after, limit }),
        2 => account.prop_map(|account| AuditOp::Refuse { account }),
    ]
}

pub(super) async fn step(store: &dyn Store, run: &mut Run, op: &AuditOp) -> String {
    match *op {
        AuditOp::Link { account, limit, behind } => link(store, &run.account(account), limit, behind).await,
        AuditOp::Trim { account, limit } => trim(store, &run.account(account), limit).await,
        AuditOp::Lease { name } => {
            let now = samples::at(run.second);
            describe(store.lease_sweep(name, std::time::Duration::from_secs(30), now).await)
        }
        AuditOp::Visit { after, limit } => {
            let end = AuditEventId::greatest();
            let horizons = LinkHorizons { settled: end.clone(), late: end };
            // Only the accounts of this sequence: other sequences use the same database.
            let page = store.list_unlinked_accounts(Some(&run.account(after)), &horizons, limit).await;
            let ours: Vec<_> = (0..ACCOUNTS).map(|number| run.account(number)).collect();
            describe(
                page.map(|page| page.accounts.into_iter().filter(|id| ours.contains(id)).collect::<Vec<_>>()),
            )
        }
        AuditOp::Refuse { account } => {
            let account = run.account(account);
            let mut event = run.event(&account, None);
            event.action = Action::UpdateConnection;
            event.outcome = domain::audit::Outcome::Refused("VERSION_CONFLICT".to_owned());
            describe(store.insert_audit_event(&account, &event).await)
        }
    }
}

async fn link(store: &dyn Store, account: &AccountId, limit: u32, behind: u64) -> String {
    let (first, end) = (AuditEventId::smallest(), AuditEventId::greatest());
    let events = store.list_unlinked_audit_events(account, &first, &end, limit).await.unwrap();
    let stored = store.find_audit_chain(account).await.unwrap();
    let mut chain = stored.unwrap_or_else(|| AuditChain::empty(account.clone(), samples::at(0)));
    let expected_version = chain.version.saturating_sub(behind);
    chain.version += 1;
    chain.row_mac = vec![1; 32];
    let mut links = Vec::new();
    for event in &events {
        chain.position += 1;
        chain.link = Link([u8::try_from(chain.position % 250).unwrap(); 32]);
        chain.linked_event_id = event.id.clone().max(chain.linked_event_id);
        links.push(AuditLink { event_id: event.id.clone(), position: chain.position, link: chain.link });
    }
    // A stale version of 0 would be an insertion, which a chain that exists refuses as well.
    let write = AuditChainWrite { expected_version, chain, links, deleted: Vec::new() };
    format!("{events:?} {}", describe(store.write_audit_chain(account, write).await))
}

async fn trim(store: &dyn Store, account: &AccountId, limit: u32) -> String {
    let Some(mut chain) = store.find_audit_chain(account).await.unwrap() else {
        return "no chain".to_owned();
    };
    let end = AuditEventId::greatest();
    let after = chain.deleted_position;
    let mut old = store.list_audit_links_after(account, after, &end, limit).await.unwrap();
    old.sort_by_key(|link| link.position);
    let Some(last) = old.last() else { return "nothing".to_owned() };
    (chain.deleted_position, chain.deleted_link) = (last.position, last.link);
    let expected_version = chain.version;
    chain.version += 1;
    let deleted = old.iter().map(|link| link.event_id.clone()).collect();
    let write = AuditChainWrite { expected_version, chain, links: Vec::new(), deleted };
    format!("{old:?} {}", describe(store.write_audit_chain(account, write).await))
}

/// Everything that can be read of an account's audit log.
pub(super) async fn observe(store: &dyn Store, account: &AccountId) -> Vec<String> {
    let filters = [
        AuditFilter::default(),
        AuditFilter { action: Some(Action::UpdateConnection), ..AuditFilter::default() },
        AuditFilter {
            actor: Some(FilterActor::Kind(domain::audit::ActorKind::ApiKey)),
            ..AuditFilter::default()
        },
        AuditFilter { subject: Some("subject".to_owned()), ..AuditFilter::default() },
    ];
    let (mut seen, start) = (Vec::new(), AuditEventId::smallest());
    for filter in filters {
        for limit in [3, 10_000] {
            seen.push(describe(store.list_audit_events(account, &filter, limit).await));
        }
    }
    seen.push(describe(store.find_audit_chain(account).await));
    seen.push(describe(store.list_audit_links(account, &start, 10_000).await));
    seen.push(describe(store.list_audit_event_ids(account, &start, 10_000).await));
    seen
}
