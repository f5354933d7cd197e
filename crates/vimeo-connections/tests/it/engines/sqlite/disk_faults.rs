//! Disks that fail or are full. A preloaded library simulates them in front of the C library.

use std::fs;

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::create_load::{AcknowledgedCreate, CreateLoad, assert_shown, assert_whole};
use crate::support::failing_disk::failing_disk;
use crate::support::harness::{COLLECTION, Service, TestEnv, binary, cli, printed, until};

/// The exit status for an unknown state of the database, after which the service must be restarted.
const DATABASE_FAILED: i32 = 70;

/// An environment whose service has a disk that fails on demand.
async fn env_on_failing_disk() -> TestEnv {
    let mut env = TestEnv::without_verification("").await;
    assert_eq!(env.service.terminate(), Some(0));
    let mut command = binary(env.path());
    command.env("LD_PRELOAD", failing_disk(env.path()));
    env.service = Service::start_as(command, env.path());
    env
}

fn begin(env: &TestEnv, trigger: &str) {
    fs::write(env.path().join(trigger), "").unwrap();
}

fn end(env: &TestEnv, trigger: &str) {
    fs::remove_file(env.path().join(trigger)).unwrap();
}

async fn create(env: &TestEnv, name: &str) -> AcknowledgedCreate {
    let created = env.post(&env.valid_body(name)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    AcknowledgedCreate { name: name.to_owned(), answer: Some(created.json()) }
}

/// Concurrent creates, to a service that may end meanwhile: the statuses of those that were answered.
async fn create_many(env: &TestEnv, prefix: &str, count: usize) -> Vec<StatusCode> {
    let mut clients = JoinSet::new();
    for n in 0..count {
        let request = env.http.post(env.url(COLLECTION)).header("authorization", &env.api_key);
        let request = request.body(env.valid_body(&format!("{prefix}-{n}")).to_string());
        clients.spawn(async move { request.send().await.ok().map(|response| response.status()) });
    }
    clients.join_all().await.into_iter().flatten().collect()
}

/// The log lines of a level, from byte `start` on.
fn lines_of(env: &TestEnv, level: &str, start: usize) -> Vec<Value> {
    let log = env.log();
    let lines = log[start..].lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["level"] == level).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_acknowledges_nothing_and_ends_the_service() {
    let mut env = env_on_failing_disk().await;
    let mut acknowledged_creates = Vec::new();
    for n in 0..5 {
        acknowledged_creates.push(create(&env, &format!("before-{n}")).await);
    }
    begin(&env, "sync-fails");
    let start = env.log().len();
    let statuses = create_many(&env, "during", 16).await;
    assert!(statuses.iter().all(StatusCode::is_server_error), "{statuses:?}");
    assert_eq!(env.service.wait(), Some(DATABASE_FAILED));
    let errors = lines_of(&env, "ERROR", start);
    let says_why = |line: &Value| {
        let (message, cause) = (line["message"].to_string(), line["cause"].to_string());
        message.contains("restart the service")
            && cause.contains("writing the database failed")
            && cause.contains("disk I/O")
    };
    assert!(errors.iter().any(says_why), "{errors:?}");

    end(&env, "sync-fails");
    env.service = Service::start(env.path());
    acknowledged_creates.push(create(&env, "after").await);
    assert_shown(&env, &acknowledged_creates).await;
    assert_whole(&env, &acknowledged_creates);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_fsync_of_a_checkpoint_ends_the_service() {
    let mut env = env_on_failing_disk().await;
    begin(&env, "database-sync-fails");
    // The WAL can be synced, so creates continue until the checkpoint.
    let load = CreateLoad::start(&env, "copied", 16, usize::MAX);
    assert_eq!(env.service.wait(), Some(DATABASE_FAILED));
    let (acknowledged_creates, _) = load.finish().await;
    let errors = lines_of(&env, "ERROR", 0);
    let says_why = |line: &Value| line["cause"].to_string().contains("copying the write-ahead log failed");
    assert!(errors.iter().any(says_why), "{errors:?}");

    end(&env, "database-sync-fails");
    env.service = Service::start(env.path());
    assert_whole(&env, &acknowledged_creates);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_rejects_writes_and_recovers_automatically() {
    let env = env_on_failing_disk().await;
    let mut acknowledged_creates = vec![create(&env, "before").await];
    let process = env.service.id();
    for round in 0..3 {
        begin(&env, "disk-full");
        let start = env.log().len();
        let name = format!("alone-{round}");
        let refused = env.post(&env.valid_body(&name)).await;
        assert_eq!(
            (refused.status.as_u16(), refused.code().as_str()),
            (503, "STORE_UNAVAILABLE"),
            "{refused:?}"
        );
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
        let statuses = create_many(&env, &format!("together-{round}"), 16).await;
        assert_eq!(statuses, [StatusCode::SERVICE_UNAVAILABLE; 16]);
        assert_eq!(env.connection_count(), acknowledged_creates.len());
        assert_shown(&env, &acknowledged_creates).await;
        let errors = lines_of(&env, "ERROR", start);
        let names_it = |line: &Value| {
            let error = line["error"].to_string();
            error.contains("no space left on the disk that holds") && error.contains("bytes free")
        };
        assert!(errors.iter().any(names_it), "{errors:?}");
        until("it is not ready", async || env.get("/health/ready").await.status == 503).await;
        let not_ready = env.get("/health/ready").await;
        assert_eq!(not_ready.code(), "NOT_READY", "{not_ready:?}");
        let checks = &not_ready.json()["checks"];
        assert_eq!(
            (&checks[0]["result"], &checks[1]["result"]),
            (&json!("fail"), &json!("fail")),
            "{checks}"
        );
        assert!(not_ready.header("retry-after").parse::<u32>().unwrap() > 0);

        end(&env, "disk-full");
        until("it is ready", async || env.get("/health/ready").await.status == 200).await;
        // The same names: the failed attempts did not take them.
        acknowledged_creates.push(create(&env, &name).await);
        acknowledged_creates.push(create(&env, &format!("together-{round}-0")).await);
        assert_whole(&env, &acknowledged_creates);
    }
    assert_eq!(env.service.id(), process);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_can_write_beside_a_service_under_load() {
    let env = TestEnv::without_verification("").await;
    let load = CreateLoad::start(&env, "load", 32, 50);
    load.reach().await;
    let mut commands = JoinSet::new();
    for command in 0..2 {
        let directory = env.path().to_owned();
        commands.spawn_blocking(move || {
            let mut keys = Vec::new();
            for n in 0..5 {
                let account = format!("made-{command}-{n}");
                let made = cli(&directory, &["accounts", "create", &account], "");
                assert!(made.status.success(), "{}", printed(&made));
                let made = cli(&directory, &["keys", "create", "--json", "--account", &account], "");
                assert!(made.status.success(), "{}", printed(&made));
                let made: Value = serde_json::from_slice(&made.stdout).unwrap();
                keys.push(made["key"].as_str().unwrap().to_owned());
            }
            keys
        });
    }
    let keys: Vec<_> = commands.join_all().await.into_iter().flatten().collect();
    let (acknowledged_creates, refusals) = load.finish().await;
    assert!(refusals.is_empty(), "{refusals:?}");
    assert_whole(&env, &acknowledged_creates);
    for key in keys {
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let body = env.valid_body("first").to_string().into_bytes();
        let created = env.send(reqwest::Method::POST, COLLECTION, &headers, body).await;
        assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
        assert_eq!(created.json()["version"], json!(1));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_create_the_database_concurrently_agree() {
    let directory = tempfile::tempdir().unwrap();
    assert!(cli(directory.path(), &["init"], "").status.success());
    for round in 0..5 {
        let mut commands = JoinSet::new();
        for n in 0..6 {
            let path = directory.path().to_owned();
            commands.spawn_blocking(move || cli(&path, &["accounts", "create", &format!("account-{n}")], ""));
        }
        for made in commands.join_all().await {
            assert!(made.status.success(), "round {round}: {}", printed(&made));
        }
        let listed = cli(directory.path(), &["accounts", "list", "--json"], "");
        let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 6);
        fs::remove_dir_all(directory.path().join("data")).unwrap();
    }
}
