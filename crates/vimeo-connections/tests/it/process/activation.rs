//! Socket activation: the service serves on sockets that its supervisor has opened.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::harness::{Service, TestEnv, binary};

/// The sockets that a supervisor passes, with their names.
#[derive(Clone, Copy)]
struct Passed<'a> {
    first: &'a TcpListener,
    second: Option<&'a TcpListener>,
    names: &'a str,
}

/// Starts the service as systemd does: the sockets are the descriptors from 3 on, and variables describe them.
fn start(env: &TestEnv, passed: Passed<'_>) -> Result<Service, String> {
    let count = if passed.second.is_some() { 2 } else { 1 };
    let (second, close) = if passed.second.is_some() { ("4>&1", "1>/dev/null") } else { ("", "") };
    let script = format!(
        "LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={} exec \"$0\" \"$@\" 3<&0 {second} </dev/null {close}",
        passed.names
    );
    let mut command = Command::new("/bin/sh");
    command.current_dir(env.path()).env_clear().arg("-c").arg(script).arg(binary(env.path()).get_program());
    let stdio = |socket: &TcpListener| Stdio::from(OwnedFd::from(socket.try_clone().unwrap()));
    command.stdin(stdio(passed.first));
    let stdout = passed.second.map_or_else(Stdio::null, stdio);
    Service::try_start_with_stdout(command, env.path(), stdout)
}

async fn stopped_env(config: &str) -> TestEnv {
    let mut env = TestEnv::without_verification(config).await;
    assert_eq!(env.service.terminate(), Some(0));
    env
}

fn socket(address: &str) -> (TcpListener, SocketAddr) {
    let socket = TcpListener::bind(address).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_on_the_socket_while_the_service_restarts() {
    let mut env = stopped_env("").await;
    let (socket, address) = socket("127.0.0.1:0");
    let passed = Passed { first: &socket, second: None, names: "vimeo-connections.socket" };
    env.service = start(&env, passed).unwrap();
    assert_eq!(env.service.address, address);
    assert_eq!(env.get("/health/ready").await.status, 200);
    assert_eq!(env.service.terminate(), Some(0));

    let mut waiting = TcpStream::connect(address).unwrap();
    waiting.set_read_timeout(Some(Duration::from_mins(1))).unwrap();
    waiting.write_all(b"GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    env.service = start(&env, passed).unwrap();
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_are_served_on_the_socket_with_their_name() {
    for names in ["metrics:api", "api:metrics"] {
        let mut env = stopped_env("").await;
        let (api, metrics) = (socket("127.0.0.1:0"), socket("127.0.0.1:0"));
        let (first, second) = if names == "api:metrics" { (&api, &metrics) } else { (&metrics, &api) };
        let passed = Passed { first: &first.0, second: Some(&second.0), names };
        env.service = start(&env, passed).unwrap();
        assert_eq!(env.service.address, api.1);
        assert_eq!(env.get("/health/ready").await.status, 200);
        let page = env.http.get(format!("http://{}/metrics", metrics.1)).send().await.unwrap();
        assert!(page.text().await.unwrap().contains("vimeo_connections_build_info"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_would_expose_secrets_or_has_no_purpose_is_refused() {
    let env = stopped_env("").await;
    let (any, one) = (socket("0.0.0.0:0"), socket("127.0.0.1:0"));
    for (passed, expected) in [
        (
            Passed { first: &any.0, second: None, names: "api" },
            "can be reached from other machines, and keys and credentials would be sent unencrypted",
        ),
        (Passed { first: &one.0, second: Some(&any.0), names: "a:b" }, "passed 2 sockets for the API"),
        (
            Passed { first: &one.0, second: Some(&any.0), names: "metrics:metrics" },
            "2 sockets named `metrics`",
        ),
    ] {
        let error = start(&env, passed).err().unwrap();
        assert!(error.contains(expected) && error.contains("\"exit_status\":78"), "{error}");
    }
    let env = stopped_env("behind_tls_proxy = true\n").await;
    let passed = Passed { first: &any.0, second: None, names: "api" };
    assert!(start(&env, passed).is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_another_process_are_not_used() {
    let mut env = stopped_env("").await;
    env.service = Service::start_with(env.path(), &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")]);
    assert_eq!(env.get("/health/ready").await.status, 200);
}
