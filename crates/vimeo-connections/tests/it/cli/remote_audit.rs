//! `audit` on a remote service.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use serde_json::json;

use crate::support::connections::{create, delete, put};
use crate::support::harness::{ACCOUNT, TestEnv, cli, printed};
use crate::support::remote_cli::RemoteUser;

/// An operator's event of an earlier year, and more events of the worker after it than are read for a page.
const OLD_EVENTS: &str = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 12000)
    INSERT INTO audit_events (account_id, audit_event_id, at, remote, action)
    SELECT account_id, '20250101000000000' || printf('%015d', n), 1735689600000000, 'service', 'end_upload'
    FROM n, accounts
    UNION ALL
    SELECT account_id, '20240101000000000000000000000001', 1704067200000000, NULL, 'create_account'
    FROM accounts";
/// After the old events, and before the others.
const MIDYEAR: &str = "2025-06-30T12:00:00+02:00";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_are_listed_and_exported_over_http_as_from_the_database() {
    let env = TestEnv::without_verification("").await;
    let user = RemoteUser::of(&env);
    let id = create(&env, &env.valid_body("one")).await;
    assert_eq!(env.post(&env.valid_body("one")).await.status, 409);
    assert_eq!(put(&env, &id, &json!({"version": 1, "description": "new"})).await.status, 200);
    delete(&env, &id).await;
    env.database().execute(OLD_EVENTS, []).unwrap();
    let listed = user.json(&["audit", "list", "--limit", "3"], "");
    assert_eq!(listed.as_array().unwrap().len(), 3, "{listed}");
    assert_eq!((&listed[0]["action"], &listed[0]["subject"]), (&json!("delete_connection"), &json!(id)));
    let key = listed[0]["actor"]["keyId"].as_str().unwrap();
    let lines = |arguments: &[&str]| {
        let remote = user.run(arguments, "");
        let local = env.cli(&[arguments, &["--account", ACCOUNT]].concat(), "");
        assert!(
            remote.status.success() && local.status.success(),
            "{} {}",
            printed(&remote),
            printed(&local)
        );
        assert_eq!(printed(&remote), printed(&local), "{arguments:?}");
        String::from_utf8(remote.stdout).unwrap().lines().count()
    };
    assert_eq!(lines(&["audit", "export"]), 12_007);
    assert_eq!(lines(&["audit", "list"]), 51, "a header and events");
    assert_eq!(lines(&["audit", "list", "--limit", "1000"]), 1001);
    // The last of them is behind pages without any.
    assert_eq!(lines(&["audit", "list", "--actor", "operator"]), 4);
    assert_eq!(lines(&["audit", "export", "--actor", "operator"]), 3);
    assert_eq!(lines(&["audit", "export", "--action", "create_webhook_secret"]), 0);
    assert_eq!(lines(&["audit", "list", "--subject", &id, "--actor", key]), 4);
    for filter in [
        ["--after", MIDYEAR],
        ["--before", MIDYEAR],
        ["--action", "create_connection"],
        ["--actor", "worker"],
    ] {
        assert!(lines(&[&["audit", "list", "--json"], &filter[..]].concat()) > 1, "{filter:?}");
        assert!(lines(&[&["audit", "export"], &filter[..]].concat()) > 0, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_of_a_service_needs_a_scope_and_the_chain_needs_the_database() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let key = env.make_key(ACCOUNT, &["--name", "narrow", "--scopes", "connections:read"]);
    let narrow = RemoteUser::with(&env.url(""), &key);
    let foreign = RemoteUser::with(&format!("{}/x", env.sandbox.base_url), &env.api_key);
    for command in ["list", "export"] {
        let (status, error) = narrow.error(&["audit", command], "");
        assert!(status == Some(77) && error.contains("audit:read"), "{error}");
        let (status, error) = foreign.error(&["audit", command], "");
        assert!(status == Some(78) && error.contains("check the URL"), "{error}");
        let (status, error) = user.error(&["audit", command, "--account", ACCOUNT], "");
        assert!(status == Some(2) && error.contains("the API key decides"), "{error}");
        let missing = cli(env.path(), &["audit", command], "");
        assert_eq!(missing.status.code(), Some(2), "{}", printed(&missing));
        assert!(printed(&missing).contains("--account NAME is missing"), "{}", printed(&missing));
    }
    for arguments in
        [&["audit", "verify"][..], &["audit", "verify", "--head", "x"], &["audit", "head", "export"]]
    {
        let (status, error) = user.error(arguments, "");
        assert!(status == Some(2) && error.contains("works on the database"), "{error}");
    }
}

/// A service that answers one request with this body, in one chunk, and then closes the connection without the end.
fn incomplete_service(body: &'static str) -> (String, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.extend(byte);
        }
        let head =
            "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
        write!(stream, "{head}{:x}\r\n{body}\r\n", body.len()).unwrap();
    });
    (url, served)
}

#[test]
fn an_interrupted_export_prints_complete_lines_and_says_that_it_is_incomplete() {
    let (url, served) = incomplete_service("{\"eventId\":\"2\"}\n{\"eventId\":\"1\"}\n{\"event");
    let output = RemoteUser::with(&url, "pictai_unknown-canary").run(&["audit", "export"], "");
    assert_eq!(output.status.code(), Some(69), "{}", printed(&output));
    served.join().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout.clone()).unwrap(),
        "{\"eventId\":\"2\"}\n{\"eventId\":\"1\"}\n"
    );
    assert!(printed(&output).contains("the output is incomplete"), "{}", printed(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_ends_when_its_reader_has_gone() {
    let env = TestEnv::without_verification("").await;
    let user = RemoteUser::of(&env);
    env.database().execute(OLD_EVENTS, []).unwrap();
    let mut command = user.command(&["audit", "export", "--profile", "test"]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", printed(&output));
}
