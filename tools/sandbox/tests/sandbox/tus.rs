use std::fs;

use sandbox::Options;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Desk, Reply, exchange};
use crate::sending::{PATCH, chunked, hear, pattern, sha256};

#[tokio::test]
async fn an_upload_in_two_pieces_is_told_and_whole() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(10).await;
    let head = desk.head(&made.path).await;
    assert_eq!(head.status, 200);
    for (name, value) in [
        ("tus-resumable", "1.0.0"),
        ("upload-offset", "0"),
        ("upload-length", "10"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
    for (offset, bytes, after) in [(0, "hello", "5"), (5, "world", "10"), (10, "", "10")] {
        let patched = desk.patch(&made.path, offset, bytes.as_bytes()).await;
        assert_eq!((patched.status, patched.header("upload-offset")), (204, Some(after)));
        assert_eq!(patched.header("tus-resumable"), Some("1.0.0"));
    }
    // A finished upload still tells where it stands.
    assert_eq!(desk.offset(&made.path).await, 10);
    let version = desk.version(made.number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(10), &json!(sha256(b"helloworld"))));
    assert_eq!(version["stage"], "transcode_starting");
    let shown = desk.call("GET", &format!("/videos/{}", made.number), &Value::Null).await.json();
    assert_eq!(
        (&shown["upload"]["status"], &shown["status"]),
        (&json!("complete"), &json!("transcode_starting"))
    );
}

#[tokio::test]
async fn every_refusal_has_its_status_and_text_and_stores_nothing() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(10).await;
    desk.patch(&made.path, 0, b"abc").await;
    let unknown = "/files/vimeo-prod-src-tus-eu/00000000000000000000000000000000";
    let version = ("Tus-Resumable", "1.0.0");
    let kind = ("Content-Type", "application/offset+octet-stream");
    let at = |offset| ("Upload-Offset", offset);
    let long = "18446744073709551616";
    for (method, path, headers, status, said) in [
        ("PATCH", made.path.as_str(), vec![kind, at("3")], 412, "unsupported version"),
        ("PATCH", &made.path, vec![("Tus-Resumable", "0.2.2"), kind, at("3")], 412, "unsupported version"),
        ("POST", &made.path, vec![], 412, "unsupported version"),
        ("POST", &made.path, vec![("Tus-Resumable", "1")], 412, "unsupported version"),
        ("POST", &made.path, vec![version], 405, "method not allowed"),
        ("DELETE", &made.path, vec![version], 405, "method not allowed"),
        ("GET", &made.path, vec![], 405, "method not allowed"),
        ("PATCH", &made.path, vec![version, kind, at("2")], 409, "mismatched offset"),
        ("PATCH", &made.path, vec![version, kind, at("4")], 409, "mismatched offset"),
        ("PATCH", &made.path, vec![version, at("3")], 415, "missing or invalid Content-Type header"),
        (
            "PATCH",
            &made.path,
            vec![version, ("Content-Type", "application/octet-stream"), at("3")],
            415,
            "missing or invalid Content-Type header",
        ),
        ("PATCH", &made.path, vec![version, kind], 400, "missing or invalid Upload-Offset header"),
        ("PATCH", &made.path, vec![version, kind, at("")], 400, "missing or invalid Upload-Offset header"),
        ("PATCH", &made.path, vec![version, kind, at("-3")], 400, "missing or invalid Upload-Offset header"),
        ("PATCH", &made.path, vec![version, kind, at("+3")], 400, "missing or invalid Upload-Offset header"),
        ("PATCH", &made.path, vec![version, kind, at(long)], 400, "missing or invalid Upload-Offset header"),
        ("PATCH", unknown, vec![version, kind, at("3")], 404, "upload not found"),
        ("PATCH", &made.path, vec![version, kind, at("3")], 413, "resource's size exceeded"),
    ] {
        let reply = desk.send(method, path, &headers, b"too many").await;
        assert_eq!((reply.status, reply.text().as_str()), (status, said), "{method} {headers:?}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("tus-version").is_some(), status == 412);
        assert_eq!(reply.header("allow"), (status == 405).then_some("HEAD, PATCH, OPTIONS"));
        assert_eq!(reply.header("upload-offset"), None);
    }
    assert_eq!(desk.head(unknown).await.status, 404);
    assert_eq!(desk.send("HEAD", &made.path, &[], b"").await.status, 412);
    assert_eq!(desk.send("PATCH", "/files/vimeo-prod-src-tus-eu/%ff", &PATCH, b"").await.status, 400);
    let version = desk.version(made.number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(3), &json!(sha256(b"abc"))));
}

#[tokio::test]
async fn a_browser_may_upload_with_the_protocols_headers_only() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(3).await;
    let asked = [("Origin", "https://app.test"), ("Access-Control-Request-Method", "PATCH")];
    let reply = desk.send("OPTIONS", &made.path, &asked, b"").await;
    assert_eq!((reply.status, reply.header("tus-version")), (204, Some("1.0.0")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let allowed = "Content-Type, Upload-Offset, Tus-Resumable";
    assert_eq!(reply.header("access-control-allow-headers"), Some(allowed));
    assert_eq!(reply.header("access-control-allow-methods"), Some("HEAD, PATCH, OPTIONS"));
    for reply in [desk.head(&made.path).await, desk.patch(&made.path, 9, b"abc").await] {
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert!(reply.header("access-control-expose-headers").unwrap().contains("Upload-Offset"));
    }
}

#[tokio::test]
async fn a_link_needs_no_token_and_has_no_rate_limit() {
    let desk = Desk::with(Options { plan: Some(sandbox::Plan::Free), ..Options::default() }).await;
    let made = desk.make_tus(3).await;
    for _ in 0..60 {
        let headers = [("Tus-Resumable", "1.0.0"), ("Authorization", "bearer nonsense"), ("Accept", "x/y")];
        let reply = desk.send("HEAD", &made.path, &headers, b"").await;
        assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (200, None));
    }
}

#[tokio::test]
async fn the_journal_shows_the_fingerprint_of_a_link_only() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(3).await;
    desk.patch(&made.path, 0, b"abc").await;
    desk.send("POST", &format!("{}/x", made.path), &[], b"").await;
    let key = made.path.rsplit('/').next().unwrap();
    let journal = desk.journal().await;
    let fingerprint: String = sha256(key.as_bytes()).chars().take(12).collect();
    assert_eq!(journal[1]["path"], format!("/files/vimeo-prod-src-tus-eu/fingerprint:{fingerprint}"));
    assert_eq!(journal[1]["route"], "PATCH /files/vimeo-prod-src-tus-eu/{key}");
    assert_eq!(desk.version(made.number).await["link_fingerprint"], fingerprint);
    let videos = desk.control("GET", "videos", &Value::Null).await;
    assert!(!Value::from(journal).to_string().contains(key) && !videos.text().contains(key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_patches_at_once_is_locked_out() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(6).await;
    let mut first = desk.stalled(&made.path, 0, 6, b"abc").await;
    desk.until_offset(&made.path, 3).await;
    let second = desk.patch(&made.path, 3, b"xyz").await;
    assert_eq!((second.status, second.text().as_str()), (423, "file currently locked"));
    first.write_all(b"def").await.unwrap();
    assert_eq!(hear(first).await.status, 204);
    assert_eq!(desk.version(made.number).await["sha256"], sha256(b"abcdef"));
}

#[tokio::test]
async fn what_arrived_of_a_broken_patch_is_kept_and_the_lock_is_free_at_once() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(6).await;
    let first = desk.stalled(&made.path, 0, 6, b"abc").await;
    desk.until_offset(&made.path, 3).await;
    drop(first);
    // The end of a connection takes the moment that the news of it takes.
    let second = loop {
        let reply = desk.patch(&made.path, 3, b"def").await;
        if reply.status != 423 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((second.status, second.header("upload-offset")), (204, Some("6")));
    assert_eq!(desk.version(made.number).await["sha256"], sha256(b"abcdef"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_of_a_video_that_is_deleted_ends_with_404_and_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let desk = Desk::with(options).await;
    for reset in [false, true] {
        let made = desk.make_tus(6).await;
        let stalled = desk.stalled(&made.path, 0, 6, b"abc").await;
        desk.until_offset(&made.path, 3).await;
        let deleted = if reset {
            desk.control("POST", "reset", &Value::Null).await
        } else {
            desk.call("DELETE", &format!("/videos/{}", made.number), &Value::Null).await
        };
        assert_eq!(deleted.status, 204);
        let reply = hear(stalled).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "upload not found"));
        assert_eq!(desk.head(&made.path).await.status, 404);
        let videos = desk.control("GET", "videos", &Value::Null).await.json();
        assert_eq!(videos, json!({"videos": []}));
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".vimeo-sandbox.lock"]);
    }
}

#[tokio::test]
async fn odd_chunks_arrive_as_they_are() {
    let desk = Desk::strict().await;
    let bytes = pattern(70_000);
    for sizes in [&[1_usize, 1, 1][..], &[65_536], &[3, 50_000, 1], &[]] {
        let made = desk.make_tus(70_000).await;
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
             Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            made.path
        );
        let sent = [head.as_bytes(), &chunked(&bytes, sizes)].concat();
        let reply = Reply::read(&exchange(desk.running.addr, &sent).await.unwrap());
        assert_eq!((reply.status, reply.header("upload-offset")), (204, Some("70000")));
        assert_eq!(desk.version(made.number).await["sha256"], sha256(&bytes));
    }
}

#[tokio::test]
async fn nothing_beyond_the_announced_size_is_kept_of_a_chunked_body() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(5).await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        made.path
    );
    let sent = [head.as_bytes(), &chunked(b"too many bytes", &[3, 3])].concat();
    let reply = Reply::read(&exchange(desk.running.addr, &sent).await.unwrap());
    assert_eq!((reply.status, reply.text().as_str()), (413, "resource's size exceeded"));
    let version = desk.version(made.number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(5), &json!(sha256(b"too m"))));
}

#[tokio::test]
async fn a_client_that_asks_first_is_refused_before_it_sends() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(5).await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 1\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        made.path
    );
    let reply = Reply::read(&exchange(desk.running.addr, head.as_bytes()).await.unwrap());
    assert_eq!(reply.status, 409);
}

#[tokio::test]
async fn a_proxy_bound_client_may_patch_by_another_name() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(3).await;
    let headers = [&PATCH[..], &[("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")]].concat();
    assert_eq!(desk.send("POST", &made.path, &headers, b"abc").await.status, 204);
}

#[tokio::test]
async fn an_upload_of_no_bytes_comes_to_nothing() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(0).await;
    assert_eq!(desk.offset(&made.path).await, 0);
    assert_eq!(desk.patch(&made.path, 0, b"").await.status, 204);
    let version = desk.version(made.number).await;
    assert_eq!((&version["stage"], &version["error"]), (&json!("uploading_error"), &json!("empty_upload")));
}

#[tokio::test]
async fn a_link_dies_when_its_time_has_come_or_somebody_says_so() {
    let lifetime = Some(std::time::Duration::from_mins(1));
    let desk = Desk::with(Options { link_lifetime: lifetime, ..Options::default() }).await;
    let made = desk.make_tus(6).await;
    desk.pass_seconds(59);
    assert_eq!(desk.patch(&made.path, 0, b"abc").await.status, 204);
    desk.pass_seconds(1);
    assert_eq!(desk.patch(&made.path, 3, b"def").await.status, 404);
    assert_eq!(desk.head(&made.path).await.status, 404);
    let made = desk.make_tus(6).await;
    let path = format!("videos/{}/expire-link", made.number);
    assert_eq!(desk.control("POST", &path, &Value::Null).await.status, 200);
    assert_eq!(desk.head(&made.path).await.status, 404);
}

#[tokio::test]
async fn a_replaced_version_has_a_link_of_its_own() {
    let desk = Desk::strict().await;
    let made = desk.make_tus(3).await;
    desk.patch(&made.path, 0, b"abc").await;
    let path = format!("/videos/{}/versions", made.number);
    let body = json!({"file_name": "new.mp4", "upload": {"approach": "tus", "size": 4}});
    let version = desk.call("POST", &path, &body).await;
    assert_eq!(version.status, 201, "{}", version.text());
    let link = version.json()["upload"]["upload_link"].as_str().unwrap().to_owned();
    let link = link.strip_prefix(&desk.running.base_url).unwrap();
    assert_eq!(desk.patch(link, 0, b"wxyz").await.status, 204);
    assert_eq!(desk.version(made.number).await["sha256"], sha256(b"wxyz"));
    assert_eq!(desk.offset(&made.path).await, 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_full_disk_is_told_and_keeps_what_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let desk = Desk::with(options).await;
    let made = desk.make_tus(6).await;
    let version = desk.version(made.number).await["number"].clone();
    let file = directory.path().join(format!("{}-{version}", made.number));
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let reply = desk.patch(&made.path, 0, b"abc").await;
    assert!(reply.status == 503 && reply.text().contains("--keep-bytes"), "{}", reply.text());
    assert_eq!(desk.offset(&made.path).await, 0);
    fs::remove_file(&file).unwrap();
    assert_eq!(desk.patch(&made.path, 0, b"abc").await.status, 204);
    // A directory in the file's place is no better.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(desk.patch(&made.path, 3, b"def").await.status, 503);
    assert_eq!(desk.offset(&made.path).await, 3);
}

#[tokio::test]
async fn kept_bytes_can_be_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        Options { bytes_directory: Some(directory.path().join("made/for/it")), ..Options::default() };
    let desk = Desk::with(options).await;
    let bytes = pattern(300_000);
    let made = desk.make_tus(300_000).await;
    let path = format!("videos/{}/bytes", made.number);
    assert_eq!(desk.control("GET", &path, &Value::Null).await.body, b"");
    desk.patch(&made.path, 0, &bytes[..100_001]).await;
    assert_eq!(desk.control("GET", &path, &Value::Null).await.body, &bytes[..100_001]);
    desk.patch(&made.path, 100_001, &bytes[100_001..]).await;
    assert!(desk.control("GET", &path, &Value::Null).await.body == bytes);

    let desk = Desk::strict().await;
    let made = desk.make_tus(3).await;
    let reply = desk.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
    assert!(reply.status == 404 && reply.text().contains("--keep-bytes"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_spares_what_was_made_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let desk = Desk::with(options).await;
    let bytes = pattern(40);
    let upload = async || {
        let made = desk.make_tus(40).await;
        let sent = desk.patch(&made.path, 0, &bytes).await.status;
        (made, sent)
    };
    for _ in 0..10 {
        // So many that it takes a while to clear them away, and so many numbers that come again.
        for _ in 0..60 {
            assert_eq!(upload().await.1, 204);
        }
        let hammer = async {
            let mut made = Vec::new();
            for _ in 0..8 {
                made.push(upload().await);
            }
            made
        };
        let (reset, made) = tokio::join!(desk.control("POST", "reset", &Value::Null), hammer);
        assert_eq!(reset.status, 204);
        // Each is there with all of its bytes, or it is gone with everything that it had.
        let mut live = 0;
        for (made, sent) in made {
            if desk.head(&made.path).await.status == 404 {
                continue;
            }
            live += 1;
            assert_eq!(sent, 204);
            let kept = desk.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
            assert!(kept.status == 200 && kept.body == bytes, "{}", kept.status);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count() - 1, live);
        assert_eq!(desk.control("POST", "reset", &Value::Null).await.status, 204);
    }
}
