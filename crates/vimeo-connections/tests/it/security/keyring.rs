//! A missing, wrong or damaged keyring, and a foreign database: rejected at the start with a clear message, and no
//! file is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rusqlite::Connection;
use serde_json::Value;

use crate::support::canaries::Canaries;
use crate::support::create_load::{AcknowledgedCreate, CreateLoad, assert_shown, assert_whole};
use crate::support::harness::{ACCOUNT, Service, TestEnv, binary, cli, is_documented_failure, printed, run};
use crate::support::keyring::keyring_key;

const VALUE: &str = "VIMEO_CONNECTIONS_KEYRING__VALUE";
const FILE: &str = "VIMEO_CONNECTIONS_KEYRING__FILE";

/// How the service of an environment was stopped.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Graceful,
    /// SIGKILL: a WAL remains.
    Kill,
}

async fn stopped_env(end: End) -> (TestEnv, Vec<AcknowledgedCreate>) {
    let mut env = TestEnv::without_verification("").await;
    let load = CreateLoad::start(&env, "sealed", 4, 20);
    load.reach().await;
    if end == End::Kill {
        env.service.kill();
    }
    let (acknowledged_creates, _) = load.finish().await;
    if end == End::Graceful {
        assert_eq!(env.service.terminate(), Some(0));
    }
    let has_log = fs::metadata(data(&env).join("vimeo-connections.db-wal")).is_ok_and(|log| log.len() > 0);
    assert_eq!(has_log, end == End::Kill);
    (env, acknowledged_creates)
}

fn data(env: &TestEnv) -> PathBuf {
    env.path().join("data")
}

fn keyring_file(env: &TestEnv) -> PathBuf {
    env.path().join("vimeo-connections.keyring")
}

/// Names, bytes and times of the files in the data directory.
///
/// Reading a database with a WAL takes a lock in the shared memory file, so that file may differ.
fn snapshot(directory: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    let Ok(entries) = fs::read_dir(directory) else { return files };
    for entry in entries {
        let entry = entry.unwrap();
        let content = (fs::read(entry.path()).unwrap(), entry.metadata().unwrap().modified().unwrap());
        files.insert(entry.file_name().into_string().unwrap(), content);
    }
    if files.iter().any(|(name, (bytes, _))| name.ends_with("-wal") && !bytes.is_empty()) {
        files.retain(|name, _| !name.ends_with("-shm"));
    }
    files
}

/// `serve` and a command refuse to start, print these phrases, expose no key, and touch no file.
fn assert_refused(env: &TestEnv, environment: &[(&str, &str)], phrases: &[&str], secrets: &Canaries) {
    let before = snapshot(&data(env));
    for arguments in [&["serve"][..], &["accounts", "list"], &["connections", "check"], &["migrate"]] {
        let output = run(env.path(), environment, arguments);
        let text = printed(&output);
        assert!(is_documented_failure(&output), "{arguments:?}: {text}");
        for phrase in phrases {
            assert!(text.contains(phrase), "{arguments:?} does not print {phrase:?}: {text}");
        }
        let shown = secrets.in_bytes(text.as_bytes());
        assert!(shown.is_empty(), "{shown:?}: {text}");
        assert!(!text.contains("listening") && !text.contains("panicked"), "{text}");
        assert!(snapshot(&data(env)) == before, "{arguments:?} changed the data");
    }
}

/// The halves of the keys too: a message must not quote a part of the file.
fn parts_of(keys: &[&str]) -> Canaries {
    let parts: Vec<_> = keys
        .iter()
        .flat_map(|key| key.as_bytes().windows(12))
        .map(|part| ("a part of a key", part))
        .collect();
    Canaries::of(&parts)
}

/// Damage by a disk, an editor or a copy.
fn damage(right: &str, key: &str) -> Vec<Vec<u8>> {
    let (first, rest) = key.split_at(1);
    let texts = [
        right.replace(key, &format!("{}{rest}", if first == "A" { "B" } else { "A" })),
        right.replace(key, &key[..40]),
        right[..right.len() - 20].to_owned(),
        String::new(),
        "\u{0}\u{1}\u{2}\u{7f}ELF".to_owned(),
        format!("{right}garbage"),
        format!("{right}\n{right}"),
        right.replace("format", "formal"),
    ];
    let not_even_text = [right.as_bytes(), &[0xff, 0xfe]].concat();
    texts.map(String::into_bytes).into_iter().chain([not_even_text]).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unusable_keyring_is_rejected_and_no_file_is_touched() {
    for end in [End::Graceful, End::Kill] {
        let (mut env, acknowledged_creates) = stopped_env(end).await;
        let path = keyring_file(&env);
        let (right, key) = (fs::read_to_string(&path).unwrap(), keyring_key(env.path()));
        let (wrong, wrong_key) = another_keyring();
        let secrets = parts_of(&[&key, &wrong_key]);
        let id = right
            .lines()
            .find_map(|line| line.strip_prefix("primary = "))
            .unwrap()
            .trim_matches('"')
            .to_owned();

        let restore = ["the keyring file", "Nothing was changed", "or restore it from its backup"];
        for damaged in damage(&right, &key) {
            fs::write(&path, damaged).unwrap();
            assert_refused(&env, &[], &restore, &secrets);
        }
        fs::write(&path, right.replace("format = 1", "format = 3")).unwrap();
        assert_refused(&env, &[], &["format 3", "this version"], &secrets);

        fs::write(&path, wrong).unwrap();
        let not_it = ["is not the one that this database was sealed with", &id, "put back the right keyring"];
        assert_refused(&env, &[], &not_it, &secrets);

        fs::write(&path, &right).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_refused(&env, &[], &["can be read by others", "chmod 600"], &secrets);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_refused(&env, &[], &["is a directory", "container platform", "Nothing was changed"], &secrets);
        fs::remove_dir(&path).unwrap();
        assert!(
            std::process::Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success()
        );
        assert_refused(&env, &[], &["is not a keyring file"], &secrets);
        fs::remove_file(&path).unwrap();

        let lost = ["there is no keyring file", &id, "Nothing was changed", "backup", "Do not run `init`"];
        assert_refused(&env, &[], &lost, &secrets);
        let refused = cli(env.path(), &["init"], "");
        assert!(
            !refused.status.success() && printed(&refused).contains("Restore the old keyring"),
            "{refused:?}"
        );
        assert!(!path.exists());
        for value in ["correct horse battery staple", &key[..40], &STANDARD.encode([7; 33])] {
            assert_refused(
                &env,
                &[(VALUE, value)],
                &["keyring.value", "exactly 32 bytes", "passphrase"],
                &secrets,
            );
        }
        assert_refused(&env, &[(VALUE, &wrong_key)], &not_it, &secrets);
        let both = [(VALUE, key.as_str()), (FILE, "./vimeo-connections.keyring")];
        assert_refused(&env, &both, &["keyring.value", "keyring.file", "only one can be used"], &secrets);

        fs::write(&path, &right).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(!cli(env.path(), &["init"], "").status.success(), "a keyring is never overwritten");
        assert_eq!(fs::read_to_string(&path).unwrap(), right);
        env.service = Service::start(env.path());
        assert_shown(&env, &acknowledged_creates).await;
        assert_whole(&env, &acknowledged_creates);
    }
}

/// A keyring file of another installation, and its key.
fn another_keyring() -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    assert!(cli(directory.path(), &["init"], "").status.success());
    let text = fs::read_to_string(directory.path().join("vimeo-connections.keyring")).unwrap();
    (text, keyring_key(directory.path()))
}

#[test]
fn a_changed_character_never_yields_another_key() {
    let (text, key) = another_keyring();
    let right = seal::keyring::Keyring::parse(&text).unwrap();
    for at in 0..text.len() {
        for bit in 0..7 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            match seal::keyring::Keyring::parse(&String::from_utf8(bytes).unwrap()) {
                // The change was in a comment or in white space.
                Ok(read) => assert_eq!(read.primary_id(), right.primary_id()),
                Err(error) => assert!(!error.to_string().contains(&key[4..16]), "{error}"),
            }
        }
    }
}

#[test]
fn a_first_start_without_a_keyring_suggests_init() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["serve"][..], &["accounts", "list"]] {
        let output = run(directory.path(), &[("VIMEO_CONNECTIONS_LISTEN", "127.0.0.1:0")], arguments);
        assert_eq!(output.status.code(), Some(78));
        assert!(printed(&output).contains("Run `vimeo-connections init` once"), "{output:?}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_in_the_environment_equals_one_in_a_file() {
    let (mut env, acknowledged_creates) = stopped_env(End::Kill).await;
    let key = keyring_key(env.path());
    fs::remove_file(keyring_file(&env)).unwrap();
    let before = key_ids(&env);
    assert_eq!(before.len(), 1);
    let checked = run(env.path(), &[(VALUE, &key)], &["connections", "check", "--json"]);
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert!(checked.status.success(), "{report}");
    assert!(report["opened"].as_u64().unwrap() >= acknowledged_creates.len() as u64);
    assert_eq!(key_ids(&env), before);
    let mut command = binary(env.path());
    command.env(VALUE, format!(" {key}\n"));
    env.service = Service::start_as(command, env.path());
    assert_shown(&env, &acknowledged_creates).await;
    assert_eq!(env.post(&env.valid_body("by value")).await.status, 201);
    assert_eq!(key_ids(&env), before);
}

/// The keyring keys that the database was sealed with.
fn key_ids(env: &TestEnv) -> Vec<String> {
    let database = env.database();
    let mut ids = database.prepare("SELECT keyring_key_id FROM keyring_checks").unwrap();
    ids.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn listed(env: &TestEnv) -> Output {
    run(env.path(), &[], &["accounts", "list"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_used_if_it_allows_this_version() {
    for end in [End::Graceful, End::Kill] {
        let (mut env, acknowledged_creates) = stopped_env(end).await;
        let nothing = Canaries::default();
        let mutate = |sql: &str| {
            let database = env.database();
            // The WAL stays as the kill left it.
            database
                .set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, end == End::Kill)
                .unwrap();
            database.execute_batch(sql).unwrap();
        };
        mutate("INSERT INTO schema_migrations VALUES (900, 'future', 900, 1)");
        assert_refused(
            &env,
            &[],
            &["schema 900", "upgraded by a newer version", "Nothing was changed"],
            &nothing,
        );
        mutate("UPDATE schema_migrations SET lowest_application_schema = 1 WHERE number = 900");
        assert!(printed(&listed(&env)).contains(ACCOUNT));
        mutate("UPDATE schema_migrations SET name = 'shed' WHERE number = 1");
        assert_refused(&env, &[], &["migration 1", "shed", "another version"], &nothing);
        mutate("UPDATE schema_migrations SET name = 'house' WHERE number = 1");
        env.service = Service::start(env.path());
        assert_shown(&env, &acknowledged_creates).await;
        assert_whole(&env, &acknowledged_creates);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_database_file_is_not_touched() {
    let (env, _) = stopped_env(End::Graceful).await;
    let file = env.database_file();
    let ours = fs::read(&file).unwrap();
    let nothing = Canaries::default();
    let theirs = |sql: &str| {
        fs::remove_file(&file).unwrap();
        Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    };
    let is_foreign = ["is not a database of vimeo-connections", "left as it is"];
    theirs("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)");
    assert_refused(&env, &[], &is_foreign, &nothing);
    theirs("PRAGMA application_id = 7; CREATE TABLE schema_migrations (number)");
    assert_refused(&env, &[], &is_foreign, &nothing);
    theirs("PRAGMA journal_mode = WAL; CREATE TABLE theirs (x)");
    assert_refused(&env, &[], &is_foreign, &nothing);
    for garbage in [b"hello".to_vec(), b"x".repeat(8192), vec![0; 8192]] {
        fs::write(&file, garbage).unwrap();
        assert_refused(&env, &[], &is_foreign, &nothing);
    }
    let mut headless = ours.clone();
    headless[0] ^= 1;
    fs::write(&file, headless).unwrap();
    assert_refused(&env, &[], &is_foreign, &nothing);
    for cut in [50, ours.len() / 2, ours.len() - 4096] {
        fs::write(&file, &ours[..cut]).unwrap();
        assert_refused(&env, &[], &["is damaged", "Restore it", "from a backup"], &nothing);
    }
    fs::write(&file, ours).unwrap();
    assert!(printed(&listed(&env)).contains(ACCOUNT));
}
