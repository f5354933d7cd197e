//! Vimeo's own clients, unmodified and configured for the sandbox, from the first token to the last deletion.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::SandboxProcess;
use crate::support::publication::{PNG, VTT};
use crate::support::tools::{Program, node, python};

const MIB: u64 = 1024 * 1024;
const FILE_BYTES: u64 = 50 * MIB;
/// How many bytes arrive before the connection breaks; the clients set the fault.
const CUT_AFTER_BYTES: u64 = 20 * MIB;
const REPLACEMENT_BYTES: u64 = 3 * MIB + 7;
/// The videos that a client creates for its list.
const SMALL_VIDEOS: usize = 7;

const STEPS: &str = "client credentials\ncode exchange\nverify\nme\nupload\npatch\nfolder\nreplace\ntext track\n\
    thumbnail\ntags\nchapters and preset\nshowcase\nlist\ndelete\n";

#[tokio::test]
async fn vimeos_python_client_creates_uploads_changes_and_deletes_a_video() {
    let Some(client) = python("official.py") else { return };
    lead(client, "pyvimeo 1.0.11; (http://developer.vimeo.com/api/docs)").await;
}

#[tokio::test]
async fn vimeos_node_client_creates_uploads_changes_and_deletes_a_video() {
    let Some(client) = node("official.js") else { return };
    lead(client, "Vimeo.js/2.1.1").await;
}

/// Runs a client with a sandbox of its own. The client checks the responses and reports its progress.
async fn lead(mut client: Command, user_agent: &str) {
    let sandbox = SandboxProcess::start("127.0.0.1:0", &[]).ok().unwrap();
    let folder = tempfile::tempdir().unwrap();
    client
        .env("BASE_URL", sandbox.said["base_url"].as_str().unwrap())
        .env("CLIENT_ID", sandbox.said["client_id"].as_str().unwrap())
        .env("CLIENT_SECRET", sandbox.said["client_secret"].as_str().unwrap())
        .env("REDIRECT_URI", sandbox::DEFAULT_REDIRECT_URI)
        .env("FILE", write(&folder, "fifty.mp4", FILE_BYTES))
        .env("REPLACEMENT", write(&folder, "replacement.mov", REPLACEMENT_BYTES))
        .env("TEXT_TRACK", copy(&folder, "english.vtt", VTT))
        .env("IMAGE", copy(&folder, "thumbnail.png", PNG))
        .env("TMPDIR", folder.path());
    assert_eq!(Program::start(client).finish(), STEPS);

    let journal = sandbox.show("journal").await["requests"].as_array().unwrap().clone();
    assert!(journal.iter().all(|entry| entry["status"].as_u64().is_none_or(|status| status < 500)));
    for entry in journal.iter().filter(|entry| !entry["accept"].is_null() && entry["accept"] != "*/*") {
        assert_eq!(entry["user_agent"], user_agent, "{entry}");
    }
    // An interrupted upload is resumed.
    let made = journal.iter().filter(|entry| entry["method"] == "POST" && entry["path"] == "/me/videos");
    assert_eq!(made.count(), 1 + SMALL_VIDEOS);
    check_resumption(&journal);
    // Both clients send their token to the links of files, too, where it is not needed.
    let files: Vec<&Value> = journal.iter().filter(|entry| is_file_put(entry)).collect();
    assert!(files.len() >= 3, "{files:?}");
    assert!(files.iter().all(|entry| entry["authorization"]["scheme"] == "Bearer"), "{files:?}");

    assert_eq!(sandbox.show("videos").await["videos"], Value::Array(Vec::new()));
    assert_eq!(sandbox.show("faults").await["faults"], Value::Array(Vec::new()));
    let tokens = sandbox.show("tokens").await["tokens"].as_array().unwrap().clone();
    assert!(
        tokens.iter().all(|token| token["origin"] != "granted" || token["revoked"] == true),
        "{tokens:?}"
    );
}

fn is_file_put(entry: &Value) -> bool {
    entry["method"] == "PUT" && entry["path"].as_str().is_some_and(|path| path.starts_with("/files/"))
}

/// The interrupted upload: the offset is read before each attempt, and only the missing bytes are sent again.
fn check_resumption(journal: &[Value]) {
    let cut = journal.iter().find(|entry| entry["fault"] == "cut-during").unwrap();
    assert_eq!(cut["status"], Value::Null);
    let of_link = journal.iter().filter(|entry| entry["path"] == cut["path"]);
    let of_link: Vec<[&Value; 3]> =
        of_link.map(|entry| [&entry["method"], &entry["status"], &entry["request_bytes"]]).collect();
    let [[asked, ..], _, between @ .., [last, status, bytes]] = of_link.as_slice() else {
        panic!("{of_link:?}");
    };
    assert_eq!((*asked, *last, *status), (&Value::from("HEAD"), &Value::from("PATCH"), &Value::from(204)));
    assert!(between.iter().any(|[method, status, _]| *method == "HEAD" && **status == 200), "{of_link:?}");
    assert_eq!(**bytes, FILE_BYTES - CUT_AFTER_BYTES, "{of_link:?}");
}

/// A file with this content.
fn copy(folder: &TempDir, name: &str, content: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// A file of pseudo-random bytes without repetitions.
pub(crate) fn write(folder: &TempDir, name: &str, length: u64) -> PathBuf {
    let path = folder.path().join(name);
    let mut state = length | 1;
    let mut words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    let mut bytes: Vec<u8> = Vec::new();
    while (bytes.len() as u64) < length {
        bytes.extend(words.next().unwrap().to_le_bytes());
    }
    bytes.truncate(usize::try_from(length).unwrap());
    std::fs::write(&path, bytes).unwrap();
    path
}
