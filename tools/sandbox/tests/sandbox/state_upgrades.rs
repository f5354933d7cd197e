//! State files of earlier versions of the sandbox, and what this version adds to them.

use std::fs;
use std::path::Path;

use sandbox::Options;
use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

async fn start(state_file: &Path) -> TestSandbox {
    TestSandbox::with(Options { state_file: Some(state_file.to_owned()), ..Options::default() }).await
}

/// What the controls show of the first user, its app and its token.
async fn shown(sandbox: &TestSandbox) -> [Value; 3] {
    let first = async |what: &str| sandbox.control("GET", what, &Value::Null).await.json()[what][0].clone();
    let mut shown = [first("users").await, first("apps").await, first("tokens").await];
    for count in ["requests", "refused_429", "last_request_at"] {
        shown[2].as_object_mut().unwrap().remove(count).unwrap();
    }
    shown
}

/// Sets everything that format 2 did not have at first.
async fn change_all(sandbox: &TestSandbox) {
    sandbox
        .change_owner(json!({
            "requests_per_minute": 1000,
            "allowed_privacies": ["anybody"],
            "shows_allowed_privacies": false,
            "cold_privacy": true,
            "quota": {"lifetime": {"max": 100}, "restricted": {"max": 50, "used": 2}},
        }))
        .await;
    let change = json!({"client_secret_rotated": true, "deleted": true});
    assert_eq!(sandbox.control("PATCH", "apps/240001", &change).await.status, 200);
    let [_, _, token] = shown(sandbox).await;
    let path = format!("tokens/{}", token["fingerprint"].as_str().unwrap());
    let change = json!({"scopes": "public", "expired": true, "revoked": true});
    assert_eq!(sandbox.control("PATCH", &path, &change).await.status, 200);
}

#[tokio::test]
async fn new_members_of_the_state_survive_a_restart_and_are_reset() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let sandbox = start(&file).await;
    let secret = sandbox.running.client_secret.clone();
    let before = shown(&sandbox).await;
    change_all(&sandbox).await;
    let changed = shown(&sandbox).await;
    for (before, changed) in before.iter().zip(&changed) {
        assert_ne!(before, changed);
    }
    sandbox.running.stop().await;

    let sandbox = start(&file).await;
    assert_eq!(shown(&sandbox).await, changed);
    assert_eq!(sandbox.running.client_secret, changed[1]["client_secret"].as_str().unwrap());
    sandbox.control("PATCH", "apps/240001", &json!({"deleted": false})).await;
    // The old secret is still known as such.
    assert_eq!(sandbox.grant(&sandbox.running.client_id, &secret).await.code(), 8001);
    sandbox.control("POST", "reset", &Value::Null).await;
    assert_eq!(shown(&sandbox).await, before);
    assert_eq!(sandbox.grant(&sandbox.running.client_id, &secret).await.status, 200);
    sandbox.running.stop().await;
    assert_eq!(shown(&start(&file).await).await, before);
}

#[tokio::test]
async fn a_state_file_without_the_new_members_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("state.json");
    let sandbox = start(&file).await;
    let before = shown(&sandbox).await;
    let video = sandbox.placeholder(json!({})).await;
    let thumbnail =
        sandbox.call("POST", &format!("{video}/pictures"), &json!({"time": 1, "active": true})).await;
    assert_eq!(thumbnail.status, 201);
    let state = fs::read_to_string(&file).unwrap();
    sandbox.running.stop().await;

    let (head, state) = state.split_once('\n').unwrap();
    let mut state: Value = serde_json::from_str(state).unwrap();
    for part in ["first_world", "world"] {
        let part = &mut state[part];
        for user in part["users"].as_object_mut().unwrap().values_mut() {
            for name in ["requests_per_minute", "allowed_privacies", "has_cold_privacy", "refused_features"] {
                user.as_object_mut().unwrap().remove(name).unwrap();
            }
            user["quota"].as_object_mut().unwrap().remove("restricted").unwrap();
        }
        for app in part["apps"].as_object_mut().unwrap().values_mut() {
            for name in ["is_deleted", "retired_secrets"] {
                app.as_object_mut().unwrap().remove(name).unwrap();
            }
        }
        for name in ["showcases", "settings"] {
            part.as_object_mut().unwrap().remove(name).unwrap();
        }
        for video in part["videos"].as_object_mut().unwrap().values_mut() {
            for name in ["text_tracks", "tags", "chapters", "view_changes"] {
                video.as_object_mut().unwrap().remove(name).unwrap();
            }
            video["pictures"][0].as_object_mut().unwrap().remove("image").unwrap();
        }
        // Never in the file: derived from the value.
        assert!(part["tokens"].as_object().unwrap().values().all(|token| token.get("fingerprint").is_none()));
    }
    fs::write(&file, format!("{head}\n{state}\n")).unwrap();

    let sandbox = start(&file).await;
    let after = shown(&sandbox).await;
    assert_eq!((&after[1], &after[2]), (&before[1], &before[2]));
    assert_eq!(after[0]["videos"], 1);
    let shown = sandbox.request("GET", &video).await.json();
    let pictures = sandbox.call("GET", &format!("{video}/pictures"), &Value::Null).await.json();
    assert_eq!(pictures["data"][0], thumbnail.json());
    // What they did not have can be added.
    sandbox.make_track(&video, "captions", "en").await;
    assert_eq!(sandbox.call("POST", "/me/albums", &json!({"name": "Films"})).await.status, 201);
    assert!(shown["allowed_privacies"].is_array() && shown["is_cold_privacy_restricted"] == false);
}
