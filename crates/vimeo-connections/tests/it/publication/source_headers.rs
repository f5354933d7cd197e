//! The headers of a request for the source's origin: sent there, to no other origin, and kept secret.

use std::path::Path;

use serde_json::json;

use super::fixtures::{Engine, PublicationEnv};
use crate::support::canaries::Canaries;
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
        let accepted = env.uploads.post(&json!({"source": source})).await;
        assert_eq!(accepted.status, 202, "{}", accepted.text);
        let id = accepted.json()["data"]["jobId"].as_str().unwrap().to_owned();
        let job = env.uploads.wait_for_end(&id).await;
        assert_eq!(job["data"]["status"], "completed", "{path}: {job}\n{}", env.uploads.env.log());
        let video = env.recorded(job["data"]["vimeoUri"].as_str().unwrap()).await;
        assert_eq!(video["versions"][0]["sha256"], sha256, "{path}");
        answers.extend([accepted.text, job.to_string()]);
    }
    let has_all = |head: &String| SECRETS.iter().all(|secret| head.contains(secret));
    let has_any = |head: &String| SECRETS.iter().any(|secret| head.contains(secret));
    let (first, redirected) = (origin.asked(), other.asked());
    assert!(first.len() >= 4 && first.iter().all(has_all), "{first:#?}");
    assert!(!redirected.is_empty() && !redirected.iter().any(has_any), "{redirected:#?}");
    answers.push(env.uploads.env.get("/pictoryapis/v1/jobs").await.text);
    answers.push(env.uploads.env.get("/pictoryapis/v1/audit-events").await.text);
    answers.push(env.uploads.env.log());
    answers.extend(env.rows());
    let canaries = Canaries::of(&SECRETS.map(|secret| (secret, secret.as_bytes())));
    for answer in answers {
        let found = canaries.in_bytes(answer.as_bytes());
        assert!(found.is_empty(), "{engine:?}: {found:?} in {answer}");
    }
    let keyring = env.uploads.env.path().join("vimeo-connections.keyring");
    let found = canaries.in_files(env.uploads.env.path(), &[Path::new(&keyring)]);
    assert!(found.is_empty(), "{engine:?}: {found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_of_a_source_reach_its_origin_only_and_are_shown_nowhere() {
    for engine in [Engine::Sqlite, Engine::Postgres(Version::V15)] {
        upload_on(engine).await;
    }
}
