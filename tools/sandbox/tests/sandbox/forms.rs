use sandbox::Options;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Desk, Reply};
use crate::sending::{Made, hear, pattern, sha256};

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

async fn send(desk: &Desk, made: &Made, body: &[u8]) -> Reply {
    desk.send("POST", &made.path, &[MULTIPART], body).await
}

#[tokio::test]
async fn a_form_is_taken_once_and_its_sender_is_sent_on() {
    let desk = Desk::strict().await;
    let bytes = pattern(3_000_000);
    let wanted = json!({"approach": "post", "redirect_url": "https://app.test/done?x=1"});
    let made = desk.make(wanted).await;
    assert!(made.path.starts_with("/files/form/"));
    let reply = send(&desk, &made, &form(&bytes)).await;
    assert_eq!(reply.status, 303);
    let location = format!("https://app.test/done?x=1&video_uri=%2Fvideos%2F{}", made.number);
    assert_eq!(reply.header("location"), Some(location.as_str()));
    let version = desk.version(made.number).await;
    assert_eq!((&version["size"], &version["sha256"]), (&json!(3_000_000), &json!(sha256(&bytes))));
    assert_eq!(
        (&version["file_name"], &version["stage"]),
        (&json!("my film.mp4"), &json!("transcode_starting"))
    );
    let again = send(&desk, &made, &form(b"other")).await;
    assert_eq!((again.status, again.text().as_str()), (409, "this form was used already"));
    let made = desk.make(json!({"approach": "post"})).await;
    assert_eq!(send(&desk, &made, &form(b"film")).await.status, 200);
}

#[tokio::test]
async fn each_bad_form_is_refused_and_may_be_sent_again() {
    let desk = Desk::strict().await;
    let made = desk.make(json!({"approach": "post", "size": 4})).await;
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
        let reply = send(&desk, &made, &body).await;
        assert!(reply.status == status && reply.text().contains(part), "{} {}", reply.status, reply.text());
        let version = desk.version(made.number).await;
        assert_eq!((&version["received"], &version["stage"]), (&json!(0), &json!("uploading")));
    }
    let plain = desk.send("POST", &made.path, &[("Content-Type", "video/mp4")], b"film").await;
    assert_eq!(plain.status, 415);
    let got = desk.send("GET", &made.path, &[], b"").await;
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));
    let unknown = desk.send("POST", "/files/form/0123", &[MULTIPART], &form(b"film")).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(send(&desk, &made, &form(b"film")).await.status, 200);
}

#[tokio::test]
async fn a_dead_form_is_answered_as_was_ordered() {
    let desk = Desk::strict().await;
    for status in [404, 410] {
        let made = desk.make(json!({"approach": "post"})).await;
        desk.fault(json!({"route": "POST /files/form/*", "kind": "expired-link", "status": status})).await;
        for _ in 0..2 {
            let reply = send(&desk, &made, &form(b"film")).await;
            assert_eq!((reply.status, reply.text().as_str()), (status, "upload not found"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_forms_at_once_one_is_taken_and_its_bytes_stay() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let desk = Desk::with(options).await;
    for _ in 0..30 {
        let made = desk.make(json!({"approach": "post"})).await;
        let body = form(b"film");
        let replies = tokio::join!(
            send(&desk, &made, &body),
            send(&desk, &made, &body),
            send(&desk, &made, &body),
            send(&desk, &made, &body)
        );
        let mut statuses = [replies.0.status, replies.1.status, replies.2.status, replies.3.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409, 409]);
        let kept = desk.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
        assert_eq!((kept.status, kept.text().as_str()), (200, "film"));
    }
}

#[tokio::test]
async fn a_form_and_a_tus_link_do_not_stand_in_for_each_other() {
    let desk = Desk::strict().await;
    let (tus, post) = (desk.make_tus(4).await, desk.make(json!({"approach": "post"})).await);
    let swapped = |path: &str, from: &str, to: &str| path.replace(from, to);
    let as_form = swapped(&tus.path, "vimeo-prod-src-tus-eu", "form");
    assert_eq!(desk.send("POST", &as_form, &[MULTIPART], &form(b"film")).await.status, 404);
    assert_eq!(desk.head(&swapped(&post.path, "form", "vimeo-prod-src-tus-eu")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_under_way_ends_with_its_video_and_keeps_others_out() {
    let desk = Desk::strict().await;
    let made = desk.make(json!({"approach": "post"})).await;
    let mut stream = TcpStream::connect(desk.running.addr).await.unwrap();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n{}: {}\r\nContent-Length: 1000\r\n\r\n",
        made.path, MULTIPART.0, MULTIPART.1
    );
    let begun = part("file_data", &pattern(400));
    stream.write_all(&[head.as_bytes(), &begun[..300]].concat()).await.unwrap();
    while desk.version(made.number).await["received"] == 0 {
        tokio::task::yield_now().await;
    }
    let other = send(&desk, &made, &form(b"film")).await;
    assert_eq!((other.status, other.text().as_str()), (409, "this form is being used"));
    let deleted = desk.call("DELETE", &format!("/videos/{}", made.number), &Value::Null).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(hear(stream).await.status, 404);
}
