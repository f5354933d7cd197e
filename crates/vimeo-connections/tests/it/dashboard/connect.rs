//! Connecting with Vimeo: the form in the dashboard, the hosted pages, the sandbox's consent page and the callback.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::person::Person;
use super::session::{Browser, attribute, csrf, field_error};
use super::sign_in::with_link;
use crate::support::authorizations;
use crate::support::harness::{Response, TestEnv};

const CONNECT: &str = "/dashboard/connect";

/// Registers the callback of the service for the sandbox's app.
async fn register(env: &TestEnv) {
    let apps = env.control(Method::GET, "apps", json!(null)).await;
    let apps = apps["apps"].as_array().unwrap().clone();
    let app = apps.iter().find(|app| app["client_id"] == json!(env.sandbox.client_id)).unwrap();
    let uri = app["uri"].as_str().unwrap().trim_start_matches('/').to_owned();
    let callback = env.url("/connect/callback");
    env.control(Method::PATCH, &uri, json!({ "redirect_uris": [callback] })).await;
}

/// The fields of the form for a new connection.
fn fields<'a>(env: &'a TestEnv, name: &'a str, approver: &'a str) -> Vec<(&'a str, &'a str)> {
    vec![
        ("name", name),
        ("clientIdentifier", &env.sandbox.client_id),
        ("clientSecret", &env.sandbox.client_secret),
        ("scopes", "public"),
        ("scopes", "private"),
        ("scopes", "upload"),
        ("scopes", "edit"),
        ("approver", approver),
    ]
}

/// The path of an address of this service.
fn path(env: &TestEnv, url: &str) -> String {
    url.strip_prefix(&env.url("")).unwrap_or(url).to_owned()
}

/// The link for a customer that the dashboard creates.
async fn customer_link(env: &TestEnv, name: &str, more: &[(&str, &str)]) -> String {
    let mut owner = with_link(env, "owner").await;
    let all: Vec<_> = fields(env, name, "customer").into_iter().chain(more.iter().copied()).collect();
    let answer = owner.submit(CONNECT, CONNECT, &all).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let start = answer.text.find(&env.url("/connect/")).unwrap();
    let url: String = answer.text[start..].chars().take_while(|c| !"<\"& ".contains(*c)).collect();
    path(env, &url)
}

/// Starts on the hosted page; the address at Vimeo.
async fn start(browser: &mut Browser, link: &str) -> String {
    leaves_for(&browser.submit(link, &format!("{link}/start"), &[]).await)
}

/// Where a page sends the browser on.
fn leaves_for(answer: &Response) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let refresh = answer.text.split("http-equiv=\"refresh\" content=\"0; url=").nth(1).unwrap();
    refresh.split('"').next().unwrap().replace("&#38;", "&")
}

/// The person decides on the consent page; the path of the callback.
async fn decide(env: &TestEnv, url: &str, decision: &str) -> String {
    let http =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = authorizations::decide(&http, url, decision, 0).await;
    path(env, answer.headers()["location"].to_str().unwrap())
}

fn shows(answer: &Response, status: StatusCode, text: &str) {
    assert_eq!(answer.status, status, "{}", answer.text);
    assert!(answer.text.contains(text), "{text}: {}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_connects_in_their_own_browser() {
    let env = TestEnv::start().await;
    register(&env).await;
    let mut browser = with_link(&env, "owner").await;
    let wrong =
        browser.submit(CONNECT, CONNECT, &[("name", ""), ("scopes", "public"), ("returnUrl", "x")]).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    for field in ["name", "clientIdentifier", "clientSecret", "scopes", "approver"] {
        assert!(field_error(&wrong.text, field).is_some(), "{field}: {}", wrong.text);
    }
    let started = browser.submit(CONNECT, CONNECT, &fields(&env, "By consent", "me")).await;
    let link = path(&env, &leaves_for(&started));
    let asked = browser.page(&link).await;
    assert!(asked.contains("Upload videos to your account") && asked.contains("By consent"), "{asked}");
    let callback = decide(&env, &start(&mut browser, &link).await, "allow").await;
    let done = browser.get(&callback).await;
    let page = browser.get(&path(&env, done.header("location"))).await;
    let page = browser.follow(&page).await;
    assert!(page.contains("Completed") && page.contains("Vimeo account:"), "{page}");
    assert_eq!(env.connection_count(), 1);
    let connections = env.get("/pictoryapis/v1/vimeo-connections").await.json();
    assert_eq!(connections["Items"][0]["name"], "By consent");

    // A new token for it.
    let id = connections["Items"][0]["connectionId"].as_str().unwrap();
    let (connection, renew) =
        (format!("/dashboard/connections/{id}"), format!("/dashboard/connections/{id}/renew"));
    let form = browser.submit(&connection, &renew, &[]).await;
    let token = csrf(&form.text);
    let request_id = attribute(form.text.split("name=\"requestId\"").nth(1).unwrap(), "value");
    let mut terms = vec![("csrf", &*token), ("requestId", &*request_id), ("approver", "me")];
    terms.extend(["public", "private", "upload", "edit"].map(|scope| ("scopes", scope)));
    let started = browser.post(&renew, &terms).await;
    let link = path(&env, &leaves_for(&started));
    let callback = decide(&env, &start(&mut browser, &link).await, "allow").await;
    let done = browser.get(&callback).await;
    let page = browser.get(&path(&env, done.header("location"))).await;
    assert!(browser.follow(&page).await.contains("Completed"));
    let renewed = env.get(&format!("/pictoryapis/v1/vimeo-connections/{id}")).await.json();
    assert_eq!(renewed["version"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_connects_without_a_key_and_is_shown_the_account() {
    let env = TestEnv::start().await;
    register(&env).await;
    let back = "https://app.example.com/settings?tab=vimeo";
    let link = customer_link(&env, "Customer", &[("returnUrl", back)]).await;
    let mut customer = Browser::new(&env);
    let policy = customer.get(&link).await;
    assert!(policy.header("content-security-policy").contains("form-action 'self';"));
    // The tab was closed: the same link starts again, and the state before is worth nothing.
    let abandoned = decide(&env, &start(&mut customer, &link).await, "allow").await;
    let callback = decide(&env, &start(&mut customer, &link).await, "allow").await;
    shows(&customer.get(&abandoned).await, StatusCode::BAD_REQUEST, "does not work");
    let done = customer.get(&callback).await;
    shows(&done, StatusCode::OK, "https://app.example.com/settings?tab=vimeo&#38;authorizationId=auth_");
    assert!(
        done.text.contains("result=connected") && done.text.contains("https://vimeo.com/user"),
        "{}",
        done.text
    );
    assert_eq!(env.connection_count(), 1);
    // Replayed, also by another browser, and the link again.
    shows(&customer.get(&callback).await, StatusCode::OK, "result=connected");
    assert_eq!(Browser::new(&env).get(&callback).await.status, StatusCode::FORBIDDEN);
    shows(&customer.get(&link).await, StatusCode::GONE, "used");
    for step in ["start", "decline"] {
        let mut other = Browser::new(&env);
        let token = csrf(&other.get("/dashboard/sign-in").await.text);
        let answer = other.post(&format!("{link}/{step}"), &[("csrf", &token)]).await;
        shows(&answer, StatusCode::GONE, "used");
    }
    assert_eq!(env.connection_count(), 1);
    assert!(!env.log().contains(&link), "the token is in no log line");
    let events = env.get("/pictoryapis/v1/audit-events?actor=guest").await.json();
    let done: Vec<_> = events["items"].as_array().unwrap().iter().rev().collect();
    let actions: Vec<_> = done.iter().map(|event| event["action"].as_str().unwrap()).collect();
    let started = "start_authorization";
    assert_eq!(actions, [started, started, "create_connection", "complete_authorization"]);
    assert!(done.iter().all(|event| event["address"] == "127.0.0.1"), "{done:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_belongs_to_the_browser_that_was_sent_to_vimeo() {
    let env = TestEnv::start().await;
    register(&env).await;
    let link = customer_link(&env, "Customer", &[]).await;
    let (mut customer, mut attacker) = (Browser::new(&env), Browser::new(&env));
    let callback = decide(&env, &start(&mut customer, &link).await, "allow").await;
    // A stolen callback, in a browser that has a binding of an authorization of its own.
    let other = customer_link(&env, "Other", &[]).await;
    let theirs = decide(&env, &start(&mut attacker, &other).await, "allow").await;
    assert_eq!(attacker.get(&callback).await.status, StatusCode::FORBIDDEN);
    assert_eq!(env.connection_count(), 0, "nothing was changed");
    // Mixed up: the attacker's code with the customer's state is refused by Vimeo's check of the code, or creates nothing.
    let code = theirs.split("code=").nth(1).unwrap().split('&').next().unwrap();
    let own = callback.split("code=").nth(1).unwrap().split('&').next().unwrap();
    assert_eq!(attacker.get(&callback.replace(own, code)).await.status, StatusCode::FORBIDDEN);
    let done = customer.get(&callback).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    assert_eq!(env.connection_count(), 1);
    for query in ["", "?code=x", "?state=x", "?state=x&code=x", "?error=access_denied&state=x"] {
        let status = attacker.get(&format!("/connect/callback{query}")).await.status;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_declines_here_or_at_vimeo() {
    let env = TestEnv::start().await;
    register(&env).await;
    let back = "https://app.example.com/back";
    let link = customer_link(&env, "One", &[("returnUrl", back)]).await;
    let mut customer = Browser::new(&env);
    let denied = decide(&env, &start(&mut customer, &link).await, "deny").await;
    let sent_back = customer.get(&denied).await;
    assert!(
        sent_back.header("location").starts_with(back)
            && sent_back.header("location").ends_with("result=denied")
    );
    let link = customer_link(&env, "Two", &[]).await;
    let declined = customer.submit(&link, &format!("{link}/decline"), &[]).await;
    assert_eq!(declined.status, StatusCode::OK);
    let started = customer.post(&format!("{link}/start"), &[]).await;
    assert_eq!(started.status, StatusCode::FORBIDDEN, "without the token of the form");
    assert_eq!(env.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_tries_again_with_the_same_link() {
    let env = TestEnv::start().await;
    register(&env).await;
    let link = customer_link(&env, "Again", &[]).await;
    let mut customer = Browser::new(&env);
    let callback = decide(&env, &start(&mut customer, &link).await, "allow").await;
    let fault = json!({"route": "POST /oauth/access_token", "kind": "status", "status": 500, "times": 1});
    env.inject_fault(fault).await;
    let failed = customer.get(&callback).await;
    assert_eq!(failed.status, StatusCode::SEE_OTHER, "{}", failed.text);
    let again = failed.header("location").to_owned();
    assert_eq!(again, format!("{link}?problem=VIMEO_UNAVAILABLE"));
    shows(&customer.get(&again).await, StatusCode::OK, "Vimeo did not answer");
    let other = customer.page(&format!("{link}?problem=<b>")).await;
    assert!(!other.contains("role=\"alert\""), "{other}");
    let callback = decide(&env, &start(&mut customer, &link).await, "allow").await;
    shows(&customer.get(&callback).await, StatusCode::OK, "is connected");
    assert_eq!(env.connection_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_return_address_cannot_run_scripts_or_be_chosen_by_the_page() {
    let env = TestEnv::start().await;
    register(&env).await;
    let mut owner = with_link(&env, "owner").await;
    for url in [
        "javascript:alert(1)",
        "http://app.example.com/",
        "//evil.example",
        "data:text/html,x",
        "https://a@b.example/",
    ] {
        let mut all = fields(&env, "x", "customer");
        all.push(("returnUrl", url));
        let answer = owner.submit(CONNECT, CONNECT, &all).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        assert!(field_error(&answer.text, "returnUrl").is_some(), "{url}");
    }
    let link = customer_link(&env, "Customer", &[]).await;
    let mut customer = Browser::new(&env);
    let callback = decide(&env, &start(&mut customer, &link).await, "allow").await;
    let answer = customer.get(&format!("{callback}&returnUrl=https%3A%2F%2Fevil.example%2F")).await;
    assert!(!answer.text.contains("evil.example") && answer.header("location").is_empty(), "{}", answer.text);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_of_customers_cannot_be_guessed_by_trying() {
    let env = TestEnv::without_verification("limits.failed_keys_per_minute = 5\n").await;
    let mut browser = Browser::new(&env);
    let mut statuses = Vec::new();
    for number in 0..10 {
        statuses.push(
            browser.get(&format!("/connect/acc_00000000000000000000.{number:064x}")).await.status.as_u16(),
        );
    }
    let wrong = format!("/connect/acc_00000000000000000000.{:064x}/events", 1);
    assert_eq!(browser.get(&wrong).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(statuses.starts_with(&[404, 404]) && statuses.ends_with(&[429, 429]), "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_approval_is_listed_until_it_is_withdrawn() {
    let env = TestEnv::start().await;
    let person = Person::sign_in(&env).await;
    let created = person.post(CONNECT, &fields(&env, "Waiting <b>", "device")).await;
    assert_eq!(created.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", created.text);
    let created = person.post(CONNECT, &fields(&env, "Waiting one", "device")).await;
    let page = created.header("location").to_owned();
    let list = "/dashboard/connections";
    let listed = person.page(list).await;
    assert!(listed.contains("Waiting for approval at Vimeo") && listed.contains(&page), "{listed}");
    let mut reader = with_link(&env, "read-only").await;
    assert!(!reader.page(&page).await.contains("/withdraw"));
    let withdraw = format!("{page}/withdraw");
    let token = csrf(&reader.page(list).await);
    assert_eq!(reader.post(&withdraw, &[("csrf", &token)]).await.status, StatusCode::FORBIDDEN);
    let withdrawn = person.post(&withdraw, &[]).await;
    assert_eq!((withdrawn.status, withdrawn.header("location")), (StatusCode::SEE_OTHER, &*page));
    assert!(person.page(&page).await.contains("Withdrawn"));
    assert!(!person.page(list).await.contains(&page));
    // What is not there, or belongs to others.
    let unknown = "/dashboard/connect/auth_20260131090500042k3v9x0q2m7t1b8z/withdraw";
    assert_eq!(person.post(unknown, &[]).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_watches_no_authorization_any_more() {
    let env = TestEnv::start().await;
    let person = Person::sign_in(&env).await;
    let created = person.post(CONNECT, &fields(&env, "One", "device")).await;
    let page = created.header("location").to_owned();
    assert!(page.starts_with("/dashboard/connect/"), "{}", created.text);
    let stream = person.start(Method::GET, &format!("{page}/events"), &[]).await;
    let mut stream = stream.timeout(std::time::Duration::from_mins(1)).send().await.unwrap();
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    assert_eq!(stream.chunk().await.unwrap().as_deref(), Some(&b"retry: 2000\n\n"[..]));
    assert_eq!(person.post("/dashboard/sign-out", &[]).await.status, StatusCode::SEE_OTHER);
    let rest = stream.text().await.unwrap();
    assert!(rest.ends_with("event: reload\ndata: -\n\n") && !rest.contains("update"), "{rest}");
}
