//! Request and response headers: exactly one `Host`, and no response header that a caller can inflate.

use reqwest::Method;
use serde_json::json;

use crate::support::harness::{COLLECTION, EnvOptions, TestEnv};
use crate::support::raw_http::exchange;

/// More than the headers of any response need.
const HEAD_MAX_BYTES: usize = 2_048;

async fn env(config: &str) -> TestEnv {
    let config = format!("uploads.work = false\n{config}");
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_must_have_exactly_one_host() {
    let env = env("").await;
    let get = |version: &str, hosts: &[&str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("Host: {host}\r\n")).collect();
        let (hosts, end) = (hosts.concat(), "Connection: close\r\n\r\n");
        exchange(&env, format!("GET /health/live HTTP/{version}\r\n{hosts}{end}").as_bytes()).remove(0)
    };
    for (version, hosts, errors) in [
        ("1.1", &[][..], "is required"),
        ("1.1", &["a", "a"], "must be given once"),
        ("1.1", &["a", "b"], "must be given once"),
        ("1.1", &["", ""], "must be given once"),
        ("1.1", &["a", "b", "c"], "must be given once"),
        ("1.0", &["a", "b"], "must be given once"),
        ("1.1", &["a, b"], "must be a host name or address, with or without a port"),
        ("1.1", &["a/b"], "must be a host name or address, with or without a port"),
        ("1.1", &["user@a"], "must be a host name or address, with or without a port"),
        ("1.1", &["a b"], "must be a host name or address, with or without a port"),
    ] {
        let refused = get(version, hosts);
        assert_eq!(refused.status, 400, "{version} {hosts:?}");
        let message = format!("A request header is not valid: Host {errors}.");
        let text = format!(
            r#"{{"code":"INVALID_REQUEST_HEADER","message":"{message}","fields":[{{"name":"Host","errors":"{errors}"}}]}}"#
        );
        assert_eq!(refused.text, text, "{version} {hosts:?}");
        assert!(refused.header("x-request-id").starts_with("req_"));
    }
    for (version, hosts) in [
        ("1.1", &["localhost"][..]),
        ("1.1", &["127.0.0.1:8080"]),
        ("1.1", &["[::1]:8080"]),
        ("1.1", &["a_b.example"]),
        ("1.1", &[""]),
        ("1.0", &[]),
        ("1.0", &["localhost"]),
    ] {
        assert_eq!(get(version, hosts).status, 200, "{version} {hosts:?}");
    }
    // An absolute target does not replace `Host`. The path and the body make no difference.
    for request in [
        "GET http://a/health/live HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nConnection: close\r\n\r\n",
        "POST /pictoryapis/v1/vimeo-connections HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    ] {
        assert_eq!(exchange(&env, request.as_bytes())[0].status, 400, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_cannot_inflate_response_headers() {
    let env = env("cors_origins = [\"*\"]\n").await;
    let connection = env.post(&env.valid_body("mine")).await.header("location").to_owned();
    let long = "x".repeat(3_000);
    let mut ignored = env.valid_body("long");
    for number in 0..1_000 {
        ignored[format!("unheard_of_but_as_long_as_shown_{number:07}")] = json!(1);
    }
    let ignored = ignored.to_string();
    let upload = format!(r#"{{"source":{{"url":"https://media.invalid.example/{long}"}}}}"#);
    let long_key = long.get(..255).unwrap();
    let origin = format!("https://{}.example", "a".repeat(2_500));
    let headers = [
        ("x-request-id", long.as_str()),
        ("origin", &origin),
        ("x-forwarded-for", &long),
        ("x-pictory-user-id", &long),
        ("accept", &long),
        ("if-none-match", &long),
        ("last-event-id", &long),
    ];
    let with = |more: &[(&'static str, String)]| {
        let more = more.iter().map(|(name, value)| (*name, value.clone()));
        headers.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(more).collect::<Vec<_>>()
    };
    let uploads = format!("{connection}/uploads");
    let key = ("idempotency-key", long_key.to_owned());
    let asked_for = ("access-control-request-headers", format!("authorization,{long}"));
    let preflight = [("access-control-request-method", "PUT".to_owned()), asked_for];
    for (status, method, path, more, body) in [
        (201, Method::POST, COLLECTION.to_owned(), vec![key.clone()], ignored.as_str()),
        (201, Method::POST, COLLECTION.to_owned(), vec![key.clone()], &ignored),
        (202, Method::POST, uploads.clone(), vec![key], &upload),
        (400, Method::POST, uploads, vec![("idempotency-key", long.clone())], &upload),
        (200, Method::GET, format!("{COLLECTION}?name={long}"), vec![], ""),
        (400, Method::GET, format!("{COLLECTION}?nextPageKey={long}"), vec![], ""),
        (200, Method::GET, connection, vec![], ""),
        (401, Method::GET, COLLECTION.to_owned(), vec![("authorization", long.clone())], ""),
        (404, Method::GET, format!("/{long}"), vec![], ""),
        (405, Method::PATCH, COLLECTION.to_owned(), vec![], ""),
        (200, Method::OPTIONS, COLLECTION.to_owned(), preflight.into(), ""),
    ] {
        let headers = with(&more);
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let answer = env.send(method.clone(), &path, &headers, body.into()).await;
        let path = path.get(..40).unwrap_or(&path);
        assert_eq!(answer.status.as_u16(), status, "{method} {path}: {}", answer.text);
        let lengths = answer.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        let length: usize = lengths.sum();
        assert!(length <= HEAD_MAX_BYTES, "{method} {path}: {length} bytes: {:?}", answer.headers);
    }
}
