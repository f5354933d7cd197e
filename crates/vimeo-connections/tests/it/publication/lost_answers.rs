//! Vimeo carries a request of a publication out, and its answer is lost.

use std::time::Duration;

use serde_json::json;

use super::fixtures::Engine;
use super::schedules::{Ends, Schedule, run_all};

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
