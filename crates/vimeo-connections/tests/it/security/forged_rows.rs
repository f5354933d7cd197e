//! Rows that act are authenticated: a process that can write the database, and has no keyring, makes the service do nothing
//! at Vimeo and sign nothing. It harms no other upload.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::{cli, until};
use crate::support::uploads::{CONFIG, UploadEnv};

const SIZE: u64 = 1_000;

/// An upload that waits for its transcoding, and a change of its row.
async fn forge(changes: &str) -> (UploadEnv, String) {
    let by_hand = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    let uploads = UploadEnv::with(CONFIG, by_hand).await;
    let id = uploads.submit(SIZE).await;
    uploads.wait_for_phase(&id, "transcoding").await;
    until("no worker has it", async || {
        let leased = "SELECT lease_until IS NOT NULL FROM jobs WHERE job_id = ?1";
        !uploads.env.database().query_row(leased, [&id], |row| row.get::<_, bool>(0)).unwrap()
    })
    .await;
    // A worker that wrote the job meanwhile has overwritten the change: it is made again.
    until("the change is found", async || {
        let sql = format!("UPDATE jobs SET {changes}, due_at = 0 WHERE job_id = ?1");
        assert_eq!(uploads.env.database().execute(&sql, [&id]).unwrap(), 1);
        uploads.env.log().contains("the row of a job does not verify")
    })
    .await;
    (uploads, id)
}

/// The requests that change something at Vimeo since the upload waits.
async fn changes_at_vimeo(uploads: &UploadEnv) -> Vec<Value> {
    let mut found = uploads.journal("DELETE /videos/{video}").await;
    let is_opened = |change: &Value| !change["body"]["privacy"]["view"].is_null();
    found.extend(uploads.journal("PATCH /videos/{video}").await.into_iter().filter(is_opened));
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_job_does_nothing_at_vimeo_and_is_reported() {
    for changes in [
        // Deletes a customer's video.
        "state = 'cleaning_up', ending = 'cancelled'",
        // Another video of the account.
        "state = 'cleaning_up', ending = 'cancelled', video_number = 1",
        // Opens a closed video.
        "state = 'publishing'",
        // The row of an earlier version had no MAC.
        "state = 'publishing', row_mac = NULL",
        // A text of its own in a webhook.
        "state = 'failed', failure_code = 'VIMEO_REFUSED', failure_message = 'forged', due_class = 2, webhook = 'waiting'",
    ] {
        let (uploads, id) = forge(changes).await;
        assert_eq!(changes_at_vimeo(&uploads).await, Vec::<Value>::new(), "{changes}");
        let cancelled =
            uploads.env.send(Method::DELETE, &format!("/pictoryapis/v1/jobs/{id}"), &[], Vec::new()).await;
        // A row that says that it is cancelled, or has ended, is left as it is.
        let is_left = changes.contains("'cancelled'") || changes.contains("'failed'");
        assert_eq!(cancelled.status, if is_left { 204 } else { 500 }, "{changes}: {}", cancelled.text);
        assert_eq!(changes_at_vimeo(&uploads).await, Vec::<Value>::new(), "{changes}");
        let checked = cli(uploads.env.path(), &["connections", "check", "--json"], "");
        let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
        assert_eq!(report["broken"][0]["jobId"], json!(id), "{changes}: {report}");
        // Another upload of the same connection is not harmed.
        let other = uploads.submit(SIZE).await;
        uploads.wait_for_phase(&other, "transcoding").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_enabled_in_the_database_uploads_nothing() {
    let uploads = UploadEnv::start().await;
    let set = async |version: u64, is_enabled: bool| {
        let body = json!({"version": version, "enabled": is_enabled}).to_string();
        let headers = [("content-type", "application/json")];
        let answer = uploads.env.send(Method::PUT, &uploads.connection, &headers, body.into_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
    };
    set(1, false).await;
    uploads.env.database().execute("UPDATE connections SET is_enabled = 1", []).unwrap();
    let id = uploads.submit(SIZE).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "JOB_UNREADABLE", "{job}");
    assert_eq!(uploads.journal("POST /me/videos").await, Vec::<Value>::new());
    let checked = cli(uploads.env.path(), &["connections", "check"], "");
    assert!(!checked.status.success(), "{checked:?}");
    // The service can still enable it.
    uploads.env.database().execute("UPDATE connections SET is_enabled = 0", []).unwrap();
    set(2, true).await;
    let id = uploads.submit(SIZE).await;
    assert_eq!(uploads.wait_for_end(&id).await["data"]["status"], "completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_moved_to_another_connection_does_not_run() {
    let (uploads, id) = forge("connection_id = connection_id || 'x', state = 'queued'").await;
    assert_eq!(changes_at_vimeo(&uploads).await, Vec::<Value>::new(), "{id}");
    assert_eq!(uploads.journal("POST /me/videos").await.len(), 1, "its own create");
}
