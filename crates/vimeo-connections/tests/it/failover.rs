//! A primary with a synchronous standby: what was acknowledged is on both, whatever becomes of the one, and what may be
//! on one alone is never acknowledged.

use std::time::Instant;

use reqwest::Method;

use crate::fleet::world_on;
use crate::harness::{Answer, COLLECTION, World, until};
use crate::idempotency::post_once;
use crate::postgres::{Postgres, Proxy, Stop, Version, sql};
use crate::races::tell;
use crate::storm::{Known, Storm, assert_whole};

const DATABASE: &str = "vimeo";
/// Backends whose commit waits for the standby.
const WAITING: &str = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// A primary with a database, its standby, and the address of both.
fn pair(version: Version) -> Option<(Postgres, Postgres, String)> {
    let primary = Postgres::private(version)?;
    let url = primary.create_database(DATABASE);
    let standby = primary.standby();
    let second = standby.url(DATABASE);
    let (_, second) = second.rsplit_once('@').unwrap();
    let (first, _) = url.rsplit_once('/').unwrap();
    let both = format!("{first},{second}");
    Some((primary, standby, both))
}

fn assert_unknown(answer: &Answer) {
    assert_eq!((answer.status.as_u16(), &*answer.code()), (503, "OUTCOME_UNKNOWN"), "{answer:?}");
    assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
}

async fn is_ready(world: &World) -> bool {
    world.get("/health/ready").await.status == 200
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_before_a_failover_is_on_the_standby() {
    for version in Version::ALL {
        let Some((mut primary, standby, both)) = tokio::task::block_in_place(|| pair(version)) else {
            continue;
        };
        let world = world_on(&both, "").await;
        let process = world.service.id();
        let storm = Storm::start(&world, &[world.service.address], "f", 32);
        storm.acknowledge(400).await;
        tokio::task::block_in_place(|| primary.kill());
        let killed = Instant::now();
        until("the service says that it is not ready", async || !is_ready(&world).await).await;
        assert_eq!(world.get("/health/live").await.status, 200);
        until("writes are refused", async || storm.heard("STORE_UNAVAILABLE") > 0).await;
        tokio::task::block_in_place(|| standby.promote());
        let promoted = killed.elapsed();
        storm.acknowledge(200).await;
        assert!(is_ready(&world).await);
        let mut came = storm.finish().await;
        came.assert_heard_only(&["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"]);
        tell(&format!(
            "failover of {version:?}, promoted {} ms after the kill: {}",
            promoted.as_millis(),
            came.in_words()
        ));
        let url = standby.url(DATABASE);
        came.assert_kept(&url);
        let over = "UPDATE idempotency_records SET reserved_until = 0 WHERE answer IS NULL";
        sql(&url, over).unwrap();
        for fate in came.fates.iter_mut().filter(|fate| fate.has_key && fate.created == Known::Perhaps) {
            let body = serde_json::from_str(&fate.body).unwrap();
            let answer = post_once(&world, &fate.name, &body).await;
            assert_eq!(answer.status, 201, "{fate:?} {answer:?}");
            fate.created = Known::Yes;
        }
        came.assert_kept(&url);
        assert_whole(&world, &url);
        assert_eq!(world.service.id(), process);
    }
}

/// Begins a creation whose commit then waits for a standby that does not answer.
async fn begin_waiting(world: &World, primary: &Postgres, name: &str) -> tokio::task::JoinHandle<Answer> {
    let (http, url, key) = (world.http.clone(), world.url(COLLECTION), world.api_key.clone());
    let body = world.good_body(name).to_string();
    let name = name.to_owned();
    let asking = tokio_util::task::TaskTracker::new().spawn(async move {
        let request = http.request(Method::POST, url).header("authorization", key);
        let response = request.header("idempotency-key", name).body(body).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    });
    until("a commit waits for the standby", async || {
        asking.is_finished() || primary.sql(&format!("SELECT count(*) {WAITING}")) != "0"
    })
    .await;
    asking
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_wait_for_the_standby_was_broken_off_is_not_acknowledged() {
    let Some((primary, mut standby, both)) = tokio::task::block_in_place(|| pair(Version::V15)) else {
        return;
    };
    let world = world_on(&both, "").await;
    assert_eq!(post_once(&world, "before", &world.good_body("before")).await.status, 201);
    tokio::task::block_in_place(|| standby.stop(Stop::Fast));
    for (n, how) in ["pg_cancel_backend(pid)", "pg_terminate_backend(pid)"].into_iter().enumerate() {
        // The key is reserved in a commit of its own, so the first wait is broken off there, and the second at the effect.
        let asking = begin_waiting(&world, &primary, &format!("waits-{n}")).await;
        primary.sql(&format!("SELECT {how} {WAITING}"));
        until("an end, or another wait", async || {
            asking.is_finished() || primary.sql(&format!("SELECT count(*) {WAITING}")) != "0"
        })
        .await;
        let broken = format!("SELECT {how} {WAITING}");
        until("the answer", async || {
            primary.sql(&broken);
            asking.is_finished()
        })
        .await;
        assert_unknown(&asking.await.unwrap());
    }
    // The plain creation has one commit.
    let http = world.http.clone();
    let (url, key, body) =
        (world.url(COLLECTION), world.api_key.clone(), world.good_body("plain").to_string());
    let asking = tokio_util::task::TaskTracker::new().spawn(async move {
        let response = http.post(url).header("authorization", key).body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    });
    until("the answer", async || {
        primary.sql(&format!("SELECT pg_cancel_backend(pid) {WAITING}"));
        asking.is_finished()
    })
    .await;
    let (status, text) = asking.await.unwrap();
    assert!(status == 503 && text.contains("OUTCOME_UNKNOWN"), "{status} {text}");
    let there = sql(&primary.url(DATABASE), "SELECT count(*) FROM connections WHERE name = 'plain'").unwrap();
    assert_eq!(there, "1", "it is here, and not on the standby");
    tokio::task::block_in_place(|| standby.start());
    until("writes go on", async || post_once(&world, "after", &world.good_body("after")).await.status == 201)
        .await;
    assert_whole(&world, &primary.url(DATABASE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_restarted_primary_has_and_its_standby_lacks_is_not_acknowledged() {
    let Some((mut primary, mut standby, _)) = tokio::task::block_in_place(|| pair(Version::V15)) else {
        return;
    };
    let mut proxy = Proxy::before(&primary.url(DATABASE)).await;
    let world = world_on(proxy.url(), "").await;
    assert_eq!(post_once(&world, "before", &world.good_body("before")).await.status, 201);
    tokio::task::block_in_place(|| standby.stop(Stop::Fast));
    let http = world.http.clone();
    let (url, key, body) =
        (world.url(COLLECTION), world.api_key.clone(), world.good_body("alone").to_string());
    let asking = tokio_util::task::TaskTracker::new().spawn(async move {
        let response = http.post(url).header("authorization", key).body(body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    });
    until("the commit waits", async || primary.sql(&format!("SELECT count(*) {WAITING}")) != "0").await;
    // It recovers what it had written down, as if the standby had it.
    tokio::task::block_in_place(|| {
        primary.kill();
        primary.start();
    });
    let there = sql(&primary.url(DATABASE), "SELECT count(*) FROM connections WHERE name = 'alone'").unwrap();
    assert_eq!(there, "1");
    let (status, text) = asking.await.unwrap();
    assert!(status == 503 && text.contains("OUTCOME_UNKNOWN"), "{status} {text}");
    proxy.set(crate::postgres::Fault::Pass).await;
    tokio::task::block_in_place(|| standby.start());
    until("the service is ready", async || is_ready(&world).await).await;
    until("writes go on", async || post_once(&world, "after", &world.good_body("after")).await.status == 201)
        .await;
    assert_whole(&world, &primary.url(DATABASE));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_standby_is_away_nothing_is_acknowledged() {
    let Some((primary, mut standby, both)) = tokio::task::block_in_place(|| pair(Version::V15)) else {
        return;
    };
    let world = world_on(&both, "store.timeout_seconds = 1").await;
    assert_eq!(post_once(&world, "before", &world.good_body("before")).await.status, 201);
    tokio::task::block_in_place(|| standby.stop(Stop::Immediate));
    let storm = Storm::start(&world, &[world.service.address], "alone", 16);
    until("a client is told so", async || storm.heard("OUTCOME_UNKNOWN") > 0).await;
    assert_eq!(storm.acknowledged(), 0);
    tokio::task::block_in_place(|| standby.start());
    storm.acknowledge(50).await;
    let came = storm.finish().await;
    came.assert_heard_only(&["STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"]);
    tell(&format!("the standby away and back: {}", came.in_words()));
    came.assert_kept(&primary.url(DATABASE));
    assert_whole(&world, &primary.url(DATABASE));
}
