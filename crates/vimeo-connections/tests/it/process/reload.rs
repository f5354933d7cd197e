//! SIGHUP: what is applied while requests are served, what waits for a restart, and an invalid configuration.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::certificates::make_certificate;
use crate::support::harness::{COLLECTION, EnvOptions, TestEnv, until};

/// The file as the service writes it: requests that flush the log are not logged at every level.
fn log(env: &TestEnv) -> String {
    fs::read_to_string(env.path().join("service.log")).unwrap()
}

fn lines(env: &TestEnv) -> Vec<Value> {
    log(env).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn count(env: &TestEnv, message: &str) -> usize {
    lines(env).iter().filter(|line| line["message"] == message).count()
}

const RELOADED: &str = "the configuration was reloaded";
const NOT_RELOADED: &str = "the configuration was not reloaded: everything remains as it was";

/// Sends the signal, and waits until this message is logged once more; the line.
async fn hang_up(env: &TestEnv, message: &str) -> Value {
    let before = count(env, message);
    env.service.signal("HUP");
    until(message, async || count(env, message) > before).await;
    lines(env).into_iter().rfind(|line| line["message"] == message).unwrap()
}

/// Replaces the lines of the configuration that a test is about.
fn write(env: &TestEnv, base: &str, more: &str) {
    fs::write(env.path().join("vimeo-connections.toml"), format!("{base}{more}")).unwrap();
}

fn configuration(env: &TestEnv) -> String {
    fs::read_to_string(env.path().join("vimeo-connections.toml")).unwrap()
}

async fn create(env: &TestEnv, name: &str) -> StatusCode {
    env.post(&env.valid_body(name)).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_proxies_are_applied_and_the_rest_is_named() {
    let env = TestEnv::without_verification("").await;
    let base = configuration(&env);
    assert_eq!(create(&env, "first").await, 201);

    write(
        &env,
        &base,
        "limits.connections = 1\nlimits.failed_keys_per_minute = 1\ntrusted_proxies = [\"127.0.0.1\"]\n\
         vimeo.proxy = \"http://user:canary@127.0.0.1:9\"\nshutdown_seconds = 20\n",
    );
    let line = hang_up(&env, RELOADED).await;
    assert_eq!(line["level"], "INFO");
    assert_eq!(line["applied"], "limits.connections, limits.failed_keys_per_minute, trusted_proxies");
    assert_eq!(line["need_restart"], "shutdown_seconds, vimeo.proxy");
    for key in ["shutdown_seconds", "vimeo.proxy"] {
        assert_eq!(count(&env, &format!("`{key}` changed: restart to apply")), 1);
    }
    assert!(!log(&env).contains("canary"));
    // A caller's limits are remembered for less than a second.
    let mut number = 0;
    until("the limit is applied", async || {
        number += 1;
        create(&env, &format!("within a second {number}")).await == 422
    })
    .await;
    let wrong = [("authorization", "pictai_wrong"), ("x-forwarded-for", "198.51.100.7")];
    let ask = async || env.send(Method::GET, COLLECTION, &wrong, Vec::new()).await.status.as_u16();
    assert_eq!((ask().await, ask().await), (401, 429));
    let seen = async || log(&env).contains("\"client_address\":\"198.51.100.7\"");
    until("the address is that from the proxy", seen).await;

    write(&env, &base, "");
    let line = hang_up(&env, RELOADED).await;
    assert_eq!(line["applied"], "limits.connections, limits.failed_keys_per_minute, trusted_proxies");
    assert_eq!(line["need_restart"], "");
    until("the limit is gone", async || create(&env, "second").await == 201).await;
    assert_eq!((ask().await, ask().await), (401, 401));
    let line = hang_up(&env, RELOADED).await;
    assert_eq!((&line["applied"], &line["need_restart"]), (&Value::from(""), &Value::from("")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_of_the_log_is_applied_in_both_directions() {
    let env = TestEnv::without_verification("").await;
    let base = configuration(&env).replace("log.level = \"trace\"\n", "");
    let answered = |id: &str| lines(&env).iter().any(|line| line["span"]["request_id"] == id);
    let ask = async |id: &str| {
        env.send(Method::GET, COLLECTION, &[("x-request-id", id)], Vec::new()).await;
    };
    ask("at-trace").await;
    until("the request is logged", async || answered("at-trace")).await;
    write(&env, &base, "log.level = \"warn\"\n");
    assert_eq!(hang_up(&env, RELOADED).await["applied"], "log.level");
    ask("at-warn").await;
    write(&env, &base, "log.level = \"info\"\n");
    assert_eq!(hang_up(&env, RELOADED).await["applied"], "log.level");
    ask("at-info").await;
    until("the request is logged", async || answered("at-info")).await;
    // Lines are in order.
    assert!(!answered("at-warn"), "{}", log(&env));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_configuration_changes_nothing_and_all_errors_are_logged() {
    let env = TestEnv::without_verification("").await;
    let base = configuration(&env);
    assert_eq!(create(&env, "first").await, 201);
    write(
        &env,
        &base,
        "limits.connections = 1\nshutdown_seconds = \"canary\"\nlisen = \"x\"\nlimits.burst_seconds = 0\n",
    );
    let line = hang_up(&env, NOT_RELOADED).await;
    let error = line["error"].as_str().unwrap();
    for expected in
        ["shutdown_seconds (line", "did you mean listen?", "limits.burst_seconds (line", "from 1 to 60"]
    {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert!(line["level"] == "ERROR" && !error.contains("canary"), "{line}");
    assert_eq!(create(&env, "second").await, 201);
    // What the file names must be usable, too.
    let absent = "limits.connections = 1\nca_file = \"absent.pem\"\n";
    write(&env, &base, absent);
    assert!(hang_up(&env, NOT_RELOADED).await["error"].as_str().unwrap().contains("absent.pem"));
    fs::remove_file(env.path().join("vimeo-connections.toml")).unwrap();
    fs::create_dir(env.path().join("vimeo-connections.toml")).unwrap();
    assert!(hang_up(&env, NOT_RELOADED).await["error"].as_str().unwrap().contains("cannot be read"));
    assert_eq!(create(&env, "third").await, 201);
    assert_eq!(count(&env, RELOADED), 0);
}

/// Sends requests until it is stopped, each on its own connection or all on one; the number of those that succeeded.
fn load(
    env: &TestEnv,
    reuse: bool,
    name: String,
    stop: Arc<AtomicBool>,
) -> impl Future<Output = usize> + use<> {
    let mut client = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    if !reuse {
        client = client.pool_max_idle_per_host(0);
    }
    let client = client.build().unwrap();
    let url = format!("https://{}{COLLECTION}", env.service.address);
    let (key, body) = (env.api_key.clone(), env.valid_body("x"));
    async move {
        let mut done = 0;
        while !stop.load(Ordering::Relaxed) {
            let mut body = body.clone();
            body["name"] = format!("{name}-{done}").into();
            for request in [client.get(&url), client.post(&url).body(body.to_string())] {
                let answer = request.header("authorization", &key).send().await.unwrap();
                assert!(answer.status().is_success(), "{answer:?}");
                answer.bytes().await.unwrap();
            }
            done += 1;
        }
        done
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_refused_or_lost_while_the_configuration_is_reloaded() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    make_certificate(files.path(), "one");
    make_certificate(files.path(), "two");
    let tls = |name: &str| {
        let (certificate, key) = (file(&format!("{name}.pem")), file(&format!("{name}.key")));
        format!("tls.certificate_file = {certificate:?}\ntls.key_file = {key:?}\n")
    };
    let env = TestEnv::with(EnvOptions { verification_off: true, ..EnvOptions::default() }).await;
    let base = configuration(&env);
    let mut env = env;
    assert_eq!(env.service.terminate(), Some(0));
    write(&env, &base, &tls("one"));
    env.service = crate::support::harness::Service::start(env.path());

    let (stop, mut clients) = (Arc::new(AtomicBool::new(false)), JoinSet::new());
    for number in 0..6 {
        clients.spawn(load(&env, number % 2 == 0, format!("client {number}"), stop.clone()));
    }
    let reloads = AtomicUsize::new(0);
    for (certificate, more) in [
        ("two", "limits.connections = 2000000\nlog.level = \"debug\"\n"),
        ("one", "limits.requests_per_minute = 0\nlimits.concurrent_reads = 0\n"),
        ("two", "limits.burst_seconds = 60\ntrusted_proxies = [\"192.0.2.1\"]\n"),
        ("one", "limits.account_concurrent_writes = 0\nlimits.concurrent_writes = 100\n"),
    ]
    .repeat(3)
    {
        let base = base.replace(
            "log.level = \"trace\"\n",
            if more.contains("log.level") { "" } else { "log.level = \"info\"\n" },
        );
        write(&env, &base, &format!("{}{more}", tls(certificate)));
        let applied = hang_up(&env, RELOADED).await["applied"].to_string();
        assert!(applied.contains("tls.certificate_file, tls.key_file"), "{applied}");
        reloads.fetch_add(1, Ordering::Relaxed);
    }
    stop.store(true, Ordering::Relaxed);
    let done: usize = clients.join_all().await.into_iter().inspect(|done| assert!(*done > 0)).sum();
    assert_eq!(env.connection_count(), done, "each acknowledged request is stored");
    assert_eq!(reloads.into_inner(), 12);
    assert_eq!(count(&env, NOT_RELOADED), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn turning_tls_on_or_off_needs_a_restart() {
    let files = tempfile::tempdir().unwrap();
    make_certificate(files.path(), "ours");
    let env = TestEnv::without_verification("").await;
    let base = configuration(&env);
    let (certificate, key) = (files.path().join("ours.pem"), files.path().join("ours.key"));
    write(&env, &base, &format!("tls.certificate_file = {certificate:?}\ntls.key_file = {key:?}\n"));
    let line = hang_up(&env, RELOADED).await;
    assert_eq!(
        (&line["applied"], line["need_restart"].as_str()),
        (&Value::from(""), Some("tls.certificate_file, tls.key_file"))
    );
    assert_eq!(env.get("/health/live").await.status, 200);
}
