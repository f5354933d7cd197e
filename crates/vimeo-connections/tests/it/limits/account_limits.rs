//! The limits of one account, set on the command line.

use reqwest::Method;
use serde_json::Value;

use crate::support::harness::{COLLECTION, TestEnv, printed, until};

fn limits(env: &TestEnv, arguments: &[&str]) -> Value {
    let output = env.cli(&[&["accounts", "limits", "acme", "--json"], arguments].concat(), "");
    assert!(output.status.success(), "{}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_of_one_account_applies_within_a_second_and_can_be_reset() {
    let env = TestEnv::without_verification("limits.connections = 50\n").await;
    let stranger = env.make_key("another", &[]);
    let before = limits(&env, &[]);
    assert_eq!(before["connections"]["value"], 50);
    assert_eq!(before["connections"]["source"], "configuration");
    assert_eq!(before["key-requests-per-minute"]["value"], 60_000);
    assert_eq!(env.post(&env.valid_body("a")).await.status, 201);
    let changed = limits(&env, &["--set", "connections=1", "--set", "key-requests-per-minute=7000"]);
    assert_eq!(changed["connections"]["value"], 1);
    assert_eq!(changed["connections"]["source"], "account");
    assert_eq!(changed["event-streams"]["source"], "configuration");
    until("the new limits apply", async || {
        let refused = env.post(&env.valid_body("b")).await;
        let policy = refused.header("ratelimit-policy").starts_with("\"key\";q=7000;w=60");
        refused.code() == "LIMIT_REACHED" && policy
    })
    .await;
    let headers = [("authorization", &*stranger)];
    for name in ["a", "b"] {
        let body = env.valid_body(name).to_string().into();
        let theirs = env.send(Method::POST, COLLECTION, &headers, body).await;
        assert_eq!(theirs.status, 201, "another account has the configured limits");
        assert!(
            theirs.header("ratelimit-policy").starts_with("\"key\";q=1000;w=1"),
            "now two accounts send requests"
        );
    }
    let reset = limits(&env, &["--reset", "connections"]);
    assert_eq!(reset["connections"]["source"], "configuration");
    assert_eq!(reset["key-requests-per-minute"]["value"], 7_000);
    until("the configured limit applies again", async || env.post(&env.valid_body("c")).await.status == 201)
        .await;
    let events: u64 = env
        .database()
        .query_row("SELECT count(*) FROM audit_events WHERE action = 'update_account_limits'", [], |row| {
            row.get(0)
        })
        .unwrap();
    assert_eq!(events, 2, "each change is audited, and looking is not");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_limit_is_refused_by_name() {
    let env = TestEnv::without_verification("").await;
    for (arguments, text) in [
        (&["acme", "--set", "conections=1"][..], "connections, jobs-in-progress"),
        (&["acme", "--set", "connections"], "such as connections=5000"),
        (&["acme", "--set", "connections=-1"], "from 0 to 1000000000"),
        (&["acme", "--reset", "everything"], "connections, jobs-in-progress"),
        (&["acme", "--set", "connections=1", "--reset", "connections"], "connections is given twice"),
        (&["nowhere"], "no account is named nowhere"),
        (&["nowhere", "--set", "connections=1"], "no account is named nowhere"),
    ] {
        let output = env.cli(&[&["accounts", "limits"], arguments].concat(), "");
        // An unknown account is no error of the command line.
        let expected = if text.starts_with("no account") { 1 } else { 2 };
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}");
        assert!(printed(&output).contains(text), "{arguments:?}: {}", printed(&output));
    }
    let table = env.cli(&["accounts", "limits", "acme"], "");
    let table = printed(&table);
    for text in ["LIMIT", "requests-per-minute", "120000", "configuration"] {
        assert!(table.contains(text), "{table}");
    }
}
