//! The command `upload` without a service, once Vimeo has all bytes of a file: no response deletes the video.

use std::process::{Output, Stdio};

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::harness::{ACCOUNT, binary, printed};
use crate::support::tools::is_all;
use crate::support::uploads::UploadEnv;
use crate::support::uploads::faulty_proxy::{Fault, FaultyProxy, Plan};
use crate::support::uploads::source::bytes;
use crate::uploads::after_last_byte::{SIZE, assert_recovered};

/// The number of concurrent commands, which mostly wait.
const AT_ONCE: usize = 48;

/// The requests after the last byte, in groups: a command has its fault once at each request of a group.
const PARTS: [&[&str]; 4] = [
    &["bytes", "offset", "look"],
    &["thumbnail", "open", "last look"],
    &["describe", "privacy"],
    &["domain", "folder", "transcoding look"],
];

/// All faults; without `--all` one for each kind of outcome.
fn faults() -> Vec<Fault> {
    let is_often = |status| matches!(status, 401 | 403 | 404 | 410 | 422 | 429 | 503);
    let is_chosen = |fault: &Fault| match fault {
        Fault::Status(status) => is_all() || is_often(*status),
        Fault::CutBefore | Fault::CutInBody => true,
        _ => is_all(),
    };
    Fault::all().into_iter().filter(is_chosen).collect()
}

/// Creates files and runs the command for each of them.
async fn upload_files(uploads: &UploadEnv, settings: &[&str], count: usize) -> Vec<Output> {
    let connection = uploads.connection.rsplit('/').next().unwrap().to_owned();
    let (mut runs, mut ended) = (JoinSet::new(), Vec::new());
    for number in 0..count {
        let name = format!("film-{number}.mp4");
        std::fs::write(uploads.env.path().join(&name), bytes(SIZE)).unwrap();
        let mut command = binary(uploads.env.path());
        command.args(["upload", &name, "--account", ACCOUNT, "--connection", &connection, "--json"]);
        command.args(settings).stdin(Stdio::null());
        if runs.len() >= AT_ONCE {
            ended.push(runs.join_next().await.unwrap().unwrap());
        }
        runs.spawn_blocking(move || command.output().unwrap());
    }
    ended.extend(runs.join_all().await);
    ended
}

/// The same with these plans: asserts that every video is complete; each job with its faults.
async fn assert_videos_kept(uploads: &UploadEnv, proxy: &FaultyProxy, folder: &str, count: usize) {
    let settings = [
        ["--view", "unlisted"],
        ["--embed", "whitelist"],
        ["--embed-domain", "example.com"],
        ["--comments", "nobody"],
        ["--folder", folder],
        ["--thumbnail-at", "0.5"],
    ];
    let mut jobs: Vec<Value> = Vec::new();
    for output in upload_files(uploads, settings.as_flattened(), count).await {
        let job: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
        assert_eq!(output.status.success(), job["success"] == true, "{}", printed(&output));
        jobs.push(job);
    }
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, proxy).await) {
        let part = PARTS.into_iter().find(|part| part.contains(&seen.faulted[0])).unwrap();
        // The offset of a dead link is not requested.
        let asked: Vec<_> = part.iter().copied().filter(|point| *point != "offset").collect();
        assert_recovered(job, &seen, &asked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_per_request_keeps_and_completes_a_cli_upload() {
    let (mut uploads, proxy, body) = UploadEnv::behind_faults("").await;
    // Many concurrent commands take longer than one.
    let config = uploads.env.path().join("vimeo-connections.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("create_seconds = 2\n", "create_seconds = 25\n")).unwrap();
    // No service may execute the jobs.
    assert_eq!(uploads.env.service.terminate(), Some(0));
    let faults = faults();
    let plans = faults.iter().flat_map(|fault| PARTS.map(|part| Plan::once(*fault, part)));
    proxy.plan(plans, &[]);
    assert_videos_kept(&uploads, &proxy, body["folder_uri"].as_str().unwrap(), faults.len() * PARTS.len())
        .await;
}
