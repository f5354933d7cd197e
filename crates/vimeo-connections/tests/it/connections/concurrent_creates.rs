//! Concurrent creates, and clients that disconnect while they wait.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, EnvOptions, Response, TestEnv, until};
use crate::support::verification::{
    Footprint, GRANT, VERIFY, footprint, long_budget, long_budget_with, requests_to, wait_for_revocations,
};

/// How many clients disconnect at once.
const DISCONNECTS: usize = 50;

/// The sandbox and a thousand clients run in the test process: raises the limit of open files as far as the system
/// allows.
fn raise_open_files() {
    let files = getrlimit(Resource::Nofile);
    // If this fails, the test itself reports that it ran out of files.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}

/// Sends all bodies at once; the responses in the order of the bodies.
async fn post_all(env: &Arc<TestEnv>, bodies: Vec<Value>) -> Vec<Response> {
    let mut posts = JoinSet::new();
    for (number, body) in bodies.into_iter().enumerate() {
        let env = env.clone();
        posts.spawn(async move { (number, env.post(&body).await) });
    }
    let mut answers = posts.join_all().await;
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn id_of(answer: &Response) -> String {
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.json()["connectionId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_a_thousand_creates_of_a_name_succeeds() {
    raise_open_files();
    // None is refused for the load: all of them may have their answers from Vimeo at the same time.
    let config = "store.queue = 4096\nlimits.concurrent_writes = 0\n";
    let env = Arc::new(TestEnv::with(long_budget_with(config)).await);
    let answers = post_all(&env, vec![env.valid_body("the one"); 1000]).await;
    let (created, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status == StatusCode::CREATED);
    assert_eq!(created.len(), 1);
    for answer in &refused {
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (
                StatusCode::CONFLICT,
                "{\"code\":\"CONNECTION_NAME_EXISTS\",\
                 \"message\":\"This account already has a connection of this name.\"}"
            )
        );
    }
    assert_eq!(footprint(&env), Footprint { connections: 1, sealing_keys: 1, events: 1000 });
    wait_for_revocations(&env, 0).await;
    let found = env.get(&format!("{COLLECTION}/{}", id_of(created[0]))).await;
    assert_eq!(found.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_creates_get_unique_ascending_identifiers() {
    const EACH: usize = 3;
    let env = Arc::new(TestEnv::with(long_budget()).await);
    let mut clients = JoinSet::new();
    for client in 0..64 {
        let env = env.clone();
        clients.spawn(async move {
            let mut ids = Vec::new();
            for number in 0..EACH {
                let created = env.post(&env.valid_body(&format!("client {client} number {number}"))).await;
                let id = id_of(&created);
                let found = env.get(&format!("{COLLECTION}/{id}")).await.json();
                let stamp = found["createdDate"].as_str().unwrap();
                let digits: String = stamp.chars().filter(char::is_ascii_digit).collect();
                assert_eq!(digits, id[..17]);
                assert_eq!(found["updatedDate"], stamp);
                ids.push(id);
            }
            assert!(ids.is_sorted_by(|earlier, later| earlier < later), "{ids:?}");
            ids
        });
    }
    let ids = clients.join_all().await.concat();
    assert_eq!(ids.len(), 64 * EACH);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
    assert_eq!(env.connection_count(), ids.len());
    wait_for_revocations(&env, 0).await;
}

/// Sends creates and returns the open connections without reading a response.
fn send_without_waiting(env: &TestEnv) -> Vec<TcpStream> {
    let send = |number| {
        let body = env.valid_body(&format!("gone {number}")).to_string();
        let request = format!(
            "POST {COLLECTION} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {}\r\n\r\n{body}",
            env.api_key,
            body.len()
        );
        let mut stream = TcpStream::connect(env.service.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    (0..DISCONNECTS).map(send).collect()
}

fn disconnects_logged(env: &TestEnv) -> usize {
    env.log().matches("aborted: client disconnected").count()
}

/// Sends creates from many clients, waits until Vimeo is asked for each, and disconnects.
async fn disconnect_mid_verification(env: &TestEnv) {
    let (before, logged) = (footprint(env), disconnects_logged(env));
    let (grants, verifies) = (requests_to(env, GRANT).await.len(), requests_to(env, VERIFY).await.len());
    let streams = send_without_waiting(env);
    until("Vimeo is asked for each", async || {
        requests_to(env, GRANT).await.len() == grants + DISCONNECTS
            && requests_to(env, VERIFY).await.len() == verifies + DISCONNECTS
    })
    .await;
    for stream in streams {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    until("each disconnect is noticed", async || disconnects_logged(env) == logged + DISCONNECTS).await;
    wait_for_revocations(env, 0).await;
    assert_eq!(footprint(env), before, "something was stored, or audited");
}

/// A fault: Vimeo answers long after the clients have disconnected.
fn late(route: &str) -> Value {
    json!({"route": route, "kind": "delay", "millis": 8_000, "times": "always"})
}

async fn assert_works(env: &TestEnv) {
    env.control(Method::DELETE, "faults", Value::Null).await;
    let created = env.post(&env.valid_body("gone 0")).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    assert_eq!(env.connection_count(), 1);
    wait_for_revocations(env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_during_the_grant_leaves_nothing_behind() {
    let env = TestEnv::with(long_budget()).await;
    env.inject_fault(late(GRANT)).await;
    disconnect_mid_verification(&env).await;
    // The grants were completed, because only then could their tokens be revoked.
    for grant in requests_to(&env, GRANT).await {
        assert_eq!(grant["status"], 200);
    }
    assert_works(&env).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_during_token_verification_aborts_it() {
    let env = TestEnv::with(long_budget()).await;
    env.inject_fault(late(VERIFY)).await;
    disconnect_mid_verification(&env).await;
    // One more request, equally delayed: once it is answered, the earlier ones would have been too, had they not been
    // aborted.
    assert_eq!(env.post(&env.valid_body("stays")).await.status, StatusCode::CREATED);
    let verifies = requests_to(&env, VERIFY).await;
    let (last, gone) = verifies.split_last().unwrap();
    assert_eq!(last["status"], 200);
    assert_eq!(gone.len(), DISCONNECTS);
    assert!(gone.iter().all(|verify| verify["status"].is_null()), "{gone:?}");
    assert_eq!(env.connection_count(), 1);
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disconnect_during_both_requests_leaves_nothing_behind() {
    let env = TestEnv::with(long_budget()).await;
    env.inject_fault(late(GRANT)).await;
    env.inject_fault(late(VERIFY)).await;
    disconnect_mid_verification(&env).await;
    assert_works(&env).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_continue_while_many_creates_wait_for_vimeo() {
    const CREATIONS: usize = 200;
    raise_open_files();
    let env = Arc::new(TestEnv::with(long_budget_with("")).await);
    let path = format!("{COLLECTION}/{}", id_of(&env.post(&env.valid_body("there")).await));
    env.inject_fault(json!({"route": VERIFY, "kind": "delay", "millis": 1_500, "times": "always"})).await;
    let done = Arc::new(AtomicUsize::new(0));
    let mut creations = JoinSet::new();
    for number in 0..CREATIONS {
        let (env, done) = (env.clone(), done.clone());
        creations.spawn(async move {
            let answer = env.post(&env.valid_body(&format!("waiting {number}"))).await;
            done.fetch_add(1, Ordering::SeqCst);
            answer
        });
    }
    until("a create waits for Vimeo", async || requests_to(&env, VERIFY).await.len() > 1).await;
    let mut meanwhile = 0;
    while done.load(Ordering::SeqCst) < CREATIONS {
        assert_eq!(env.get(&path).await.status, StatusCode::OK);
        meanwhile += usize::from(done.load(Ordering::SeqCst) < CREATIONS);
    }
    assert!(meanwhile > 0, "no read was answered while a create waited");
    for created in creations.join_all().await {
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    }
    assert_eq!(env.connection_count(), CREATIONS + 1);
    wait_for_revocations(&env, 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_rejects_writes_and_loses_no_accepted_one() {
    let config = "store.queue = 1\n".to_owned();
    let env =
        Arc::new(TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await);
    let bodies: Vec<_> = (0..100).map(|number| env.valid_body(&format!("queued {number}"))).collect();
    // Another connection locks the database, so that the writer waits and the queue behind it fills.
    let holder = env.database();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut posts = JoinSet::new();
    for body in bodies {
        let env = env.clone();
        posts.spawn(async move { (body["name"].clone(), env.post(&body).await) });
    }
    let (mut created, mut turned_away) = (HashSet::new(), 0);
    while let Some(answered) = posts.join_next().await {
        let (name, answer) = answered.unwrap();
        if answer.status == StatusCode::CREATED {
            created.insert(name.as_str().unwrap().to_owned());
            continue;
        }
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "{\"code\":\"OVERLOADED\",\"message\":\"Too many requests are in progress. Nothing was stored.\"}"
            )
        );
        assert_eq!(answer.header("retry-after"), "1");
        turned_away += 1;
        if turned_away == 1 {
            holder.execute_batch("COMMIT").unwrap();
        }
    }
    assert!(turned_away > 0 && !created.is_empty());
    let database = env.database();
    let mut names = database.prepare("SELECT name FROM connections").unwrap();
    let names: HashSet<String> = names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(names, created);
    let kept = footprint(&env);
    assert_eq!((kept.sealing_keys, kept.events), (created.len(), created.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_to_vimeo_are_reused() {
    const CREATIONS: usize = 200;
    let env = TestEnv::with(long_budget()).await;
    for number in 0..CREATIONS {
        id_of(&env.post(&env.valid_body(&format!("number {number}"))).await);
    }
    wait_for_revocations(&env, 0).await;
    let journal = env.control(Method::GET, "journal", Value::Null).await;
    assert_eq!(journal["requests"].as_array().unwrap().len(), 3 * CREATIONS);
    let opened = journal["connections_opened"].as_u64().unwrap();
    // Two concurrent requests, and a revocation or two beside them.
    assert!(opened <= 16, "{opened} connections for {CREATIONS} creates");
}
