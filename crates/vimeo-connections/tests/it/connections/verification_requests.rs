//! Requests to Vimeo for verification: their content, target and proxy, and the revocation of the tokens they leave.

use std::fs;
use std::sync::{Arc, Mutex};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::harness::{ClosedPort, Service, TestEnv, cli, printed};
use crate::support::verification::{
    Expected, GRANT, REVOKE, VERIFY, assert_row, journal, long_budget, long_budget_with, requests_to,
    wait_for_revocations,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_follow_vimeos_documentation() {
    let env = TestEnv::with(long_budget()).await;
    assert_eq!(env.post(&env.valid_body("words")).await.status, StatusCode::CREATED);
    wait_for_revocations(&env, 0).await;
    let requests = journal(&env).await;
    assert_eq!(requests.len(), 3, "{requests:?}");
    for request in &requests {
        assert_eq!(request["accept"], "application/vnd.vimeo.*+json;version=3.4");
        let agent = request["user_agent"].as_str().unwrap();
        assert!(agent.starts_with("vimeo-connections/"), "{agent}");
        assert_eq!(request["query"], Value::Null);
    }
    let [grant] = &requests_to(&env, GRANT).await[..] else { panic!("{requests:?}") };
    assert_eq!(grant["content_type"], "application/x-www-form-urlencoded");
    assert_eq!(grant["authorization"]["client_id"], json!(env.sandbox.client_id));
    let [verify] = &requests_to(&env, VERIFY).await[..] else { panic!("{requests:?}") };
    assert_eq!(verify["content_type"], Value::Null);
    let tokens = env.control(Method::GET, "tokens", Value::Null).await;
    let [own, stray] = &tokens["tokens"].as_array().unwrap()[..] else { panic!("{tokens}") };
    assert_eq!(verify["authorization"]["fingerprint"], own["fingerprint"]);
    let [revoked] = &requests_to(&env, REVOKE).await[..] else { panic!("{requests:?}") };
    assert_eq!(revoked["authorization"]["fingerprint"], stray["fingerprint"]);
    assert_eq!(stray["scope"], "public", "only the required scopes were requested");
    assert_eq!(own["revoked"], false);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stray_token_is_revoked_despite_failed_attempts() {
    let env = TestEnv::with(long_budget()).await;
    for (fault, times) in [
        (json!({"kind": "status", "status": 500}), 1),
        (json!({"kind": "status", "status": 400}), 1),
        (json!({"kind": "cut"}), 1),
        (json!({"kind": "reset"}), 2),
        // Revoked, but the response is lost: the next attempt finds no token.
        (json!({"kind": "cut-after"}), 1),
        (json!({"kind": "rate-limit", "reset_seconds": 1}), 2),
        (json!({"kind": "status", "status": 503}), 3),
    ] {
        let mut fault = fault;
        fault["route"] = json!(REVOKE);
        fault["times"] = json!(times);
        env.inject_fault(fault.clone()).await;
        assert_row(&env, &fault.to_string(), &env.valid_body("a row"), &Expected::Created, 0).await;
    }
    let tokens = env.control(Method::GET, "tokens", Value::Null).await;
    let own: Vec<_> =
        tokens["tokens"].as_array().unwrap().iter().filter(|token| token["origin"] == "issued").collect();
    assert_eq!(own.len(), 1);
    assert_eq!(own[0]["revoked"], false, "the user's own token is never revoked");
    for attempt in requests_to(&env, REVOKE).await {
        assert_ne!(attempt["authorization"]["fingerprint"], own[0]["fingerprint"]);
    }
}

/// Creates a token of the app alone, which the sandbox returns as if it had just been granted.
async fn handed_out(env: &TestEnv, app: Value) -> (String, Value) {
    let request = json!({"app": env.sandbox.client_id, "scopes": "public", "user": false});
    let made = env.control(Method::POST, "tokens", request).await;
    let access_token = made["access_token"].as_str().unwrap().to_owned();
    let app = if app.is_null() { made["app"].clone() } else { app };
    (access_token.clone(), json!({"access_token": access_token, "app": app}))
}

async fn is_revoked(env: &TestEnv, access_token: &str) -> bool {
    let url = format!("{}/oauth/verify", env.sandbox.base_url);
    env.http.get(url).bearer_auth(access_token).send().await.unwrap().status() == StatusCode::UNAUTHORIZED
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_an_unparsable_response_is_revoked_too() {
    let env = TestEnv::with(long_budget()).await;
    for app in [json!({}), json!("/apps/1"), json!([]), json!({"uri": 7})] {
        let (stray, body) = handed_out(&env, app.clone()).await;
        env.inject_fault(json!({"route": GRANT, "kind": "wrong-json", "body": body})).await;
        assert_row(&env, &app.to_string(), &env.valid_body("a row"), &Expected::Unavailable(10), 0).await;
        let started = std::time::Instant::now();
        while !is_revoked(&env, &stray).await {
            assert!(started.elapsed().as_secs() < 30, "{app}: the token was left at Vimeo");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_own_token_is_not_revoked_when_granted_again() {
    let env = TestEnv::with(long_budget()).await;
    // Some servers return the same token for each grant, and a user may have pasted it.
    let (own, body) = handed_out(&env, Value::Null).await;
    env.inject_fault(json!({"route": GRANT, "kind": "wrong-json", "body": body})).await;
    let mut pasted = env.valid_body("pasted");
    pasted["accessToken"] = json!(own);
    assert_eq!(env.post(&pasted).await.code(), "INVALID_VIMEO_CREDENTIALS");
    // The stray token of the next verification is revoked after everything that the first one had to revoke.
    assert_row(&env, "the next", &env.valid_body("next"), &Expected::Created, 0).await;
    assert!(!is_revoked(&env, &own).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_verification_off_vimeo_is_never_contacted() {
    let env = TestEnv::without_verification("").await;
    let mut body = env.valid_body("unchecked");
    for name in ["first", "second"] {
        body["name"] = json!(name);
        body["accessToken"] = json!("never-issued-by-the-sandbox");
        assert_eq!(env.post(&body).await.status, StatusCode::CREATED);
    }
    assert_eq!(env.post(&body).await.code(), "CONNECTION_NAME_EXISTS");
    assert!(journal(&env).await.is_empty());
    assert_eq!(env.connection_count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locally_rejected_request_does_not_reach_vimeo() {
    let env = TestEnv::with(long_budget()).await;
    assert_eq!(env.post(&env.valid_body("taken")).await.status, StatusCode::CREATED);
    wait_for_revocations(&env, 0).await;
    env.control(Method::DELETE, "journal", Value::Null).await;
    assert_eq!(env.post(&env.valid_body("taken ")).await.code(), "CONNECTION_NAME_EXISTS");
    assert_eq!(env.post(&json!({})).await.code(), "INVALID_REQUEST_BODY");
    assert!(journal(&env).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxy_environment_variables_are_ignored() {
    let mut env = TestEnv::with(long_budget()).await;
    let closed = ClosedPort::bind();
    let dead = format!("http://{}", closed.address());
    let names = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
    env.service.kill();
    env.service = Service::start_with(env.path(), &names.map(|name| (name, dead.as_str())));
    assert_eq!(env.post(&env.valid_body("direct")).await.status, StatusCode::CREATED);
    wait_for_revocations(&env, 0).await;
}

/// The first lines of the connections to a proxy.
type Heads = Arc<Mutex<Vec<String>>>;

/// A proxy that forwards bytes to `target` unchanged, and records the request line of each connection.
async fn proxy(target: std::net::SocketAddr) -> (String, Heads, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heads = Heads::default();
    let seen = heads.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((client, _)) = listener.accept().await {
            connections.spawn(pass_on(client, target, seen.clone()));
        }
    });
    (url, heads, tasks)
}

async fn pass_on(mut client: TcpStream, target: std::net::SocketAddr, seen: Heads) {
    let mut head = Vec::new();
    while !head.windows(2).any(|pair| pair == b"\r\n") {
        let Ok(byte) = client.read_u8().await else { return };
        head.push(byte);
    }
    seen.lock().unwrap().push(String::from_utf8_lossy(&head).trim().to_owned());
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if server.write_all(&head).await.is_ok() {
        // Either side may end it; then both are closed.
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_configured_proxy_is_used_for_all_vimeo_requests() {
    let mut env = TestEnv::with(long_budget()).await;
    let (url, heads, _tasks) = proxy(env.sandbox.addr).await;
    env.service.kill();
    env.service = Service::start_with(env.path(), &[("VIMEO_CONNECTIONS_VIMEO__PROXY", &url)]);
    assert_eq!(env.post(&env.valid_body("proxied")).await.status, StatusCode::CREATED);
    wait_for_revocations(&env, 0).await;
    let heads = heads.lock().unwrap().clone();
    // The second request may reuse the connection of the first, and only the first line of each connection is
    // recorded.
    let absolute = format!(" {}/", env.sandbox.base_url);
    assert!(!heads.is_empty() && heads.iter().all(|line| line.contains(&absolute)), "{heads:?}");
    // Each connection came through the proxy.
    let opened = env.control(Method::GET, "journal", Value::Null).await["connections_opened"].clone();
    assert_eq!(opened, json!(heads.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_through_a_proxy_uses_connect() {
    let mut env = TestEnv::with(long_budget()).await;
    let (url, heads, _tasks) = proxy(env.sandbox.addr).await;
    env.service.kill();
    let environment = [
        ("VIMEO_CONNECTIONS_VIMEO__PROXY", url.as_str()),
        ("VIMEO_CONNECTIONS_VIMEO__BASE_URL", "https://vimeo.invalid"),
    ];
    env.service = Service::start_with(env.path(), &environment);
    let answer = env.post(&env.valid_body("tunnelled")).await;
    // The sandbox does not support CONNECT, so it ends before any credential is sent.
    assert_eq!(answer.code(), "VIMEO_UNAVAILABLE");
    let heads = heads.lock().unwrap().clone();
    assert!(!heads.is_empty());
    assert!(heads.iter().all(|line| line == "CONNECT vimeo.invalid:443 HTTP/1.1"), "{heads:?}");
    for request in journal(&env).await {
        assert_eq!(request["authorization"], Value::Null, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_proxy_is_unavailable_and_never_bypassed() {
    let closed = ClosedPort::bind();
    let dead = format!("http://{}", closed.address());
    let env = TestEnv::with(long_budget_with(&format!("vimeo.proxy = \"{dead}\"\n"))).await;
    let answer = env.post(&env.valid_body("nowhere")).await;
    assert_eq!(answer.code(), "VIMEO_UNAVAILABLE", "{answer:?}");
    assert_eq!(answer.header("retry-after"), "10");
    assert!(journal(&env).await.is_empty());
}

#[test]
fn credentials_are_not_sent_unencrypted_to_another_host() {
    for url in
        ["http://api.vimeo.com", "http://10.0.0.7:9300", "http://localhost.example.com", "http://0.0.0.0:1"]
    {
        let directory = tempfile::tempdir().unwrap();
        let config = format!("vimeo.base_url = \"{url}\"\n");
        fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
        for command in [&["serve"][..], &["config", "check"]] {
            let output = cli(directory.path(), command, "");
            assert!(!output.status.success(), "{url}: {output:?}");
            let printed = printed(&output);
            assert!(
                printed.contains("vimeo.base_url") && printed.contains("must start with https://"),
                "{url}: {printed}"
            );
        }
    }
}
