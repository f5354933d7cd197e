//! `connections verify`, `health` and `list --health`, on the database and at a remote service.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{ACCOUNT, COLLECTION, EnvOptions, TestEnv, binary, printed};
use crate::support::remote_cli::RemoteUser;

const LOCAL: [&str; 2] = ["--account", ACCOUNT];

/// Runs `connections …` on the database; the exit status and everything that was printed.
fn local(env: &TestEnv, arguments: &[&str]) -> (i32, String) {
    ended(env, &env.cli(&[&["connections"], arguments].concat(), ""))
}

/// The same at the service.
fn remote(env: &TestEnv, arguments: &[&str]) -> (i32, String) {
    ended(env, &RemoteUser::of(env).run(&[&["connections"], arguments].concat(), ""))
}

fn ended(env: &TestEnv, output: &Output) -> (i32, String) {
    let text = printed(output);
    for secret in [&env.sandbox.access_token, &env.sandbox.client_secret, &env.api_key] {
        assert!(!text.contains(secret.as_str()), "{text}");
    }
    (output.status.code().unwrap(), text)
}

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is missing:\n{text}");
    }
}

fn lines_of(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{text}"))).collect()
}

async fn vimeo_is_down(env: &TestEnv) {
    env.inject_fault(json!({"route": "*", "kind": "status", "status": 503, "times": 0})).await;
}

/// Creates a connection with a token of its own, for the owner of this key; its path.
async fn connect_alone(env: &TestEnv, key: &str, name: &str) -> String {
    let mut body = env.valid_body(name);
    body["accessToken"] = json!(env.new_token().await);
    let headers = [("authorization", key), ("content-type", "application/json")];
    let created = env.send(Method::POST, COLLECTION, &headers, body.to_string().into()).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.header("location").to_owned()
}

async fn disable(env: &TestEnv, connection: &str) {
    let body = json!({"version": 1, "enabled": false}).to_string();
    let headers = [("content-type", "application/json")];
    assert_eq!(env.send(Method::PUT, connection, &headers, body.into()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_shows_what_a_person_needs_and_prints_the_json_of_the_api() {
    let env = TestEnv::start().await;
    let path = env.connect("films").await;
    env.change_user(json!({
        "name": "Vera", "plan": "standard",
        "quota": {"lifetime": {"max": 5_368_709_120_u64}, "restricted": {"max": 1_024}}
    }))
    .await;
    let (status, text) = local(&env, &["verify", "films", "--account", ACCOUNT]);
    assert_eq!(status, 0, "{text}");
    assert_has(
        &text,
        &[
            "connection         films (",
            "health             healthy\n",
            "Vimeo account      Vera (standard), /users/",
            "free space         5.00 GiB in total, ",
            "1.00 KiB for videos that are not public\n",
            "check              token pass: Vimeo accepts the access token.\n",
            "check              quota pass: ",
        ],
    );
    let checked = env.health(&path).await;
    let shown = local(&env, &["health", "films", "--account", ACCOUNT]);
    assert_eq!(shown, (0, text.clone()), "the last check is shown");
    assert_eq!(remote(&env, &["health", "films"]), (0, text));
    for (status, text) in [
        local(&env, &["health", "films", "--account", ACCOUNT, "--json"]),
        remote(&env, &["health", "films", "--json"]),
    ] {
        assert_eq!((status, serde_json::from_str::<Value>(&text).unwrap()), (0, checked.clone()));
    }
    for is_remote in [false, true] {
        let (status, text) = if is_remote {
            remote(&env, &["verify", "films", "--json"])
        } else {
            local(&env, &["verify", "films", "--account", ACCOUNT, "--json"])
        };
        let health: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &health), (0, &env.health(&path).await));
        assert!(health["checkedDate"].as_str() > checked["checkedDate"].as_str(), "{health}");
    }
    assert_eq!(env.audited_actions(&["verify_connection"]).await.len(), 3);
    assert!(env.stray_tokens().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unhealthy_connection_is_shown_with_its_problem_and_what_fixes_it() {
    let env = TestEnv::start().await;
    let path = env.connect("films").await;
    let id = path.rsplit('/').next().unwrap();
    env.change_token(json!({"scopes": "public private"})).await;
    let (status, text) = local(&env, &["verify", "films", "--account", ACCOUNT]);
    assert_eq!(status, 1, "{text}");
    assert_has(
        &text,
        &[
            "health             unhealthy\n",
            "problem            SCOPES_MISSING: The access token lacks the scope",
        ],
    );
    let of_scopes = text.lines().filter(|line| line.starts_with("problem ")).count();
    assert_eq!(of_scopes, 2, "a line for each missing scope: {text}");
    env.change_token(json!({"revoked": true})).await;
    let (status, text) = local(&env, &["verify", "films", "--account", ACCOUNT]);
    assert_eq!(status, 1, "{text}");
    let update = format!("fix with           vimeo-connections connections update {id} ");
    let problem = [
        "problem            TOKEN_REJECTED: The access token is unknown to Vimeo, expired or revoked;",
        "check              token fail: ",
    ];
    assert_has(&text, &problem);
    assert_has(&text, &[&format!("{update}--account {ACCOUNT} --ask-access-token\n")]);
    let (status, text) = remote(&env, &["verify", id]);
    assert_eq!(status, 1, "{text}");
    assert_has(&text, &problem);
    assert_has(&text, &[&format!("{update}--ask-access-token\n")]);
    let (status, shown) = local(&env, &["health", "films", "--account", ACCOUNT]);
    assert_eq!(status, 0, "it only shows: {shown}");
    assert_has(&shown, &problem);
    let summary = "health             unhealthy: TOKEN_REJECTED, since ";
    for (_, text) in [local(&env, &["show", "films", "--account", ACCOUNT]), remote(&env, &["show", "films"])]
    {
        assert_has(&text, &[summary]);
    }
    let (_, text) = ended(&env, &env.cli(&["status"], ""));
    assert_has(&text, &["connections        1 unhealthy, 0 unverified\n"]);
    env.change_token(json!({"revoked": false, "scopes": "public private upload edit"})).await;
    assert_eq!(local(&env, &["verify", "films", "--account", ACCOUNT]).0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_answer_of_vimeo_a_connection_is_not_verified() {
    let env = TestEnv::start().await;
    env.connect("films").await;
    vimeo_is_down(&env).await;
    let known = "health             healthy (Vimeo did not answer the last check)\n";
    for (status, text) in [
        local(&env, &["verify", "films", "--account", ACCOUNT]),
        local(&env, &["verify", "films", "--account", ACCOUNT]),
        remote(&env, &["verify", "films"]),
    ] {
        assert_eq!(status, 75, "{text}");
        assert_has(&text, &[known, "check              token unknown: Vimeo "]);
    }
    for (status, text) in [local(&env, &["verify", "--all"]), remote(&env, &["verify", "--all"])] {
        assert_eq!(status, 75, "{text}");
        assert_has(
            &text,
            &[": not verified: Vimeo ", "0 healthy, 0 unhealthy, 1 not verified, 0 disabled\n"],
        );
    }
    // What was unhealthy stays so.
    env.control(Method::DELETE, "faults", Value::Null).await;
    env.change_token(json!({"revoked": true})).await;
    assert_eq!(local(&env, &["verify", "--all"]).0, 1);
    vimeo_is_down(&env).await;
    let (status, text) = local(&env, &["verify", "--all"]);
    assert_eq!(status, 1, "{text}");
    assert_has(&text, &["films (", ": unhealthy: TOKEN_REJECTED: "]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_are_checked_and_those_that_are_not_healthy_are_reported() {
    let env = TestEnv::start().await;
    let other_key = env.make_key("other", &[]);
    for name in ["one", "two"] {
        env.connect(name).await;
    }
    connect_alone(&env, &env.api_key, "three").await;
    disable(&env, &env.connect("four").await).await;
    connect_alone(&env, &other_key, "theirs").await;
    assert_eq!(local(&env, &["verify", "--all"]), (0, summary([4, 0, 0, 1])));
    env.change_token(json!({"revoked": true})).await;

    let (status, text) = local(&env, &["verify", "--all"]);
    assert_eq!((status, text.lines().count()), (1, 3), "{text}");
    for (line, name) in text.lines().zip(["one", "two"]) {
        assert!(line.starts_with(&format!("{name} (")), "the oldest first: {text}");
        assert_has(line, &[" of the account acme: unhealthy: TOKEN_REJECTED: The access token is unknown"]);
    }
    assert!(text.ends_with(&summary([2, 2, 0, 1])), "{text}");
    assert_eq!(local(&env, &["verify", "--all", "--account", "other"]), (0, summary([1, 0, 0, 0])));

    let (status, text) = local(&env, &["verify", "--all", "--json"]);
    let lines = lines_of(&text);
    let field = |name: &str| lines.iter().map(|line| line[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!((status, field("name")), (1, vec!["one", "two", "three", "four", "theirs"]), "{text}");
    assert_eq!(field("outcome"), ["unhealthy", "unhealthy", "healthy", "disabled", "healthy"], "{text}");
    assert_eq!(field("accountName"), ["acme", "acme", "acme", "acme", "other"], "{text}");
    let path = format!("{COLLECTION}/{}", lines[0]["connectionId"].as_str().unwrap());
    assert_eq!(lines[0]["health"], env.health(&path).await);
    assert_eq!(lines[3].get("health"), None, "{text}");

    let (status, text) = remote(&env, &["verify", "--all"]);
    assert_eq!((status, text.lines().count()), (1, 3), "{text}");
    assert!(text.starts_with("one (") && text.ends_with(&summary([1, 2, 0, 1])), "{text}");
    // The service checks each connection every five seconds: the command waits.
    let output = RemoteUser::of(&env).run(&["connections", "verify", "--all", "--json"], "");
    let lines = lines_of(std::str::from_utf8(&output.stdout).unwrap());
    let outcomes: Vec<_> = lines.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["unhealthy", "unhealthy", "healthy", "disabled"], "{}", printed(&output));
    assert_has(&printed(&output), &["checks are limited"]);
    assert!(lines[0].get("accountName").is_none(), "the key decides: {lines:?}");
}

fn summary([healthy, unhealthy, not_verified, disabled]: [u32; 4]) -> String {
    format!("{healthy} healthy, {unhealthy} unhealthy, {not_verified} not verified, {disabled} disabled\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_connection_is_not_verified_and_the_others_are_checked() {
    let env = TestEnv::start().await;
    let damaged = env.connect("damaged").await;
    env.connect("films").await;
    let id = damaged.rsplit('/').next().unwrap();
    let changed = env
        .database()
        .execute("UPDATE connections SET envelope = zeroblob(64) WHERE connection_id = ?1", [id]);
    assert_eq!(changed.unwrap(), 1);
    let (status, text) = local(&env, &["verify", "--all"]);
    assert_eq!(status, 75, "{text}");
    assert!(text.starts_with("damaged (") && text.ends_with(&summary([1, 0, 1, 0])), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_listed_by_their_health() {
    let env = TestEnv::start().await;
    for name in ["one", "two"] {
        env.connect(name).await;
    }
    connect_alone(&env, &env.api_key, "three").await;
    env.change_token(json!({"revoked": true})).await;
    assert_eq!(local(&env, &["verify", "--all"]).0, 1);
    for (health, names) in
        [("unhealthy", vec!["one", "two"]), ("healthy", vec!["three"]), ("unverified", vec![])]
    {
        let list = ["list", "--health", health, "--json"];
        let (status, text) = local(&env, &[&list[..], &LOCAL].concat());
        assert_eq!(remote(&env, &list), (status, text.clone()));
        let listed: Value = serde_json::from_str(&text).unwrap();
        let listed: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!((status, listed), (0, names.iter().map(|name| json!(name)).collect()), "{health}");
    }
    let (status, text) = local(&env, &["list", "--health", "ill", "--account", ACCOUNT]);
    assert_eq!(status, 2, "{text}");
    assert_has(&text, &["must be healthy, unhealthy or unverified"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_verified_is_shown_without_asking_vimeo_and_can_be_verified() {
    let env = TestEnv::without_verification("").await;
    env.connect("films").await;
    for (status, text) in
        [local(&env, &["health", "films", "--account", ACCOUNT]), remote(&env, &["health", "films"])]
    {
        assert_eq!(status, 0, "{text}");
        assert_has(&text, &["health             unverified (Vimeo has not been asked)\n"]);
    }
    let journal = env.control(Method::GET, "journal", Value::Null).await;
    assert_eq!(journal["requests"], json!([]), "Vimeo was not asked");
    let (status, text) = local(&env, &["verify", "films", "--account", ACCOUNT]);
    assert_eq!(status, 0, "{text}");
    assert!(!text.contains("verification is off"), "this command does verify: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_connection_is_checked_if_it_is_named() {
    let env = TestEnv::start().await;
    disable(&env, &env.connect("films").await).await;
    env.change_token(json!({"revoked": true})).await;
    assert_eq!(local(&env, &["verify", "--all"]), (0, summary([0, 0, 0, 1])));
    assert_eq!(local(&env, &["verify", "films", "--account", ACCOUNT]).0, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_line_without_a_connection_or_with_too_much_is_not_valid() {
    let mut env = TestEnv::start().await;
    env.connect("films").await;
    for arguments in
        [&["verify"][..], &["verify", "films", "--all"], &["verify", "films"], &["health", "films"]]
    {
        let (status, text) = local(&env, arguments);
        assert_eq!(status, 2, "{arguments:?}: {text}");
    }
    let (status, text) = remote(&env, &["verify", "--all", "--account", ACCOUNT]);
    assert_eq!(status, 2, "{text}");
    let (status, text) = local(&env, &["verify", "absent", "--account", ACCOUNT]);
    assert_eq!(status, 1, "{text}");
    assert_has(&text, &["has no connection with this ID or name"]);
    env.service.kill();
    assert_eq!(remote(&env, &["verify", "--all"]).0, 69);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_command_starts_no_further_check_and_leaves_no_token() {
    let config = "health.concurrency = 1\n".to_owned();
    let env = TestEnv::with(EnvOptions { config, ..EnvOptions::default() }).await;
    for name in ["one", "two", "three", "four"] {
        env.connect(name).await;
    }
    env.inject_fault(json!({"route": "GET /oauth/verify", "kind": "delay", "millis": 1_500, "times": 0}))
        .await;
    let mut child = binary(env.path())
        .args(["connections", "verify", "--all", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!((&first["name"], &first["outcome"]), (&json!("one"), &json!("healthy")));
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    // One may be in progress; it ends.
    let others: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    assert!(others.len() < 3, "the last one is not checked: {others:?}");
    assert!(others.iter().all(|line| line["outcome"] == "healthy"), "{others:?}");
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_has(&errors, &["Interrupted. Not all connections were checked.\n"]);
    assert_eq!(child.wait().unwrap().code(), Some(130), "{errors}");
    assert!(env.stray_tokens().await.is_empty());
}
