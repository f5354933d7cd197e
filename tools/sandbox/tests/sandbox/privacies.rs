use sandbox::Plan;
use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

const ALL: [&str; 7] = ["anybody", "nobody", "password", "unlisted", "disable", "users", "contacts"];
const FREE: [&str; 3] = ["anybody", "nobody", "password"];

impl TestSandbox {
    /// A video as its owner sees it.
    async fn video(&self, uri: &str) -> Value {
        self.request("GET", uri).await.json()
    }

    async fn set_view(&self, uri: &str, view: &str) -> crate::support::test_sandbox::Reply {
        self.call("PATCH", uri, &json!({"privacy": {"view": view}})).await
    }
}

#[tokio::test]
async fn allowed_privacies_are_those_of_the_plan_without_the_refused_ones() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.call("POST", "/me/videos", &json!({"upload": {"approach": "tus", "size": 5}})).await;
    let made = made.json();
    assert_eq!(made["allowed_privacies"], json!(ALL));
    let uri = made["uri"].as_str().unwrap();
    for (change, expected) in [
        (json!({"plan": "free"}), FREE.to_vec()),
        (json!({"refused_views": ["nobody", "unlisted"]}), vec!["anybody", "password"]),
        (json!({"plan": null}), vec!["anybody", "password", "disable", "users", "contacts"]),
        (json!({"refused_views": []}), ALL.to_vec()),
    ] {
        sandbox.change_owner(change).await;
        assert_eq!(sandbox.video(uri).await["allowed_privacies"], json!(expected));
        // What is shown is what is accepted.
        for view in ALL {
            let body = json!({"privacy": {"view": view}, "password": "secret"});
            let changed = sandbox.call("PATCH", uri, &body).await;
            assert_eq!(changed.status == 200, expected.contains(&view), "{view}: {}", changed.text());
        }
    }
    let picked = sandbox.video(&format!("{uri}?fields=allowed_privacies")).await;
    assert_eq!(picked, json!({"allowed_privacies": ALL}));
    let listed = sandbox.video("/me/videos?fields=allowed_privacies").await;
    assert_eq!(listed["data"], json!([{"allowed_privacies": ALL}]));
    assert!(sandbox.video(&format!("{uri}?fields=uri")).await.get("allowed_privacies").is_none());
}

#[tokio::test]
async fn the_sandboxs_plan_decides_the_allowed_privacies_too() {
    let sandbox = TestSandbox::on_plan(Plan::Basic).await;
    let uri = sandbox.placeholder(json!({})).await;
    assert_eq!(sandbox.video(&uri).await["allowed_privacies"], json!(FREE));
    let stranger = sandbox.token_of_another_user().await;
    let seen = sandbox.request_with(&stranger, "GET", &uri).await;
    assert!(seen.status == 200 && seen.json().get("allowed_privacies").is_none());
}

#[tokio::test]
async fn allowed_privacies_are_set_by_a_control_or_left_out() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    sandbox.change_owner(json!({"allowed_privacies": ["anybody", "team"]})).await;
    assert_eq!(sandbox.video(&uri).await["allowed_privacies"], json!(["anybody", "team"]));
    // Only what is shown differs, so that a client that trusts it can be tested.
    assert_eq!(sandbox.set_view(&uri, "unlisted").await.status, 200);
    sandbox.change_owner(json!({"shows_allowed_privacies": false})).await;
    let hidden = sandbox.video(&uri).await;
    assert!(hidden["privacy"].is_object() && hidden.get("allowed_privacies").is_none());
    sandbox.change_owner(json!({"shows_allowed_privacies": true})).await;
    assert_eq!(sandbox.video(&uri).await["allowed_privacies"], json!(["anybody", "team"]));
    sandbox.change_owner(json!({"allowed_privacies": []})).await;
    assert_eq!(sandbox.video(&uri).await["allowed_privacies"], json!([]));
    sandbox.change_owner(json!({"allowed_privacies": null})).await;
    assert_eq!(sandbox.video(&uri).await["allowed_privacies"], json!(ALL));
    for body in [json!({"allowed_privacies": "anybody"}), json!({"allowed_privacies": [1]})] {
        let refused = sandbox.control("PATCH", "users/240002", &body).await;
        assert!(refused.status == 400 && refused.text().contains("array of strings, or null"));
    }
}

#[tokio::test]
async fn a_downgrade_restricts_videos_whose_view_the_plan_no_longer_includes() {
    let sandbox = TestSandbox::strict().await;
    let public = sandbox.placeholder(json!({})).await;
    let unlisted = sandbox.placeholder(json!({"privacy": {"view": "unlisted"}})).await;
    let is_cold = async |uri: &str| {
        let video = sandbox.video(uri).await;
        assert_eq!(video["is_cold_storage"], false);
        video["is_cold_privacy_restricted"].as_bool().unwrap()
    };
    assert_eq!((is_cold(&public).await, is_cold(&unlisted).await), (false, false));

    sandbox.change_owner(json!({"plan": "free"})).await;
    assert_eq!((is_cold(&public).await, is_cold(&unlisted).await), (false, true));
    let video = sandbox.video(&unlisted).await;
    assert_eq!((&video["privacy"]["view"], &video["uri"]), (&json!("unlisted"), &json!(unlisted)));
    let picked =
        sandbox.video(&format!("{unlisted}?fields=is_cold_privacy_restricted,is_cold_storage")).await;
    assert_eq!(picked, json!({"is_cold_privacy_restricted": true, "is_cold_storage": false}));
    // Other settings can be changed as before.
    let renamed = sandbox.call("PATCH", &unlisted, &json!({"name": "Renamed"})).await;
    assert_eq!((renamed.status, &renamed.json()["is_cold_privacy_restricted"]), (200, &json!(true)));

    sandbox.change_owner(json!({"plan": "starter"})).await;
    assert!(!is_cold(&unlisted).await);
    sandbox.change_owner(json!({"plan": "basic"})).await;
    assert!(is_cold(&unlisted).await);
    assert_eq!(sandbox.set_view(&unlisted, "nobody").await.json()["is_cold_privacy_restricted"], false);
}

#[tokio::test]
async fn a_view_is_refused_after_a_downgrade_between_create_and_change() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    sandbox.change_owner(json!({"plan": "free"})).await;
    for (view, code) in [("users", 2410), ("disable", 2411), ("contacts", 2412)] {
        let refused = sandbox.set_view(&uri, view).await;
        assert_eq!((refused.status, refused.code()), (403, json!(code)));
    }
    let refused = sandbox.set_view(&uri, "unlisted").await;
    assert_eq!((refused.status, refused.code()), (400, json!(2204)));
    assert_eq!(refused.json()["invalid_parameters"][0]["field"], "privacy.view");
    let video = sandbox.video(&uri).await;
    assert_eq!(
        (&video["privacy"]["view"], &video["is_cold_privacy_restricted"]),
        (&json!("nobody"), &json!(false))
    );
    sandbox.change_owner(json!({"plan": "standard"})).await;
    assert_eq!(sandbox.set_view(&uri, "unlisted").await.status, 200);
}

#[tokio::test]
async fn cold_privacy_restricts_videos_whose_view_is_accepted() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    for is_cold in [true, false] {
        sandbox.change_owner(json!({"cold_privacy": is_cold})).await;
        let changed = sandbox.set_view(&uri, "anybody").await;
        assert_eq!((changed.status, &changed.json()["is_cold_privacy_restricted"]), (200, &json!(is_cold)));
        assert_eq!(sandbox.video(&uri).await["is_cold_privacy_restricted"], is_cold);
    }
    let refused = sandbox.control("PATCH", "users/240002", &json!({"cold_privacy": 1})).await;
    assert!(refused.status == 400 && refused.text().contains("`cold_privacy` must be true or false"));
}
