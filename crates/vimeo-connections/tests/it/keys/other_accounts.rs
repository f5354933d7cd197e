//! What belongs to another account answers exactly as what does not exist: identifiers, names, page keys, idempotency keys.

use reqwest::Method;
use serde_json::Value;

use super::access_matrix::{Records, body};
use crate::support::harness::{COLLECTION, EnvOptions, Response, TestEnv};
use crate::support::raw_http::stable_headers;

async fn env() -> TestEnv {
    let config = "uploads.work = false\n".to_owned();
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

fn assert_same(one: &Response, other: &Response, what: &str) {
    assert_eq!((one.status, &one.text), (other.status, &other.text), "{what}");
    assert_eq!(stable_headers(one), stable_headers(other), "{what}");
}

/// Every route whose path names a record.
fn routes() -> Vec<String> {
    let document: Value = serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/pictoryapis").unwrap_or(path);
        let methods = item.as_object().unwrap().keys().map(|method| method.to_uppercase());
        routes.extend(methods.map(|method| format!("{method} {path}")).filter(|route| route.contains('{')));
    }
    assert!(routes.len() >= 9, "{routes:?}");
    routes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identifier_of_another_account_answers_as_an_unknown_one() {
    let env = env().await;
    let records = Records::create(&env, 1).await;
    let stranger = env.make_key("another", &[]);
    let flip = |id: &str| {
        let (start, last) = id.split_at(id.len() - 1);
        format!("{start}{}", if last == "0" { "1" } else { "0" })
    };
    let unknown = Records {
        connection: flip(&records.connection),
        job: flip(&records.job),
        key: flip(&records.key),
        endpoint: flip(&records.endpoint),
        delivery: flip(&records.delivery),
        authorization: flip(&records.authorization),
    };
    for route in routes() {
        let (method, template) = route.split_once(' ').unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut answers = Vec::new();
        for records in [&records, &unknown] {
            let headers = [("authorization", &*stranger)];
            let path = records.path(template);
            let body = body(&env, &route, 1);
            answers.push(env.send(method.clone(), &path, &headers, body.into()).await);
        }
        assert_same(&answers[0], &answers[1], &route);
        assert!(answers[0].status == 404 || method == Method::DELETE, "{route}: {}", answers[0].text);
    }
    // Nothing was touched.
    for path in [
        records.path("/v1/vimeo-connections/{connectionId}"),
        records.path("/v1/jobs/{jobId}"),
        records.path("/v1/api-keys/{keyId}"),
        records.path("/v1/webhook-endpoints/{endpointId}"),
    ] {
        assert_eq!(env.get(&path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_of_another_account_answers_as_an_unknown_one() {
    let env = env().await;
    Records::create(&env, 1).await;
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger)];
    let mut answers = Vec::new();
    for name in ["connection%201", "connection%202"] {
        let path = format!("{COLLECTION}?name={name}");
        answers.push(env.send(Method::GET, &path, &headers, Vec::new()).await);
    }
    assert_same(&answers[0], &answers[1], "a list by name");
    let body = env.valid_body("connection 1").to_string();
    let created = env.send(Method::POST, COLLECTION, &headers, body.into()).await;
    assert_eq!(created.status, 201, "the name is free: {}", created.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_key_of_another_account_answers_as_an_altered_one() {
    let env = env().await;
    for number in 0..2 {
        Records::create(&env, number).await;
    }
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger)];
    for list in ["vimeo-connections", "jobs", "api-keys", "webhook-endpoints", "webhook-deliveries"] {
        let path = format!("/pictoryapis/v1/{list}?limit=1");
        let page = env.get(&path).await.json();
        let page_key = page["nextPageKey"].as_str().unwrap_or_else(|| panic!("{list}: {page}")).to_owned();
        assert_eq!(env.get(&format!("{path}&nextPageKey={page_key}")).await.status, 200, "{list}");
        let mut altered = page_key.clone().into_bytes();
        altered[4] = if altered[4] == b'A' { b'B' } else { b'A' };
        let mut answers = Vec::new();
        for page_key in [page_key, String::from_utf8(altered).unwrap(), "bm90aGluZw==".to_owned()] {
            let path = format!("{path}&nextPageKey={page_key}");
            answers.push(env.send(Method::GET, &path, &headers, Vec::new()).await);
        }
        assert_eq!((answers[0].status.as_u16(), &*answers[0].code()), (400, "INVALID_PAGE_KEY"), "{list}");
        assert_same(&answers[0], &answers[1], list);
        assert_same(&answers[0], &answers[2], list);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_of_another_account_is_free() {
    let env = env().await;
    let stranger = env.make_key("another", &[]);
    let body = env.valid_body("mine").to_string();
    let mut answers = Vec::new();
    for (key, idempotency_key) in [(&env.api_key, "k1"), (&stranger, "k1"), (&stranger, "k2")] {
        let headers = [("authorization", &**key), ("idempotency-key", idempotency_key)];
        answers.push(env.send(Method::POST, COLLECTION, &headers, body.clone().into()).await);
    }
    assert_eq!([201, 201, 409], [0, 1, 2].map(|at: usize| answers[at].status.as_u16()));
    assert_eq!(answers[1].header("idempotent-replayed"), "", "it is not replayed");
    assert_eq!(answers[2].code(), "CONNECTION_NAME_EXISTS", "the stranger's own connection has the name");
}
