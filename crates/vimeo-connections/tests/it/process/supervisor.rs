//! What the service reports to systemd (`Type=notify`), on a real socket.

use std::collections::VecDeque;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::failing_disk::failing_disk;
use crate::support::harness::{Service, TestEnv, binary, until};

const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// The socket of systemd.
struct Supervisor {
    socket: UnixDatagram,
    /// Lines that were received and not read yet.
    lines: VecDeque<String>,
}

impl Supervisor {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        Self { socket, lines: VecDeque::new() }
    }

    fn receive(&mut self, limit: Duration) -> bool {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut buffer = [0; 4096];
        let Ok(count) = self.socket.recv(&mut buffer) else { return false };
        let text = String::from_utf8(buffer[..count].to_vec()).unwrap();
        self.lines.extend(text.lines().map(str::to_owned));
        true
    }

    /// The next line.
    fn next(&mut self) -> String {
        let started = Instant::now();
        loop {
            if let Some(line) = self.lines.pop_front() {
                return line;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "nothing is reported");
            self.receive(Duration::from_secs(1));
        }
    }

    /// The lines that are here.
    fn drain(&mut self) -> Vec<String> {
        self.socket.set_nonblocking(true).unwrap();
        while self.receive_now() {}
        self.socket.set_nonblocking(false).unwrap();
        self.lines.drain(..).collect()
    }

    fn receive_now(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let Ok(count) = self.socket.recv(&mut buffer) else { return false };
        self.lines.extend(String::from_utf8_lossy(&buffer[..count]).lines().map(str::to_owned));
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_start_a_reload_and_the_end_are_reported() {
    let mut env = TestEnv::without_verification("").await;
    assert_eq!(env.service.terminate(), Some(0));
    let path = env.path().join("notify.sock");
    let mut supervisor = Supervisor::listen(&path);
    env.service = Service::start_with(env.path(), &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let status = format!("STATUS=listening on http://{}/pictoryapis", env.service.address);
    assert_eq!(supervisor.next(), "STATUS=opening the database");
    assert_eq!((supervisor.next(), supervisor.next()), ("READY=1".to_owned(), status.clone()));

    let configuration = env.path().join("vimeo-connections.toml");
    let valid = fs::read_to_string(&configuration).unwrap();
    // Also if nothing could be reloaded: the service runs on.
    for text in [valid.as_str(), "lisen = \"x\"\n"] {
        fs::write(&configuration, text).unwrap();
        env.service.signal("HUP");
        assert_eq!(supervisor.next(), "RELOADING=1");
        let time = supervisor.next();
        let micros: u64 = time.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!(micros > 0);
        assert_eq!(supervisor.next(), "STATUS=reloading the configuration");
        assert_eq!((supervisor.next(), supervisor.next()), ("READY=1".to_owned(), status.clone()));
    }
    assert_eq!(env.service.terminate(), Some(0));
    assert_eq!(supervisor.next(), "STOPPING=1");
    assert_eq!(supervisor.next(), "STATUS=waiting for running requests");
    assert!(supervisor.drain().is_empty(), "the watchdog is not enabled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_watchdog_is_reported_to_only_while_the_database_is_written() {
    let mut env = TestEnv::without_verification("").await;
    assert_eq!(env.service.terminate(), Some(0));
    let path = env.path().join("notify.sock");
    let mut supervisor = Supervisor::listen(&path);
    let mut command = binary(env.path());
    command.env("LD_PRELOAD", failing_disk(env.path()));
    command.envs([("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "1000000")]);
    env.service = Service::start_as(command, env.path());
    let mut wait_for_report = || while supervisor.next() != "WATCHDOG=1" {};
    wait_for_report();
    wait_for_report();

    // The disk does not answer.
    let trigger = env.path().join("sync-hangs");
    fs::write(&trigger, "").unwrap();
    let complaints = || {
        let log = fs::read_to_string(env.path().join("service.log")).unwrap();
        log.matches("the writer of the database does not respond").count()
    };
    until("nothing is reported", async || complaints() > 0).await;
    supervisor.drain();
    let before = complaints();
    until("still nothing", async || complaints() > before + 1).await;
    assert!(supervisor.drain().is_empty());

    fs::remove_file(&trigger).unwrap();
    while supervisor.next() != "WATCHDOG=1" {}
    assert_eq!(env.service.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_does_not_exist_or_a_watchdog_of_another_process_changes_nothing() {
    let mut env = TestEnv::without_verification("").await;
    assert_eq!(env.service.terminate(), Some(0));
    let absent = env.path().join("absent.sock");
    env.service = Service::start_with(
        env.path(),
        &[("NOTIFY_SOCKET", absent.to_str().unwrap()), ("WATCHDOG_USEC", "1"), ("WATCHDOG_PID", "1")],
    );
    assert_eq!(env.get("/health/ready").await.status, 200);
    assert!(env.log().contains("systemd cannot be notified"), "{}", env.log());
    assert_eq!(env.service.terminate(), Some(0));
}
