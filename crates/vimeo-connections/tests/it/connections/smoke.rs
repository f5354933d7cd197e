//! Smoke test: a connection is created, verified and sealed, and is still there after a restart.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::harness::{COLLECTION, TestEnv, printed};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_created_found_and_survives_a_restart() {
    let mut env = TestEnv::start().await;
    let created = env.post(&env.valid_body("Test Vimeo Connection")).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    let id = created.json()["connectionId"].as_str().unwrap().to_owned();
    assert_eq!(
        created.text,
        format!(
            "{{\"name\":\"Test Vimeo Connection\",\"description\":\"Testing Vimeo connection via API\",\"enabled\":true,\
             \"clientIdentifier\":\"{}\",\"connectionId\":\"{id}\",\"version\":1}}",
            env.sandbox.client_id
        )
    );
    assert_eq!(created.header("location"), format!("{COLLECTION}/{id}"));
    assert!(env.stray_tokens().await.is_empty());

    let found = env.get(&format!("{COLLECTION}/{id}")).await;
    assert_eq!(found.status, StatusCode::OK);
    let stamp = found.json()["createdDate"].as_str().unwrap().to_owned();
    let digits: String = stamp.chars().filter(char::is_ascii_digit).collect();
    assert_eq!(digits, id[..17], "the time in the identifier is the creation date");
    assert_eq!(
        found.text,
        format!(
            "{{\"connectionId\":\"{id}\",\"name\":\"Test Vimeo Connection\",\
             \"description\":\"Testing Vimeo connection via API\",\"clientIdentifier\":\"{}\",\"type\":\"VIMEO\",\
             \"enabled\":true,\"createdDate\":\"{stamp}\",\"updatedDate\":\"{stamp}\",\"version\":1}}",
            env.sandbox.client_id
        )
    );

    env.kill_and_restart();
    let again = env.get(&format!("{COLLECTION}/{id}")).await;
    assert_eq!(again.text, found.text);
    assert_eq!(printed(&env.cli(&["connections", "check"], "")), "Connections decrypted: 1 (accounts: 1).\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_omitted_description_is_not_returned() {
    let env = TestEnv::start().await;
    for (number, description) in [json!(null), json!("")].into_iter().enumerate() {
        let mut body = env.valid_body(&format!("none {number}"));
        body["description"] = description;
        let created = env.post(&body).await;
        assert_eq!(created.status, StatusCode::CREATED);
        assert!(created.json().get("description").is_none(), "{}", created.text);
        let path = format!("{COLLECTION}/{}", created.json()["connectionId"].as_str().unwrap());
        assert!(env.get(&path).await.json().get("description").is_none());
    }
}
