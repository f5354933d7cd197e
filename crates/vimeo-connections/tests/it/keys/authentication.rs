//! Authentication: API keys in all forms and states.

use reqwest::Method;

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
