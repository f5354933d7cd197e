//! The service is killed with SIGKILL again and again. Acknowledged writes are stored completely and once.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::support::create_load::{CreateLoad, assert_shown, assert_whole};
use crate::support::harness::{ACCOUNT, Service, TestEnv, binary, cli, printed};
use crate::support::random::next_random;

const CLIENTS: usize = 64;

/// Kills the service `rounds` times under load, in one directory.
async fn kill_again_and_again(mut env: TestEnv, rounds: usize, most: usize) {
    let mut seed = 20_260_101;
    let mut acknowledged_creates = Vec::new();
    for round in 0..rounds {
        let goal = 1 + next_random(&mut seed, most);
        let load = CreateLoad::start(&env, &format!("r{round}"), CLIENTS, goal);
        load.reach().await;
        env.service.kill();
        let (kept, refused) = load.finish().await;
        assert!(kept.len() >= goal);
        assert!(refused.is_empty(), "{refused:?}");
        env.service = Service::start(env.path());
        assert_shown(&env, &kept).await;
        acknowledged_creates.extend(kept);
        assert_whole(&env, &acknowledged_creates);
    }
    let errors: Vec<_> =
        env.log().lines().filter(|line| line.contains("\"ERROR\"")).map(str::to_owned).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill() {
    let env = TestEnv::without_verification("").await;
    kill_again_and_again(env, 20, 300).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_writes_survive_a_kill_with_verification() {
    kill_again_and_again(TestEnv::start().await, 3, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_a_checkpoint_loses_nothing() {
    let mut env = TestEnv::without_verification("").await;
    let mut acknowledged_creates = Vec::new();
    for round in 0..3 {
        let before = length(&env.database_file());
        let load = CreateLoad::start(&env, &format!("r{round}"), CLIENTS, usize::MAX);
        // Only a checkpoint writes to the database file, so this kill comes during a checkpoint.
        while length(&env.database_file()) == before {
            tokio::task::yield_now().await;
        }
        env.service.kill();
        acknowledged_creates.extend(load.finish().await.0);
        env.service = Service::start(env.path());
        assert_whole(&env, &acknowledged_creates);
    }
}

/// Whether a start has reached a point, seen from its data directory.
type Moment = fn(&Path) -> bool;

/// The points at which a start is killed.
const MOMENTS: [(&str, Moment); 6] = [
    ("at once", |_| true),
    ("the directory exists", |data| data.exists()),
    ("the file exists", |data| data.join("vimeo-connections.db").exists()),
    ("the file has a header", |data| length(&data.join("vimeo-connections.db")) > 0),
    ("the WAL exists", |data| data.join("vimeo-connections.db-wal").exists()),
    ("the WAL has pages", |data| length(&data.join("vimeo-connections.db-wal")) > 0),
];

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Starts `serve` and kills it at this point.
fn kill_starting(directory: &Path, moment: Moment) {
    let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("starts.log")).unwrap();
    let mut child: Child = binary(directory).arg("serve").stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let data = directory.join("data");
    while !moment(&data) && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_killed_at_any_point_does_not_block_the_next() {
    let mut env = TestEnv::without_verification("").await;
    let data = env.path().join("data");
    for (moment, has_come) in MOMENTS {
        for times in 1..=3 {
            env.service.kill();
            fs::remove_dir_all(&data).unwrap();
            for _ in 0..times {
                kill_starting(env.path(), has_come);
            }
            env.service = Service::start(env.path());
            let made = cli(env.path(), &["accounts", "create", ACCOUNT], "");
            assert!(made.status.success(), "killed when: {moment}: {}", printed(&made));
            env.api_key = env.make_key(ACCOUNT, &[]);
            assert_eq!(env.post(&env.valid_body("after")).await.status, 201, "killed when: {moment}");
            assert_whole(&env, &[]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_during_recovery_is_recovered_from() {
    let mut env = TestEnv::without_verification("").await;
    let load = CreateLoad::start(&env, "before", CLIENTS, 100);
    load.reach().await;
    env.service.kill();
    let (acknowledged_creates, _) = load.finish().await;
    for _ in 0..10 {
        kill_starting(env.path(), |_| true);
    }
    env.service = Service::start(env.path());
    assert_shown(&env, &acknowledged_creates).await;
    assert_whole(&env, &acknowledged_creates);
}
