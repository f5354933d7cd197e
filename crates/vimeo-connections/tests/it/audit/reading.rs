//! Listing, filtering and exporting audit events.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::connections::{create, delete, put};
use crate::support::harness::{ACCOUNT, TestEnv, printed};

const EVENTS: &str = "/pictoryapis/v1/audit-events";
const EXPORT: &str = "/pictoryapis/v1/audit-events/export";

/// The events of a response, oldest first.
async fn events(env: &TestEnv, query: &str) -> Vec<Value> {
    let answer = env.get(&format!("{EVENTS}?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let mut items = answer.json()["items"].as_array().unwrap().clone();
    items.reverse();
    items
}

fn actions(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["action"].as_str().unwrap()).collect()
}

/// An environment with a created, an updated and a deleted connection, and refusals of each kind.
async fn env() -> (TestEnv, String) {
    let env = TestEnv::without_verification("").await;
    let id = create(&env, &env.valid_body("one")).await;
    assert_eq!(env.post(&env.valid_body("one")).await.status, 409);
    assert_eq!(put(&env, &id, &json!({"version": 1, "description": "new"})).await.status, 200);
    assert_eq!(put(&env, &id, &json!({"version": 1})).await.status, 409);
    let unknown = "20260131090500042abcdefghijklmno";
    assert_eq!(put(&env, unknown, &json!({"version": 1})).await.status, 404);
    for job in ["019c1234-5678-7abc-8def-0123456789ab", "nonsense"] {
        let path = format!("/pictoryapis/v1/jobs/{job}");
        assert_eq!(env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 404);
    }
    delete(&env, &id).await;
    (env, id)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mutation_and_refusal_is_listed_with_who_what_and_where() {
    let (env, id) = env().await;
    // Not audited: a body that is not valid, an invalid key, reading.
    assert_eq!(env.post(&json!({})).await.status, 400);
    let headers = [("authorization", "pictai_nonsense")];
    assert_eq!(env.send(Method::DELETE, "/pictoryapis/v1/jobs/x", &headers, Vec::new()).await.status, 401);
    let all = events(&env, "").await;
    assert_eq!(
        actions(&all),
        [
            "create_account",
            "create_api_key",
            "create_connection",
            "create_connection",
            "update_connection",
            "update_connection",
            "update_connection",
            "cancel_upload",
            "cancel_upload",
            "delete_connection"
        ]
    );
    assert_eq!(all[0]["actor"], json!({"type": "operator"}));
    assert!(all[0].get("address").is_none(), "{}", all[0]);
    let who = env.get("/pictoryapis/v1/whoami").await.json();
    let key = json!({"type": "api_key", "keyId": who["keyId"], "keyName": who["keyName"]});
    for (event, outcome, code) in [
        (&all[2], "done", None),
        (&all[3], "refused", Some("CONNECTION_NAME_EXISTS")),
        (&all[5], "refused", Some("VERSION_CONFLICT")),
        (&all[6], "refused", Some("CONNECTION_NOT_FOUND")),
        (&all[7], "refused", Some("JOB_NOT_FOUND")),
        (&all[8], "refused", Some("JOB_NOT_FOUND")),
    ] {
        assert_eq!((&event["actor"], &event["address"]), (&key, &json!("127.0.0.1")), "{event}");
        assert_eq!(
            (event["outcome"].as_str(), event["errorCode"].as_str()),
            (Some(outcome), code),
            "{event}"
        );
    }
    assert_eq!(all[2]["subject"], json!(id));
    assert!(!env.get(EVENTS).await.text.contains(&env.api_key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_select_and_pages_continue() {
    let (env, id) = env().await;
    let all = events(&env, "").await;
    assert_eq!(actions(&events(&env, "action=cancel_upload").await).len(), 2);
    let about = events(&env, &format!("subject={id}")).await;
    assert_eq!(
        actions(&about),
        ["create_connection", "update_connection", "update_connection", "delete_connection"]
    );
    assert_eq!(events(&env, "actor=operator").await, all[..2]);
    assert_eq!(events(&env, "actor=api_key").await, all[2..]);
    assert_eq!(events(&env, "actor=worker").await, Vec::<Value>::new());
    let key = all[2]["actor"]["keyId"].as_str().unwrap();
    assert_eq!(events(&env, &format!("actor={key}&action=create_connection")).await.len(), 2);
    assert_eq!(events(&env, "actor=key_unknown").await, Vec::<Value>::new());
    let at = |event: &Value| event["date"].as_str().unwrap().to_owned();
    let after = events(&env, &format!("after={}", at(&all[1]))).await;
    assert!(after.iter().all(|event| at(event) > at(&all[1])) && after.contains(&all[9]), "{after:?}");
    let before = events(&env, &format!("before={}", at(&all[9]))).await;
    assert!(before.iter().all(|event| at(event) < at(&all[9])) && before.contains(&all[0]), "{before:?}");
    assert_eq!(
        events(&env, &format!("after={}&before={}", at(&all[9]), at(&all[0]))).await,
        Vec::<Value>::new()
    );
    for filter in ["", "&actor=api_key"] {
        let (mut seen, mut page_key) = (Vec::new(), String::new());
        loop {
            let page = env.get(&format!("{EVENTS}?limit=3{filter}&nextPageKey={page_key}")).await.json();
            seen.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["nextPageKey"].as_str() else { break };
            next.clone_into(&mut page_key);
        }
        seen.reverse();
        assert_eq!(seen, events(&env, filter).await, "{filter}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_query_is_refused_and_another_accounts_events_do_not_exist() {
    let (env, id) = env().await;
    for (query, field) in [
        ("after=yesterday", "after"),
        ("before=2026-01-31", "before"),
        ("action=drop_tables", "action"),
        ("actor=someone", "actor"),
        ("limit=0", "limit"),
        ("Subject=x", "Subject"),
        ("from=x", "from"),
    ] {
        for path in [EVENTS, EXPORT] {
            let answer = env.get(&format!("{path}?{query}")).await;
            assert_eq!((answer.status.as_u16(), answer.code().as_str()), (400, "INVALID_QUERY"), "{query}");
            assert_eq!(answer.fields()[0].0, field, "{query}");
        }
    }
    assert_eq!(env.get(&format!("{EXPORT}?limit=5")).await.code(), "INVALID_QUERY", "an export has no pages");
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger)];
    let next = env.get(&format!("{EVENTS}?limit=1")).await.json()["nextPageKey"].as_str().unwrap().to_owned();
    let foreign = env.send(Method::GET, &format!("{EVENTS}?nextPageKey={next}"), &headers, Vec::new()).await;
    let made_up = env.send(Method::GET, &format!("{EVENTS}?nextPageKey=AAAA"), &headers, Vec::new()).await;
    assert_eq!((foreign.status, &foreign.text), (made_up.status, &made_up.text));
    assert_eq!(foreign.code(), "INVALID_PAGE_KEY");
    let theirs = env.send(Method::GET, &format!("{EVENTS}?subject={id}"), &headers, Vec::new()).await;
    assert_eq!(theirs.text, "{\"items\":[]}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_every_event_on_a_line_also_beyond_a_page() {
    let (env, _) = env().await;
    let all = events(&env, "").await;
    let answer = env.get(EXPORT).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines = |text: &str| -> Vec<Value> {
        text.lines().rev().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    assert_eq!(lines(&answer.text), all);
    let printed_by_cli = env.cli(&["audit", "export", "--account", ACCOUNT], "");
    assert_eq!(lines(&String::from_utf8(printed_by_cli.stdout).unwrap()), all);
    let some = env.get(&format!("{EXPORT}?action=cancel_upload")).await;
    assert_eq!(lines(&some.text), all[7..9]);
    // Events of an earlier version have no columns for their actor.
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 2500)
        INSERT INTO audit_events (account_id, audit_event_id, at, remote, action)
        SELECT account_id, '20250101000000000' || printf('%015d', n), 1735689600000000, 'service', 'end_upload'
        FROM n, accounts";
    env.database().execute(many, []).unwrap();
    let exported = lines(&env.get(EXPORT).await.text);
    assert_eq!(exported.len(), 2500 + all.len());
    assert_eq!(exported[0]["actor"], json!({"type": "worker"}));
    assert!(exported.is_sorted_by_key(|event| event["eventId"].as_str().unwrap().to_owned()));
    // A filter that leaves out more than a read returns short pages, and loses nothing.
    assert_eq!(lines(&env.get(&format!("{EXPORT}?actor=operator")).await.text), all[..2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_lists_events() {
    let (env, id) = env().await;
    let output = env.cli(&["audit", "list", "--account", ACCOUNT, "--subject", &id], "");
    assert!(output.status.success(), "{}", printed(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("DATE") && lines[1].contains("delete_connection"), "{text}");
    assert!(lines[2].ends_with("VERSION_CONFLICT") && lines[4].ends_with("done"), "{text}");
    let listed = env.cli(&["audit", "list", "--account", ACCOUNT, "--limit", "3", "--json"], "");
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&listed.stdout).unwrap().len(), 3);
    for (arguments, status) in [
        (["--account", "nobody", "--limit", "3"], 1),
        (["--account", ACCOUNT, "--action", "drop_tables"], 2),
        (["--account", ACCOUNT, "--after", "yesterday"], 2),
        (["--account", ACCOUNT, "--limit", "0"], 2),
    ] {
        let output = env.cli(&[&["audit", "list"], &arguments[..]].concat(), "");
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", printed(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mutation_of_an_id_that_cannot_exist_is_listed_without_it() {
    let env = TestEnv::without_verification("").await;
    let canary = "pictai_canary-in-a-path";
    for (method, path, body) in [
        (Method::DELETE, format!("api-keys/{canary}"), ""),
        (Method::PATCH, format!("api-keys/{canary}"), r#"{"name":"x"}"#),
        (Method::POST, format!("api-keys/{canary}/rotate"), ""),
        (Method::POST, format!("jobs/{canary}/retry"), ""),
        (Method::DELETE, format!("jobs/{canary}"), ""),
    ] {
        let path = format!("/pictoryapis/v1/{path}");
        assert_eq!(env.send(method, &path, &[], body.into()).await.status, 404, "{path}");
    }
    let all = events(&env, "").await;
    let refused: Vec<_> = all.iter().filter(|event| event["outcome"] == "refused").cloned().collect();
    assert_eq!(
        actions(&refused),
        ["revoke_api_key", "rename_api_key", "rotate_api_key", "retry_upload", "cancel_upload"],
        "{all:?}"
    );
    assert!(!json!(all).to_string().contains("canary"));
}
