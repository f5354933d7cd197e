//! Rows that were changed in the database directly do not decrypt, and affect no other row.

use reqwest::Method;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, COLLECTION, Service, TestEnv, cli, until};

/// A stopped environment with accounts of these sizes: each account with a key and the identifiers of its connections.
async fn stopped_env(accounts: &[(&str, usize)]) -> (TestEnv, Vec<Account>) {
    let mut env = TestEnv::without_verification("").await;
    let mut made = Vec::new();
    for (name, count) in accounts {
        let key = env.make_key(name, &[]);
        let mut connections = Vec::new();
        for n in 0..*count {
            let created = create(&env, &key, &format!("connection {n}")).await;
            connections.push(created["connectionId"].as_str().unwrap().to_owned());
        }
        let query = "SELECT account_id FROM accounts WHERE name = ?1";
        let id = env.database().query_row(query, [name], |row| row.get(0)).unwrap();
        made.push(Account { id, key, connections });
    }
    assert_eq!(env.service.terminate(), Some(0));
    (env, made)
}

struct Account {
    id: String,
    key: String,
    connections: Vec<String>,
}

async fn create(env: &TestEnv, key: &str, name: &str) -> Value {
    let body = env.valid_body(name).to_string().into_bytes();
    let created = env.send(Method::POST, COLLECTION, &[("authorization", key)], body).await;
    assert_eq!(created.status, 201, "{created:?}");
    created.json()
}

/// The database without foreign keys, so that it can be tampered with.
fn defenceless(env: &TestEnv) -> Connection {
    let database = env.database();
    database.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    database
}

fn set(database: &Connection, what: &str, id: &str) {
    let changed = database.execute(&format!("UPDATE connections SET {what} WHERE connection_id = ?1"), [id]);
    assert_eq!(changed.unwrap(), 1, "{what}");
}

/// Swaps columns of two rows.
fn swap(database: &Connection, columns: &[&str], one: &str, other: &str) {
    let read = |column: &str, id: &str| -> rusqlite::types::Value {
        let query = format!("SELECT {column} FROM connections WHERE connection_id = ?1");
        database.query_row(&query, [id], |row| row.get(0)).unwrap()
    };
    for column in columns {
        let (here, there) = (read(column, one), read(column, other));
        let update = format!("UPDATE connections SET {column} = ?1 WHERE connection_id = ?2");
        database.execute(&update, params![there, one]).unwrap();
        database.execute(&update, params![here, other]).unwrap();
    }
}

/// Flips a bit of a blob; `at` counts from the end if it is negative.
fn flip(
    database: &Connection,
    (table, column, key): (&str, &str, &str),
    id: impl rusqlite::ToSql,
    at: isize,
) {
    let query = format!("SELECT {column} FROM {table} WHERE {key} = ?1");
    let mut blob: Vec<u8> = database.query_row(&query, params![id], |row| row.get(0)).unwrap();
    let index = if at < 0 { blob.len().checked_add_signed(at).unwrap() } else { at.unsigned_abs() };
    blob[index] ^= 1 << (index % 8);
    let update = format!("UPDATE {table} SET {column} = ?1 WHERE {key} = ?2");
    assert_eq!(database.execute(&update, params![blob, id]).unwrap(), 1);
}

fn sealing_key_of(database: &Connection, id: &str) -> i64 {
    let query = "SELECT sealing_key_id FROM connections WHERE connection_id = ?1";
    database.query_row(query, [id], |row| row.get(0)).unwrap()
}

/// The report of `connections check`, which must fail if and only if something is broken.
fn check(env: &TestEnv) -> (u64, Vec<Value>) {
    let checked = cli(env.path(), &["connections", "check", "--json"], "");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap_or_else(|_| panic!("{checked:?}"));
    let mut broken = report["broken"].as_array().unwrap().clone();
    broken.sort_by_key(Value::to_string);
    assert_eq!(checked.status.code(), Some(i32::from(!broken.is_empty())));
    (report["opened"].as_u64().unwrap(), broken)
}

/// Tampers with sealed data in one row each; the identifiers of the connections.
fn change<'a>(database: &Connection, mut next: impl FnMut() -> &'a str) -> Vec<&'a str> {
    let mut broken = Vec::new();
    // Changed: a bit of the format byte, the nonce, the ciphertext or the tag; the length; the key.
    for at in [0, 1, 12, 13, 40, -17, -16, -1] {
        let id = next();
        flip(database, ("connections", "envelope", "connection_id"), id, at);
        broken.push(id);
    }
    for cut in
        ["substr(envelope, 1, length(envelope) - 1)", "x''", "substr(envelope, 1, 1)", "envelope || x'00'"]
    {
        let id = next();
        set(database, &format!("envelope = CAST({cut} AS BLOB)"), id);
        broken.push(id);
    }
    for at in [0, 30, 59] {
        let id = next();
        flip(database, ("sealing_keys", "wrapped_key", "sealing_key_id"), sealing_key_of(database, id), at);
        broken.push(id);
    }
    let zeroed = next();
    let key = sealing_key_of(database, zeroed);
    database
        .execute("UPDATE sealing_keys SET wrapped_key = zeroblob(60) WHERE sealing_key_id = ?1", [key])
        .unwrap();
    broken.push(zeroed);
    let keyless = next();
    database
        .execute("DELETE FROM sealing_keys WHERE sealing_key_id = ?1", [sealing_key_of(database, keyless)])
        .unwrap();
    broken.push(keyless);
    broken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_moved_or_changed_envelope_fails_to_decrypt() {
    let (mut env, accounts) = stopped_env(&[(ACCOUNT, 30), ("other", 4)]).await;
    let [acme, other] = &accounts[..] else { panic!() };
    assert_eq!(check(&env), (34, vec![]));
    let database = defenceless(&env);
    let mut broken = Vec::new();
    let mut ids = acme.connections.iter().map(String::as_str);
    let mut next = || ids.next().unwrap();

    // Moved: to another row, alone or with its key; to another account; to another version.
    for columns in [&["envelope"][..], &["sealing_key_id"], &["envelope", "sealing_key_id", "sealed_version"]]
    {
        let (one, another) = (next(), next());
        swap(&database, columns, one, another);
        broken.extend([(acme, one), (acme, another)]);
    }
    let (copied, over) = (next(), other.connections[0].as_str());
    let key = sealing_key_of(&database, copied);
    database
        .execute(
            "UPDATE connections SET sealing_key_id = ?1, envelope = (SELECT envelope FROM connections WHERE
             connection_id = ?2) WHERE connection_id = ?3",
            params![key, copied, over],
        )
        .unwrap();
    broken.push((other, over));
    let moved = next();
    set(&database, &format!("account_id = '{}', unique_name = 'moved'", other.id), moved);
    broken.push((other, moved));
    let renamed = next();
    let alias = format!("{}aaaaaaaaaaaaaaa", &renamed[..17]);
    set(&database, &format!("connection_id = '{alias}'"), renamed);
    broken.push((acme, &alias));
    let reversioned = next();
    set(&database, "version = 2, sealed_version = 2", reversioned);
    broken.push((acme, reversioned));
    // An update without credentials increments this version alone.
    set(&database, "version = 7", next());

    broken.extend(change(&database, next).into_iter().map(|id| (acme, id)));
    drop(database);

    let mut expected: Vec<_> =
        broken.iter().map(|(account, id)| json!({ "accountId": account.id, "connectionId": id })).collect();
    expected.sort_by_key(Value::to_string);
    assert_eq!(check(&env), (34 - broken.len() as u64, expected));

    // The fields that are not secret are still served, and writes still work.
    env.service = Service::start(env.path());
    for (account, id) in broken.iter().copied().chain(other.connections.iter().map(|id| (other, id.as_str())))
    {
        let headers = [("authorization", account.key.as_str())];
        let found = env.send(Method::GET, &format!("{COLLECTION}/{id}"), &headers, Vec::new()).await;
        assert_eq!(found.status, 200, "{id}: {found:?}");
    }
    create(&env, &acme.key, "after").await;
    create(&env, &other.key, "after").await;
    assert_eq!(check(&env).0, 36 - broken.len() as u64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_with_a_broken_key_affects_no_other() {
    let (mut env, accounts) =
        stopped_env(&[(ACCOUNT, 2), ("flipped", 2), ("swapped", 1), ("swept", 1), ("gone", 1)]).await;
    let [acme, flipped, swapped, swept, gone] = &accounts[..] else { panic!() };
    let database = defenceless(&env);
    flip(&database, ("accounts", "wrapped_key", "account_id"), &flipped.id, 31);
    let keys = [swapped, swept].map(|account| -> Vec<u8> {
        let query = "SELECT wrapped_key FROM accounts WHERE account_id = ?1";
        database.query_row(query, [&account.id], |row| row.get(0)).unwrap()
    });
    for (account, key) in [swept, swapped].into_iter().zip(keys) {
        database
            .execute("UPDATE accounts SET wrapped_key = ?1 WHERE account_id = ?2", params![key, account.id])
            .unwrap();
    }
    database.execute("UPDATE accounts SET keyring_key_id = 'k_0' WHERE account_id = ?1", [&gone.id]).unwrap();
    drop(database);
    let broken = [flipped, swapped, swept, gone];
    let mut expected: Vec<_> = broken.iter().map(|account| json!({ "accountId": account.id })).collect();
    expected.sort_by_key(Value::to_string);
    assert_eq!(check(&env), (2, expected));

    env.service = Service::start(env.path());
    for account in broken {
        let headers = [("authorization", account.key.as_str())];
        let body = env.valid_body("more").to_string().into_bytes();
        let refused = env.send(Method::POST, COLLECTION, &headers, body).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (500, "INTERNAL_ERROR"));
        let (printed, id) = (refused.json(), refused.header("x-request-id").to_owned());
        assert_eq!(printed.as_object().unwrap().keys().collect::<Vec<_>>(), ["code", "message", "requestId"]);
        assert_eq!(printed["requestId"], json!(id));
        assert!(!refused.text.contains("seal") && !refused.text.contains("open"), "{}", refused.text);
        let log = env.log();
        let cause = log.lines().filter(|line| line.contains(&id) && line.contains("\"ERROR\""));
        assert!(cause.clone().any(|line| line.contains("cannot be decrypted")), "{log}");
        let path = format!("{COLLECTION}/{}", account.connections[0]);
        assert_eq!(env.send(Method::GET, &path, &headers, Vec::new()).await.status, 200);
    }
    create(&env, &acme.key, "more").await;
    let fresh = env.make_key("fresh", &[]);
    create(&env, &fresh, "more").await;
}

/// The stored columns of an API key, in a fixed order.
fn key_row(database: &Connection, id: &str) -> Vec<rusqlite::types::Value> {
    let query = "SELECT * FROM api_keys WHERE api_key_id = ?1";
    let read =
        |row: &rusqlite::Row<'_>| (0..row.as_ref().column_count()).map(|column| row.get(column)).collect();
    database.query_row(query, [id], read).unwrap()
}

fn put_key_row(database: &Connection, row: Vec<rusqlite::types::Value>) {
    let places = vec!["?"; row.len()].join(", ");
    let insert = format!("INSERT OR REPLACE INTO api_keys VALUES ({places})");
    database.execute(&insert, rusqlite::params_from_iter(row)).unwrap();
}

fn reports_a_tampered_row(log: &str) -> bool {
    log.lines().any(|line| line.contains("\"ERROR\"") && line.contains("not written by this service"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_api_key_row_is_not_accepted() {
    let (mut env, _) = stopped_env(&[(ACCOUNT, 0), ("other", 0)]).await;
    env.service = Service::start(env.path());
    let make = |arguments: &[&str]| {
        let key = env.make_key(ACCOUNT, arguments);
        let listed: Value = serde_json::from_slice(&env.cli(&["keys", "list", "--json"], "").stdout).unwrap();
        let ends_so = |row: &&Value| key.ends_with(row["lastFour"].as_str().unwrap());
        let id = listed.as_array().unwrap().iter().rev().find(ends_so).unwrap()["keyId"]
            .as_str()
            .unwrap()
            .to_owned();
        (key, id)
    };
    let status = async |key: &str| {
        let headers = [("authorization", key)];
        let answer = env.send(Method::GET, &format!("{COLLECTION}/none"), &headers, Vec::new()).await;
        (answer.status.as_u16(), answer.text)
    };
    let unknown = status("pictai_unknown_key").await;
    assert_eq!(unknown.0, 401);
    let untouched = make(&[]);
    let expired = make(&["--expires-in-days", "0"]);
    let revoked = make(&[]);
    assert!(env.cli(&["keys", "revoke", &revoked.1], "").status.success());
    for (key, good) in [(&untouched, 404), (&expired, 401), (&revoked, 401)] {
        assert_eq!(status(&key.0).await.0, good);
    }
    let other = "(SELECT account_id FROM accounts WHERE name = 'other')";
    let mac_of_another = format!("(SELECT row_mac FROM api_keys WHERE api_key_id = '{}')", untouched.1);
    let database = defenceless(&env);
    let before = key_row(&database, &untouched.1);
    for (what, (key, id)) in [
        (format!("account_id = {other}"), make(&[])),
        ("expires_at = expires_at + 1".to_owned(), make(&["--expires-in-days", "1"])),
        ("expires_at = NULL".to_owned(), make(&["--expires-in-days", "1"])),
        ("expires_at = NULL".to_owned(), expired),
        ("revoked_at = NULL".to_owned(), revoked),
        (format!("row_mac = {mac_of_another}"), make(&[])),
        ("row_mac = zeroblob(32)".to_owned(), make(&[])),
        ("created_at = created_at - 1".to_owned(), make(&[])),
        ("name = 'admin'".to_owned(), make(&[])),
        ("scopes = 'connections:read keys:manage'".to_owned(), make(&["--scopes", "connections:read"])),
        // As a key from before scopes existed, which allows everything.
        ("scopes = NULL, created_by = NULL".to_owned(), make(&["--scopes", "connections:read"])),
        // A new row: a hash whose key is known, with a new identity.
        ("api_key_id = 'key_forged', row_mac = randomblob(32)".to_owned(), make(&[])),
    ] {
        let true_row = key_row(&database, &id);
        let good = status(&key).await;
        let start = env.log().len();
        let update = format!("UPDATE api_keys SET {what} WHERE api_key_id = ?1");
        assert_eq!(database.execute(&update, [&id]).unwrap(), 1);
        // A verified key is cached briefly. After that the row is verified again.
        let is_reported =
            async || status(&key).await == unknown && reports_a_tampered_row(&env.log()[start..]);
        until(&format!("{what}: the key is refused, and the log reports it"), is_reported).await;
        database.execute("DELETE FROM api_keys WHERE api_key_id = 'key_forged'", []).unwrap();
        put_key_row(&database, true_row);
        until(&format!("{what}, undone"), async || status(&key).await == good).await;
    }
    // Two keys whose hashes are swapped: each finds the row of the other.
    let (one, another) = (make(&[]), make(&[]));
    let (mut row, mut other_row) = (key_row(&database, &one.1), key_row(&database, &another.1));
    std::mem::swap(&mut row[3], &mut other_row[3]);
    database.execute("DELETE FROM api_keys WHERE api_key_id IN (?1, ?2)", [&one.1, &another.1]).unwrap();
    put_key_row(&database, row);
    put_key_row(&database, other_row);
    for (key, _) in [one, another] {
        until("the key leads to the row of the other key", async || status(&key).await == unknown).await;
    }
    // All but the last column, the last use.
    assert_eq!(key_row(&database, &untouched.1)[..12], before[..12]);
    assert_eq!(status(&untouched.0).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_key_is_listed_and_can_be_revoked() {
    let env = TestEnv::start().await;
    let listed = || -> Value {
        let keys: Value = serde_json::from_slice(&env.cli(&["keys", "list", "--json"], "").stdout).unwrap();
        keys[0].clone()
    };
    let id = listed()["keyId"].as_str().unwrap().to_owned();
    let database = defenceless(&env);
    for forgery in ["expires_at = 1", "revoked_at = 1"] {
        let true_row = key_row(&database, &id);
        database.execute(&format!("UPDATE api_keys SET {forgery}"), []).unwrap();
        assert_eq!(listed()["status"], "tampered", "{forgery}");
        assert!(env.cli(&["keys", "revoke", &id], "").status.success());
        assert_eq!(listed()["status"], "revoked", "{forgery}");
        put_key_row(&database, true_row);
        assert_eq!(listed()["status"], "active");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_row_is_reported_for_that_row_alone() {
    let (env, accounts) = stopped_env(&[(ACCOUNT, 3), ("other", 2)]).await;
    let database = defenceless(&env);
    let damaged = accounts[0].connections[1].as_str();
    let damage = "UPDATE connections SET name = CAST(x'ff41' AS TEXT) WHERE connection_id = ?1";
    assert_eq!(database.execute(damage, [damaged]).unwrap(), 1);
    drop(database);
    let checked = env.cli(&["connections", "check"], "");
    let text = crate::support::harness::printed(&checked);
    assert_eq!(checked.status.code(), Some(1));
    assert!(text.contains("Connections decrypted: 4 (accounts: 2).") && text.contains(damaged), "{text}");
}
