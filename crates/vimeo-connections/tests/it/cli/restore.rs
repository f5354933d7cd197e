//! Restoring a valid backup: the target directory, the keyring, and API keys.

use std::fs;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::backups::{
    DATABASE, KEYRING, assert_prints, assert_refused, create_connection, directory_with_backup,
    run_successfully,
};
use crate::support::failing_disk::failing_disk;
use crate::support::harness::{
    ACCOUNT, COLLECTION, Service, TestEnv, binary, cli, is_documented_failure, printed, schema,
};
use crate::support::keyring::remove_scopes;

/// The identifier of the primary key in a keyring file.
fn primary(text: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix("primary = ")).unwrap().trim_matches('"').to_owned()
}

async fn status(env: &TestEnv, key: &str, path: &str) -> StatusCode {
    env.send(Method::GET, path, &[("authorization", key)], Vec::new()).await.status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_restored_only_with_its_keyring() {
    let env = TestEnv::without_verification("").await;
    create_connection(&env, "it").await;
    run_successfully(env.path(), &["backup", "it.backup"]);
    let place = directory_with_backup(&env, "it.backup");
    let right = fs::read_to_string(place.path().join(KEYRING)).unwrap();
    fs::remove_file(place.path().join(KEYRING)).unwrap();
    let sentence = "there is no keyring file at ./vimeo-connections.keyring, and a backup can only be restored with the \
                    keyring that it was sealed with. Nothing was changed. Restore the keyring from its own backup, \
                    or set keyring.file (VIMEO_CONNECTIONS_KEYRING__FILE) to its path. Do not run `init`: a new \
                    keyring cannot decrypt what an old one encrypted";
    assert_refused(place.path(), &["restore", "it.backup"], sentence);
    run_successfully(place.path(), &["init"]);
    let wrong = primary(&fs::read_to_string(place.path().join(KEYRING)).unwrap());
    let sentence = format!(
        "the keyring is not the one that the backup it.backup was sealed with. The backup needs the key {}; the \
         keyring's primary key is {wrong}. Nothing was changed. Set keyring.file to the right keyring, or restore it \
         from its own backup. Without it the stored credentials cannot be decrypted",
        primary(&right)
    );
    for arguments in [
        &["restore", "it.backup"][..],
        &["restore", "it.backup", "--revoke-keys"],
        &["restore", "it.backup", "--check"],
    ] {
        assert_refused(place.path(), arguments, &sentence);
    }
    fs::write(place.path().join(KEYRING), right).unwrap();
    run_successfully(place.path(), &["restore", "it.backup"]);
    assert!(
        run_successfully(place.path(), &["connections", "check"])
            .contains("Connections decrypted: 1 (accounts: 1)")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_never_overwrites_anything() {
    let env = TestEnv::without_verification("").await;
    run_successfully(env.path(), &["backup", "it.backup"]);
    let place = directory_with_backup(&env, "it.backup");
    let sentence = |name: &str| {
        format!(
            "./{name} exists already, and a backup never overwrites it. Nothing was changed. Stop the \
             service, move that file and those beside it that begin with its name to another place, keep them until \
             the restored database has been checked, and run this again"
        )
    };
    fs::create_dir(place.path().join("data")).unwrap();
    let file = place.path().join(DATABASE);
    for ending in ["", "-wal", "-shm", "-journal"] {
        let taken = place.path().join(format!("{DATABASE}{ending}"));
        fs::write(&taken, "x").unwrap();
        assert_refused(place.path(), &["restore", "it.backup"], &sentence(&format!("{DATABASE}{ending}")));
        fs::remove_file(taken).unwrap();
    }
    fs::create_dir(&file).unwrap();
    assert_refused(place.path(), &["restore", "it.backup"], &sentence(DATABASE));
    fs::remove_dir(&file).unwrap();
    std::os::unix::fs::symlink("nowhere", &file).unwrap();
    assert_prints(&cli(place.path(), &["restore", "it.backup"], ""), &sentence(DATABASE));
    fs::remove_file(&file).unwrap();
    // An empty file is not accepted as a database either.
    fs::write(&file, "").unwrap();
    run_successfully(place.path(), &["restore", "it.backup"]);
    assert_refused(place.path(), &["restore", "it.backup", "--revoke-keys"], &sentence(DATABASE));
    // A running service has a database, even without connections.
    let text = printed(&cli(env.path(), &["restore", "it.backup"], ""));
    assert!(text.contains(&sentence(DATABASE)), "{text}");
    assert_eq!(env.get(COLLECTION).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_keys_disables_every_key_of_the_backup() {
    let mut env = TestEnv::without_verification("").await;
    let connection = create_connection(&env, "it").await;
    let path = format!("{COLLECTION}/{}", connection["connectionId"].as_str().unwrap());
    let keys = [
        env.api_key.clone(),
        env.make_key(ACCOUNT, &["--expires-in-days", "0"]),
        env.make_key("another", &[]),
        env.make_key("another", &["--expires-in-days", "7"]),
    ];
    let listed = |env: &TestEnv| -> Vec<Value> {
        let output = env.cli(&["keys", "list", "--json"], "");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let id = listed(&env)[2]["keyId"].as_str().unwrap().to_owned();
    run_successfully(env.path(), &["keys", "revoke", &id]);
    run_successfully(env.path(), &["backup", "it.backup"]);
    let place = directory_with_backup(&env, "it.backup");

    // A restore that fails halfway leaves no database behind, in which keys would not be revoked.
    let library = failing_disk(place.path());
    fs::write(place.path().join("sync-fails"), "").unwrap();
    for more in [&["--revoke-keys"][..], &[]] {
        let mut command = binary(place.path());
        command.env("LD_PRELOAD", &library).args(["restore", "it.backup"]).args(more);
        let output = command.output().unwrap();
        assert!(is_documented_failure(&output), "{}", printed(&output));
        assert!(!place.path().join("data").exists());
        if more.is_empty() {
            let sentence = "the database could not be restored to ./data/vimeo-connections.db: Input/output error (os \
                            error 5). No database was created";
            assert_prints(&output, sentence);
        }
    }
    fs::remove_file(place.path().join("sync-fails")).unwrap();

    let text = run_successfully(place.path(), &["restore", "it.backup", "--revoke-keys"]);
    assert!(text.contains("Revoked all 3 API keys that were not revoked"), "{text}");
    env.service.kill();
    env.directory = place;
    assert_eq!(fs::read_dir(env.path().join("data")).unwrap().count(), 1);
    let revocations: usize = env
        .database()
        .query_row("SELECT count(*) FROM audit_events WHERE action = 'revoke_api_key'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(revocations, 4);
    env.service = Service::start(env.path());
    for key in &keys {
        for path in [COLLECTION, &path, "/pictoryapis/v1/whoami"] {
            assert_eq!(status(&env, key, path).await, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    let statuses: Vec<_> = listed(&env).iter().map(|key| key["status"].clone()).collect();
    assert_eq!(statuses, ["revoked"; 4]);
    let fresh = env.make_key(ACCOUNT, &[]);
    assert_eq!(status(&env, &fresh, &path).await, StatusCode::OK);
    assert!(
        run_successfully(env.path(), &["connections", "check"])
            .contains("Connections decrypted: 1 (accounts: 2)")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_with_an_older_schema_is_migrated() {
    let mut env = TestEnv::without_verification("").await;
    let connection = create_connection(&env, "it").await;
    let path = format!("{COLLECTION}/{}", connection["connectionId"].as_str().unwrap());
    assert_eq!(env.service.terminate(), Some(0));
    remove_scopes(env.path(), &env.database());
    env
        .database()
        .execute_batch(
            "DROP TABLE connection_health; DROP TABLE jobs; DROP TABLE job_secrets; DROP TABLE webhook_secrets; DROP TABLE idempotency_records;
             DROP TABLE moves; DROP TABLE write_probes; DROP TABLE sweeps; DROP INDEX api_keys_by_account;
             ALTER TABLE api_keys DROP COLUMN scopes; ALTER TABLE api_keys DROP COLUMN created_by;
             ALTER TABLE api_keys DROP COLUMN rotated_from; ALTER TABLE api_keys DROP COLUMN last_used_at;
             ALTER TABLE accounts DROP COLUMN max_requests_per_minute;
             ALTER TABLE accounts DROP COLUMN max_key_requests_per_minute;
             ALTER TABLE accounts DROP COLUMN max_connections; ALTER TABLE accounts DROP COLUMN max_jobs_in_progress;
             ALTER TABLE accounts DROP COLUMN max_idempotency_records;
             ALTER TABLE accounts DROP COLUMN max_event_streams;
             ALTER TABLE accounts DROP COLUMN max_webhook_endpoints;
             ALTER TABLE accounts DROP COLUMN max_open_authorizations;
             ALTER TABLE accounts DROP COLUMN second_keyring_key_id; ALTER TABLE accounts DROP COLUMN second_wrapped_key;
             ALTER TABLE accounts DROP COLUMN second_key_role; ALTER TABLE accounts DROP COLUMN second_key_since;
             DROP TABLE authorizations; DROP TABLE authorization_secrets; DROP TABLE dashboard_sessions;
             DROP TABLE webhook_endpoints; DROP TABLE webhook_deliveries; DROP TABLE webhook_delivery_secrets;
             ALTER TABLE audit_events DROP COLUMN actor_kind; ALTER TABLE audit_events DROP COLUMN actor_name;
             DROP TABLE other_service_secrets; ALTER TABLE service_secrets DROP COLUMN number;
             DROP TABLE audit_links; DROP TABLE audit_chains;
             DELETE FROM schema_migrations WHERE number > 1",
        )
        .unwrap();
    assert!(run_successfully(env.path(), &["backup", "old.backup"]).contains("schema 1"));
    let (plain, revoked) =
        (directory_with_backup(&env, "old.backup"), directory_with_backup(&env, "old.backup"));
    let key = env.api_key.clone();

    run_successfully(revoked.path(), &["restore", "old.backup", "--revoke-keys"]);
    env.directory = revoked;
    assert!(run_successfully(env.path(), &["keys", "list"]).contains("revoked"), "no migration is pending");
    env.service = Service::start(env.path());
    assert_eq!(status(&env, &key, &path).await, StatusCode::UNAUTHORIZED);
    env.service.kill();

    run_successfully(plain.path(), &["restore", "old.backup"]);
    env.directory = plain;
    let pending = printed(&env.cli(&["keys", "list"], ""));
    assert!(
        pending.contains(&format!("the database has schema 1 and this version needs {}", schema())),
        "{pending}"
    );
    env.service = Service::start(env.path());
    assert_eq!(status(&env, &key, &path).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restore_a_retry_is_replayed_or_runs_again() {
    let mut env = TestEnv::without_verification("").await;
    let bodies = ["before", "since"].map(|name| env.valid_body(name).to_string().into_bytes());
    let mut answers = Vec::new();
    for (name, body) in ["before", "since"].iter().zip(&bodies) {
        let headers = [("content-type", "application/json"), ("idempotency-key", name)];
        answers.push(env.send(Method::POST, COLLECTION, &headers, body.clone()).await);
        if *name == "before" {
            run_successfully(env.path(), &["backup", "it.backup"]);
        }
    }
    let place = directory_with_backup(&env, "it.backup");
    run_successfully(place.path(), &["restore", "it.backup"]);
    env.service.kill();
    env.directory = place;
    env.service = Service::start(env.path());
    for ((name, body), first) in ["before", "since"].iter().zip(&bodies).zip(&answers) {
        let headers = [("content-type", "application/json"), ("idempotency-key", name)];
        let again = env.send(Method::POST, COLLECTION, &headers, body.clone()).await;
        assert_eq!((first.status, again.status), (StatusCode::CREATED, StatusCode::CREATED), "{again:?}");
        assert_eq!(first.text == again.text, *name == "before", "{name}");
    }
    assert_eq!(env.connection_count(), 2);
}
