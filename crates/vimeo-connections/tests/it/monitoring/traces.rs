//! Traces by OTLP.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use reqwest::Method;

use crate::support::harness::{COLLECTION, ClosedPort, TestEnv, until};
use crate::support::otlp::{OtlpReceiver, hex};
use crate::support::uploads::{CONFIG, UploadEnv};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// The text of an attribute.
fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.clone()) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key}: {other:?} in {span:?}"),
    }
}

async fn create(env: &TestEnv, name: &str, traceparent: &str) {
    let body = env.valid_body(name).to_string().into_bytes();
    let headers = [("content-type", "application/json"), ("traceparent", traceparent)];
    let created = env.send(Method::POST, COLLECTION, &headers, body).await;
    assert_eq!(created.status, 201, "{}", created.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trace_of_a_client_is_continued_without_secrets() {
    let receiver = OtlpReceiver::start().await;
    let env = TestEnv::with(crate::support::harness::EnvOptions {
        config: receiver.config(),
        ..Default::default()
    })
    .await;
    create(&env, "canary-name", &format!("00-{TRACE}-{PARENT}-01")).await;
    let name = format!("POST {COLLECTION}");
    until("the trace arrives", async || receiver.trace(TRACE).iter().any(|span| span.name == name)).await;
    let spans = receiver.trace(TRACE);
    let request = spans.iter().find(|span| span.name == name).unwrap();
    assert_eq!(hex(&request.parent_span_id), PARENT);
    assert_eq!(attribute(request, "http.route"), COLLECTION);
    assert_eq!(attribute(request, "http.response.status_code"), "201");
    assert!(env.log().contains(&attribute(request, "request_id")), "the log names the same request");
    for (child, count) in [("store.write", 1), ("vimeo.request", 1)] {
        let children: Vec<_> = spans.iter().filter(|span| span.name == child).collect();
        assert!(children.len() >= count, "{child}: {spans:#?}");
        for found in children {
            assert_eq!(found.parent_span_id, request.span_id, "{found:?}");
        }
    }
    let text = receiver.text();
    let sandbox = &env.sandbox;
    for secret in
        ["canary-name", &env.api_key, &sandbox.client_secret, &sandbox.access_token, &sandbox.client_id]
    {
        assert!(!text.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_that_the_client_does_not_sample_is_not_exported() {
    let receiver = OtlpReceiver::start().await;
    let config = format!("{}otlp.sample_percent = 0\n", receiver.config());
    let env = TestEnv::without_verification(&config).await;
    let not_sampled = "0af7651916cd43dd8448eb211c80319c";
    create(&env, "one", &format!("00-{not_sampled}-{PARENT}-00")).await;
    // Headers that are no trace context start a trace here, of which none is sampled.
    for (number, invalid) in
        ["", "canary", &format!("00-{}-{PARENT}-01", "0".repeat(32))].into_iter().enumerate()
    {
        create(&env, &format!("invalid {number}"), invalid).await;
    }
    create(&env, "two", &format!("00-{TRACE}-{PARENT}-01")).await;
    let name = format!("POST {COLLECTION}");
    until("the second trace arrives", async || !receiver.named(&name).is_empty()).await;
    let found = receiver.named(&name);
    assert!(found.iter().all(|span| hex(&span.trace_id) == TRACE) && found.len() == 1, "{found:#?}");
    assert!(receiver.trace(not_sampled).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_an_upload_are_spans_and_the_last_ones_are_sent_at_shutdown() {
    let receiver = OtlpReceiver::start().await;
    let config = format!("{CONFIG}{}", receiver.config());
    let mut uploads = UploadEnv::with(&config, sandbox::Options::default()).await;
    let id = uploads.submit(1_000).await;
    uploads.wait_for_end(&id).await;
    assert_eq!(tokio::task::block_in_place(|| uploads.env.service.terminate()), Some(0));
    let steps = receiver.named("upload.step");
    let states: Vec<_> = steps.iter().map(|step| attribute(step, "state")).collect();
    for state in ["queued", "creating", "uploading", "configuring", "publishing"] {
        assert!(states.iter().any(|found| found == state), "{state}: {states:?}");
    }
    assert!(steps.iter().all(|step| attribute(step, "job") == id), "{steps:#?}");
    assert!(!receiver.text().contains("film.mp4"), "the source's URL is not exported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_delays_nothing_and_is_reported_once() {
    let closed = ClosedPort::bind();
    let config = format!("otlp.endpoint = \"http://{}\"\n", closed.address());
    let mut env = TestEnv::without_verification(&config).await;
    let failures = |env: &TestEnv| env.log().matches("traces cannot be sent to otlp.endpoint").count();
    create(&env, "one", "").await;
    until("it is reported", async || failures(&env) == 1).await;
    for number in 0..20 {
        create(&env, &format!("more {number}"), "").await;
    }
    assert_eq!(tokio::task::block_in_place(|| env.service.terminate()), Some(0));
    assert_eq!(failures(&env), 1);
}
