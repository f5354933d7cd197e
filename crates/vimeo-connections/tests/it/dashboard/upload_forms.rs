//! The form for an upload from a URL: it starts one upload, or is shown again with what is wrong.

use reqwest::Method;
use serde_json::json;

use super::person::{Person, field};
use super::uploads::{connect, env};
use crate::support::harness::TestEnv;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const FORM: &str = "/dashboard/uploads/new";
const SOURCE: &str = "https://media.invalid.example/film.mp4?token=canary";

async fn job_count(env: &TestEnv) -> usize {
    env.get("/pictoryapis/v1/jobs").await.json()["items"].as_array().unwrap().len()
}

/// The ID of a connection.
fn id(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_uploads_a_video_with_its_settings() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let person = Person::sign_in(&uploads.env).await;
    let connection = id(&uploads.connection);
    let page = person.page(&format!("{FORM}?connection={connection}")).await;
    assert!(page.contains(&format!("value=\"{connection}\" selected")), "{page}");
    let source = uploads.source.url("film.mp4", 1_000_000);
    let fields = [
        ("requestId", &*field(&page, "requestId")),
        ("connection", connection),
        ("source", &source),
        ("name", " Launch "),
        ("description", "What\r\nwe made"),
        ("privacy", "unlisted"),
        ("password", ""),
        ("folder", "Films"),
    ];
    let done = person.post(FORM, &fields).await;
    assert_eq!(done.status, 303, "{}", done.text);
    let path = done.header("location").to_owned();
    let shown = person.page(&path).await;
    assert!(shown.contains("The upload was queued.") && shown.contains("Launch"), "{shown}");
    let job = uploads.wait_for_end(id(&path)).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    let videos = uploads.videos().await;
    assert_eq!((&videos[0]["name"], videos.len()), (&json!("Launch"), 1));
    let ended = person.page(&path).await;
    let link = job["data"]["vimeoUrl"].as_str().unwrap();
    // The sandbox has no TLS, so its addresses are no links.
    assert_eq!(ended.contains(&format!("href=\"{link}\"")), link.starts_with("https://"), "{ended}");
    assert!(ended.contains("Completed") && !ended.contains("data-live=") && !ended.contains("/cancel\""));
    let list = person.page("/dashboard/uploads?status=completed").await;
    assert!(list.contains(&path), "{list}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_sent_twice_starts_one_upload() {
    let env = env().await;
    let connection = connect(&env, "Main").await;
    let person = Person::sign_in(&env).await;
    let request = field(&person.page(FORM).await, "requestId");
    let form = |source| {
        [("requestId", &*request), ("connection", id(&connection)), ("source", source), ("privacy", "nobody")]
    };
    let (first, again) = (person.post(FORM, &form(SOURCE)).await, person.post(FORM, &form(SOURCE)).await);
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (303, 303));
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(job_count(&env).await, 1);
    let other = person.post(FORM, &form("https://media.invalid.example/other.mp4")).await;
    assert!(other.status == 422 && other.text.contains("already sent with other values"));
    let renewed = field(&other.text, "requestId");
    assert_ne!(renewed, request, "it can be sent as another upload");
    let fields = [
        ("requestId", &*renewed),
        ("connection", id(&connection)),
        ("source", SOURCE),
        ("privacy", "nobody"),
    ];
    assert_eq!(person.post(FORM, &fields).await.status, 303);
    assert_eq!(job_count(&env).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejected_form_keeps_what_was_entered_except_secrets() {
    let env = env().await;
    let connection = connect(&env, "Main").await;
    let person = Person::sign_in(&env).await;
    let long = "x".repeat(129);
    let good = [
        ("requestId", "r"),
        ("connection", id(&connection)),
        ("source", SOURCE),
        ("name", "<b>\"Launch"),
        ("description", "Made"),
        ("privacy", "password"),
        ("password", "canary-password"),
        ("folder", "Films"),
    ];
    let cases: [(&str, &str, &str); 9] = [
        ("connection", "", "Choose a connection."),
        ("connection", "x", "This connection does not exist."),
        ("connection", "20260131090500042k3v9x0q2m7t1b8z", "This connection does not exist."),
        ("source", " ", "Enter the URL of the file."),
        ("source", "ftp://example.com/film", "URL of the file: "),
        ("source", "https://127.0.0.1/film", "URL of the file: "),
        ("name", &long, "Title: must be at most 128 characters long."),
        ("privacy", "everyone", "Who can watch: "),
        ("privacy", "nobody", "A password has no effect"),
    ];
    for (name, value, expected) in cases {
        let fields = good.map(|(field, entered)| (field, if field == name { value } else { entered }));
        let refused = person.post(FORM, &fields).await;
        assert_eq!(refused.status, 422, "{name}={value}");
        let page = &refused.text;
        assert!(page.contains(expected), "{name}={value}: {page}");
        assert_eq!(page.matches("aria-invalid=\"true\"").count(), 1, "{name}={value}: {page}");
        assert!(!page.contains("canary") && page.contains("enter them again"), "{page}");
        assert!(!page.contains("<b>"), "{page}");
        for (field, _) in fields {
            let shown = match field {
                "name" if name != "name" => "value=\"&#60;b&#62;&#34;Launch\"",
                "description" => "\nMade</textarea>",
                "folder" => "value=\"Films\"",
                _ => continue,
            };
            assert!(page.contains(shown), "{name}={value}, {field}: {page}");
        }
        assert_eq!(field(page, "requestId"), "r");
    }
    let without = good.map(|(field, entered)| (field, if field == "password" { "" } else { entered }));
    let refused = person.post(FORM, &without).await;
    assert!(refused.text.contains("Enter the password that viewers need.") && refused.status == 422);
    let unidentified = good.map(|(field, entered)| (field, if field == "requestId" { "" } else { entered }));
    assert_eq!(person.post(FORM, &unidentified).await.status, 400);
    assert_eq!(job_count(&env).await, 0);
    assert_eq!(person.post(FORM, &good).await.status, 303, "what was refused can be sent again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_connections_that_can_be_used_are_offered() {
    let env = env().await;
    let person = Person::sign_in(&env).await;
    assert!(person.page(FORM).await.contains("No connection can be used"));
    let (one, two) = (connect(&env, "One").await, connect(&env, "Two").await);
    let disable = json!({"version": 1, "enabled": false}).to_string().into_bytes();
    assert_eq!(env.send(Method::PUT, &two, &[], disable).await.status, 200);
    let page = person.page(FORM).await;
    assert!(page.contains(&format!("value=\"{}\"", id(&one))) && !page.contains(id(&two)), "{page}");
    let policy = person.get(FORM).await.header("content-security-policy").to_owned();
    assert!(policy.contains("connect-src 'self' ") && policy.contains(&env.sandbox.base_url), "{policy}");
    // It was disabled after the page was made.
    let fields = [("requestId", "r"), ("connection", id(&two)), ("source", SOURCE), ("privacy", "nobody")];
    let refused = person.post(FORM, &fields).await;
    assert!(
        refused.status == 422 && refused.text.contains("This connection is disabled."),
        "{}",
        refused.text
    );
    let policy = refused.header("content-security-policy").to_owned();
    assert!(policy.contains(&env.sandbox.base_url), "a file can be chosen here, too: {policy}");
    let of_other = Person::sign_in_with(&env, &env.make_key("other", &[])).await;
    let fields = [("requestId", "r"), ("connection", id(&one)), ("source", SOURCE), ("privacy", "nobody")];
    let refused = of_other.post(FORM, &fields).await;
    assert!(refused.status == 422 && refused.text.contains("This connection does not exist."));
    assert_eq!(job_count(&env).await, 0);
}
