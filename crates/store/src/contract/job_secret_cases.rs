//! The sealed parts of jobs, webhook secrets, and what a deleted connection or account leaves.

use std::time::Duration;

use domain::audit::Actor;
use domain::id::AccountId;
use domain::job::{
    CleaningUp, Ending, Failed, Failure, FailureCode, Job, JobState, Queued, Scheduled, Target, Webhook,
};
use domain::video::VideoNumber;

use super::TestDatabase;
use super::job_samples::{
    connection_id, insert_job, job, job_id, lease, new_job, sealed, service_event, terms, update, uploading,
    write,
};
use super::samples::{actor, at, event, insert_account, insert_connection, key_row};
use crate::{
    AccountDeletion, Changed, Error, JobFilter, JobUpdate, LeaseAfter, SealedPart, Store, WebhookSecretRow,
    Work,
};

/// The sealing keys that are left: the byte that fills each, sorted. SQLite overwrites a wiped key with zeros, PostgreSQL
/// deletes its row.
pub(super) async fn keys(db: &TestDatabase) -> Vec<u8> {
    let mut keys: Vec<u8> = if db.url().starts_with("sqlite") {
        let database = rusqlite::Connection::open(db.path()).unwrap();
        let mut keys = database.prepare("SELECT wrapped_key FROM sealing_keys").unwrap();
        let keys = keys.query_map([], |row| row.get::<_, Vec<u8>>(0)).unwrap();
        keys.map(|key| key.unwrap()[0]).filter(|fill| *fill != 0).collect()
    } else {
        let sealed = "SELECT get_byte(wrapped_key, 0) FROM";
        let keys = db
            .sql(&format!(
                "{sealed} connections UNION ALL {sealed} job_secrets UNION ALL {sealed} webhook_secrets
                 UNION ALL {sealed} authorization_secrets"
            ))
            .await;
        keys.iter().map(|key| key.parse().unwrap()).collect()
    };
    keys.sort_unstable();
    keys
}

pub(crate) async fn a_sealed_part_is_replaced_or_wiped_with_its_key(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let new = insert_job(&*store, &one, 1, 1).await;
    insert_job(&*store, &one, 2, 1).await;
    let leased = lease(&*store, &one, 1, &terms(0, 2)).await;
    assert_eq!((leased.request, leased.link), (Some(sealed(100)), None));
    assert_eq!(keys(db).await, [1, 100, 100]);
    let mut linked = update(new, 1, uploading(7, 0), 3);
    (linked.link, linked.lease) = (SealedPart::Replaced(sealed(2)), LeaseAfter::Released);
    let linked = write(&*store, linked).await;
    let leased = lease(&*store, &one, 1, &terms(1, 10)).await;
    assert_eq!((leased.request, leased.link), (Some(sealed(100)), Some(sealed(2))));
    assert_eq!(keys(db).await, [1, 2, 100, 100]);
    let mut replaced = update(linked, 2, uploading(7, 0), 11);
    replaced.link = SealedPart::Replaced(sealed(3));
    replaced.request = SealedPart::Replaced(sealed(4));
    replaced.lease = LeaseAfter::Released;
    let replaced = write(&*store, replaced).await;
    let leased = lease(&*store, &one, 1, &terms(2, 20)).await;
    assert_eq!((leased.request, leased.link), (Some(sealed(4)), Some(sealed(3))));
    assert_eq!(keys(db).await, [1, 3, 4, 100]);
    let mut wiped = update(replaced, 3, JobState::Queued(Queued::default()), 21);
    (wiped.link, wiped.request, wiped.lease) = (SealedPart::Wiped, SealedPart::Wiped, LeaseAfter::Released);
    write(&*store, wiped).await;
    let leased = lease(&*store, &one, 1, &terms(3, 30)).await;
    assert_eq!((leased.request, leased.link), (None, None));
    assert_eq!(keys(db).await, [1, 100], "the key of the other job is unchanged");
    let mut again = update(leased.job, 4, uploading(7, 0), 31);
    (again.link, again.request) = (SealedPart::Wiped, SealedPart::Wiped);
    write(&*store, again).await;
}

/// Inserts a job, updates it to a state with a link, and releases its lease.
async fn insert_in(store: &dyn Store, account: &AccountId, number: u32, state: JobState, webhook: Webhook) {
    let new = Job { webhook, ..job(account, number, 1) };
    store.insert_job(account, new_job(new.clone(), 2)).await.unwrap();
    lease(store, account, number, &terms(0, 2)).await;
    let mut becomes = update(new, 1, state, 3);
    becomes.due_in = if becomes.job.state.has_ended() && webhook == Webhook::None {
        None
    } else {
        Some(Duration::from_secs(1))
    };
    becomes.lease = LeaseAfter::Released;
    becomes.link = SealedPart::Replaced(sealed(u8::try_from(number).unwrap() + 10));
    write(store, becomes).await;
}

/// Jobs of the first connection, in many states: the number, the state and the webhook. The last two have ended.
fn states() -> Vec<(u32, JobState, Webhook)> {
    let target = |number: i64| Some(Target::Video(VideoNumber::from_stored(number)));
    let queued = |orphan| Queued { restarts: 2, orphan };
    let waiting = Webhook::Waiting { attempts: 0 };
    let failure = Failure { code: FailureCode::SourceBroken, message: "It broke.".to_owned() };
    let cleaning_up = |unconfirmed, target| {
        let ending = Ending::Failed(failure.clone());
        JobState::CleaningUp(CleaningUp { ending, unconfirmed, target, size: Some(9) })
    };
    let creating = |orphan| queued(orphan).begin_creating(at(50));
    let failed =
        |target| JobState::Failed(Failed { failure: failure.clone(), target, kept: None, size: None });
    let scheduled = Scheduled { video: VideoNumber::from_stored(77), size: 9 };
    vec![
        (1, JobState::Queued(queued(None)), Webhook::None),
        (2, JobState::Queued(queued(target(71))), waiting),
        (3, JobState::Creating(creating(target(72))), Webhook::None),
        (4, uploading(73, 500), waiting),
        (5, cleaning_up(Some(creating(target(74))), None), Webhook::None),
        (6, cleaning_up(Some(creating(None)), None), waiting),
        (7, cleaning_up(None, target(75)), Webhook::None),
        (8, JobState::Scheduled(scheduled), waiting),
        (9, failed(target(76)), waiting),
        (10, failed(None), Webhook::None),
    ]
}

pub(crate) async fn the_jobs_of_a_deleted_connection_are_marked_unless_they_have_ended(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    for connection in [1, 2] {
        insert_connection(&*store, &one, connection, &format!("c {connection}")).await.unwrap();
    }
    let mut before = Vec::new();
    for (number, state, webhook) in states() {
        insert_in(&*store, &one, number, state, webhook).await;
        before.push(store.find_job(&one, &job_id(number)).await.unwrap().unwrap());
    }
    let others = insert_job(&*store, &one, 30, 2).await;
    // One of them is running.
    let running = lease(&*store, &one, 4, &terms(1, 5)).await;
    let mut deletion = event(&one, 500, Actor::Operator, "c 1");
    deletion.at = at(6);
    assert_eq!(store.delete_connection(&one, &connection_id(1), &deletion).await.unwrap(), Changed::Yes);
    for before in before {
        let after = store.find_job(&one, &before.id).await.unwrap().unwrap();
        let is_connection_deleted = !before.state.has_ended();
        assert_eq!(after, Job { is_connection_deleted, ..before });
    }
    let late = update(running.job, running.fence, uploading(73, 900), 7);
    assert_eq!(store.update_job(&one, late).await.unwrap(), Changed::No, "its worker has lost the lease");
    for (work, expected) in
        [(Work::Webhook, &[9][..]), (Work::Upload, &[1, 2, 3, 4, 5, 6, 7, 30]), (Work::Publication, &[8])]
    {
        let due = store.list_due_jobs(at(6), work, &super::job_samples::at_most(99)).await.unwrap();
        let mut due: Vec<_> = due.into_iter().map(|due| due.id).collect();
        due.sort();
        assert_eq!(due, expected.iter().copied().map(job_id).collect::<Vec<_>>(), "{work:?}");
    }
    // The request is kept if a webhook has to be delivered.
    for (number, request, link) in [
        (1, None, None),
        (2, Some(sealed(100)), None),
        (3, None, None),
        (4, Some(sealed(100)), None),
        (7, None, None),
        (8, Some(sealed(100)), None),
        (9, Some(sealed(100)), Some(sealed(19))),
    ] {
        let fence = match number {
            4 => 3,
            9 => 1,
            _ => 2,
        };
        let leased = lease(&*store, &one, number, &terms(fence, 6)).await;
        assert_eq!((leased.request, leased.link), (request, link), "{number}");
    }
    assert_eq!(store.find_job(&one, &others.id).await.unwrap(), Some(others));
    // The keys of the other connection, of the links of the two ended jobs, and of the kept requests.
    assert_eq!(keys(db).await, [2, 19, 20, 100, 100, 100, 100, 100, 100, 100]);
}

pub(crate) async fn a_deletion_that_is_refused_or_finds_nothing_leaves_jobs_unchanged(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
        insert_job(&*store, account, 1, 1).await;
    }
    let refused = event(&one, 500, actor(&key_row(&one, 99)), "c");
    let refused = store.delete_connection(&one, &connection_id(1), &refused).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(job(&one, 1, 1)));
    let deletion = event(&one, 501, Actor::Operator, "c");
    assert_eq!(store.delete_connection(&one, &connection_id(1), &deletion).await.unwrap(), Changed::Yes);
    let gone = store.find_job(&one, &job_id(1)).await.unwrap().unwrap();
    assert!(gone.is_connection_deleted, "{gone:?}");
    assert_eq!(store.find_job(&two, &job_id(1)).await.unwrap(), Some(job(&two, 1, 1)));
    assert_eq!(keys(db).await, [1, 100]);
    let again = event(&one, 502, Actor::Operator, "c");
    assert_eq!(store.delete_connection(&one, &connection_id(1), &again).await.unwrap(), Changed::No);
    assert_eq!(store.find_job(&one, &job_id(1)).await.unwrap(), Some(gone));
}

/// A job is refused after the deletion, and marked before it.
pub(crate) async fn a_concurrent_deletion_of_the_connection_refuses_or_marks_each_new_job(db: &TestDatabase) {
    let stores = [db.open().await, db.open().await];
    let one = insert_account(&*stores[0], 1).await;
    for connection in 1..=12 {
        insert_connection(&*stores[0], &one, connection, &format!("c {connection}")).await.unwrap();
        let inserting = async {
            let mut answers = Vec::new();
            for number in 0..4 {
                let job = job(&one, connection * 10 + number, connection);
                answers.push(stores[1].insert_job(&one, new_job(job, 2)).await);
            }
            answers
        };
        let event = event(&one, 900 + connection, Actor::Operator, "c");
        let id = connection_id(connection);
        let deleting = stores[0].delete_connection(&one, &id, &event);
        let (inserted, deleted) = tokio::join!(inserting, deleting);
        assert_eq!(deleted.unwrap(), Changed::Yes);
        let filter = JobFilter { connection_id: Some(id), ..JobFilter::default() };
        let jobs = stores[0].list_jobs(&one, &filter, 99).await.unwrap();
        assert_eq!(jobs.len(), inserted.iter().filter(|answer| answer.is_ok()).count());
        assert!(jobs.iter().all(|job| job.is_connection_deleted), "{jobs:?}");
        for answer in inserted {
            assert!(matches!(answer, Ok(()) | Err(Error::NotFound)), "{answer:?}");
        }
    }
}

fn secret(number: u8, second: i64) -> WebhookSecretRow {
    WebhookSecretRow { id: format!("secret {number}"), created_at: at(second), sealed: sealed(number) }
}

async fn insert_secret(store: &dyn Store, account: &AccountId, number: u8, second: i64, overlap: u64) {
    let mut event = event(account, 600 + u32::from(number), Actor::Operator, "secret");
    event.at = at(second);
    let overlap = Duration::from_secs(overlap);
    store.insert_webhook_secret(account, &secret(number, second), overlap, &event).await.unwrap();
}

pub(crate) async fn deleting_an_account_deletes_its_jobs_and_secrets(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    for account in [&one, &two] {
        insert_connection(&*store, account, 1, "c").await.unwrap();
        for number in 1..=7 {
            insert_in(&*store, account, number, uploading(70, 0), Webhook::None).await;
        }
        for number in 50..=51 {
            insert_secret(&*store, account, number, 5, 1_000).await;
        }
    }
    let before = keys(db).await;
    assert_eq!(before.len(), 2 * (1 + 14 + 2));
    let event = event(&one, 999, Actor::Operator, "account");
    let mut parts = Vec::new();
    while parts.last() != Some(&AccountDeletion::Done) {
        parts.push(store.delete_account_part(&one, 3, &event).await.unwrap());
        assert!(parts.len() < 9);
    }
    assert_eq!(parts, [AccountDeletion::More, AccountDeletion::More, AccountDeletion::Done]);
    assert_eq!(store.list_jobs(&one, &JobFilter::default(), 99).await.unwrap(), []);
    assert_eq!(store.list_webhook_secrets(&one, at(6)).await.unwrap(), []);
    assert_eq!(store.list_jobs(&two, &JobFilter::default(), 99).await.unwrap().len(), 7);
    assert_eq!(store.list_webhook_secrets(&two, at(6)).await.unwrap().len(), 2);
    let kept: Vec<u8> = before.into_iter().step_by(2).collect();
    assert_eq!(keys(db).await, kept, "those of the other account");
    let due = store.list_due_jobs(at(99), Work::Upload, &super::job_samples::at_most(99)).await.unwrap();
    assert!(due.iter().all(|due| due.account_id == two));
}

pub(crate) async fn a_replaced_webhook_secret_is_listed_until_its_overlap_ends(db: &TestDatabase) {
    let store = db.open().await;
    let (one, two) = (insert_account(&*store, 1).await, insert_account(&*store, 2).await);
    let listed = |second: i64| {
        let (store, one) = (store.clone(), one.clone());
        async move { store.list_webhook_secrets(&one, at(second)).await.unwrap() }
    };
    assert_eq!(listed(0).await, []);
    insert_secret(&*store, &two, 9, 10, 60).await;
    insert_secret(&*store, &one, 1, 10, 60).await;
    assert_eq!(listed(10_000).await, [secret(1, 10)], "until it is replaced");
    insert_secret(&*store, &one, 2, 20, 60).await;
    assert_eq!(listed(20).await, [secret(2, 20), secret(1, 10)]);
    assert_eq!(listed(79).await, [secret(2, 20), secret(1, 10)]);
    assert_eq!(listed(80).await, [secret(2, 20)]);
    assert_eq!(keys(db).await, [1, 2, 9], "it is wiped by the next change");
    insert_secret(&*store, &one, 3, 30, 100).await;
    assert_eq!(listed(30).await, [secret(3, 30), secret(2, 20)], "only the newest and its predecessor");
    assert_eq!(keys(db).await, [2, 3, 9], "an older one is deleted at once, with its key");
    insert_secret(&*store, &one, 4, 40, 0).await;
    assert_eq!(listed(40).await, [secret(4, 40)], "without overlap the predecessor is deleted at once");
    assert_eq!(keys(db).await, [4, 9]);
    for number in 10..=60 {
        insert_secret(&*store, &one, number, 50, 100).await;
    }
    assert_eq!(listed(50).await, [secret(60, 50), secret(59, 50)]);
    assert_eq!(keys(db).await, [9, 59, 60]);
    more_secrets_of_an_earlier_version(db, &one).await;
    assert_eq!(listed(50).await, [secret(60, 50), secret(59, 50)], "they are not listed");
    insert_secret(&*store, &one, 61, 80, 0).await;
    assert_eq!(keys(db).await, [9, 61]);
    let mut refused = event(&one, 700, actor(&key_row(&one, 99)), "secret");
    refused.at = at(1_000);
    let refused = store.insert_webhook_secret(&one, &secret(5, 1_000), Duration::ZERO, &refused).await;
    assert!(matches!(refused, Err(Error::KeyNotActive)), "{refused:?}");
    assert_eq!(listed(1_000).await, [secret(61, 80)]);
    assert_eq!(keys(db).await, [9, 61]);
    assert_eq!(store.list_webhook_secrets(&two, at(10_000)).await.unwrap(), [secret(9, 10)]);
    assert_eq!(super::samples::audited(&*store, &one).await.len(), 57);
}

/// Earlier versions kept every replaced secret for a day.
async fn more_secrets_of_an_earlier_version(db: &TestDatabase, account: &AccountId) {
    let (account, at) = (account.as_str(), at(1).as_micros());
    let retires_at = i64::MAX / 2;
    if db.url().starts_with("sqlite") {
        let database = rusqlite::Connection::open(db.path()).unwrap();
        let key = "INSERT INTO sealing_keys (wrapped_key) VALUES (zeroblob(60)) RETURNING sealing_key_id";
        let key: i64 = database.query_row(key, [], |row| row.get(0)).unwrap();
        let row = "INSERT INTO webhook_secrets VALUES (?1, 'old', ?2, ?3, ?4, x'00')";
        database.execute(row, (account, at, retires_at, key)).unwrap();
    } else {
        db
            .sql(&format!(
                "INSERT INTO webhook_secrets (account_id, secret_id, created_at, retires_at, wrapped_key, envelope)
                 SELECT '{account}', 'old', {at}, {retires_at}, wrapped_key, envelope FROM webhook_secrets LIMIT 1"
            ))
            .await;
    }
}

pub(crate) async fn kept_sealed_parts_survive_updates(db: &TestDatabase) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    insert_in(&*store, &one, 1, uploading(70, 0), Webhook::None).await;
    let leased = lease(&*store, &one, 1, &terms(1, 10)).await;
    let mut next = update(leased.job, 2, uploading(70, 10), 11);
    next.event = Some(service_event(&one, 90));
    let next = write(&*store, JobUpdate { lease: LeaseAfter::Released, ..next }).await;
    let leased = lease(&*store, &one, 1, &terms(2, 20)).await;
    assert_eq!((leased.request, leased.link), (Some(sealed(100)), Some(sealed(11))));
    assert_eq!(leased.job, next);
}
