//! One request with everything that a video can be published with.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::fixtures::{ENGINES, Engine, PublicationEnv, after, instant, parts_of_account};
use crate::support::uploads::{CONFIG, is_finished};
use crate::support::webhook_receiver::{Reaction, ScriptedReceiver};
use crate::support::webhooks::{ENDPOINTS, send};

const HOUR: Duration = Duration::from_hours(1);

async fn publish_on(engine: Engine) {
    let Some(env) = PublicationEnv::on(engine).await else { return };
    let receiver = ScriptedReceiver::start().await;
    let url = receiver.url("/hook", &[Reaction::Status(204)]);
    let endpoint = json!({"url": url, "events": ["upload.playable", "upload.completed"]});
    let made = send(&env.uploads.env, Method::POST, ENDPOINTS, &endpoint).await;
    assert_eq!(made.status, 201, "{}", made.text);

    let id = env.uploads.submit_with(env.everything(after(HOUR))).await;
    let waits = |job: &Value| job["data"]["waitingFor"] == "publish-time" || is_finished(job);
    let job = env.uploads.until(&id, waits).await;
    let data = &job["data"];
    assert_eq!(data["phase"], "scheduled", "{job}");
    assert_eq!((&data["status"], &data["playable"]), (&json!("in-progress"), &json!(true)), "{job}");
    assert_eq!((&data["warnings"], &data["waitingFor"]), (&json!([]), &json!("publish-time")), "{job}");
    assert!(data["vimeoUrl"].is_null(), "its page is closed: {job}");
    assert_eq!(env.published().await, env.expected("nobody"), "{}", env.uploads.env.log());
    assert_eq!(env.uploads.videos().await[0]["view_changes"], json!([]));
    let playable = receiver.wait_for("/hook", 1).await;
    assert_eq!(event(&playable[0].message.body)["type"], "upload.playable");

    let secrets = ["canary-source-query"];
    let found = env.exposures(&secrets, vec![job.to_string(), playable[0].message.body.clone()]).await;
    assert!(found.is_empty(), "the URLs of the files: {found:#?}");

    let publish_at = after(Duration::from_secs(3));
    let changed = env.reschedule(&id, Some(publish_at)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(changed.json()["data"]["publishAt"], publish_at.to_string(), "{}", changed.text);
    let job = env.uploads.wait_for_end(&id).await;
    env.check(&job, publish_at).await.unwrap_or_else(|wrong| panic!("{wrong}\n{}", env.uploads.env.log()));
    let video = env.recorded(job["data"]["vimeoUri"].as_str().unwrap()).await;
    assert_eq!(video["view_changes"].as_array().unwrap().len(), 1, "{video}");
    assert!(instant(&video["opened_at"]) >= publish_at, "{video}");
    let seen = env.uploads.see(video["uri"].as_str().unwrap()).await;
    assert_eq!((&seen["license"], &seen["language"]), (&json!("by"), &json!("en")), "{seen:#}");

    let webhooks = receiver.wait_for("/hook", 2).await;
    let types: Vec<Value> =
        webhooks.iter().map(|webhook| event(&webhook.message.body)["type"].clone()).collect();
    assert_eq!(types, ["upload.playable", "upload.completed"], "each once, in this order");
    let sent = event(&webhooks[0].message.body);
    assert_eq!(
        (&sent["data"]["job_id"], &sent["data"]["data"]["playable"]),
        (&json!(id), &json!(true)),
        "{sent}"
    );
}

fn event(body: &str) -> Value {
    serde_json::from_str(body).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_with_everything_is_done_before_the_video_opens_at_its_time() {
    for engine in ENGINES {
        publish_on(engine).await;
    }
}

/// The number of requests to Vimeo for a request with everything, by route.
async fn requests_of(account: Account) -> Vec<String> {
    // Transcoded before it is looked at, so that nothing is polled.
    let pace = sandbox::Pace::Every(Duration::ZERO);
    let options = sandbox::Options { pace, ..sandbox::Options::default() };
    let env = PublicationEnv::with(Engine::Sqlite, options, CONFIG).await.unwrap();
    if account == Account::Full {
        env.fill(300).await;
    }
    let before = parts_of_account(&env).await;
    env.uploads.env.control(Method::DELETE, "journal", Value::Null).await;
    let id = env.uploads.submit_with(env.everything(after(HOUR))).await;
    env.uploads.wait_for_phase(&id, "scheduled").await;
    assert_eq!(env.reschedule(&id, None).await.status, 200);
    let job = env.uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    assert_eq!(job["data"]["warnings"], json!([]), "{job}");
    let requests = env.uploads.journal("*").await;
    let now = parts_of_account(&env).await;
    assert_eq!(now, before.map(|count| count + 1), "one video, one folder and one showcase more");
    requests.iter().map(|request| request["route"].as_str().unwrap_or("?").to_owned()).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Account {
    Empty,
    Full,
}

#[expect(clippy::print_stdout, reason = "the number is of interest")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_requests_does_not_depend_on_what_the_account_has() {
    let (empty, full) = tokio::join!(requests_of(Account::Empty), requests_of(Account::Full));
    println!("{} requests to Vimeo: {empty:#?}", empty.len());
    println!("{} requests to Vimeo with 300 videos, folders and showcases", full.len());
    assert_eq!(empty, full);
}

/// A video that waits for its time costs nothing, while other uploads of the same connection are made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scheduled_video_makes_no_request_while_it_waits() {
    let mut env = PublicationEnv::start().await;
    let id = env.uploads.submit_with(env.everything(after(HOUR))).await;
    let job = env.uploads.wait_for_phase(&id, "scheduled").await;
    let number = job["data"]["vimeoUri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    env.uploads.env.control(Method::DELETE, "journal", Value::Null).await;
    let other = env.uploads.submit(1_000).await;
    assert_eq!(env.uploads.wait_for_end(&other).await["data"]["status"], "completed");
    env.kill_and_restart();
    let other = env.uploads.submit(2_000).await;
    assert_eq!(env.uploads.wait_for_end(&other).await["data"]["status"], "completed");
    let requests = env.uploads.journal("*").await;
    assert!(requests.len() > 10, "the journal has the other uploads");
    let about: Vec<&Value> =
        requests.iter().filter(|request| request["path"].as_str().unwrap().contains(&number)).collect();
    assert!(about.is_empty(), "{about:#?}");
    assert_eq!(env.uploads.job(&id).await["data"]["phase"], "scheduled");
}
