//! Vimeo carries a request of a publication out, and its answer is lost.

use std::time::Duration;

use serde_json::json;

use super::fixtures::{Engine, PublicationEnv};
use super::schedules::{Ends, Schedule, run_all};
use crate::support::uploads::{CONFIG, fast_sandbox};

/// Every request that changes something, and how many of them are answered before.
const REQUESTS: [(&str, usize); 20] = [
    ("POST /me/videos", 0),
    ("GET /me/projects", 0),
    ("POST /me/projects", 0),
    ("PUT /users/{user}/projects/{folder}/videos/{video}", 0),
    ("PUT /videos/{video}/tags", 0),
    ("PUT /videos/{video}/presets/{preset}", 0),
    ("GET /me/albums", 0),
    ("GET /me/albums", 1),
    ("POST /me/albums", 0),
    ("PUT /users/{user}/albums/{album}/videos/{video}", 0),
    ("POST /videos/{video}/texttracks", 0),
    ("POST /videos/{video}/texttracks", 2),
    ("PUT /files/texttracks/{key}", 0),
    ("PUT /files/texttracks/{key}", 2),
    ("POST /videos/{video}/chapters", 0),
    ("POST /videos/{video}/chapters", 1),
    ("POST /videos/{video}/pictures", 0),
    ("PUT /files/pictures/{key}", 0),
    ("PATCH /videos/{video}/pictures/{picture}", 0),
    // The one that opens the video.
    ("PATCH /videos/{video}", 1),
];
const SERVICES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_any_request_of_a_publication_doubles_and_loses_nothing() {
    let schedules = REQUESTS.into_iter().map(|(route, after)| Schedule {
        name: "lost".to_owned(),
        faults: vec![json!({"route": route, "kind": "cut-after", "after": after})],
        kills: Vec::new(),
        ends: Ends::AfterAllFaults,
        publish_after: Duration::from_secs(6),
    });
    run_all(Engine::Sqlite, schedules.collect(), SERVICES).await;
}

/// Vimeo carries out the creation of a folder and of a showcase seconds after the connection was lost, but within the time
/// that a request may take.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_folder_or_showcase_is_not_created_twice() {
    let config = CONFIG.replace("grace_seconds = 1", "grace_seconds = 5");
    let mut env = PublicationEnv::with(Engine::Sqlite, fast_sandbox(), &config).await.unwrap();
    let late = |route| json!({"route": route, "kind": "late", "millis": 3_000});
    let schedule = Schedule {
        name: "late".to_owned(),
        faults: vec![late("POST /me/projects"), late("POST /me/albums")],
        kills: Vec::new(),
        ends: Ends::AfterAllFaults,
        publish_after: Duration::from_secs(1),
    };
    env.run(&schedule).await.unwrap_or_else(|wrong| panic!("{wrong}"));
}
