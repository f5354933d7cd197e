//! Two nodes with a keyring file each.

use std::fs;
use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{assert_decrypts, keys_of, reload};
use crate::support::backups::{KEYRING, create_connection, run_successfully};
use crate::support::cluster::{Node, env_on_database, send_to};
use crate::support::harness::{COLLECTION, TestEnv, serve_error, until};
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::webhooks::{CONFIG, DELIVERIES, Receiver, create, path, send};

async fn create_at(env: &TestEnv, node: SocketAddr, name: &str) -> u16 {
    let body = env.valid_body(name).to_string();
    send_to(env, node, (Method::POST, COLLECTION), &[], &body).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_take_part_in_a_rotation_one_after_the_other_without_refusing_a_request() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env_on_database(&database.url(), "").await;
    let other = Node::beside(&env);
    let (directory, address) = (env.path(), other.service.address);
    create_connection(&env, "before").await;
    let old = keys_of(directory).remove(0);

    // One node has the new key, and uses the old one.
    run_successfully(directory, &["keyring", "rotate"]);
    reload(&env);
    run_successfully(directory, &["accounts", "create", "by the rotated node"]);
    create_connection(&env, "rotated").await;
    assert_eq!(create_at(&env, address, "not rotated").await, 201);

    // The other has the file and got no signal.
    fs::copy(directory.join(KEYRING), other.directory.path().join(KEYRING)).unwrap();
    run_successfully(directory, &["keyring", "rewrap"]);
    for number in 0..20 {
        create_connection(&env, &format!("rewrapped {number}")).await;
        assert_eq!(create_at(&env, address, &format!("rewrapped {number} there")).await, 201);
    }
    let log = || fs::read_to_string(other.directory.path().join("service.log")).unwrap();
    let mut number = 0;
    // It may have cached the account for a while.
    until("it has read its keyring again", async || {
        number += 1;
        assert_eq!(create_at(&env, address, &format!("later {number}")).await, 201);
        log().contains("the keyring was read again")
    })
    .await;

    // A node whose file has the old key alone cannot start, and says which key it lacks.
    let late = tempfile::tempdir().unwrap();
    for file in ["vimeo-connections.toml", KEYRING] {
        fs::copy(directory.join(file), late.path().join(file)).unwrap();
    }
    let text = fs::read_to_string(late.path().join(KEYRING)).unwrap();
    let new = keys_of(directory).remove(0);
    let without = text
        .lines()
        .filter(|line| !line.starts_with(&format!("{new} = ")))
        .map(|line| line.replace(&format!("primary = \"{new}\""), &format!("primary = \"{old}\"")) + "\n");
    fs::write(late.path().join(KEYRING), without.collect::<String>()).unwrap();
    let error = serve_error(late.path());
    assert!(
        error.contains(&new) && error.contains("is not the one that this database was sealed with"),
        "{error}"
    );

    run_successfully(directory, &["keyring", "retire", &old, "--yes"]);
    reload(&env);
    create_connection(&env, "retired").await;
    assert_eq!(create_at(&env, address, "retired there").await, 201);
    assert!(assert_decrypts(&env) >= 45);
    assert!(!log().contains("\"ERROR\"") && !env.log().contains("\"ERROR\""), "{}", log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_keyring_lacks_the_key_says_so_and_recovers_with_the_file() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env_on_database(&database.url(), "").await;
    let other = Node::beside(&env);
    let (directory, address) = (env.path(), other.service.address);
    run_successfully(directory, &["keyring", "rotate"]);
    run_successfully(directory, &["keyring", "rewrap"]);
    until("it is not ready", async || {
        let ready = send_to(&env, address, (Method::GET, "/health/ready"), &[], "").await;
        ready.status == 503 && ready.text.contains("a key that the database is sealed with is missing")
    })
    .await;
    assert_eq!(create_at(&env, address, "refused").await, 503);
    let log = || fs::read_to_string(other.directory.path().join("service.log")).unwrap();
    until("it says why", async || log().contains("the keyring lacks a key that an account needs")).await;
    fs::copy(directory.join(KEYRING), other.directory.path().join(KEYRING)).unwrap();
    // A load balancer sends it nothing until it is ready.
    until("it is ready again", async || {
        send_to(&env, address, (Method::GET, "/health/ready"), &[], "").await.status == 200
    })
    .await;
    until("it works again", async || create_at(&env, address, "accepted").await == 201).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_waits_until_its_node_has_the_key() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let receiver = Receiver::start(500).await;
    // It is tried for a minute.
    let config = CONFIG.replace("[\"1\", \"1\", \"1\"]", &format!("[{}]", ["\"3\""; 20].join(", ")));
    let mut env = env_on_database(&database.url(), &config).await;
    let other = Node::beside(&env);
    let endpoint = create(&env, &json!({"url": receiver.url, "events": ["connection.recovered"]})).await;
    let sent = send(&env, Method::POST, &format!("{}/test", path(&endpoint)), &Value::Null).await;
    assert!(sent.status.is_success(), "{}", sent.text);
    receiver.wait_for(1).await;
    run_successfully(env.path(), &["keyring", "rotate"]);
    run_successfully(env.path(), &["keyring", "rewrap"]);
    env.service.kill();
    let log = || fs::read_to_string(other.directory.path().join("service.log")).unwrap();
    until("it says why", async || log().contains("the keyring lacks a key that an account needs")).await;
    let attempts = receiver.received().len();
    receiver.answer(204);
    fs::copy(env.path().join(KEYRING), other.directory.path().join(KEYRING)).unwrap();
    receiver.wait_for(attempts + 1).await;
    until("it is delivered", async || {
        let listed = send_to(&env, other.service.address, (Method::GET, DELIVERIES), &[], "").await;
        listed.status == 200 && listed.json()["items"][0]["status"] == "delivered"
    })
    .await;
    assert!(!log().contains("was damaged"), "{}", log());
}
