//! Showcases and the videos in them.

use serde_json::{Value, json};

use crate::support::publication::refused_field;
use crate::support::test_sandbox::TestSandbox;

impl TestSandbox {
    async fn showcase(&self, name: &str) -> String {
        let made = self.call("POST", "/me/albums", &json!({"name": name})).await;
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()["uri"].as_str().unwrap().to_owned()
    }

    async fn names(&self, path: &str) -> Vec<String> {
        let list = self.call("GET", path, &Value::Null).await;
        assert_eq!(list.status, 200, "{}", list.text());
        let name = |item: &Value| item["name"].as_str().unwrap().to_owned();
        list.json()["data"].as_array().unwrap().iter().map(name).collect()
    }
}

#[tokio::test]
async fn a_showcase_is_created_shown_changed_and_deleted() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.call("POST", "/me/albums", &json!({"name": "Films", "description": "All"})).await;
    assert_eq!((made.status, made.header("content-type")), (201, Some("application/vnd.vimeo.album+json")));
    let made = made.json();
    let uri = made["uri"].as_str().unwrap();
    let user = made["user"]["uri"].as_str().unwrap();
    assert!(uri.starts_with(&format!("{user}/albums/")), "{uri}");
    let number = uri.rsplit('/').next().unwrap();
    let mine = format!("/me/albums/{number}");
    for path in [uri, mine.as_str()] {
        assert_eq!(sandbox.call("GET", path, &Value::Null).await.json(), made);
    }
    sandbox.pass_seconds(1);
    let changed = sandbox.call("PATCH", &mine, &json!({"name": "Movies", "description": null})).await;
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("Movies")));
    assert_eq!(changed.json()["description"], Value::Null);
    assert_ne!(changed.json()["modified_time"], made["modified_time"]);
    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 204);
    let gone = sandbox.call("GET", uri, &Value::Null).await;
    assert_eq!((gone.status, gone.code()), (404, json!(5000)));
}

#[tokio::test]
async fn showcases_are_searched_sorted_and_paged() {
    let sandbox = TestSandbox::strict().await;
    // Several may have the same name.
    for name in ["Beta", "alpha", "Beta", "Gamma"] {
        sandbox.showcase(name).await;
        sandbox.pass_seconds(1);
    }
    for (query, names) in [
        ("", &["Gamma", "Beta", "alpha", "Beta"][..]),
        ("?direction=asc", &["Beta", "alpha", "Beta", "Gamma"]),
        ("?sort=alphabetical", &["alpha", "Beta", "Beta", "Gamma"]),
        ("?query=BET", &["Beta", "Beta"]),
        ("?query=delta", &[]),
        ("?per_page=3&page=2", &["Beta"]),
    ] {
        assert_eq!(sandbox.names(&format!("/me/albums{query}")).await, names, "{query}");
    }
    assert_eq!(sandbox.call("GET", "/me/albums?page=0", &Value::Null).await.status, 400);
    sandbox.call("POST", "/me/projects", &json!({"name": "Beta"})).await;
    sandbox.call("POST", "/me/projects", &json!({"name": "Gamma"})).await;
    assert_eq!(sandbox.names("/me/projects?query=bet").await, ["Beta"]);
}

#[tokio::test]
async fn a_video_may_be_in_many_showcases() {
    let sandbox = TestSandbox::strict().await;
    let (one, other) = (sandbox.showcase("One").await, sandbox.showcase("Other").await);
    let (first, second) =
        (sandbox.placeholder(json!({"name": "F"})).await, sandbox.placeholder(json!({"name": "S"})).await);
    for (showcase, video) in [(&one, &second), (&one, &first), (&other, &first), (&one, &second)] {
        let put = sandbox.call("PUT", &format!("{showcase}{video}"), &Value::Null).await;
        assert_eq!((put.status, put.text()), (204, String::new()));
    }
    assert_eq!(sandbox.names(&format!("{one}/videos")).await, ["S", "F"]);
    assert_eq!(sandbox.names(&format!("{other}/videos")).await, ["F"]);
    let shown = sandbox.call("GET", &one, &Value::Null).await.json();
    assert_eq!(shown["metadata"]["connections"]["videos"]["total"], 2);
    assert_eq!(
        sandbox.recorded(&first).await["showcases"],
        json!([{"uri": one, "name": "One"}, {"uri": other, "name": "Other"}])
    );
    for status in [204, 404] {
        assert_eq!(sandbox.call("DELETE", &format!("{one}{first}"), &Value::Null).await.status, status);
    }
    // The video itself is kept; a deleted video is in no showcase.
    assert_eq!(sandbox.call("GET", &first, &Value::Null).await.status, 200);
    sandbox.call("DELETE", &second, &Value::Null).await;
    assert_eq!(sandbox.names(&format!("{one}/videos")).await.len(), 0);
}

#[tokio::test]
async fn what_is_missing_or_invalid_is_refused() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.showcase("Films").await;
    let video = sandbox.placeholder(json!({})).await;
    for (method, path) in [("POST", "/me/albums"), ("PATCH", uri.as_str())] {
        for name in [json!(""), json!("  "), json!(7), json!("x".repeat(129))] {
            let refused = sandbox.call(method, path, &json!({"name": name})).await;
            assert_eq!(refused_field(&refused), (400, json!("name"), json!(2204)), "{method} {name}");
        }
        let empty = sandbox.call(method, path, &Value::Null).await;
        assert_eq!((empty.status, empty.code()), (400, json!(2205)), "{method}");
    }
    let unnamed = sandbox.call("POST", "/me/albums", &json!({"description": "d"})).await;
    assert_eq!(refused_field(&unnamed), (400, json!("name"), json!(2204)));
    for (method, path) in [
        ("GET", "/me/albums/1".to_owned()),
        ("PATCH", "/me/albums/x".to_owned()),
        ("DELETE", "/me/albums/1".to_owned()),
        ("GET", "/me/albums/1/videos".to_owned()),
        ("PUT", format!("/me/albums/1{video}")),
        ("PUT", format!("{uri}/videos/1")),
        ("DELETE", format!("{uri}{video}")),
    ] {
        let missing = sandbox.call(method, &path, &json!({"name": "x"})).await;
        assert_eq!((missing.status, missing.code()), (404, json!(5000)), "{method} {path}");
    }
}

#[tokio::test]
async fn other_users_neither_see_nor_change_a_showcase() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.showcase("Films").await;
    let video = sandbox.placeholder(json!({})).await;
    let stranger = sandbox.token_of_another_user().await;
    let number = uri.rsplit('/').next().unwrap();
    for (method, path, status) in [
        ("GET", uri.clone(), 403),
        ("PATCH", uri.clone(), 403),
        ("DELETE", uri.clone(), 403),
        ("PUT", format!("{uri}{video}"), 403),
        ("GET", format!("/me/albums/{number}"), 404),
        ("PATCH", format!("/me/albums/{number}"), 404),
    ] {
        let refused = sandbox.api(&stranger, method, &path, &json!({"name": "x"})).await;
        assert_eq!(refused.status, status, "{method} {path}");
    }
    assert_eq!(sandbox.api(&stranger, "GET", "/me/albums", &Value::Null).await.json()["total"], 0);
    // A public video of another user cannot be put into one's own showcase.
    let own = sandbox.api(&stranger, "POST", "/me/albums", &json!({"name": "Own"})).await.json();
    let path = format!("{}{video}", own["uri"].as_str().unwrap());
    assert_eq!(sandbox.api(&stranger, "PUT", &path, &Value::Null).await.status, 403);
}
