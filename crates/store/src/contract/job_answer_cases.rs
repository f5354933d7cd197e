//! The stored responses of uploads whose bytes the client sends.

use domain::audit::Actor;
use domain::job::{Job, Webhook};

use super::TestDatabase;
use super::job_samples::{
    connection_id, insert_job, job, job_id, lease, new_job, sealed, terms, update, uploading, write,
};
use super::job_secret_cases::keys;
use super::samples::{event, insert_account, insert_connection};
use crate::{AccountDeletion, Changed, JobGuard, JobUpdate, LeaseAfter, SealedPart};

pub(crate) async fn a_stored_response_is_wiped_with_its_link(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let new = insert_job(&*store, &one, 1, 1).await;
    lease(&*store, &one, 1, &terms(0, 2)).await;
    assert_eq!(store.find_job_answer(&one, &job_id(1)).await.unwrap(), None);
    let mut linked = update(new, 1, uploading(7, 0), 3);
    (linked.link, linked.answer) = (SealedPart::Replaced(sealed(2)), Some(sealed(3)));
    let late = JobUpdate { guard: JobGuard::Fence(9), answer: Some(sealed(4)), ..linked.clone() };
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No);
    assert_eq!(store.find_job_answer(&one, &job_id(1)).await.unwrap(), None, "nothing was written");
    let linked = write(&*store, linked).await;
    assert_eq!(store.find_job_answer(&one, &job_id(1)).await.unwrap(), Some(sealed(3)));
    assert_eq!(keys(db).await, [1, 2, 3, 100]);
    let next = update(linked, 1, uploading(7, 5), 4);
    let next = write(&*store, JobUpdate { lease: LeaseAfter::Released, ..next }).await;
    let leased = lease(&*store, &one, 1, &terms(1, 10)).await;
    assert_eq!((leased.request, leased.link), (Some(sealed(100)), Some(sealed(2))));
    assert_eq!(store.find_job_answer(&one, &job_id(1)).await.unwrap(), Some(sealed(3)), "kept with the link");
    let two = insert_account(&*store, 2).await;
    assert_eq!(store.find_job_answer(&two, &job_id(1)).await.unwrap(), None, "it belongs to another account");
    let mut wiped = update(next, 2, uploading(7, 5), 11);
    (wiped.link, wiped.answer) = (SealedPart::Wiped, Some(sealed(5)));
    write(&*store, wiped).await;
    assert_eq!(
        store.find_job_answer(&one, &job_id(1)).await.unwrap(),
        None,
        "also if the update has a new one"
    );
    assert_eq!(keys(db).await, [1, 100]);
}

pub(crate) async fn a_stored_response_is_deleted_with_its_connection_or_account(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for connection in [1, 2] {
        insert_connection(&*store, &one, connection, &format!("c {connection}")).await.unwrap();
        let number = connection;
        let webhook = Webhook::Waiting { attempts: 0 };
        let new = Job { webhook, ..job(&one, number, connection) };
        store.insert_job(&one, new_job(new.clone(), 2)).await.unwrap();
        lease(&*store, &one, number, &terms(0, 2)).await;
        let mut linked = update(new, 1, uploading(7, 0), 3);
        (linked.link, linked.answer) = (SealedPart::Replaced(sealed(20)), Some(sealed(30)));
        write(&*store, linked).await;
    }
    let deletion = event(&one, 500, Actor::Operator, "c 1");
    assert_eq!(store.delete_connection(&one, &connection_id(1), &deletion).await.unwrap(), Changed::Yes);
    assert_eq!(store.find_job_answer(&one, &job_id(1)).await.unwrap(), None);
    assert_eq!(store.find_job_answer(&one, &job_id(2)).await.unwrap(), Some(sealed(30)));
    assert_eq!(keys(db).await, [2, 20, 30, 100, 100], "the webhook needs the request");
    let deletion = event(&one, 999, Actor::Operator, "account");
    for _ in 0..9 {
        if store.delete_account_part(&one, 3, &deletion).await.unwrap() == AccountDeletion::Done {
            break;
        }
    }
    assert_eq!(store.find_job_answer(&one, &job_id(2)).await.unwrap(), None);
    assert_eq!(keys(db).await, Vec::<u8>::new());
}
