use std::fs;

use sandbox::Options;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use crate::support::test_sandbox::{Reply, TestSandbox, exchange};
use crate::support::uploads::{PATCH, chunked, pattern, receive_event, sha256};

#[tokio::test]
async fn an_upload_in_two_chunks_reports_its_offset_and_is_complete() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(10).await;
    let head = sandbox.head(&made.path).await;
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
        let patched = sandbox.patch(&made.path, offset, bytes.as_bytes()).await;
        assert_eq!((patched.status, patched.header("upload-offset")), (204, Some(after)));
        assert_eq!(patched.header("tus-resumable"), Some("1.0.0"));
    }
    // A complete upload still reports its offset.
    assert_eq!(sandbox.offset(&made.path).await, 10);
    let version = sandbox.version(made.number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(10), &json!(sha256(b"helloworld"))));
    assert_eq!(version["stage"], "transcode_starting");
    let shown = sandbox.call("GET", &format!("/videos/{}", made.number), &Value::Null).await.json();
    assert_eq!(
        (&shown["upload"]["status"], &shown["status"]),
        (&json!("complete"), &json!("transcode_starting"))
    );
}

#[tokio::test]
async fn every_error_has_its_status_and_text_and_stores_nothing() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(10).await;
    sandbox.patch(&made.path, 0, b"abc").await;
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
        let reply = sandbox.send(method, path, &headers, b"too many").await;
        assert_eq!((reply.status, reply.text().as_str()), (status, said), "{method} {headers:?}");
        assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(reply.header("tus-version").is_some(), status == 412);
        assert_eq!(reply.header("allow"), (status == 405).then_some("HEAD, PATCH, OPTIONS"));
        assert_eq!(reply.header("upload-offset"), None);
    }
    assert_eq!(sandbox.head(unknown).await.status, 404);
    assert_eq!(sandbox.send("HEAD", &made.path, &[], b"").await.status, 412);
    assert_eq!(sandbox.send("PATCH", "/files/vimeo-prod-src-tus-eu/%ff", &PATCH, b"").await.status, 400);
    let version = sandbox.version(made.number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(3), &json!(sha256(b"abc"))));
}

#[tokio::test]
async fn a_browser_may_upload_with_the_protocols_headers_only() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(3).await;
    let asked = [("Origin", "https://app.test"), ("Access-Control-Request-Method", "PATCH")];
    let reply = sandbox.send("OPTIONS", &made.path, &asked, b"").await;
    assert_eq!((reply.status, reply.header("tus-version")), (204, Some("1.0.0")));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    let allowed = "Content-Type, Upload-Offset, Tus-Resumable";
    assert_eq!(reply.header("access-control-allow-headers"), Some(allowed));
    assert_eq!(reply.header("access-control-allow-methods"), Some("HEAD, PATCH, OPTIONS"));
    for reply in [sandbox.head(&made.path).await, sandbox.patch(&made.path, 9, b"abc").await] {
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        assert!(reply.header("access-control-expose-headers").unwrap().contains("Upload-Offset"));
    }
}

#[tokio::test]
async fn a_link_needs_no_token_and_has_no_rate_limit() {
    let sandbox = TestSandbox::with(Options { plan: Some(sandbox::Plan::Free), ..Options::default() }).await;
    let made = sandbox.make_tus(3).await;
    for _ in 0..60 {
        let headers = [("Tus-Resumable", "1.0.0"), ("Authorization", "bearer nonsense"), ("Accept", "x/y")];
        let reply = sandbox.send("HEAD", &made.path, &headers, b"").await;
        assert_eq!((reply.status, reply.header("x-ratelimit-limit")), (200, None));
    }
}

#[tokio::test]
async fn the_journal_shows_the_fingerprint_of_a_link_only() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(3).await;
    sandbox.patch(&made.path, 0, b"abc").await;
    sandbox.send("POST", &format!("{}/x", made.path), &[], b"").await;
    let key = made.path.rsplit('/').next().unwrap();
    let journal = sandbox.journal().await;
    let fingerprint: String = sha256(key.as_bytes()).chars().take(12).collect();
    assert_eq!(journal[1]["path"], format!("/files/vimeo-prod-src-tus-eu/fingerprint:{fingerprint}"));
    assert_eq!(journal[1]["route"], "PATCH /files/vimeo-prod-src-tus-eu/{key}");
    assert_eq!(sandbox.version(made.number).await["link_fingerprint"], fingerprint);
    let videos = sandbox.control("GET", "videos", &Value::Null).await;
    assert!(!Value::from(journal).to_string().contains(key) && !videos.text().contains(key));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_two_concurrent_patches_is_locked_out() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(6).await;
    let mut first = sandbox.stalled(&made.path, 0, 6, b"abc").await;
    sandbox.until_offset(&made.path, 3).await;
    let second = sandbox.patch(&made.path, 3, b"xyz").await;
    assert_eq!((second.status, second.text().as_str()), (423, "file currently locked"));
    first.write_all(b"def").await.unwrap();
    assert_eq!(receive_event(first).await.status, 204);
    assert_eq!(sandbox.version(made.number).await["sha256"], sha256(b"abcdef"));
}

#[tokio::test]
async fn an_interrupted_patch_keeps_its_bytes_and_releases_the_lock() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(6).await;
    let first = sandbox.stalled(&made.path, 0, 6, b"abc").await;
    sandbox.until_offset(&made.path, 3).await;
    drop(first);
    // The server notices a closed connection after a short delay.
    let second = loop {
        let reply = sandbox.patch(&made.path, 3, b"def").await;
        if reply.status != 423 {
            break reply;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((second.status, second.header("upload-offset")), (204, Some("6")));
    assert_eq!(sandbox.version(made.number).await["sha256"], sha256(b"abcdef"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_patch_of_a_deleted_video_ends_with_404_and_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let sandbox = TestSandbox::with(options).await;
    for reset in [false, true] {
        let made = sandbox.make_tus(6).await;
        let stalled = sandbox.stalled(&made.path, 0, 6, b"abc").await;
        sandbox.until_offset(&made.path, 3).await;
        let deleted = if reset {
            sandbox.control("POST", "reset", &Value::Null).await
        } else {
            sandbox.call("DELETE", &format!("/videos/{}", made.number), &Value::Null).await
        };
        assert_eq!(deleted.status, 204);
        let reply = receive_event(stalled).await;
        assert_eq!((reply.status, reply.text().as_str()), (404, "upload not found"));
        assert_eq!(sandbox.head(&made.path).await.status, 404);
        let videos = sandbox.control("GET", "videos", &Value::Null).await.json();
        assert_eq!(videos, json!({"videos": []}));
        let left: Vec<_> =
            fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [".vimeo-sandbox.lock"]);
    }
}

#[tokio::test]
async fn chunks_of_any_size_arrive_unchanged() {
    let sandbox = TestSandbox::strict().await;
    let bytes = pattern(70_000);
    for sizes in [&[1_usize, 1, 1][..], &[65_536], &[3, 50_000, 1], &[]] {
        let made = sandbox.make_tus(70_000).await;
        let head = format!(
            "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
             Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
            made.path
        );
        let sent = [head.as_bytes(), &chunked(&bytes, sizes)].concat();
        let reply = Reply::read(&exchange(sandbox.running.addr, &sent).await.unwrap());
        assert_eq!((reply.status, reply.header("upload-offset")), (204, Some("70000")));
        assert_eq!(sandbox.version(made.number).await["sha256"], sha256(&bytes));
    }
}

#[tokio::test]
async fn bytes_beyond_the_announced_size_are_not_stored() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(5).await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\n\
         Content-Type: application/offset+octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        made.path
    );
    let sent = [head.as_bytes(), &chunked(b"too many bytes", &[3, 3])].concat();
    let reply = Reply::read(&exchange(sandbox.running.addr, &sent).await.unwrap());
    assert_eq!((reply.status, reply.text().as_str()), (413, "resource's size exceeded"));
    let version = sandbox.version(made.number).await;
    assert_eq!((&version["received"], &version["sha256"]), (&json!(5), &json!(sha256(b"too m"))));
}

#[tokio::test]
async fn a_client_that_expects_100_continue_is_rejected_before_it_sends() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(5).await;
    let head = format!(
        "PATCH {} HTTP/1.1\r\nHost: sandbox\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: 1\r\n\
         Content-Type: application/offset+octet-stream\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        made.path
    );
    let reply = Reply::read(&exchange(sandbox.running.addr, head.as_bytes()).await.unwrap());
    assert_eq!(reply.status, 409);
}

#[tokio::test]
async fn the_method_may_be_overridden_by_a_header() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(3).await;
    let headers = [&PATCH[..], &[("Upload-Offset", "0"), ("X-HTTP-Method-Override", "PATCH")]].concat();
    assert_eq!(sandbox.send("POST", &made.path, &headers, b"abc").await.status, 204);
}

#[tokio::test]
async fn an_upload_of_0_bytes_fails() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(0).await;
    assert_eq!(sandbox.offset(&made.path).await, 0);
    assert_eq!(sandbox.patch(&made.path, 0, b"").await.status, 204);
    let version = sandbox.version(made.number).await;
    assert_eq!((&version["stage"], &version["error"]), (&json!("uploading_error"), &json!("empty_upload")));
}

#[tokio::test]
async fn a_link_expires_by_time_or_by_the_control() {
    let lifetime = Some(std::time::Duration::from_mins(1));
    let sandbox = TestSandbox::with(Options { link_lifetime: lifetime, ..Options::default() }).await;
    let made = sandbox.make_tus(6).await;
    sandbox.pass_seconds(59);
    assert_eq!(sandbox.patch(&made.path, 0, b"abc").await.status, 204);
    sandbox.pass_seconds(1);
    assert_eq!(sandbox.patch(&made.path, 3, b"def").await.status, 404);
    assert_eq!(sandbox.head(&made.path).await.status, 404);
    let made = sandbox.make_tus(6).await;
    let path = format!("videos/{}/expire-link", made.number);
    assert_eq!(sandbox.control("POST", &path, &Value::Null).await.status, 200);
    assert_eq!(sandbox.head(&made.path).await.status, 404);
}

#[tokio::test]
async fn each_version_has_its_own_link() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(3).await;
    sandbox.patch(&made.path, 0, b"abc").await;
    let path = format!("/videos/{}/versions", made.number);
    let body = json!({"file_name": "new.mp4", "upload": {"approach": "tus", "size": 4}});
    let version = sandbox.call("POST", &path, &body).await;
    assert_eq!(version.status, 201, "{}", version.text());
    let link = version.json()["upload"]["upload_link"].as_str().unwrap().to_owned();
    let link = link.strip_prefix(&sandbox.running.base_url).unwrap();
    assert_eq!(sandbox.patch(link, 0, b"wxyz").await.status, 204);
    assert_eq!(sandbox.version(made.number).await["sha256"], sha256(b"wxyz"));
    assert_eq!(sandbox.offset(&made.path).await, 3);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_error_is_reported_and_keeps_earlier_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let sandbox = TestSandbox::with(options).await;
    let made = sandbox.make_tus(6).await;
    let version = sandbox.version(made.number).await["number"].clone();
    let file = directory.path().join(format!("{}-{version}", made.number));
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let reply = sandbox.patch(&made.path, 0, b"abc").await;
    assert!(reply.status == 503 && reply.text().contains("--keep-bytes"), "{}", reply.text());
    assert_eq!(sandbox.offset(&made.path).await, 0);
    fs::remove_file(&file).unwrap();
    assert_eq!(sandbox.patch(&made.path, 0, b"abc").await.status, 204);
    // A directory in the place of the file fails too.
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    assert_eq!(sandbox.patch(&made.path, 3, b"def").await.status, 503);
    assert_eq!(sandbox.offset(&made.path).await, 3);
}

#[tokio::test]
async fn kept_bytes_can_be_fetched() {
    let directory = tempfile::tempdir().unwrap();
    let options =
        Options { bytes_directory: Some(directory.path().join("made/for/it")), ..Options::default() };
    let sandbox = TestSandbox::with(options).await;
    let bytes = pattern(300_000);
    let made = sandbox.make_tus(300_000).await;
    let path = format!("videos/{}/bytes", made.number);
    assert_eq!(sandbox.control("GET", &path, &Value::Null).await.body, b"");
    sandbox.patch(&made.path, 0, &bytes[..100_001]).await;
    assert_eq!(sandbox.control("GET", &path, &Value::Null).await.body, &bytes[..100_001]);
    sandbox.patch(&made.path, 100_001, &bytes[100_001..]).await;
    assert!(sandbox.control("GET", &path, &Value::Null).await.body == bytes);

    let sandbox = TestSandbox::strict().await;
    let made = sandbox.make_tus(3).await;
    let reply = sandbox.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
    assert!(reply.status == 404 && reply.text().contains("--keep-bytes"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_does_not_affect_uploads_created_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { bytes_directory: Some(directory.path().to_owned()), ..Options::default() };
    let sandbox = TestSandbox::with(options).await;
    let bytes = pattern(40);
    let upload = async || {
        let made = sandbox.make_tus(40).await;
        let sent = sandbox.patch(&made.path, 0, &bytes).await.status;
        (made, sent)
    };
    for _ in 0..10 {
        // Many uploads, so that deleting them takes a while, with reused numbers.
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
        let (reset, made) = tokio::join!(sandbox.control("POST", "reset", &Value::Null), hammer);
        assert_eq!(reset.status, 204);
        // Each one exists with all of its bytes, or has been deleted with all of its files.
        let mut live = 0;
        for (made, sent) in made {
            if sandbox.head(&made.path).await.status == 404 {
                continue;
            }
            live += 1;
            assert_eq!(sent, 204);
            let kept = sandbox.control("GET", &format!("videos/{}/bytes", made.number), &Value::Null).await;
            assert!(kept.status == 200 && kept.body == bytes, "{}", kept.status);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count() - 1, live);
        assert_eq!(sandbox.control("POST", "reset", &Value::Null).await.status, 204);
    }
}
