//! Clients that do not read their responses, or never finish their headers: they hold neither connections nor memory,
//! and health checks are answered meanwhile.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::certificates::make_certificate;
use crate::support::harness::{COLLECTION, Service, TestEnv, until};

const WAIT_LIMIT: Duration = Duration::from_mins(1);
/// A request for a large response that needs no key. Many of them fill every buffer.
const LARGE: &str = "GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";

/// A client that requests many large responses and reads none.
fn reader_of_nothing(address: SocketAddr) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    // The service may already have refused and reset the connection.
    let _ = stream.write_all(LARGE.repeat(200).as_bytes());
    Some(stream)
}

/// Waits until the service has closed a connection, without reading from it.
fn wait_for_the_end(stream: &mut TcpStream) -> ErrorKind {
    let started = Instant::now();
    loop {
        if let Err(error) = stream.write_all(b"G") {
            return error.kind();
        }
        assert!(started.elapsed() < WAIT_LIMIT, "the connection is still open");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_pipelines_and_never_reads_is_disconnected() {
    let env = TestEnv::without_verification("listener.write_timeout_seconds = 2\n").await;
    let mut client = reader_of_nothing(env.service.address).unwrap();
    let ended = tokio::task::spawn_blocking(move || wait_for_the_end(&mut client)).await.unwrap();
    // Reset: the responses in the buffers of the service are discarded.
    assert!(matches!(ended, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{ended:?}");
    assert!(env.log().contains("the client has stopped reading"));
}

/// A connection whose client buffers about a thousand unread bytes.
async fn narrow_connection(address: SocketAddr) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    let stream = socket.connect(address).await.unwrap().into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_stream_client_that_never_reads_is_disconnected() {
    // No worker runs: the job does not end, and neither does its stream.
    let env =
        TestEnv::without_verification("listener.write_timeout_seconds = 2\nuploads.work = false\n").await;
    let created = env.post(&env.valid_body("watched")).await;
    let path = format!("{}/uploads", created.header("location"));
    let upload = br#"{"source":{"url":"https://media.invalid.example/film.mp4"}}"#.to_vec();
    let headers = [("content-type", "application/json")];
    let accepted = env.send(reqwest::Method::POST, &path, &headers, upload).await;
    let id = accepted.json()["data"]["jobId"].as_str().unwrap().to_owned();
    let mut client = narrow_connection(env.service.address).await;
    // Earlier responses fill the buffer of the client, so the stream stays in the buffer of the service.
    let small = "GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n".repeat(12);
    let watch = format!(
        "{small}GET /pictoryapis/v1/jobs/{id}/events HTTP/1.1\r\nhost: x\r\nx-request-id: watches\r\n\
         authorization: {}\r\n\r\n",
        env.api_key
    );
    client.write_all(watch.as_bytes()).unwrap();
    until("the stream is open", async || {
        env.log().lines().any(|line| line.contains("\"watches\"") && line.contains("\"answered\""))
    })
    .await;
    let ended = tokio::task::spawn_blocking(move || wait_for_the_end(&mut client)).await.unwrap();
    assert!(matches!(ended, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{ended:?}");
    assert_eq!(env.get("/health/live").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_slowly_gets_every_byte() {
    let env = TestEnv::without_verification("listener.write_timeout_seconds = 2\n").await;
    let length = env.get("/openapi.json").await.text.len();
    let mut client = TcpStream::connect(env.service.address).unwrap();
    client.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let count = 100;
    client.write_all(LARGE.repeat(count).as_bytes()).unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let (mut read, mut buffer, started) = (0, vec![0; 128 * 1024], Instant::now());
        while read < count * length {
            // Three times the deadline in total, in pauses shorter than it.
            if started.elapsed() < Duration::from_secs(6) {
                std::thread::sleep(Duration::from_millis(400));
            }
            match client.read(&mut buffer).unwrap() {
                0 => break,
                bytes => read += bytes,
            }
        }
        read
    });
    assert!(read.await.unwrap() >= count * length, "the responses ended early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_a_client_that_never_reads_is_disconnected_too() {
    let files = tempfile::tempdir().unwrap();
    make_certificate(files.path(), "tls");
    let file = |name: &str| files.path().join(name);
    let env = TestEnv::without_verification(&format!(
        "listener.write_timeout_seconds = 2\ntls.certificate_file = {:?}\ntls.key_file = {:?}\n",
        file("tls.pem"),
        file("tls.key")
    ))
    .await;
    // It reads until its own output, which is not read, blocks.
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect", &env.service.address.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    client.stdin.as_mut().unwrap().write_all(LARGE.repeat(400).as_bytes()).unwrap();
    until("it is disconnected", async || env.log().contains("the client has stopped reading")).await;
    client.kill().unwrap();
    client.wait().unwrap();
}

/// The service, with this limit of open files.
fn start_with_files(directory: &Path, files: u32) -> Service {
    let mut command = Command::new("/bin/sh");
    command.args([
        "-c",
        &format!("ulimit -n {files} && exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_vimeo-connections"),
    ]);
    command.current_dir(directory).env_clear();
    Service::start_as(command, directory)
}

/// The status line of a request on its own connection; empty if the service refused the connection.
fn ask(address: SocketAddr, path: &str, key: &str) -> String {
    let exchange = || {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(WAIT_LIMIT)).ok()?;
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().next().map(str::to_owned)
    };
    exchange().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_few_file_descriptors_only_health_checks_are_answered() {
    let mut env = TestEnv::without_verification("listener.write_timeout_seconds = 3600\n").await;
    assert_eq!(env.service.terminate(), Some(0));
    env.service = start_with_files(env.path(), 256);
    let address = env.service.address;
    // Half of them send no request.
    let client = |number| {
        if number % 2 == 0 { TcpStream::connect(address).ok() } else { reader_of_nothing(address) }
    };
    let clients: Vec<_> = (0..400).filter_map(client).collect();
    for path in ["/health/live", "/health/ready"] {
        until("health checks are answered", async || ask(address, path, "") == "HTTP/1.1 200 OK").await;
    }
    let key = env.api_key.clone();
    until("other connections are refused", async || {
        ask(address, COLLECTION, &key) == "HTTP/1.1 503 Service Unavailable"
    })
    .await;
    let log = fs::read_to_string(env.path().join("service.log")).unwrap();
    assert!(log.contains("connections are rejected: the limit is reached"));
    assert!(!log.contains("a connection could not be accepted"), "files have run out");
    drop(clients);
    until("all requests are served again", async || ask(address, COLLECTION, &key) == "HTTP/1.1 200 OK")
        .await;
    assert_eq!(env.service.terminate(), Some(0));
}

/// The resident memory of the service, in KiB.
fn resident_kibibytes(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_headers_use_little_memory() {
    let env = TestEnv::without_verification("").await;
    let before = resident_kibibytes(&env.service);
    let mut clients = Vec::new();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(env.service.address).unwrap();
        stream.set_write_timeout(Some(Duration::from_millis(50))).unwrap();
        let head = format!("GET /health/live HTTP/1.1\r\nhost: x\r\nx-long: {}", "x".repeat(390_000));
        // The service stops reading at its limit, so the rest may fail.
        let _ = stream.write_all(head.as_bytes());
        clients.push(stream);
    }
    assert_eq!(env.get("/health/live").await.status, 200);
    let grown = resident_kibibytes(&env.service).saturating_sub(before);
    // 300 times 390 KB would be 114 MiB.
    assert!(grown < 48 * 1024, "{grown} KiB");
    drop(clients);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_beyond_the_limit_get_431() {
    let env = TestEnv::without_verification("").await;
    let request = |bytes: usize| {
        format!(
            "GET /health/live HTTP/1.1\r\nhost: x\r\nx-long: {}\r\nconnection: close\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    assert!(env.raw(request(30_000).as_bytes()).starts_with("HTTP/1.1 200 "));
    assert!(env.raw(request(100_000).as_bytes()).starts_with("HTTP/1.1 431 "));
}
