//! `GET /v1/jobs`: filters.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

async fn list(env: &UploadEnv, query: &str) -> Vec<String> {
    let answer = env.env.get(&format!("/pictoryapis/v1/jobs?{query}")).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.text);
    let json = answer.json();
    json["items"].as_array().unwrap().iter().map(|job| job["job_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_are_listed_by_status_phase_and_time() {
    let env = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let done = env.submit(2_000).await;
    env.wait_for_end(&done).await;
    // An empty file is not a video.
    let failed = env.submit(0).await;
    let failed_job = env.wait_for_end(&failed).await;
    let linked = env.post(&json!({"source": {"size": 1_000}})).await.json();
    let waiting = linked["data"]["jobId"].as_str().unwrap().to_owned();
    let other = env.post(&json!({"source": {"size": 1_000}})).await.json();
    let cancelled = other["data"]["jobId"].as_str().unwrap().to_owned();
    let path = format!("/pictoryapis/v1/jobs/{cancelled}");
    assert_eq!(env.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    env.wait_for_end(&cancelled).await;

    assert_eq!(failed_job["data"]["status"], "failed", "{failed_job}");
    assert_eq!(list(&env, "").await, [&*cancelled, &*waiting, &*failed, &*done]);
    assert_eq!(list(&env, "status=completed").await, [&*done]);
    assert_eq!(list(&env, "status=failed").await, [&*failed]);
    assert_eq!(list(&env, "status=cancelled&phase=cancelled").await, [&*cancelled]);
    assert_eq!(list(&env, "phase=uploading").await, [&*waiting]);
    assert_eq!(list(&env, "status=in-progress&limit=1").await, [&*waiting]);
    assert_eq!(list(&env, "status=in-progress&phase=completed").await, [""; 0]);
    let connection = env.connection.rsplit('/').next().unwrap();
    assert_eq!(list(&env, &format!("connectionId={connection}&status=completed")).await, [&*done]);

    let created = env.job(&failed).await["data"]["createdDate"].as_str().unwrap().to_owned();
    let from = list(&env, &format!("createdAfter={created}")).await;
    let until = list(&env, &format!("createdBefore={created}")).await;
    assert_eq!([from.clone(), until].concat(), [&*cancelled, &*waiting, &*failed, &*done]);
    assert!(from.contains(&failed), "{from:?}");
    assert_eq!(list(&env, "createdAfter=2126-01-31T11:05:00%2B02:00").await, [""; 0]);

    let bad =
        env.env.get("/pictoryapis/v1/jobs?status=done&phase=x&createdAfter=yesterday&createdBefore=").await;
    assert_eq!((bad.status.as_u16(), bad.code()), (400, "INVALID_QUERY".to_owned()));
    let names: Vec<_> = bad.fields().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["status", "phase", "createdAfter", "createdBefore"]);
    assert_eq!(bad.json().get("items"), None::<&Value>);
}
