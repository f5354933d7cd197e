use sandbox::Options;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::test_sandbox::{Reply, TestSandbox};
use crate::support::uploads::{Made, pattern, receive_event, sha256};

const MULTIPART: (&str, &str) = ("Content-Type", "multipart/form-data; boundary=edge");

fn part(name: &str, bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"my film.mp4\"\r\n\
         Content-Type: video/mp4\r\n\r\n"
    );
    [head.as_bytes(), bytes, b"\r\n"].concat()
}

fn form(bytes: &[u8]) -> Vec<u8> {
    [
        part("before", b"ignored"),
        part("file_data", bytes),
        part("after", b"ignored"),
        b"--edge--\r\n".to_vec(),
    ]
    .concat()
}

async fn send(sandbox: &TestSandbox, made: &Made, body: &[u8]) -> Reply {
    sandbox.send("POST", &made.path, &[MULTIPART], body).await
}

#[tokio::test]
async fn a_form_is_accepted_once_and_its_sender_redirected() {
    let sandbox = TestSandbox::strict().await;
    let bytes = pattern(3_000_000);
    let wanted = json!({"approach": "post", "redirect_url": "https://app.test/done?x=1"});
    let made = sandbox.make(wanted).await;
    assert!(made.path.starts_with("/files/form/"));
    let reply = send(&sandbox, &made, &form(&bytes)).await;
    assert_eq!(reply.status, 303);
    let location = format!("https://app.test/done?x=1&video_uri=%2Fvideos%2F{}", made.number);
    assert_eq!(reply.header("location"), Some(location.as_str()));
    let version = sandbox.version(made.number).await;
    assert_eq!((&version["size"], &version["sha256"]), (&json!(3_000_000), &json!(sha256(&bytes))));
    assert_eq!(
        (&version["file_name"], &version["stage"]),
        (&json!("my film.mp4"), &json!("transcode_starting"))
    );
    let again = send(&sandbox, &made, &form(b"other")).await;
    assert_eq!((again.status, again.text().as_str()), (409, "this form was used already"));
    let made = sandbox.make(json!({"approach": "post"})).await;
    assert_eq!(send(&sandbox, &made, &form(b"film")).await.status, 200);
}

#[tokio::test]
async fn each_invalid_form_is_rejected_and_may_be_sent_again() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make(json!({"approach": "post", "size": 4})).await;
    let mut cut = part("file_data", b"film");
    cut.truncate(cut.len() - 2);
    for (body, status, part) in [
        (form(b"film too long"), 413, "longer"),
        (form(b"fil"), 400, "shorter"),
        (part("another", b"film"), 400, "malformed"),
        ([part("another", b"film"), b"--edge--\r\n".to_vec()].concat(), 400, "no file"),
        (b"nonsense".to_vec(), 400, "malformed"),
        (Vec::new(), 400, "malformed"),
        (form(b"film")[..120].to_vec(), 400, "malformed"),
        (cut, 400, "malformed"),
    ] {
        let reply = send(&sandbox, &made, &body).await;
        assert!(reply.status == status && reply.text().contains(part), "{} {}", reply.status, reply.text());
        let version = sandbox.version(made.number).await;
        assert_eq!((&version["received"], &version["stage"]), (&json!(0), &json!("uploading")));
    }
    let plain = sandbox.send("POST", &made.path, &[("Content-Type", "video/mp4")], b"film").await;
    assert_eq!(plain.status, 415);
    let got = sandbox.send("GET", &made.path, &[], b"").await;
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let unknown = sandbox.send("POST", "/files/form/0123", &[MULTIPART], &form(b"film")).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(send(&sandbox, &made, &form(b"film")).await.status, 200);
}

#[tokio::test]
async fn an_expired_form_returns_the_configured_status() {
    let sandbox = TestSandbox::strict().await;
    for status in [404, 410] {
        let made = sandbox.make(json!({"approach": "post"})).await;
        sandbox.fault(json!({"route": "POST /files/form/*", "kind": "expired-link", "status": status})).await;
        for _ in 0..2 {
            let reply = send(&sandbox, &made, &form(b"film")).await;
            assert_eq!((reply.status, reply.text().as_str()), (status, "upload not found"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_concurrent_forms_one_is_accepted_and_its_bytes_kept() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let sandbox = TestSandbox::with(options).await;
    for _ in 0..30 {
        let made = sandbox.make(json!({"approach": "post"})).await;
        let body = form(b"film");
        let replies = tokio::join!(
            send(&sandbox, &made, &body),
            send(&sandbox, &made, &body),
            send(&sandbox, &made, &body),
            send(&sandbox, &made, &body)
        );
        let mut statuses = [replies.0.status, replies.1.status, replies.2.status, replies.3.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409]);
        let kept = sandbox.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
        assert_eq!((kept.status, kept.text().as_str()), (200, "film"));
    }
}

#[tokio::test]
async fn a_form_address_and_a_tus_link_are_not_interchangeable() {
    let sandbox = TestSandbox::strict().await;
    let (tus, post) = (sandbox.make_tus(4).await, sandbox.make(json!({"approach": "post"})).await);
    let swapped = |path: &str, from: &str, to: &str| path.replace(from, to);
    let as_form = swapped(&tus.path, "vimeo-prod-src-tus-eu", "form");
    assert_eq!(sandbox.send("POST", &as_form, &[MULTIPART], &form(b"film")).await.status, 404);
    assert_eq!(sandbox.head(&swapped(&post.path, "form", "vimeo-prod-src-tus-eu")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_in_progress_ends_with_its_video_and_locks_out_others() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make(json!({"approach": "post"})).await;
    let mut stream = TcpStream::connect(sandbox.running.addr).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n{}: {}\r\nContent-Length: 1000\r\n\r\n",
        made.path, MULTIPART.0, MULTIPART.1
    );
    let started = part("file_data", &pattern(400));
    stream.write_all(&[head.as_bytes(), &started[..300]].concat()).await.unwrap();
    while sandbox.version(made.number).await["received"] == 0 {
        tokio::task::yield_now().await;
    }
    let other = send(&sandbox, &made, &form(b"film")).await;
    assert_eq!((other.status, other.text().as_str()), (409, "this form is being used"));
    let deleted = sandbox.call("DELETE", &format!("/videos/{}", made.number), &Value::Null).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(receive_event(stream).await.status, 404);
}
