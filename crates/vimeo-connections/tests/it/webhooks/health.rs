//! The account and the operator hear that a connection broke, and that it has recovered.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, EnvOptions, TestEnv, printed};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};
use crate::support::webhooks::{DELIVERIES, Message, Receiver, create, items, path};

const OPERATOR_SECRET: &str = "whsec_b3BlcmF0b3Itc2VjcmV0LW9mLXRoZS10ZXN0cw==";

/// A file with the operator's secret, and the configuration of its endpoint.
fn operator(url: &str) -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), OPERATOR_SECRET).unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o600)).unwrap();
    let config = format!(
        "webhooks.operator_url = {url:?}\nwebhooks.operator_secret_file = {:?}\n",
        file.path().to_str().unwrap()
    );
    (file, config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_pauses_when_its_token_is_revoked_and_the_account_hears_of_it_and_of_the_recovery() {
    let receiver = Receiver::start(204).await;
    let options =
        EnvOptions { config: CONFIG.to_owned(), sandbox: Some(fast_sandbox()), ..EnvOptions::default() };
    let uploads = UploadEnv::with_options(options).await;
    let env = &uploads.env;
    let events = ["connection.unhealthy", "connection.recovered", "upload.completed"];
    let endpoint = create(env, &json!({"url": receiver.url, "events": events})).await;
    env.change_token(json!({"revoked": true})).await;
    let id = uploads.submit(1_000).await;
    let broke = receiver.wait_for(1).await.remove(0);
    let data = &broke.json()["data"];
    assert_eq!(broke.event(), "connection.unhealthy");
    assert!(uploads.connection.ends_with(data["connectionId"].as_str().unwrap()), "{data}");
    assert_eq!(
        (&data["name"], &data["status"], &data["previousStatus"], &data["problem"]["code"]),
        (&json!("Vimeo"), &json!("unhealthy"), &json!("healthy"), &json!("TOKEN_REJECTED"))
    );
    assert_eq!(data["since"], env.health(&uploads.connection).await["since"]);
    uploads.until(&id, |job| job["data"]["waitingFor"] == "connection-unhealthy").await;
    let replaced = env.replace_token(&uploads.connection, 1, &env.new_token().await).await;
    assert_eq!(replaced.status, 200, "{}", replaced.text);
    uploads.assert_one_video(&uploads.wait_for_end(&id).await, 1_000).await;
    let webhooks = receiver.wait_for(3).await;
    let mut types: Vec<_> = webhooks.iter().map(Message::event).collect();
    types.sort();
    assert_eq!(types, ["connection.recovered", "connection.unhealthy", "upload.completed"]);
    let recovered = webhooks.iter().find(|webhook| webhook.event() == "connection.recovered").unwrap().json();
    assert_eq!(recovered["data"]["problem"], Value::Null, "{recovered}");
    for webhook in &webhooks {
        assert!(webhook.is_signed_with(endpoint["secret"].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_operator_hears_of_the_connections_of_all_accounts() {
    let (theirs, ours) = (Receiver::start(204).await, Receiver::start(204).await);
    let (_file, operator) = operator(&ours.url);
    let env =
        TestEnv::with(EnvOptions { config: format!("{CONFIG}{operator}"), ..EnvOptions::default() }).await;
    let endpoint = create(&env, &json!({"url": theirs.url, "events": ["connection.unhealthy"]})).await;
    let connection = env.connect("Vimeo").await;
    env.change_token(json!({"revoked": true})).await;
    assert_eq!(env.verified(&connection).await["status"], "unhealthy");
    let (for_us, for_them) = (ours.wait_for(1).await.remove(0), theirs.wait_for(1).await.remove(0));
    assert!(for_us.is_signed_with(OPERATOR_SECRET));
    assert_eq!(for_us.id(), for_them.id(), "one event");
    assert_eq!(for_us.json()["account"]["name"], ACCOUNT);
    assert_eq!(for_us.json()["data"], for_them.json()["data"]);
    assert_eq!(for_them.json()["account"], Value::Null, "for the operator alone");
    // Also what a command finds.
    env.change_token(json!({"revoked": false})).await;
    let verified = env.cli(&["connections", "verify", "Vimeo", "--account", ACCOUNT], "");
    assert!(verified.status.success(), "{}", printed(&verified));
    let recovered = ours.wait_for(2).await.remove(1);
    assert_eq!(recovered.event(), "connection.recovered");
    // The account sees its own delivery alone.
    let shown = items(&env, DELIVERIES).await;
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_eq!(items(&env, &format!("{}/deliveries", path(&endpoint))).await, shown);
    let log = env.log();
    assert!(!log.contains("canary-endpoint-token") && !log.contains(OPERATOR_SECRET), "it is in the log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_operator_endpoint_is_reported_before_the_start() {
    let env = TestEnv::start().await;
    let path = env.path().join("vimeo-connections.toml");
    let config = fs::read_to_string(&path).unwrap();
    for (lines, expected) in [
        ("webhooks.operator_url = \"https://hooks.example/x\"\n", "webhooks.operator_secret_file"),
        ("webhooks.operator_secret_file = \"absent\"\n", "webhooks.operator_url"),
        (
            "webhooks.operator_url = \"https://hooks.example/x\"\nwebhooks.operator_secret_file = \"absent\"\n",
            "absent",
        ),
        (
            "webhooks.operator_url = \"http://127.0.0.1/x\"\nwebhooks.operator_secret_file = \"absent\"\n",
            "absent",
        ),
    ] {
        fs::write(&path, format!("{lines}{config}")).unwrap();
        let checked = env.cli(&["config", "check"], "");
        assert!(!checked.status.success(), "{lines}");
        assert!(printed(&checked).contains(expected), "{expected}: {}", printed(&checked));
        assert!(
            !printed(&checked).contains("hooks.example"),
            "the URL may be a secret: {}",
            printed(&checked)
        );
    }
}
