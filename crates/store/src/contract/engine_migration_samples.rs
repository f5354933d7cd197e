//! Sources and targets of engine migrations.

use std::time::Duration;

use domain::audit::{Actor, AuditChain, AuditLink, Link};
use domain::id::{AccountId, DeliveryId};
use domain::service_secrets::ServiceSecrets;
use domain::session::SessionState;
use domain::webhook::{EventFilter, EventType};
use rusqlite::Connection;

use super::authorization_samples;
use super::job_samples;
use super::samples::{self, at, event, insert_account, insert_connection, key_row};
use super::session_cases::{insert_session, session_row};
use super::test_database::TestDatabase;
use super::webhook_samples;
use crate::{
    AuditChainWrite, Changed, EngineMigrationError, EngineMigrationOutcome, EngineMigrationRequest, Error,
    NewJobDelivery, OpenError, Options, SealedPart, Store, WebhookSecretRow, migrate_engine,
};

/// Runs each case with a file and an empty database of each version.
macro_rules! migrations {
    ($($case:ident,)+) => {
        mod to_postgres_15 {
            $($crate::contract::engine_migration_samples::migrations! { @case $case postgres_15 })+
        }
        mod to_postgres_18 {
            $($crate::contract::engine_migration_samples::migrations! { @case $case postgres_18 })+
        }
    };
    (@case $case:ident $target:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if let Some(target) = $crate::contract::test_database::$target().await {
                super::$case(&$crate::contract::TestDatabase::sqlite(), &target).await;
            }
        }
    };
}
pub(super) use migrations;

pub(super) async fn migrate_to(
    source: &TestDatabase,
    target: &TestDatabase,
) -> Result<EngineMigrationOutcome, EngineMigrationError> {
    let (from, to) = (source.database_url(), target.database_url());
    let random = samples::operation_id().0;
    migrate_engine(EngineMigrationRequest {
        from: &from,
        to: &to,
        random,
        now: &|| at(50),
        progress: &|_| {},
    })
    .await
}

/// A file with rows in each table.
pub(super) async fn filled(source: &TestDatabase) -> Box<Connection> {
    let store = source.open().await;
    let account = fill(&*store).await;
    link_events(&*store, &account).await;
    store.close().await;
    let file = Connection::open(source.path()).unwrap();
    file.execute_batch(
        "INSERT INTO idempotency_records (account_id, operation, idempotency_key, attempt, request_mac, reserved_until,
            is_released) SELECT account_id, 'create', 'once', 1, zeroblob(32), 5, 1 FROM accounts",
    )
    .unwrap();
    Box::new(file)
}

/// An account with an API key, a session, and sealed records of every kind.
pub(super) async fn fill(store: &dyn Store) -> AccountId {
    let account = insert_account(store, 1).await;
    let key = key_row(&account, 1);
    store.insert_api_key(&account, &key, &event(&account, 11, Actor::Operator, "key")).await.unwrap();
    insert_service_secrets(store).await;
    for number in 1..=3 {
        insert_connection(store, &account, number, &format!("name {number}")).await.unwrap();
    }
    insert_jobs(store, &account).await;
    insert_webhooks(store, &account).await;
    let session = session_row(&account, 1, SessionState::Active);
    insert_session(store, &account, &session).await;
    authorization_samples::insert(store, &account, 1).await;
    account
}

/// An endpoint, a delivery to it, and a job's own with its secret.
async fn insert_webhooks(store: &dyn Store, account: &AccountId) {
    webhook_samples::insert_endpoint(store, account, 1, EventFilter::All).await;
    let announced = webhook_samples::announcing(account, 30, EventType::UploadFailed);
    store.insert_audit_event(account, &announced).await.unwrap();
    let job = job_samples::insert_job(store, account, 0, 1).await;
    job_samples::lease(store, account, 0, &job_samples::terms(0, 3)).await;
    let mut handing = job_samples::update(job, 1, job_samples::uploading(8, 5), 4);
    handing.delivery = Some(NewJobDelivery {
        id: DeliveryId::from_stored("20260131090500043000000000000000-job".to_owned()),
        event_id: "msg_1".to_owned(),
        event_type: EventType::UploadFailed.as_str(),
        receiver: "origin".to_owned(),
        sealed: job_samples::sealed(11),
    });
    job_samples::write(store, handing).await;
}

/// The chain of an account, with two events.
async fn link_events(store: &dyn Store, account: &AccountId) {
    let ids: Vec<_> = samples::audited(store, account).await.into_iter().map(|event| event.id).collect();
    let link = |position: usize| AuditLink {
        event_id: ids[position].clone(),
        position: position as u64 + 1,
        link: Link([7; 32]),
    };
    let chain = AuditChain {
        version: 1,
        position: 2,
        linked_event_id: ids[1].clone(),
        row_mac: vec![9; 32],
        ..AuditChain::empty(account.clone(), at(6))
    };
    let write =
        AuditChainWrite { expected_version: 0, chain, links: vec![link(0), link(1)], deleted: Vec::new() };
    assert_eq!(store.write_audit_chain(account, write).await.unwrap(), Changed::Yes);
}

/// A waiting job, a leased one with a link, and a webhook secret.
async fn insert_jobs(store: &dyn Store, account: &AccountId) {
    job_samples::insert_job(store, account, 1, 1).await;
    let held = job_samples::insert_job(store, account, 2, 1).await;
    job_samples::lease(store, account, 2, &job_samples::terms(0, 3)).await;
    let mut linked = job_samples::update(held, 1, job_samples::uploading(7, 5), 4);
    linked.link = SealedPart::Replaced(job_samples::sealed(9));
    linked.answer = Some(job_samples::sealed(10));
    job_samples::write(store, linked).await;
    let sealed = job_samples::sealed(8);
    let secret = WebhookSecretRow { id: "secret".to_owned(), created_at: at(5), sealed };
    let event = event(account, 12, Actor::Operator, "secret");
    store.insert_webhook_secret(account, &secret, Duration::ZERO, &event).await.unwrap();
}

/// The state in which a process that is killed after the copy leaves both databases.
pub(super) async fn uncomplete(source: &TestDatabase, target: &TestDatabase) {
    let file = Connection::open(source.path()).unwrap();
    file.execute_batch("UPDATE moves SET state = 'running', ended_at = NULL").unwrap();
    target.sql("UPDATE moves SET state = 'running', ended_at = NULL").await;
}

pub(super) async fn recreate(target: &TestDatabase) {
    target.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
}

/// The target alone.
pub(super) async fn target_of(db: &TestDatabase) -> crate::postgres::Target {
    let crate::url::Location::Postgres(server) = db.database_url().location else { panic!("a file") };
    crate::postgres::Target::open(*server).await.unwrap()
}

pub(super) async fn refusal(db: &TestDatabase) -> Option<OpenError> {
    let opened = crate::open(Options { now: at(60), ..db.options() }).await;
    opened.err()
}

pub(super) async fn insert_account_2(store: &dyn Store) -> Result<(), Error> {
    let account = samples::account(2);
    store.insert_account(&account, &event(&account.id, 999_998, Actor::Operator, "account")).await
}

/// One of each role.
async fn insert_service_secrets(store: &dyn Store) {
    store.find_or_insert_service_secret(&samples::wrapped(8)).await.unwrap();
    let first = ServiceSecrets::of(samples::wrapped(8));
    let switched = first.with_next(samples::wrapped(9), samples::at(1)).switched(samples::at(2)).unwrap();
    let retired = switched.with_former_retired(samples::wrapped(10), samples::at(3)).unwrap();
    let secrets = retired.with_next(samples::wrapped(11), samples::at(4));
    assert_eq!(store.change_service_secrets(&first, &secrets, None).await.unwrap(), Changed::Yes);
}
