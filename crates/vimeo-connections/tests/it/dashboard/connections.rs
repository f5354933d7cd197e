//! The page of a connection, its forms and its buttons.

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::session::{Browser, attribute, csrf, field_error};
use crate::support::harness::{ACCOUNT, COLLECTION, TestEnv};

const LIST: &str = "/dashboard/connections";
const NEW: &str = "/dashboard/connections/new";
const EVIL: &str = "\"><script>alert(1)</script>&amp;";
const ESCAPED: &str = "&#34;&#62;&#60;script&#62;alert(1)&#60;/script&#62;&#38;amp;";

/// Creates a connection over the API; its page.
async fn connect(env: &TestEnv, name: &str) -> String {
    let path = env.connect(name).await;
    format!("{LIST}/{}", path.rsplit('/').next().unwrap())
}

/// The codes of the account's audit events, newest first, with the codes of refusals.
async fn audited(env: &TestEnv) -> Vec<String> {
    let events = env.get("/pictoryapis/v1/audit-events").await.json();
    let events = events["items"].as_array().unwrap().clone();
    let code = |event: &serde_json::Value| event["errorCode"].as_str().unwrap_or("done").to_owned();
    events.iter().map(|event| format!("{} {}", event["action"].as_str().unwrap(), code(event))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_created_shown_changed_and_deleted() {
    let env = TestEnv::start().await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let body = env.valid_body("Café 1");
    let text = |field: &str| body[field].as_str().unwrap();
    let fields = [
        ("name", " Cafe\u{301} 1 "),
        ("description", "one\r\ntwo"),
        ("enabled", "true"),
        ("clientIdentifier", text("clientIdentifier")),
        ("clientSecret", text("clientSecret")),
        ("accessToken", text("accessToken")),
    ];
    let created = browser.submit(NEW, NEW, &fields).await;
    let path = created.header("location").to_owned();
    let page = browser.follow(&created).await;
    assert!(page.contains("Vimeo accepts its credentials."), "{page}");
    assert!(page.contains("Café 1") && page.contains("one\ntwo") && page.contains(text("clientIdentifier")));
    assert!(!page.contains(text("clientSecret")) && !page.contains(text("accessToken")));
    assert!(page.contains("Connection created"), "its history");

    let edit = format!("{path}/edit");
    let saved = browser.submit(&edit, &edit, &[("name", "Bistro"), ("description", "")]).await;
    let page = browser.follow(&saved).await;
    assert!(page.contains("The changes were saved.") && page.contains("Bistro"), "{page}");
    assert!(page.contains("The connection is disabled") && !page.contains("Café"));
    let stored = env.get(&path.replace(LIST, COLLECTION)).await.json();
    assert_eq!(stored["name"], "Bistro");
    assert_eq!(
        (&stored["enabled"], &stored["version"], stored.get("description")),
        (&json!(false), &json!(2), None)
    );

    let delete = format!("{path}/delete");
    for wrong in ["", "bistro", "Bistro 2"] {
        let refused = browser.submit(&delete, &delete, &[("name", wrong)]).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert!(field_error(&refused.text, "name").unwrap().contains("does not match"), "{}", refused.text);
    }
    let deleted = browser.submit(&delete, &delete, &[("name", "Bistro ")]).await;
    assert_eq!(deleted.header("location"), LIST);
    let page = browser.follow(&deleted).await;
    assert!(page.contains("its credentials were destroyed") && page.contains("No connections yet"), "{page}");
    assert_eq!(env.connection_count(), 0);
    assert_eq!(browser.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_that_is_sent_twice_creates_one_connection() {
    let env = TestEnv::without_verification("").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let page = browser.page(NEW).await;
    let (csrf, request) = (csrf(&page), attribute(page.split("name=\"requestId\"").nth(1).unwrap(), "value"));
    let fields = |name| {
        [
            ("csrf", &*csrf),
            ("requestId", &*request),
            ("name", name),
            ("clientIdentifier", "c"),
            ("clientSecret", "s"),
            ("accessToken", "t"),
        ]
    };
    let first = browser.post(NEW, &fields("a")).await;
    let second = browser.post(NEW, &fields("a")).await;
    assert_eq!(first.header("location"), second.header("location"));
    assert!(browser.follow(&second).await.contains("Vimeo has not been asked yet"));
    let other = browser.post(NEW, &fields("b")).await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(other.text.contains("sent before with other values") && !other.text.contains(&request));
    assert_eq!(env.connection_count(), 1);
    let taken = browser.submit(NEW, NEW, &[&fields("a")[2..]].concat()).await;
    assert!(field_error(&taken.text, "name").unwrap().contains("has this name"), "{}", taken.text);
    assert_eq!(env.connection_count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conflict_shows_what_was_changed_meanwhile() {
    let env = TestEnv::without_verification("").await;
    let path = connect(&env, "before").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let edit = format!("{path}/edit");
    let api = path.replace(LIST, COLLECTION);
    let change = json!({"version": 1, "name": "theirs", "description": EVIL}).to_string();
    let json = [("content-type", "application/json")];
    assert_eq!(env.send(Method::PUT, &api, &json, change.into_bytes()).await.status, 200);
    // The form is as old as the change is new.
    let yours = [("version", "1"), ("name", "yours"), ("description", ""), ("enabled", "true")];
    let conflict = browser.submit(&edit, &edit, &yours).await;
    assert_eq!(conflict.status, StatusCode::UNPROCESSABLE_ENTITY);
    let text = &conflict.text;
    assert!(
        text.contains("theirs") && text.contains("value=\"yours\"") && text.contains("Save mine"),
        "{text}"
    );
    assert!(text.contains(ESCAPED) && !text.contains(EVIL), "{text}");
    assert_eq!(env.get(&api).await.json()["name"], "theirs");
    assert_eq!(attribute(text.split("name=\"version\"").nth(1).unwrap(), "value"), "2");
    let again =
        browser.submit(&edit, &edit, &[("version", "2"), ("name", "yours"), ("enabled", "true")]).await;
    assert!(browser.follow(&again).await.contains("The changes were saved."));
    // The same values as somebody else: nothing is left to decide.
    let same =
        browser.submit(&edit, &edit, &[("version", "1"), ("name", "yours"), ("enabled", "true")]).await;
    assert_eq!(same.status, StatusCode::SEE_OTHER);
    for version in ["", "x", "-1"] {
        let malformed = browser.submit(&edit, &edit, &[("version", version), ("name", "yours")]).await;
        assert_eq!(malformed.status, StatusCode::BAD_REQUEST);
    }
    let long = "x".repeat(101);
    let invalid = browser.submit(&edit, &edit, &[("name", &*long), ("description", &"é".repeat(251))]).await;
    assert!(field_error(&invalid.text, "name").unwrap().contains("at most 100 characters"));
    assert!(field_error(&invalid.text, "description").unwrap().contains("at most 250 characters"));
    assert!(invalid.text.contains(&long), "what was entered is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enabling_and_disabling_can_be_repeated() {
    let env = TestEnv::without_verification("").await;
    let path = connect(&env, "a").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let page = browser.page(&path).await;
    let csrf = csrf(&page);
    let mut versions = Vec::new();
    for action in ["disable", "disable", "enable", "enable"] {
        let done = browser.post(&format!("{path}/{action}"), &[("csrf", &csrf)]).await;
        let page = browser.follow(&done).await;
        assert!(page.contains(&format!("The connection is {action}d.")), "{page}");
        versions.push(env.get(&path.replace(LIST, COLLECTION)).await.json()["version"].as_u64().unwrap());
    }
    assert_eq!(versions, [2, 2, 3, 3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_shows_what_is_wrong_and_its_cure() {
    let env = TestEnv::start().await;
    let path = connect(&env, "a").await;
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    let test = format!("{path}/test");
    env.change_token(json!({"revoked": true})).await;
    let tested = browser.submit(&path, &test, &[]).await;
    let page = browser.follow(&tested).await;
    assert!(page.contains("needs attention") && page.contains("Vimeo rejects the access token"), "{page}");
    assert!(page.contains(&format!("href=\"{path}/credentials\"")) && page.contains("Failed"));
    assert!(browser.page(LIST).await.contains("Vimeo rejects the access token."));
    let soon = browser.submit(&path, &test, &[]).await;
    assert!(browser.follow(&soon).await.contains("within the last five seconds"));
    assert!(audited(&env).await.contains(&"verify_connection done".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_of_vimeo_are_escaped_and_only_https_is_linked() {
    let env = TestEnv::without_verification("").await;
    let path = connect(&env, "a").await;
    let details = json!({
        "problem": {"code": "TOKEN_REJECTED", "message": EVIL},
        "checks": [{"name": "token", "latest": {"result": "fail", "message": EVIL, "code": null}, "known": null}],
        "user": {"name": EVIL, "uri": "javascript:alert(1)", "account_type": EVIL},
        "scopes": [EVIL],
        "allowed_privacies": [EVIL],
    });
    let changed = env
        .database()
        .execute("UPDATE connection_health SET status = 'unhealthy', details = ?1", [details.to_string()]);
    assert_eq!(changed.unwrap(), 1);
    let mut browser = Browser::signed_in(&env, &env.api_key).await;
    for path in [&*path, LIST] {
        let page = browser.page(path).await;
        assert!(page.contains(ESCAPED), "{page}");
        assert!(!page.contains("<script>alert") && !page.contains("javascript:"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_may_not_do_is_neither_offered_nor_done() {
    let env = TestEnv::without_verification("").await;
    let path = connect(&env, "a").await;
    let reader = env.make_key(ACCOUNT, &["--scopes", "connections:read"]);
    let mut browser = Browser::signed_in(&env, &reader).await;
    let list = browser.page(LIST).await;
    let page = browser.page(&path).await;
    for offer in
        ["/new", "/edit", "/credentials", "/delete", "/test", "/disable", "uploads-title", "history-title"]
    {
        assert!(!list.contains(&format!("{LIST}{offer}")) && !page.contains(offer), "{offer}");
    }
    for form in
        [NEW.to_owned(), format!("{path}/edit"), format!("{path}/credentials"), format!("{path}/delete")]
    {
        assert_eq!(browser.get(&form).await.status, StatusCode::FORBIDDEN, "{form}");
    }
    let csrf = csrf(&page);
    let before = audited(&env).await.len();
    for (target, action) in [
        (NEW.to_owned(), "create_connection"),
        (format!("{path}/edit"), "update_connection"),
        (format!("{path}/credentials"), "update_connection"),
        (format!("{path}/enable"), "update_connection"),
        (format!("{path}/disable"), "update_connection"),
        (format!("{path}/test"), "verify_connection"),
        (format!("{path}/delete"), "delete_connection"),
    ] {
        let fields = [("csrf", &*csrf), ("version", "1"), ("name", "a"), ("requestId", "r")];
        assert_eq!(browser.post(&target, &fields).await.status, StatusCode::FORBIDDEN, "{target}");
        assert_eq!(audited(&env).await[0], format!("{action} FORBIDDEN"));
    }
    assert_eq!(audited(&env).await.len(), before + 7);
    let uploader = env.make_key(ACCOUNT, &["--scopes", "uploads:read"]);
    let mut browser = Browser::signed_in(&env, &uploader).await;
    for page in [LIST, &path] {
        assert_eq!(browser.get(page).await.status, StatusCode::FORBIDDEN);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_the_accounts_is_not_found() {
    let env = TestEnv::without_verification("").await;
    let path = connect(&env, "a").await;
    let stranger = env.make_key("other", &[]);
    let mut browser = Browser::signed_in(&env, &stranger).await;
    let csrf = csrf(&browser.page(NEW).await);
    let unknown = format!("{LIST}/20260131090500042k3v9x0q2m7t1b8z");
    let mut pages = Vec::new();
    for missing in [path.as_str(), &unknown, &format!("{LIST}/x"), &format!("{LIST}/%FF")] {
        for part in ["", "/edit", "/credentials", "/delete"] {
            let answer = browser.get(&format!("{missing}{part}")).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{missing}{part}");
            // The rest of the page has the request ID.
            pages.push(answer.text.split("<code>").next().unwrap().to_owned());
        }
        for part in ["/edit", "/credentials", "/delete", "/test", "/enable", "/disable"] {
            let fields = [("csrf", &*csrf), ("version", "1"), ("name", "a"), ("clientIdentifier", "c")];
            let answer = browser.post(&format!("{missing}{part}"), &fields).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{missing}{part}");
        }
    }
    pages.dedup();
    assert_eq!(pages.len(), 1, "{pages:?}");
    let stored = env.get(&path.replace(LIST, COLLECTION)).await.json();
    assert_eq!((&stored["version"], &stored["enabled"]), (&json!(1), &json!(true)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_needs_a_session_and_its_token() {
    let env = TestEnv::without_verification("").await;
    let path = connect(&env, "a").await;
    let mut guest = Browser::new(&env);
    for (page, next) in [
        (format!("{LIST}?search=a%20b"), "%2Fdashboard%2Fconnections%3Fsearch%3Da%2520b".to_owned()),
        (format!("{path}/edit"), format!("{path}/edit").replace('/', "%2F")),
    ] {
        let answer = guest.get(&page).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER);
        assert_eq!(answer.header("location"), format!("/dashboard/sign-in?next={next}"));
    }
    let disable = format!("{path}/disable");
    assert_eq!(guest.post(&disable, &[]).await.header("location"), "/dashboard/sign-in");
    let mut one = Browser::signed_in(&env, &env.api_key).await;
    let mut two = Browser::signed_in(&env, &env.api_key).await;
    let foreign = csrf(&two.page(&path).await);
    for token in ["", "x", &foreign] {
        for part in ["edit", "credentials", "delete", "test", "enable", "disable"] {
            let answer = one.post(&format!("{path}/{part}"), &[("csrf", token), ("name", "a")]).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{part}");
            assert!(answer.text.contains("This form has expired"), "{}", answer.text);
        }
        assert_eq!(one.post(NEW, &[("csrf", token)]).await.status, StatusCode::FORBIDDEN);
    }
    let stored = env.get(&path.replace(LIST, COLLECTION)).await.json();
    assert_eq!(stored["version"], 1);
}
