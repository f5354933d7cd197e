//! `keys` on the command line: scopes, rename, rotate, inspect, and keys that are named.

use serde_json::Value;

use crate::support::harness::{TestEnv, printed, until};

fn answer(env: &TestEnv, arguments: &[&str], input: &str) -> Value {
    let output = env.cli(arguments, input);
    assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_refused(env: &TestEnv, arguments: &[&str], message: &str) {
    let refused = env.cli(arguments, "");
    assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", printed(&refused));
    assert!(printed(&refused).contains(message), "{}", printed(&refused));
}

async fn status(env: &TestEnv, key: &str) -> u16 {
    let headers = [("authorization", key)];
    env.send(reqwest::Method::GET, "/pictoryapis/v1/whoami", &headers, Vec::new()).await.status.as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_created_with_scopes_and_listed_with_them() {
    let env = TestEnv::without_verification("").await;
    let create = ["keys", "create", "--account", "acme", "--name", "ci", "--json", "--scopes"];
    let made = answer(&env, &[&create[..], &["audit:read,uploads:read"]].concat(), "");
    assert_eq!(made["scopes"], serde_json::json!(["uploads:read", "audit:read"]));
    assert_eq!(made["creator"], "operator");
    let table = printed(&env.cli(&["keys", "list"], ""));
    assert!(table.contains("uploads:read,audit:read"), "{table}");
    let refused = env.cli(&[&create[..], &["audit:write"]].concat(), "");
    assert_eq!(refused.status.code(), Some(2));
    assert!(printed(&refused).contains("must be one of connections:read"), "{}", printed(&refused));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_renamed_rotated_and_revoked_by_its_name() {
    let env = TestEnv::without_verification("").await;
    let made = answer(&env, &["keys", "create", "--account", "acme", "--name", "ci", "--json"], "");
    let renamed = answer(&env, &["keys", "rename", "ci", "--to", "build", "--json"], "");
    assert_eq!((&renamed["keyId"], renamed["name"].as_str()), (&made["keyId"], Some("build")));
    assert_refused(&env, &["keys", "revoke", "ci"], "no key has the ID or name ci");
    let rotated = answer(&env, &["keys", "rotate", "build", "--overlap-seconds", "3600", "--json"], "");
    assert_eq!(rotated["rotatedFrom"], made["keyId"]);
    assert_refused(&env, &["keys", "revoke", "build"], "several keys are called build: ");
    let by_id = rotated["keyId"].as_str().unwrap();
    let again = answer(&env, &["keys", "rotate", by_id, "--overlap-seconds", "0", "--json"], "");
    let old = rotated["key"].as_str().unwrap();
    until("the rotated key is refused", async || status(&env, old).await == 401).await;
    assert_eq!(status(&env, made["key"].as_str().unwrap()).await, 200, "its predecessor has time left");
    assert_refused(&env, &["keys", "rotate", by_id], "is expired or revoked, and cannot be rotated");
    let first = made["keyId"].as_str().unwrap();
    answer(&env, &["keys", "revoke", first, "--json"], "");
    // Of several keys with the name only one is active now.
    let revoked = answer(&env, &["keys", "revoke", "build", "--json"], "");
    assert_eq!(revoked["keyId"], again["keyId"]);
    let last = again["key"].as_str().unwrap();
    until("the revoked key is refused", async || status(&env, last).await == 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_two_accounts_use_needs_the_account() {
    let env = TestEnv::without_verification("").await;
    env.make_key("another", &["--name", "shared"]);
    env.make_key("acme", &["--name", "shared"]);
    assert_refused(&env, &["keys", "rename", "shared", "--to", "x"], "several keys are called shared: ");
    let renamed =
        answer(&env, &["keys", "rename", "shared", "--account", "another", "--to", "x", "--json"], "");
    assert_eq!((renamed["account"].as_str(), renamed["name"].as_str()), (Some("another"), Some("x")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pasted_text_is_recognised_as_a_key_and_revoked() {
    let env = TestEnv::without_verification("api_keys.allow_weak = true\n").await;
    let key = env.make_key("acme", &["--name", "leaked", "--scopes", "audit:read"]);
    let inspect = |input: &str| {
        let output = env.cli(&["keys", "inspect", "--json"], input);
        assert!(!printed(&output).contains(input.trim()), "the key is not printed");
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (code, about) = inspect(&format!("  {key}\n"));
    assert_eq!(
        (code, &about["known"], about["form"].as_str()),
        (Some(0), &Value::Bool(true), Some("valid checksum"))
    );
    assert_eq!((about["name"].as_str(), about["account"].as_str()), (Some("leaked"), Some("acme")));
    let (code, header) = inspect(&format!("authorization: Bearer {key}\r\n"));
    assert_eq!((code, &header), (Some(0), &about));
    assert_eq!(status(&env, &key).await, 200, "inspecting changes nothing");
    let mut mistyped = key.clone();
    let last = mistyped.pop().unwrap();
    mistyped.push(if last == 'a' { 'b' } else { 'a' });
    for (text, form) in [
        (&*mistyped, "without checksum"),
        ("pictai_0000000000000000000000000000000000000000000ABCDEF", "without checksum"),
        ("ghp_notakeyofthisservice", "not a key"),
    ] {
        let (code, about) = inspect(text);
        assert_eq!(
            (code, &about["known"], about["form"].as_str()),
            (Some(1), &Value::Bool(false), Some(form))
        );
    }
    // Made by another installation.
    let foreign = TestEnv::without_verification("").await;
    let (code, about) = inspect(&foreign.make_key("acme", &[]));
    assert_eq!((code, about["form"].as_str()), (Some(1), Some("valid checksum")));
    let revoked = env.cli(&["keys", "inspect", "--revoke"], &key);
    assert!(revoked.status.success() && printed(&revoked).contains("revoked"), "{}", printed(&revoked));
    until("the key is refused", async || status(&env, &key).await == 401).await;
}
