//! The line to PostgreSQL is cut at the worst moment: when the server has done what it was told, and the service does
//! not hear of it. The client is told the truth all the same.

use reqwest::Method;
use serde_json::{Value, json};

use crate::connections::concurrent_updates::tell;
use crate::connections::delete::delete;
use crate::connections::idempotency::{assert_repeated, post_once};
use crate::connections::update::{create, path_of, put, shown};
use crate::support::chaos_clients::{Storm, assert_whole};
use crate::support::cluster::world_on;
use crate::support::harness::{ACCOUNT, COLLECTION, World, cli, said, until};
use crate::support::postgres::{Cut, Proxy, SharedPostgres, Version};

/// A world whose line to a database leads through a proxy.
async fn world_behind_a_proxy(version: Version) -> Option<(World, Proxy, SharedPostgres)> {
    let database = SharedPostgres::database(version)?;
    let proxy = Proxy::before(&database.url()).await;
    let world = world_on(proxy.url(), "").await;
    Some((world, proxy, database))
}

fn count(database: &SharedPostgres, of: &str) -> usize {
    database.sql(&format!("SELECT count(*) FROM {of}")).parse().unwrap()
}

fn events(database: &SharedPostgres, action: &str) -> usize {
    count(database, &format!("audit_events WHERE refusal IS NULL AND action = '{action}'"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_was_cut_off_is_done_once_and_said_to_be() {
    for version in Version::ALL {
        let Some((world, proxy, database)) = world_behind_a_proxy(version).await else { continue };
        // The first of each kind prepares its statement: the bytes below are those of parameters alone.
        for round in 0..3 {
            let before = proxy.cuts();
            let mut body = world.good_body(&format!("cut {round}"));
            body["description"] = json!("cut this creation");
            proxy.cut_when(Cut::BeforeAnswer("cut this creation"));
            let id = create(&world, &body).await;
            assert_eq!((proxy.cuts() - before, events(&database, "create_connection")), (1, 2 * round + 1));

            proxy.cut_when(Cut::BeforeAnswer("cut this change"));
            let change = json!({"version": 1, "description": "cut this change", "accessToken": "new"});
            let changed = put(&world, &id, &change).await;
            assert_eq!((changed.status.as_u16(), &changed.json()["version"]), (200, &json!(2)));
            assert_eq!(shown(&world, &id).await["description"], "cut this change");
            assert_eq!((proxy.cuts() - before, events(&database, "update_connection")), (2, round + 1));

            proxy.cut_when(Cut::BeforeAnswer("delete_connection"));
            let deleted = delete(&world, &id).await;
            assert_eq!(deleted.status, 204, "{deleted:?}");
            assert_eq!((proxy.cuts() - before, events(&database, "delete_connection")), (3, round + 1));
            assert_eq!(world.get(&path_of(&id)).await.status, 404);

            // Once while the key is reserved, once while the effect is written with its answer.
            let (key, mut body) = (format!("key-{round}"), world.good_body(&format!("once {round}")));
            proxy.cut_when(Cut::BeforeAnswer("key-"));
            body["description"] = json!("not yet");
            let first = post_once(&world, &key, &body).await;
            assert_repeated(&first, &post_once(&world, &key, &body).await);
            assert_eq!(proxy.cuts() - before, 4);
            assert_whole(&world, &database.url());
        }
        let mut body = world.good_body("completed");
        body["description"] = json!("cut this too");
        proxy.cut_when(Cut::BeforeAnswer("cut this too"));
        let first = post_once(&world, "completed", &body).await;
        assert_repeated(&first, &post_once(&world, "completed", &body).await);
        assert_eq!((proxy.cuts(), count(&database, "connections")), (13, 4));
        assert_whole(&world, &database.url());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_does_is_done_once_although_the_line_is_cut() {
    let Some((world, proxy, database)) = world_behind_a_proxy(Version::V15).await else { return };
    let key = world.make_key("another", &[]);
    let listed = world.cli(&["keys", "list", "--account", "another", "--json"], "");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let id = listed[0]["keyId"].as_str().unwrap().to_owned();
    proxy.cut_when(Cut::BeforeAnswer("revoke_api_key"));
    let revoked = tokio::task::block_in_place(|| world.cli(&["keys", "revoke", &id], ""));
    assert!(revoked.status.success(), "{}", said(&revoked));
    assert_eq!((proxy.cuts(), events(&database, "revoke_api_key")), (1, 1));
    let headers = [("authorization", &*key)];
    let is_refused = async || world.send(Method::GET, COLLECTION, &headers, Vec::new()).await.status == 401;
    until("the key is refused", is_refused).await;

    proxy.cut_when(Cut::BeforeAnswer("create_api_key"));
    let made = tokio::task::block_in_place(|| world.make_key(ACCOUNT, &[]));
    let accepted = world.send(Method::GET, COLLECTION, &[("authorization", &*made)], Vec::new()).await;
    assert_eq!((proxy.cuts(), accepted.status.as_u16()), (2, 200));

    proxy.cut_when(Cut::BeforeAnswer("create_account"));
    let created = tokio::task::block_in_place(|| cli(world.path(), &["accounts", "create", "third"], ""));
    assert!(created.status.success(), "{}", said(&created));
    assert_eq!((proxy.cuts(), count(&database, "accounts")), (3, 3));
    assert_eq!(events(&database, "create_account"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_any_byte_leaves_one_connection_or_none() {
    let Some((world, proxy, database)) = world_behind_a_proxy(Version::V15).await else { return };
    let (mut done, mut refused) = (0, 0);
    for n in 0..40 {
        proxy.cut_when(Cut::AfterBytes(1 + n * 53));
        let answer = post_once(&world, &format!("key-{n}"), &world.good_body(&format!("at {n}"))).await;
        match answer.status.as_u16() {
            201 => done += 1,
            503 => {
                assert_eq!(answer.code(), "STORE_UNAVAILABLE");
                refused += 1;
            }
            _ => panic!("{answer:?}"),
        }
        let there = count(&database, &format!("connections WHERE name = 'at {n}'"));
        assert_eq!(there, usize::from(answer.status == 201), "{answer:?}");
        // Reads until there are no bytes left before the cut, and none after it fails: `/health/ready` would repeat a result.
        let is_found = async || world.get(COLLECTION).await.status == 200 && proxy.cuts() == n + 1;
        until("the line is cut and the database is found again", is_found).await;
    }
    assert_whole(&world, &database.url());
    tell(&format!(
        "40 cuts in requests: {done} were done all the same, {refused} were refused; {} cuts",
        proxy.cuts()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_of_every_line_at_once_lose_nothing_and_double_nothing() {
    let Some((world, proxy, database)) = world_behind_a_proxy(Version::V15).await else { return };
    let storm = Storm::start(&world, &[world.service.address], "cut", 32);
    for _ in 0..20 {
        storm.acknowledge(60).await;
        proxy.cut();
    }
    storm.acknowledge(60).await;
    let came = storm.finish().await;
    // Every outcome can be found out, because the server is there.
    came.assert_heard_only(&["STORE_UNAVAILABLE"]);
    came.assert_kept(&database.url());
    assert_whole(&world, &database.url());
    tell(&format!("20 times all lines cut: {}", came.in_words()));
}
