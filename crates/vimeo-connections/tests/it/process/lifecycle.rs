//! The service as a process: slow clients, signals, TLS, log lines, and files.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::certificates::make_certificate;
use crate::support::harness::{ACCOUNT, COLLECTION, EnvOptions, Service, TestEnv, cli, serve_error, until};

const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// Sends `beginning`, then one byte at a time, until the service closes the connection; what was received.
fn dribble(address: SocketAddr, beginning: &str, drop: Option<u8>) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(beginning.as_bytes()).unwrap();
    let (started, mut answer, mut buffer) = (Instant::now(), Vec::new(), [0; 1024]);
    while started.elapsed() < WAIT_LIMIT {
        if let Some(byte) = drop
            && stream.write_all(&[byte]).is_err()
        {
            return String::from_utf8(answer).unwrap();
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => answer.extend_from_slice(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Ok(0) | Err(_) => return String::from_utf8(answer).unwrap(),
        }
    }
    panic!("the service does not end the connection that began with {beginning:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_or_silent_clients_are_disconnected() {
    let env = TestEnv::without_verification("").await;
    let address = env.service.address;
    let head = format!("POST {COLLECTION} HTTP/1.1\r\nhost: x\r\n");
    let body = format!("{head}authorization: {}\r\ncontent-length: 60000\r\n\r\n{{", env.api_key);
    let idle = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".to_owned();
    let clients = [
        (String::new(), None, ""),
        (head.clone(), None, ""),
        (head + "x-slow: ", Some(b'x'), ""),
        (body.clone(), None, "HTTP/1.1 408 "),
        (body, Some(b' '), "HTTP/1.1 408 "),
        (idle, None, "HTTP/1.1 200 "),
    ];
    let clients = clients.map(|(beginning, drop, expected)| {
        std::thread::spawn(move || (dribble(address, &beginning, drop), expected, beginning))
    });
    for client in clients {
        let (answer, expected, beginning) = client.join().unwrap();
        assert!(answer.starts_with(expected), "{beginning:?}: {answer}");
        if expected.contains("408") {
            let text = r#"{"code":"REQUEST_TIMEOUT","message":"The request body did not arrive in time."}"#;
            assert!(answer.ends_with(text), "{answer}");
        }
    }
    assert_eq!(env.connection_count(), 0);
    assert_eq!(env.get("/health/ready").await.status, 200);
}

/// An environment with a slow Vimeo, and a request that waits for it.
async fn waiting_request(millis: u64) -> (TestEnv, JoinSet<u16>) {
    let config = "vimeo.budget_seconds = 60\nshutdown_seconds = 60\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    env.inject_fault(json!({"route": "GET /oauth/verify", "kind": "delay", "millis": millis})).await;
    let request = env
        .http
        .post(env.url(COLLECTION))
        .header("authorization", &env.api_key)
        .body(env.valid_body("in flight").to_string());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { request.send().await.map_or(0, |response| response.status().as_u16()) });
    until("Vimeo is asked", async || {
        let journal = env.control(Method::GET, "journal", Value::Null).await;
        journal["requests"].as_array().unwrap().iter().any(|request| request["path"] == "/oauth/verify")
    })
    .await;
    (env, waiting)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_lets_requests_in_flight_finish() {
    for signal in ["TERM", "INT"] {
        let (mut env, mut waiting) = waiting_request(1_500).await;
        env.service.signal(signal);
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), 201, "{signal}");
        assert_eq!(env.service.wait(), Some(0), "{signal}");
        assert_eq!(env.connection_count(), 1);
        assert!(env.stray_tokens().await.is_empty());
        assert!(env.log().contains("\"message\":\"stopped\""), "{}", env.log());
        assert!(
            !env.path().join("data/vimeo-connections.db-wal").exists(),
            "everything is in the database file"
        );
        env.service = Service::start(env.path());
        assert_eq!(env.get("/health/ready").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_the_service_immediately() {
    for signals in [["TERM", "TERM"], ["INT", "TERM"], ["TERM", "INT"]] {
        let (mut env, mut waiting) = waiting_request(55_000).await;
        env.service.signal(signals[0]);
        until("new connections are refused", async || TcpStream::connect(env.service.address).is_err()).await;
        env.service.signal(signals[1]);
        assert_eq!(env.service.wait(), Some(130), "{signals:?}");
        assert_eq!(waiting.join_next().await.unwrap().unwrap(), 0, "{signals:?}");
        assert_eq!(env.connection_count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_disconnect_aborts_the_request() {
    let (mut env, mut waiting) = waiting_request(55_000).await;
    waiting.shutdown().await;
    until("the service notices it", async || {
        env.log().contains("\"message\":\"aborted: client disconnected")
    })
    .await;
    assert_eq!(env.service.terminate(), Some(0), "no request is left");
    assert_eq!(env.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_port_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("vimeo-connections.toml"), format!("listen = \"{address}\"\n")).unwrap();
    assert!(cli(directory.path(), &["init"], "").status.success());
    let printed = serve_error(directory.path());
    assert!(
        printed.contains(&format!("vimeo-connections: cannot listen on {address}: the address is in use")),
        "{printed}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn core_dumps_are_off_and_files_are_private() {
    let env = TestEnv::without_verification("").await;
    assert_eq!(env.post(&env.valid_body("files")).await.status, 201);
    let limits = fs::read_to_string(format!("/proc/{}/limits", env.service.id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{cores}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&env.path().join("data")), 0o700);
    let files: Vec<_> =
        fs::read_dir(env.path().join("data")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.contains(&env.database_file()));
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(&env.path().join("vimeo-connections.keyring")), 0o600);
}

/// The certificate that the service presents to a client without open connections.
async fn shown_certificate(env: &TestEnv) -> Vec<u8> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .build()
        .unwrap();
    let response = client.get(format!("https://{}/health/ready", env.service.address)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    // With TLS, browsers must not use plain HTTP.
    assert_eq!(response.headers()["strict-transport-security"], "max-age=31536000");
    let info: &reqwest::tls::TlsInfo = response.extensions().get().unwrap();
    let certificate = info.peer_certificate().unwrap().to_vec();
    let checks = serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()["checks"].take();
    assert_eq!(
        (&checks[3]["name"], &checks[3]["result"]),
        (&json!("certificate"), &json!("pass")),
        "{checks}"
    );
    certificate
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sighup_without_tls_changes_no_transport() {
    let mut env = TestEnv::start().await;
    env.service.signal("HUP");
    until("the service notices it", async || env.log().contains("the configuration was reloaded")).await;
    let plain = env.get("/health/live").await;
    assert_eq!((plain.status.as_u16(), plain.header("strict-transport-security")), (200, ""));
    assert_eq!(env.service.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tls_certificate_is_reloaded_on_sighup() {
    let files = tempfile::tempdir().unwrap();
    let file = |name: &str| files.path().join(name);
    make_certificate(files.path(), "in-use");
    make_certificate(files.path(), "renewed");
    let config =
        format!("tls.certificate_file = {:?}\ntls.key_file = {:?}\n", file("in-use.pem"), file("in-use.key"));
    let mut env = TestEnv::with(EnvOptions { verification_off: true, config, ..EnvOptions::default() }).await;
    assert!(env.log().contains("\"url\":\"https://127.0.0.1:"), "{}", env.log());
    let first = shown_certificate(&env).await;
    // Clients that do not speak TLS, or send nothing, are not served.
    assert!(!env.raw(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").contains("200"));
    assert_eq!(dribble(env.service.address, "", None), "");

    fs::write(file("in-use.pem"), "not a certificate").unwrap();
    env.service.signal("HUP");
    until("it complains", async || env.log().contains("the configuration was not reloaded")).await;
    assert_eq!(shown_certificate(&env).await, first);

    fs::copy(file("renewed.pem"), file("in-use.pem")).unwrap();
    fs::copy(file("renewed.key"), file("in-use.key")).unwrap();
    env.service.signal("HUP");
    until("the certificate is reloaded", async || env.log().contains("the certificate was reloaded")).await;
    assert_ne!(shown_certificate(&env).await, first);
    assert_eq!(env.service.terminate(), Some(0));

    make_certificate(files.path(), "another");
    fs::write(file("empty.pem"), "").unwrap();
    let refuse = |certificate: &str, key: &str| {
        let (certificate, key) = (file(certificate), file(key));
        fs::write(
            env.path().join("vimeo-connections.toml"),
            format!(
                "listen = \"127.0.0.1:0\"\ntls.certificate_file = {certificate:?}\ntls.key_file = {key:?}\n"
            ),
        )
        .unwrap();
        let printed = serve_error(env.path());
        assert!(
            printed.contains(certificate.to_str().unwrap()) && !printed.contains("PRIVATE KEY-"),
            "{printed}"
        );
    };
    refuse("absent.pem", "in-use.key");
    refuse("empty.pem", "in-use.key");
    refuse("in-use.key", "in-use.pem");
    refuse("in-use.pem", "another.key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_lines_name_caller_and_route_but_no_content() {
    let env = TestEnv::with(EnvOptions { open_sandbox: true, ..EnvOptions::default() }).await;
    let mut body = env.valid_body("canary name");
    body["description"] = json!("canary description");
    for field in ["clientIdentifier", "clientSecret", "accessToken"] {
        body[field] = json!(format!("canary-{field}"));
    }
    let ask = async |id: &str, method: Method, path: &str, key: &str, body: String| {
        let headers =
            [("x-request-id", id), ("authorization", key), ("x-canary", "canary"), ("cookie", "canary")];
        env.send(method, path, &headers, body.into_bytes()).await
    };
    let key = env.api_key.as_str();
    let created = ask("r-create", Method::POST, COLLECTION, key, body.to_string()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    body["clientSecret"] = json!("canary-invalid");
    body["name"] = json!("canary two");
    ask("r-refuse", Method::POST, COLLECTION, key, body.to_string()).await;
    ask("r-fault", Method::POST, COLLECTION, key, "{\"canary\": canary}".into()).await;
    let queried = format!("{}?canary=canary", created.header("location"));
    ask("r-get", Method::GET, &queried, key, String::new()).await;
    ask("r-unknown", Method::GET, &queried, "pictai_canary-canary", String::new()).await;
    ask("r-nowhere", Method::GET, "/canary", key, String::new()).await;
    env.control(Method::POST, "faults", json!({"route": "*", "kind": "html", "times": "always"})).await;
    ask("r-doubt", Method::POST, COLLECTION, key, body.to_string()).await;

    let log = env.log();
    assert!(!log.contains("canary"), "{log}");
    assert!(!log.contains(key), "{log}");
    let listed: Value = serde_json::from_slice(&env.cli(&["keys", "list", "--json"], "").stdout).unwrap();
    let (account, key_id) = (&listed[0]["accountId"], &listed[0]["keyId"]);
    assert_eq!(listed[0]["account"], ACCOUNT);
    let collection = "/pictoryapis/v1/vimeo-connections";
    let one = "/pictoryapis/v1/vimeo-connections/{connectionId}";
    for (id, method, route, status) in [
        ("r-create", "POST", collection, 201),
        ("r-refuse", "POST", collection, 422),
        ("r-fault", "POST", collection, 400),
        ("r-get", "GET", one, 200),
        ("r-unknown", "GET", one, 401),
        ("r-nowhere", "GET", "-", 404),
        ("r-doubt", "POST", collection, 503),
    ] {
        let mut lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let line = lines.find(|line| line["span"]["request_id"] == id && line["message"] == "answered");
        let line = line.unwrap_or_else(|| panic!("{id}: {log}"));
        assert_eq!(
            (&line["method"], &line["route"], &line["status"]),
            (&json!(method), &json!(route), &json!(status))
        );
        let is_known = !matches!(id, "r-unknown" | "r-nowhere");
        let expected = if is_known { (account, key_id) } else { (&Value::Null, &Value::Null) };
        assert_eq!((&line["account"], &line["api_key"]), expected, "{id}");
        assert!(line["duration_micros"].is_u64(), "{id}");
    }
}
