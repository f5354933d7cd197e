//! HTTP behaviour: headers, paths, methods, entity tags, and persistent connections.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use reqwest::{Method, StatusCode};

use crate::support::harness::{COLLECTION, EnvOptions, TestEnv};
use crate::support::raw_http::{exchange, stable_headers};

const NOT_FOUND: &str = r#"{"code":"NOT_FOUND","message":"There is nothing at this path."}"#;
const NO_SLASH: &str =
    r#"{"code":"NOT_FOUND","message":"There is nothing at this path. Remove the slash at its end."}"#;
const NO_CONNECTION: &str =
    r#"{"code":"CONNECTION_NOT_FOUND","message":"There is no such connection in this account."}"#;
const NO_METHOD: &str =
    r#"{"code":"METHOD_NOT_ALLOWED","message":"This path does not support this method."}"#;

/// The response to a documented path if the service has another base path.
fn elsewhere(base_path: &str) -> String {
    format!(
        r#"{{"code":"NOT_FOUND","message":"There is nothing at this path. The service's base path is {base_path}."}}"#
    )
}

async fn create(env: &TestEnv, name: &str) -> String {
    let created = env.post(&env.valid_body(name)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.header("location").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_response_has_the_common_headers() {
    let env = TestEnv::without_verification("").await;
    let path = create(&env, "common").await;
    let json_type = ("content-type", "application/json");
    let body = || env.valid_body("common").to_string().into_bytes();
    let large = vec![b' '; 70_000];
    let unknown = format!("{COLLECTION}/20260131090500042abcdefghijklmno");
    let other = env.valid_body("another").to_string().into_bytes();
    let requests = [
        (200, Method::GET, &*path, json_type, Vec::new()),
        (304, Method::GET, &path, ("if-none-match", "\"1\""), Vec::new()),
        (200, Method::HEAD, &path, json_type, Vec::new()),
        (200, Method::GET, "/health/live", json_type, Vec::new()),
        (200, Method::GET, "/health/ready", json_type, Vec::new()),
        (400, Method::POST, COLLECTION, json_type, b"{".to_vec()),
        (401, Method::POST, COLLECTION, ("authorization", "nonsense"), body()),
        (404, Method::GET, &unknown, json_type, Vec::new()),
        (404, Method::GET, "/nowhere", json_type, Vec::new()),
        (405, Method::DELETE, COLLECTION, json_type, Vec::new()),
        (409, Method::POST, COLLECTION, json_type, body()),
        (413, Method::POST, COLLECTION, json_type, large),
        (415, Method::POST, COLLECTION, ("content-type", "text/plain"), body()),
        (201, Method::POST, COLLECTION, json_type, other),
    ];
    for (status, method, path, header, body) in requests {
        let answer = env.send(method, path, &[header, ("x-request-id", "a.B_9-")], body).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {answer:?}");
        assert_eq!(answer.header("x-request-id"), "a.B_9-", "{status}");
        assert_eq!(answer.header("cache-control"), "no-store", "{status}");
        let content_type = if status == 304 { "" } else { "application/json" };
        assert_eq!(answer.header("content-type"), content_type, "{status}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"));
        assert!(!answer.headers.contains_key("server"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_is_the_clients_or_generated() {
    let env = TestEnv::without_verification("").await;
    let id_for = async |headers: &[(&str, &str)]| {
        let answer = env.send(Method::GET, "/health/live", headers, Vec::new()).await;
        assert_eq!(answer.headers.get_all("x-request-id").iter().count(), 1);
        answer.header("x-request-id").to_owned()
    };
    for own in ["a", "1", ".", "Req-7_a.b", &"x".repeat(64)] {
        assert_eq!(id_for(&[("x-request-id", own)]).await, own);
    }
    let mut fresh = vec![id_for(&[]).await];
    for foreign in ["", &"x".repeat(65), "a b", "a/b", "a\"b", "{}", "caf\u{e9}", "a,b", "a\tb"] {
        fresh.push(id_for(&[("x-request-id", foreign)]).await);
    }
    for id in &fresh {
        let digits = id.strip_prefix("req_").unwrap();
        assert!(digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    }
    let count = fresh.len();
    fresh.sort();
    fresh.dedup();
    assert_eq!(fresh.len(), count);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_responds_like_get_without_the_body() {
    let env = TestEnv::without_verification("").await;
    let connection = create(&env, "head").await;
    let unknown = format!("{COLLECTION}/nonsense");
    for path in [&*connection, "/health/live", "/health/ready", &unknown, "/nowhere"] {
        let got = env.get(path).await;
        let head = env.send(Method::HEAD, path, &[], Vec::new()).await;
        assert_eq!((head.status, &*head.text), (got.status, ""), "{path}");
        assert_eq!(stable_headers(&head), stable_headers(&got), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_method_gets_405_with_allow() {
    let env = TestEnv::without_verification("").await;
    let connection = create(&env, "methods").await;
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"];
    for (path, allow) in [
        (COLLECTION, "GET,HEAD,POST"),
        (&*connection, "GET,HEAD,PUT,DELETE"),
        (&format!("{COLLECTION}/no-such-id"), "GET,HEAD,PUT,DELETE"),
        ("/pictoryapis/v1/whoami", "GET,HEAD"),
        ("/health/live", "GET,HEAD"),
        ("/health/ready", "GET,HEAD"),
    ] {
        for method in methods.iter().filter(|method| !allow.contains(*method)) {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            // The method is checked before the key.
            let answer = env.send(method.clone(), path, &[("authorization", "x")], Vec::new()).await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.header("allow"), allow, "{method} {path}");
            if method != Method::HEAD {
                assert_eq!(answer.text, NO_METHOD, "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_path_is_404_with_or_without_a_key() {
    let env = TestEnv::without_verification("").await;
    let connection = create(&env, "paths").await;
    let slashed = format!("{connection}/");
    let below = format!("{connection}/nothing");
    let elsewhere = elsewhere("/pictoryapis");
    let renamed = r#"{"code":"NOT_FOUND","message":"There is nothing at this path. Connections are at /pictoryapis/v1/vimeo-connections."}"#;
    for (path, text) in [
        ("/", NOT_FOUND),
        ("/nowhere", NOT_FOUND),
        ("/pictoryapis", NOT_FOUND),
        ("/pictoryapis/", NO_SLASH),
        ("/pictoryapis/v1", NOT_FOUND),
        ("/pictoryapis/v2/vimeo-connections", NOT_FOUND),
        ("/pictoryapis/v1/vimeo-connections/", NO_SLASH),
        ("/pictoryapis/v1/Vimeo-Connections", NOT_FOUND),
        ("/pictoryapis/v1/vimeo/connections", renamed),
        ("//pictoryapis/v1/vimeo-connections", &elsewhere),
        ("/v1/vimeo-connections", &elsewhere),
        ("/pictoryapis/health/live", NOT_FOUND),
        ("/health", NOT_FOUND),
        ("/health/live/", NO_SLASH),
        (&slashed, NO_SLASH),
        (&below, NOT_FOUND),
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            for headers in [&[][..], &[("authorization", "nonsense")]] {
                let answer = env.send(method.clone(), path, headers, Vec::new()).await;
                assert_eq!((answer.status.as_u16(), &*answer.text), (404, text), "{method} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_identifier_is_404() {
    let env = TestEnv::without_verification("").await;
    let connection = create(&env, "identifiers").await;
    let id = connection.rsplit('/').next().unwrap();
    let upper = id.to_uppercase();
    let longer = format!("{id}0");
    let spaced = format!("%20{id}");
    for id in [
        "20260131090500042abcdefghijklmno",
        "x",
        "%20",
        "%00",
        "%ff",
        "%C3%28",
        "%F0%9F%98%80",
        "%2e%2e%2fhealth",
        "a%2Fb",
        "null",
        "1'%20OR%20'1'='1",
        if upper == id { "X" } else { &upper },
        &id[1..],
        &longer,
        &spaced,
        &"9".repeat(4_000),
    ] {
        // Sent as raw bytes: a client library could normalise the escapes.
        let request = format!(
            "GET {COLLECTION}/{id} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nconnection: close\r\n\r\n",
            env.api_key
        );
        let answer = exchange(&env, request.as_bytes()).remove(0);
        assert_eq!((answer.status.as_u16(), &*answer.text), (404, NO_CONNECTION), "{id}");
    }
    // An escape of the same character is the same path.
    let escaped = format!("{COLLECTION}/%{:02x}{}", id.as_bytes()[0], &id[1..]);
    assert_eq!(env.get(&escaped).await.status, 200);
    let queried = env.get(&format!("{connection}?anything=at&all")).await;
    assert_eq!(queried.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bodyless_response_has_no_wrong_content_length() {
    let env = TestEnv::without_verification("").await;
    let path = create(&env, "length").await;
    let length = env.get(&path).await.text.len().to_string();
    let head = env.send(Method::HEAD, &path, &[], Vec::new()).await;
    assert_eq!((head.status.as_u16(), head.header("content-length")), (200, &*length));
    for method in [Method::GET, Method::HEAD] {
        let unchanged = env.send(method, &path, &[("if-none-match", "\"1\"")], Vec::new()).await;
        assert_eq!((unchanged.status.as_u16(), unchanged.header("content-length")), (304, ""));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn if_none_match_gets_304_for_a_current_etag() {
    let env = TestEnv::without_verification("").await;
    let path = create(&env, "tags").await;
    let ask = async |tags: &[&str]| {
        let headers: Vec<_> = tags.iter().map(|tag| ("if-none-match", *tag)).collect();
        let answer = env.send(Method::GET, &path, &headers, Vec::new()).await;
        assert_eq!(answer.header("etag"), "\"1\"", "{tags:?}");
        assert_eq!(answer.text.is_empty(), answer.status == 304, "{tags:?}");
        answer.status.as_u16()
    };
    for tags in [
        &["\"1\""][..],
        &["W/\"1\""],
        &["*"],
        &["\"0\", \"1\""],
        &["\"2\",W/\"1\",\"3\""],
        &["  \"1\"  "],
        &["\"2\"", "\"1\""],
    ] {
        assert_eq!(ask(tags).await, 304, "{tags:?}");
    }
    for tags in [
        &[][..],
        &["\"2\""],
        &["1"],
        &["\"1"],
        &["w/\"1\""],
        &["\"11\""],
        &["W/*"],
        &[""],
        &["caf\u{e9}"],
        &["\"\""],
    ] {
        assert_eq!(ask(tags).await, 200, "{tags:?}");
    }
    // An entity tag does not reveal that a connection exists.
    let stranger = env.make_key("another", &[]);
    let headers = [("authorization", &*stranger), ("if-none-match", "*")];
    assert_eq!(env.send(Method::GET, &path, &headers, Vec::new()).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_may_have_a_content_type_and_a_body() {
    let env = TestEnv::without_verification("").await;
    let path = create(&env, "get").await;
    for (content_type, body) in
        [("application/json", ""), ("text/xml", ""), ("application/x-www-form-urlencoded", "a=b"), ("x", "{")]
    {
        let headers = [("content-type", content_type), ("x-pictory-user-id", "somebody-else")];
        let answer = env.send(Method::GET, &path, &headers, body.into()).await;
        assert_eq!(answer.status, 200, "{content_type}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_base_path_is_configurable() {
    for (base_path, prefix) in [("/", ""), ("/a/b-c", "/a/b-c"), ("/health", "/health")] {
        let config = format!("base_path = \"{base_path}\"\n");
        let env = TestEnv::with(EnvOptions { verification_off: true, config, ..EnvOptions::default() }).await;
        let collection = format!("{prefix}/v1/vimeo-connections");
        let body = env.valid_body("elsewhere").to_string().into_bytes();
        let created = env.send(Method::POST, &collection, &[], body).await;
        assert_eq!(created.status, 201, "{base_path}");
        let location = created.header("location");
        assert!(location.starts_with(&format!("{collection}/2")), "{location}");
        assert_eq!(env.get(location).await.status, 200);
        assert_eq!(env.get("/health/live").await.text, r#"{"status":"live"}"#);
        let lost = if prefix.is_empty() { NOT_FOUND.to_owned() } else { elsewhere(prefix) };
        assert_eq!(env.get(COLLECTION).await.text, lost);
    }
}

/// Sends one request and reads its response on a connection that stays open.
fn ask(stream: &mut BufReader<TcpStream>, request: &str) -> String {
    stream.get_mut().write_all(request.as_bytes()).unwrap();
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(stream.read_line(&mut head).unwrap(), 0, "closed after {head:?}");
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_stays_usable_after_an_error_with_a_body() {
    let env = TestEnv::without_verification("").await;
    let key = env.api_key.as_str();
    let request = |method: &str, path: &str, key: &str, media_type: &str, body: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let good = env.valid_body("kept alive").to_string();
    // Larger than the socket buffers: a client that writes everything first must still get its response.
    let large = " ".repeat(3_000_000);
    let mut stream = BufReader::new(TcpStream::connect(env.service.address).unwrap());
    for (asked, status) in [
        (request("POST", COLLECTION, "nonsense", "application/json", &large), 401),
        (request("POST", COLLECTION, key, "text/plain", &large), 415),
        (request("POST", COLLECTION, key, "application/json", &large), 413),
        (request("POST", COLLECTION, key, "application/json", "{\"name\":"), 400),
        (request("PUT", COLLECTION, key, "application/json", &large), 405),
        (request("POST", "/nowhere", key, "application/json", &large), 404),
        (request("POST", COLLECTION, key, "application/json", &good), 201),
        (request("POST", COLLECTION, key, "application/json", &good), 409),
        (request("GET", "/health/live", key, "application/json", &good), 200),
    ] {
        let answer = ask(&mut stream, &asked);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {answer}");
    }
    // Several pipelined requests, the last of which closes the connection.
    let all = request("POST", COLLECTION, "nonsense", "application/json", &good)
        + &request("POST", COLLECTION, key, "application/json", "[]")
        + &request("GET", "/health/live", key, "x", "")
        + "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let statuses: Vec<_> =
        exchange(&env, all.as_bytes()).iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses, [401, 400, 200, 404]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_100_continue_is_answered_before_the_body() {
    let env = TestEnv::without_verification("").await;
    let body = env.valid_body("expected").to_string();
    let head = |key: &str| {
        format!(
            "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
            body.len()
        )
    };
    let mut stream = BufReader::new(TcpStream::connect(env.service.address).unwrap());
    let interim = ask(&mut stream, &head(&env.api_key));
    assert!(interim.starts_with("HTTP/1.1 100 "), "{interim}");
    let answer = ask(&mut stream, &body);
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    // A rejected client need not send the body.
    let mut stream = BufReader::new(TcpStream::connect(env.service.address).unwrap());
    let answer = ask(&mut stream, &head("nonsense"));
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_not_accepted() {
    let env = TestEnv::start().await;
    let answer = env.raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_oversized_content_length_gets_413_without_continue() {
    let env = TestEnv::start().await;
    let answer = env.raw(
        format!(
            "POST {COLLECTION} HTTP/1.1\r\nhost: x\r\nauthorization: {}\r\nexpect: 100-continue\r\n\
             content-length: 999999\r\n\r\n",
            env.api_key
        )
        .as_bytes(),
    );
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
