//! Tests of the PostgreSQL fixtures themselves.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use crate::support::harness::until;
use crate::support::postgres::{Cut, Fault, Part, Postgres, Proxy, SharedPostgres, Stop, Version, psql, sql};

const MAKE: &str = "CREATE TABLE kept (n int)";
const SLEEPERS: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";

#[test]
fn a_private_server_keeps_its_data_across_a_stop() {
    for (version, number) in [(Version::V15, "15."), (Version::V18, "18.")] {
        let Some(mut server) = Postgres::with(version, "deadlock_timeout = 7s") else { continue };
        assert_eq!(server.sql("SELECT 1"), "1");
        assert!(server.sql("SHOW server_version").starts_with(number));
        assert_eq!(server.sql("SHOW deadlock_timeout"), "7s");
        assert_eq!(server.sql("SHOW fsync"), "on");
        let url = server.create_database("own");
        assert_eq!(sql(&url, "SELECT current_database(), current_user").unwrap(), "own|tests");
        sql(&url, MAKE).unwrap();
        for stop in [Stop::Fast, Stop::Immediate] {
            sql(&url, "INSERT INTO kept VALUES (1)").unwrap();
            server.stop(stop);
            assert!(sql(&url, "SELECT 1").unwrap_err().contains("refused"));
            server.start();
        }
        assert_eq!(sql(&url, "SELECT count(*) FROM kept").unwrap(), "2");
        assert!(sql(&url, "SELECT * FROM missing").unwrap_err().contains("42P01"));
    }
}

#[test]
fn a_killed_server_recovers_exactly_what_was_committed() {
    for version in Version::ALL {
        let Some(mut server) = Postgres::private(version) else { continue };
        server.sql(MAKE);
        let uncommitted = "INSERT INTO kept VALUES (2); SELECT pg_sleep(60)";
        let mut client = start(&server.url("postgres"), uncommitted);
        wait_for(|| server.sql(SLEEPERS), "1");
        server.sql("INSERT INTO kept VALUES (1)");
        server.kill();
        assert!(!client.wait().unwrap().success());
        let before = server.log().len();
        server.start();
        assert!(server.log()[before..].contains("automatic recovery in progress"), "{}", server.log());
        assert_eq!(server.sql("SELECT n FROM kept"), "1");
    }
}

#[test]
fn a_promoted_standby_has_every_acknowledged_write() {
    for version in Version::ALL {
        let Some(mut server) = Postgres::private(version) else { continue };
        let standby = server.standby();
        assert!(sql(&standby.url("postgres"), MAKE).unwrap_err().contains("25006"));
        server.sql(MAKE);
        for n in 0..5 {
            server.sql(&format!("INSERT INTO kept VALUES ({n})"));
        }
        server.kill();
        standby.promote();
        assert_eq!(standby.sql("SELECT count(*) FROM kept"), "5");
        standby.sql("INSERT INTO kept VALUES (5)");
    }
}

#[test]
fn a_full_disk_rejects_rows_until_there_is_space() {
    for version in Version::ALL {
        let Some(server) = Postgres::on_a_small_disk(version, Part::Data, "") else { continue };
        server.sql(MAKE);
        let process = server.id();
        for _ in 0..2 {
            server.fill_disk();
            let many = "INSERT INTO kept SELECT generate_series(1, 100000)";
            let refused = sql(&server.url("postgres"), many).unwrap_err();
            assert!(refused.contains("53100"), "{refused}");
            server.free_disk();
            // The kernel may count the space as free somewhat later.
            let is_inserted = (0..500).any(|_| {
                let inserted = sql(&server.url("postgres"), "INSERT INTO kept VALUES (1)");
                inserted.is_ok() || {
                    std::thread::sleep(Duration::from_millis(10));
                    false
                }
            });
            assert!(is_inserted, "the server works again");
        }
        assert_eq!(server.sql("SELECT count(*) FROM kept"), "2");
        assert_eq!(server.id(), process);
    }
}

#[test]
fn a_server_with_a_full_wal_disk_stops_and_loses_nothing() {
    let Some(mut server) = Postgres::on_a_small_disk(Version::V15, Part::Log, "wal_recycle = off") else {
        return;
    };
    server.sql(MAKE);
    server.sql("INSERT INTO kept VALUES (1)");
    server.fill_disk();
    let many = "INSERT INTO kept SELECT generate_series(1, 1000000)";
    assert!(sql(&server.url("postgres"), many).is_err());
    server.wait();
    assert!(server.log().contains("No space left on device"), "{}", server.log());
    server.free_disk();
    server.start();
    assert_eq!(server.sql("SELECT n FROM kept"), "1");
}

#[test]
fn a_private_server_is_removed_after_a_panic() {
    let Some(server) = Postgres::private(Version::V15) else { return };
    let (path, process) = (server.path().to_owned(), format!("/proc/{}", server.id().unwrap()));
    assert!(path.exists() && Path::new(&process).exists());
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _server = server;
        panic!("as a test does");
    }));
    assert!(panicked.is_err());
    assert!(!path.exists() && !Path::new(&process).exists());
}

#[test]
fn a_shared_database_is_empty_and_dropped_with_its_test() {
    for version in Version::ALL {
        let Some(one) = SharedPostgres::database(version) else { continue };
        let other = SharedPostgres::database(version).unwrap();
        one.sql(MAKE);
        assert!(sql(&other.url(), "SELECT * FROM kept").unwrap_err().contains("42P01"));
        let url = one.url();
        let mut client = start(&url, "SELECT pg_sleep(60)");
        let sleepers = format!("{SLEEPERS} AND datname = current_database()");
        wait_for(|| one.sql(&sleepers), "1");
        drop(one);
        assert!(!client.wait().unwrap().success());
        assert!(sql(&url, "SELECT 1").unwrap_err().contains("does not exist"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_forwards_refuses_delays_and_disconnects() {
    let Some(server) = Postgres::private(Version::V15) else { return };
    let mut proxy = Proxy::before(&server.url("postgres")).await;
    assert_eq!(sql(proxy.url(), "SELECT 1").unwrap(), "1");

    until("the client has disconnected", async || proxy.connections() == 0).await;

    let mut client = start(proxy.url(), "SELECT pg_sleep(60)");
    until("the client is connected", async || proxy.connections() == 1).await;
    proxy.set(Fault::Refuse).await;
    wait_for_refusal(proxy.url());
    assert!(client.try_wait().unwrap().is_none());
    proxy.cut();
    assert!(!client.wait().unwrap().success());
    until("the connection is closed", async || proxy.connections() == 0).await;

    proxy.set(Fault::Delay(Duration::from_millis(5))).await;
    assert_eq!(sql(proxy.url(), "SELECT 1").unwrap(), "1");
    until("the client has disconnected", async || proxy.connections() == 0).await;
    proxy.set(Fault::Delay(Duration::from_hours(1))).await;
    let mut client = start(proxy.url(), "SELECT 1");
    until("the client is connected", async || proxy.connections() == 1).await;
    assert!(client.try_wait().unwrap().is_none());
    proxy.set(Fault::Pass).await;
    assert!(client.wait().unwrap().success());
}

#[tokio::test]
async fn a_proxy_keeps_its_port_while_it_refuses_connections() {
    let mut proxy = Proxy::before("postgres://user:password@127.0.0.1:1/database").await;
    let (_, rest) = proxy.url().split_once('@').unwrap();
    let address: SocketAddr = rest.split_once('/').unwrap().0.parse().unwrap();
    for _ in 0..2 {
        proxy.set(Fault::Refuse).await;
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // What another test does to reserve a port.
        let refused = TcpSocket::new_v4().unwrap().bind(address).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrInUse);
        proxy.set(Fault::Pass).await;
        TcpStream::connect(address).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_holds_traffic_of_one_direction() {
    let Some(server) = Postgres::private(Version::V15) else { return };
    server.sql(MAKE);
    let mut proxy = Proxy::before(&server.url("postgres")).await;
    let when_released = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM kept) LOOP PERFORM pg_sleep(0.02); END LOOP; \
                     INSERT INTO kept VALUES (1); END $$";
    let mut client = start(proxy.url(), when_released);
    wait_for(|| server.sql(SLEEPERS), "1");
    proxy.set(Fault::HoldAnswers).await;
    server.sql("INSERT INTO kept VALUES (0)");
    wait_for(|| server.sql("SELECT count(*) FROM kept"), "2");
    assert!(client.try_wait().unwrap().is_none());
    proxy.set(Fault::Pass).await;
    assert!(client.wait().unwrap().success());

    for is_cut in [true, false] {
        until("the last client has disconnected", async || proxy.connections() == 0).await;
        proxy.set(Fault::HoldRequests).await;
        let mut client = start(proxy.url(), "INSERT INTO kept VALUES (2)");
        until("the client is connected", async || proxy.connections() == 1).await;
        assert!(client.try_wait().unwrap().is_none());
        if is_cut {
            proxy.cut();
        }
        proxy.set(Fault::Pass).await;
        assert_eq!(client.wait().unwrap().success(), !is_cut);
    }
    assert_eq!(server.sql("SELECT n FROM kept ORDER BY n"), "0\n1\n2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_disconnects_before_a_reply_or_within_a_request() {
    for version in Version::ALL {
        let Some(server) = Postgres::private(version) else { continue };
        server.sql(MAKE);
        let proxy = Proxy::before(&server.url("postgres")).await;
        proxy.cut_when(Cut::BeforeAnswer("VALUES (1)"));
        assert!(sql(proxy.url(), "INSERT INTO kept VALUES (1)").is_err());
        assert_eq!((proxy.cuts(), server.sql("SELECT n FROM kept").as_str()), (1, "1"));

        // Longer than everything before it, and cut before its end.
        let long = format!("INSERT INTO kept VALUES (2) -- {}", "x".repeat(5000));
        proxy.cut_when(Cut::AfterBytes(4000));
        assert!(sql(proxy.url(), &long).is_err());
        assert_eq!((proxy.cuts(), server.sql("SELECT n FROM kept").as_str()), (2, "1"));

        assert_eq!(sql(proxy.url(), &long), Ok(String::new()));
        assert_eq!((proxy.cuts(), server.sql("SELECT n FROM kept").as_str()), (2, "1\n2"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_proxy_closes_its_connections() {
    let Some(server) = Postgres::private(Version::V15) else { return };
    let proxy = Proxy::before(&server.url("postgres")).await;
    let url = proxy.url().to_owned();
    let mut client = start(&url, "SELECT pg_sleep(60)");
    wait_for(|| server.sql(SLEEPERS), "1");
    drop(proxy);
    assert!(!client.wait().unwrap().success());
    wait_for_refusal(&url);
}

/// A process that another test is starting may have the closed listener for a moment, until it executes its program.
fn wait_for_refusal(url: &str) {
    wait_for(|| sql(url, "SELECT 1").unwrap_err().contains("refused").to_string(), "true");
}

fn start(url: &str, statements: &str) -> Child {
    psql(url, statements).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Waits for this answer.
fn wait_for(ask: impl Fn() -> String, answer: &str) {
    let started = std::time::Instant::now();
    while ask() != answer {
        assert!(started.elapsed() < crate::support::postgres::WAIT_LIMIT, "never {answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
