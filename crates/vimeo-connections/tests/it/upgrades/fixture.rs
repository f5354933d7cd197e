//! This build opens the data of every release: nothing is lost, every secret decrypts, and what was in progress continues.

use std::fs;
use std::time::SystemTime;

use reqwest::Method;
use serde_json::{Value, json};

use super::releases::{
    BACKUP, Engine, RestoredRelease, contents, last_release, releases, request, schema_of,
};
use crate::architecture::root;
use crate::support::file_servers::film;
use crate::support::harness::{COLLECTION, Service, TestEnv, printed, schema, until};
use crate::support::postgres::Version;
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{assert_whole, is_finished};
use crate::support::webhooks::{Receiver, path, send};

/// Fields of a response that depend on the time, or on the requests of this test.
const TRANSIENT: [&str; 2] = ["lastUsedDate", "secondsLeft"];
const JOBS: &str = "/pictoryapis/v1/jobs";
const SIZE: u64 = 100_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_every_release_opens_on_sqlite() {
    open_all(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_every_release_opens_on_postgres_15() {
    open_all(Engine::Postgres(Version::V15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_of_every_release_opens_on_postgres_18() {
    open_all(Engine::Postgres(Version::V18)).await;
}

async fn open_all(engine: Engine) {
    for release in releases() {
        let Some(restored) = RestoredRelease::new(&release, engine).await else { return };
        assert_unchanged_before_the_migration(&restored);
        let mut service = restored.start().await;
        assert_eq!(restored.number("SELECT max(number) FROM schema_migrations"), schema());
        assert_same_answers(&restored, &service).await;
        assert_sealed_data_opens(&restored);
        assert_keys(&restored, &service).await;
        assert_sign_in(&restored, &service).await;
        assert_stored_responses(&restored, &service).await;
        assert_exports(&restored);
        if matches!(engine, Engine::Sqlite) {
            restored.run_successfully(&["backup", "upgraded.backup"]);
            restored.run_successfully(&["restore", "--check", "upgraded.backup"]);
        }
        // Up to here no node has worked.
        assert_eq!(service.terminate(), Some(0));
        restored.configure("");
        let service = restored.start().await;
        assert_work_continues(restored, service).await;
    }
}

/// Rows are as recorded. Commands refuse an older schema, and change nothing.
fn assert_unchanged_before_the_migration(restored: &RestoredRelease) {
    for (table, rows) in restored.contents["rows"].as_object().unwrap() {
        assert_eq!(json!(restored.number(&format!("SELECT count(*) FROM {table}"))), *rows, "{table}");
    }
    let older = schema_of(&restored.contents);
    if older == schema() {
        return;
    }
    for arguments in [&["keys", "list"][..], &["connections", "check"], &["accounts", "create", "third"]] {
        let refused = restored.run(arguments);
        let why = format!("the database has schema {older} and this version needs {}", schema());
        assert_eq!(refused.status.code(), Some(78), "{}", printed(&refused));
        assert!(printed(&refused).contains(&why), "{}", printed(&refused));
    }
    assert_eq!(restored.number("SELECT max(number) FROM schema_migrations"), older);
}

/// Every resource is shown with what the release showed. New fields may be there.
async fn assert_same_answers(restored: &RestoredRelease, service: &Service) {
    let answers = restored.contents["answers"].as_array().unwrap();
    assert!(answers.len() > 20, "{}", answers.len());
    for answer in answers {
        let (key, path) =
            (restored.owner_key(answer["account"].as_str().unwrap()), answer["path"].as_str().unwrap());
        let found = request(service, (Method::GET, path), &[("authorization", &key)], "").await;
        assert_eq!(found.status, 200, "{path}: {}", found.text);
        assert_shown(path, &answer["body"], &found.json());
    }
}

fn assert_shown(path: &str, recorded: &Value, found: &Value) {
    match (recorded, found) {
        (Value::Object(recorded), Value::Object(fields)) => {
            for (name, value) in recorded.iter().filter(|(name, _)| !TRANSIENT.contains(&name.as_str())) {
                let shown =
                    fields.get(name).unwrap_or_else(|| panic!("{path} does not show {name}: {found}"));
                assert_shown(&format!("{path} {name}"), value, shown);
            }
        }
        (Value::Array(recorded), Value::Array(items)) => {
            assert_eq!(recorded.len(), items.len(), "{path}: {found}");
            for (value, item) in recorded.iter().zip(items) {
                assert_shown(path, value, item);
            }
        }
        // An authorization whose person has not decided expires after half an hour.
        _ if recorded == "pending" && found == "expired" => {
            assert!(path.contains("/authorizations"), "{path}");
        }
        _ => assert_eq!(recorded, found, "{path}"),
    }
}

/// All connections decrypt, the rows of jobs verify, and so do the audit chains.
fn assert_sealed_data_opens(restored: &RestoredRelease) {
    let report: Value =
        serde_json::from_str(&restored.run_successfully(&["connections", "check", "--json"])).unwrap();
    assert_eq!(
        (&report["opened"], &report["broken"]),
        (&restored.contents["rows"]["connections"], &json!([]))
    );
    let report: Value =
        serde_json::from_str(&restored.run_successfully(&["audit", "verify", "--json"])).unwrap();
    assert_eq!(report["findings"], 0, "{report}");
    assert_eq!(report["accounts"].as_array().unwrap().len(), 2, "{report}");
}

async fn assert_keys(restored: &RestoredRelease, service: &Service) {
    for (name, key) in restored.contents["keys"].as_object().unwrap() {
        let headers = [("authorization", key["key"].as_str().unwrap())];
        let found = request(service, (Method::GET, "/pictoryapis/v1/whoami"), &headers, "").await;
        let expected = if key["is_accepted"] == true { 200 } else { 401 };
        assert_eq!(found.status, expected, "{name}: {}", found.text);
    }
}

/// A link works until it expires. A session has ended, because no one has used it for a minute.
async fn assert_sign_in(restored: &RestoredRelease, service: &Service) {
    let now = film::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
    let valid =
        format!("SELECT count(*) FROM dashboard_sessions WHERE state = 'invited' AND expires_at > {now}");
    let unused = if restored.number(&valid) == 1 { 200 } else { 404 };
    for (link, status) in [("unused", unused), ("used", 404)] {
        let path = restored.contents["sign_in_links"][link].as_str().unwrap();
        let page = request(service, (Method::GET, path), &[], "").await;
        assert_eq!(page.status, status, "{link}: {}", page.text);
    }
    for (name, cookies) in restored.contents["sessions"].as_object().unwrap() {
        let cookie = format!("__Host-session={}", cookies["__Host-session"].as_str().unwrap());
        let page = request(service, (Method::GET, "/dashboard/keys"), &[("cookie", &cookie)], "").await;
        assert_eq!(page.status, 303, "{name}: {}", page.text);
    }
}

/// A repeated request gets the stored response, also a sealed one, until a day has passed.
async fn assert_stored_responses(restored: &RestoredRelease, service: &Service) {
    let now = film::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_micros();
    let key = restored.owner_key(restored.contents["accounts"][0].as_str().unwrap());
    let soon = now + 3_600_000_000;
    // The release has answered long ago. No MAC covers these instants: they can be changed to what they would be now.
    restored.sql(&format!(
        "UPDATE idempotency_records SET answered_at = {now};
         UPDATE authorizations SET expires_at = {soon}, overdue_at = {soon} WHERE ended_at IS NULL"
    ));
    for stored in restored.contents["idempotent"].as_array().unwrap() {
        let text = |name: &str| stored[name].as_str().unwrap();
        let headers = [
            ("authorization", &*key),
            ("content-type", "application/json"),
            ("idempotency-key", text("key")),
        ];
        let again = request(service, (Method::POST, text("path")), &headers, text("body")).await;
        assert_eq!(again.status.as_u16(), stored["status"], "{}", again.text);
        assert_eq!(again.header("idempotent-replayed"), "true", "{}", again.text);
        assert_connect_page(&again.json(), service).await;
        assert_eq!(
            without_origin(&again.json()),
            without_origin(&serde_json::from_str(text("answer")).unwrap())
        );
    }
}

/// The page of an authorization that waits for its person, whose link is in a stored response.
async fn assert_connect_page(answer: &Value, service: &Service) {
    let Some(url) = answer["connectUrl"].as_str() else { return };
    let path = url.find("/connect/").map(|start| &url[start..]).unwrap();
    let page = request(service, (Method::GET, path), &[], "").await;
    assert!(page.status == 200 && page.text.contains("Asked with a key"), "{}", page.text);
}

/// A response without the origin of the service, which is another one now.
fn without_origin(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(url) = answer.get("connectUrl").and_then(Value::as_str) {
        answer["connectUrl"] = json!(url.split("/connect/").nth(1).unwrap());
    }
    answer
}

fn assert_exports(restored: &RestoredRelease) {
    let mut connections = 0;
    for account in restored.contents["accounts"].as_array().unwrap() {
        let text = restored.run_successfully(&["accounts", "export", account.as_str().unwrap()]);
        let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
        assert_eq!(summary["type"], "summary", "{summary}");
        connections += summary["record"]["counts"]["connection"].as_u64().unwrap();
    }
    assert_eq!(json!(connections), restored.contents["rows"]["connections"]);
}

/// A failed job is retried once. What waited is worked on. Endpoints sign with their secrets, and the connection uploads.
async fn assert_work_continues(restored: RestoredRelease, service: Service) {
    let contents = restored.contents.clone();
    let (env, _postgres) = restored.into_env(service);
    let job = |name: &str| contents["jobs"][name].as_str().unwrap().to_owned();
    let retried = env.send(Method::POST, &format!("{JOBS}/{}/retry", job("failed")), &[], Vec::new()).await;
    assert_eq!(retried.status, 202, "{}", retried.text);
    let again =
        env.send(Method::POST, &format!("{JOBS}/{}/retry", job("failed and retried")), &[], Vec::new()).await;
    assert_eq!(again.status, 409, "{}", again.text);
    // Their sources are gone. That they are asked for shows that the requests decrypt.
    let retry = retried.json()["data"]["jobId"].as_str().unwrap().to_owned();
    for id in [retry, job("queued")] {
        until("the source is asked for", async || {
            let found = env.get(&format!("{JOBS}/{id}")).await.json();
            found["data"]["waitingFor"] == "source-unavailable" || is_finished(&found)
        })
        .await;
    }
    assert_webhooks(&env, &contents).await;
}

async fn assert_webhooks(env: &TestEnv, contents: &Value) {
    for name in ["working", "rotated"] {
        let receiver = Receiver::start(200).await;
        let endpoint = &contents["endpoints"][name];
        let path = path(&json!({"endpointId": endpoint["id"]}));
        let change = json!({"url": receiver.url, "events": ["webhook_endpoint.disabled"]});
        let changed = send(env, Method::PATCH, &path, &change).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        let tested = send(env, Method::POST, &format!("{path}/test"), &Value::Null).await;
        assert_eq!(tested.status, 202, "{}", tested.text);
        let mut test = None;
        until("the test is received", async || {
            test = receiver.received().into_iter().find(|message| message.event() == "webhook.test");
            test.is_some()
        })
        .await;
        let test = test.unwrap();
        assert!(test.is_signed_with(endpoint["secret"].as_str().unwrap()), "{name}: {test:?}");
    }
    assert_upload(env, contents).await;
}

/// A connection of the release uploads, and its account's secret signs the webhook of the upload.
async fn assert_upload(env: &TestEnv, contents: &Value) {
    let hook = Receiver::start(200).await;
    let source = Source::start(Behaviour::Good).await;
    let films = env.get(&format!("{COLLECTION}?limit=1000")).await.json();
    let films =
        films["Items"].as_array().unwrap().iter().find(|item| item["name"] == "Films").unwrap().clone();
    let path = format!("{COLLECTION}/{}/uploads", films["connectionId"].as_str().unwrap());
    let body = json!({"source": {"url": source.url("film.mp4", SIZE)}, "webhook": hook.url});
    let accepted = send(env, Method::POST, &path, &body).await;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let message = hook.wait_for(1).await.remove(0);
    assert!(message.is_signed_with(contents["webhook_secrets"][1].as_str().unwrap()), "{message:?}");
    let job = env.get(&format!("{JOBS}/{}", accepted.json()["data"]["jobId"].as_str().unwrap())).await.json();
    let videos = env.control(Method::GET, "videos", Value::Null).await;
    let uri = &job["data"]["vimeoUri"];
    let video = videos["videos"].as_array().unwrap().iter().find(|video| video["uri"] == *uri);
    assert_whole(&job, video.unwrap_or_else(|| panic!("{job}")), SIZE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_every_release_is_migrated_by_the_command_too() {
    for release in releases() {
        let restored = RestoredRelease::new(&release, Engine::Sqlite).await.unwrap();
        assert!(restored.path().join(BACKUP).exists());
        restored.run_successfully(&["migrate"]);
        assert_eq!(restored.number("SELECT max(number) FROM schema_migrations"), schema());
        assert_sealed_data_opens(&restored);
    }
}

/// An older binary refuses a database whose lowest application schema is above its own. `docs/operations.md` promises that one
/// can go back by one version.
#[test]
fn the_last_release_can_use_the_schema_of_this_build() {
    let release = last_release();
    let theirs = schema_of(&contents(&release, "sqlite"));
    let folder = root().join("crates/store/migrations/sqlite");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in &files[theirs..] {
        let text = fs::read_to_string(file).unwrap();
        let lowest = text.strip_prefix("-- lowest application schema: ").unwrap().lines().next().unwrap();
        let lowest: usize = lowest.parse().unwrap();
        assert!(lowest <= theirs, "{release} cannot use a database after {}", file.display());
    }
}
