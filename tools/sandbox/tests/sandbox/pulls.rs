use std::net::SocketAddr;

use sandbox::{Options, PullFrom};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

use crate::support::test_sandbox::TestSandbox;
use crate::support::uploads::{pattern, sha256};

/// A server that sends each of these replies to one connection, and the last one to all further ones. A reply may
/// contain the server's address as `{addr}`.
async fn serve(replies: Vec<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    TaskTracker::new().spawn(async move {
        let mut turn = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let reply = &replies[turn.min(replies.len() - 1)];
            turn += 1;
            hear_out(&mut stream).await;
            // The sandbox may disconnect once it has read enough.
            let _ = stream.write_all(reply).await;
        }
    });
    addr
}

/// Reads a request. A response before it would be an error.
async fn hear_out(stream: &mut TcpStream) {
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap() == 0 {
            return;
        }
        asked.push(byte[0]);
    }
}

fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn status(status: &str) -> Vec<Vec<u8>> {
    vec![reply(status, "", b"no")]
}

fn go_to(location: &str) -> Vec<u8> {
    reply("302 Found", &format!("Location: {location}\r\n"), b"")
}

/// The video after its pull has ended.
async fn ended(sandbox: &TestSandbox, number: u64) -> Value {
    loop {
        let shown = sandbox.call("GET", &format!("/videos/{number}"), &Value::Null).await.json();
        if shown["upload"]["status"] != "in_progress" {
            return shown;
        }
        tokio::task::yield_now().await;
    }
}

async fn pull(sandbox: &TestSandbox, link: &str, size: Option<u64>) -> (u64, Value) {
    let made = sandbox.make(json!({"approach": "pull", "link": link, "size": size})).await;
    assert_eq!(made.link, None);
    (made.number, ended(sandbox, made.number).await)
}

#[tokio::test]
async fn a_file_is_fetched_whether_or_not_its_size_was_announced() {
    let sandbox = TestSandbox::strict().await;
    let bytes = pattern(3_000_000);
    let whole = reply("200 OK", "Content-Type: video/mp4\r\n", &bytes);
    let chunked = {
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        [head.as_slice(), &crate::support::uploads::chunked(&bytes, &[1, 70_000])].concat()
    };
    for (answer, size) in [(whole.clone(), Some(3_000_000)), (whole, None), (chunked, None)] {
        let addr = serve(vec![answer]).await;
        let (number, shown) = pull(&sandbox, &format!("http://{addr}/film.mp4"), size).await;
        assert_eq!(shown["upload"]["status"], "complete", "{shown}");
        assert_eq!(shown["upload"]["size"], 3_000_000);
        assert_eq!(sandbox.version(number).await["sha256"], sha256(&bytes));
    }
}

#[tokio::test]
async fn redirects_are_followed_five_times() {
    let sandbox = TestSandbox::strict().await;
    for (hops, error) in [(5, Value::Null), (6, json!("invalid_redirects"))] {
        let mut answers: Vec<_> = (0..hops).map(|_| go_to("/next?x=1")).collect();
        answers.push(reply("200 OK", "", b"film"));
        let addr = serve(answers).await;
        let (_, shown) = pull(&sandbox, &format!("http://{addr}/film.mp4"), None).await;
        assert_eq!(shown["upload"]["error"], error);
    }
}

#[tokio::test]
async fn each_failure_of_the_source_has_its_error() {
    let sandbox = TestSandbox::strict().await;
    let html = vec![reply("200 OK", "Content-Type: Text/HTML; charset=utf-8\r\n", b"<p>")];
    let json_body = vec![reply("200 OK", "Content-Type: application/json\r\n", b"{}")];
    let film = || vec![reply("200 OK", "", b"film")];
    let endless = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfilms\r\n".to_vec();
    for (answers, size, error) in [
        (status("400 Bad Request"), None, "remote_bad_request"),
        (status("401 Unauthorized"), None, "remote_unauthorized"),
        (status("403 Forbidden"), None, "remote_forbidden"),
        (status("404 Not Found"), None, "remote_not_found"),
        (status("410 Gone"), None, "remote_not_found"),
        (status("418 Teapot"), None, "remote_bad_request"),
        (status("500 Oops"), None, "remote_internal"),
        (status("503 Busy"), None, "remote_internal"),
        (html, None, "disallowed_content_type"),
        (json_body, None, "disallowed_content_type"),
        (vec![reply("200 OK", "", b"")], None, "empty_upload"),
        (film(), Some(3), "max_file_size_exceeded"),
        (vec![endless], Some(4), "max_file_size_exceeded"),
        (film(), Some(5), "exceeded_retry_count"),
        (vec![b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfilm".to_vec()], None, "exceeded_retry_count"),
        (vec![Vec::new()], None, "exceeded_retry_count"),
        (vec![b"this is not HTTP\r\n\r\n".to_vec()], None, "exceeded_retry_count"),
        (vec![go_to("http://192.0.2.1/film.mp4")], None, "disallowed_address"),
        (vec![go_to("ftp://127.0.0.1/film.mp4")], None, "invalid_redirects"),
        (status("302 Found"), None, "invalid_redirects"),
    ] {
        let addr = serve(answers).await;
        let (number, shown) = pull(&sandbox, &format!("http://{addr}/film.mp4"), size).await;
        assert_eq!((&shown["upload"]["status"], &shown["upload"]["error"]), (&json!("error"), &json!(error)));
        assert_eq!(shown["status"], "uploading_error");
        assert_eq!(sandbox.version(number).await["error"], error);
    }
    // No server listens here any more.
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let (_, shown) = pull(&sandbox, &format!("http://{closed}/film.mp4"), None).await;
    assert_eq!(shown["upload"]["error"], "exceeded_retry_count");
}

#[tokio::test]
async fn a_source_that_recovers_is_fetched_from_the_beginning() {
    let sandbox = TestSandbox::strict().await;
    let broken = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwrong".to_vec();
    let answers = vec![broken, reply("502 Bad Gateway", "", b""), reply("200 OK", "", b"good film")];
    let addr = serve(answers).await;
    let (number, shown) = pull(&sandbox, &format!("http://{addr}/film.mp4"), Some(9)).await;
    assert_eq!(shown["upload"]["status"], "complete");
    assert_eq!(sandbox.version(number).await["sha256"], sha256(b"good film"));
}

#[tokio::test]
async fn nothing_is_fetched_from_disallowed_addresses() {
    let addr = serve(vec![reply("200 OK", "", b"film")]).await;
    let here = format!("http://{addr}/film.mp4");
    let mapped = format!("http://[::ffff:127.0.0.1]:{}/film.mp4", addr.port());
    let named = format!("http://localhost:{}/film.mp4", addr.port());
    for (from, link, error) in [
        (PullFrom::Nowhere, here.as_str(), json!("disallowed_address")),
        (PullFrom::Loopback, "http://192.0.2.1/film.mp4", json!("disallowed_address")),
        (PullFrom::Loopback, "http://[2001:db8::1]/film.mp4", json!("disallowed_address")),
        (PullFrom::Loopback, "http://0.0.0.0/film.mp4", json!("disallowed_address")),
        (PullFrom::Loopback, &mapped, Value::Null),
        (PullFrom::Loopback, &named, Value::Null),
        (PullFrom::Anywhere, &here, Value::Null),
    ] {
        let sandbox = TestSandbox::with(Options { pull_from: from, ..Options::default() }).await;
        let (_, shown) = pull(&sandbox, link, None).await;
        assert_eq!(shown["upload"]["error"], error, "{from:?} {link}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pull_ends_with_its_video_the_sandbox_or_a_control() {
    // Announces more than it sends, and keeps the connection open.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = format!("http://{}/film.mp4", listener.local_addr().unwrap());
    let sandbox = TestSandbox::strict().await;
    let start = async || {
        let made = sandbox.make(json!({"approach": "pull", "link": link})).await;
        let (mut stream, _) = listener.accept().await.unwrap();
        hear_out(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nfilm").await.unwrap();
        while sandbox.version(made.number).await["received"] != 4 {
            tokio::task::yield_now().await;
        }
        (made.number, stream)
    };
    // The sandbox disconnects, which ends the request here.
    let hangs_up = async |mut stream: TcpStream| {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    };

    let (number, stream) = start().await;
    sandbox.call("DELETE", &format!("/videos/{number}"), &Value::Null).await;
    hangs_up(stream).await;

    let (number, mut stream) = start().await;
    let body = json!({"error": "analysis_failed"});
    assert_eq!(sandbox.control("POST", &format!("videos/{number}/fail"), &body).await.status, 200);
    stream.write_all(b"-").await.unwrap();
    hangs_up(stream).await;
    assert_eq!(sandbox.version(number).await["error"], "analysis_failed");

    let (_, stream) = start().await;
    sandbox.running.stop().await;
    hangs_up(stream).await;
}

#[tokio::test]
async fn a_pull_of_unknown_size_may_exceed_the_quota() {
    let sandbox = TestSandbox::strict().await;
    let addr = serve(vec![reply("200 OK", "", b"a film")]).await;
    for (quota, status) in [
        (json!({"lifetime": {"max": 5}}), "total_cap_exceeded"),
        (json!({"periodic": {"max": 5}}), "quota_exceeded"),
        (json!({"lifetime": {"max": 6}}), "transcode_starting"),
    ] {
        sandbox.change_owner(json!({"quota": quota})).await;
        let (number, shown) = pull(&sandbox, &format!("http://{addr}/film.mp4"), None).await;
        assert_eq!(shown["status"], status, "{quota}");
        let upload = if status == "transcode_starting" { "complete" } else { "error" };
        assert_eq!(shown["upload"]["status"], upload);
        sandbox.call("DELETE", &format!("/videos/{number}"), &Value::Null).await;
    }
}
