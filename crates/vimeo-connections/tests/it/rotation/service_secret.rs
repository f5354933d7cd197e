//! The service secret is replaced while the service is used, by a command that is killed at every step.

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{assert_decrypts, end_lease, kill_after};
use crate::support::audit::AuditEnv;
use crate::support::backups::run_successfully;
use crate::support::cluster::{Node, env_on_database, send_to};
use crate::support::create_load::{CreateLoad, assert_shown};
use crate::support::harness::{ACCOUNT, COLLECTION, TestEnv, cli, make_key, printed, run, until};
use crate::support::postgres::{SharedPostgres, Version};

const CONFIG: &str = "retention.sweep_seconds = 1\nuploads.work = false\n";
const REPLACE: [&str; 4] = ["service-secret", "replace", "--per-second", "40"];
const JOB_KEY: [(&str, &str); 1] = [("idempotency-key", "a-job")];
/// More than the hour for which a former secret verifies rows, in microseconds.
const LATER: &str = "UPDATE other_service_secrets SET since = since - 3700000000 WHERE role = 'former'";
const RETIRED: &str = "SELECT count(*) FROM other_service_secrets WHERE role = 'retired'";

async fn send(env: &TestEnv, method: Method, path: &str, headers: &[(&str, &str)], body: &Value) -> Value {
    let answer = env.send(method, path, headers, body.to_string().into()).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    serde_json::from_str(&answer.text).unwrap_or_default()
}

/// What the first secret has signed.
struct Records {
    uploads: String,
    job: Value,
    endpoint: String,
    next_page: String,
    unused_key: String,
}

fn source() -> Value {
    json!({"source": {"url": "https://media.example/film.mp4"}, "name": "A film"})
}

impl Records {
    async fn create(env: &TestEnv) -> Self {
        let mut connection = String::new();
        for number in 0..15 {
            let body = env.valid_body(&format!("connection {number}"));
            let created = send(env, Method::POST, COLLECTION, &[], &body).await;
            created["connectionId"].as_str().unwrap().clone_into(&mut connection);
        }
        let uploads = format!("{COLLECTION}/{connection}/uploads");
        for _ in 0..15 {
            send(env, Method::POST, &uploads, &[], &source()).await;
        }
        let job = send(env, Method::POST, &uploads, &JOB_KEY, &source()).await;
        let endpoint = json!({"url": "https://hooks.example/", "events": ["connection.recovered"]});
        let path = "/pictoryapis/v1/webhook-endpoints";
        let endpoint = send(env, Method::POST, path, &[], &endpoint).await;
        let page = env.get("/pictoryapis/v1/jobs?limit=2").await.json();
        Self {
            uploads,
            job,
            endpoint: endpoint["endpointId"].as_str().unwrap().to_owned(),
            next_page: page["nextPageKey"].as_str().unwrap_or_else(|| panic!("{page}")).to_owned(),
            unused_key: make_key(env.path(), ACCOUNT, &["--name", "not used for long"]),
        }
    }

    /// Everything that was signed is accepted.
    async fn assert_accepted(&self, env: &TestEnv) {
        assert_decrypts(env);
        let again = send(env, Method::POST, &self.uploads, &JOB_KEY, &source()).await;
        assert_eq!(again, self.job, "the same response is replayed");
        let other = json!({"source": {"url": "https://media.example/another.mp4"}});
        let reused = env.send(Method::POST, &self.uploads, &JOB_KEY, other.to_string().into()).await;
        assert_eq!(reused.status, 422, "{}", reused.text);
        let page = env.get(&format!("/pictoryapis/v1/jobs?limit=2&nextPageKey={}", self.next_page)).await;
        assert_eq!(page.status, 200, "{}", page.text);
        let path = format!("/pictoryapis/v1/webhook-endpoints/{}/test", self.endpoint);
        send(env, Method::POST, &path, &[], &json!({})).await;
        let verified = run_successfully(env.path(), &["audit", "verify"]);
        assert!(!verified.contains("changed"), "{verified}");
        let listed = run_successfully(env.path(), &["keys", "list"]);
        assert!(!listed.contains("tampered"), "{listed}");
    }
}

async fn replace_under_load(mut env: AuditEnv) {
    let records = Records::create(&env.env).await;
    let export = || run(env.env.path(), &[], &["audit", "head", "export"]).stdout;
    until("events are linked", async || !export().is_empty()).await;
    let heads = export();
    let mut created = Vec::new();
    for step in 0..3 {
        let load = CreateLoad::start(&env.env, &format!("step {step}"), 4, 8);
        load.reach().await;
        tokio::task::block_in_place(|| {
            // Before the first step it is killed while the next secret settles.
            assert!(kill_after(env.env.path(), &REPLACE, step), "it is killed in the middle");
        });
        end_lease(&env);
        records.assert_accepted(&env.env).await;
        let (acknowledged, refusals) = load.finish().await;
        assert_eq!(refusals, [] as [reqwest::StatusCode; 0], "{}", env.env.log());
        created.extend(acknowledged);
        env.env.kill_and_restart();
    }
    let replaced = run_successfully(env.env.path(), &["service-secret", "replace"]);
    assert!(replaced.contains("Continued the replacement"), "{replaced}");
    assert!(replaced.contains("The service secret 2 is in use"), "{replaced}");
    records.assert_accepted(&env.env).await;
    let again = run(env.env.path(), &[], &["service-secret", "replace", "--json"]);
    let again: Value =
        serde_json::from_slice(&again.stdout).unwrap_or_else(|_| panic!("{}", printed(&again)));
    assert_eq!((&again["state"], &again["foreignRows"]), (&json!("switched"), &json!(0)), "{again}");

    env.sql(LATER);
    until("the former secret is retired", async || env.value(RETIRED) == "1").await;
    records.assert_accepted(&env.env).await;
    assert_shown(&env.env, &created).await;
    // Its hash is of the first secret.
    let with_unused = [("authorization", records.unused_key.as_str())];
    let used = env.env.send(Method::GET, COLLECTION, &with_unused, Vec::new()).await;
    assert_eq!(used.status, 200, "{}", used.text);
    let imported = cli(env.env.path(), &["keys", "import", "--account", ACCOUNT], &records.unused_key);
    assert!(
        !imported.status.success() && printed(&imported).contains("known already"),
        "{}",
        printed(&imported)
    );
    let file = env.env.path().join("heads");
    std::fs::write(&file, heads).unwrap();
    let verified = run_successfully(env.env.path(), &["audit", "verify", "--head", file.to_str().unwrap()]);
    assert!(!verified.contains("invalid"), "{verified}");
    let cancelled = format!("/pictoryapis/v1/jobs/{}", records.job["data"]["jobId"].as_str().unwrap());
    let cancelled = env.env.send(Method::DELETE, &cancelled, &[], Vec::new()).await;
    assert_eq!(cancelled.status, 204, "{}", cancelled.text);

    // Another one can follow, and the keyring can be rotated below all of them.
    let next = run_successfully(env.env.path(), &["service-secret", "replace"]);
    assert!(next.contains("The service secret 3 is in use"), "{next}");
    run_successfully(env.env.path(), &["keyring", "rotate"]);
    run_successfully(env.env.path(), &["keyring", "rewrap"]);
    let old = "SELECT keyring_key_id FROM keyring_checks WHERE keyring_key_id NOT IN (SELECT keyring_key_id FROM service_secrets)";
    let old = env.value(old);
    run_successfully(env.env.path(), &["keyring", "retire", &old, "--yes"]);
    env.env.kill_and_restart();
    records.assert_accepted(&env.env).await;
    let log = env.env.log();
    assert!(!log.contains("\"ERROR\"") && !log.contains("was not written by this service"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_secret_is_replaced_under_load_on_sqlite() {
    replace_under_load(AuditEnv::sqlite(CONFIG).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_secret_is_replaced_under_load_on_postgresql() {
    let config = format!("{CONFIG}store.timeout_seconds = 30\n");
    let Some(env) = AuditEnv::postgres(&config).await else { return };
    replace_under_load(env).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_accept_what_the_other_signs_while_the_secret_is_replaced() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env_on_database(&database.url(), CONFIG).await;
    let other = Node::beside(&env);
    let there = other.service.address;
    let created = send(&env, Method::POST, COLLECTION, &[], &env.valid_body("films")).await;
    let uploads = format!("{COLLECTION}/{}/uploads", created["connectionId"].as_str().unwrap());
    let mut replacing = crate::support::harness::binary(env.path())
        .args(["service-secret", "replace"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut rounds, mut rounds_after) = (0, 0);
    // Some rounds more than the command takes.
    while rounds_after < 5 {
        let job = send(&env, Method::POST, &uploads, &[], &source()).await;
        let path = format!("/pictoryapis/v1/jobs/{}", job["data"]["jobId"].as_str().unwrap());
        let cancelled = send_to(&env, there, (Method::DELETE, &path), &[], "").await;
        assert_eq!(cancelled.status, 204, "{}", cancelled.text);
        let body = json!({"name": format!("round {rounds}"), "scopes": ["connections:read"]}).to_string();
        let made = send_to(&env, there, (Method::POST, "/pictoryapis/v1/api-keys"), &[], &body).await;
        assert_eq!(made.status, 201, "{}", made.text);
        let key = made.json()["key"].as_str().unwrap().to_owned();
        let used = env.send(Method::GET, COLLECTION, &[("authorization", &key)], Vec::new()).await;
        assert_eq!(used.status, 200, "{}", used.text);
        rounds += 1;
        rounds_after += usize::from(replacing.try_wait().unwrap().is_some());
    }
    assert!(replacing.wait().unwrap().success());
    assert!(run_successfully(env.path(), &["service-secret", "status"]).contains("secret 2 is in use"));
    database.sql(LATER);
    until("the former secret is retired", async || database.sql(RETIRED).contains('1')).await;
    let job = send(&env, Method::POST, &uploads, &[], &source()).await;
    let path = format!("/pictoryapis/v1/jobs/{}", job["data"]["jobId"].as_str().unwrap());
    assert_eq!(send_to(&env, there, (Method::DELETE, &path), &[], "").await.status, 204);
    let log = std::fs::read_to_string(other.directory.path().join("service.log")).unwrap();
    assert!(!log.contains("\"ERROR\"") && !env.log().contains("\"ERROR\""), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_was_changed_is_not_signed_again() {
    let env = AuditEnv::sqlite(CONFIG).await;
    Records::create(&env.env).await;
    env.sql("UPDATE api_keys SET name = 'forged' WHERE name = 'not used for long'");
    let unlinked = "SELECT count(*) FROM audit_events WHERE audit_event_id NOT IN (SELECT audit_event_id FROM audit_links)";
    until("events are linked", async || env.value(unlinked) == "0").await;
    env.sql("UPDATE audit_events SET subject = 'forged' WHERE action = 'create_connection'");
    let replaced = run_successfully(env.env.path(), &["service-secret", "replace"]);
    assert!(replaced.contains("1 rows were not written by this service"), "{replaced}");
    env.sql(LATER);
    until("the former secret is retired", async || env.value(RETIRED) == "1").await;
    let listed = run_successfully(env.env.path(), &["keys", "list"]);
    assert!(listed.contains("tampered"), "{listed}");
    let verified = run(env.env.path(), &[], &["audit", "verify"]);
    assert_eq!(verified.status.code(), Some(1), "{}", printed(&verified));
    // A secret that is retired cannot be put back: what it has signed would be accepted again.
    env.sql("UPDATE service_secrets SET wrapped_key = (SELECT wrapped_key FROM other_service_secrets)");
    let shown = run(env.env.path(), &[], &["keys", "list"]);
    assert!(
        printed(&shown).contains("the service secret in the database cannot be decrypted"),
        "{}",
        printed(&shown)
    );
}
