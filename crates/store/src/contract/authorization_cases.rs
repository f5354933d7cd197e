//! Authorizations: their steps, how they end, and what is wiped then.

use std::time::Duration;

use domain::audit::{Actor, AuditEvent};
use domain::authorization::{Authorization, AuthorizationState, FailureReason};
use domain::idempotency::{
    IdempotencyKey, Operation, RequestMac, Reservation, ReserveRequest, Reserved, StoredResponse,
};

use super::TestDatabase;
use super::authorization_samples::{authorization_id, browser, connection_id, hash, insert, new, step};
use super::job_secret_cases::keys;
use super::samples::{self, actor, at, event, insert_account, key_row};
use crate::{
    AccountDeletion, AuthorizationKey, AuthorizationUpdate, Changed, Completion, Counted, Error, Expired,
    OverdueAuthorization,
};

pub(crate) async fn an_authorization_is_found_by_its_account_and_its_tokens(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let mut rows = Vec::new();
    for number in 1..=3 {
        rows.push(insert(&*store, &one, number).await);
    }
    let by_id = AuthorizationKey::Id(authorization_id(2));
    let by_token = AuthorizationKey::ConnectToken(hash(2));
    for key in [&by_id, &by_token] {
        assert_eq!(store.find_authorization(&one, key).await.unwrap(), Some(rows[1].clone()), "{key:?}");
        assert_eq!(store.find_authorization(&two, key).await.unwrap(), None, "{key:?}");
    }
    let by_state = AuthorizationKey::State(browser(2).state);
    assert_eq!(store.find_authorization(&one, &by_state).await.unwrap(), None);
    let mut started = step(&rows[1].authorization, AuthorizationState::Started);
    started.authorization.browser = Some(browser(2));
    assert_eq!(store.update_authorization(&two, started.clone()).await.unwrap(), Changed::No);
    assert_eq!(store.update_authorization(&one, started.clone()).await.unwrap(), Changed::Yes);
    rows[1].authorization = started.authorization;
    assert_eq!(store.find_authorization(&one, &by_state).await.unwrap(), Some(rows[1].clone()));
    assert_eq!(store.find_authorization(&two, &by_state).await.unwrap(), None);
    for row in &mut rows {
        row.sealed = None;
    }
    rows.reverse();
    assert_eq!(store.list_authorizations(&one, None, 9).await.unwrap(), rows);
    let page = store.list_authorizations(&one, Some(&authorization_id(3)), 1).await.unwrap();
    assert_eq!(page, [rows[1].clone()]);
    assert_eq!(store.list_authorizations(&two, None, 9).await.unwrap(), []);
    assert_eq!(store.count_of_account(&one, Counted::OpenAuthorizations, 9).await.unwrap(), 3);
    assert_eq!(store.count_of_account(&one, Counted::OpenAuthorizations, 2).await.unwrap(), 2);
}

pub(crate) async fn each_step_is_taken_once(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let row = insert(&*store, &one, 1).await;
    let exchanging =
        |number| AuthorizationState::Exchanging { since: at(3), connection_id: connection_id(number) };
    let steps = (1..=4).map(|number| step(&row.authorization, exchanging(number)));
    let taken = samples::all(steps.map(|step| store.update_authorization(&one, step))).await;
    let taken: Vec<_> = taken.into_iter().map(Result::unwrap).collect();
    assert_eq!(taken.iter().filter(|changed| **changed == Changed::Yes).count(), 1, "{taken:?}");
    let key = AuthorizationKey::Id(authorization_id(1));
    let stored = store.find_authorization(&one, &key).await.unwrap().unwrap().authorization;
    let place = taken.iter().position(|changed| *changed == Changed::Yes).unwrap();
    assert_eq!(stored.state, exchanging(u32::try_from(place).unwrap() + 1));
    // Each state is read back as it was written.
    let mut before = Authorization { last_failure: Some(FailureReason::ScopesMissing), ..stored };
    for state in [
        AuthorizationState::Started,
        AuthorizationState::Failed { at: at(4), reason: FailureReason::OtherVimeoAccount },
        AuthorizationState::Denied { at: at(4) },
        AuthorizationState::Expired { at: at(4) },
        AuthorizationState::Completed { at: at(4), connection_id: connection_id(9) },
    ] {
        let mut next = step(&before, state);
        // It is not kept beside a reason, or a success.
        if matches!(
            next.authorization.state,
            AuthorizationState::Failed { .. } | AuthorizationState::Completed { .. }
        ) {
            next.authorization.last_failure = None;
        }
        next.outcome = Some("{\"user\":\"\u{e9}\"}".to_owned());
        assert_eq!(store.update_authorization(&one, next.clone()).await.unwrap(), Changed::Yes);
        let found = store.find_authorization(&one, &key).await.unwrap().unwrap();
        assert_eq!((&found.authorization, &found.outcome), (&next.authorization, &next.outcome));
        before = next.authorization;
    }
}

pub(crate) async fn a_secret_is_wiped_when_its_authorization_ends(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let (first, second) = (insert(&*store, &one, 1).await, insert(&*store, &one, 2).await);
    assert_eq!(keys(db).await, [1, 2]);
    let started = step(&first.authorization, AuthorizationState::Started);
    store.update_authorization(&one, started.clone()).await.unwrap();
    assert_eq!(keys(db).await, [1, 2], "it has not ended");
    let ended = step(&started.authorization, AuthorizationState::Denied { at: at(4) });
    let audited = AuditEvent { at: at(4), ..event(&one, 1, Actor::Service, "authorization") };
    let late = AuthorizationUpdate { expected_version: 1, event: Some(audited.clone()), ..ended.clone() };
    assert_eq!(store.update_authorization(&one, late).await.unwrap(), Changed::No);
    assert_eq!(keys(db).await, [1, 2], "a step that is not taken wipes nothing");
    let ended = AuthorizationUpdate { event: Some(audited), ..ended };
    assert_eq!(store.update_authorization(&one, ended).await.unwrap(), Changed::Yes);
    assert_eq!(keys(db).await, [2]);
    let found = async |number| {
        let key = AuthorizationKey::Id(authorization_id(number));
        store.find_authorization(&one, &key).await.unwrap().unwrap().sealed
    };
    assert_eq!((found(1).await, found(2).await), (None, second.sealed));
    assert_eq!(store.count_of_account(&one, Counted::OpenAuthorizations, 9).await.unwrap(), 1);
    assert_eq!(samples::audited(&*store, &one).await.len(), 4, "the account, two insertions, the end");
}

pub(crate) async fn overdue_authorizations_of_all_accounts_are_listed(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let overdue = |account: &domain::id::AccountId, number| OverdueAuthorization {
        account_id: account.clone(),
        id: authorization_id(number),
    };
    insert(&*store, &one, 1).await;
    let mut sooner = new(&two, 2);
    sooner.authorization.expires_at = at(20);
    store.insert_authorization(&two, sooner).await.unwrap();
    let ended = insert(&*store, &one, 3).await;
    let ended = step(&ended.authorization, AuthorizationState::Expired { at: at(9) });
    store.update_authorization(&one, ended).await.unwrap();
    assert_eq!(store.list_overdue_authorizations(at(19), 9).await.unwrap(), []);
    assert_eq!(store.list_overdue_authorizations(at(20), 9).await.unwrap(), [overdue(&two, 2)]);
    let both = [overdue(&two, 2), overdue(&one, 1)];
    assert_eq!(store.list_overdue_authorizations(at(30), 9).await.unwrap(), both);
    assert_eq!(store.list_overdue_authorizations(at(30), 1).await.unwrap(), both[..1]);
}

pub(crate) async fn open_authorizations_of_an_account_are_listed(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let mut rows = Vec::new();
    for number in 1..=4 {
        rows.push(insert(&*store, &one, number).await);
    }
    insert(&*store, &two, 5).await;
    let denied = step(&rows[0].authorization, AuthorizationState::Denied { at: at(9) });
    store.update_authorization(&one, denied).await.unwrap();
    let since = at(20);
    let exchanging = AuthorizationState::Exchanging { since, connection_id: connection_id(1) };
    let exchanging = step(&rows[1].authorization, exchanging);
    store.update_authorization(&one, exchanging.clone()).await.unwrap();
    rows[1].authorization = exchanging.authorization;
    for row in &mut rows {
        row.sealed = None;
    }
    let [_, exchanging, third, fourth] = <[_; 4]>::try_from(rows).unwrap();
    let open = async |now, limit| store.list_open_authorizations(&one, now, limit).await.unwrap();
    assert_eq!(open(at(29), 9).await, [fourth.clone(), third, exchanging.clone()]);
    assert_eq!(open(at(29), 1).await, [fourth]);
    // The time of its person has passed, but not that of the exchange.
    assert_eq!(open(at(30), 9).await, [exchanging]);
    assert_eq!(open(at(20 + 300), 9).await, []);
}

pub(crate) async fn a_revoked_key_adds_no_authorization(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let key = key_row(&one, 1);
    let mut by_key = new(&one, 1);
    by_key.event.actor = actor(&key);
    let refused = store.insert_authorization(&one, by_key).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(store.list_authorizations(&one, None, 9).await.unwrap(), []);
    assert_eq!(keys(db).await, Vec::<u8>::new());
    let gone = samples::account(9).id;
    let authorization = Authorization { account_id: gone.clone(), ..new(&one, 1).authorization };
    let step = step(&authorization, AuthorizationState::Started);
    let refused = store.update_authorization(&gone, step).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
}

pub(crate) async fn an_idempotent_request_is_completed_with_its_authorization(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    let key = IdempotencyKey::parse("once").unwrap();
    let operation = Operation::CreateAuthorization;
    let request = ReserveRequest {
        operation_id: samples::operation_id(),
        operation,
        key: key.clone(),
        mac: RequestMac([1; 32]),
        other_macs: Vec::new(),
        at: at(0),
    };
    store.reserve_idempotency_key(&one, &request).await.unwrap();
    let completing = |number, attempt| {
        let completion = Completion {
            reservation: Reservation { operation, key: key.clone(), attempt },
            answer: StoredResponse(vec![7]),
            at: at(1),
        };
        crate::NewAuthorization { completion: Some(completion), ..new(&one, number) }
    };
    let lost = store.insert_authorization(&one, completing(1, 2)).await;
    assert!(matches!(lost, Err(Error::ReservationLost)), "{lost:?}");
    store.insert_authorization(&one, completing(2, 1)).await.unwrap();
    let found = store.list_authorizations(&one, None, 9).await.unwrap();
    assert_eq!(
        found.iter().map(|row| row.authorization.id.clone()).collect::<Vec<_>>(),
        [authorization_id(2)]
    );
    let again = store.reserve_idempotency_key(&one, &request).await.unwrap();
    assert_eq!(again, Reserved::Completed(StoredResponse(vec![7])));
}

pub(crate) async fn ended_authorizations_are_deleted_when_they_are_old_enough(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for number in 1..=4 {
        let row = insert(&*store, &one, number).await;
        if number < 4 {
            let ended = AuthorizationState::Denied { at: at(10 + i64::from(number)) };
            store.update_authorization(&one, step(&row.authorization, ended)).await.unwrap();
        }
    }
    let after_a_minute = |second, limit| Expired { kept: Duration::from_mins(1), limit, now: at(second) };
    assert_eq!(store.delete_ended_authorizations(&after_a_minute(70, 9)).await.unwrap(), 0);
    assert_eq!(store.delete_ended_authorizations(&after_a_minute(72, 1)).await.unwrap(), 1);
    assert_eq!(store.delete_ended_authorizations(&after_a_minute(72, 9)).await.unwrap(), 1);
    let found = store.list_authorizations(&one, None, 9).await.unwrap();
    let ids: Vec<_> = found.into_iter().map(|row| row.authorization.id).collect();
    assert_eq!(ids, [authorization_id(4), authorization_id(3)]);
}

pub(crate) async fn deleting_an_account_deletes_its_authorizations(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        for number in 1..=3 {
            insert(&*store, account, number).await;
        }
    }
    let gone = event(&one, 9_000, Actor::Operator, "account");
    let mut parts = 1;
    while store.delete_account_part(&one, 2, &gone).await.unwrap() != AccountDeletion::Done {
        parts += 1;
    }
    assert_eq!(parts, 2, "three authorizations by two");
    assert_eq!(store.list_authorizations(&one, None, 9).await.unwrap(), []);
    assert_eq!(store.list_authorizations(&two, None, 9).await.unwrap().len(), 3);
    assert_eq!(keys(db).await, [1, 2, 3]);
}
