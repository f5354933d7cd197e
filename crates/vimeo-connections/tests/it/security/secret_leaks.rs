//! No secret is where it does not belong: every path is exercised with canaries, then every byte of output is
//! searched.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::canaries::Canaries;
use crate::support::harness::{
    ACCOUNT, COLLECTION, EnvOptions, Response, Service, TestEnv, binary, printed, run,
};
use crate::support::keyring::keyring_key;

const CLIENT_SECRET: &str = "Canary-Secret+/=\"\\%&<>{};0123456789";
const ACCESS_TOKEN: &str = "Canary-Token+/=\"\\%&~!$'*,;@[]^_`|";
const API_KEY: &str = "pictai_Canary-Key+/=\"\\%&<>0123456789";
const WRONG_KEY: &str = "pictai_Canary-Wrong-Key+/=\"\\%&<>012345";
const STRAY_TOKEN: &str = "Canary-Stray+/=\"\\%&0123456789";
/// A canary for places where no secret belongs: paths, queries, header names, field names.
const ELSEWHERE: &str = "canary-elsewhere-0123456789-0123456789-0123456789";
const PROXY_PASSWORD: &str = "Canary-Proxy-Password-0123456789";

/// An environment with canaries as secrets, and all output so far.
struct CanaryEnv {
    env: TestEnv,
    canaries: Canaries,
    heard: Vec<u8>,
    statuses: BTreeSet<u16>,
}

impl CanaryEnv {
    async fn new() -> Self {
        let config =
            "vimeo.budget_seconds = 1\nshutdown_seconds = 1\napi_keys.allow_weak = true\n".to_owned();
        let env = TestEnv::with(EnvOptions { config, open_sandbox: true, ..EnvOptions::default() }).await;
        let imported = env.cli(&["keys", "import", "--account", ACCOUNT], API_KEY);
        assert!(imported.status.success(), "{}", printed(&imported));
        let keyring = keyring_key(env.path());
        let raw = STANDARD.decode(&keyring).unwrap();
        let canaries = Canaries::of(&[
            ("client secret", CLIENT_SECRET.as_bytes()),
            ("access token", ACCESS_TOKEN.as_bytes()),
            ("imported key", API_KEY.as_bytes()),
            ("made key", env.api_key.as_bytes()),
            ("wrong key", WRONG_KEY.as_bytes()),
            ("stray token", STRAY_TOKEN.as_bytes()),
            ("elsewhere", ELSEWHERE.as_bytes()),
            ("keyring text", keyring.as_bytes()),
            ("keyring bytes", &raw),
        ]);
        let heard = printed(&imported).into_bytes();
        Self { env, canaries, heard, statuses: BTreeSet::new() }
    }

    fn body(&self, name: &str) -> Value {
        let mut body = self.env.valid_body(name);
        body["clientIdentifier"] = json!("guest-client");
        body["clientSecret"] = json!(CLIENT_SECRET);
        body["accessToken"] = json!(ACCESS_TOKEN);
        body
    }

    fn hear(&mut self, answer: &Response) {
        self.statuses.insert(answer.status.as_u16());
        self.heard.extend(format!("{:?}\n{}\n", answer.headers, answer.text).into_bytes());
    }

    async fn send(&mut self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let headers = [&[("authorization", API_KEY)][usize::from(has_key(headers))..], headers].concat();
        let answer = self.env.send(method, path, &headers, body.as_bytes().to_vec()).await;
        self.hear(&answer);
        answer
    }

    async fn create(&mut self, body: &Value) -> Response {
        self.send(Method::POST, COLLECTION, &[], &body.to_string()).await
    }

    fn command(&mut self, arguments: &[&str]) -> Output {
        let output = self.env.cli(arguments, "");
        self.heard.extend(printed(&output).into_bytes());
        output
    }

    /// Asserts that no canary is in any output or file so far.
    fn assert_silent(&self) {
        let heard = self.canaries.in_bytes(&self.heard);
        assert!(heard.is_empty(), "{heard:?} in a response: {}", String::from_utf8_lossy(&self.heard));
        let keyring = self.env.path().join("vimeo-connections.keyring");
        let found = self.canaries.in_files(self.env.path(), &[&keyring]);
        assert!(found.is_empty(), "{found:?}");
        assert!(
            !self.canaries.in_bytes(&fs::read(keyring).unwrap()).is_empty(),
            "the search finds the key of the keyring"
        );
    }
}

fn has_key(headers: &[(&str, &str)]) -> bool {
    headers.iter().any(|(name, _)| *name == "authorization")
}

/// Client errors, with canaries wherever possible.
async fn err_in_every_way(canary_env: &mut CanaryEnv) {
    let good = canary_env.body("errors").to_string();
    for bad in [
        json!({ "name": [CLIENT_SECRET], "clientSecret": { "a": CLIENT_SECRET }, "accessToken": [ACCESS_TOKEN],
            "clientIdentifier": 5, "enabled": ACCESS_TOKEN, "description": [CLIENT_SECRET] }),
        json!({ "name": CLIENT_SECRET, "clientSecret": format!("{CLIENT_SECRET}\u{e9}"), "enabled": true,
            "accessToken": ACCESS_TOKEN.repeat(20), "clientIdentifier": format!("{CLIENT_SECRET} ") }),
        json!({ ELSEWHERE: 1, CLIENT_SECRET: 2, ACCESS_TOKEN: 3, API_KEY: 4, "client_secret": CLIENT_SECRET }),
        json!([CLIENT_SECRET, ACCESS_TOKEN]),
        json!(ACCESS_TOKEN),
    ] {
        let answer = canary_env.create(&bad).await;
        assert_eq!(
            (answer.status.as_u16(), answer.fields().is_empty()),
            (400, !bad.is_object()),
            "{answer:?}"
        );
    }
    let twice = format!("{{\"{ELSEWHERE}\":1,\"{ELSEWHERE}\":2}}");
    let broken = [&good[..good.len() - 9], CLIENT_SECRET, &twice, &format!("{good}{ACCESS_TOKEN}"), ""];
    for body in broken {
        assert_eq!(canary_env.send(Method::POST, COLLECTION, &[], body).await.status, 400);
    }
    let mut ignored = canary_env.body("ignored fields");
    ignored[ELSEWHERE] = json!(ELSEWHERE);
    ignored[CLIENT_SECRET] = json!(1);
    assert_eq!(canary_env.create(&ignored).await.status, 201);
    assert_eq!(canary_env.create(&ignored).await.status, 409);

    for key in [WRONG_KEY, CLIENT_SECRET, &format!("Bearer {WRONG_KEY}"), &format!("Basic {API_KEY}")] {
        let answer = canary_env.send(Method::POST, COLLECTION, &[("authorization", key)], &good).await;
        assert_eq!(answer.status, 401);
    }
    let large = json!({ "name": ACCESS_TOKEN.repeat(4000) });
    assert_eq!(canary_env.create(&large).await.status, 413);
    let odd = format!("text/{ELSEWHERE}");
    let answer = canary_env.send(Method::POST, COLLECTION, &[("content-type", odd.as_str())], &good).await;
    assert_eq!(answer.status, 415);
    for (method, path, status) in [
        (Method::GET, format!("{COLLECTION}/{ELSEWHERE}"), 404),
        (Method::GET, format!("/{ELSEWHERE}?{ELSEWHERE}={ELSEWHERE}"), 404),
        (Method::HEAD, format!("{COLLECTION}/{ELSEWHERE}"), 404),
        (Method::PATCH, format!("{COLLECTION}?q={ELSEWHERE}"), 405),
    ] {
        let headers =
            [(ELSEWHERE, ELSEWHERE), ("x-request-id", "not one: canary"), ("x-pictory-user-id", ELSEWHERE)];
        assert_eq!(canary_env.send(method, &path, &headers, &good).await.status, status);
    }
}

/// Malformed requests that no HTTP client sends.
fn talk_nonsense(canary_env: &mut CanaryEnv) {
    let host = "Host: x\r\nConnection: close\r\n";
    for request in [
        format!("{API_KEY} {ELSEWHERE} HTTP/1.1\r\n{host}\r\n"),
        format!("GET {ELSEWHERE} {API_KEY}\r\n{host}\r\n"),
        format!("GET /{CLIENT_SECRET} HTTP/1.1\r\n{host}\r\n"),
        format!("{ELSEWHERE}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}{ACCESS_TOKEN}: {ELSEWHERE}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Authorization: {API_KEY}\u{1}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\n{host}Authorization: {API_KEY}\r\nAuthorization: {API_KEY}\r\n\r\n"),
        format!(
            "POST {COLLECTION} HTTP/1.1\r\n{host}Authorization: {API_KEY}\r\nContent-Length: {ELSEWHERE}\r\n\r\n"
        ),
        format!(
            "POST {COLLECTION} HTTP/1.1\r\n{host}Authorization: {API_KEY}\r\nTransfer-Encoding: chunked\r\n\r\n{ELSEWHERE}\r\n"
        ),
        format!(
            "POST {COLLECTION} HTTP/1.1\r\n{host}Authorization: {API_KEY}\r\nContent-Length: 99999\r\n\r\n{{\"clientSecret\":\"{CLIENT_SECRET}\""
        ),
    ] {
        let answered = canary_env.env.raw(request.as_bytes());
        canary_env.heard.extend(answered.into_bytes());
    }
    // The service may close the connection before it has read everything.
    let endless = format!("GET / HTTP/1.1\r\n{host}X: {}\r\n\r\n", ELSEWHERE.repeat(20_000));
    let mut stream = TcpStream::connect(canary_env.env.service.address).unwrap();
    let _ = stream.write_all(endless.as_bytes());
    let _ = stream.read_to_end(&mut canary_env.heard);
}

/// A misbehaving Vimeo, which echoes what it was sent in every form.
async fn ask_a_bad_vimeo(canary_env: &mut CanaryEnv) {
    let echo = format!("{CLIENT_SECRET} {ACCESS_TOKEN} {STRAY_TOKEN}");
    let shaped = json!({ "error": echo, "developer_message": echo, "error_code": 8003, "link": echo });
    let location = format!("http://127.0.0.1:9/?token={STRAY_TOKEN}");
    let mut statuses = BTreeSet::new();
    for route in ["GET /oauth/verify", "POST /oauth/authorize/client"] {
        for (n, mut fault) in [
            json!({ "kind": "status", "status": 401, "body": shaped }),
            json!({ "kind": "status", "status": 400, "body": shaped }),
            json!({ "kind": "status", "status": 500, "body": shaped }),
            json!({ "kind": "status", "status": 401, "body": echo }),
            json!({ "kind": "status", "status": 403, "body": format!("<p>{echo}</p>"), "content_type": "text/html",
                "headers": { "www-authenticate": format!("Bearer error=\"{STRAY_TOKEN}\"") } }),
            json!({ "kind": "status", "status": 429, "headers": { "x-ratelimit-reset": STRAY_TOKEN } }),
            json!({ "kind": "redirect", "location": location }),
            json!({ "kind": "wrong-json", "body": { "access_token": STRAY_TOKEN, "scope": [echo], "app": echo } }),
            json!({ "kind": "wrong-json", "body": { "access_token": STRAY_TOKEN, "scope": echo,
                "app": { "uri": ACCESS_TOKEN }, "user": { "uri": echo } } }),
            json!({ "kind": "html" }),
            json!({ "kind": "truncate" }),
            json!({ "kind": "huge", "bytes": 2_000_000 }),
            json!({ "kind": "empty" }),
            json!({ "kind": "cut" }),
            json!({ "kind": "reset" }),
            json!({ "kind": "delay", "millis": 1500 }),
        ]
        .into_iter()
        .enumerate()
        {
            fault["route"] = json!(route);
            canary_env.env.inject_fault(fault.clone()).await;
            let answer = canary_env.create(&canary_env.body(&format!("bad vimeo {n}"))).await;
            assert!(matches!(answer.status.as_u16(), 422 | 503), "{fault}: {answer:?}");
            statuses.insert(answer.status.as_u16());
            canary_env.env.control(Method::DELETE, "faults", Value::Null).await;
        }
    }
    assert_eq!(statuses, BTreeSet::from([422, 503]));
    let mut refused = canary_env.body("refused");
    refused["accessToken"] = json!(format!("{ACCESS_TOKEN}-invalid"));
    assert_eq!(canary_env.create(&refused).await.status, 422);
    // The grant leaves a token that cannot be revoked.
    let granted =
        json!({ "access_token": STRAY_TOKEN, "token_type": "bearer", "app": { "uri": "/apps/none" } });
    let grant = json!({ "route": "POST /oauth/*", "kind": "status", "status": 200, "body": granted });
    let stuck = json!({ "route": "DELETE /tokens", "kind": "status", "status": 500, "body": shaped, "times": "always" });
    canary_env.env.inject_fault(grant).await;
    canary_env.env.inject_fault(stuck).await;
    assert_eq!(canary_env.create(&canary_env.body("a stray token")).await.status, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_returned_logged_or_written() {
    let mut canary_env = CanaryEnv::new().await;
    let created = canary_env.create(&canary_env.body("a success")).await;
    assert_eq!(created.status, 201);
    let path = created.header("location").to_owned();
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(canary_env.send(method, &path, &[], "").await.status, 200);
    }
    err_in_every_way(&mut canary_env).await;
    talk_nonsense(&mut canary_env);
    ask_a_bad_vimeo(&mut canary_env).await;
    let driven = [200, 201, 400, 401, 404, 405, 409, 413, 415, 422, 503];
    assert!(driven.iter().all(|status| canary_env.statuses.contains(status)), "{:?}", canary_env.statuses);

    let process = Path::new("/proc").join(canary_env.env.service.id().to_string());
    let children =
        fs::read_to_string(process.join("task").join(process.file_name().unwrap()).join("children"));
    assert_eq!(children.unwrap_or_default(), "", "the service has no children");
    for seen_by_others in ["cmdline", "environ", "comm", "status"] {
        // Some of these are readable for administrators only.
        canary_env.heard.extend(fs::read(process.join(seen_by_others)).unwrap_or_default());
    }
    canary_env.assert_silent();

    // Checked with all data in the WAL, then after a recovery, then in the database file.
    canary_env.env.kill_and_restart();
    canary_env.assert_silent();
    let listed = canary_env.command(&["keys", "list", "--json"]);
    let key_id =
        serde_json::from_slice::<Value>(&listed.stdout).unwrap()[1]["keyId"].as_str().unwrap().to_owned();
    for arguments in [
        &["keys", "list"][..],
        &["keys", "revoke", &key_id],
        &["keys", "revoke", API_KEY],
        &["accounts", "list"],
        &["connections", "check"],
        &["connections", "list", "--account", ACCOUNT],
        &["connections", "list", "--account", ACCOUNT, "--json"],
        &["connections", "show", "errors", "--account", ACCOUNT],
        &["config", "check"],
        &["init"],
    ] {
        canary_env.command(arguments);
    }
    assert_eq!(canary_env.send(Method::GET, &path, &[], "").await.status, 401);
    assert_eq!(canary_env.env.service.terminate(), Some(0));
    canary_env.assert_silent();
    assert!(canary_env.env.log().contains("\"answered\""), "the WAL must not be empty when it is searched");
}

/// A proxy that echoes what it was sent; its URL, with a password.
fn showing_proxy() -> String {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://user:{PROXY_PASSWORD}@{}", proxy.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in proxy.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap_or(0);
            let shown = String::from_utf8_lossy(&request[..read]).into_owned();
            let head =
                format!("HTTP/1.1 407 Shown\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", shown.len());
            let _ = stream.write_all(format!("{head}{shown}").as_bytes());
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn configured_secrets_are_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let key = STANDARD.encode(b"canary canary canary canary 0123");
    let proxy_url = showing_proxy();
    let listen = "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nlog.level = \"trace\"\n";
    fs::write(path.join("vimeo-connections.toml"), listen).unwrap();
    let good = [
        ("VIMEO_CONNECTIONS_KEYRING__VALUE", key.as_str()),
        ("VIMEO_CONNECTIONS_VIMEO__PROXY", proxy_url.as_str()),
        ("VIMEO_CONNECTIONS_VIMEO__BASE_URL", "http://127.0.0.1:9"),
    ];
    let canaries = Canaries::of(&[
        ("keyring text", key.as_bytes()),
        ("keyring bytes", b"canary canary canary canary 0123"),
        ("passphrase", b"canary correct horse battery staple"),
        ("proxy password", PROXY_PASSWORD.as_bytes()),
        ("client secret", CLIENT_SECRET.as_bytes()),
        ("access token", ACCESS_TOKEN.as_bytes()),
    ]);
    let mut heard = String::new();
    let checked = printed(&run(path, &good, &["config", "check"]));
    assert_eq!(checked.matches("<redacted>").count(), 2, "{checked}");
    heard.push_str(&checked);
    for arguments in [&["init"][..], &["migrate"], &["accounts", "create", ACCOUNT], &["accounts", "list"]] {
        heard.push_str(&printed(&run(path, &good, arguments)));
    }
    let made = run(path, &good, &["keys", "create", "--json", "--account", ACCOUNT]);
    let api_key = serde_json::from_slice::<Value>(&made.stdout).unwrap()["key"].as_str().unwrap().to_owned();
    let bad_proxies = [
        format!("http://user:{PROXY_PASSWORD}@[oops"),
        format!("nonsense://user:{PROXY_PASSWORD}@127.0.0.1"),
        format!("user:{PROXY_PASSWORD}@127.0.0.1:x"),
    ];
    for (name, value) in bad_proxies
        .iter()
        .map(|proxy| (good[1].0, proxy.as_str()))
        .chain([(good[0].0, "canary correct horse battery staple"), (good[2].0, proxy_url.as_str())])
    {
        let mut environment = good;
        environment.iter_mut().filter(|variable| variable.0 == name).for_each(|variable| variable.1 = value);
        let output = run(path, &environment, &["serve"]);
        assert!(!output.status.success(), "{name}: {output:?}");
        heard.push_str(&printed(&output));
        heard.push_str(&printed(&run(path, &environment, &["config", "check"])));
    }
    let broken = format!("[vimeo\nproxy = \"{proxy_url}\"\n");
    fs::write(path.join("broken.toml"), broken).unwrap();
    heard.push_str(&printed(&run(path, &good, &["--config", "broken.toml", "serve"])));
    fs::remove_file(path.join("broken.toml")).unwrap();

    let mut command = binary(path);
    command.envs(good);
    let mut service = Service::start_as(command, path);
    let body = json!({ "name": "through a proxy", "enabled": true, "clientIdentifier": "guest",
        "clientSecret": CLIENT_SECRET, "accessToken": ACCESS_TOKEN });
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("http://{}{COLLECTION}", service.address)).body(body.to_string());
    let response = request.header("authorization", api_key).send().await.unwrap();
    assert_eq!(response.status(), 503);
    heard.extend(
        response.headers().values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
    );
    heard.push_str(&response.text().await.unwrap());
    assert_eq!(service.terminate(), Some(0));
    let log = fs::read_to_string(path.join("service.log")).unwrap();
    assert!(log.contains("answered with status 407"), "the proxy was asked: {log}");

    let shown = canaries.in_bytes(heard.as_bytes());
    assert!(shown.is_empty(), "{shown:?}: {heard}");
    let found = canaries.in_files(path, &[]);
    assert!(found.is_empty(), "{found:?}");
}
