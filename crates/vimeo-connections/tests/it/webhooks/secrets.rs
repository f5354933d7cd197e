//! No secret of an endpoint is in a file, a log line or a response.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::support::canaries::Canaries;
use crate::support::webhooks::{DELIVERIES, Receiver, create, env_with, items, path};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_an_endpoint_is_stored_unsealed_or_logged() {
    let env = env_with("").await;
    let receiver = Receiver::start(500).await;
    let body = json!({"url": receiver.url, "description": "canary-endpoint-description"});
    let created = create(&env, &body).await;
    let secret = created["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap().to_owned();
    env.post(&env.valid_body("c")).await;
    receiver.wait_for(2).await;
    let bytes = STANDARD.decode(&secret).unwrap();
    let canaries = Canaries::of(&[
        ("the URL", b"canary-endpoint-token"),
        ("the description", b"canary-endpoint-description"),
        ("the secret", secret.as_bytes()),
        ("the bytes of the secret", &bytes),
    ]);
    let keyring = env.path().join("vimeo-connections.keyring");
    let found = canaries.in_files(env.path(), &[&keyring]);
    assert!(found.is_empty(), "{found:#?}");
    assert!(canaries.in_bytes(env.log().as_bytes()).is_empty(), "{}", env.log());
    for list in [DELIVERIES.to_owned(), format!("{}/deliveries", path(&created))] {
        let listed = items(&env, &list).await;
        assert!(canaries.in_bytes(json!(listed).to_string().as_bytes()).is_empty(), "{listed:?}");
    }
    let shown = env.get(&path(&created)).await.text;
    assert!(!shown.contains(&secret), "{shown}");
}
