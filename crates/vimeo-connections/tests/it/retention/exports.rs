//! `accounts export`: everything that an account has, and no secret.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use reqwest::Method;
use serde_json::{Value, json};

use super::sweeps::{OLD, add_old_jobs};
use crate::support::canaries::Canaries;
use crate::support::harness::{ACCOUNT, COLLECTION, EnvOptions, TestEnv, printed};
use crate::support::keyring::keyring_key;
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};
use crate::support::webhooks::create;

/// An account with a record of each type, and the secrets among them.
async fn full_account(database_url: Option<String>) -> (UploadEnv, Canaries) {
    let config = CONFIG.to_owned();
    let sandbox = Some(fast_sandbox());
    let options = EnvOptions { config, database_url, sandbox, ..EnvOptions::default() };
    let uploads = UploadEnv::with_options(options).await;
    let env = &uploads.env;
    let made = env.send(Method::POST, "/pictoryapis/v1/webhook-secret", &[], Vec::new()).await;
    let webhook_secret = made.json()["secret"].as_str().unwrap().to_owned();
    let endpoint = json!({"url": "http://127.0.0.1:9/canary-export-endpoint"});
    let endpoint_secret = create(env, &endpoint).await["secret"].as_str().unwrap().to_owned();
    let headers = [("content-type", "application/json"), ("idempotency-key", "order-7")];
    let body = env.valid_body("With a key").to_string().into_bytes();
    assert_eq!(env.send(Method::POST, COLLECTION, &headers, body).await.status, 201);
    let missing = Source::start(Behaviour::Status(404)).await;
    let failed = uploads
        .submit_with(json!({
            "source": {"url": format!("{}&canary-export-source", missing.url("a.mp4", 9))},
            "name": "A film", "password": "canary-export-password", "privacy": {"view": "password"},
            "webhook": "http://127.0.0.1:9/canary-export-webhook",
            "webhookInput": {"note": "canary-export-input"},
        }))
        .await;
    uploads.wait_for_end(&failed).await;
    let link = uploads.post(&json!({"source": {"size": 1_000}})).await.json()["data"]["uploadLink"].clone();
    let keyring = keyring_key(env.path());
    let secrets: [(&str, &str); 12] = [
        ("client secret", &env.sandbox.client_secret),
        ("access token", &env.sandbox.access_token),
        ("API key", &env.api_key),
        ("webhook secret", webhook_secret.strip_prefix("whsec_").unwrap()),
        ("webhook endpoint", "canary-export-endpoint"),
        ("secret of the endpoint", endpoint_secret.strip_prefix("whsec_").unwrap()),
        ("source", "canary-export-source"),
        ("password", "canary-export-password"),
        ("webhook", "canary-export-webhook"),
        ("webhook input", "canary-export-input"),
        ("upload link", link.as_str().unwrap()),
        ("keyring", &keyring),
    ];
    let canaries = Canaries::of(&secrets.map(|(name, secret)| (name, secret.as_bytes())));
    (uploads, canaries)
}

/// The records of an export by type. Its last line must be the summary, with their numbers.
fn records(text: &str) -> BTreeMap<String, Vec<Value>> {
    let mut records: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        records.entry(line["type"].as_str().unwrap().to_owned()).or_default().push(line["record"].clone());
    }
    let summaries = records.remove("summary").unwrap();
    assert_eq!(summaries.len(), 1);
    assert!(text.lines().last().unwrap().starts_with("{\"type\":\"summary\","));
    let counts: BTreeMap<_, _> = records.iter().map(|(kind, records)| (kind, records.len())).collect();
    assert_eq!(summaries[0]["counts"], json!(counts));
    records
}

/// Asserts that an export of the account of [`full_account`] has one record or more of each type, and no secret.
fn assert_complete(text: &str, canaries: &Canaries) -> BTreeMap<String, Vec<Value>> {
    let found = canaries.in_bytes(text.as_bytes());
    assert!(found.is_empty(), "{found:?}: {text}");
    for column in ["wrapped", "envelope", "mac", "hash", "answer"] {
        assert!(!text.to_lowercase().contains(&format!("\"{column}")), "{column}: {text}");
    }
    let records = records(text);
    let kinds = [
        "account",
        "api_key",
        "audit_event",
        "connection",
        "idempotency_record",
        "job",
        "webhook_delivery",
        "webhook_endpoint",
        "webhook_secret",
    ];
    assert_eq!(records.keys().map(String::as_str).collect::<Vec<_>>(), kinds);
    assert_eq!(records["account"][0]["name"], ACCOUNT);
    assert_eq!(records["account"][0]["limits"]["connections"]["source"], "configuration");
    assert_eq!(records["connection"].len(), 2);
    assert_eq!(records["idempotency_record"][0]["idempotencyKey"], "order-7");
    assert!(records["webhook_secret"][0]["createdDate"].is_string());
    assert!(records["audit_event"].iter().any(|event| event["action"] == "create_connection"), "{text}");
    records
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_has_everything_of_its_account_and_no_secret() {
    let (uploads, canaries) = full_account(None).await;
    let env = &uploads.env;
    let others = env.make_key("another", &[]);
    let headers = [("authorization", &*others)];
    let theirs = env.valid_body("Of another account").to_string().into_bytes();
    assert_eq!(env.send(Method::POST, COLLECTION, &headers, theirs).await.status, 201);
    let failed = env.get("/pictoryapis/v1/jobs?status=failed").await.json();
    let failed = failed["items"][0]["job_id"].as_str().unwrap().to_owned();
    // More than a page.
    add_old_jobs(&mut env.database(), &failed);
    let exported = env.cli(&["accounts", "export", ACCOUNT, "--output", "acme.jsonl"], "");
    assert!(exported.status.success(), "{}", printed(&exported));
    assert!(canaries.in_bytes(printed(&exported).as_bytes()).is_empty());
    let path = env.path().join("acme.jsonl");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains("Of another account"));
    let records = assert_complete(&text, &canaries);
    let ids: BTreeSet<_> = records["job"].iter().map(|job| job["job_id"].as_str().unwrap()).collect();
    let expected = usize::try_from(OLD).unwrap() + 2;
    assert_eq!((records["job"].len(), ids.len()), (expected, expected), "each once");
    let shown = uploads.job(&failed).await;
    assert!(records["job"].contains(&shown), "as the API shows it");

    let again = env.cli(&["accounts", "export", ACCOUNT, "--output", "acme.jsonl"], "");
    assert_eq!(again.status.code(), Some(1));
    assert!(printed(&again).contains("acme.jsonl exists and is not overwritten"), "{}", printed(&again));
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
    let unknown = env.cli(&["accounts", "export", "unknown", "--output", "unknown.jsonl"], "");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(!env.path().join("unknown.jsonl").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_from_postgres_goes_to_standard_output() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let (uploads, canaries) = full_account(Some(database.url())).await;
    let exported = uploads.env.cli(&["accounts", "export", ACCOUNT], "");
    assert!(exported.status.success(), "{}", printed(&exported));
    let records = assert_complete(std::str::from_utf8(&exported.stdout).unwrap(), &canaries);
    assert_eq!(records["job"].len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_that_cannot_be_written_leaves_no_file() {
    let env = TestEnv::without_verification("").await;
    let refused = env.cli(&["accounts", "export", ACCOUNT, "--output", "none/acme.jsonl"], "");
    assert_eq!(refused.status.code(), Some(1));
    assert!(printed(&refused).contains("none/acme.jsonl"), "{}", printed(&refused));
    // A file may not grow.
    let mut command = std::process::Command::new("sh");
    let script = "ulimit -f 0; trap '' XFSZ; exec \"$0\" accounts export acme --output acme.jsonl";
    command.current_dir(env.path()).env_clear().args(["-c", script, env!("CARGO_BIN_EXE_vimeo-connections")]);
    let output = command.output().unwrap();
    assert_ne!(output.status.code(), Some(0), "{}", printed(&output));
    assert!(!env.path().join("acme.jsonl").exists());
}
