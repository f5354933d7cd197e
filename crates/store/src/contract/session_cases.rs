//! Sessions of the dashboard and sign-in links.

use std::time::Duration;

use domain::account::Label;
use domain::api_key::RowMac;
use domain::audit::Actor;
use domain::id::{AccountId, SessionId};
use domain::session::{HashedToken, Role, Session, SessionRow, SessionState, SignInMethod};

use super::TestDatabase;
use super::samples::{actor, at, audited, event, insert_account, key_row};
use crate::{AccountDeletion, Changed, Error, Expired, SessionUpdate, Store};

/// The sample session of that number, which expires at second 100 and that number.
pub(crate) fn session_row(account: &AccountId, number: u8, state: SessionState) -> SessionRow {
    let session = Session {
        id: SessionId::from_random([number; 16]),
        account_id: account.clone(),
        state,
        method: SignInMethod::Link,
        person: Label::parse(&format!("Anna {number}")).unwrap(),
        role: Some(Role::Member),
        scopes: Role::Member.scopes(),
        created_at: at(i64::from(number)),
        authenticated_at: at(3),
        expires_at: at(100 + i64::from(number)),
        last_seen_at: at(4),
        remote: Some("2001:db8::1".to_owned()),
        user_agent: None,
        subject: Some(format!("https://id.example#person-{number}")),
    };
    SessionRow { session, token: HashedToken([number; 32]), mac: [number; 32] }
}

pub(crate) async fn insert_session(store: &dyn Store, account: &AccountId, row: &SessionRow) {
    let number = 20_000 + u32::from(row.mac[0]);
    let event = event(account, number, Actor::Operator, row.session.id.as_str());
    store.insert_dashboard_session(account, row, &event).await.unwrap();
}

pub(crate) async fn a_session_is_found_by_its_account_as_it_was_stored(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let key = key_row(&one, 9);
    let mut by_key = session_row(&one, 1, SessionState::Active);
    by_key.session.method = SignInMethod::ApiKey(key.key.id);
    (by_key.session.role, by_key.session.remote) = (None, None);
    by_key.session.user_agent = Some("Browser/1.0 \u{1f600}".to_owned());
    let invited = session_row(&one, 2, SessionState::Invited);
    let mut ended = session_row(&one, 3, SessionState::Ended);
    ended.session.method = SignInMethod::Oidc;
    for row in [&by_key, &invited, &ended] {
        insert_session(&*store, &one, row).await;
        let found = store.find_dashboard_session(&one, &row.session.id, at(7)).await.unwrap().unwrap();
        assert_eq!((&found.row, found.read_at), (row, at(7)));
        assert_eq!(Some(found.account_name), store.find_account(&one).await.unwrap().map(|found| found.name));
        assert_eq!(store.find_dashboard_session(&two, &row.session.id, at(7)).await.unwrap(), None);
    }
    let other = SessionRow { mac: [99; 32], ..invited.clone() };
    let at_once = event(&one, 20_099, Actor::Operator, "session");
    let again = store.insert_dashboard_session(&one, &other, &at_once).await;
    assert!(matches!(again, Err(Error::NameTaken)), "{again:?}");
    let list = async |account: &AccountId, now, limit| {
        store.list_dashboard_sessions(account, at(now), limit).await.unwrap()
    };
    assert_eq!(list(&one, 7, 10).await, [invited.clone(), by_key]);
    assert_eq!(list(&one, 7, 1).await, std::slice::from_ref(&invited));
    assert_eq!(list(&one, 101, 10).await, [invited]);
    assert_eq!(list(&one, 102, 10).await, []);
    assert_eq!(list(&two, 7, 10).await, []);
}

pub(crate) async fn a_session_changes_once_from_the_row_that_was_read(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let link = session_row(&one, 1, SessionState::Invited);
    insert_session(&*store, &one, &link).await;
    let mut started = session_row(&one, 1, SessionState::Active);
    (started.token, started.mac) = (HashedToken([50; 32]), [51; 32]);
    (started.session.created_at, started.session.expires_at) = (at(20), at(300));
    let update = || SessionUpdate { expected: link.mac, row: started.clone() };
    let by = |account: &AccountId, number| event(account, number, Actor::Operator, "session");
    let other = store.update_dashboard_session(&two, update(), &by(&two, 1)).await.unwrap();
    assert_eq!(other, Changed::No);
    assert_eq!(store.update_dashboard_session(&one, update(), &by(&one, 2)).await.unwrap(), Changed::Yes);
    assert_eq!(store.update_dashboard_session(&one, update(), &by(&one, 3)).await.unwrap(), Changed::No);
    let id = &link.session.id;
    let found = store.find_dashboard_session(&one, id, at(7)).await.unwrap().unwrap();
    assert_eq!(found.row, started);
    store.touch_dashboard_session(&one, id, at(30)).await.unwrap();
    store.touch_dashboard_session(&one, id, at(29)).await.unwrap();
    store.touch_dashboard_session(&two, id, at(31)).await.unwrap();
    let found = store.find_dashboard_session(&one, id, at(7)).await.unwrap().unwrap();
    assert_eq!(found.row.session.last_seen_at, at(30));
    // The account, the link, and one change; nothing in the other account.
    assert_eq!((audited(&*store, &one).await.len(), audited(&*store, &two).await.len()), (3, 1));
}

pub(crate) async fn a_person_writes_only_while_their_key_is_active(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    // The events of the samples are at second 1.
    let (mut active, mut revoked) = (key_row(&one, 1), key_row(&one, 2));
    active.key.expires_at = Some(at(2));
    (revoked.key.revoked_at, revoked.mac) = (Some(at(0)), RowMac([9; 32]));
    for key in [&active, &revoked] {
        let number = 10_000 + u32::from(key.hash.0[0]);
        store.insert_api_key(&one, key, &event(&one, number, Actor::Operator, "key")).await.unwrap();
    }
    let person = |key| match actor(key) {
        Actor::ApiKey { key_id, name, remote } => Actor::Session { key_id: Some(key_id), name, remote },
        other => other,
    };
    let row = session_row(&one, 1, SessionState::Active);
    let insert = async |key, number| {
        let event = event(&one, number, person(key), "session");
        store.insert_dashboard_session(&one, &row, &event).await
    };
    assert!(matches!(insert(&revoked, 1).await, Err(Error::KeyNotActive)));
    insert(&active, 2).await.unwrap();
    let update = |mac| {
        let changed = SessionRow { mac, ..row.clone() };
        SessionUpdate { expected: row.mac, row: changed }
    };
    let refused = event(&one, 3, person(&revoked), "session");
    let changed = store.update_dashboard_session(&one, update([3; 32]), &refused).await;
    assert!(matches!(changed, Err(Error::KeyNotActive)), "{changed:?}");
    // Someone who signed in otherwise acts as long as the account exists.
    let name = Label::parse("Anna").unwrap();
    let by_link = event(&one, 4, Actor::Session { key_id: None, name, remote: None }, "session");
    let changed = store.update_dashboard_session(&one, update([4; 32]), &by_link).await.unwrap();
    assert_eq!(changed, Changed::Yes);
    let last = audited(&*store, &one).await.pop().unwrap();
    let kinds: Vec<_> = audited(&*store, &one).await.into_iter().map(|record| record.actor_kind).collect();
    assert!(kinds.contains(&Some("session".to_owned())), "{last:?}");
}

pub(crate) async fn expired_sessions_are_deleted_and_those_of_an_account_with_it(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for number in 1..=4 {
        insert_session(&*store, &one, &session_row(&one, number, SessionState::Active)).await;
    }
    insert_session(&*store, &two, &session_row(&two, 5, SessionState::Invited)).await;
    let expired = |limit| Expired { kept: Duration::from_secs(10), limit, now: at(113) };
    // Those that expire at seconds 101, 102 and 103.
    assert_eq!(store.delete_expired_dashboard_sessions(&expired(2)).await.unwrap(), 2);
    assert_eq!(store.delete_expired_dashboard_sessions(&expired(2)).await.unwrap(), 1);
    assert_eq!(store.delete_expired_dashboard_sessions(&expired(2)).await.unwrap(), 0);
    assert_eq!(store.list_dashboard_sessions(&one, at(0), 10).await.unwrap().len(), 1);
    let deletion = event(&one, 77, Actor::Operator, "account");
    assert_eq!(store.delete_account_part(&one, 100, &deletion).await.unwrap(), AccountDeletion::Done);
    assert_eq!(store.list_dashboard_sessions(&one, at(0), 10).await.unwrap(), []);
    assert_eq!(store.list_dashboard_sessions(&two, at(0), 10).await.unwrap().len(), 1);
}
