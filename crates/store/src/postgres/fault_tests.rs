//! Faults that happened once, or that one changed word would bring back.

use std::net::TcpListener;
use std::time::Duration;

use domain::audit::Actor;
use domain::idempotency::{
    IdempotencyKey, Operation, RESPONSE_TTL_SECONDS, RequestMac, ReserveRequest, Reserved,
};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_util::task::TaskTracker;

use super::{
    accounts, api_keys, audit_events, authorizations, connection_health, connection_writes, connections,
    connector, dashboard_sessions, exports, idempotency_records, job_leases, job_writes, jobs, parameters,
    retention, webhook_deliveries, webhook_endpoints, webhook_secrets,
};
use crate::contract::{TestDatabase, job_samples, samples, test_database};
use crate::{DatabaseUrl, Error, OpenError, Options};

#[tokio::test]
async fn a_record_that_is_taken_over_during_the_sweep_stays() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store = db.open().await;
    let one = samples::insert_account(&*store, 1).await;
    let request = |second: i64| ReserveRequest {
        operation_id: samples::operation_id(),
        operation: Operation::CreateConnection,
        key: IdempotencyKey::parse("k").unwrap(),
        mac: RequestMac([1; 32]),
        other_macs: Vec::new(),
        at: samples::at(second),
    };
    store.reserve_idempotency_key(&one, &request(0)).await.unwrap();
    let later = 2 * RESPONSE_TTL_SECONDS;
    let until = samples::at(later + 30).as_micros();
    let taken_over =
        db.hold(&format!("UPDATE idempotency_records SET attempt = 2, reserved_until = {until}")).await;
    let swept = store.delete_idempotency_records(samples::at(later), 99);
    let (swept, ()) = tokio::join!(swept, taken_over.commit_when_waited_for());
    assert_eq!(swept.unwrap(), 0);
    assert_eq!(store.reserve_idempotency_key(&one, &request(later)).await.unwrap(), Reserved::InProgress);
}

/// The statements on tables with many rows.
const ON_LARGE_TABLES: &[&str] = &[
    connection_writes::INSERT,
    connection_writes::INSERT_AND_COMPLETE,
    connection_writes::UPDATE,
    connection_writes::DELETE,
    connections::FIND,
    connections::FIND_SEALED,
    connections::FIND_ID_BY_NAME,
    connections::LIST,
    connections::LIST_IDS,
    connection_health::FIND,
    connection_health::LIST,
    connection_health::WRITE,
    connection_health::SCHEDULE,
    connection_health::LIST_DUE,
    connection_health::LEASE,
    connection_health::LIST_NOT_HEALTHY,
    connection_health::LIST_HEALTHY,
    connection_health::INSERT_MISSING,
    connection_health::DELETE,
    connection_health::DELETE_ORPHANED,
    connection_health::DELETE_OF_ACCOUNT,
    idempotency_records::RESERVE,
    idempotency_records::FIND,
    idempotency_records::RELEASE,
    idempotency_records::DELETE_ENDED,
    accounts::DELETE_API_KEYS,
    accounts::DELETE_CONNECTIONS,
    accounts::DELETE_RECORDS,
    api_keys::FIND_BY_HASH,
    api_keys::LIST,
    audit_events::INSERT,
    audit_events::LIST,
    accounts::DELETE_JOBS,
    accounts::DELETE_JOB_SECRETS,
    accounts::DELETE_WEBHOOK_SECRETS,
    jobs::FIND,
    jobs::FIND_SECRET,
    jobs::FIND_RETRY,
    exports::LIST_RECORDS,
    exports::LIST_SECRET_DATES,
    retention::DELETE_ENDED,
    retention::DELETE_SECRETS,
    retention::DELETE_KEPT,
    jobs::LIST,
    jobs::LIST_OF_CONNECTION,
    jobs::COUNT,
    jobs::LIST_DUE,
    job_leases::LEASE,
    job_leases::FIND_SECRETS,
    job_leases::RENEW,
    job_writes::INSERT,
    job_writes::UPDATE,
    job_writes::MARK,
    job_writes::WIPE,
    webhook_secrets::LIST,
    webhook_endpoints::FIND,
    webhook_endpoints::LIST,
    webhook_deliveries::LIST_DUE,
    webhook_deliveries::LEASE,
    webhook_deliveries::FINISH,
    webhook_deliveries::FIND,
    webhook_deliveries::LIST,
    webhook_deliveries::LIST_OF_ENDPOINT,
    webhook_deliveries::LIST_OF_JOB,
    dashboard_sessions::FIND,
    dashboard_sessions::DELETE_EXPIRED,
    dashboard_sessions::DELETE_OF_ACCOUNT,
    authorizations::FIND,
    authorizations::FIND_BY_TOKEN,
    authorizations::FIND_BY_STATE,
    authorizations::LIST,
    authorizations::LIST_OPEN,
    authorizations::LIST_OVERDUE,
    authorizations::UPDATE,
    accounts::DELETE_AUTHORIZATIONS,
    accounts::DELETE_AUTHORIZATION_SECRETS,
    retention::DELETE_AUTHORIZATIONS,
];

/// The generic plans of the statements on tables with many rows, made while the tables are empty.
#[tokio::test]
async fn no_plan_that_was_made_on_empty_tables_is_a_scan() {
    // PostgreSQL 15 cannot explain a statement without its parameters.
    let Some(db) = test_database::postgres_18().await else { return };
    db.open().await.close().await;
    let settings = connector::settings(Duration::from_secs(5));
    for &statement in ON_LARGE_TABLES {
        let plan = db.explain(&settings, &parameters::Numbered::of(statement).sql).await;
        assert!(plan.contains("Scan") || plan.contains("Insert"), "{plan}");
        assert!(!plan.contains("Seq Scan on") && !plan.contains("Bitmap"), "{statement}\n{plan}");
    }
}

#[tokio::test]
async fn the_servers_message_about_a_row_is_not_repeated() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store = db.open().await;
    let one = samples::insert_account(&*store, 1).await;
    db.sql("ALTER TABLE connections ADD CONSTRAINT canary_check CHECK (name <> 'canary name')").await;
    let refused = samples::insert_connection(&*store, &one, 1, "canary name").await.unwrap_err();
    let Error::Unavailable(cause) = refused else { panic!("{refused:?}") };
    let text = format!("{cause} {cause:?}");
    assert!(text.contains("23514") && text.contains("canary_check"), "{text}");
    assert!(!text.contains("canary name") && !text.contains("Failing row"), "{text}");
}

/// The URL of the database with another host before its own.
fn behind(host: &str, db: &TestDatabase) -> Options {
    let url = db.url().replacen('@', &format!("@{host},"), 1);
    Options { database_url: DatabaseUrl::parse(&url).unwrap(), ..db.options() }
}

#[tokio::test]
async fn a_silent_or_absent_host_does_not_hide_the_other() {
    let Some(db) = test_database::postgres_15().await else { return };
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    // Bound, so that no other process gets the port, and not listened on.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let gone = closed.local_addr().unwrap().to_string();
    for host in [silent_address, gone] {
        let mut options = behind(&host, &db);
        options.database_url = options.database_url.with_timeout(Duration::from_secs(1));
        let store = crate::open(options).await.unwrap();
        samples::insert_account(&*store, 1).await.as_str();
        store.close().await;
        db.sql("TRUNCATE accounts, audit_events CASCADE").await;
    }
}

async fn refused(db: &TestDatabase, url: String) -> String {
    let options = Options { database_url: DatabaseUrl::parse(&url).unwrap(), ..db.options() };
    match crate::open(options).await {
        Err(error @ (OpenError::Server(_) | OpenError::ForeignSchema)) => error.to_string(),
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("it was opened"),
    }
}

#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    let Some(db) = test_database::postgres_15_with(
        "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0 LOCALE_PROVIDER libc",
    )
    .await
    else {
        return;
    };
    let said = refused(&db, db.url().to_owned()).await;
    assert!(said.contains("LATIN1") && said.contains("must be UTF8"), "{said}");
}

#[tokio::test]
async fn a_role_without_privileges_is_refused_with_what_it_needs() {
    let Some(db) = test_database::postgres_15().await else { return };
    let role = format!("role_{}", std::process::id());
    db.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'x'")).await;
    let (scheme, rest) = db.url().split_once("://").unwrap();
    let url = format!("{scheme}://{role}:x@{}", rest.split_once('@').unwrap().1);
    let before = refused(&db, url.clone()).await;
    db.open().await.close().await;
    let after = refused(&db, url).await;
    db.sql(&format!("DROP ROLE {role}")).await;
    for said in [before, after] {
        assert!(said.contains("42501") && said.contains("GRANT it CREATE and USAGE"), "{said}");
    }
}

#[tokio::test]
async fn tables_of_another_program_are_left_unchanged() {
    for table in
        ["accounts (x int)", "audit_events (x int)", "jobs (x int)", "schema_migrations (version text)"]
    {
        let Some(db) = test_database::postgres_15().await else { return };
        db.sql(&format!("CREATE TABLE {table}")).await;
        let said = refused(&db, db.url().to_owned()).await;
        assert!(said.contains("tables of another program"), "{said}");
        let count = db.ask("SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'").await;
        assert_eq!(count, "1", "{table}");
    }
}

#[tokio::test]
async fn a_closing_store_completes_the_queued_writes() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store = db.open().await;
    let one = samples::insert_account(&*store, 1).await;
    let writes = (0..200).map(|number| {
        let event = samples::event(&one, 10 + number, Actor::Operator, "last words");
        let (store, one) = (&store, &one);
        async move { store.insert_audit_event(one, &event).await }
    });
    let (written, ()) = tokio::join!(samples::all(writes), store.close());
    assert!(written.iter().all(Result::is_ok), "queued writes are completed before the store is closed");
}

/// The holder of a job releases it with a new link, while another worker waits for its lease.
#[tokio::test]
async fn a_lease_sees_what_its_last_holder_left_during_the_wait() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store = db.open().await;
    let one = samples::insert_account(&*store, 1).await;
    samples::insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = job_samples::insert_job(&*store, &one, 1, 1).await;
    let left = db.hold(RELEASE_WITH_LINK).await;
    let terms = job_samples::terms(0, 3);
    let leased = store.lease_job(&one, &job.id, &terms);
    let (leased, ()) = tokio::join!(leased, left.commit_when_waited_for());
    assert_eq!(leased.unwrap().unwrap().link, Some(job_samples::sealed(7)));
}

const RELEASE_WITH_LINK: &str = "UPDATE jobs SET version = version + 1;
    INSERT INTO job_secrets SELECT account_id, job_id, 'link', decode(repeat('07', 60), 'hex'),
        decode(repeat('07', 70), 'hex') FROM jobs";

#[tokio::test]
async fn a_link_that_is_added_while_its_connection_is_deleted_is_wiped_too() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store = db.open().await;
    let one = samples::insert_account(&*store, 1).await;
    samples::insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = job_samples::insert_job(&*store, &one, 1, 1).await;
    let left = db.hold(RELEASE_WITH_LINK).await;
    let event = samples::event(&one, 20, Actor::Operator, "c");
    let deleted = store.delete_connection(&one, &job.connection_id, &event);
    let (deleted, ()) = tokio::join!(deleted, left.commit_when_waited_for());
    assert_eq!(deleted.unwrap(), crate::Changed::Yes);
    assert_eq!(db.ask("SELECT count(*)::text FROM job_secrets").await, "0");
    assert_eq!(store.find_job(&one, &job.id).await.unwrap().unwrap().version, 2);
}

/// As after a lost session: the write is repeated, and only the job itself shows that it was committed.
#[tokio::test]
async fn a_repeated_update_without_an_event_is_recognised() {
    let Some(db) = test_database::postgres_15().await else { return };
    let store = db.open().await;
    let one = samples::insert_account(&*store, 1).await;
    samples::insert_connection(&*store, &one, 1, "c").await.unwrap();
    let job = job_samples::insert_job(&*store, &one, 1, 1).await;
    job_samples::lease(&*store, &one, 1, &job_samples::terms(0, 2)).await;
    let mut update = job_samples::update(job, 1, job_samples::uploading(7, 0), 3);
    update.lease = crate::LeaseAfter::Released;
    for _ in 0..2 {
        job_samples::write(&*store, update.clone()).await;
    }
    let mut other = update.clone();
    other.job.version += 1;
    other.row_mac = job_samples::mac(&other.job);
    assert_eq!(store.update_job(&one, other).await.unwrap(), crate::Changed::No);
    update.guard = crate::JobGuard::Fence(0);
    assert_eq!(store.update_job(&one, update).await.unwrap(), crate::Changed::No);
}

/// The database behind a proxy that opens each connection only after a pause.
async fn behind_a_slow_proxy(db: &TestDatabase, pause: Duration) -> DatabaseUrl {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (front, rest) = db.url().rsplit_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let (server, tasks) = (server.to_owned(), TaskTracker::new());
    tasks.clone().spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let server = server.clone();
            tasks.spawn(async move {
                tokio::time::sleep(pause).await;
                let mut server = TcpStream::connect(server).await.unwrap();
                let _ = copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    DatabaseUrl::parse(&format!("{front}@{address}/{database}")).unwrap()
}

#[tokio::test]
async fn a_connection_that_opens_slowly_is_waited_for() {
    let Some(db) = test_database::postgres_15().await else { return };
    let database_url = behind_a_slow_proxy(&db, Duration::from_millis(1_500)).await;
    let store = crate::open(Options { database_url, ..db.options() }).await.unwrap();
    samples::insert_account(&*store, 1).await.as_str();
    store.close().await;
}

#[tokio::test]
async fn inspecting_a_silent_server_lasts_for_the_timeout_of_its_url() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://u:p@{}/d", silent.local_addr().unwrap());
    let url = DatabaseUrl::parse(&url).unwrap();
    let (short, long) =
        (url.clone().with_timeout(Duration::from_secs(1)), url.with_timeout(Duration::from_mins(1)));
    tokio::select! {
        biased;
        ended = crate::inspect(&long) => panic!("the longer one ended first: {:?}", ended.map(drop)),
        ended = crate::inspect(&short) => assert!(matches!(ended, Err(OpenError::Server(_)))),
    }
}
