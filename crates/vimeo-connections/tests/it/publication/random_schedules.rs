//! Random schedules of kills and faults during a publication, the same in every run.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::Engine;
use super::schedules::{Ends, Kill, Schedule, run_all};
use crate::support::random::next_random;
use crate::support::tools::is_all;

/// The number of schedules, how many of them run without `--all`, and how many services run them concurrently.
const SCHEDULES: u64 = 200;
const DAILY_SCHEDULES: u64 = 12;
const SERVICES: usize = 12;
/// A request with everything makes about as many requests to Vimeo.
const REQUESTS: usize = 36;

/// Requests of a publication.
const ROUTES: [&str; 20] = [
    "POST /me/videos",
    "PATCH /files/*",
    "GET /videos/{video}",
    "PATCH /videos/{video}",
    "GET /me/projects",
    "POST /me/projects",
    "PUT /users/{user}/projects/{folder}/videos/{video}",
    "PUT /videos/{video}/tags",
    "PUT /videos/{video}/presets/{preset}",
    "GET /me/albums",
    "POST /me/albums",
    "PUT /users/{user}/albums/{album}/videos/{video}",
    "POST /videos/{video}/texttracks",
    "GET /videos/{video}/texttracks",
    "PUT /files/texttracks/{key}",
    "POST /videos/{video}/chapters",
    "GET /videos/{video}/chapters",
    "POST /videos/{video}/pictures",
    "PUT /files/pictures/{key}",
    "PATCH /videos/{video}/pictures/{picture}",
];

/// Faults that are retried, whatever the request. A late request is carried out before the service looks for what it made.
fn kinds() -> Vec<Value> {
    vec![
        json!({"kind": "status", "status": 500}),
        json!({"kind": "status", "status": 503, "error_code": 7100}),
        json!({"kind": "delay", "millis": 300}),
        json!({"kind": "cut"}),
        json!({"kind": "cut-after"}),
        json!({"kind": "cut-after"}),
        json!({"kind": "late", "millis": 200}),
        json!({"kind": "reset"}),
        json!({"kind": "truncate"}),
        json!({"kind": "garbage"}),
        json!({"kind": "html", "status": 502}),
        json!({"kind": "rate-limit", "reset_seconds": 1}),
    ]
}

fn random_schedule(number: u64) -> Schedule {
    let mut seed = number * 7_919 + 20_261_130;
    let mut throw = |sides| next_random(&mut seed, sides);
    let mut faults = Vec::new();
    for _ in 0..throw(4) {
        let mut fault = kinds()[throw(kinds().len())].clone();
        fault["route"] = json!(ROUTES[throw(ROUTES.len())]);
        fault["times"] = json!(1 + throw(2));
        fault["after"] = json!(throw(3));
        faults.push(fault);
    }
    let mut kills: Vec<usize> = (0..throw(3)).map(|_| throw(REQUESTS)).collect();
    kills.sort_unstable();
    Schedule {
        name: format!("number {number}"),
        faults,
        ends: Ends::AtAnyTime,
        kills: kills.into_iter().map(Kill::After).collect(),
        publish_after: Duration::from_secs([3, 8, 15][throw(3)]),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_of_kills_and_faults_doubles_or_loses_a_part() {
    let count = if is_all() { SCHEDULES } else { DAILY_SCHEDULES };
    run_all(Engine::Sqlite, (0..count).map(random_schedule).collect(), SERVICES).await;
}
