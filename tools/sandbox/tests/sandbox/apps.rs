use serde_json::{Value, json};

use crate::support::browser::{CALLBACK, another_app, bare_link, carried, exchange, open, post_as, values};
use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn apps_are_listed_with_their_credentials() {
    let sandbox = TestSandbox::open().await;
    let (id, secret) = another_app(&sandbox, &[CALLBACK]).await;
    let shown = sandbox.control("GET", "apps", &Value::Null).await.json();
    let apps = shown["apps"].as_array().unwrap();
    let names: Vec<_> = apps.iter().map(|app| app["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["Sandbox App", "Guest App", "Another"]);
    assert_eq!(
        (&apps[0]["client_id"], &apps[0]["client_secret"]),
        (&json!(sandbox.running.client_id), &json!(sandbox.running.client_secret))
    );
    assert_eq!((&apps[2]["client_id"], &apps[2]["client_secret"]), (&json!(id), &json!(secret)));
    assert_eq!(apps[2]["redirect_uris"], json!([CALLBACK]));
    assert_eq!((&apps[0]["guest"], &apps[1]["guest"]), (&json!(false), &json!(true)));

    let users = sandbox.control("GET", "users", &Value::Null).await.json();
    let users = users["users"].as_array().unwrap();
    for app in apps {
        let owner = users.iter().find(|user| user["uri"] == app["owner"]).unwrap();
        assert_eq!(owner["account"], "enterprise");
        assert_eq!(owner["name"], format!("Owner of {}", app["name"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn a_change_of_an_app_changes_only_the_named_members() {
    let sandbox = TestSandbox::strict().await;
    let path = "apps/240001";
    let before = sandbox.control("GET", "apps", &Value::Null).await.json()["apps"][0].clone();
    let same = sandbox.control("PATCH", path, &Value::Null).await;
    assert_eq!((same.status, same.json()), (200, before.clone()));
    for (member, value) in [
        ("name", json!("Renamed")),
        ("upload_access", json!(false)),
        ("redirect_uris", json!(["myapp://back", "https://example.com/cb"])),
        ("redirect_uris", json!([])),
    ] {
        let mut expected = sandbox.control("GET", "apps", &Value::Null).await.json()["apps"][0].clone();
        expected[member] = value.clone();
        let changed = sandbox.control("PATCH", path, &json!({member: value})).await;
        assert_eq!((changed.status, changed.json()), (200, expected));
    }
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.json()["app"]["name"], "Renamed");
    assert!(sandbox.request("GET", "/me").await.json().get("upload_quota").is_none());
    let gone =
        [("response_type", "code"), ("client_id", &sandbox.running.client_id), ("redirect_uri", CALLBACK)];
    assert_eq!(open(&sandbox, &bare_link(&gone)).await.status, 400);
}

#[tokio::test]
async fn invalid_changes_of_apps_are_rejected_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    for (path, body, status, part) in [
        ("apps/240001", json!({"nam": "x"}), 400, "`nam` is unknown"),
        ("apps/240001", json!({"name": 1}), 400, "`name` must be a string"),
        ("apps/240001", json!({"redirect_uris": "x"}), 400, "array of strings"),
        ("apps/240001", json!({"redirect_uris": ["javascript:alert(1)"]}), 400, "is not allowed"),
        ("apps/240001", json!({"redirect_uris": ["http://a/#b"]}), 400, "must have no fragment"),
        ("apps/240001", json!({"redirect_uris": ["http://a/\r\nb"]}), 400, "no control characters"),
        ("apps/240001", json!({"redirect_uris": ["callback"]}), 400, "must begin with a scheme"),
        ("apps/240002", json!({}), 404, "no app with this number"),
        ("apps/x", json!({}), 404, "no app with this number"),
    ] {
        let reply = sandbox.control("PATCH", path, &body).await;
        let sentence = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == status && sentence.contains(part), "{body}: {sentence}");
    }
    let reply = sandbox.control("POST", "apps", &json!({"redirect_uris": ["file:///etc/passwd"]})).await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_code_from_the_control_can_be_exchanged() {
    let sandbox = TestSandbox::strict().await;
    let id = &sandbox.running.client_id;
    let order = json!({"app": id, "scopes": "public upload", "user": {"name": "Vera"}, "state": "a b&c"});
    let made = sandbox.control("POST", "codes", &order).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let (code, location) = (made["code"].as_str().unwrap(), made["location"].as_str().unwrap());
    assert!(location.starts_with(&format!("{CALLBACK}?code={code}&state=")), "{location}");
    assert_eq!(carried(location, "state").as_deref(), Some("a b&c"));
    let auth = exchange(&sandbox, code).await.json();
    assert_eq!((&auth["scope"], &auth["user"]["name"]), (&json!("public upload"), &json!("Vera")));
    assert_eq!(exchange(&sandbox, code).await.status, 400);

    let order = json!({"app": "/apps/240001", "redirect_uri": CALLBACK, "user": auth["user"]["uri"]});
    let code = sandbox.control("POST", "codes", &order).await.json()["code"].clone();
    sandbox.pass_seconds(599);
    let again = exchange(&sandbox, code.as_str().unwrap()).await.json();
    assert_eq!(again["user"]["uri"], auth["user"]["uri"]);
    assert!(again["scope"].as_str().unwrap().ends_with(" ai"));
}

#[tokio::test]
async fn a_code_is_created_only_for_what_an_app_may_have() {
    let sandbox = TestSandbox::strict().await;
    let (none, _) = another_app(&sandbox, &[]).await;
    let (two, secret) = another_app(&sandbox, &[CALLBACK, "http://a/"]).await;
    let id = &sandbox.running.client_id;
    for (body, part) in [
        (json!({}), "needs an `app`"),
        (json!({"app": "unknown"}), "no app `unknown`"),
        (json!({"app": id, "redirect_uri": "http://localhost:8080/callback.evil"}), "has not registered"),
        (json!({"app": none}), "has no redirect URI"),
        (json!({"app": two}), "several redirect URIs"),
        (json!({"app": id, "user": null}), "needs a `user`"),
        (json!({"app": id, "user": "/users/1"}), "no user `/users/1`"),
        (json!({"app": id, "user": "/users/x"}), "no user `/users/x`"),
        (json!({"app": id, "user": "Vera"}), "`user` must be"),
        (json!({"app": id, "scopes": "publik"}), "no scope `publik`"),
        (json!({"app": id, "state": 1}), "`state` must be a string"),
        (json!({"app": id, "client_id": id}), "`client_id` is unknown"),
    ] {
        let reply = sandbox.control("POST", "codes", &body).await;
        let sentence = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && sentence.contains(part), "{body}: {sentence}");
    }
    let made =
        sandbox.control("POST", "codes", &json!({"app": two, "redirect_uri": "http://a/"})).await.json();
    let code = made["code"].as_str().unwrap();
    let fields = [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", "http://a/")];
    assert_eq!(post_as(&sandbox, (&two, &secret), "/oauth/access_token", &fields).await.status, 200);
}

#[tokio::test]
async fn a_token_is_created_for_an_existing_user() {
    let sandbox = TestSandbox::strict().await;
    let (other, _) = another_app(&sandbox, &[]).await;
    let order = json!({"app": other, "scopes": "public", "user": "/users/240002"});
    let made = sandbox.control("POST", "tokens", &order).await.json();
    assert_eq!(made["user"]["name"], "Owner of Sandbox App");
    let order = json!({"app": other, "user": "/users/1"});
    assert_eq!(sandbox.control("POST", "tokens", &order).await.status, 400);
}

#[tokio::test]
async fn the_consent_page_shows_an_apps_new_name() {
    let sandbox = TestSandbox::strict().await;
    sandbox.control("PATCH", "apps/240001", &json!({"name": "Fresh & <New>"})).await;
    let page =
        open(&sandbox, &bare_link(&[("response_type", "code"), ("client_id", &sandbox.running.client_id)]))
            .await;
    assert_eq!(values(&page, "<title>")[0].split(" asks").next(), Some("Fresh &#38; &#60;New&#62;"));
}
