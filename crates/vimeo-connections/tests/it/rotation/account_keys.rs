//! The key of an account is replaced while the account is used, by a command that is killed at every step.

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{assert_decrypts, end_lease, kill_after};
use crate::support::audit::AuditEnv;
use crate::support::backups::run_successfully;
use crate::support::create_load::{CreateLoad, assert_shown};
use crate::support::harness::{ACCOUNT, COLLECTION, TestEnv, printed, run, until};

const CONFIG: &str = "retention.sweep_seconds = 1\nuploads.work = false\n";
const REPLACE: [&str; 6] = ["account-key", "replace", "--account", ACCOUNT, "--per-second", "10"];
const LINK_KEY: [(&str, &str); 1] = [("idempotency-key", "a-link")];
const JOB_KEY: [(&str, &str); 1] = [("idempotency-key", "a-job")];

/// Records whose sealed data shows in answers.
struct Records {
    connection: String,
    job: Value,
    endpoint: String,
    authorization: String,
}

async fn post(env: &TestEnv, path: &str, headers: &[(&str, &str)], body: &Value) -> Value {
    let answer = env.send(Method::POST, path, headers, body.to_string().into()).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text);
    serde_json::from_str(&answer.text).unwrap_or_default()
}

fn source() -> Value {
    json!({"source": {"url": "https://media.example/film.mp4"}, "name": "A film", "webhook": "https://hooks.example/"})
}

impl Records {
    async fn create(env: &TestEnv) -> Self {
        for number in 0..25 {
            post(env, COLLECTION, &[], &env.valid_body(&format!("connection {number}"))).await;
        }
        let mut disabled = env.valid_body("disabled");
        disabled["enabled"] = json!(false);
        post(env, COLLECTION, &[], &disabled).await;
        post(env, "/pictoryapis/v1/webhook-secret", &[], &json!({})).await;
        let created = post(env, COLLECTION, &[], &env.valid_body("with uploads")).await;
        let connection = created["connectionId"].as_str().unwrap().to_owned();
        let uploads = format!("{COLLECTION}/{connection}/uploads");
        let job = post(env, &uploads, &JOB_KEY, &source()).await;
        let endpoint = json!({"url": "https://hooks.example/", "events": ["connection.recovered"]});
        let endpoint = post(env, "/pictoryapis/v1/webhook-endpoints", &[], &endpoint).await;
        let body = json!({"name": "asked", "clientIdentifier": "client", "clientSecret": "secret"});
        let authorization = post(env, &format!("{COLLECTION}/authorizations"), &[], &body).await;
        let id = |value: &Value, name: &str| value[name].as_str().unwrap().to_owned();
        Self {
            connection,
            job,
            endpoint: id(&endpoint, "endpointId"),
            authorization: id(&authorization, "authorizationId"),
        }
    }

    /// Everything that is sealed can be decrypted.
    async fn assert_usable(&self, env: &TestEnv) {
        assert_decrypts(env);
        let uploads = format!("{COLLECTION}/{}/uploads", self.connection);
        assert_eq!(post(env, &uploads, &JOB_KEY, &source()).await, self.job, "the same response is replayed");
        let endpoint = format!("/pictoryapis/v1/webhook-endpoints/{}", self.endpoint);
        let shown = env.get(&endpoint).await;
        assert_eq!(shown.json()["url"], "https://hooks.example/", "{}", shown.text);
        let authorization = format!("{COLLECTION}/authorizations/{}", self.authorization);
        assert_eq!(env.get(&authorization).await.status, 200);
    }
}

/// The number of wrapped keys that each of the account's keys is needed for cannot be read from the database: what counts is
/// that everything decrypts once the former key is gone.
async fn replace_under_load(mut env: AuditEnv) {
    let records = Records::create(&env.env).await;
    let mut created = Vec::new();
    for step in 0..4 {
        let load = CreateLoad::start(&env.env, &format!("step {step}"), 4, 8);
        load.reach().await;
        tokio::task::block_in_place(|| {
            // Before the first step it is killed while the next key settles.
            assert!(kill_after(env.env.path(), &REPLACE, step), "it is killed in the middle");
        });
        end_lease(&env);
        records.assert_usable(&env.env).await;
        let (acknowledged, refusals) = load.finish().await;
        assert_eq!(refusals, [] as [reqwest::StatusCode; 0], "{}", env.env.log());
        created.extend(acknowledged);
        env.env.kill_and_restart();
    }
    let replaced = run_successfully(env.env.path(), &["account-key", "replace", "--account", ACCOUNT]);
    assert!(replaced.contains("Continued the replacement"), "{replaced}");
    assert!(replaced.contains("a running service deletes it after"), "{replaced}");
    let again = run(env.env.path(), &[], &["account-key", "replace", "--account", ACCOUNT, "--json"]);
    let again: Value =
        serde_json::from_slice(&again.stdout).unwrap_or_else(|_| panic!("{}", printed(&again)));
    assert_eq!((&again["rewrapped"], &again["damagedValues"]), (&json!(0), &json!(0)), "{again}");
    records.assert_usable(&env.env).await;
    assert_eq!(env.value("SELECT second_key_role FROM accounts"), "former");

    // The stored responses expire, and the former key with them.
    env.sql("DELETE FROM idempotency_records");
    env.sql("UPDATE accounts SET second_key_since = second_key_since - 90000000000");
    let left = "SELECT count(*) FROM accounts WHERE second_key_role IS NOT NULL";
    until("the former key is deleted", async || env.value(left) == "0").await;
    assert_shown(&env.env, &created).await;
    assert_decrypts(&env.env);
    let endpoint = format!("/pictoryapis/v1/webhook-endpoints/{}/test", records.endpoint);
    post(&env.env, &endpoint, &[], &json!({})).await;
    let job = records.job["data"]["jobId"].as_str().unwrap();
    let cancelled =
        env.env.send(Method::DELETE, &format!("/pictoryapis/v1/jobs/{job}"), &[], Vec::new()).await;
    assert_eq!(cancelled.status, 204, "{}", cancelled.text);
    for action in ["start_account_key_replacement", "replace_account_key", "delete_former_account_key"] {
        let count = format!("SELECT count(*) FROM audit_events WHERE action = '{action}'");
        assert_eq!(env.value(&count), "1", "{action}");
    }
    // Another one can follow.
    let next = run_successfully(env.env.path(), &["account-key", "replace", "--account", ACCOUNT]);
    assert!(next.contains("Replaced the key"), "{next}");
    records_decrypt(&env).await;
    let log = env.env.log();
    assert!(!log.contains("\"ERROR\"") && !log.contains("cannot be decrypted"), "{log}");
}

async fn records_decrypt(env: &AuditEnv) {
    assert_decrypts(&env.env);
    let listed = env.env.get("/pictoryapis/v1/webhook-endpoints").await;
    assert_eq!(listed.json()["items"][0]["url"], "https://hooks.example/", "{}", listed.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_an_account_is_replaced_under_load_on_sqlite() {
    replace_under_load(AuditEnv::sqlite(CONFIG).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_an_account_is_replaced_under_load_on_postgresql() {
    let config = format!("{CONFIG}store.timeout_seconds = 30\n");
    let Some(env) = AuditEnv::postgres(&config).await else { return };
    replace_under_load(env).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_former_key_is_kept_while_a_sealed_value_cannot_be_decrypted() {
    let env = AuditEnv::sqlite(CONFIG).await;
    Records::create(&env.env).await;
    env.sql("UPDATE sealing_keys SET wrapped_key = randomblob(60) WHERE sealing_key_id = 3");
    let output = run(env.env.path(), &[], &REPLACE[..4]);
    assert!(
        printed(&output).contains("1 values cannot be decrypted with either key"),
        "{}",
        printed(&output)
    );
    env.sql("UPDATE accounts SET second_key_since = second_key_since - 90000000000");
    until("it is reported", async || env.env.log().contains("the former key of the account is kept")).await;
    assert_eq!(env.value("SELECT second_key_role FROM accounts"), "former");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_link_survives_the_replacement_of_its_accounts_key() {
    let env = AuditEnv::verifying(CONFIG).await;
    let created = post(&env.env, COLLECTION, &[], &env.env.valid_body("with a link")).await;
    let uploads = format!("{COLLECTION}/{}/uploads", created["connectionId"].as_str().unwrap());
    let body = json!({"source": {"size": 1_000}});
    let first = post(&env.env, &uploads, &LINK_KEY, &body).await;
    assert!(first["data"]["uploadLink"].is_string(), "{first}");
    run_successfully(env.env.path(), &REPLACE[..4]);
    assert_eq!(post(&env.env, &uploads, &LINK_KEY, &body).await, first);
    env.sql("UPDATE accounts SET second_key_since = second_key_since - 90000000000");
    let left = "SELECT count(*) FROM accounts WHERE second_key_role IS NOT NULL";
    until("the former key is deleted", async || env.value(left) == "0").await;
    assert_eq!(post(&env.env, &uploads, &LINK_KEY, &body).await, first);
}
