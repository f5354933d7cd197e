//! Log lines of an upload: each names its job, and one reports the end.

use serde_json::{Value, json};

use crate::support::harness::ClosedPort;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

fn lines(uploads: &UploadEnv) -> Vec<Value> {
    uploads.env.log().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines of a job.
fn of_job(uploads: &UploadEnv, id: &str) -> Vec<Value> {
    lines(uploads).into_iter().filter(|line| line["span"]["job"] == id).collect()
}

/// The only line at the end of a job, among its lines from `info` on.
fn end_of(lines: &[Value]) -> Value {
    let ends = ["an upload has completed", "an upload has failed", "an upload has been cancelled"];
    let is_end = |line: &&Value| ends.iter().any(|end| line["message"] == *end);
    let found: Vec<_> = lines.iter().filter(is_end).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["level"], "INFO");
    found[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_job_names_it_and_one_reports_its_end() {
    let uploads = UploadEnv::with(&format!("{CONFIG}sources.attempts = 2\n"), fast_sandbox()).await;
    let listed = uploads.env.cli(&["keys", "list", "--json"], "");
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let account = &listed[0]["accountId"];
    let connection = uploads.connection.rsplit('/').next().unwrap();

    let completed = uploads.submit(1_000).await;
    let job = uploads.wait_for_end(&completed).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    let closed = ClosedPort::bind();
    let away = closed.address();
    let url = format!("http://{away}/film.mp4?token=canary-source-query");
    let failed = uploads.submit_with(json!({"source": {"url": url}})).await;
    let job = uploads.wait_for_end(&failed).await;
    assert_eq!(job["data"]["error_code"], "SOURCE_UNREACHABLE", "{job}");

    for id in [&completed, &failed] {
        let lines = of_job(&uploads, id);
        assert!(!lines.is_empty());
        for line in &lines {
            assert_eq!(
                (&line["span"]["account"], &line["span"]["connection"]),
                (account, &json!(connection)),
                "{line}"
            );
        }
        let end = end_of(&lines);
        if *id == completed {
            assert_eq!((&end["message"], &end["bytes"]), (&json!("an upload has completed"), &json!(1_000)));
        } else {
            assert_eq!(
                (&end["message"], &end["code"]),
                (&json!("an upload has failed"), &json!("SOURCE_UNREACHABLE"))
            );
        }
    }
    // Every line that names a job is one of these.
    for line in lines(&uploads) {
        let names = |id: &String| line.to_string().contains(id.as_str());
        let is_request = line["span"]["request_id"].is_string();
        assert!(
            is_request || !(names(&completed) || names(&failed)) || line["span"]["account"] == *account,
            "{line}"
        );
    }
    // The cause is for the operator, not for the client.
    let unreached: Vec<_> = of_job(&uploads, &failed)
        .into_iter()
        .filter(|line| line["message"] == "a source cannot be reached")
        .collect();
    assert!(!unreached.is_empty() && unreached.iter().all(|line| line["level"] == "INFO"), "{unreached:#?}");
    assert!(unreached[0].to_string().contains("Connection refused"), "{}", unreached[0]);
    assert!(!uploads.env.log().contains("canary-source-query"));
    assert!(!job.to_string().to_lowercase().contains("refused"), "{job}");
    assert!(!job.to_string().contains(&away.port().to_string()), "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_upload_has_one_final_line_too() {
    let by_hand = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    let uploads = UploadEnv::with(CONFIG, by_hand).await;
    let id = uploads.submit(1_000).await;
    uploads.wait_for_phase(&id, "transcoding").await;
    let path = format!("/pictoryapis/v1/jobs/{id}");
    assert_eq!(uploads.env.send(reqwest::Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    uploads.until(&id, |job| job["data"]["phase"] == "cancelled").await;
    let end = end_of(&of_job(&uploads, &id));
    assert_eq!(end["message"], "an upload has been cancelled");
}
