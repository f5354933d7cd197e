//! What survives the end of the process, however it ends.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::support::process::{KilledOnDrop, SandboxProcess, make_video};
use crate::support::test_sandbox::{Reply, exchange, request};
use crate::support::uploads::{PATCH, pattern, sha256, stalled};

impl SandboxProcess {
    /// With its state and bytes in a directory.
    pub(crate) fn start_in(listen: &str, directory: &Path) -> Self {
        Self::start_in_with(listen, directory, &[])
    }

    fn start_in_with(listen: &str, directory: &Path, more: &[&str]) -> Self {
        // A child that another test is starting may still hold the port of a killed sandbox.
        loop {
            match Self::start(listen, &[&places(directory).each_ref().map(String::as_str), more].concat()) {
                Ok(process) => return process,
                Err(program) => {
                    let said = complaint(program);
                    assert!(said.contains("is already in use") || said.contains("is running"), "{said}");
                }
            }
        }
    }

    /// Stops it with SIGINT.
    fn stop(mut self) {
        let id = self.program.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert_eq!(self.program.wait().unwrap().code(), Some(0));
    }

    /// Creates a video. Returns its number and the path of its link.
    pub(crate) async fn make(&self, upload: Value) -> (u64, String) {
        let made = make_video(self.addr, self.said["access_token"].as_str().unwrap(), upload).await;
        let number = made["uri"].as_str().unwrap().strip_prefix("/videos/").unwrap().parse().unwrap();
        let link = made["upload"]["upload_link"].as_str().unwrap_or_default();
        (number, link.strip_prefix(self.said["base_url"].as_str().unwrap()).unwrap_or_default().to_owned())
    }

    pub(crate) async fn offset(&self, path: &str) -> u64 {
        let reply = self.request("HEAD", path, &[("Tus-Resumable", "1.0.0")], b"").await;
        assert_eq!(reply.status, 200);
        reply.header("upload-offset").unwrap().parse().unwrap()
    }

    async fn patch(&self, path: &str, offset: u64, bytes: &[u8]) -> Reply {
        let offset = offset.to_string();
        let headers = [PATCH.as_slice(), &[("Upload-Offset", &offset)]].concat();
        self.request("PATCH", path, &headers, bytes).await
    }

    pub(crate) async fn version(&self, number: u64) -> Value {
        let shown = self.request("GET", &format!("/_sandbox/videos/{number}"), &[], b"").await.json();
        shown["versions"][0].clone()
    }
}

/// The options for its state and bytes.
fn places(directory: &Path) -> [String; 4] {
    let inside = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    ["--state".to_owned(), inside("state.json"), "--keep-bytes".to_owned(), inside("bytes")]
}

/// The error message of a program that has ended.
fn complaint(mut program: KilledOnDrop) -> String {
    let mut said = String::new();
    program.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(program.wait().unwrap().code(), Some(1), "{said}");
    said
}

#[tokio::test]
async fn an_upload_resumes_after_the_sandbox_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = pattern(3_000_000);
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (number, path) = program.make(json!({"approach": "tus", "size": bytes.len()})).await;
    assert_eq!(program.patch(&path, 0, &bytes[..1_000_000]).await.status, 204);

    // Another PATCH is in progress and stalled; only the offset that HEAD returned is certain.
    let _stalled = stalled(program.addr, &path, 1_000_000, 2_000_000, &bytes[1_000_000..1_500_000]).await;
    let mut reported = 0;
    while reported < 1_200_000 {
        reported = program.offset(&path).await;
    }
    let (listen, said) = (program.addr.to_string(), program.said.clone());
    drop(program);

    let program = SandboxProcess::start_in(&listen, directory.path());
    assert_eq!(program.said, said);
    let offset = program.offset(&path).await;
    assert!((reported..=1_500_000).contains(&offset), "{offset}");
    let version = program.version(number).await;
    let sent = &bytes[..usize::try_from(offset).unwrap()];
    assert_eq!(version["sha256"], sha256(sent));
    let kept = format!("/_sandbox/videos/{number}/bytes");
    assert!(program.request("GET", &kept, &[], b"").await.body == sent);
    let files: Vec<_> = fs::read_dir(directory.path().join("bytes"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .collect();
    assert!(files.contains(&offset), "{files:?}");

    let rest = &bytes[sent.len()..];
    assert_eq!(program.patch(&path, offset, rest).await.status, 204);
    assert_eq!(program.version(number).await["sha256"], sha256(&bytes));
    assert!(program.request("GET", &kept, &[], b"").await.body == bytes);
}

#[tokio::test]
async fn a_long_patch_is_saved_before_its_end() {
    const MEBIBYTE: usize = 1 << 20;
    let directory = tempfile::tempdir().unwrap();
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (number, path) = program.make(json!({"approach": "tus", "size": 40 * MEBIBYTE})).await;
    let bytes = pattern(17 * MEBIBYTE);
    let _stalled = stalled(program.addr, &path, 0, 40 * MEBIBYTE as u64, &bytes).await;
    let saved = loop {
        let text = fs::read_to_string(directory.path().join("state.json")).unwrap();
        let state: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        let video = &state["world"]["videos"][number.to_string()];
        let saved = video["versions"][0]["upload"]["received"]["bytes"].as_u64().unwrap();
        if saved > 0 {
            break saved;
        }
        tokio::task::yield_now().await;
    };
    assert!(saved >= 16 * MEBIBYTE as u64, "{saved}");
    let listen = program.addr.to_string();
    drop(program);
    let program = SandboxProcess::start_in(&listen, directory.path());
    assert_eq!(program.offset(&path).await, saved);
    let sent = &bytes[..usize::try_from(saved).unwrap()];
    assert_eq!(program.version(number).await["sha256"], sha256(sent));
}

#[tokio::test]
async fn an_interrupted_pull_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let source = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = format!("http://{}/film.mp4", source.local_addr().unwrap());
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (number, _) = program.make(json!({"approach": "pull", "link": link})).await;
    let (mut first, _) = source.accept().await.unwrap();
    let mut asked = [0; 1024];
    assert_ne!(first.read(&mut asked).await.unwrap(), 0);
    first.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nwrong").await.unwrap();
    let listen = program.addr.to_string();
    drop(program);
    let program = SandboxProcess::start_in(&listen, directory.path());
    let (mut second, _) = source.accept().await.unwrap();
    assert_ne!(second.read(&mut asked).await.unwrap(), 0);
    second.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ngood film").await.unwrap();
    while program.version(number).await["stage"] == "uploading" {
        tokio::task::yield_now().await;
    }
    assert_eq!(program.version(number).await["sha256"], sha256(b"good film"));
}

/// The message of a program that does not start.
fn refusal(directory: &Path) -> String {
    complaint(
        SandboxProcess::start("127.0.0.1:0", &places(directory).each_ref().map(String::as_str))
            .err()
            .unwrap(),
    )
}

#[tokio::test]
async fn a_state_file_and_a_directory_of_bytes_are_locked() {
    let directory = tempfile::tempdir().unwrap();
    let _program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let sentence = refusal(directory.path());
    assert!(sentence.contains("is in use by another sandbox that is running"), "{sentence}");
    // The same directory of bytes with another state file is rejected too.
    let bytes = Some(directory.path().join("bytes"));
    let options = sandbox::Options { bytes_directory: bytes, ..sandbox::Options::default() };
    let error = sandbox::start(options).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ResourceBusy);
}

#[tokio::test]
async fn a_damaged_or_foreign_state_file_is_rejected_and_left_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    drop(SandboxProcess::start_in("127.0.0.1:0", directory.path()));
    let good = fs::read_to_string(&file).unwrap();
    let of_format = |format: u32| {
        let text =
            good.replacen("\"vimeo_sandbox_state\":2", &format!("\"vimeo_sandbox_state\":{format}"), 1);
        assert_ne!(text, good);
        text
    };
    let newer = of_format(3);
    for (text, part) in [
        (good[..good.len() / 2].to_owned(), "is damaged"),
        (good.lines().next().unwrap().to_owned() + "\n", "is damaged"),
        (newer, "another version"),
        ("my shopping list\nmilk\n".to_owned(), "is not a state file of the sandbox"),
        (String::new(), "is not a state file of the sandbox"),
    ] {
        fs::write(&file, &text).unwrap();
        let sentence = refusal(directory.path());
        assert!(
            sentence.contains(part) && sentence.contains("left as it is") | text.is_empty(),
            "{sentence}"
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
    for text in [&good, &of_format(1)] {
        fs::write(&file, text).unwrap();
        drop(SandboxProcess::start_in("127.0.0.1:0", directory.path()));
        assert_eq!(fs::read_to_string(&file).unwrap(), good, "it is written as it is written today");
    }
}

#[test]
fn a_directory_that_cannot_be_created_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("bytes"), "a file").unwrap();
    let sentence = refusal(directory.path());
    assert!(sentence.contains("Bytes cannot be kept in"), "{sentence}");
}

#[tokio::test]
async fn a_stop_keeps_the_received_bytes_of_an_upload_in_progress() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = pattern(500_000);
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (number, path) = program.make(json!({"approach": "tus", "size": 1_000_000})).await;
    let _stalled = stalled(program.addr, &path, 0, 1_000_000, &bytes).await;
    // Without requests, since every response saves the state. The file of bytes is recorded at once.
    let is_here = || {
        let mut files = fs::read_dir(directory.path().join("bytes")).unwrap();
        files.any(|entry| entry.unwrap().metadata().unwrap().len() == bytes.len() as u64)
    };
    while !is_here() {
        tokio::task::yield_now().await;
    }
    let listen = program.addr.to_string();
    program.stop();
    let program = SandboxProcess::start_in(&listen, directory.path());
    assert_eq!(program.offset(&path).await, bytes.len() as u64);
    assert_eq!(program.version(number).await["sha256"], sha256(&bytes));
}

#[tokio::test]
async fn disconnecting_clients_never_corrupt_the_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (_, path) = program.make(json!({"approach": "tus", "size": 1_000_000})).await;
    let file = directory.path().join("state.json");
    let mut reported = 0;
    for turn in 0..200 {
        // The response is not awaited, so saving continues while the next request changes the state.
        let mut abandoned = TcpStream::connect(program.addr).await.unwrap();
        abandoned.write_all(&request("POST", "/_sandbox/apps", &[], b"{}")).await.unwrap();
        drop(abandoned);
        let reply = program.patch(&path, reported, &[7; 10]).await;
        assert_eq!(reply.status, 204, "{turn}");
        reported += 10;
        let text = fs::read_to_string(&file).unwrap();
        let state: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
        let videos = state["world"]["videos"].as_object().unwrap();
        let saved = &videos.values().next().unwrap()["versions"][0]["upload"]["received"]["bytes"];
        assert_eq!(saved, reported, "{turn}");
    }
    let listen = program.addr.to_string();
    drop(program);
    assert_eq!(SandboxProcess::start_in(&listen, directory.path()).offset(&path).await, reported);
}

#[tokio::test]
async fn an_offset_that_cannot_be_saved_is_not_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (_, path) = program.make(json!({"approach": "tus", "size": 10})).await;
    assert_eq!(program.patch(&path, 0, b"hello").await.status, 204);
    // A directory at that path makes writing fail.
    let form = program.make(json!({"approach": "post", "redirect_url": "https://app.test/done"})).await.1;
    let fresh = directory.path().join("state.json.new");
    fs::create_dir(&fresh).unwrap();
    let refused = program.patch(&path, 5, b"world").await;
    assert_eq!((refused.status, refused.header("upload-offset")), (503, None));
    assert!(refused.text().contains("--state"), "{}", refused.text());
    // A browser gets the error too; preflight requests still work.
    assert_eq!(refused.header("access-control-allow-origin"), Some("*"));
    assert_eq!(program.request("OPTIONS", &path, &[], b"").await.status, 204);
    let multipart = ("Content-Type", "multipart/form-data; boundary=edge");
    let film = "--edge\r\nContent-Disposition: form-data; name=\"file_data\"; filename=\"f\"\r\n\r\nfilm\r\n--edge--\r\n";
    let sent = program.request("POST", &form, &[multipart], film.as_bytes()).await;
    assert_eq!((sent.status, sent.header("location")), (503, None));
    // A fault still expires the link.
    let cut = json!({"route": "HEAD /files/*", "kind": "cut"}).to_string();
    program.request("POST", "/_sandbox/faults", &[], cut.as_bytes()).await;
    let asked = request("HEAD", &path, &[("Tus-Resumable", "1.0.0")], b"");
    assert_eq!(exchange(program.addr, &asked).await.unwrap(), b"");
    let asked = program.request("HEAD", &path, &[("Tus-Resumable", "1.0.0")], b"").await;
    assert_eq!((asked.status, asked.header("upload-offset")), (503, None));
    fs::remove_dir(&fresh).unwrap();
    let offset = program.offset(&path).await;
    let listen = program.addr.to_string();
    drop(program);
    assert_eq!(SandboxProcess::start_in(&listen, directory.path()).offset(&path).await, offset);
}

#[tokio::test]
async fn a_reported_stage_does_not_go_back_with_slower_transcoding() {
    let directory = tempfile::tempdir().unwrap();
    let program = SandboxProcess::start_in_with("127.0.0.1:0", directory.path(), &["--transcoding", "0"]);
    let (number, path) = program.make(json!({"approach": "tus", "size": 3})).await;
    program.patch(&path, 0, b"abc").await;
    assert_eq!(program.version(number).await["stage"], "available");
    let listen = program.addr.to_string();
    program.stop();
    let program = SandboxProcess::start_in_with(&listen, directory.path(), &["--transcoding", "by-hand"]);
    assert_eq!(program.version(number).await["stage"], "available");
}

#[tokio::test]
async fn guest_tokens_are_rejected_after_open_mode_is_turned_off() {
    let directory = tempfile::tempdir().unwrap();
    let request = async |program: &SandboxProcess| {
        program.request("GET", "/me", &[("Authorization", "bearer never-issued")], b"").await.status
    };
    let program = SandboxProcess::start_in_with("127.0.0.1:0", directory.path(), &["--open"]);
    assert_eq!(request(&program).await, 200);
    let listen = program.addr.to_string();
    program.stop();
    let program = SandboxProcess::start_in(&listen, directory.path());
    assert_eq!(request(&program).await, 401);
    program.stop();
    let program = SandboxProcess::start_in_with(&listen, directory.path(), &["--open"]);
    assert_eq!(request(&program).await, 200);
}

#[tokio::test]
async fn deleting_a_video_deletes_only_its_own_files() {
    let directory = tempfile::tempdir().unwrap();
    let program = SandboxProcess::start_in("127.0.0.1:0", directory.path());
    let (number, path) = program.make(json!({"approach": "tus", "size": 3})).await;
    program.patch(&path, 0, b"abc").await;
    let version = program.version(number).await["number"].clone();
    let own = directory.path().join(format!("bytes/{number}-{version}"));
    let other = directory.path().join(format!("bytes/export-{version}"));
    fs::write(&other, "mine").unwrap();
    assert!(own.exists());
    let authorization = format!("bearer {}", program.said["access_token"].as_str().unwrap());
    let headers = [("Authorization", authorization.as_str())];
    let deleted = program.request("DELETE", &format!("/videos/{number}"), &headers, b"").await;
    assert_eq!(deleted.status, 204);
    assert!(!own.exists());
    assert_eq!(fs::read_to_string(&other).unwrap(), "mine");
}

#[test]
fn the_banner_shows_the_redirect_uri_of_the_state_file() {
    let directory = tempfile::tempdir().unwrap();
    let with_uri = ["--redirect-uri", "http://localhost:3000/cb"];
    SandboxProcess::start_in_with("127.0.0.1:0", directory.path(), &with_uri).stop();
    let places = places(directory.path());
    let arguments = ["--listen", "127.0.0.1:0"].into_iter().chain(places.iter().map(String::as_str));
    let mut program = KilledOnDrop::new(arguments);
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    let link = lines.find(|connection| connection.contains("/oauth/authorize?")).unwrap();
    assert!(link.ends_with("&redirect_uri=http%3A%2F%2Flocalhost%3A3000%2Fcb"), "{link}");
}
