//! A log that is not read, or cannot be written, blocks no request, and lost lines are reported.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::harness::{ACCOUNT, binary, cli, make_key, printed};

const WAIT_LIMIT: Duration = Duration::from_mins(1);
/// More lines than the queue and a pipe can hold: each has at least 250 bytes.
const REQUESTS: usize = 25_000;

/// The service, with standard error read by the test. Killed when dropped.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn installation() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nvimeo.verification = \"off\"\n";
    fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
    let made = cli(directory.path(), &["init"], "");
    assert!(made.status.success(), "{}", printed(&made));
    directory
}

fn serve(directory: &Path, log: impl Into<Stdio>) -> Service {
    Service(binary(directory).arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap())
}

fn address(line: &Value) -> Option<SocketAddr> {
    (line["message"] == "listening").then(|| line["address"].as_str().unwrap().parse().unwrap())
}

/// Sends requests over one connection, and reads their responses; each writes a log line.
fn request(address: SocketAddr, key: &str, count: usize) {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut writer = stream;
    let path = "/pictoryapis/v1/vimeo-connections/none";
    let one = format!("GET {path} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\n\r\n");
    let batch = 100;
    for _ in 0..count / batch {
        writer.write_all(one.repeat(batch).as_bytes()).unwrap();
        for _ in 0..batch {
            read_answer(&mut reader);
        }
    }
}

fn read_answer(reader: &mut impl std::io::BufRead) {
    let mut length = 0;
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 404 "), "{line:?}");
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
}

#[test]
fn an_unread_log_blocks_no_request_and_lost_lines_are_counted() {
    let directory = installation();
    let key = make_key(directory.path(), ACCOUNT, &[]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let mut service = serve(directory.path(), std::os::fd::OwnedFd::from(theirs));
    let mut lines =
        BufReader::new(ours).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let address = lines.find_map(|line| address(&line)).unwrap();

    // The test stops reading.
    request(address, &key, REQUESTS);
    // Reading resumes: every request has its line, or is in the count of lost lines.
    let (mut written, mut missing) = (0, 0);
    while written + missing < REQUESTS {
        let line = lines.next().unwrap();
        if line["message"] == "answered" {
            written += 1;
        }
        if let Some(lost) = line["lines"].as_u64() {
            assert!(line["message"].as_str().unwrap().starts_with("log lines are missing here"), "{line}");
            missing += usize::try_from(lost).unwrap();
        }
    }
    assert_eq!(written + missing, REQUESTS);
    assert!(missing > 0, "the queue is bounded");
    // From now on every line is written again.
    request(address, &key, 100);
    assert!(Command::new("kill").arg(service.0.id().to_string()).status().unwrap().success());
    let rest: Vec<_> = lines.collect();
    assert_eq!(rest.iter().filter(|line| line["message"] == "answered").count(), 100);
    assert_eq!(rest.last().unwrap()["message"], "stopped");
    assert!(service.0.wait().unwrap().success());
}

#[test]
fn a_service_with_an_unread_log_stops_on_a_signal() {
    let directory = installation();
    let key = make_key(directory.path(), ACCOUNT, &[]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut service = serve(directory.path(), std::os::fd::OwnedFd::from(theirs));
    let mut lines =
        BufReader::new(&ours).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let address = lines.find_map(|line| address(&line)).unwrap();
    request(address, &key, REQUESTS);
    assert!(Command::new("kill").arg(service.0.id().to_string()).status().unwrap().success());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = service.0.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < WAIT_LIMIT, "it does not end");
        std::thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
}

#[test]
fn a_closed_log_pipe_blocks_no_request() {
    let directory = installation();
    let key = make_key(directory.path(), ACCOUNT, &[]);
    let (ours, theirs) = UnixStream::pair().unwrap();
    let service = serve(directory.path(), std::os::fd::OwnedFd::from(theirs));
    let mut lines =
        BufReader::new(ours).lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    let address = lines.find_map(|line| address(&line)).unwrap();
    drop(lines);
    request(address, &key, 1_000);
    drop(service);
}

/// Every exit of `serve` except a kill: its last line is in the log.
#[test]
fn the_last_log_line_is_written_on_every_exit() {
    for (signals, status, last) in [(1, Some(0), "stopped"), (2, Some(130), "")] {
        let directory = installation();
        let key = make_key(directory.path(), ACCOUNT, &[]);
        let file = directory.path().join("vimeo-connections.toml");
        let config = fs::read_to_string(&file).unwrap();
        // At this level the log shows when a request is being handled.
        fs::write(&file, format!("{config}log.level = \"debug\"\n")).unwrap();
        let log = directory.path().join("log");
        let mut service = serve(directory.path(), File::create(&log).unwrap());
        let text = || fs::read_to_string(&log).unwrap();
        let started = Instant::now();
        let address = loop {
            let found = text()
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .find_map(|line| address(&line));
            if let Some(address) = found {
                break address;
            }
            assert!(started.elapsed() < WAIT_LIMIT, "{}", text());
            std::thread::sleep(Duration::from_millis(10));
        };
        // A request whose body never arrives keeps the service running, so that the second signal ends it.
        let mut held = TcpStream::connect(address).unwrap();
        if signals == 2 {
            let request = format!(
                "POST /pictoryapis/v1/vimeo-connections HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-length: 9\r\n\r\n{{"
            );
            held.write_all(request.as_bytes()).unwrap();
            while !text().contains("\"started\"") {
                assert!(started.elapsed() < WAIT_LIMIT, "{}", text());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        for signal in 0..signals {
            assert!(Command::new("kill").arg(service.0.id().to_string()).status().unwrap().success());
            while signal == 0 && signals == 2 && TcpStream::connect(address).is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        assert_eq!(service.0.wait().unwrap().code(), status);
        let text = text();
        let messages: Vec<_> = text
            .lines()
            .map(|line| serde_json::from_str::<Value>(line).unwrap()["message"].clone())
            .collect();
        if last.is_empty() {
            assert!(messages.len() >= 2, "{text}");
        } else {
            assert_eq!(messages.last().unwrap(), last, "{text}");
        }
    }
}

/// `/dev/full` refuses every write, as a full disk does.
#[test]
fn an_unwritable_log_blocks_no_request() {
    let directory = installation();
    let key = make_key(directory.path(), ACCOUNT, &[]);
    // The port is chosen in advance, because no log line can report it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut command = binary(directory.path());
    command.env("VIMEO_CONNECTIONS_LISTEN", format!("127.0.0.1:{port}"));
    let service = Service(command.arg("serve").stdout(Stdio::null()).stderr(full).spawn().unwrap());
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let started = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(started.elapsed() < WAIT_LIMIT, "it does not listen");
        std::thread::sleep(Duration::from_millis(10));
    }
    request(address, &key, 1_000);
    drop(service);
}
