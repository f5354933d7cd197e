use sandbox::{Options, UnlistedUris};
use serde_json::{Value, json};

use crate::support::test_sandbox::{Reply, TestSandbox};

const VERSION: &str = "application/vnd.vimeo.*+json;version=3.4";

impl TestSandbox {
    /// A request as client libraries send it, with a JSON body unless that is null.
    pub(crate) async fn api(&self, token: &str, method: &str, path: &str, body: &Value) -> Reply {
        let authorization = format!("Bearer {token}");
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Accept", VERSION),
            ("Content-Type", "application/json"),
        ];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send(method, path, &headers, body.as_bytes()).await
    }

    /// The same with the first token.
    pub(crate) async fn call(&self, method: &str, path: &str, body: &Value) -> Reply {
        let token = self.running.access_token.clone();
        self.api(&token, method, path, body).await
    }

    /// A video of the first user without its bytes. Returns its URI.
    pub(crate) async fn placeholder(&self, members: Value) -> String {
        let mut body = json!({"upload": {"approach": "tus", "size": 5}});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let reply = self.call("POST", "/me/videos", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()["uri"].as_str().unwrap().to_owned()
    }

    /// A token of the first app's owner with other scopes.
    pub(crate) async fn token_with(&self, scopes: &str) -> String {
        let wanted = json!({"app": self.running.client_id, "scopes": scopes});
        let reply = self.control("POST", "tokens", &wanted).await;
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// A token of another user with every scope.
    pub(crate) async fn token_of_another_user(&self) -> String {
        let wanted = json!({"app": self.running.client_id, "user": {"name": "Stranger"}});
        let reply = self.control("POST", "tokens", &wanted).await;
        reply.json()["access_token"].as_str().unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_video_is_created_shown_changed_and_deleted() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox
        .call(
            "POST",
            "/me/videos",
            &json!({"upload": {"approach": "tus", "size": "1057149"}, "name": "Holidays", "chunk_size": 7}),
        )
        .await;
    assert_eq!((made.status, made.header("content-type")), (200, Some("application/vnd.vimeo.video+json")));
    let made = made.json();
    let uri = made["uri"].as_str().unwrap();
    assert_eq!(made["name"], "Holidays");
    assert_eq!((&made["status"], &made["upload"]["status"]), (&json!("uploading"), &json!("in_progress")));
    assert_eq!(made["upload"]["size"], 1_057_149);
    let link = made["upload"]["upload_link"].as_str().unwrap();
    assert!(link.starts_with(&format!("{}/files/", sandbox.running.base_url)), "{link}");
    assert_eq!(link.rsplit('/').next().unwrap().len(), 32);
    assert!(made["user"]["upload_quota"]["space"]["free"].is_u64());

    let change = json!({
        "name": "Summer", "description": "By the sea", "license": "by-nc", "locale": "de", "password": "sesame",
        "content_rating": ["drugs", "language"], "review_page": {"active": true}, "hide_from_vimeo": true,
        "privacy": {"view": "password", "embed": "whitelist", "comments": "nobody", "download": true, "add": false},
        "embed_domains": ["Example.com", "localhost:3000"], "embed": {"color": "#112233"},
        "privacy.view": "nobody", "unknown": 1,
    });
    let changed = sandbox.call("PATCH", uri, &change).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let shown = sandbox.call("GET", uri, &Value::Null).await.json();
    assert_eq!(changed.json(), shown);
    for (member, value) in change.as_object().unwrap() {
        match member.as_str() {
            "embed_domains" | "privacy.view" | "unknown" | "locale" | "embed" | "review_page" | "privacy" => {
            }
            _ => assert_eq!(&shown[member], value, "{member}"),
        }
    }
    assert_eq!(shown["language"], "de");
    for (member, value) in change["privacy"].as_object().unwrap() {
        assert_eq!(&shown["privacy"][member], value, "{member}");
    }
    assert_eq!(
        (&shown["embed"]["color"], &shown["review_page"]["active"]),
        (&json!("#112233"), &json!(true))
    );
    assert_eq!(shown["content_rating_class"], "explicit");
    assert_eq!(shown["metadata"]["connections"]["domains"]["total"], 2);

    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 204);
    let gone = sandbox.call("GET", uri, &Value::Null).await;
    assert_eq!((gone.status, gone.code()), (404, json!(5000)));
    assert_eq!(sandbox.call("DELETE", uri, &Value::Null).await.status, 404);
}

#[tokio::test]
async fn an_invalid_change_changes_nothing() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({"name": "Before"})).await;
    let refused = sandbox.call("PATCH", &uri, &json!({"name": "After", "privacy": {"comments": true}})).await;
    assert_eq!((refused.status, refused.code()), (400, json!(2204)));
    assert_eq!(sandbox.call("GET", &uri, &Value::Null).await.json()["name"], "Before");
}

#[tokio::test]
async fn each_approach_has_its_status_and_format() {
    let sandbox = TestSandbox::strict().await;
    let pull = json!({"upload": {"approach": "pull", "size": 5, "link": "http://192.0.2.1/a.mp4"}});
    let pulled = sandbox.call("POST", "/me/videos", &pull).await;
    assert_eq!((pulled.status, &pulled.json()["upload"]["approach"]), (201, &json!("pull")));
    assert_eq!(pulled.json()["upload"]["upload_link"], Value::Null);
    let form = json!({"upload": {"approach": "post", "redirect_url": "https://example.com/done"}});
    let form = sandbox.call("POST", "/me/videos", &form).await;
    assert_eq!(form.status, 201);
    let link = form.json()["upload"]["upload_link"].as_str().unwrap().to_owned();
    assert!(form.json()["upload"]["form"].as_str().unwrap().contains(&link));
    // A well-known mistake: without the wrapper, no bytes will arrive.
    let forgotten = json!({"approach": "pull", "link": "https://example.com/a.mp4"});
    let forgotten = sandbox.call("POST", "/me/videos", &forgotten).await;
    assert_eq!(forgotten.status, 201);
    sandbox.pass_seconds(100_000);
    let uri = forgotten.json()["uri"].as_str().unwrap().to_owned();
    assert_eq!(sandbox.call("GET", &uri, &Value::Null).await.json()["status"], "uploading");
}

#[tokio::test]
async fn fields_select_members_of_videos_and_list_items() {
    let sandbox = TestSandbox::strict().await;
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    let made = sandbox.call("POST", "/me/videos?fields=uri%2Cupload&fields=uri,upload", &body).await.json();
    assert_eq!(made.as_object().unwrap().keys().collect::<Vec<_>>(), ["uri", "upload"]);
    let path = "/me/videos?fields=uri,upload.status&fields=uri,upload.status";
    let listed = sandbox.call("GET", path, &Value::Null).await.json();
    assert_eq!(listed["data"], json!([{"uri": made["uri"], "upload": {"status": "in_progress"}}]));
    assert_eq!(listed["total"], 1);
}

#[tokio::test]
async fn a_list_is_paged() {
    let sandbox = TestSandbox::strict().await;
    for number in 0..7 {
        sandbox.placeholder(json!({"name": format!("Video {number}")})).await;
        sandbox.pass_seconds(1);
    }
    let mut names = Vec::new();
    let mut next = json!("/me/videos?per_page=3&fields=name");
    let mut pages = 0;
    while let Some(path) = next.as_str() {
        let page = sandbox.call("GET", path, &Value::Null).await.json();
        pages += 1;
        assert_eq!((&page["total"], &page["page"], &page["per_page"]), (&json!(7), &json!(pages), &json!(3)));
        names.extend(page["data"].as_array().unwrap().iter().map(|video| video["name"].clone()));
        assert_eq!(page["paging"]["previous"].is_null(), pages == 1);
        next = page["paging"]["next"].clone();
    }
    assert_eq!(pages, 3);
    let newest_first: Vec<Value> = (0..7).rev().map(|number| json!(format!("Video {number}"))).collect();
    assert_eq!(names, newest_first);
    let alphabetical =
        sandbox.call("GET", "/me/videos?sort=alphabetical&query=video+3", &Value::Null).await.json();
    assert_eq!((&alphabetical["total"], &alphabetical["data"][0]["name"]), (&json!(1), &json!("Video 3")));
    let beyond = sandbox.call("GET", "/me/videos?page=2", &Value::Null).await;
    assert_eq!((beyond.status, beyond.code()), (404, json!(5000)));
    for query in ["per_page=101", "per_page=0", "page=0", "page=-1", "page=x"] {
        let refused = sandbox.call("GET", &format!("/me/videos?{query}"), &Value::Null).await;
        assert_eq!((refused.status, refused.code()), (400, json!(2204)), "{query}");
    }
}

#[tokio::test]
async fn an_empty_list_is_one_page() {
    let sandbox = TestSandbox::strict().await;
    let list = sandbox.call("GET", "/me/videos", &Value::Null).await.json();
    assert_eq!((&list["total"], &list["data"]), (&json!(0), &json!([])));
    assert_eq!(list["paging"]["next"], Value::Null);
}

#[tokio::test]
async fn other_users_see_public_videos_and_change_nothing() {
    let sandbox = TestSandbox::strict().await;
    let public = sandbox.placeholder(json!({})).await;
    let hidden = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let unlisted = sandbox.placeholder(json!({"privacy": {"view": "unlisted"}})).await;
    let other = sandbox.token_of_another_user().await;
    let seen = sandbox.api(&other, "GET", &public, &Value::Null).await;
    assert_eq!(seen.status, 200);
    assert_eq!(seen.json()["upload"]["upload_link"], Value::Null);
    assert_eq!(seen.json()["user"]["upload_quota"], Value::Null);
    assert_eq!(sandbox.api(&other, "GET", &hidden, &Value::Null).await.status, 404);
    assert_eq!(sandbox.api(&other, "GET", &unlisted, &Value::Null).await.status, 404);
    // An unlisted video is visible by its link.
    let shown = sandbox.call("GET", &unlisted, &Value::Null).await.json();
    let hash = shown["link"].as_str().unwrap().rsplit('/').next().unwrap();
    assert!(shown["player_embed_url"].as_str().unwrap().ends_with(&format!("?h={hash}")));
    assert_eq!(sandbox.api(&other, "GET", &format!("{unlisted}:{hash}"), &Value::Null).await.status, 200);
    assert_eq!(sandbox.api(&other, "GET", &format!("{unlisted}:0123456789"), &Value::Null).await.status, 404);
    for (video, status) in [(&public, 403), (&hidden, 404)] {
        assert_eq!(sandbox.api(&other, "PATCH", video, &json!({"name": "x"})).await.status, status);
        assert_eq!(sandbox.api(&other, "DELETE", video, &Value::Null).await.status, status);
    }
    let me = sandbox.call("GET", "/me?fields=uri", &Value::Null).await.json();
    let path = format!("{}/videos", me["uri"].as_str().unwrap());
    let listed = sandbox.api(&other, "GET", &path, &Value::Null).await.json();
    assert_eq!((&listed["total"], &listed["data"][0]["uri"]), (&json!(1), &json!(public)));
    assert_eq!(sandbox.call("GET", &path, &Value::Null).await.json()["total"], 3);
    let body = json!({"upload": {"approach": "tus", "size": 5}});
    assert_eq!(sandbox.api(&other, "POST", &path, &body).await.status, 403);
}

#[tokio::test]
async fn the_callers_hidden_videos_need_the_scope_private() {
    let sandbox = TestSandbox::strict().await;
    let hidden = sandbox.placeholder(json!({"privacy": {"view": "nobody"}})).await;
    let token = sandbox.token_with("public").await;
    assert_eq!(sandbox.api(&token, "GET", &hidden, &Value::Null).await.status, 404);
    assert_eq!(sandbox.api(&token, "GET", "/me/videos", &Value::Null).await.json()["total"], 0);
}

#[tokio::test]
async fn domains_need_a_whitelist() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    let domain = |name: &str| format!("{uri}/privacy/domains/{name}");
    assert_eq!(sandbox.call("PUT", &domain("example.com"), &Value::Null).await.status, 403);
    sandbox.call("PATCH", &uri, &json!({"privacy": {"embed": "whitelist"}})).await;
    assert_eq!(sandbox.call("PUT", &domain("example.com"), &Value::Null).await.status, 204);
    let list = sandbox.call("GET", &format!("{uri}/privacy/domains"), &Value::Null).await.json();
    assert_eq!((&list["total"], &list["data"][0]["domain"]), (&json!(1), &json!("example.com")));
    assert_eq!(sandbox.call("PUT", &domain("https%3A%2F%2Fexample.com"), &Value::Null).await.status, 400);
    for number in 1..50 {
        assert_eq!(
            sandbox.call("PUT", &domain(&format!("a{number}.example")), &Value::Null).await.status,
            204
        );
    }
    assert_eq!(sandbox.call("PUT", &domain("one.too.many"), &Value::Null).await.status, 400);
    assert_eq!(sandbox.call("DELETE", &domain("example.com"), &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("DELETE", &domain("example.com"), &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_preset_is_set_and_removed() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    let presets = sandbox.call("GET", "/me/presets", &Value::Null).await.json();
    let preset = presets["data"][0]["uri"].as_str().unwrap();
    assert_eq!(sandbox.call("GET", preset, &Value::Null).await.json()["name"], "Preset 1");
    let path = format!("{uri}/presets/{}", preset.rsplit('/').next().unwrap());
    for (method, status) in [("GET", 404), ("PUT", 204), ("GET", 204), ("DELETE", 204), ("DELETE", 404)] {
        assert_eq!(sandbox.call(method, &path, &Value::Null).await.status, status, "{method}");
    }
    assert_eq!(sandbox.call("PUT", &format!("{uri}/presets/1"), &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_thumbnail_is_created_from_a_time() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    let pictures = format!("{uri}/pictures");
    let made = sandbox.call("POST", &pictures, &json!({"time": 2.5, "active": true})).await;
    assert_eq!((made.status, &made.json()["active"]), (201, &json!(true)));
    let other = sandbox.call("POST", &pictures, &json!({"time": 1})).await.json();
    let other = other["uri"].as_str().unwrap();
    assert_eq!(sandbox.call("PATCH", other, &json!({"active": "true"})).await.json()["active"], true);
    let first = sandbox.call("GET", made.json()["uri"].as_str().unwrap(), &Value::Null).await.json();
    assert_eq!((&first["active"], &first["time"]), (&json!(false), &json!(2.5)));
    assert_eq!(sandbox.call("GET", &uri, &Value::Null).await.json()["pictures"]["uri"], other);
    assert_eq!(sandbox.call("GET", &pictures, &Value::Null).await.json()["total"], 2);
    assert_eq!(sandbox.call("DELETE", other, &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("GET", other, &Value::Null).await.status, 404);
    for time in [json!(-1), json!("soon"), json!(86_401), Value::Null] {
        assert_eq!(sandbox.call("POST", &pictures, &json!({"time": time})).await.status, 400, "{time}");
    }
}

#[tokio::test]
async fn a_video_gets_another_version() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    let versions = format!("{uri}/versions");
    let body = json!({"file_name": "better.mp4", "upload": {"approach": "tus", "size": 7}});
    let made = sandbox.call("POST", &format!("{versions}?fields=upload"), &body).await;
    assert_eq!(made.status, 201);
    assert!(made.json()["upload"]["upload_link"].is_string());
    assert_eq!(made.json().as_object().unwrap().len(), 1);
    let list = sandbox.call("GET", &versions, &Value::Null).await.json();
    assert_eq!(list["total"], 2);
    assert_eq!(
        (&list["data"][0]["filename"], &list["data"][0]["active"]),
        (&json!("better.mp4"), &json!(true))
    );
    // Back to the first one; then the second can be deleted.
    let (second, first) =
        (list["data"][0]["uri"].as_str().unwrap(), list["data"][1]["uri"].as_str().unwrap());
    assert_eq!(sandbox.call("PATCH", first, &json!({"is_current": true})).await.json()["active"], true);
    assert_eq!(sandbox.call("GET", second, &Value::Null).await.json()["active"], false);
    assert_eq!(sandbox.call("DELETE", second, &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("GET", &versions, &Value::Null).await.json()["total"], 1);
}

#[tokio::test]
async fn the_catalogues_list_accepted_values() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    for (path, member) in
        [("/contentratings", "content_rating"), ("/creativecommons", "license"), ("/languages", "locale")]
    {
        let mut next = json!(format!("{path}?per_page=100"));
        while let Some(page) = next.as_str() {
            let list = sandbox.call("GET", page, &Value::Null).await.json();
            for item in list["data"].as_array().unwrap() {
                let code =
                    if member == "content_rating" { json!([item["code"]]) } else { item["code"].clone() };
                let changed = sandbox.call("PATCH", &uri, &json!({member: code})).await;
                assert_eq!(changed.status, 200, "{path} {item}");
            }
            next = list["paging"]["next"].clone();
        }
    }
    let tutorial = sandbox.call("GET", "/tutorial", &Value::Null).await.json();
    assert!(tutorial["message"].as_str().unwrap().starts_with("Success!"));
    assert_eq!(tutorial["token_is_authenticated"], true);
}

#[tokio::test]
async fn every_privacy_setting_is_stored() {
    let sandbox = TestSandbox::strict().await;
    let uri = sandbox.placeholder(json!({})).await;
    for (member, choices) in [
        ("view", &["anybody", "nobody", "unlisted", "disable", "users", "contacts"][..]),
        ("embed", &["private", "public", "whitelist"]),
        ("comments", &["anybody", "contacts", "nobody"]),
    ] {
        for choice in choices {
            let changed = sandbox.call("PATCH", &uri, &json!({"privacy": {member: choice}})).await;
            assert_eq!((changed.status, &changed.json()["privacy"][member]), (200, &json!(choice)));
        }
    }
    for member in ["download", "add"] {
        for choice in [true, false] {
            let changed = sandbox.call("PATCH", &uri, &json!({"privacy": {member: choice}})).await;
            assert_eq!((changed.status, &changed.json()["privacy"][member]), (200, &json!(choice)));
        }
    }
    let spatial = json!({"projection": "equirectangular", "stereo_format": "mono"});
    let changed = sandbox.call("PATCH", &uri, &json!({"spatial": spatial})).await.json();
    assert_eq!(changed["spatial"], spatial);
    assert_eq!(changed["privacy"]["allow_share_link"], true);
    for member in ["complete_uri", "gcs_uid", "form", "redirect_url", "link"] {
        assert_eq!(changed["upload"].get(member), Some(&Value::Null), "{member}");
    }
    assert_eq!(changed.get("parent_project"), Some(&Value::Null));
}

#[tokio::test]
async fn a_wrong_hash_is_404_and_the_right_one_works_everywhere() {
    let options = Options { unlisted_uris: UnlistedUris::WithHash, ..Options::default() };
    let sandbox = TestSandbox::with(options).await;
    let uri = sandbox.placeholder(json!({"privacy": {"view": "unlisted"}})).await;
    let (plain, hash) = uri.split_once(':').unwrap();
    let wrong = format!("{plain}:0123456789");
    assert_ne!(hash, "0123456789");
    let folder = sandbox.call("POST", "/me/folders", &json!({"name": "F"})).await.json();
    let folder = folder["uri"].as_str().unwrap();
    for (method, path, body, status) in [
        ("GET", "", Value::Null, 200),
        ("PATCH", "", json!({"name": "Renamed"}), 200),
        ("GET", "/versions", Value::Null, 200),
        ("GET", "/pictures", Value::Null, 200),
    ] {
        for (named, status) in [(&wrong, 404), (&uri, status), (&plain.to_owned(), status)] {
            let reply = sandbox.call(method, &format!("{named}{path}"), &body).await;
            assert_eq!(reply.status, status, "{method} {named}{path}");
        }
    }
    for (named, status) in [(wrong.as_str(), 404), (uri.as_str(), 204), (plain, 204)] {
        let one = sandbox.call("PUT", &format!("{folder}{named}"), &Value::Null).await;
        let many = sandbox.call("PUT", &format!("{folder}/videos?uris={named}"), &Value::Null).await;
        assert_eq!((one.status, many.status), (status, status), "{named}");
    }
    let list = sandbox.call("GET", &format!("{folder}/videos"), &Value::Null).await.json();
    assert_eq!((&list["data"][0]["uri"], &list["data"][0]["name"]), (&json!(uri), &json!("Renamed")));
    assert_eq!(sandbox.call("DELETE", &wrong, &Value::Null).await.status, 404);
    // A public video has no hash in its URI.
    let listed = sandbox.call("PATCH", &uri, &json!({"privacy": {"view": "anybody"}})).await.json();
    assert_eq!(listed["uri"], plain);
    assert_eq!(sandbox.call("DELETE", &uri, &Value::Null).await.status, 204);
    assert_eq!(sandbox.call("GET", plain, &Value::Null).await.status, 404);
}
