//! The list of uploads and the page of one: filters, numbers, cancelling, retrying, and who may do what.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::Method;
use serde_json::{Value, json};

use super::person::{Person, field};
use crate::support::harness::{EnvOptions, TestEnv};
use crate::support::uploads::scripted::{Reply, Scripted};
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

const LIST: &str = "/dashboard/uploads";
/// A job that does not exist.
const UNKNOWN: &str = "019c1234-5678-7abc-8def-0123456789ab";
/// Every page and form of an upload.
const OF_ONE: [(&str, &str); 4] = [("GET", ""), ("GET", "/events"), ("POST", "/cancel"), ("POST", "/retry")];

/// An environment in which no worker runs an upload.
pub(super) async fn env() -> TestEnv {
    let config = "uploads.work = false\n".to_owned();
    TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await
}

/// Creates a connection over the API; its path there.
pub(super) async fn connect(env: &TestEnv, name: &str) -> String {
    let created = env.post(&env.valid_body(name)).await;
    assert_eq!(created.status, 201, "{}", created.text);
    created.header("location").to_owned()
}

/// Starts an upload over the API; its job.
pub(super) async fn submit(env: &TestEnv, connection: &str, name: &str) -> String {
    let body = json!({"source": {"url": "https://media.invalid.example/film.mp4"}, "name": name});
    let path = format!("{connection}/uploads");
    let submitted = env.send(Method::POST, &path, &[], body.to_string().into_bytes()).await;
    assert_eq!(submitted.status, 202, "{}", submitted.text);
    submitted.json()["data"]["jobId"].as_str().unwrap().to_owned()
}

pub(super) async fn cancel(env: &TestEnv, job: &str) {
    let path = format!("/pictoryapis/v1/jobs/{job}");
    assert_eq!(env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
}

async fn status(env: &TestEnv, job: &str) -> Value {
    env.get(&format!("/pictoryapis/v1/jobs/{job}")).await.json()["data"]["status"].clone()
}

/// The numbers on the tabs.
fn tabs(page: &str) -> Vec<String> {
    let (_, nav) = page.split_once("id=\"upload-tabs\"").unwrap();
    let nav = nav.split("</nav>").next().unwrap();
    let numbers = nav.split("<span class=\"number\">").skip(1);
    numbers.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

fn rows(page: &str) -> usize {
    page.matches("<tr id=\"job-").count()
}

/// The address of the next page.
fn next(page: &str) -> Option<String> {
    let (_, rest) = page.split_once("rel=\"next\" href=\"")?;
    Some(rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_is_filtered_counted_and_paged() {
    let env = env().await;
    let (one, two) = (connect(&env, "One").await, connect(&env, "Two").await);
    let person = Person::sign_in(&env).await;
    let empty = person.page(LIST).await;
    assert!(empty.contains("No uploads yet") && !empty.contains("upload-tabs"));
    for number in 0..51 {
        submit(&env, &one, &format!("Film {number}")).await;
    }
    let last = submit(&env, &two, "<i>\"Other' &amp; film").await;
    cancel(&env, &last).await;

    let first = person.page(LIST).await;
    assert_eq!((tabs(&first), rows(&first)), (["52", "51", "0", "0", "1"].map(str::to_owned).to_vec(), 50));
    assert!(first.contains("52 uploads") && first.contains("Film 50") && !first.contains(">Film 0<"));
    assert!(first.contains(">One</a>") && first.contains(">Two</a>"), "connections are named");
    assert!(!first.contains("media.invalid.example"), "a source is a secret");
    let second = person.page(&next(&first).unwrap()).await;
    assert_eq!((rows(&second), next(&second)), (2, None));
    assert!(second.contains(">Film 0<") && second.contains(">Film 1<"));

    let cancelled = person.page(&format!("{LIST}?status=cancelled")).await;
    assert!(rows(&cancelled) == 1 && cancelled.contains(&last) && cancelled.contains("1 upload "));
    let queued = person.page(&format!("{LIST}?phase=queued&status=")).await;
    assert_eq!((rows(&queued), tabs(&queued)), (50, Vec::new()), "{queued}");
    let of_two = person.page(&format!("{LIST}?connection={}", two.rsplit('/').next().unwrap())).await;
    assert!(rows(&of_two) == 1 && of_two.contains(&last));
    let following = person.page(&next(&queued).unwrap()).await;
    assert_eq!(rows(&following), 1, "the next page keeps the filters");
    let none = person.page(&format!("{LIST}?connection=x")).await;
    assert!(none.contains("No upload matches") && none.contains(">x</option>"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_malformed_filter_or_page_is_refused() {
    let env = env().await;
    let connection = connect(&env, "One").await;
    for number in 0..51 {
        submit(&env, &connection, &number.to_string()).await;
    }
    let person = Person::sign_in(&env).await;
    let key = next(&person.page(LIST).await).unwrap();
    let changed = if key.ends_with("%3D") { key.replace("page=", "page=A") } else { format!("{key}A") };
    for path in ["?status=x", "?phase=x", "?page=x", "?page=%00", changed.strip_prefix(LIST).unwrap()] {
        let refused = person.get(&format!("{LIST}{path}")).await;
        assert_eq!(refused.status, 400, "{path}");
        assert!(refused.text.contains("The request was not valid"), "{path}");
    }
    let other = Person::sign_in_with(&env, &env.make_key("other", &[])).await;
    assert_eq!(other.get(&key).await.status, 400, "it belongs to the account");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_an_upload_shows_it_and_escapes_it() {
    let env = env().await;
    let connection = connect(&env, "Main").await;
    let nasty = "<script>alert(1)</script>\"'&";
    let body = json!({
        "source": {"url": "https://media.invalid.example/film.mp4?token=canary"}, "name": nasty,
        "description": nasty, "privacy": {"view": "password"}, "password": "canary-password",
        "folder_name": "</dd><b>",
    });
    let path = format!("{connection}/uploads");
    let submitted = env.send(Method::POST, &path, &[], body.to_string().into_bytes()).await;
    let job = submitted.json()["data"]["jobId"].as_str().unwrap().to_owned();
    let person = Person::sign_in(&env).await;
    let page = person.page(&format!("{LIST}/{job}")).await;
    for shown in
        ["Queued", "Creating", "Completed", "Anyone with the password", &job, "Main", "Cancel upload"]
    {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    for page in [&page, &person.page(LIST).await] {
        assert!(!page.contains("<script>alert") && !page.contains("<b>") && !page.contains("canary"));
        assert!(page.contains("&#60;script&#62;alert(1)"), "{page}");
    }
    assert!(!page.contains("/retry\""), "it has not failed");
    let fragment = person.start(Method::GET, &format!("{LIST}/{job}"), &[("hx-request", "true")]).await;
    let fragment = fragment.send().await.unwrap().text().await.unwrap();
    assert!(fragment.starts_with("<title>") && fragment.contains(&job) && !fragment.contains("<html"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_are_cancelled_after_a_confirmation() {
    let env = env().await;
    let connection = connect(&env, "Main").await;
    let (one, two, three) = (
        submit(&env, &connection, "One").await,
        submit(&env, &connection, "<b>Two").await,
        submit(&env, &connection, "Three").await,
    );
    let person = Person::sign_in(&env).await;
    let chosen = [("jobId", &*one), ("jobId", &*two), ("back", "/dashboard/uploads?status=in-progress")];
    let asked = person.post("/dashboard/uploads/cancel", &chosen).await;
    assert_eq!(asked.status, 200);
    assert!(asked.text.contains("Cancel these uploads?") && asked.text.contains("&#60;b&#62;Two"));
    assert!(!asked.text.contains("Three") && field(&asked.text, "confirmed") == "true");
    assert_eq!(status(&env, &one).await, "in-progress", "nothing happens before the confirmation");
    let back = field(&asked.text, "back");
    let confirmed = [("jobId", &*one), ("jobId", &*two), ("confirmed", "true"), ("back", &*back)];
    let done = person.post("/dashboard/uploads/cancel", &confirmed).await;
    assert_eq!(
        (done.status.as_u16(), done.header("location")),
        (303, "/dashboard/uploads?status=in-progress")
    );
    assert!(person.page(done.header("location")).await.contains("The uploads were cancelled."));
    for (job, expected) in [(&one, "cancelled"), (&two, "cancelled"), (&three, "in-progress")] {
        assert_eq!(status(&env, job).await, expected);
    }
    // What has ended, does not exist, or is malformed is left out; nothing else is redirected to.
    let others = [("jobId", &*one), ("jobId", UNKNOWN), ("jobId", "x"), ("back", "https://evil.example/")];
    let nothing = person.post("/dashboard/uploads/cancel", &others).await;
    assert_eq!((nothing.status.as_u16(), nothing.header("location")), (303, LIST));
    assert!(person.page(LIST).await.contains("had already ended"));
    let none = person.post("/dashboard/uploads/cancel", &[("back", "/dashboard/keys")]).await;
    assert_eq!(none.header("location"), LIST);
    assert!(person.page(LIST).await.contains("No upload was selected."));
    let many: Vec<_> = (0..101).map(|_| ("jobId", UNKNOWN)).collect();
    assert_eq!(person.post("/dashboard/uploads/cancel", &many).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_is_cancelled_once() {
    let env = env().await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let person = Person::sign_in(&env).await;
    let page = format!("{LIST}/{job}");
    for notice in ["The upload was cancelled.", "had already ended"] {
        let done = person.post(&format!("{page}/cancel"), &[]).await;
        assert_eq!((done.status.as_u16(), done.header("location")), (303, &*page));
        assert!(person.page(&page).await.contains(notice), "{notice}");
    }
    assert_eq!(status(&env, &job).await, "cancelled");
    let shown = person.page(&page).await;
    assert!(!shown.contains("/cancel\"") && !shown.contains("data-live="), "{shown}");
    let retried = person.post(&format!("{page}/retry"), &[]).await;
    assert_eq!(retried.header("location"), page);
    assert!(person.page(&page).await.contains("Only a failed upload can be retried."));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_upload_says_why_and_is_retried_as_a_new_one() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let is_there = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_there);
    let source =
        Scripted::start(move |_| Reply::status(if seen.load(Ordering::SeqCst) { 403 } else { 404 })).await;
    let body = json!({"source": {"url": source.url()}, "name": "Missing"});
    let failed = uploads.submit_with(body).await;
    assert_eq!(uploads.wait_for_end(&failed).await["data"]["error_code"], "SOURCE_REFUSED");
    let person = Person::sign_in(&uploads.env).await;
    let page = format!("{LIST}/{failed}");
    let shown = person.page(&page).await;
    for text in ["The upload failed", "SOURCE_REFUSED", "its link has not expired", "Missing", "/retry\""] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    assert!(person.page(&format!("{LIST}?status=failed")).await.contains("Missing"));
    let retried = person.post(&format!("{page}/retry"), &[]).await;
    let retry = retried.header("location").to_owned();
    assert!(retried.status == 303 && retry != page && retry.starts_with(LIST), "{retry}");
    let new = person.page(&retry).await;
    assert!(
        new.contains("The upload was queued again.") && new.contains(&format!("href=\"{page}\"")),
        "{new}"
    );
    let old = person.page(&page).await;
    assert!(old.contains(&format!("href=\"{retry}\"")) && !old.contains("/retry\""), "it is retried once");
    // A second click leads to the same upload.
    assert_eq!(person.post(&format!("{page}/retry"), &[]).await.header("location"), retry);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_others_do_not_exist() {
    let env = env().await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let other = Person::sign_in_with(&env, &env.make_key("other", &[])).await;
    let mut pages = Vec::new();
    for id in [&*job, UNKNOWN, "x", "019C1234-5678-7ABC-8DEF-0123456789AB"] {
        for (method, path) in OF_ONE {
            let path = format!("{LIST}/{id}{path}");
            let response =
                if method == "GET" { other.get(&path).await } else { other.post(&path, &[]).await };
            assert_eq!(response.status, 404, "{method} {path}");
            pages.push(response.text.split("Request ID").next().unwrap().to_owned());
        }
    }
    pages.dedup();
    assert!(pages.iter().all(|page| page.contains("This page does not exist")) && pages.len() == 1);
    let bulk = other.post("/dashboard/uploads/cancel", &[("jobId", &job), ("confirmed", "true")]).await;
    assert_eq!(bulk.status, 303);
    assert_eq!(status(&env, &job).await, "in-progress");
    assert!(other.page(LIST).await.contains("No uploads yet"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_look_changes_nothing() {
    let env = env().await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let reader = Person::sign_in_with(&env, &env.make_key("acme", &["--scopes", "uploads:read"])).await;
    let list = reader.page(LIST).await;
    let connection =
        env.get("/pictoryapis/v1/vimeo-connections").await.json()["Items"][0]["connectionId"].clone();
    assert!(list.contains("One") && !list.contains("jobId\"") && !list.contains("uploads/new"), "{list}");
    assert!(
        list.contains(connection.as_str().unwrap()) && !list.contains("Main</"),
        "it has no scope for names"
    );
    let page = reader.page(&format!("{LIST}/{job}")).await;
    assert!(!page.contains("/cancel\"") && !page.contains("/retry\""));
    assert_eq!(reader.get(&format!("{LIST}/new")).await.status, 403);
    let forms = [
        format!("{LIST}/{job}/cancel"),
        format!("{LIST}/{job}/retry"),
        format!("{LIST}/cancel"),
        format!("{LIST}/new"),
        format!("{LIST}/from-computer"),
    ];
    for path in &forms {
        let refused = reader.post(path, &[("jobId", &job), ("confirmed", "true")]).await;
        assert_eq!(refused.status, 403, "{path}");
    }
    let sql = "SELECT count(*) FROM audit_events WHERE refusal = 'FORBIDDEN'";
    let refused: usize = env.database().query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(refused, forms.len(), "refusals are audited");
    assert_eq!(status(&env, &job).await, "in-progress");
    let none = Person::sign_in_with(&env, &env.make_key("acme", &["--scopes", "audit:read"])).await;
    for path in
        [LIST.to_owned(), format!("{LIST}/{job}"), format!("{LIST}/events"), format!("{LIST}/{job}/events")]
    {
        assert_eq!(none.get(&path).await.status, 403, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_needs_the_token_of_its_browser() {
    let env = env().await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let (person, other) = (Person::sign_in(&env).await, Person::sign_in(&env).await);
    let paths = [
        format!("{LIST}/{job}/cancel"),
        format!("{LIST}/{job}/retry"),
        format!("{LIST}/cancel"),
        format!("{LIST}/new"),
        format!("{LIST}/from-computer"),
    ];
    for path in &paths {
        for csrf in ["", "x", &other.csrf] {
            let fields = [("csrf", csrf), ("jobId", &job), ("confirmed", "true")];
            assert_eq!(person.post_exactly(path, &fields, &[]).await.status, 403, "{path}");
        }
        let fields = [("csrf", &*person.csrf), ("jobId", &job), ("confirmed", "true")];
        let elsewhere = [("origin", "https://evil.example")];
        assert_eq!(person.post_exactly(path, &fields, &elsewhere).await.status, 403, "{path}");
    }
    assert_eq!(status(&env, &job).await, "in-progress");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_session_one_signs_in_first() {
    let env = env().await;
    let guest = Person::guest(&env);
    for (path, next) in [
        ("/dashboard/uploads?status=failed", "%2Fdashboard%2Fuploads%3Fstatus%3Dfailed"),
        ("/dashboard/uploads/new", "%2Fdashboard%2Fuploads%2Fnew"),
        ("/dashboard/uploads/events", "%2Fdashboard%2Fuploads%2Fevents"),
    ] {
        let response = guest.get(path).await;
        let expected = format!("/dashboard/sign-in?next={next}");
        assert_eq!((response.status.as_u16(), response.header("location")), (303, &*expected));
    }
    for path in ["/dashboard/uploads/cancel", "/dashboard/uploads/new"] {
        let response = guest.post(path, &[]).await;
        assert_eq!((response.status.as_u16(), response.header("location")), (303, "/dashboard/sign-in"));
    }
}
