//! `jobs`, on the database and on a remote service.

use std::process::Output;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, printed};
use crate::support::remote_cli::RemoteUser;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

/// Runs `jobs …` on the database and on the service, whose output must be the same.
fn both(env: &UploadEnv, user: &RemoteUser, arguments: &[&str]) -> Output {
    let arguments = [&["jobs"], arguments].concat();
    let remote = user.run(&arguments, "");
    let local = env.env.cli(&[&arguments[..], &["--account", ACCOUNT]].concat(), "");
    assert_eq!(
        (remote.status.code(), printed(&remote)),
        (local.status.code(), printed(&local)),
        "{arguments:?}"
    );
    remote
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", printed(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn linked(env: &UploadEnv) -> String {
    let made = env.post(&json!({"source": {"size": 1_000}})).await;
    assert_eq!(made.status, 201, "{}", made.text);
    made.json()["data"]["jobId"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_shown_and_watched_alike_in_both_places() {
    let env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let user = RemoteUser::of(&env.env);
    let done = env.submit(3_000).await;
    let job = env.wait_for_end(&done).await;
    let failed = env.submit(0).await;
    env.wait_for_end(&failed).await;
    let waiting = linked(&env).await;

    let ids = |output: &Output| -> Vec<String> {
        let listed = json(output);
        listed.as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&both(&env, &user, &["list", "--json"])), [&*waiting, &*failed, &*done]);
    assert_eq!(ids(&both(&env, &user, &["list", "--json", "--limit", "2"])), [&*waiting, &*failed]);
    assert_eq!(ids(&both(&env, &user, &["list", "--json", "--status", "failed"])), [&*failed]);
    assert_eq!(ids(&both(&env, &user, &["list", "--json", "--phase", "uploading"])), [&*waiting]);
    assert_eq!(ids(&both(&env, &user, &["list", "--json", "--connection", "Vimeo"])).len(), 3);
    let later = ["list", "--json", "--created-after", "2126-01-31T00:00:00Z"];
    assert_eq!(ids(&both(&env, &user, &later)), [""; 0]);
    let table = printed(&both(&env, &user, &["list"]));
    assert!(table.starts_with("JOB") && table.lines().count() == 4 && table.contains("100 %"), "{table}");

    assert_eq!(json(&both(&env, &user, &["show", &done, "--json"])), job);
    let shown = printed(&both(&env, &user, &["show", &failed]));
    assert!(shown.contains("error              ") && shown.contains("status             failed"), "{shown}");
    let watched = both(&env, &user, &["watch", &done]);
    assert!(watched.stdout.starts_with(b"Uploaded: the video is at "), "{}", printed(&watched));
    assert_eq!(both(&env, &user, &["watch", &failed]).status.code(), Some(1));
    let unknown = user.error(&["jobs", "show", "019c1234-5678-7abc-8def-0123456789ab"], "");
    assert!(unknown.0 == Some(1) && unknown.1.contains("JOB_NOT_FOUND"), "{unknown:?}");
    let malformed = user.error(&["jobs", "show", "../vimeo-connections"], "");
    assert!(malformed.0 == Some(2) && malformed.1.contains("must be the ID of a job"), "{malformed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_job_ends_and_an_ended_one_stays_as_it_is() {
    let env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let user = RemoteUser::of(&env.env);
    for is_remote in [true, false] {
        let waiting = linked(&env).await;
        let cancelled = if is_remote {
            user.run(&["jobs", "cancel", &waiting], "")
        } else {
            env.env.cli(&["jobs", "cancel", &waiting, "--account", ACCOUNT], "")
        };
        assert_eq!(printed(&cancelled), format!("Cancelled the job {waiting}.\n"));
        assert_eq!(env.wait_for_end(&waiting).await["data"]["status"], "cancelled");
        let again = printed(&both(&env, &user, &["cancel", &waiting]));
        assert_eq!(again, format!("The job {waiting} had ended already (cancelled).\n"));
    }
    let done = env.submit(2_000).await;
    let job = env.wait_for_end(&done).await;
    let late = printed(&both(&env, &user, &["cancel", &done]));
    assert_eq!(late, format!("The job {done} had ended already (completed).\n"));
    assert_eq!(env.job(&done).await, job);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_job_is_queued_again_as_a_new_one_in_both_places() {
    let env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let user = RemoteUser::of(&env.env);
    // An empty file is not a video.
    let failed = env.submit(0).await;
    env.wait_for_end(&failed).await;
    let remote = user.json(&["jobs", "retry", &failed], "");
    let remote = remote["data"]["jobId"].as_str().unwrap().to_owned();
    assert_eq!(env.wait_for_end(&remote).await["data"]["status"], "failed");
    let (status, error) = user.error(&["jobs", "retry", &failed], "");
    assert!(status == Some(1) && error.contains("JOB_ALREADY_RETRIED"), "{error}");
    let local = env.env.cli(&["jobs", "retry", &remote, "--account", ACCOUNT], "");
    let local = printed(&local).trim().to_owned();
    assert!(remote != failed && local != failed && remote != local, "{remote} {local}");
    assert_eq!(env.wait_for_end(&local).await["data"]["status"], "failed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_watched_across_a_restart_of_the_service() {
    let mut env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let address = env.env.service.address;
    let user = RemoteUser::of(&env.env);
    let waiting = linked(&env).await;
    let watch = user.start(&["jobs", "watch", &waiting, "--json"]);
    let log = |env: &UploadEnv| env.env.log();
    crate::support::harness::until("the stream is open", async || log(&env).contains("/events")).await;
    env.env.service.kill();
    let listen = address.to_string();
    let variables = [("VIMEO_CONNECTIONS_LISTEN", listen.as_str())];
    env.env.service = crate::support::harness::Service::start_with(env.env.path(), &variables);
    let path = format!("/pictoryapis/v1/jobs/{waiting}");
    assert_eq!(env.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
    let job: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(job["data"]["phase"], "cancelled", "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_watch_says_that_the_job_continues() {
    let env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let user = RemoteUser::of(&env.env);
    let waiting = linked(&env).await;
    let watch = user.start(&["jobs", "watch", &waiting]);
    crate::support::harness::until("the stream is open", async || env.env.log().contains("/events")).await;
    let sent = std::process::Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = watch.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", printed(&output));
    assert!(printed(&output).contains("The job continues."), "{}", printed(&output));
    assert_eq!(env.job(&waiting).await["data"]["status"], "in-progress");
}
