//! The headers of a request for the source's origin: sent there, to no other origin, and kept secret.

use std::time::Duration;

use serde_json::json;

use super::fixtures::{Engine, PublicationEnv, after};
use crate::support::postgres::Version;
use crate::support::uploads::scripted::{File, Reply, Scripted};

const SIZE: u64 = 50_000;
const SECRETS: [&str; 2] = ["canary-source-authorization", "canary-source-key"];

async fn upload_on(engine: Engine) {
    let Some(env) = PublicationEnv::on(engine).await else { return };
    let film = File::new(1, SIZE, &["ETag: \"one\""]);
    let sha256 = film.sha256();
    let served = film.clone();
    let other = Scripted::start(move |asked| served.answer(asked)).await;
    let target = other.url();
    let origin = Scripted::start(move |asked| {
        if asked.path() == "/direct.mp4" {
            return film.answer(asked);
        }
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        Reply::nothing().with_head(&head)
    })
    .await;
    let headers = json!({"Authorization": format!("Bearer {}", SECRETS[0]), "X-Key": SECRETS[1]});
    let mut answers = Vec::new();
    for path in ["/direct.mp4", "/redirected.mp4"] {
        let source = json!({"url": origin.url_of(path), "headers": headers});
        // It keeps its sealed request while it waits.
        let publish_at = after(Duration::from_hours(1)).to_string();
        let accepted = env.uploads.post(&json!({"source": source, "publishAt": publish_at})).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let id = accepted.json()["data"]["jobId"].as_str().unwrap().to_owned();
        let job = env.uploads.wait_for_phase(&id, "scheduled").await;
        let video = env.recorded(job["data"]["vimeoUri"].as_str().unwrap()).await;
        assert_eq!(video["versions"][0]["sha256"], sha256, "{path}");
        answers.extend([accepted.text, job.to_string()]);
    }
    let has_all = |head: &String| SECRETS.iter().all(|secret| head.contains(secret));
    let has_any = |head: &String| SECRETS.iter().any(|secret| head.contains(secret));
    let (first, redirected) = (origin.asked(), other.asked());
    assert!(first.len() >= 4 && first.iter().all(has_all), "{first:#?}");
    assert!(!redirected.is_empty() && !redirected.iter().any(has_any), "{redirected:#?}");
    let found = env.exposures(&SECRETS, answers).await;
    assert!(found.is_empty(), "{engine:?}: {found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_a_source_reach_its_origin_only_and_are_shown_nowhere() {
    for engine in [Engine::Sqlite, Engine::Postgres(Version::V15)] {
        upload_on(engine).await;
    }
}
