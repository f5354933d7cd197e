//! Uploads of files that the browser sends to Vimeo by tus: the form of the script, the link, and what Vimeo answers browsers.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::person::Person;
use super::uploads::env;
use crate::support::harness::Response;
use crate::support::uploads::source::bytes;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const FORM: &str = "/dashboard/uploads/from-computer";
const SIZE: u64 = 3 * 1024 * 1024;
/// Where the network is lost.
const CUT_AFTER: u64 = 1024 * 1024;

/// What `dashboard.js` posts for a file.
fn fields<'a>(connection: &'a str, request: &'a str, size: &'a str) -> [(&'a str, &'a str); 9] {
    [
        ("requestId", request),
        ("connection", connection),
        ("name", ""),
        ("description", ""),
        ("privacy", "nobody"),
        ("password", ""),
        ("folder", ""),
        ("size", size),
        ("fileName", "My film.mp4"),
    ]
}

fn message(response: &Response) -> String {
    response.json()["message"].as_str().unwrap().to_owned()
}

/// A request of a browser's tus client.
async fn tus(env: &UploadEnv, method: Method, link: &str, from: Option<u64>) -> (StatusCode, Option<u64>) {
    let mut request = env.env.http.request(method, link).header("tus-resumable", "1.0.0");
    request = request.header("origin", env.env.url(""));
    if let Some(from) = from {
        let all = bytes(SIZE);
        request = request
            .header("content-type", "application/offset+octet-stream")
            .header("upload-offset", from)
            .body(all[usize::try_from(from).unwrap()..].to_vec());
    }
    let Ok(response) = request.send().await else { return (StatusCode::BAD_GATEWAY, None) };
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let exposed = response.headers()["access-control-expose-headers"].to_str().unwrap().to_ascii_lowercase();
    assert!(exposed.contains("upload-offset") && exposed.contains("tus-resumable"), "{exposed}");
    let offset = response.headers().get("upload-offset").and_then(|value| value.to_str().ok()?.parse().ok());
    (response.status(), offset)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_sends_a_file_and_resumes_after_the_network_was_lost() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let person = Person::sign_in(&uploads.env).await;
    let connection = uploads.connection.rsplit('/').next().unwrap();
    let size = SIZE.to_string();
    let started = person.post(FORM, &fields(connection, "request-1", &size)).await;
    assert_eq!(started.status, 201, "{}", started.text);
    assert_eq!(
        (started.header("content-type"), started.header("cache-control")),
        ("application/json", "no-store")
    );
    let answer = started.json();
    let (job, link) = (answer["jobId"].as_str().unwrap(), answer["uploadLink"].as_str().unwrap());
    let page = format!("/dashboard/uploads/{job}");
    assert_eq!((&answer["href"], &answer["cancelHref"]), (&json!(page), &json!(format!("{page}/cancel"))));
    assert!(link.starts_with(&uploads.env.sandbox.base_url));
    let again = person.post(FORM, &fields(connection, "request-1", &size)).await;
    assert_eq!((again.status.as_u16(), again.json()), (201, answer.clone()), "the same upload");

    // What a browser asks first, because of the headers.
    let preflight = uploads.env.http.request(Method::OPTIONS, link).header("origin", uploads.env.url(""));
    let preflight = preflight
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "content-type,tus-resumable,upload-offset");
    let allowed = preflight.send().await.unwrap();
    assert_eq!(allowed.status(), 204);
    let header = |name: &str| allowed.headers()[name].to_str().unwrap().to_ascii_lowercase();
    assert_eq!(header("access-control-allow-origin"), "*");
    assert!(header("access-control-allow-methods").contains("patch"));
    for name in ["content-type", "tus-resumable", "upload-offset"] {
        assert!(header("access-control-allow-headers").contains(name), "{name}");
    }

    uploads
        .env
        .inject_fault(json!({"route": "PATCH /files/*", "kind": "cut-during", "bytes": CUT_AFTER}))
        .await;
    assert_eq!(tus(&uploads, Method::HEAD, link, None).await, (StatusCode::OK, Some(0)));
    assert_ne!(tus(&uploads, Method::PATCH, link, Some(0)).await.0, StatusCode::NO_CONTENT);
    let (_, offset) = tus(&uploads, Method::HEAD, link, None).await;
    assert_eq!(offset, Some(CUT_AFTER));
    let sent = tus(&uploads, Method::PATCH, link, offset).await;
    assert_eq!(sent, (StatusCode::NO_CONTENT, Some(SIZE)));

    let ended = uploads.wait_for_end(job).await;
    assert_eq!(ended["data"]["status"], "completed", "{ended}");
    let video = uploads.assert_one_video(&ended, SIZE).await;
    assert_eq!(video["name"], "My film", "it is named after the file: {video}");
    let shown = person.page(&page).await;
    assert!(shown.contains("Completed") && !shown.contains(link) && !uploads.env.log().contains(link));
    let over = person.post(FORM, &fields(connection, "request-1", &size)).await;
    assert_eq!(over.status, 422, "the link was wiped: {}", over.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_being_sent_can_be_cancelled() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let person = Person::sign_in(&uploads.env).await;
    let connection = uploads.connection.rsplit('/').next().unwrap();
    let started = person.post(FORM, &fields(connection, "r", "1000")).await.json();
    let watched = person.page(started["href"].as_str().unwrap()).await;
    assert!(watched.contains("My film") && watched.contains("Uploading"), "{watched}");
    let cancelled = person.post(started["cancelHref"].as_str().unwrap(), &[]).await;
    assert_eq!(cancelled.header("location"), started["href"].as_str().unwrap());
    let job = uploads.wait_for_end(started["jobId"].as_str().unwrap()).await;
    assert_eq!(job["data"]["status"], "cancelled");
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_reads_what_is_wrong_as_json() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let person = Person::sign_in(&uploads.env).await;
    let connection = uploads.connection.rsplit('/').next().unwrap();
    let with = |name: &'static str, value: &'static str| {
        fields(connection, "r", "1000").map(|(field, own)| (field, if field == name { value } else { own }))
    };
    for (sent, field) in [
        (with("size", "0"), "file"),
        (with("size", "x"), "file"),
        (with("size", "300000000000001"), "file"),
        (with("connection", "x"), "connection"),
        (with("privacy", "x"), "privacy"),
        (with("password", "p"), "password"),
    ] {
        let refused = person.post(FORM, &sent).await;
        assert_eq!((refused.status.as_u16(), refused.header("content-type")), (422, "application/json"));
        let fields = refused.json()["fields"].as_array().unwrap().clone();
        assert_eq!((fields.len(), &fields[0]["name"]), (1, &json!(field)), "{}", refused.text);
        assert!(fields[0]["message"].as_str().unwrap().ends_with('.'), "{}", refused.text);
    }
    uploads
        .env
        .inject_fault(json!({"route": "POST /me/videos", "kind": "status", "status": 503, "times": 99}))
        .await;
    let unavailable = person.post(FORM, &fields(connection, "r", "1000")).await;
    assert_eq!(unavailable.status, 422);
    assert!(message(&unavailable).contains("Vimeo could not be reached"), "{}", unavailable.text);
    assert_eq!(person.post(FORM, &with("requestId", "")).await.status, 400);
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_script_learns_that_the_session_has_ended() {
    let env = env().await;
    let person = Person::sign_in(&env).await;
    let guest = Person::guest(&env).post(FORM, &[]).await;
    assert_eq!(guest.status, 401);
    assert!(message(&guest).contains("your session has ended"));
    let stale = person.post_exactly(FORM, &[("csrf", "x")], &[]).await;
    assert_eq!(stale.status, 403);
    assert!(message(&stale).contains("reload the page"));
    let reader = Person::sign_in_with(&env, &env.make_key("acme", &["--scopes", "uploads:read"])).await;
    let refused = reader.post(FORM, &[("requestId", "r")]).await;
    assert_eq!(refused.status, 403);
    assert!(message(&refused).contains("Nothing was changed"));
}
