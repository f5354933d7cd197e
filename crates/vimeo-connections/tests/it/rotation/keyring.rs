//! `keyring`: what an operator does and sees.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::fixtures::{assert_decrypts, assert_refused, keys_of, reload, status};
use crate::support::backups::{
    DATABASE, KEYRING, create_connection, directory_with_backup, run_successfully,
};
use crate::support::harness::{TestEnv, printed, until};
use crate::support::installation::installation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_of_a_rotation_says_what_comes_next() {
    let env = TestEnv::without_verification("").await;
    create_connection(&env, "one").await;
    let directory = env.path();
    let old = keys_of(directory).remove(0);
    let shown = run_successfully(directory, &["keyring", "status"]);
    assert!(shown.contains(&old) && !shown.contains("Next"), "{shown}");
    assert_refused(
        directory,
        &["keyring", "retire", &old, "--yes"],
        "cannot be retired: it is the keyring's primary key",
    );
    assert_refused(
        directory,
        &["keyring", "retire", "k_0000000000000000", "--yes"],
        "neither the keyring nor the database",
    );

    let rotated = run_successfully(directory, &["keyring", "rotate"]);
    let new = keys_of(directory).remove(0);
    assert!(rotated.contains(&new) && rotated.contains("not in use yet"), "{rotated}");
    let shown = run_successfully(directory, &["keyring", "status"]);
    assert!(shown.contains(&format!("The primary key {new} is not in use yet")), "{shown}");
    assert_refused(directory, &["keyring", "retire", &old, "--yes"], "or the one that is in use");
    // Neither a new account nor a restart makes it active.
    run_successfully(directory, &["accounts", "create", "beside"]);
    let active = |key: &str| {
        let keys = status(directory);
        let found = keys.iter().find(|status| status["keyringKey"] == key).unwrap();
        (found["active"].as_bool().unwrap(), found["accounts"].as_u64().unwrap())
    };
    assert_eq!((active(&old), active(&new)), ((true, 2), (false, 0)));

    let rewrapped = run_successfully(directory, &["keyring", "rewrap"]);
    assert!(rewrapped.contains("accounts rewrapped: 2") && rewrapped.contains("retire"), "{rewrapped}");
    assert_eq!((active(&old), active(&new)), ((false, 0), (true, 2)));
    // The service reads its keyring again without a signal, because it lacks the key of its accounts.
    create_connection(&env, "two").await;
    until("the keyring was read again", async || env.log().contains("the keyring was read again")).await;
    let again = run_successfully(directory, &["keyring", "rewrap"]);
    assert!(again.contains("accounts rewrapped: 0"), "{again}");

    assert_refused(directory, &["keyring", "retire", &old], "keep a copy of the keyring file");
    run_successfully(directory, &["keyring", "retire", &old, "--yes"]);
    assert_eq!(keys_of(directory), [new.as_str()]);
    reload(&env);
    create_connection(&env, "three").await;
    assert_eq!(assert_decrypts(&env), 3);
    assert_refused(directory, &["keyring", "retire", &old, "--yes"], "neither the keyring nor the database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_from_before_a_rotation_is_restored_with_the_keyring_from_before() {
    let env = TestEnv::without_verification("").await;
    create_connection(&env, "one").await;
    let directory = env.path();
    let (before, old) = (fs::read(directory.join(KEYRING)).unwrap(), keys_of(directory).remove(0));
    run_successfully(directory, &["backup", "before.backup"]);
    run_successfully(directory, &["keyring", "rotate"]);
    run_successfully(directory, &["keyring", "rewrap"]);
    run_successfully(directory, &["backup", "after.backup"]);
    run_successfully(directory, &["keyring", "retire", &old, "--yes"]);
    for (backup, keyring, fits) in [
        ("before.backup", Some(&before), true),
        ("before.backup", None, false),
        ("after.backup", None, false),
    ] {
        let place = directory_with_backup(&env, backup);
        if let Some(keyring) = keyring {
            fs::write(place.path().join(KEYRING), keyring).unwrap();
        }
        if fits {
            run_successfully(place.path(), &["restore", backup]);
            let checked = run_successfully(place.path(), &["connections", "check"]);
            assert!(checked.contains("Connections decrypted: 1"), "{checked}");
        } else {
            // The one after rewrapping was made before the old key was retired.
            assert_refused(place.path(), &["restore", backup], &old);
            assert!(!place.path().join(DATABASE).exists());
        }
    }
    run_successfully(directory, &["backup", "retired.backup"]);
    let place = directory_with_backup(&env, "retired.backup");
    run_successfully(place.path(), &["restore", "retired.backup"]);
    run_successfully(place.path(), &["connections", "check"]);
}

/// A command in the wrong directory must not find that nothing needs the old key.
#[test]
fn a_database_that_does_not_exist_is_neither_rewrapped_nor_created() {
    let directory = installation("");
    run_successfully(directory.path(), &["keyring", "rotate"]);
    let keys = keys_of(directory.path());
    for arguments in
        [&["keyring", "rewrap"][..], &["keyring", "status"], &["keyring", "retire", &keys[1], "--yes"]]
    {
        assert_refused(directory.path(), arguments, "does not exist, or nothing is in it yet");
        assert!(!directory.path().join(DATABASE).exists(), "{arguments:?}");
    }
    assert_eq!(keys_of(directory.path()), keys);
}

/// What someone may do to the file by hand while the service runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keyring_that_cannot_be_used_is_reported_and_the_old_one_stays_in_use() {
    let env = TestEnv::without_verification("").await;
    create_connection(&env, "one").await;
    let path = env.path().join(KEYRING);
    let right = fs::read_to_string(&path).unwrap();
    let (id, key) = (keys_of(env.path()).remove(0), right.rsplit('"').nth(1).unwrap().to_owned());
    let cases = [
        (right.replace("primary = \"k_", "primary = \"k_0"), "(not a name)"),
        (right.replace(&key, &key[..30]), "is not the base64 of exactly 32 bytes"),
        (right.replace("[keys]", "keys"), "line 6 is damaged"),
        (format!("{right}{id} = \"{key}\"\n"), "no name is there twice"),
        (right.replace(&format!("{id} = "), "k_0123456789abcdef = "), "belongs to another key"),
        (String::new(), "no line `format`"),
    ];
    for (number, (text, phrase)) in cases.into_iter().enumerate() {
        fs::write(&path, &text).unwrap();
        env.service.signal("HUP");
        until(phrase, async || env.log().contains(phrase)).await;
        create_connection(&env, &format!("beside {number}")).await;
        let started = env.cli(&["accounts", "list"], "");
        assert!(printed(&started).contains(phrase), "{}", printed(&started));
        assert!(!printed(&started).contains(&key[..20]), "{}", printed(&started));
    }
    fs::remove_file(&path).unwrap();
    env.service.signal("HUP");
    until("it is gone", async || env.log().contains("there is no keyring file")).await;
    create_connection(&env, "beside no file").await;
    fs::write(&path, &right).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    reload(&env);
    assert!(!env.log().contains(&key[..20]), "no key is logged");
    assert_eq!(env.get("/health/ready").await.status, 200);
}
