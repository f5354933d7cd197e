//! Connections to PostgreSQL that are lost at the worst time: the server has committed, and its reply does not reach
//! the service. The client gets the right response all the same.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::chaos_clients::{ChaosClients, assert_whole};
use crate::support::cluster::env_on_database;
use crate::support::connections::{assert_replayed, create, delete, fetch, path_of, post_with_key, put};
use crate::support::harness::{ACCOUNT, COLLECTION, TestEnv, cli, printed, until};
use crate::support::postgres::{Cut, Proxy, SharedPostgres, Version};
use crate::support::tools::print_numbers;

/// An environment that reaches its database through a proxy.
async fn env_behind_proxy(version: Version) -> Option<(TestEnv, Proxy, SharedPostgres)> {
    let database = SharedPostgres::database(version)?;
    let proxy = Proxy::before(&database.url()).await;
    let env = env_on_database(proxy.url(), "").await;
    Some((env, proxy, database))
}

fn count(database: &SharedPostgres, of: &str) -> usize {
    database.sql(&format!("SELECT count(*) FROM {of}")).parse().unwrap()
}

fn events(database: &SharedPostgres, action: &str) -> usize {
    count(database, &format!("audit_events WHERE refusal IS NULL AND action = '{action}'"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_with_a_lost_reply_runs_once_and_is_acknowledged() {
    for version in Version::ALL {
        let Some((env, proxy, database)) = env_behind_proxy(version).await else { continue };
        // The first round prepares the statements. From then on only parameters are sent.
        for round in 0..3 {
            let before = proxy.cuts();
            let mut body = env.valid_body(&format!("cut {round}"));
            body["description"] = json!("cut this creation");
            proxy.cut_when(Cut::BeforeAnswer("cut this creation"));
            let id = create(&env, &body).await;
            assert_eq!((proxy.cuts() - before, events(&database, "create_connection")), (1, 2 * round + 1));

            proxy.cut_when(Cut::BeforeAnswer("cut this change"));
            let change = json!({"version": 1, "description": "cut this change", "accessToken": "new"});
            let changed = put(&env, &id, &change).await;
            assert_eq!((changed.status.as_u16(), &changed.json()["version"]), (200, &json!(2)));
            assert_eq!(fetch(&env, &id).await["description"], "cut this change");
            assert_eq!((proxy.cuts() - before, events(&database, "update_connection")), (2, round + 1));

            proxy.cut_when(Cut::BeforeAnswer("delete_connection"));
            let deleted = delete(&env, &id).await;
            assert_eq!(deleted.status, 204, "{deleted:?}");
            assert_eq!((proxy.cuts() - before, events(&database, "delete_connection")), (3, round + 1));
            assert_eq!(env.get(&path_of(&id)).await.status, 404);

            // One disconnect while the key is reserved, one while the effect is written with its response.
            let (key, mut body) = (format!("key-{round}"), env.valid_body(&format!("once {round}")));
            proxy.cut_when(Cut::BeforeAnswer("key-"));
            body["description"] = json!("not yet");
            let first = post_with_key(&env, &key, &body).await;
            assert_replayed(&first, &post_with_key(&env, &key, &body).await);
            assert_eq!(proxy.cuts() - before, 4);
            assert_whole(&env, &database.url());
        }
        let mut body = env.valid_body("completed");
        body["description"] = json!("cut this too");
        proxy.cut_when(Cut::BeforeAnswer("cut this too"));
        let first = post_with_key(&env, "completed", &body).await;
        assert_replayed(&first, &post_with_key(&env, "completed", &body).await);
        assert_eq!((proxy.cuts(), count(&database, "connections")), (13, 4));
        assert_whole(&env, &database.url());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn admin_commands_run_once_despite_a_lost_connection() {
    let Some((env, proxy, database)) = env_behind_proxy(Version::V15).await else { return };
    let key = env.make_key("another", &[]);
    let listed = env.cli(&["keys", "list", "--account", "another", "--json"], "");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let id = listed[0]["keyId"].as_str().unwrap().to_owned();
    proxy.cut_when(Cut::BeforeAnswer("revoke_api_key"));
    let revoked = tokio::task::block_in_place(|| env.cli(&["keys", "revoke", &id], ""));
    assert!(revoked.status.success(), "{}", printed(&revoked));
    assert_eq!((proxy.cuts(), events(&database, "revoke_api_key")), (1, 1));
    let headers = [("authorization", &*key)];
    let is_refused = async || env.send(Method::GET, COLLECTION, &headers, Vec::new()).await.status == 401;
    until("the key is refused", is_refused).await;

    proxy.cut_when(Cut::BeforeAnswer("create_api_key"));
    let made = tokio::task::block_in_place(|| env.make_key(ACCOUNT, &[]));
    let accepted = env.send(Method::GET, COLLECTION, &[("authorization", &*made)], Vec::new()).await;
    assert_eq!((proxy.cuts(), accepted.status.as_u16()), (2, 200));

    proxy.cut_when(Cut::BeforeAnswer("create_account"));
    let created = tokio::task::block_in_place(|| cli(env.path(), &["accounts", "create", "third"], ""));
    assert!(created.status.success(), "{}", printed(&created));
    assert_eq!((proxy.cuts(), count(&database, "accounts")), (3, 3));
    assert_eq!(events(&database, "create_account"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_at_any_byte_leaves_one_connection_or_none() {
    let Some((env, proxy, database)) = env_behind_proxy(Version::V15).await else { return };
    let (mut done, mut refused) = (0, 0);
    for n in 0..40 {
        proxy.cut_when(Cut::AfterBytes(1 + n * 53));
        let answer = post_with_key(&env, &format!("key-{n}"), &env.valid_body(&format!("at {n}"))).await;
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
        // Reads until the byte limit is reached, and once more after the disconnect: `/health/ready` could return a
        // cached result.
        let is_found = async || env.get(COLLECTION).await.status == 200 && proxy.cuts() == n + 1;
        until("the connection is cut, and the database is reconnected", is_found).await;
    }
    assert_whole(&env, &database.url());
    print_numbers(&format!(
        "40 disconnects during requests: {done} executed, {refused} refused; {} disconnects",
        proxy.cuts()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disconnecting_all_sessions_loses_and_duplicates_nothing() {
    let Some((env, proxy, database)) = env_behind_proxy(Version::V15).await else { return };
    let chaos = ChaosClients::start(&env, &[env.service.address], "cut", 32);
    for _ in 0..20 {
        chaos.wait_for_acks(60).await;
        proxy.cut();
    }
    chaos.wait_for_acks(60).await;
    let report = chaos.finish().await;
    // The server is up, so the outcome of each commit can be determined.
    report.assert_only_errors(&["STORE_UNAVAILABLE"]);
    report.assert_acknowledged_stored(&database.url());
    assert_whole(&env, &database.url());
    print_numbers(&format!("all sessions disconnected 20 times: {}", report.summary()));
}
