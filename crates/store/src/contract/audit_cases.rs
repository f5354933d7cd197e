//! The audit log, and the chain that links its events.

use std::time::Duration;

use domain::audit::{
    Action, Actor, ActorKind, AuditChain, AuditFilter, AuditLink, AuditRecord, FilterActor, Link, Outcome,
};
use domain::id::{AccountId, AuditEventId};

use super::TestDatabase;
use super::samples::{actor, at, audited, event, insert_account, key_row};
use crate::{AuditChainWrite, Changed, LinkHorizons, Store};

/// The account's next chain row with links for these events.
async fn next(store: &dyn Store, account: &AccountId, events: &[AuditRecord]) -> AuditChainWrite {
    let stored = store.find_audit_chain(account).await.unwrap();
    let mut chain = stored.unwrap_or_else(|| AuditChain::empty(account.clone(), at(0)));
    let expected_version = chain.version;
    chain.version += 1;
    chain.row_mac = vec![7; 32];
    let mut links = Vec::new();
    for event in events {
        chain.position += 1;
        chain.link = Link([u8::try_from(chain.position).unwrap(); 32]);
        chain.linked_event_id = event.id.clone();
        links.push(AuditLink { event_id: event.id.clone(), position: chain.position, link: chain.link });
    }
    AuditChainWrite { expected_version, chain, links, deleted: Vec::new() }
}

async fn unlinked(store: &dyn Store, account: &AccountId) -> Vec<AuditRecord> {
    let (first, end) = (AuditEventId::smallest(), AuditEventId::greatest());
    store.list_unlinked_audit_events(account, &first, &end, 100).await.unwrap()
}

pub(crate) async fn audit_events_are_filtered_and_listed_newest_first(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let key = key_row(&one, 1);
    let mut update = event(&one, 2, actor(&key), "c2");
    update.action = Action::UpdateConnection;
    update.outcome = Outcome::Refused("VERSION_CONFLICT".to_owned());
    for event in [&event(&one, 1, Actor::Operator, "c1"), &update, &event(&one, 3, Actor::Service, "c2")] {
        store.insert_audit_event(&one, event).await.unwrap();
    }
    store.insert_audit_event(&two, &event(&two, 1, Actor::Operator, "c1")).await.unwrap();
    let listed = async |filter: AuditFilter| -> Vec<String> {
        let page = store.list_audit_events(&one, &filter, 10).await.unwrap();
        assert_eq!(page.next, None);
        page.events.into_iter().map(|event| event.id.as_str()[31..].to_owned()).collect()
    };
    let filter = AuditFilter::default;
    assert_eq!(listed(filter()).await, ["9", "3", "2", "1"]);
    assert_eq!(listed(AuditFilter { action: Some(Action::UpdateConnection), ..filter() }).await, ["2"]);
    assert_eq!(listed(AuditFilter { subject: Some("c2".to_owned()), ..filter() }).await, ["3", "2"]);
    let by = |actor| AuditFilter { actor: Some(actor), ..filter() };
    assert_eq!(listed(by(FilterActor::Key(key.key.id.clone()))).await, ["2"]);
    assert_eq!(listed(by(FilterActor::Kind(ActorKind::Worker))).await, ["3"]);
    assert_eq!(listed(by(FilterActor::Kind(ActorKind::Operator))).await, ["9", "1"]);
    assert_eq!(listed(AuditFilter { before_id: Some(update.id.clone()), ..filter() }).await, ["1"]);
    let page = store.list_audit_events(&one, &filter(), 3).await.unwrap();
    assert_eq!((page.events.len(), page.next), (3, Some(update.id.clone())));
    assert_eq!(page.events[2], AuditRecord::from(&update));
}

pub(crate) async fn a_chain_is_extended_from_the_row_that_was_read(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for number in 1..=3 {
        store.insert_audit_event(&one, &event(&one, number, Actor::Operator, "c")).await.unwrap();
    }
    let events = unlinked(&*store, &one).await;
    assert_eq!(events, audited(&*store, &one).await);
    let first = next(&*store, &one, &events[..2]).await;
    assert_eq!(store.write_audit_chain(&one, first.clone()).await.unwrap(), Changed::Yes);
    assert_eq!(store.write_audit_chain(&one, first.clone()).await.unwrap(), Changed::No, "written before");
    let second = next(&*store, &one, &events[2..]).await;
    assert_eq!(second.expected_version, 1);
    let stale = AuditChainWrite { expected_version: 2, ..second.clone() };
    assert_eq!(store.write_audit_chain(&one, stale).await.unwrap(), Changed::No);
    assert_eq!(unlinked(&*store, &one).await, events[2..]);
    assert_eq!(store.write_audit_chain(&one, second.clone()).await.unwrap(), Changed::Yes);
    assert_eq!(store.find_audit_chain(&one).await.unwrap(), Some(second.chain.clone()));
    assert_eq!(store.list_audit_chains(None, 9).await.unwrap(), [second.chain]);
    assert_eq!(store.find_audit_chain(&two).await.unwrap(), None);
    let rows = store.list_audit_links(&one, &AuditEventId::smallest(), 3).await.unwrap();
    let links: Vec<_> = rows.iter().map(|row| row.link.clone()).collect();
    assert_eq!(links, [first.links, second.links].concat()[..3]);
    assert!(rows.iter().zip(&events).all(|(row, event)| row.event.as_ref() == Some(event)));
    let later = store.list_audit_links(&one, &links[2].event_id, 3).await.unwrap();
    assert_eq!(later.len(), 1);
}

pub(crate) async fn old_events_are_deleted_with_their_links(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=3 {
        store.insert_audit_event(&one, &event(&one, number, Actor::Operator, "c")).await.unwrap();
    }
    let events = unlinked(&*store, &one).await;
    let linked = next(&*store, &one, &events[..3]).await;
    store.write_audit_chain(&one, linked.clone()).await.unwrap();
    let after = async |position, end: &AuditEventId| {
        let mut links = store.list_audit_links_after(&one, position, end, 2).await.unwrap();
        links.sort_by_key(|link| link.position);
        links
    };
    assert_eq!(after(0, &AuditEventId::greatest()).await, linked.links[..2]);
    assert_eq!(after(1, &AuditEventId::greatest()).await, linked.links[1..3]);
    assert_eq!(after(0, &events[1].id).await, linked.links[..1]);
    let mut trim = next(&*store, &one, &[]).await;
    (trim.chain.deleted_position, trim.chain.deleted_link) = (2, linked.links[1].link);
    trim.deleted = vec![events[0].id.clone(), events[1].id.clone()];
    let stale = AuditChainWrite { expected_version: 9, ..trim.clone() };
    assert_eq!(store.write_audit_chain(&one, stale).await.unwrap(), Changed::No);
    assert_eq!(audited(&*store, &one).await, events);
    assert_eq!(store.write_audit_chain(&one, trim).await.unwrap(), Changed::Yes);
    assert_eq!(audited(&*store, &one).await, events[2..]);
    let ids = store.list_audit_event_ids(&one, &AuditEventId::smallest(), 9).await.unwrap();
    assert_eq!(ids, [(events[2].id.clone(), true), (events[3].id.clone(), false)]);
}

pub(crate) async fn accounts_with_events_to_link_are_found_also_deleted_ones(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let end = AuditEventId::greatest();
    let found = async |settled: &AuditEventId, late: &AuditEventId| {
        let horizons = LinkHorizons { settled: settled.clone(), late: late.clone() };
        let (mut accounts, mut after) = (Vec::new(), None);
        loop {
            let page = store.list_unlinked_accounts(after.as_ref(), &horizons, 1).await.unwrap();
            accounts.extend(page.accounts);
            let Some(last) = page.last else { return accounts };
            after = Some(last);
        }
    };
    let start = AuditEventId::smallest();
    assert_eq!(found(&start, &start).await, [], "none has settled");
    assert_eq!(found(&end, &start).await, [one.clone(), two.clone()]);
    let all = next(&*store, &one, &unlinked(&*store, &one).await).await;
    store.write_audit_chain(&one, all).await.unwrap();
    assert_eq!(found(&end, &start).await, std::slice::from_ref(&two));
    assert_eq!(found(&end, &end).await, [one.clone(), two.clone()], "late ones may still come");
    let mut visited = next(&*store, &one, &[]).await;
    visited.chain.checked_event_id = AuditEventId::from_stored("2026013109050005".to_owned());
    store.write_audit_chain(&one, visited).await.unwrap();
    assert_eq!(found(&end, &end).await, std::slice::from_ref(&two));
    let gone = event(&one, 8_002, Actor::Operator, "account");
    store.delete_account_part(&one, 100, &gone).await.unwrap();
    assert!(store.find_audit_chain(&one).await.unwrap().is_some());
    assert!(
        !found(&end, &start).await.contains(&one),
        "the deletion has a smaller identifier than the last link"
    );
    let mut later = event(&one, 1, Actor::Operator, "later");
    later.id = AuditEventId::from_stored("20270101000000000aaaaaaaaaaaaaaa".to_owned());
    store.insert_audit_event(&one, &later).await.unwrap();
    assert_eq!(found(&end, &start).await, [one, two]);
}

pub(crate) async fn the_work_of_visiting_all_accounts_is_leased_to_one_node(db: &TestDatabase) {
    let store = db.open().await;
    let lease =
        async |name, second| store.lease_sweep(name, Duration::from_mins(1), at(second)).await.unwrap();
    assert_eq!(lease("link", 0).await, Some(1));
    assert_eq!(lease("link", 59).await, None);
    assert_eq!(lease("retain", 59).await, Some(1));
    assert_eq!(lease("link", 60).await, Some(2));
    assert_eq!(lease("link", 119).await, None);
}
