//! Records are deleted when they are old enough: in pieces, by one node at a time, with what they kept sealed.

use std::collections::BTreeMap;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::cluster::Node;
use crate::support::harness::{EnvOptions, TestEnv, until};
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::uploads::source::{Behaviour, Source};
use crate::support::uploads::{CONFIG, UploadEnv};

const SWEEPS: &str = "retention.sweep_seconds = 1\n";
/// Ended jobs that are added to the database.
pub(super) const OLD: i64 = 3_000;
const KILLS: usize = 2;
/// 91 days before now, in microseconds.
const LONG_AGO: &str = "(SELECT max(updated_at) - 91 * 86400000000 FROM jobs)";

/// Uploads that were completed and that failed.
async fn ended(uploads: &UploadEnv) -> (String, String) {
    let completed = uploads.submit(1_000).await;
    let missing = Source::start(Behaviour::Status(404)).await;
    let failed =
        uploads.submit_with(serde_json::json!({"source": {"url": missing.url("film.mp4", 9)}})).await;
    for id in [&completed, &failed] {
        uploads.wait_for_end(id).await;
    }
    (completed, failed)
}

async fn status(uploads: &UploadEnv, id: &str) -> u16 {
    uploads.env.get(&format!("/pictoryapis/v1/jobs/{id}")).await.status.as_u16()
}

fn count(database: &Connection, sql: &str) -> i64 {
    database.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_enough_is_deleted_and_nothing_else() {
    let config = format!("{CONFIG}{SWEEPS}");
    let uploads = UploadEnv::with(&config, sandbox::Options::default()).await;
    let (completed, failed) = ended(&uploads).await;
    let (old, old_failed) = ended(&uploads).await;
    let headers = [("content-type", "application/json"), ("idempotency-key", "old")];
    let body = uploads.env.valid_body("With a key").to_string();
    let created = uploads
        .env
        .send(reqwest::Method::POST, crate::support::harness::COLLECTION, &headers, body.into_bytes())
        .await;
    assert_eq!(created.status, 201, "{}", created.text);
    let database = uploads.env.database();
    let days = |days: i64| days * 86_400_000_000;
    let age = |table: &str, column: &str, by: i64, id: &str| {
        let sql = format!("UPDATE {table} SET {column} = {column} - {by} WHERE job_id = ?1");
        assert_eq!(database.execute(&sql, [id]).unwrap(), 1, "{sql}");
    };
    age("jobs", "updated_at", days(89), &completed);
    age("job_secrets", "kept_since", days(6), &failed);
    age("jobs", "updated_at", days(91), &old);
    age("job_secrets", "kept_since", days(8), &old_failed);
    let sql = "UPDATE idempotency_records SET answered_at = answered_at - 25 * 3600000000,
        reserved_until = reserved_until - 25 * 3600000000";
    assert_eq!(database.execute(sql, []).unwrap(), 1);
    until("they are deleted", async || {
        let secrets = format!("SELECT count(*) FROM job_secrets WHERE job_id = '{old_failed}'");
        status(&uploads, &old).await == 404
            && count(&database, &secrets) == 0
            && count(&database, "SELECT count(*) FROM idempotency_records") == 0
    })
    .await;
    for id in [&completed, &failed, &old_failed] {
        assert_eq!(status(&uploads, id).await, 200);
    }
    assert_eq!(count(&database, "SELECT count(*) FROM job_secrets WHERE kept_since IS NOT NULL"), 1);
    let retry = async |id: &str| {
        let path = format!("/pictoryapis/v1/jobs/{id}/retry");
        uploads.env.send(reqwest::Method::POST, &path, &[], Vec::new()).await
    };
    let late = retry(&old_failed).await;
    assert_eq!((late.status.as_u16(), &*late.code()), (409, "JOB_NOT_RETRYABLE"));
    assert!(late.text.contains("no longer kept"), "{}", late.text);
    assert_eq!(retry(&failed).await.status, 202);
    assert!(!uploads.env.log().contains("could not be deleted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_deleted_if_jobs_are_kept_for_ever() {
    let config = format!("{CONFIG}{SWEEPS}retention.jobs_days = 0\n");
    let uploads = UploadEnv::with(&config, sandbox::Options::default()).await;
    let (completed, failed) = ended(&uploads).await;
    let database = uploads.env.database();
    database.execute("UPDATE jobs SET updated_at = 1", []).unwrap();
    database.execute("UPDATE job_secrets SET kept_since = 1", []).unwrap();
    until("a sweep has run", async || count(&database, "SELECT count(*) FROM job_secrets") == 0).await;
    assert_eq!((status(&uploads, &completed).await, status(&uploads, &failed).await), (200, 200));
}

/// Adds copies of a failed job, with sealed requests of their own, that ended long ago.
pub(super) fn add_old_jobs(database: &mut Connection, id: &str) {
    let columns: Vec<String> = {
        let mut names = database.prepare("SELECT name FROM pragma_table_info('jobs')").unwrap();
        names.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let values: Vec<_> = columns
        .iter()
        .map(|name| match name.as_str() {
            "job_id" => "printf('old-%06d', i)",
            "updated_at" => LONG_AGO,
            other => other,
        })
        .collect();
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {OLD})");
    let transaction = database.transaction().unwrap();
    transaction
        .execute_batch(&format!(
            "CREATE TEMP TABLE base AS SELECT max(sealing_key_id) AS id FROM sealing_keys;
             {numbers} INSERT INTO sealing_keys (sealing_key_id, wrapped_key)
                SELECT base.id + i, randomblob(60) FROM n, base;
             {numbers} INSERT INTO job_secrets (account_id, job_id, part, sealing_key_id, envelope)
                SELECT account_id, printf('old-%06d', i), part, base.id + i, envelope
                FROM n, base, job_secrets WHERE job_id = '{id}';
             {numbers} INSERT INTO jobs ({}) SELECT {} FROM n, jobs WHERE job_id = '{id}';",
            columns.join(", "),
            values.join(", ")
        ))
        .unwrap();
    transaction.commit().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_that_is_killed_leaves_nothing_half_done_and_continues() {
    let config = format!("{CONFIG}{SWEEPS}");
    let mut uploads = UploadEnv::with(&config, sandbox::Options::default()).await;
    let (completed, failed) = ended(&uploads).await;
    let young = |database: &Connection| {
        let rows = "SELECT count(*) FROM jobs WHERE job_id NOT LIKE 'old-%'";
        assert_eq!(count(database, rows), 2);
        let kept = format!(
            "SELECT count(*) FROM job_secrets JOIN sealing_keys USING (sealing_key_id)
             WHERE job_id = '{failed}' AND wrapped_key <> zeroblob(60)"
        );
        assert_eq!(count(database, &kept), 1);
    };
    let mut database = uploads.env.database();
    add_old_jobs(&mut database, &failed);
    let old = "SELECT count(*) FROM jobs WHERE job_id LIKE 'old-%'";
    for _ in 0..KILLS {
        let before = count(&database, old);
        until("a piece is deleted", async || count(&database, old) < before).await;
        uploads.env.service.kill();
        let left = count(&database, old);
        assert!(left > 0, "the sweep was killed in the middle");
        // A job is there with its request and its key, or all three are gone.
        let with_key = "SELECT count(*) FROM jobs JOIN job_secrets USING (account_id, job_id)
            JOIN sealing_keys USING (sealing_key_id)
            WHERE job_id LIKE 'old-%' AND wrapped_key <> zeroblob(60)";
        let secrets = "SELECT count(*) FROM job_secrets WHERE job_id LIKE 'old-%'";
        let wiped = "SELECT count(*) FROM sealing_keys WHERE wrapped_key = zeroblob(60)";
        assert_eq!((count(&database, with_key), count(&database, secrets)), (left, left));
        assert!(count(&database, wiped) >= OLD - left);
        young(&database);
        uploads.env.service = crate::support::harness::Service::start(uploads.env.path());
    }
    until("the rest is deleted", async || count(&database, old) == 0).await;
    young(&database);
    assert_eq!((status(&uploads, &completed).await, status(&uploads, &failed).await), (200, 200));
}

/// The rows that the log of a node says it deleted, by kind.
fn deleted(log: &str) -> BTreeMap<String, u64> {
    let mut deleted = BTreeMap::new();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    for line in lines.filter(|line| line["message"] == "expired records were deleted") {
        *deleted.entry(line["kind"].as_str().unwrap().to_owned()).or_default() +=
            line["deleted"].as_u64().unwrap();
    }
    deleted
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_on_postgres_delete_each_row_once() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let config = format!("{CONFIG}{SWEEPS}");
    let options = EnvOptions { config, database_url: Some(database.url()), ..EnvOptions::default() };
    let env = TestEnv::with(options).await;
    let created = env.post(&env.valid_body("Vimeo")).await;
    let connection = created.header("location").to_owned();
    let uploads = UploadEnv { env, source: Source::start(Behaviour::Good).await, connection };
    let (completed, failed) = ended(&uploads).await;
    let other = Node::beside(&uploads.env);
    let numbers = format!("generate_series(1, {OLD}) AS n (i)");
    database.sql(&format!(
        "BEGIN;
         INSERT INTO job_secrets (account_id, job_id, part, wrapped_key, envelope)
            SELECT account_id, 'old-' || i, part, wrapped_key, envelope FROM job_secrets, {numbers}
            WHERE job_id = '{failed}';
         INSERT INTO jobs SELECT (jsonb_populate_record(j, jsonb_build_object(
                'job_id', 'old-' || i, 'updated_at', j.updated_at - 91 * 86400000000::bigint))).*
            FROM jobs AS j, {numbers} WHERE job_id = '{failed}';
         COMMIT;"
    ));
    let old = "SELECT (SELECT count(*) FROM jobs WHERE job_id LIKE 'old-%')
        + (SELECT count(*) FROM job_secrets WHERE job_id LIKE 'old-%')";
    until("all are deleted", async || database.sql(old).trim() == "0").await;
    assert_eq!((status(&uploads, &completed).await, status(&uploads, &failed).await), (200, 200));
    assert_eq!(database.sql("SELECT count(*) FROM job_secrets WHERE kept_since IS NOT NULL").trim(), "1");
    let mut logs = [String::new(), String::new()];
    until("the sweeps have ended", async || {
        other.service.flush_log(other.directory.path());
        let others = std::fs::read_to_string(other.directory.path().join("service.log")).unwrap();
        logs = [uploads.env.log(), others];
        let jobs = logs.iter().map(|log| deleted(log).get("jobs").copied().unwrap_or_default());
        jobs.sum::<u64>() == u64::try_from(OLD).unwrap()
    })
    .await;
    for log in &logs {
        assert!(!log.contains("could not be deleted"), "{log}");
    }
}
