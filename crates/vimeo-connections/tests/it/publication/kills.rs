//! The service is killed with SIGKILL at every step of a publication.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixtures::{ENGINES, Engine, PublicationEnv, after};
use super::schedules::{Ends, Kill, Schedule, run_all};
use crate::support::postgres::Version;

/// Requests at which the service is killed while they are in progress, and how many of them are answered before.
const REQUESTS: [(&str, usize); 17] = [
    ("GET /me/projects", 0),
    ("POST /me/projects", 0),
    ("PUT /videos/{video}/tags", 0),
    ("PUT /videos/{video}/presets/{preset}", 0),
    ("GET /me/albums", 0),
    ("POST /me/albums", 0),
    ("PUT /users/{user}/albums/{album}/videos/{video}", 0),
    ("PUT /users/{user}/albums/{album}/videos/{video}", 1),
    ("POST /videos/{video}/texttracks", 0),
    ("POST /videos/{video}/texttracks", 2),
    ("PUT /files/texttracks/{key}", 1),
    ("POST /videos/{video}/chapters", 1),
    ("GET /videos/{video}/pictures", 0),
    ("POST /videos/{video}/pictures", 0),
    ("PUT /files/pictures/{key}", 0),
    ("PATCH /videos/{video}/pictures/{picture}", 0),
    ("PATCH /videos/{video}", 1),
];

/// Requests that Vimeo has carried out when the service is killed, and does not answer.
const CARRIED_OUT: [&str; 6] = [
    "POST /me/projects",
    "POST /me/albums",
    "POST /videos/{video}/texttracks",
    "POST /videos/{video}/chapters",
    "POST /videos/{video}/pictures",
    "PATCH /videos/{video}/pictures/{picture}",
];

/// The requests that must not be carried out twice, and the one that opens the video.
const UNIQUE: [&str; 4] = [
    "POST /videos/{video}/texttracks",
    "POST /videos/{video}/chapters",
    "POST /videos/{video}/pictures",
    "PATCH /videos/{video}",
];

fn killed(name: &str, fault: Value, kill: Kill) -> Schedule {
    Schedule {
        name: name.to_owned(),
        faults: vec![fault],
        kills: vec![kill],
        ends: Ends::AfterAllFaults,
        // Later than a killed worker is replaced by, earlier than a wait for a request that may be in progress.
        publish_after: Duration::from_secs(6),
    }
}

fn held((route, after): (&'static str, usize)) -> Schedule {
    let fault = json!({"route": route, "kind": "hold", "after": after});
    killed("in progress", fault, Kill::At(route, after + 1))
}

fn unanswered(route: &'static str) -> Schedule {
    let fault = json!({"route": route, "kind": "drip", "millis": 600_000});
    killed("carried out", fault, Kill::At(route, 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_at_any_request_of_a_publication_doubles_and_loses_nothing() {
    let mut schedules: Vec<Schedule> = REQUESTS.into_iter().map(held).collect();
    schedules.extend(CARRIED_OUT.into_iter().map(unanswered));
    let services = schedules.len();
    run_all(Engine::Sqlite, schedules, services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_on_postgresql_doubles_and_loses_nothing() {
    let opening = |route: &str| usize::from(route == "PATCH /videos/{video}");
    let schedules: Vec<Schedule> = UNIQUE.into_iter().map(|route| held((route, opening(route)))).collect();
    let services = schedules.len();
    run_all(Engine::Postgres(Version::V18), schedules, services).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_a_video_waits_for_its_time_changes_nothing() {
    for engine in ENGINES {
        let Some(mut env) = PublicationEnv::on(engine).await else { continue };
        let id = env.uploads.submit_with(env.everything(after(Duration::from_hours(1)))).await;
        env.uploads.wait_for_phase(&id, "scheduled").await;
        let publish_at = after(Duration::from_secs(5));
        assert_eq!(env.reschedule(&id, Some(publish_at)).await.status, 200);
        env.kill_and_restart();
        let job = env.uploads.wait_for_end(&id).await;
        env.check(&job, publish_at).await.unwrap_or_else(|wrong| panic!("{engine:?}: {wrong}"));
    }
}
