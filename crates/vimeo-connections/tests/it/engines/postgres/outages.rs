//! PostgreSQL is down, silent or full: the service reports it, has no partial effect, and continues automatically
//! afterwards.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::chaos_clients::{ChaosClients, assert_whole};
use crate::support::cluster::env_on_database;
use crate::support::connections::{create, delete, path_of, post_with_key, put};
use crate::support::harness::{COLLECTION, Response, Service, TestEnv, binary, printed, run, until};
use crate::support::postgres::{Fault, Part, Postgres, Proxy, SharedPostgres, Stop, Version, psql, sql};
use crate::support::tools::print_numbers;

pub(super) const IMPATIENT: &str = "store.timeout_seconds = 1";
pub(super) const REFUSALS: [&str; 2] = ["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"];

/// The database is unavailable, nothing was stored, and the client may retry later.
pub(super) fn assert_unavailable(answer: &Response) {
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "STORE_UNAVAILABLE"), "{answer:?}");
    assert!(answer.header("retry-after").parse::<u32>().unwrap() > 0, "{answer:?}");
}

/// Every request reports that the database is unavailable, and the process is live.
async fn assert_away(env: &TestEnv, id: &str) {
    let ready = env.get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &*ready.code()), (503, "NOT_READY"), "{ready:?}");
    assert_eq!(ready.json()["checks"][0]["result"], "fail", "{ready:?}");
    assert_eq!(env.get("/health/live").await.status, 200);
    assert_unavailable(&env.get(&path_of(id)).await);
    assert_unavailable(&env.get(COLLECTION).await);
    assert_unavailable(&env.post(&env.valid_body("away")).await);
    assert_unavailable(&post_with_key(env, "away", &env.valid_body("away too")).await);
    assert_unavailable(&put(env, id, &json!({"version": 1, "description": "away"})).await);
    assert_unavailable(&delete(env, id).await);
}

/// The service works again without a restart, and the refused requests left nothing behind.
pub(super) async fn assert_back(env: &TestEnv, url: &str, id: &str) {
    until("it is ready", async || is_ready(env).await).await;
    let body = env.valid_body("away");
    let first = served(async || env.post(&body).await).await;
    assert_eq!(first.status, 201, "{first:?}");
    let made = first.json()["connectionId"].as_str().unwrap().to_owned();
    assert_eq!(served(async || delete(env, &made).await).await.status, 204);
    assert_eq!(served(async || env.get(&path_of(id)).await).await.json()["version"], 1);
    assert_whole(env, url);
}

/// The response to a request once the session that serves it is open again: each of them reconnects independently.
async fn served(request: impl AsyncFn() -> Response) -> Response {
    let mut response = request().await;
    until("it is served", async || {
        if response.status != 503 {
            return true;
        }
        assert_unavailable(&response);
        response = request().await;
        false
    })
    .await;
    response
}

async fn is_ready(env: &TestEnv) -> bool {
    env.get("/health/ready").await.status == 200
}

/// How a server goes down.
#[derive(Clone, Copy, Debug)]
enum End {
    Stopped(Stop),
    Killed,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_server_is_reconnected() {
    let Some(mut server) = Postgres::private(Version::V15) else { return };
    let url = server.create_database("vimeo");
    let env = env_on_database(&url, "").await;
    let process = env.service.id();
    let id = create(&env, &env.valid_body("before")).await;
    for end in [End::Stopped(Stop::Fast), End::Stopped(Stop::Immediate), End::Killed] {
        let name = format!("{end:?}").replace(['(', ')'], "-");
        let chaos = ChaosClients::start(&env, &[env.service.address], &name, 16);
        chaos.wait_for_acks(150).await;
        tokio::task::block_in_place(|| match end {
            End::Stopped(stop) => server.stop(stop),
            End::Killed => server.kill(),
        });
        until("the service notices it", async || !is_ready(&env).await).await;
        assert_away(&env, &id).await;
        tokio::task::block_in_place(|| server.start());
        chaos.wait_for_acks(100).await;
        let report = chaos.finish().await;
        report.assert_only_errors(&REFUSALS);
        report.assert_acknowledged_stored(&url);
        assert_back(&env, &url, &id).await;
        print_numbers(&format!("{end:?} and started: {}", report.summary()));
    }
    assert_eq!(env.service.id(), process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_refused_connections_is_reconnected() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut proxy = Proxy::before(&database.url()).await;
    let env = env_on_database(proxy.url(), "").await;
    let id = create(&env, &env.valid_body("before")).await;
    for _ in 0..2 {
        proxy.set(Fault::Refuse).await;
        proxy.cut();
        until("the service notices it", async || !is_ready(&env).await).await;
        assert_away(&env, &id).await;
        proxy.set(Fault::Pass).await;
        until("it is ready", async || is_ready(&env).await).await;
    }
    assert_back(&env, &database.url(), &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_times_out_and_is_reconnected() {
    for fault in [Fault::HoldRequests, Fault::HoldAnswers] {
        let Some(database) = SharedPostgres::database(Version::V15) else { return };
        let mut proxy = Proxy::before(&database.url()).await;
        let env = Arc::new(env_on_database(proxy.url(), IMPATIENT).await);
        let id = create(&env, &env.valid_body("before")).await;
        let chaos = ChaosClients::start(&env, &[env.service.address], "silent", 16);
        chaos.wait_for_acks(150).await;
        until("requests in flight time out", async || {
            // At some moments, no write is on its way to the server: then it falls silent again.
            proxy.set(Fault::Pass).await;
            until("it is ready", async || is_ready(&env).await).await;
            proxy.set(fault).await;
            let silent = Instant::now();
            // The service tries for ten seconds to find an outcome out.
            while chaos.count_of("OUTCOME_UNKNOWN") == 0 && silent.elapsed() < Duration::from_secs(15) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            chaos.count_of("OUTCOME_UNKNOWN") > 0
        })
        .await;
        assert_away(&env, &id).await;
        // The held requests arrive now, long after they timed out.
        proxy.set(Fault::Pass).await;
        chaos.wait_for_acks(100).await;
        let report = chaos.finish().await;
        report.assert_only_errors(&REFUSALS);
        until("late statements have ended", async || {
            let busy = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'";
            database.sql(busy) == "1"
        })
        .await;
        report.assert_acknowledged_stored(&database.url());
        assert_back(&env, &database.url(), &id).await;
        print_numbers(&format!("{fault:?}: {}", report.summary()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_lost_in_transit_can_be_retried() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut proxy = Proxy::before(&database.url()).await;
    let env = Arc::new(env_on_database(proxy.url(), IMPATIENT).await);
    assert_eq!(post_with_key(&env, "warm", &env.valid_body("warm")).await.status, 201);
    let answers = {
        let env = env.clone();
        tokio_util::task::TaskTracker::new().spawn(async move {
            // Whether or not it was stored, the same key leads to one connection.
            let body = env.valid_body("swallowed");
            let mut codes = Vec::new();
            loop {
                let answer = post_with_key(&env, "swallowed", &body).await;
                if answer.status == 201 {
                    return (codes, answer);
                }
                assert!(matches!(answer.status.as_u16(), 409 | 503), "{answer:?}");
                codes.push(answer.code());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };
    proxy.set(Fault::HoldAnswers).await;
    until("the service notices it", async || !is_ready(&env).await).await;
    proxy.set(Fault::Pass).await;
    let over = "UPDATE idempotency_records SET reserved_until = 0 WHERE answer IS NULL AND attempt < 50";
    until("the request has ended", async || {
        database.sql(over);
        answers.is_finished()
    })
    .await;
    let (_, first) = answers.await.unwrap();
    let again = post_with_key(&env, "swallowed", &env.valid_body("swallowed")).await;
    assert_eq!((&again.text, again.header("idempotent-replayed")), (&first.text, "true"));
    assert_eq!(database.sql("SELECT count(*) FROM connections"), "2");
    assert_whole(&env, &database.url());
}

/// Connections of other clients, as many as the server allows.
struct Takers(Vec<Child>);

impl Takers {
    /// Takes all remaining connections.
    async fn take_all(server: &Postgres) -> Self {
        let mut takers = Vec::new();
        let is_full = |server: &Postgres| {
            sql(&server.url("postgres"), "SELECT 1").is_err_and(|error| error.contains("too many clients"))
        };
        while !is_full(server) {
            assert!(takers.len() < 50);
            let mut command = psql(&server.url("postgres"), "SELECT pg_sleep(600)");
            let pipes = (Stdio::null(), Stdio::null(), Stdio::null());
            takers.push(command.stdin(pipes.0).stdout(pipes.1).stderr(pipes.2).spawn().unwrap());
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        Self(takers)
    }
}

impl Drop for Takers {
    fn drop(&mut self) {
        for taker in &mut self.0 {
            let _ = taker.kill();
            let _ = taker.wait();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_free_connections_is_waited_for() {
    let few =
        "max_connections = 12\nsuperuser_reserved_connections = 0\nclient_connection_check_interval = 100ms";
    let Some(server) = Postgres::with(Version::V15, few) else { return };
    let url = server.create_database("vimeo");
    let mut proxy = Proxy::before(&url).await;
    let mut env = env_on_database(proxy.url(), "").await;
    let id = create(&env, &env.valid_body("before")).await;

    proxy.set(Fault::Refuse).await;
    proxy.cut();
    let takers = Takers::take_all(&server).await;
    proxy.set(Fault::Pass).await;
    until("the service notices it", async || !is_ready(&env).await).await;
    assert_away(&env, &id).await;
    until("the log says why", async || {
        assert_unavailable(&env.post(&env.valid_body("away")).await);
        env.log().contains("too many clients")
    })
    .await;
    drop(takers);
    assert_back(&env, &url, &id).await;

    assert_eq!(env.service.terminate(), Some(0));
    let takers = Takers::take_all(&server).await;
    for arguments in [&["serve"][..], &["accounts", "list"]] {
        let refused = tokio::task::block_in_place(|| run(env.path(), &[], arguments));
        assert_eq!(refused.status.code(), Some(69));
        assert!(printed(&refused).contains("too many clients"), "{}", printed(&refused));
    }
    drop(takers);
    until("it starts", async || {
        let started = tokio::task::block_in_place(|| Service::try_start(binary(env.path()), env.path()));
        started.map(|service| env.service = service).is_ok()
    })
    .await;
    assert_back(&env, &url, &id).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_data_disk_rejects_writes_until_there_is_space() {
    let Some(server) = Postgres::on_a_small_disk(Version::V15, Part::Data, "") else { return };
    let url = server.create_database("vimeo");
    let env = env_on_database(&url, "").await;
    let id = create(&env, &env.valid_body("before")).await;
    for round in 0..2 {
        let chaos = ChaosClients::start(&env, &[env.service.address], &format!("full-{round}"), 16);
        chaos.wait_for_acks(50).await;
        server.fill_disk();
        until("rows are refused", async || chaos.count_of("STORE_UNAVAILABLE") > 20).await;
        assert_eq!(env.get("/health/live").await.status, 200);
        assert_eq!(env.get(&path_of(&id)).await.status, 200, "stored rows can be read");
        server.free_disk();
        chaos.wait_for_acks(50).await;
        let report = chaos.finish().await;
        report.assert_only_errors(&["STORE_UNAVAILABLE"]);
        report.assert_acknowledged_stored(&url);
        assert_back(&env, &url, &id).await;
        print_numbers(&format!("no space for rows: {}", report.summary()));
    }
    assert!(env.log().contains("53100") || env.log().contains("No space left"), "the log says why");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_stopped_by_a_full_wal_disk_is_reconnected() {
    let Some(mut server) = Postgres::on_a_small_disk(Version::V15, Part::Log, "wal_recycle = off") else {
        return;
    };
    let url = server.create_database("vimeo");
    let env = env_on_database(&url, "").await;
    let id = create(&env, &env.valid_body("before")).await;
    let chaos = ChaosClients::start(&env, &[env.service.address], "log", 32);
    chaos.wait_for_acks(50).await;
    server.fill_disk();
    // The current WAL file has 16 MB and is not full: another client fills it.
    let many =
        "CREATE TABLE IF NOT EXISTS filler (n int); INSERT INTO filler SELECT generate_series(1, 1000000)";
    assert!(tokio::task::block_in_place(|| sql(&url, many)).is_err());
    tokio::task::block_in_place(|| server.wait());
    assert!(server.log().contains("PANIC"), "{}", server.log());
    until("the service notices it", async || !is_ready(&env).await).await;
    assert_away(&env, &id).await;
    server.free_disk();
    tokio::task::block_in_place(|| server.start());
    chaos.wait_for_acks(100).await;
    let report = chaos.finish().await;
    report.assert_only_errors(&REFUSALS);
    report.assert_acknowledged_stored(&url);
    assert_back(&env, &url, &id).await;
    print_numbers(&format!("no space for the WAL: {}", report.summary()));
}
