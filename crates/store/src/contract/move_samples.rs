//! The two sides of a move, for its cases.

use std::time::Duration;

use domain::audit::Actor;
use domain::id::AccountId;
use rusqlite::Connection;

use super::job_samples;
use super::place::Place;
use super::samples::{self, at, event, insert_account, insert_connection, key_row};
use crate::{
    MoveError, MoveOutcome, MoveRequest, OpenError, Options, SealedPart, Store, WebhookSecretRow,
    move_database,
};

pub(super) async fn move_to(source: &Place, target: &Place) -> Result<MoveOutcome, MoveError> {
    let (from, to) = (source.database_url(), target.database_url());
    let random = samples::operation_id().0;
    move_database(MoveRequest { from: &from, to: &to, random, now: &|| at(50), progress: &|_| {} }).await
}

/// A file with something in each table.
pub(super) async fn filled(source: &Place) -> Box<Connection> {
    let store = source.open().await;
    let account = insert_account(&*store, 1).await;
    let key = key_row(&account, 1);
    store.insert_api_key(&account, &key, &event(&account, 11, Actor::Operator, "key")).await.unwrap();
    store.find_or_insert_service_secret(&samples::wrapped(8)).await.unwrap();
    for number in 1..=3 {
        insert_connection(&*store, &account, number, &format!("name {number}")).await.unwrap();
    }
    insert_jobs(&*store, &account).await;
    store.close().await;
    let file = Connection::open(source.path()).unwrap();
    file.execute_batch(
        "INSERT INTO idempotency_records (account_id, operation, idempotency_key, attempt, request_mac, reserved_until,
            is_released) SELECT account_id, 'create', 'once', 1, zeroblob(32), 5, 1 FROM accounts",
    )
    .unwrap();
    Box::new(file)
}

/// A job that waits and one that is held, which has a link; and a webhook secret.
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

/// As a process that was killed after the copy leaves both sides.
pub(super) async fn uncomplete(source: &Place, target: &Place) {
    let file = Connection::open(source.path()).unwrap();
    file.execute_batch("UPDATE moves SET state = 'running', ended_at = NULL").unwrap();
    target.sql("UPDATE moves SET state = 'running', ended_at = NULL").await;
}

pub(super) async fn make_anew(target: &Place) {
    target.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
}

/// The target by itself, as a move has it.
pub(super) async fn target_of(place: &Place) -> crate::postgres::Target {
    let crate::url::Place::Postgres(server) = place.database_url().place else { panic!("a file") };
    crate::postgres::Target::open(*server).await.unwrap()
}

pub(super) async fn refusal(place: &Place) -> Option<OpenError> {
    let opened = crate::open(Options { now: at(60), ..place.options() }).await;
    opened.err()
}
