//! `keys` on a remote service.

use std::fs::OpenOptions;

use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, TestEnv, printed};
use crate::support::remote_cli::RemoteUser;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_created_listed_renamed_rotated_and_revoked_over_http() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let arguments = ["keys", "create", "--name", "website", "--scopes", "connections:read,keys:manage"];
    let made = user.json(&arguments, "");
    assert_eq!(
        (text(&made, "account"), &made["scopes"]),
        (ACCOUNT, &json!(["connections:read", "keys:manage"]))
    );
    let other = RemoteUser::with(&env.url(""), text(&made, "key"));
    assert_eq!(other.json(&["connections", "list"], ""), json!([]));
    let (status, error) = other.error(&["jobs", "list"], "");
    assert!(status == Some(77) && error.contains("FORBIDDEN") && error.contains("uploads:read"), "{error}");

    let same = |arguments: &[&str]| {
        let remote = user.run(arguments, "");
        let local = env.cli(&[arguments, &["--account", ACCOUNT]].concat(), "");
        assert!(remote.status.success(), "{}", printed(&remote));
        printed(&remote) == printed(&local)
    };
    assert!(same(&["keys", "list", "--json"]), "{}", user.json(&["keys", "list"], ""));
    assert!(same(&["keys", "list"]), "{}", printed(&user.run(&["keys", "list"], "")));

    let renamed = user.json(&["keys", "rename", "website", "--to", "shop"], "");
    assert_eq!((&renamed["keyId"], text(&renamed, "name")), (&made["keyId"], "shop"));
    let rotated = user.json(&["keys", "rotate", "shop", "--overlap-seconds", "3600"], "");
    assert_eq!((&rotated["rotatedFrom"], &rotated["scopes"]), (&made["keyId"], &made["scopes"]));
    let shown = user.run(&["keys", "create"], "");
    assert!(
        printed(&shown).starts_with("pictai_") && printed(&shown).contains("shown only once"),
        "{shown:?}"
    );

    let revoked = user.json(&["keys", "revoke", text(&rotated, "keyId")], "");
    assert_eq!(revoked, json!({"keyId": rotated["keyId"], "status": "revoked"}));
    let (_, error) = user.error(&["keys", "revoke", &env.api_key], "");
    assert!(error.contains("that is a key") && !error.contains(&env.api_key), "{error}");
    let (status, error) = user.error(&["keys", "create", "--account", ACCOUNT], "");
    assert!(status == Some(2) && error.contains("the API key decides"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_could_not_be_printed_is_revoked() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let mut command = user.command(&["keys", "create", "--name", "lost", "--profile", "test"]);
    // It refuses every write, as a full disk does.
    command.stdout(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let keys = user.json(&["keys", "list"], "");
    let lost = keys.as_array().unwrap().iter().find(|key| key["name"] == "lost").unwrap();
    assert_eq!(lost["status"], "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pasted_key_is_inspected_and_revoked_without_being_shown() {
    let env = TestEnv::start().await;
    let user = RemoteUser::of(&env);
    let key = env.make_key(ACCOUNT, &["--name", "found"]);
    let about = user.run(&["keys", "inspect"], &key);
    let shown = printed(&about);
    assert!(about.status.success() && shown.contains("found (key_") && !shown.contains(&key), "{shown}");
    let revoked = user.run(&["keys", "inspect", "--revoke", "--json"], &format!("{key}\n"));
    let revoked: Value = serde_json::from_slice(&revoked.stdout).unwrap();
    assert_eq!((&revoked["status"], &revoked["name"]), (&json!("revoked"), &json!("found")));
    crate::support::harness::until("the key is refused", async || {
        user.run(&["keys", "inspect"], &key).status.code() == Some(1)
    })
    .await;
    let theirs = env.make_key("another", &["--name", "theirs"]);
    let (status, error) = user.error(&["keys", "inspect", "--revoke"], &theirs);
    assert!(status == Some(1) && error.contains("not revoked") && error.contains("another"), "{error}");
    assert!(user.run(&["keys", "inspect"], &theirs).status.success(), "it is valid");
    for nonsense in ["", "nonsense", "pictai_unknown-key"] {
        let output = user.run(&["keys", "inspect", "--json"], nonsense);
        assert_eq!(output.status.code(), Some(1), "{}", printed(&output));
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), json!({"known": false}));
    }
}
