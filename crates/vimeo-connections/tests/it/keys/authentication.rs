//! Authentication: API keys in all forms and states, and the access of every kind of caller to every route.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::connections::revoke_key;
use crate::support::harness::{COLLECTION, EnvOptions, Response, TestEnv, printed, until};
use crate::support::raw_http::{exchange, stable_headers};

const UNAUTHORIZED: &str = r#"{"code":"UNAUTHORIZED","message":"Unauthorized"}"#;

async fn env() -> TestEnv {
    // No worker may fetch the requested sources.
    let config = "uploads.work = false\napi_keys.allow_weak = true\n".to_owned();
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

async fn get_as(env: &TestEnv, path: &str, keys: &[&str]) -> Response {
    let headers: Vec<_> = keys.iter().map(|key| ("authorization", *key)).collect();
    env.send(Method::GET, path, &headers, Vec::new()).await
}

/// The body of an upload request.
const UPLOAD: &str = r#"{"source":{"url":"https://media.invalid.example/film.mp4"}}"#;

async fn create(env: &TestEnv, name: &str) -> String {
    let created = env.post(&env.valid_body(name)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.header("location").to_owned()
}

/// A verified key is cached for less than a second.
async fn until_refused(env: &TestEnv, path: &str, key: &str) {
    until("the key is refused", async || get_as(env, path, &[key]).await.status == 401).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rejected_key_gets_the_same_response() {
    let env = env().await;
    let path = create(&env, "mine").await;
    let good = env.api_key.as_str();
    let expired = env.make_key("acme", &["--expires-in-days", "0"]);
    let revoked = env.make_key("acme", &[]);
    revoke_key(&env, &revoked);
    let mut unknown = good.to_owned();
    let last = unknown.pop().unwrap();
    unknown.push(if last == 'a' { 'b' } else { 'a' });
    let cases: [&[&str]; 21] = [
        &[""],
        &["Bearer"],
        &["Bearer "],
        &[&unknown],
        &[&expired],
        &[&revoked],
        &[&format!("Bearer {expired}")],
        &[good, good],
        &[good, "x"],
        &["x", good],
        &[&format!("Basic {good}")],
        &[&format!("Token {good}")],
        &[&format!("Bearer{good}")],
        &[&format!("Bearer Bearer {good}")],
        &[&format!("Bearer: {good}")],
        &[&format!("{good} {good}")],
        &[&format!("{good},{good}")],
        &[&format!("\"{good}\"")],
        &[&good.to_uppercase()],
        &[&format!("{good}\u{e9}")],
        &[good.strip_prefix("pictai_").unwrap()],
    ];
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let missing = exchange(&env, request.as_bytes()).remove(0);
    assert_eq!(missing.status, 401);
    assert_eq!(missing.text, UNAUTHORIZED);
    assert!(missing.header("www-authenticate").contains("Authorization: pictai_"), "how to send a key");
    for keys in cases {
        let answer = get_as(&env, &path, keys).await;
        assert_eq!((answer.status.as_u16(), &*answer.text), (401, UNAUTHORIZED), "{keys:?}");
        assert_eq!(stable_headers(&answer), stable_headers(&missing), "{keys:?}");
    }
    // A body that is too large, or of the wrong type, is not even read.
    let headers = [("authorization", &*unknown), ("content-type", "text/plain")];
    let answer = env.send(Method::POST, COLLECTION, &headers, vec![b'x'; 100_000]).await;
    assert_eq!((answer.status.as_u16(), &*answer.text), (401, UNAUTHORIZED));
    assert_eq!(stable_headers(&answer), stable_headers(&missing));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_accepted_raw_or_as_bearer_in_any_case() {
    let env = env().await;
    let path = create(&env, "mine").await;
    let key = env.api_key.as_str();
    for form in [
        key.to_owned(),
        format!("  {key}  "),
        format!("Bearer {key}"),
        format!("bearer {key}"),
        format!("BEARER {key}"),
        format!("bEaReR    {key} "),
    ] {
        assert_eq!(get_as(&env, &path, &[&form]).await.status, 200, "{form}");
    }
    for name in ["authorization", "AUTHORIZATION", "Authorization", "aUTHORIZATION"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\n{name}: {key}\r\nX-PICTORY-user-id: 7\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(exchange(&env, request.as_bytes())[0].status, 200, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_accounts_connection_is_reported_as_missing() {
    let env = env().await;
    let path = create(&env, "mine").await;
    let stranger = env.make_key("another", &[]);
    let unknown = format!("{COLLECTION}/20260131090500042abcdefghijklmno");
    for method in [Method::GET, Method::HEAD] {
        let headers = [("authorization", &*stranger), ("x-pictory-user-id", "acme")];
        let theirs = env.send(method.clone(), &path, &headers, Vec::new()).await;
        let nobodys = env.send(method.clone(), &unknown, &headers, Vec::new()).await;
        assert_eq!(theirs.status, 404);
        assert_eq!((theirs.status, &theirs.text), (nobodys.status, &nobodys.text));
        assert_eq!(stable_headers(&theirs), stable_headers(&nobodys));
    }
    let second = env.make_key("acme", &[]);
    assert_eq!(get_as(&env, &path, &[&second]).await.status, 200, "another key of the same account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_can_be_added_and_revoked_while_the_service_runs() {
    let env = env().await;
    let path = create(&env, "mine").await;
    let fresh = env.make_key("acme", &["--expires-in-days", "1"]);
    assert_eq!(get_as(&env, &path, &[&fresh]).await.status, 200);
    revoke_key(&env, &fresh);
    until_refused(&env, &path, &fresh).await;
    // The limits of a key's form: 8 and 200 visible characters after the prefix.
    for rest in ["!~,;=\"%\\", &"x".repeat(200)] {
        let key = format!("pictai_{rest}");
        let import =
            |account: &str| env.cli(&["keys", "import", "--account", account], &format!("  {key}\n"));
        let imported = import("acme");
        assert!(imported.status.success(), "{}", printed(&imported));
        assert!(!printed(&imported).contains(&key));
        assert_eq!(get_as(&env, &path, &[&key]).await.status, 200, "{key}");
        assert_eq!(get_as(&env, &path, &[&format!("bearer {key}")]).await.status, 200, "{key}");
        // A key belongs to one account.
        let again = import("acme");
        assert_eq!(again.status.code(), Some(1));
        assert!(printed(&again).contains("this key is known already, as key_"), "{}", printed(&again));
        revoke_key(&env, &key);
        until_refused(&env, &path, &key).await;
        assert_eq!(import("acme").status.code(), Some(1), "a revoked key cannot be imported again");
        assert_eq!(get_as(&env, &path, &[&key]).await.status, 401);
    }
    for bad in
        ["", "pictai_1234567", &format!("pictai_{}", "x".repeat(201)), "sk_12345678", "pictai_1234 5678"]
    {
        let refused = env.cli(&["keys", "import", "--account", "acme"], bad);
        assert_eq!(refused.status.code(), Some(1), "{bad}");
        assert!(
            printed(&refused).contains("standard input contains no valid API key"),
            "{}",
            printed(&refused)
        );
        assert!(bad.is_empty() || !printed(&refused).contains(bad), "{}", printed(&refused));
    }
    assert_eq!(env.get(&path).await.status, 200, "other keys stay valid");
}

/// The kinds of callers, and the status that each route returns to them.
const CALLERS: [&str; 5] = ["no key", "another account", "an expired key", "a revoked key", "a valid key"];
const MATRIX: [(&str, [u16; 5]); 16] = [
    ("GET /health/live", [200, 200, 200, 200, 200]),
    ("GET /health/ready", [200, 200, 200, 200, 200]),
    ("GET /openapi.json", [200, 200, 200, 200, 200]),
    ("GET /docs", [200, 200, 200, 200, 200]),
    // Another account sees and creates its own connections.
    ("GET /v1/whoami", [401, 200, 401, 401, 200]),
    ("POST /v1/vimeo-connections", [401, 201, 401, 401, 201]),
    ("GET /v1/vimeo-connections", [401, 200, 401, 401, 200]),
    ("GET /v1/vimeo-connections/{connectionId}", [401, 404, 401, 401, 200]),
    ("POST /v1/vimeo-connections/{connectionId}/uploads", [401, 404, 401, 401, 202]),
    ("GET /v1/jobs", [401, 200, 401, 401, 200]),
    ("GET /v1/jobs/{jobId}", [401, 404, 401, 401, 200]),
    ("DELETE /v1/jobs/{jobId}", [401, 404, 401, 401, 204]),
    // The job was cancelled above, so its stream ends.
    ("GET /v1/jobs/{jobId}/events", [401, 404, 401, 401, 200]),
    ("POST /v1/webhook-secret", [401, 201, 401, 401, 201]),
    // From here on the connection is disabled.
    ("PUT /v1/vimeo-connections/{connectionId}", [401, 404, 401, 401, 200]),
    // A foreign connection looks like a deleted one, and is not touched.
    ("DELETE /v1/vimeo-connections/{connectionId}", [401, 204, 401, 401, 204]),
];

/// Every route in the OpenAPI description, which is generated from the same declarations as the router.
fn routes() -> BTreeSet<String> {
    let described: Value = serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap();
    let paths = described["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let path = path.strip_prefix("/pictoryapis").unwrap_or(path).to_owned();
        let methods: Vec<_> = item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
        methods.into_iter().map(move |method| format!("{method} {path}"))
    };
    paths.iter().flat_map(of_path).collect()
}

#[test]
fn every_route_has_a_row_in_the_access_matrix() {
    let rows: BTreeSet<_> = MATRIX.iter().map(|(route, _)| (*route).to_owned()).collect();
    assert_eq!(rows, routes());
    // No route bypasses the description.
    for undescribed in [".route(", ".route_service(", ".nest_service(", ".fallback_service("] {
        assert!(!include_str!("../../../../web/src/lib.rs").contains(undescribed), "{undescribed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_follows_the_access_matrix() {
    let env = env().await;
    let path = create(&env, "mine").await;
    let headers = [("authorization", &*env.api_key)];
    let accepted = env.send(Method::POST, &format!("{path}/uploads"), &headers, UPLOAD.into()).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let job = accepted.header("location").to_owned();
    let revoked = env.make_key("acme", &[]);
    revoke_key(&env, &revoked);
    let keys = [
        String::new(),
        env.make_key("another", &[]),
        env.make_key("acme", &["--expires-in-days", "0"]),
        revoked,
        env.api_key.clone(),
    ];
    for (route, statuses) in MATRIX {
        let (method, route_path) = route.split_once(' ').unwrap();
        let target = match route_path {
            "/v1/vimeo-connections/{connectionId}" => path.clone(),
            "/v1/vimeo-connections/{connectionId}/uploads" => format!("{path}/uploads"),
            "/v1/jobs/{jobId}" => job.clone(),
            "/v1/jobs/{jobId}/events" => format!("{job}/events"),
            documented if documented.starts_with("/v1/") => format!("/pictoryapis{documented}"),
            other => other.to_owned(),
        };
        for ((caller, key), status) in CALLERS.iter().zip(&keys).zip(statuses) {
            let body = match method {
                "POST" if route_path.ends_with("/uploads") => UPLOAD.to_owned(),
                "POST" if route_path.ends_with("/webhook-secret") => String::new(),
                "POST" => env.valid_body(&format!("of {caller}")).to_string(),
                "PUT" => "{\"version\":1,\"enabled\":false}".to_owned(),
                _ => String::new(),
            };
            let headers = [("authorization", &**key)];
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = env.send(method, &target, &headers, body.into()).await;
            assert_eq!(answer.status.as_u16(), status, "{route} as {caller}: {}", answer.text);
            if route == "POST /v1/vimeo-connections" && *caller == "another account" {
                assert_eq!(
                    env.get(answer.header("location")).await.status,
                    404,
                    "it belongs to the other account"
                );
            }
        }
    }
    assert_eq!(env.connection_count(), 2, "one was created first, two by the callers, and one was deleted");
}
