//! Deliveries to receivers of every behaviour, while the service is killed: each event is delivered at least once, or visibly
//! exhausted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::harness::COLLECTION;
use crate::support::random::next_random;
use crate::support::webhook_env::WebhookEnv;
use crate::support::webhook_receiver::{Reaction, Received, ScriptedReceiver};
use crate::support::webhooks::ENDPOINTS;

/// Random schedules, one for each endpoint.
const SCHEDULES: usize = 200;
/// Events of each endpoint.
const EVENTS: usize = 4;
/// Three days, compressed to about 15 seconds: 12 attempts follow the first one.
const DELAYS: &str = "webhooks.retry_delays_seconds = [\"1\", \"1\", \"1\", \"1\", \"1\", \"1\", \"1\", \"1\", \"2\", \"2\", \"2\", \"2\"]\n";
/// Attempts of one delivery without a kill.
const ATTEMPTS: u64 = 13;
/// No delivery waits for an attempt at a silent receiver, which takes 15 seconds. A machine under load is slow.
const PROMPT: Duration = Duration::from_secs(10);

/// The reactions of one receiver: some failures, and then what it ends with.
fn schedule(seed: &mut u64) -> Vec<Reaction> {
    let failures = [
        Reaction::Status(400),
        Reaction::Status(404),
        Reaction::Status(500),
        Reaction::Status(502),
        Reaction::Status(301),
        Reaction::Redirect,
        Reaction::Busy(429, 1),
        Reaction::Busy(503, 2),
        Reaction::Cut,
        Reaction::CutHead,
        Reaction::Garbage,
        Reaction::Late(500, Duration::from_millis(700)),
    ];
    let successes = [
        Reaction::Status(200),
        Reaction::Status(204),
        Reaction::Late(202, Duration::from_millis(900)),
        Reaction::Endless(200),
    ];
    let length = match next_random(seed, 8) {
        // Gone for two days: most of the attempts of all events fail.
        0 => EVENTS * 8,
        1 | 2 => 0,
        _ => 1 + next_random(seed, 6),
    };
    let mut script: Vec<_> = (0..length).map(|_| failures[next_random(seed, failures.len())]).collect();
    if next_random(seed, 10) == 0 {
        script.insert(next_random(seed, script.len() + 1), Reaction::Silent);
    }
    script.push(match next_random(seed, 12) {
        0 => Reaction::Status(410),
        1 => Reaction::Status(500),
        _ => successes[next_random(seed, successes.len())],
    });
    script
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_is_delivered_or_visibly_exhausted_whatever_receivers_do_and_whenever_the_service_dies() {
    let receiver = ScriptedReceiver::start().await;
    let config = format!("{DELAYS}limits.webhook_endpoints = 0\nuploads.webhook_concurrency = 64\n");
    let mut env = WebhookEnv::start(&config).await;
    let (mut seed, mut endpoints) = (7, Vec::new());
    for number in 0..SCHEDULES {
        let path = format!("/{number}");
        let script = schedule(&mut seed);
        // Without the events about the endpoints that are disabled meanwhile.
        let body = json!({"url": receiver.url(&path, &script), "events": ["connection.created"]});
        let created = env.create_endpoint_with(&body).await;
        endpoints.push((path, script, created));
    }
    for number in 0..EVENTS {
        env.env.connect(&format!("c{number}")).await;
        tokio::time::sleep(Duration::from_millis(300 + 100 * next_random(&mut seed, 8) as u64)).await;
        env.env.kill_and_restart();
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500 + 100 * next_random(&mut seed, 30) as u64)).await;
        env.env.kill_and_restart();
    }
    env.until_no_delivery_waits().await;

    let (mut ids, mut outcomes) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    for (path, script, endpoint) in &endpoints {
        let webhooks = receiver.received(path);
        let deliveries = env.deliveries(endpoint.id()).await;
        // One that answered 410 receives no event from then on.
        let is_enabled = env.is_enabled(endpoint.id()).await;
        assert_eq!(is_enabled, script.last() != Some(&Reaction::Status(410)), "{script:?}");
        let is_complete = deliveries.len() == EVENTS || (!is_enabled && deliveries.len() < EVENTS);
        assert!(is_complete, "{script:?}: {deliveries:?}");
        for delivery in &deliveries {
            ids.insert(delivery["eventId"].as_str().unwrap().to_owned());
            check(delivery, &webhooks, script);
            *outcomes.entry(delivery["status"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        for webhook in &webhooks {
            assert!(webhook.message.is_signed_with(&endpoint.secret()), "{script:?}");
            assert_eq!(webhook.message.json()["type"], "connection.created");
        }
    }
    assert_eq!(ids.len(), EVENTS, "an event has one id at all endpoints");
    assert!(outcomes["delivered"] > SCHEDULES && outcomes["exhausted"] > 0, "{outcomes:?}");
    assert!(receiver.received("/elsewhere").is_empty(), "redirects are not followed");
}

/// Compares a delivery with what its receiver has seen.
fn check(delivery: &Value, received: &[Received], script: &[Reaction]) {
    let id = delivery["eventId"].as_str().unwrap();
    let attempts: Vec<_> = received.iter().filter(|webhook| webhook.message.id() == id).collect();
    let is_accepted = attempts.iter().any(|webhook| webhook.reaction.accepts());
    match delivery["status"].as_str().unwrap() {
        "delivered" => assert!(is_accepted, "{delivery} {script:?}"),
        "exhausted" => {
            // A response that the service had no time to store is followed by another attempt, so acceptance may be unknown.
            let is_disabled = delivery["lastResult"] == "endpoint_disabled" || delivery["lastStatus"] == 410;
            let is_tried = delivery["attempts"].as_u64() >= Some(ATTEMPTS);
            assert!(is_disabled || is_tried, "{delivery} {script:?}");
        }
        other => panic!("{other}: {delivery}"),
    }
    let bodies: BTreeSet<_> = attempts.iter().map(|webhook| &webhook.message.body).collect();
    assert!(bodies.len() <= 1, "a retry has the same body: {bodies:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_never_answers_delays_no_other() {
    let receiver = ScriptedReceiver::start().await;
    let env = WebhookEnv::start("limits.webhook_endpoints = 0\n").await;
    let silent = env.create_endpoint(&receiver.url("/silent", &[Reaction::Silent])).await;
    let account = env.account_id();
    // 10,000 deliveries to it, as many events would leave them.
    let first = env.env.connect("first").await;
    receiver.wait_for("/silent", 1).await;
    let copied = env.copy_deliveries(silent.id(), 10_000);
    assert_eq!(copied, 10_000, "{account} {first}");
    // It has as many requests as it may have.
    receiver.wait_for("/silent", 2).await;
    let _ = env.create_endpoint(&receiver.url("/prompt", &[Reaction::Status(204)])).await;
    let mut slowest = Duration::ZERO;
    for number in 0..10 {
        let started = Instant::now();
        env.env.connect(&format!("c{number}")).await;
        receiver.wait_for("/prompt", number + 1).await;
        slowest = slowest.max(started.elapsed());
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    assert!(slowest < PROMPT, "{slowest:?}");
    let waiting = env.deliveries_with(silent.id(), "status=waiting&limit=1000").await;
    assert_eq!(waiting["items"].as_array().unwrap().len(), 1_000);
    assert!(receiver.received("/silent").len() <= 4 + 4, "it has few requests at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_silent_receivers_of_one_account_delay_no_other_account() {
    let receiver = ScriptedReceiver::start().await;
    let env = WebhookEnv::start("limits.webhook_endpoints = 0\nuploads.webhook_concurrency = 16\n").await;
    for number in 0..40 {
        env.create_endpoint(&receiver.url(&format!("/silent{number}"), &[Reaction::Silent])).await;
    }
    for number in 0..3 {
        env.env.connect(&format!("c{number}")).await;
    }
    let other = Account::create(&env, "another");
    other.create_endpoint(&receiver.url("/theirs", &[Reaction::Status(200)])).await;
    let started = Instant::now();
    other.connect("theirs").await;
    let webhooks = receiver.wait_for("/theirs", 1).await;
    let took = started.elapsed();
    assert!(took < PROMPT, "{took:?}");
    assert_eq!(webhooks[0].message.json()["data"]["name"], "theirs");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_receivers_of_many_accounts_delay_no_other_after_a_restart() {
    let receiver = ScriptedReceiver::start().await;
    let mut env = WebhookEnv::start("uploads.webhook_concurrency = 4\n").await;
    // More accounts than slots, each with a delivery that has failed: what a node knows of their receivers ends with it.
    for number in 0..12 {
        let silent = Account::create(&env, &format!("silent{number}"));
        let path = format!("/silent{number}");
        silent.create_endpoint(&receiver.url(&path, &[Reaction::Cut, Reaction::Silent])).await;
        silent.connect("c").await;
        receiver.wait_for(&path, 1).await;
    }
    let other = Account::create(&env, "another");
    other.create_endpoint(&receiver.url("/theirs", &[Reaction::Status(200)])).await;
    let Account { authorization, .. } = other;
    env.env.kill_and_restart();
    let other = Account { env: &env, authorization };
    // They take what slots they can.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for number in 0..3 {
        let started = Instant::now();
        other.connect(&format!("theirs{number}")).await;
        receiver.wait_for("/theirs", number + 1).await;
        let took = started.elapsed();
        assert!(took < PROMPT, "{took:?}");
    }
}

/// An account by its API key.
struct Account<'a> {
    env: &'a WebhookEnv,
    authorization: String,
}

impl<'a> Account<'a> {
    fn create(env: &'a WebhookEnv, name: &str) -> Self {
        Self { env, authorization: env.env.make_key(name, &[]) }
    }

    async fn post(&self, path: &str, body: &Value) {
        let headers = [("authorization", &*self.authorization), ("content-type", "application/json")];
        let made = self.env.env.send(Method::POST, path, &headers, body.to_string().into_bytes()).await;
        assert_eq!(made.status, 201, "{}", made.text);
    }

    async fn create_endpoint(&self, url: &str) {
        self.post(ENDPOINTS, &json!({"url": url})).await;
    }

    async fn connect(&self, name: &str) {
        self.post(COLLECTION, &self.env.env.valid_body(name)).await;
    }
}
