use serde_json::{Value, json};

use crate::support::test_sandbox::TestSandbox;

#[tokio::test]
async fn the_index_lists_exactly_the_existing_controls() {
    let sandbox = TestSandbox::strict().await;
    for root in ["", "?pretty"] {
        let index = sandbox.control("GET", root, &Value::Null).await;
        assert_eq!(index.status, 200);
        for entry in index.json()["controls"].as_array().unwrap() {
            let (method, path) = (entry["method"].as_str().unwrap(), entry["path"].as_str().unwrap());
            // The live journal rejects this; otherwise it would never end.
            let reply = sandbox.send(method, path, &[("Last-Event-ID", "nonsense")], b"").await;
            assert_ne!(reply.status, 405, "{method} {path}");
            assert!(!reply.text().contains("no such control"), "{method} {path}");
        }
    }
    let unknown = sandbox.control("GET", "nonsense", &Value::Null).await;
    assert!(unknown.status == 404 && unknown.json()["error"].is_string());
    let wrong = sandbox.control("PUT", "apps", &Value::Null).await;
    assert!(wrong.status == 405 && wrong.json()["error"].is_string());
}

#[tokio::test]
async fn a_new_app_has_credentials_that_work() {
    let sandbox = TestSandbox::strict().await;
    let made = sandbox.control("POST", "apps", &json!({"name": "Second"})).await;
    assert_eq!(made.status, 201);
    let app = made.json();
    assert_eq!((&app["name"], &app["upload_access"]), (&json!("Second"), &json!(true)));
    let granted =
        sandbox.grant(app["client_id"].as_str().unwrap(), app["client_secret"].as_str().unwrap()).await;
    assert_eq!(granted.json()["app"], json!({"name": "Second", "uri": app["uri"]}));
    // A secret is valid for its own app only.
    let mixed = sandbox.grant(&sandbox.running.client_id, app["client_secret"].as_str().unwrap()).await;
    assert_eq!(mixed.code(), 8001);
}

#[tokio::test]
async fn a_token_is_created_as_requested() {
    let sandbox = TestSandbox::strict().await;
    let id = &sandbox.running.client_id;
    let uri = sandbox.request("GET", "/oauth/verify").await.json()["app"]["uri"].clone();
    for (order, scope, kind, name) in [
        (
            json!({"app": id, "scopes": ["public", "private"]}),
            "public private",
            "user",
            "Owner of Sandbox App",
        ),
        (
            json!({"app": uri, "scopes": "upload public upload"}),
            "upload public",
            "user",
            "Owner of Sandbox App",
        ),
        (
            json!({"app": id, "scopes": "public video", "user": {"name": "Vera"}}),
            "public video",
            "user",
            "Vera",
        ),
        (json!({"app": id, "scopes": "public", "user": null}), "public", "client_credentials", ""),
        (json!({"app": id, "scopes": "public", "user": false}), "public", "client_credentials", ""),
    ] {
        let made = sandbox.control("POST", "tokens", &order).await;
        let token = made.json();
        assert_eq!((made.status, &token["scope"], &token["kind"]), (201, &json!(scope), &json!(kind)));
        let verified = sandbox
            .request_with(token["access_token"].as_str().unwrap(), "GET", "/oauth/verify")
            .await
            .json();
        assert_eq!((&verified["app"], &verified["scope"]), (&token["app"], &json!(scope)));
        assert_eq!(verified["user"]["name"].as_str().unwrap_or_default(), name);
        assert_eq!(verified["user"]["uri"], token["user"]["uri"]);
    }
}

#[tokio::test]
async fn tokens_are_listed_by_fingerprint_and_can_be_revoked() {
    let sandbox = TestSandbox::open().await;
    sandbox.grant_first().await;
    sandbox.request_with("a-guest", "GET", "/oauth/verify").await;
    let shown = sandbox.control("GET", "tokens", &Value::Null).await.json();
    let tokens = shown["tokens"].as_array().unwrap();
    let origins: Vec<&Value> = tokens.iter().map(|token| &token["origin"]).collect();
    assert_eq!(origins, ["issued", "granted", "guest"]);
    assert_eq!((&tokens[1]["kind"], &tokens[1]["user"]), (&json!("client_credentials"), &Value::Null));

    let path = format!("tokens/{}", tokens[0]["fingerprint"].as_str().unwrap());
    assert_eq!(sandbox.control("DELETE", &path, &Value::Null).await.status, 204);
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.status, 401);
    let shown = sandbox.control("GET", "tokens", &Value::Null).await.json();
    assert_eq!(shown["tokens"][0]["revoked"], true);
    assert_eq!(sandbox.control("DELETE", "tokens/0123456789ab", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn a_reset_restores_the_initial_state() {
    let sandbox = TestSandbox::strict().await;
    let before = sandbox.request("GET", "/oauth/verify").await.json();
    let app = sandbox.control("POST", "apps", &Value::Null).await.json();
    sandbox.grant_first().await;
    sandbox.fault(json!({"route": "*", "kind": "cut", "times": "always"})).await;
    let revoked =
        sandbox.control("GET", "tokens", &Value::Null).await.json()["tokens"][0]["fingerprint"].clone();
    sandbox.control("DELETE", &format!("tokens/{}", revoked.as_str().unwrap()), &Value::Null).await;

    assert_eq!(sandbox.control("POST", "reset", &Value::Null).await.status, 204);
    assert!(sandbox.journal().await.is_empty());
    assert_eq!(sandbox.request("GET", "/oauth/verify").await.json(), before);
    assert_eq!(sandbox.live_granted_tokens().await, 0);
    assert_eq!(
        sandbox.grant(app["client_id"].as_str().unwrap(), "x").await.json()["error"],
        "invalid_client"
    );
    let first = sandbox.control("GET", "credentials", &Value::Null).await.json();
    assert_eq!(first["access_token"], sandbox.running.access_token);
}

#[tokio::test]
async fn invalid_input_is_rejected_with_a_message() {
    let sandbox = TestSandbox::strict().await;
    let id = &sandbox.running.client_id;
    for (path, body, part) in [
        (
            "apps",
            json!({"nam": "x"}),
            "`nam` is unknown: an app takes `name`, `upload_access`, `redirect_uris`.",
        ),
        ("apps", json!({"name": 5}), "`name` must be a string"),
        ("apps", json!({"upload_access": "yes"}), "`upload_access` must be true or false"),
        ("apps", json!([]), "must be a JSON object"),
        ("tokens", json!({}), "needs an `app`"),
        ("tokens", json!({"app": "unknown"}), "no app `unknown`"),
        ("tokens", json!({"app": id, "scope": "public"}), "takes `app`, `scopes`, `user`"),
        ("tokens", json!({"app": id, "scopes": "publik"}), "no scope `publik`"),
        ("tokens", json!({"app": id, "scopes": []}), "at least one scope"),
        ("tokens", json!({"app": id, "scopes": [1]}), "array of strings"),
        ("tokens", json!({"app": id, "scopes": 1}), "array of strings"),
        ("tokens", json!({"app": id, "user": "Vera"}), "`user` must be"),
        ("tokens", json!({"app": id, "user": {}}), "needs a `name`"),
        ("tokens", json!({"app": id, "user": {"nam": "x"}}), "takes `name`"),
    ] {
        let reply = sandbox.control("POST", path, &body).await;
        let sentence = reply.json()["error"].as_str().unwrap().to_owned();
        assert!(reply.status == 400 && sentence.contains(part), "{body}: {sentence}");
    }
    let reply = sandbox.send("POST", "/_sandbox/apps", &[], b"{").await;
    assert!(reply.status == 400 && reply.json()["error"].as_str().unwrap().contains("not JSON"));
}

#[tokio::test]
async fn the_index_names_every_kind_of_fault_and_its_parameters() {
    let sandbox = TestSandbox::strict().await;
    let controls = sandbox.control("GET", "", &Value::Null).await.text();
    let refusal = sandbox.control("POST", "faults", &json!({"kind": "?"})).await.json();
    let (_, kinds) = refusal["error"].as_str().unwrap().split_once("there are ").unwrap();
    for kind in kinds.trim_end_matches('.').split(", ") {
        // Each control names its members when it is given an unknown one.
        let refused =
            sandbox.control("POST", "faults", &json!({"kind": kind, "route": "*", "?": 1})).await.json();
        let (_, members) = refused["error"].as_str().unwrap().split_once("takes ").unwrap();
        let own = members.trim_end_matches('.').split(", ").skip(9);
        let own: Vec<&str> = own.map(|name| name.trim_matches('`')).collect();
        let (_, listed) = controls.split_once(&format!(" {kind}")).unwrap_or_else(|| panic!("{kind}"));
        let listed = listed.strip_prefix(" {").map_or("", |members| members.split('}').next().unwrap());
        for name in &own {
            assert!(listed.split([',', ' ', '?']).any(|word| word == *name), "{kind}: {name} in {listed}");
        }
    }
}
