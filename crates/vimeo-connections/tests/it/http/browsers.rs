//! CORS, the OpenAPI document and the page of the API.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{COLLECTION, Response, TestEnv};

const OURS: &str = "https://app.example.com";
const THEIRS: &str = "https://elsewhere.example";

async fn preflight(env: &TestEnv, origin: &str) -> Response {
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "authorization,content-type,idempotency-key"),
    ];
    env.send(Method::OPTIONS, COLLECTION, &headers, Vec::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_configured_origins_may_read_responses() {
    let env = TestEnv::without_verification(&format!("cors_origins = [\"{OURS}\"]\n")).await;
    let asked = preflight(&env, OURS).await;
    assert_eq!((asked.status.as_u16(), &*asked.text), (200, ""));
    assert_eq!(asked.header("access-control-allow-origin"), OURS);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
        assert!(asked.header("access-control-allow-methods").contains(method), "{method}");
    }
    for name in
        ["authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"]
    {
        assert!(asked.header("access-control-allow-headers").contains(name), "{name}");
    }
    assert_eq!(preflight(&env, THEIRS).await.header("access-control-allow-origin"), "");
    // Every kind of response is readable: successes, refusals, and those of the router.
    for (method, path, status) in [
        (Method::GET, COLLECTION, 200),
        (Method::POST, COLLECTION, 400),
        (Method::PATCH, COLLECTION, 405),
        (Method::GET, "/nowhere", 404),
    ] {
        let answer = env.send(method, path, &[("origin", OURS)], b"{}".to_vec()).await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("access-control-allow-origin"), OURS, "{path} {status}");
        let exposed = answer.header("access-control-expose-headers");
        for name in ["etag", "location", "retry-after", "x-request-id", "x-ignored-fields"] {
            assert!(exposed.contains(name), "{name}");
        }
        assert!(answer.header("vary").contains("origin"));
    }
    // Other OPTIONS requests are handled as without CORS.
    for (path, headers, status) in
        [(COLLECTION, vec![], 405), (COLLECTION, vec![("origin", OURS)], 405), ("/nowhere", vec![], 404)]
    {
        let answer = env.send(Method::OPTIONS, path, &headers, Vec::new()).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    let theirs = env.send(Method::GET, COLLECTION, &[("origin", THEIRS)], Vec::new()).await;
    assert_eq!((theirs.status.as_u16(), theirs.header("access-control-allow-origin")), (200, ""));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_origins_there_are_no_cors_headers() {
    let env = TestEnv::without_verification("").await;
    let asked = preflight(&env, OURS).await;
    assert_eq!((asked.status.as_u16(), asked.code()), (405, "METHOD_NOT_ALLOWED".to_owned()));
    for answer in [asked, env.send(Method::GET, COLLECTION, &[("origin", OURS)], Vec::new()).await] {
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control-")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wildcard_allows_any_origin() {
    let env = TestEnv::without_verification("cors_origins = [\"*\"]\n").await;
    assert_eq!(preflight(&env, THEIRS).await.header("access-control-allow-origin"), "*");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_docs_page_is_self_contained_and_lists_every_operation() {
    let env = TestEnv::without_verification("").await;
    let page = env.get("/docs").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
    for elsewhere in ["<script", "<link", "<img", "<iframe", "@import", "url(", "src="] {
        assert!(!page.text.contains(elsewhere), "{elsewhere}");
    }
    let described = env.get("/openapi.json").await.json();
    let operations = operations(&described);
    assert!(operations.len() >= 10);
    for operation in operations {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.text.contains(&format!("<article id=\"{id}\">")), "{id}");
        assert!(page.text.contains(&format!("<a href=\"#{id}\">")), "{id}");
    }
    for code in
        described["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].as_array().unwrap()
    {
        assert!(page.text.contains(code.as_str().unwrap()), "{code}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openapi_follows_the_base_path_and_documents_refusals() {
    let env = TestEnv::without_verification("base_path = \"/video/api\"\n").await;
    let described = env.get("/openapi.json").await.json();
    assert_eq!(described["openapi"].as_str().unwrap().split_at(3).0, "3.1");
    let paths: Vec<_> = described["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(paths.contains(&"/video/api/v1/vimeo-connections".to_owned()), "{paths:?}");
    for operation in operations(&described) {
        let is_open = operation["security"] == json!([]);
        assert_eq!(operation["responses"].get("401").is_none(), is_open, "{}", operation["operationId"]);
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(!response["description"].as_str().unwrap().is_empty());
            assert!(response["headers"].get("X-Request-Id").is_some(), "{status}");
        }
    }
}

fn operations(described: &Value) -> Vec<&Value> {
    let paths = described["paths"].as_object().unwrap().values();
    paths.flat_map(|item| item.as_object().unwrap().values()).collect()
}
