//! The log for operators: the start, callers, and failures without repetition.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinSet;

use crate::support::harness::{COLLECTION, ClosedPort, EnvOptions, Service, TestEnv, until};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

fn lines(env: &TestEnv) -> Vec<Value> {
    env.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn env(config: &str) -> TestEnv {
    TestEnv::with(EnvOptions { config: config.to_owned(), ..EnvOptions::default() }).await
}

/// The line at the end of a request.
fn answered(env: &TestEnv, id: &str) -> Value {
    let is_it = |line: &Value| line["span"]["request_id"] == id && line["message"] == "answered";
    lines(env).into_iter().find(is_it).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_line_names_version_commit_database_and_address() {
    let env = env("").await;
    let line = lines(&env).into_iter().find(|line| line["message"] == "listening").unwrap();
    assert_eq!(line["version"], env!("CARGO_PKG_VERSION"));
    assert!(line["commit"].as_str().is_some_and(|commit| !commit.is_empty()), "{line}");
    assert_eq!(line["database"], "sqlite:./data/vimeo-connections.db");
    assert_eq!(line["address"], env.service.address.to_string());
    let shown = env.cli(&["--version"], "");
    let shown = String::from_utf8(shown.stdout).unwrap();
    // The commit and its date, as far as the build knew them.
    let known = ["commit", "commit_date"].map(|field| line[field].as_str().unwrap());
    let revision: Vec<_> = known.into_iter().filter(|text| *text != "unknown").collect();
    let revision = if revision.is_empty() { "unknown".to_owned() } else { revision.join(" ") };
    assert_eq!(shown, format!("vimeo-connections {} ({revision})\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_checks_are_logged_at_debug_and_requests_at_info() {
    let env = env("").await;
    for (id, path, level) in [
        ("p-live", "/health/live", "DEBUG"),
        ("p-ready", "/health/ready", "DEBUG"),
        ("p-list", COLLECTION, "INFO"),
        ("p-none", "/health/other", "INFO"),
    ] {
        env.send(Method::GET, path, &[("x-request-id", id)], Vec::new()).await;
        assert_eq!(answered(&env, id)["level"], level, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cause_of_a_vimeo_failure_is_logged_and_not_returned() {
    let closed = ClosedPort::bind();
    let mut env = env("").await;
    assert_eq!(env.service.terminate(), Some(0));
    let away = format!("http://{}", closed.address());
    env.service = Service::start_with(env.path(), &[("VIMEO_CONNECTIONS_VIMEO__BASE_URL", &away)]);
    let answer = env.post(&env.valid_body("away")).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (503, "VIMEO_UNAVAILABLE".to_owned()));
    assert!(!answer.text.contains("refused"), "{}", answer.text);
    let lines = lines(&env);
    let line = lines.iter().find(|line| line["message"] == "a request to Vimeo failed").unwrap();
    assert_eq!(line["level"], "INFO");
    assert!(line["cause"].as_str().unwrap().contains("Connection refused"), "{line}");
}

/// The address in the line of a request, and in that of a request with an unknown key.
async fn logged_addresses(env: &TestEnv, forwarded: &str) -> [Value; 2] {
    let mut found = [Value::Null, Value::Null];
    for (number, key) in [&*env.api_key, "pictai_unknown-key"].into_iter().enumerate() {
        let id = format!("a-{number}-{}", forwarded.len());
        let mut headers = vec![("x-request-id", &*id), ("authorization", key)];
        if !forwarded.is_empty() {
            headers.push(("x-forwarded-for", forwarded));
        }
        let answer = env.send(Method::GET, COLLECTION, &headers, Vec::new()).await;
        assert_eq!(answer.status.as_u16(), [200, 401][number]);
        found[number] = answered(env, &id)["client_address"].clone();
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_address_is_logged_and_taken_from_trusted_proxies() {
    let forged = "192.0.2.66, 203.0.113.7";
    for (config, forwarded, expected) in [
        ("", "", "127.0.0.1"),
        ("", forged, "127.0.0.1"),
        ("trusted_proxies = [\"10.0.0.0/8\"]\n", forged, "127.0.0.1"),
        ("trusted_proxies = [\"127.0.0.0/8\"]\n", "", "127.0.0.1"),
        ("trusted_proxies = [\"127.0.0.0/8\"]\n", forged, "203.0.113.7"),
        ("trusted_proxies = [\"127.0.0.0/8\", \"203.0.113.7\"]\n", forged, "192.0.2.66"),
        // The default of earlier versions, without a list of proxies: the last entry, from any peer.
        ("behind_tls_proxy = true\n", forged, "203.0.113.7"),
        ("behind_tls_proxy = true\ntrusted_proxies = [\"10.0.0.0/8\"]\n", forged, "127.0.0.1"),
    ] {
        let env = env(config).await;
        let found = logged_addresses(&env, forwarded).await;
        assert_eq!(found, [json!(expected), json!(expected)], "{config:?} {forwarded:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_failure_is_logged_once_and_then_counted() {
    let env = env("log.repeat_seconds = 4\n").await;
    env.inject_fault(json!({"route": "*", "kind": "html", "times": "always"})).await;
    for number in 0..6 {
        let answer = env.post(&env.valid_body(&format!("refused {number}"))).await;
        assert_eq!(answer.status, 503, "{}", answer.text);
    }
    let is_warning = |line: &Value| line["level"] == "WARN" && line["target"] == "app::verification";
    let first: Vec<_> = lines(&env).into_iter().filter(is_warning).collect();
    assert_eq!(first.len(), 1, "{first:?}");
    let counted = async || {
        let lines = lines(&env);
        let counts = lines.iter().filter(|line| line["failure"] == first[0]["message"]);
        counts.filter_map(|line| line["times"].as_u64()).sum::<u64>() == 5
    };
    until("the other five failures are counted", counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suppressed_failures_are_reported_at_shutdown() {
    let mut env = env("log.repeat_seconds = 86400\n").await;
    env.inject_fault(json!({"route": "*", "kind": "html", "times": "always"})).await;
    for number in 0..3 {
        env.post(&env.valid_body(&format!("refused {number}"))).await;
    }
    assert_eq!(env.service.terminate(), Some(0));
    let counts: Vec<_> = lines(&env).into_iter().filter_map(|line| line["times"].as_u64()).collect();
    assert_eq!(counts, [2]);
}

/// The address of a server that sends these bytes on every connection, whatever it receives.
async fn answering(bytes: &'static [u8]) -> (SocketAddr, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bytes).await;
        }
    });
    (address, server)
}

/// The address of a name server that knows no names.
async fn name_server() -> (SocketAddr, JoinSet<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let mut server = JoinSet::new();
    server.spawn(async move {
        let mut message = [0; 512];
        while let Ok((length, client)) = socket.recv_from(&mut message).await {
            // The query, turned into a response with the code NXDOMAIN.
            message[2..4].copy_from_slice(&[0x81, 0x83]);
            let _ = socket.send_to(&message[..length], client).await;
        }
    });
    (address, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_source_is_logged_once_per_job_and_then_counted() {
    let closed = ClosedPort::bind();
    let away = closed.address();
    let (plain, _plain) = answering(b"HTTP/1.1 400 X\r\n\r\n").await;
    let (elsewhere, _elsewhere) =
        answering(b"HTTP/1.1 302 X\r\nLocation: http://10.0.0.1/canary-path\r\nContent-Length: 0\r\n\r\n")
            .await;
    let (names, _names) = name_server().await;
    let config = format!(
        "{CONFIG}sources.attempts = 3\nsources.dns_servers = [\"{names}\"]\nlog.repeat_seconds = 86400\n"
    );
    let mut uploads = UploadEnv::with(&config, fast_sandbox()).await;
    let env = &mut uploads.env;
    assert_eq!(env.service.terminate(), Some(0));
    // The default level.
    env.service = Service::start_with(env.path(), &[("VIMEO_CONNECTIONS_LOG__LEVEL", "info")]);
    let path = "canary-path/film.mp4?token=canary-query";
    let sources = [
        (format!("http://{away}/{path}"), "127.0.0.1", "Connection refused"),
        (format!("http://{away}/{path}"), "127.0.0.1", "Connection refused"),
        (format!("https://{plain}/{path}"), "127.0.0.1", "TLS: "),
        (format!("http://{elsewhere}/{path}"), "10.0.0.1", "policy: "),
        (format!("http://films.example/{path}"), "films.example", "DNS: "),
    ];
    let mut jobs = Vec::new();
    for (url, _, _) in &sources {
        jobs.push(uploads.submit_with(json!({"source": {"url": url}})).await);
    }
    for job in &jobs {
        let ended = uploads.wait_for_end(job).await;
        assert_eq!(ended["data"]["error_code"], "SOURCE_UNREACHABLE", "{ended}");
        assert_eq!(
            ended["data"]["error_message"],
            "The source could not be reached, or its address is not allowed."
        );
    }
    assert_eq!(uploads.env.service.terminate(), Some(0));
    let lines = lines(&uploads.env);
    for (job, (url, host, cause)) in jobs.iter().zip(&sources) {
        let of = |message: &str| {
            let is_it = |line: &&Value| line["message"] == message && line["span"]["job"] == **job;
            lines.iter().filter(is_it).collect::<Vec<_>>()
        };
        let found = of("a source cannot be reached");
        let [line] = found[..] else { panic!("{url}: {found:#?}") };
        assert_eq!((&line["level"], &line["host"]), (&json!("INFO"), &json!(host)), "{line}");
        assert!(line["cause"].as_str().unwrap().contains(cause), "{line}");
        let waiting = of("an upload is waiting for its next attempt");
        let attempts: Vec<_> = waiting.iter().map(|line| line["attempts"].clone()).collect();
        assert_eq!(attempts, [1, 2], "{waiting:#?}");
        assert!(waiting.iter().all(|line| line["code"] == "SOURCE_UNREACHABLE"), "{waiting:#?}");
    }
    let counts = lines.iter().filter(|line| line["failure"] == "a source cannot be reached");
    let times: Vec<_> = counts.filter_map(|line| line["times"].as_u64()).collect();
    assert!(times.len() == sources.len() && times.iter().all(|times| *times >= 2), "{times:?}");
    assert!(!uploads.env.log().contains("canary-"), "{}", uploads.env.log());
}
