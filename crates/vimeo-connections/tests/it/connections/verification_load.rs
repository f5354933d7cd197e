//! A thousand creates wait for a slow Vimeo: each succeeds in the end, requests that do not need Vimeo are not
//! delayed, and the connections to Vimeo are reused by later requests.

use std::collections::HashSet;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, EnvOptions, TestEnv, until};
use crate::support::verification::{GRANT, VERIFY, journal, requests_to, wait_for_revocations};

/// Creates that wait concurrently.
const WAITING: usize = 1_000;
/// Creates that follow.
const LATER: usize = 200;

/// Each create is one connection of this process to the service, and two of the service to the sandbox, which runs
/// here too.
fn allow_many_files() {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).unwrap();
    let needed = 4 * WAITING as u64;
    assert!(files.maximum.is_none_or(|most| most >= needed), "this test opens {needed} files: ulimit -Hn");
}

/// Creates connections concurrently; their statuses as they arrive.
fn create_at_once(env: &TestEnv, prefix: &str, count: usize) -> JoinSet<(StatusCode, String)> {
    let mut clients = JoinSet::new();
    let together = Arc::new(Barrier::new(count));
    for number in 0..count {
        let body = env.valid_body(&format!("{prefix} {number}")).to_string();
        let request = env.http.post(env.url(COLLECTION)).header("authorization", &env.api_key).body(body);
        let together = together.clone();
        clients.spawn(async move {
            together.wait().await;
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        });
    }
    clients
}

async fn assert_all_created(mut clients: JoinSet<(StatusCode, String)>) {
    while let Some(answered) = clients.join_next().await {
        let (status, text) = answered.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{text}");
    }
}

/// The connections over which the requests in the journal of the sandbox came.
async fn connections(env: &TestEnv) -> HashSet<u64> {
    journal(env).await.iter().map(|request| request["connection"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creates_wait_for_a_slow_vimeo_and_other_requests_do_not() {
    allow_many_files();
    // Longer than the test takes.
    let env = TestEnv::with(EnvOptions {
        config: "vimeo.budget_seconds = 300".to_owned(),
        ..EnvOptions::default()
    })
    .await;
    let first = env.post(&env.valid_body("first")).await.json();
    let path = format!("{COLLECTION}/{}", first["connectionId"].as_str().unwrap());
    wait_for_revocations(&env, 0).await;
    for route in [GRANT, VERIFY] {
        env.inject_fault(json!({"route": route, "kind": "hold"})).await;
    }
    let mut waiting = create_at_once(&env, "waiting", WAITING);
    until("both requests for each create have arrived", async || {
        let held =
            |requests: Vec<Value>| requests.iter().filter(|request| request["fault"] == "hold").count();
        held(requests_to(&env, GRANT).await) == WAITING && held(requests_to(&env, VERIFY).await) == WAITING
    })
    .await;

    // Requests that do not need Vimeo are answered while all creates wait.
    for _ in 0..LATER {
        assert_eq!(env.get(&path).await.status, StatusCode::OK);
    }
    let list = env.get(COLLECTION).await.json();
    assert_eq!(list["Items"].as_array().unwrap().len(), 1);
    let mut change = env.valid_body("first renamed");
    change["version"] = first["version"].clone();
    let changed = env.send(Method::PUT, &path, &[], change.to_string().into_bytes()).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text);
    let taken = env.post(&change).await;
    assert_eq!(taken.status, StatusCode::CONFLICT, "a used name is found before Vimeo is asked");
    assert!(waiting.try_join_next().is_none(), "a create was answered before Vimeo responded");

    env.control(Method::DELETE, "faults", Value::Null).await;
    assert_all_created(waiting).await;
    assert_eq!(env.connection_count(), WAITING + 1);
    wait_for_revocations(&env, 0).await;

    // The next requests reuse connections and open no new ones.
    let opened = connections(&env).await;
    assert!(opened.len() <= 2 * WAITING + 2, "{} connections for {WAITING} creates", opened.len());
    env.control(Method::DELETE, "journal", Value::Null).await;
    assert_all_created(create_at_once(&env, "next", LATER)).await;
    wait_for_revocations(&env, 0).await;
    let used = connections(&env).await;
    let new: Vec<_> = used.difference(&opened).collect();
    assert!(new.is_empty(), "{} new connections beside {} idle ones", new.len(), opened.len());
}
