//! Backups: complete, consistent while the service writes, and rejected if damaged or foreign.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, StatusCode};
use rusqlite::Connection;
use serde_json::json;

use crate::support::backups::{
    DATABASE, KEYRING, assert_prints, assert_refused, create_connection, directory_with_backup,
    run_successfully, snapshot,
};
use crate::support::canaries::{Canaries, files};
use crate::support::create_load::{CreateLoad, assert_shown, assert_whole};
use crate::support::failing_disk::failing_disk;
use crate::support::harness::{COLLECTION, Service, TestEnv, binary, cli, printed, run, schema};
use crate::support::keyring::keyring_key;

/// Both `restore` and `restore --check` reject the file.
fn assert_no_backup(directory: &Path, file: &str, sentence: &str) {
    for arguments in
        [&["restore", file][..], &["restore", "--revoke-keys", file], &["restore", "--check", file]]
    {
        assert_refused(directory, arguments, sentence);
    }
    assert!(!directory.join("data").exists());
}

/// A well-formed backup of any database.
fn container(format: u32, schema: u32, keys: &str, database: &[u8]) -> Vec<u8> {
    let hex = |bytes: &[u8]| {
        let hash = digest(&SHA256, bytes);
        let digits: Vec<_> = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    };
    let printed = format!(
        "vimeo-connections-backup format={format} schema={schema} made_at=2026-01-31T09:05:00.042Z \
         keyring_keys={keys} bytes={} sha256={}",
        database.len(),
        hex(database)
    );
    [format!("{printed} check={}\n", hex(printed.as_bytes())).as_bytes(), database].concat()
}

/// The first line of a backup, and its database.
fn parts(backup: &[u8]) -> (String, &[u8]) {
    let end = backup.iter().position(|byte| *byte == b'\n').unwrap();
    (String::from_utf8(backup[..end].to_vec()).unwrap(), &backup[end + 1..])
}

fn value(line: &str, name: &str) -> String {
    line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_has_every_write_acknowledged_before_it() {
    let mut env = TestEnv::without_verification("").await;
    let load = CreateLoad::start(&env, "busy", 32, 200);
    load.reach().await;
    let before = load.acknowledged();
    let text = run_successfully(env.path(), &["backup", "busy.backup"]);
    let (mut acknowledged_creates, refusals) = load.finish().await;
    assert!(refusals.is_empty(), "{refusals:?}");
    assert_whole(&env, &acknowledged_creates);
    acknowledged_creates.truncate(before);

    let backup = fs::read(env.path().join("busy.backup")).unwrap();
    let (line, database) = parts(&backup);
    let key = value(&line, "keyring_keys");
    assert!(fs::read_to_string(env.path().join(KEYRING)).unwrap().contains(&format!("primary = \"{key}\"")));
    assert_eq!((value(&line, "format"), value(&line, "schema")), ("1".to_owned(), schema().to_string()));
    assert_eq!(value(&line, "bytes"), database.len().to_string());
    assert!(
        text.starts_with("Created the backup busy.backup: ") && text.contains(&value(&line, "made_at")),
        "{text}"
    );
    assert!(text.contains(&format!("the keyring with the key {key}, which it does not contain")), "{text}");
    let mode = fs::metadata(env.path().join("busy.backup")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let left: Vec<_> =
        files(env.path()).into_iter().filter(|file| file.to_str().unwrap().contains(".partial")).collect();
    assert!(left.is_empty(), "{left:?}");

    let place = directory_with_backup(&env, "busy.backup");
    assert!(run_successfully(place.path(), &["restore", "--check", "busy.backup"]).contains("is valid"));
    assert!(!place.path().join("data").exists());
    let text = run_successfully(place.path(), &["restore", "busy.backup"]);
    assert!(text.starts_with("Restored the backup busy.backup of "), "{text}");
    let modes =
        ["data", DATABASE].map(|path| fs::metadata(place.path().join(path)).unwrap().permissions().mode());
    assert_eq!(modes.map(|mode| mode & 0o777), [0o700, 0o600]);
    assert_eq!(fs::read(place.path().join(DATABASE)).unwrap(), database);
    assert_eq!(files(&place.path().join("data")), [place.path().join(DATABASE)]);

    env.service.kill();
    env.directory = place;
    assert_whole(&env, &acknowledged_creates);
    env.service = Service::start(env.path());
    assert_shown(&env, &acknowledged_creates).await;
    create_connection(&env, "afterwards").await;
    // The service runs on this database now.
    let refused = cli(env.path(), &["restore", "busy.backup"], "");
    assert!(
        printed(&refused).contains("a backup never overwrites it. Nothing was changed. Stop the service")
    );
    assert_eq!(env.connection_count(), promises_stored(&backup) + 1);
}

/// The number of connections in a backup.
fn promises_stored(backup: &[u8]) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("it.db");
    fs::write(&file, parts(backup).1).unwrap();
    Connection::open(file)
        .unwrap()
        .query_row("SELECT count(*) FROM connections", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offline_backup_includes_the_wal_and_changes_no_file() {
    let mut env = TestEnv::without_verification("").await;
    create_connection(&env, "in the WAL").await;
    env.service.kill();
    // A backup does not need the keyring either.
    fs::rename(env.path().join(KEYRING), env.path().join("elsewhere.keyring")).unwrap();
    let before = snapshot(&env.path().join("data"));
    let log = env.path().join(format!("{DATABASE}-wal"));
    assert!(!before[&log].0.is_empty(), "a crash leaves a WAL");
    run_successfully(env.path(), &["backup", "crashed.backup"]);
    assert!(snapshot(&env.path().join("data")) == before);
    let text = run_successfully(env.path(), &["restore", "--check", "crashed.backup"]);
    assert!(text.contains("There is no keyring to check it against"), "{text}");
    fs::rename(env.path().join("elsewhere.keyring"), env.path().join(KEYRING)).unwrap();
    env.service = Service::start(env.path());
    assert_eq!(env.service.terminate(), Some(0));
    let before = snapshot(&env.path().join("data"));
    run_successfully(env.path(), &["backup", "stopped.backup"]);
    assert!(snapshot(&env.path().join("data")) == before && before.len() == 1);
    let [crashed, stopped] =
        ["crashed.backup", "stopped.backup"].map(|file| fs::read(env.path().join(file)).unwrap());
    assert_eq!((promises_stored(&crashed), promises_stored(&stopped)), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_has_no_plain_secret_and_no_deleted_data() {
    let env = TestEnv::without_verification("").await;
    let (secret, token) = ("Canary-Client-Secret-0123456789", "Canary-Access-Token-0123456789");
    let mut body = env.valid_body("kept");
    (body["clientSecret"], body["accessToken"]) = (json!(secret), json!(token));
    assert_eq!(env.post(&body).await.status, StatusCode::CREATED);
    let deleted_connection = create_connection(&env, "the name of a deleted connection").await;
    let sealed: (Vec<u8>, Vec<u8>) = env
        .database()
        .query_row(
            "SELECT wrapped_key, envelope FROM connections JOIN sealing_keys USING (sealing_key_id)
             WHERE connection_id = ?1",
            [deleted_connection["connectionId"].as_str().unwrap()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let key = keyring_key(env.path());
    let deleted: Vec<_> =
        sealed.0.windows(16).chain(sealed.1.windows(16)).map(|piece| ("deleted", piece)).collect();
    let raw = STANDARD.decode(&key).unwrap();
    let secrets: [(&str, &[u8]); 6] = [
        ("secret", secret.as_bytes()),
        ("token", token.as_bytes()),
        ("api key", env.api_key.as_bytes()),
        ("keyring text", key.as_bytes()),
        ("keyring", &raw),
        ("name", b"the name of a deleted connection"),
    ];
    let secrets = Canaries::of(&[&secrets[..], &deleted].concat());
    run_successfully(env.path(), &["backup", "before.backup"]);
    let found = secrets.in_bytes(&fs::read(env.path().join("before.backup")).unwrap());
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["deleted", "name"], "the search finds what is there");
    let path = format!("{COLLECTION}/{}", deleted_connection["connectionId"].as_str().unwrap());
    assert_eq!(env.send(Method::DELETE, &path, &[], Vec::new()).await.status, StatusCode::NO_CONTENT);
    let text = run_successfully(env.path(), &["backup", "after.backup"]);
    let found = secrets.in_bytes(&fs::read(env.path().join("after.backup")).unwrap());
    assert!(found.is_empty(), "{found:?}");
    assert!(secrets.in_bytes(text.as_bytes()).is_empty(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_never_overwrites_and_is_complete_or_absent() {
    let env = TestEnv::without_verification("").await;
    create_connection(&env, "it").await;
    let sentence = "exists already, and a backup never overwrites a file: give another name";
    for taken in ["vimeo-connections.toml", "data", DATABASE] {
        assert_refused(env.path(), &["backup", taken], &format!("{taken} {sentence}"));
    }
    std::os::unix::fs::symlink("nowhere", env.path().join("link")).unwrap();
    assert_refused_beside(&env, &["backup", "link"], &format!("link {sentence}"));
    for (target, why) in [
        ("none/it.backup", "No such file or directory (os error 2)"),
        ("/proc/it.backup", "No such file or directory (os error 2)"),
    ] {
        let sentence = format!("the backup {target} could not be made: {why}. No file was created");
        assert_refused_beside(&env, &["backup", target], &sentence);
    }
    let library = failing_disk(env.path());
    for (trigger, why) in [("backup-disk-full", "database or disk is full"), ("sync-fails", "disk I/O error")]
    {
        // The service keeps running: the failing calls are those of the command.
        fs::write(env.path().join(trigger), "").unwrap();
        let mut command = binary(env.path());
        command.env("LD_PRELOAD", &library).args(["backup", "it.backup"]);
        let output = command.output().unwrap();
        assert_prints(
            &output,
            &format!("the backup it.backup could not be made: {why}. No file was created"),
        );
        fs::remove_file(env.path().join(trigger)).unwrap();
        let names: Vec<_> = files(env.path())
            .into_iter()
            .filter(|file| {
                file.to_str().unwrap().contains("backup") || file.to_str().unwrap().contains("partial")
            })
            .collect();
        assert!(names.is_empty(), "{names:?}");
    }
    create_connection(&env, "still").await;
    run_successfully(env.path(), &["backup", "it.backup"]);
    let sentence = "a backup is created completely or not at all, which standard output cannot guarantee. Pass a file \
                    name, and copy the file from there";
    assert_refused(env.path(), &["backup", "-"], sentence);
    let nothing = tempfile::tempdir().unwrap();
    let sentence = "there is no database at ./data/vimeo-connections.db, so there is nothing to back up: database_url \
                    says where it is";
    assert_refused(nothing.path(), &["backup", "it.backup"], sentence);
}

/// The snapshot of all files cannot read a dangling link, so this compares the data directory only.
fn assert_refused_beside(env: &TestEnv, arguments: &[&str], sentence: &str) {
    let before = snapshot(&env.path().join("data"));
    assert_prints(&run(env.path(), &[], arguments), sentence);
    assert!(snapshot(&env.path().join("data")) == before);
    let _ = fs::remove_file(env.path().join("link"));
}

/// A directory with a keyring and a valid backup, and the bytes of the backup.
async fn good_backup() -> (tempfile::TempDir, Vec<u8>) {
    let env = TestEnv::without_verification("").await;
    create_connection(&env, "it").await;
    run_successfully(env.path(), &["backup", "it.backup"]);
    let place = directory_with_backup(&env, "it.backup");
    let bytes = fs::read(place.path().join("it.backup")).unwrap();
    (place, bytes)
}

fn assert_bytes_refused(place: &tempfile::TempDir, bytes: &[u8], sentence: &str) {
    fs::write(place.path().join("bad"), bytes).unwrap();
    assert_no_backup(place.path(), "bad", sentence);
}

fn damaged(what: &str) -> String {
    format!("the backup bad is damaged: {what}. Nothing was changed; use another backup")
}

const FOREIGN: &str = "bad is not a backup that `vimeo-connections backup` made, or it is damaged from its first byte \
                       on. Nothing was changed";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_backup_is_rejected() {
    let (place, right) = good_backup().await;
    let (line, database) = parts(&right);
    let start = line.len() + 1;
    let in_line = damaged("its first line is not as it was written");
    let in_database = damaged("its bytes are not those that were written (SHA-256)");
    for (at, sentence) in [
        (0, FOREIGN),
        (20, FOREIGN),
        (line.find("schema").unwrap() + 7, &in_line),
        (line.find("made_at").unwrap() + 10, &in_line),
        (line.find("keyring_keys").unwrap() + 15, &in_line),
        (line.find("bytes=").unwrap() + 6, &in_line),
        (line.find("sha256").unwrap() + 9, &in_line),
        (line.len() - 1, &in_line),
        (line.len(), &in_line),
        (start, &in_database),
        (start + 18, &in_database),
        (start + 5000, &in_database),
        (start + database.len() / 2, &in_database),
        (right.len() - 1, &in_database),
    ] {
        let mut bytes = right.clone();
        bytes[at] ^= 1;
        assert_bytes_refused(&place, &bytes, sentence);
    }
    assert_bytes_refused(&place, &right[..10], FOREIGN);
    assert_bytes_refused(&place, &right[..start - 1], &in_line);
    for cut in [start, start + 1, start + 4096, right.len() / 2, right.len() - 4096, right.len() - 1] {
        let sentence = damaged(&format!("it is truncated: it has {cut} of {} bytes", right.len()));
        assert_bytes_refused(&place, &right[..cut], &sentence);
    }
    assert_bytes_refused(&place, &[&right[..], b"\n"].concat(), &damaged("1 bytes were appended to it"));
    run_successfully(place.path(), &["restore", "it.backup"]);
    assert_eq!(fs::read(place.path().join(DATABASE)).unwrap(), database);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_file_is_not_accepted_as_a_backup() {
    let (place, right) = good_backup().await;
    let database = parts(&right).1;
    let theirs = place.path().join("theirs");
    Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let theirs = fs::read(theirs).unwrap();
    for bytes in [&b""[..], b"hello", b"\n", &[0; 8192], &theirs, database, &right[1..]] {
        assert_bytes_refused(&place, bytes, FOREIGN);
    }
    fs::remove_file(place.path().join("bad")).unwrap();
    let sentence = |why: &str| format!("the backup bad cannot be read: {why}. Nothing was changed");
    assert_no_backup(place.path(), "bad", &sentence("No such file or directory (os error 2)"));
    fs::create_dir(place.path().join("bad")).unwrap();
    assert_no_backup(place.path(), "bad", &sentence("it is a directory"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_valid_hash_does_not_make_a_bad_or_newer_backup_usable() {
    let (place, right) = good_backup().await;
    let (line, database) = parts(&right);
    let keys = value(&line, "keyring_keys");
    let theirs = place.path().join("theirs");
    Connection::open(&theirs).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    for other in [fs::read(theirs).unwrap(), vec![b'x'; 8192]] {
        assert_bytes_refused(&place, &container(1, 2, &keys, &other), FOREIGN);
    }
    let mixed_up = damaged("its first line and its database do not belong together");
    assert_bytes_refused(&place, &container(1, 1, &keys, database), &mixed_up);
    assert_bytes_refused(&place, &container(1, 2, "k_other", database), &mixed_up);
    let newer = "it was made by a newer version, which can restore it. Nothing was changed";
    let sentence = format!("the backup bad has format 2, and this version supports format 1: {newer}");
    assert_bytes_refused(&place, &container(2, 2, &keys, database), &sentence);
    let mine = place.path().join("mine.db");
    fs::write(&mine, database).unwrap();
    Connection::open(&mine)
        .unwrap()
        .execute("INSERT INTO schema_migrations VALUES (900, 'future', 900, 1)", [])
        .unwrap();
    let sentence = format!(
        "the backup bad has schema 900, which needs a version of schema 900 at least; this version has schema {}: {newer}",
        schema()
    );
    assert_bytes_refused(&place, &container(1, 900, &keys, &fs::read(&mine).unwrap()), &sentence);
    // A newer schema that allows this version is as valid for a restore as for `serve`.
    Connection::open(&mine)
        .unwrap()
        .execute("UPDATE schema_migrations SET lowest_application_schema = 1", [])
        .unwrap();
    fs::write(place.path().join("open"), container(1, 900, &keys, &fs::read(&mine).unwrap())).unwrap();
    assert!(run_successfully(place.path(), &["restore", "--check", "open"]).contains("schema 900"));
    let mut broken = database.to_vec();
    broken[4096..12_288].fill(0xff);
    fs::write(place.path().join("bad"), container(1, 2, &keys, &broken)).unwrap();
    let output = run(place.path(), &[], &["restore", "bad"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(printed(&output).contains("the backup bad is damaged: "), "{}", printed(&output));
    assert!(!place.path().join("data").exists());
}
