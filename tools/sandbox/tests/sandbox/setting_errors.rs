//! Error responses to invalid settings of videos and folders.

use serde_json::{Value, json};

use crate::error_responses::{invalid, upload};
use crate::support::test_sandbox::{Reply, TestSandbox};

impl TestSandbox {
    pub(crate) async fn receive_accepting(&self, accept: &str) -> Reply {
        let authorization = format!("bearer {}", self.running.access_token);
        self.send("GET", "/me", &[("Authorization", &authorization), ("Accept", accept)], b"").await
    }
}

#[tokio::test]
async fn every_invalid_setting_is_named() {
    let sandbox = TestSandbox::strict().await;
    let long = "x".repeat(5001);
    let many: Vec<String> = (0..51).map(|number| format!("a{number}.example")).collect();
    let cases = [
        (json!({"name": 1}), vec![("name", 2249)]),
        (json!({"name": "x".repeat(129)}), vec![("name", 2250)]),
        (json!({"description": []}), vec![("description", 2251)]),
        (json!({"description": long}), vec![("description", 2252)]),
        (json!({"license": "mine"}), vec![("license", 2234)]),
        (json!({"locale": "klingon"}), vec![("locale", 2235)]),
        (json!({"content_rating": ["fine"]}), vec![("content_rating", 2259)]),
        (json!({"content_rating": []}), vec![("content_rating", 2259)]),
        (json!({"content_rating": "safe"}), vec![("content_rating", 2259)]),
        (json!({"password": ""}), vec![("password", 2273)]),
        (json!({"privacy": {"view": "password"}}), vec![("password", 2233)]),
        (json!({"privacy": {"view": "everyone"}}), vec![("privacy.view", 2232)]),
        (json!({"privacy": {"embed": "anybody"}}), vec![("privacy.embed", 2239)]),
        (json!({"privacy": {"comments": true}}), vec![("privacy.comments", 2240)]),
        (json!({"privacy": {"download": "yes"}}), vec![("privacy.download", 2238)]),
        (json!({"privacy": {"add": 1}}), vec![("privacy.add", 2237)]),
        (json!({"privacy": "nobody"}), vec![("privacy", 2204)]),
        (json!({"hide_from_vimeo": "yes"}), vec![("hide_from_vimeo", 2204)]),
        (json!({"embed": []}), vec![("embed", 2204)]),
        (json!({"embed_domains": ["example.com"]}), vec![("embed_domains", 2204)]),
        (
            json!({"privacy": {"embed": "whitelist"}, "embed_domains": ["https://example.com"]}),
            vec![("embed_domains", 2204)],
        ),
        (json!({"privacy": {"embed": "whitelist"}, "embed_domains": many}), vec![("embed_domains", 2204)]),
        (
            json!({"name": 1, "license": "mine", "privacy": {"view": "x", "add": "y"}}),
            vec![("name", 2249), ("license", 2234), ("privacy.view", 2232), ("privacy.add", 2237)],
        ),
    ];
    let video = sandbox.placeholder(json!({})).await;
    let before = sandbox.call("GET", &video, &Value::Null).await.json();
    for (body, expected) in cases {
        let expected: Vec<(String, u64)> =
            expected.into_iter().map(|(field, code)| (field.to_owned(), code)).collect();
        assert_eq!(
            invalid(&sandbox.call("POST", "/me/videos", &upload(body.clone())).await),
            expected,
            "{body}"
        );
        assert_eq!(invalid(&sandbox.call("PATCH", &video, &body).await), expected, "{body}");
    }
    assert_eq!(sandbox.call("GET", &video, &Value::Null).await.json(), before);
    assert_eq!(sandbox.call("GET", "/me/videos", &Value::Null).await.json()["total"], 1);
    for (wanted, field, code) in [
        (json!({"approach": "tus"}), "upload.size", 2254),
        (json!({"approach": "tus", "size": -1}), "upload.size", 2254),
        (json!({"approach": "tus", "size": 1.5}), "upload.size", 2254),
        (json!({"approach": "tus", "size": "many"}), "upload.size", 2254),
        (json!({"approach": "pull"}), "upload.link", 2204),
        (json!({"approach": "pull", "link": "ftp://example.com/a"}), "upload.link", 2204),
        (
            json!({"approach": "pull", "link": format!("https://example.com/{}", "x".repeat(16_384))}),
            "upload.link",
            2204,
        ),
        (json!("tus"), "upload", 2204),
    ] {
        let reply = sandbox.call("POST", "/me/videos", &json!({"upload": wanted})).await;
        assert_eq!(invalid(&reply), [(field.to_owned(), code)], "{wanted}");
    }
    let nameless = sandbox.call("POST", "/me/projects", &json!({"parent_folder_uri": null})).await;
    assert_eq!(invalid(&nameless), [("name".to_owned(), 2249)]);
}
