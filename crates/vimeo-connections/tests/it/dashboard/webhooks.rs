//! The pages of webhook endpoints, and the audit log.

use reqwest::StatusCode;

use super::session::{Browser, attribute, csrf, field_error};
use super::sign_in::{audited, with_link};
use crate::support::harness::TestEnv;

const WEBHOOKS: &str = "/dashboard/webhooks";
const NEW: &str = "/dashboard/webhooks/new";
const URL: &str = "https://hooks.example.com/vimeo?token=hidden";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_created_once_changed_and_deleted() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "member").await;
    let form = browser.page(NEW).await;
    let request_id = attribute(form.split("name=\"requestId\"").nth(1).unwrap(), "value");
    let token = csrf(&form);
    let fields = [
        ("csrf", &*token),
        ("requestId", &request_id),
        ("url", URL),
        ("description", "<i>billing</i>"),
        ("events", "upload.failed"),
        ("enabled", "true"),
    ];
    let created = browser.post(NEW, &fields).await;
    let secret = |page: &str| {
        let start = page.find("whsec_").unwrap();
        page[start..].split('<').next().unwrap().to_owned()
    };
    assert_eq!(created.status, StatusCode::OK, "{}", created.text);
    let again = browser.post(NEW, &fields).await;
    assert_eq!(secret(&again.text), secret(&created.text), "sent twice, created once");
    let list = browser.page(WEBHOOKS).await;
    assert!(list.contains("1 endpoint<") && list.contains("https://hooks.example.com/vimeo"), "{list}");
    assert!(
        !list.contains("token=hidden") && !list.contains("whsec_") && list.contains("&#60;i&#62;billing")
    );

    let start = list.find("/dashboard/webhooks/whe_").unwrap();
    let path: String = list[start..].chars().take_while(|c| *c != '"').collect();
    let page = browser.page(&path).await;
    assert!(page.contains("upload.failed") && page.contains("No deliveries"), "{page}");
    let tested = browser.submit(&path, &format!("{path}/test"), &[]).await;
    assert!(browser.follow(&tested).await.contains("A test event was queued."));
    assert!(browser.page(&path).await.contains("webhook.test"));
    let disabled = browser.submit(&path, &format!("{path}/disable"), &[]).await;
    assert!(browser.follow(&disabled).await.contains("The endpoint is disabled."));
    let edit = format!("{path}/edit");
    let form = browser.page(&edit).await;
    assert!(form.contains("token=hidden"), "the form has the whole URL");
    let saved = browser.submit(&edit, &edit, &[("url", "https://hooks.example.com/new")]).await;
    let page = browser.follow(&saved).await;
    assert!(page.contains("hooks.example.com/new") && page.contains("Disabled"), "{page}");

    let rotate = format!("{path}/rotate-secret");
    let rotated = browser.submit(&rotate, &rotate, &[]).await;
    assert_ne!(secret(&rotated.text), secret(&created.text));
    let delete = format!("{path}/delete");
    let deleted = browser.submit(&delete, &delete, &[]).await;
    assert!(browser.follow(&deleted).await.contains("The endpoint was deleted."));
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(audited(&env).await[0], "Anna delete_webhook_endpoint -");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_endpoint_is_shown_at_its_field() {
    let env = TestEnv::without_verification("").await;
    let mut browser = with_link(&env, "owner").await;
    for (fields, field) in [
        (vec![("url", "")], "url"),
        (vec![("url", "http://10.0.0.1/")], "url"),
        (vec![("url", "javascript:alert(1)")], "url"),
        (vec![("url", URL), ("events", "no.such")], "events"),
    ] {
        let answer = browser.submit(NEW, NEW, &fields).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{fields:?}");
        assert!(field_error(&answer.text, field).is_some(), "{fields:?}: {}", answer.text);
    }
    let mut reader = with_link(&env, "read-only").await;
    assert_eq!(reader.get(WEBHOOKS).await.status, StatusCode::FORBIDDEN);
    let token = csrf(&reader.page("/dashboard/settings").await);
    assert_eq!(reader.post(NEW, &[("csrf", &token), ("url", URL)]).await.status, StatusCode::FORBIDDEN);
    assert_eq!(audited(&env).await[0], "Anna create_webhook_endpoint FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_audit_log_is_filtered_paged_and_exported() {
    let env = TestEnv::without_verification("").await;
    for number in 0..60 {
        env.post(&env.valid_body(&format!("connection {number}"))).await;
    }
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let first = browser.page("/dashboard/audit?action=create_connection").await;
    assert_eq!(first.matches("Connection created").count(), 50 + 1, "a page, and the option of the filter");
    let next = first.split("href=\"/dashboard/audit?action=create_connection&#38;page=").nth(1).unwrap();
    let next = format!("/dashboard/audit?action=create_connection&page={}", next.split('"').next().unwrap());
    assert_eq!(browser.page(&next).await.matches("Connection created").count(), 10 + 1);
    let none = browser.page("/dashboard/audit?after=2100-01-01T00%3A00").await;
    assert!(none.contains("No event matches"), "{none}");
    let wrong = browser.page("/dashboard/audit?after=yesterday").await;
    assert!(field_error(&wrong, "after").is_some(), "{wrong}");
    let exported = browser.get("/dashboard/audit/export?action=create_connection").await;
    assert_eq!(exported.text.lines().count(), 60);
    assert_eq!(exported.header("content-disposition"), "attachment; filename=\"audit-events.jsonl\"");
    let mut keyless = Browser::signed_in(&env, &env.make_key("acme", &["--scopes", "uploads:read"])).await;
    assert_eq!(keyless.get("/dashboard/audit").await.status, StatusCode::FORBIDDEN);
}
