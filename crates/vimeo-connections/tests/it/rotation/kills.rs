//! A rotation under load, whose commands and whose service are killed at every step.

use std::process::Stdio;
use std::time::Duration;

use super::fixtures::{assert_decrypts, end_lease, keys_of, kill_after, reload, status};
use crate::support::audit::AuditEnv;
use crate::support::backups::run_successfully;
use crate::support::create_load::{AcknowledgedCreate, CreateLoad, assert_shown};
use crate::support::harness::{binary, printed, run};
use crate::support::random::next_random;

/// Accounts besides the one with the connections: rewrapping has a step for every ten.
const ACCOUNTS: usize = 34;
const REWRAP: [&str; 4] = ["keyring", "rewrap", "--per-second", "10"];
const STEPS: usize = 3;

/// Kills `keyring rotate` at any moment: the file is the one before or the one after.
fn rotate_with_kills(env: &AuditEnv, seed: &mut u64) {
    let before = keys_of(env.env.path());
    for _ in 0..5 {
        let mut command = binary(env.env.path());
        let command = command.args(["keyring", "rotate"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        std::thread::sleep(Duration::from_micros(next_random(seed, 60_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = keys_of(env.env.path());
        assert!(before.iter().all(|key| now.contains(key)), "{before:?} {now:?}");
    }
    run_successfully(env.env.path(), &["keyring", "rotate"]);
}

/// Kills `keyring retire` at any moment, and repeats it until the file and the database agree.
fn retire_with_kills(env: &AuditEnv, old: &str, seed: &mut u64) {
    for _ in 0..4 {
        let mut command = binary(env.env.path());
        let command = command.args(["keyring", "retire", old, "--yes"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(next_random(seed, 60_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    for key in keys_of(env.env.path()).into_iter().skip(1) {
        run_successfully(env.env.path(), &["keyring", "retire", &key, "--yes"]);
    }
    reload(&env.env);
}

/// Requests while `during` runs: each is answered, and what was acknowledged is there.
async fn under_load(
    env: &mut AuditEnv,
    name: &str,
    during: impl FnOnce(&mut AuditEnv),
) -> Vec<AcknowledgedCreate> {
    let load = CreateLoad::start(&env.env, name, 4, 8);
    load.reach().await;
    tokio::task::block_in_place(|| during(env));
    let (acknowledged, refusals) = load.finish().await;
    assert_eq!(refusals, [] as [reqwest::StatusCode; 0], "{name}: {}", env.env.log());
    assert_shown(&env.env, &acknowledged).await;
    acknowledged
}

async fn rotate_under_load(mut env: AuditEnv) {
    for number in 0..ACCOUNTS {
        run_successfully(env.env.path(), &["accounts", "create", &format!("account {number:02}")]);
    }
    let old = keys_of(env.env.path()).remove(0);
    let mut seed = 20_261_201;
    let mut created = under_load(&mut env, "rotate", |env| {
        rotate_with_kills(env, &mut seed);
        reload(&env.env);
    })
    .await;
    let primary = keys_of(env.env.path()).remove(0);
    assert_ne!(primary, old);
    for step in 0..STEPS {
        let acknowledged = under_load(&mut env, &format!("rewrap {step}"), |env| {
            assert!(kill_after(env.env.path(), &REWRAP, step), "it is killed in the middle");
            assert_decrypts(&env.env);
            if step > 0 {
                // However long the check took.
                env.sql("UPDATE sweeps SET lease_until = lease_until + 3600000000 WHERE name = 'rewrap'");
                let beside = run(env.env.path(), &[], &["keyring", "rewrap"]);
                assert_eq!(beside.status.code(), Some(1), "{}", printed(&beside));
                assert!(
                    printed(&beside).contains("another process is rewriting keys"),
                    "{}",
                    printed(&beside)
                );
            }
            end_lease(env);
            let retired = run(env.env.path(), &[], &["keyring", "retire", &old, "--yes"]);
            assert!(!retired.status.success(), "accounts need it: {}", printed(&retired));
        })
        .await;
        created.extend(acknowledged);
        env.env.kill_and_restart();
        assert_decrypts(&env.env);
    }
    created.extend(
        under_load(&mut env, "rest", |env| {
            end_lease(env);
            run_successfully(env.env.path(), &["keyring", "rewrap"]);
        })
        .await,
    );
    let left = format!("SELECT count(*) FROM accounts WHERE keyring_key_id <> '{primary}'");
    assert_eq!(env.value(&left), "0");
    created.extend(under_load(&mut env, "retire", |env| retire_with_kills(env, &old, &mut seed)).await);
    assert_eq!(keys_of(env.env.path()), [primary.as_str()]);
    let keys = status(env.env.path());
    assert_eq!(keys.len(), 1, "{keys:?}");
    assert_eq!((&keys[0]["active"], &keys[0]["accounts"]), (&true.into(), &(ACCOUNTS + 1).into()));
    env.env.kill_and_restart();
    assert_shown(&env.env, &created).await;
    assert!(assert_decrypts(&env.env) >= created.len());
    let log = env.env.log();
    assert!(!log.contains("\"ERROR\""), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_at_every_step_loses_nothing_on_sqlite() {
    rotate_under_load(AuditEnv::sqlite("").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_is_killed_at_every_step_loses_nothing_on_postgresql() {
    let Some(env) = AuditEnv::postgres("store.timeout_seconds = 30").await else { return };
    rotate_under_load(env).await;
}
