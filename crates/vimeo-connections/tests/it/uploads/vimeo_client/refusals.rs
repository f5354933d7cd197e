//! How our client sorts what Vimeo refuses or fails to do, and what it makes of the rate window.

use std::sync::Arc;
use std::time::Duration;

use domain::connection::AccessToken;
use domain::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vimeo::{
    CredentialProblem, Failure, NewPlaceholder, PlaceholderView, RateLimit, TransportError, VideoChange,
};

use crate::support::client_fixture::{TIMEOUT, VimeoDesk, placeholder, unknown_status};

const CREATE: &str = "POST /me/videos";

async fn refused(desk: &VimeoDesk, new: &NewPlaceholder<'_>) -> Failure {
    desk.session.create_video(new, TIMEOUT).await.unwrap_err()
}

#[tokio::test]
async fn a_token_that_is_no_good_is_told_from_one_that_may_not() {
    let desk = VimeoDesk::start().await;
    let appless = desk.session_for(Value::Null, "public").await;
    let poor = desk.session_for(json!(true), "public private edit").await;
    for (session, failure) in [
        (&desk.session_with("nobody-ever-issued-this"), Failure::Rejected(CredentialProblem::TokenUnknown)),
        (&appless, Failure::Rejected(CredentialProblem::TokenWithoutUser)),
        (&poor, Failure::LacksScope("upload".to_owned())),
    ] {
        assert_eq!(session.create_video(&placeholder(10), TIMEOUT).await.unwrap_err(), failure);
    }
    let made = desk.make(10).await;
    assert_eq!(poor.delete_video(made.video, TIMEOUT).await, Err(Failure::LacksScope("delete".to_owned())));
    assert_eq!(poor.find_folder_by_name("x", TIMEOUT).await, Ok(None));
    let unknown = desk.session_with("nobody-ever-issued-this");
    let found = unknown.find_folder_by_name("x", TIMEOUT).await;
    assert_eq!(found, Err(Failure::Rejected(CredentialProblem::TokenUnknown)), "folders have the code 8000");
    // The challenge alone says as much; without it and without an error of Vimeo's, nobody has spoken.
    for (fault, failure) in [
        (
            json!({"kind": "status", "status": 401, "body": "<html>"}),
            Failure::Rejected(CredentialProblem::TokenUnknown),
        ),
        (json!({"kind": "html", "status": 401}), unknown_status(StatusCode::UNAUTHORIZED)),
        (
            json!({"kind": "status", "status": 400, "body": {"error": "invalid_token"}}),
            Failure::Rejected(CredentialProblem::TokenUnknown),
        ),
    ] {
        desk.fault(CREATE, fault.clone()).await;
        assert_eq!(refused(&desk, &placeholder(10)).await, failure, "{fault}");
    }
}

#[tokio::test]
async fn a_quota_is_told_from_any_other_refusal() {
    let desk = VimeoDesk::start().await;
    for (user, size, code) in [
        (json!({"quota": {"lifetime": {"max": 9}}}), 10, 4101),
        (json!({"quota": {"periodic": {"max": 9}}}), 10, 4102),
        (json!({"quota": {"unit": "count", "lifetime": {"max": 0}}}), 10, 4103),
        (json!({"quota": {"unit": "count", "periodic": {"max": 0}}}), 10, 4104),
        (json!({"quota": null}), 300_000_000_001, 3428),
    ] {
        desk.user(user).await;
        let Failure::Quota(told) = refused(&desk, &placeholder(size)).await else { panic!("{code}") };
        assert_eq!((told.status, told.code), (403, Some(code)));
        assert!(!told.text.is_empty() && !told.is_about_view());
    }
    desk.user(json!({"email_verified": false})).await;
    let Failure::Refused(told) = refused(&desk, &placeholder(10)).await else { panic!() };
    assert_eq!((told.code, told.is_about_view()), (Some(3400), false));
    assert_eq!(desk.videos().await, 0);
}

#[tokio::test]
async fn a_view_that_the_plan_does_not_have_is_told_and_the_next_is_tried() {
    let desk = VimeoDesk::start().await;
    desk.user(json!({"plan": "free", "refused_views": ["nobody", "password"]})).await;
    let password = Secret::new("canary-password".to_owned());
    let mut tried = Vec::new();
    for view in PlaceholderView::ORDER {
        let new = NewPlaceholder { view, password: Some(&password), ..placeholder(10) };
        match desk.session.create_video(&new, TIMEOUT).await {
            Ok(_) => break,
            Err(Failure::Refused(told)) if told.is_about_view() => tried.push(told.code),
            Err(other) => panic!("{other:?}"),
        }
    }
    // Nobody, password, disable, unlisted; and then everybody may see it.
    assert_eq!(tried, [Some(2409), Some(2204), Some(2411), Some(2204)]);
    assert_eq!(desk.videos().await, 1);
    let long = "n".repeat(129);
    let Failure::Refused(told) =
        refused(&desk, &NewPlaceholder { name: &long, view: PlaceholderView::Anybody, ..placeholder(10) })
            .await
    else {
        panic!()
    };
    let [parameter] = told.parameters.as_slice() else { panic!("{told:?}") };
    assert_eq!((parameter.field.as_str(), parameter.code), ("name", Some(2250)));
    assert!(!told.is_about_view() && !format!("{told:?}").contains(&long));
}

#[tokio::test]
async fn whether_vimeo_acted_is_never_guessed() {
    let desk = VimeoDesk::start().await;
    let later = |status| Failure::RetryLater { not_before: None, error: TransportError::Status(status) };
    let not_understood = || Failure::Unknown(TransportError::UnexpectedResponse);
    let unreachable = || Failure::Unknown(TransportError::Unreachable);
    let foreign = json!({"uri": "/videos/1", "upload": {"upload_link": "https://evil.example/files/x"}});
    for (fault, failure) in [
        (json!({"kind": "status", "status": 503, "error_code": 7000}), later(503)),
        (json!({"kind": "status", "status": 503, "error_code": 7100}), later(503)),
        (
            json!({"kind": "status", "status": 503, "error_code": 4003}),
            unknown_status(StatusCode::SERVICE_UNAVAILABLE),
        ),
        (json!({"kind": "status", "status": 500}), unknown_status(StatusCode::INTERNAL_SERVER_ERROR)),
        (
            json!({"kind": "status", "status": 502, "body": "bad gateway"}),
            unknown_status(StatusCode::BAD_GATEWAY),
        ),
        (json!({"kind": "html", "status": 503}), unknown_status(StatusCode::SERVICE_UNAVAILABLE)),
        (json!({"kind": "html", "status": 403}), unknown_status(StatusCode::FORBIDDEN)),
        (json!({"kind": "html", "status": 404}), unknown_status(StatusCode::NOT_FOUND)),
        (json!({"kind": "html"}), not_understood()),
        (json!({"kind": "empty"}), not_understood()),
        (json!({"kind": "empty", "status": 204}), not_understood()),
        (json!({"kind": "wrong-json"}), not_understood()),
        (json!({"kind": "wrong-json", "body": foreign}), not_understood()),
        (
            json!({"kind": "wrong-json", "body": {"uri": "/videos/1", "upload": {"upload_link": null}}}),
            not_understood(),
        ),
        (json!({"kind": "huge"}), not_understood()),
        (json!({"kind": "garbage"}), unreachable()),
        (json!({"kind": "cut"}), unreachable()),
        (json!({"kind": "reset"}), unreachable()),
    ] {
        desk.fault(CREATE, fault.clone()).await;
        assert_eq!(refused(&desk, &placeholder(10)).await, failure, "{fault}");
        assert_eq!(desk.videos().await, 0, "{fault}");
    }
    for (made, fault) in [json!({"kind": "cut-after"}), json!({"kind": "truncate"})].into_iter().enumerate() {
        desk.fault(CREATE, fault).await;
        assert_eq!(refused(&desk, &placeholder(10)).await, unreachable());
        assert_eq!(desk.videos().await, made + 1, "it is there all the same");
    }
    desk.fault(CREATE, json!({"kind": "hold"})).await;
    let answered = desk.session.create_video(&placeholder(10), Duration::from_millis(200)).await;
    assert_eq!(answered.unwrap_err(), Failure::Unknown(TransportError::Timeout));
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_has_done_nothing() {
    let desk = VimeoDesk::start().await;
    let VimeoDesk { sandbox, session, .. } = desk;
    sandbox.stop().await;
    let answered = session.create_video(&placeholder(10), TIMEOUT).await;
    assert_eq!(
        answered.unwrap_err(),
        Failure::RetryLater { not_before: None, error: TransportError::Unreachable }
    );
}

#[tokio::test]
async fn a_redirect_of_the_api_is_not_followed() {
    let (desk, other) = (VimeoDesk::start().await, VimeoDesk::start().await);
    for status in [301, 302, 307, 308] {
        let location = format!("{}/me/videos", other.sandbox.base_url);
        desk.fault(CREATE, json!({"kind": "redirect", "status": status, "location": location})).await;
        let expected = unknown_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(refused(&desk, &placeholder(10)).await, expected);
    }
    assert!(other.journal().await.is_empty());
    assert_eq!(desk.journal().await.len(), 4);
}

#[tokio::test]
async fn every_call_asks_for_the_version_and_names_its_sender() {
    let desk = VimeoDesk::start().await;
    let made = desk.make(10).await;
    let session = &desk.session;
    session.find_video(made.video, TIMEOUT).await.unwrap();
    session.list_newest_videos(1, TIMEOUT).await.unwrap();
    let change = VideoChange { name: Some("x".to_owned()), ..VideoChange::default() };
    session.change_video(made.video, &change, TIMEOUT).await.unwrap();
    let folder = session.create_folder("f", TIMEOUT).await.unwrap();
    session.find_folder_by_name("f", TIMEOUT).await.unwrap();
    session.put_in_folder(folder, made.video, TIMEOUT).await.unwrap();
    session.set_thumbnail(made.video, Duration::ZERO, TIMEOUT).await.unwrap();
    session.delete_video(made.video, TIMEOUT).await.unwrap();
    let journal = desk.journal().await;
    assert_eq!(journal.len(), 9);
    for request in journal {
        assert_eq!(request["accept"], "application/vnd.vimeo.*+json;version=3.4", "{request}");
        assert_eq!(request["user_agent"], "test/1", "{request}");
        assert_eq!(request["authorization"]["scheme"], "Bearer", "{request}");
        let has_fields = request["query"].as_str().is_some_and(|query| query.contains("fields="));
        let needs_fields = request["status"] != 204;
        assert_eq!(has_fields, needs_fields, "{request}");
    }
}

#[tokio::test]
async fn nobody_asks_while_the_window_is_closed() {
    let desk = VimeoDesk::start().await;
    let token = AccessToken::parse(&desk.sandbox.access_token).unwrap();
    let window = Arc::new(RateLimit::default());
    let [one, other] =
        [desk.client.session(token.clone(), window.clone()), desk.client.session(token, window.clone())];
    desk.fault("GET /me/videos", json!({"kind": "rate-limit", "reset_seconds": 20})).await;
    let until = window_end(one.list_newest_videos(1, TIMEOUT).await.unwrap_err()).unwrap();
    assert_eq!(until.seconds_after(desk.now()), 20);
    assert_eq!(window.blocked_until(desk.now()), Some(until));
    let before = desk.journal().await.len();
    for session in [&one, &other] {
        let again = session.create_video(&placeholder(10), TIMEOUT).await.unwrap_err();
        assert_eq!(window_end(again), Some(until));
    }
    assert_eq!(desk.journal().await.len(), before);
    desk.pass(Duration::from_secs(20));
    other.create_video(&placeholder(10), TIMEOUT).await.unwrap();
    // Another connection's window is its own.
    desk.session.create_video(&placeholder(10), TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn a_limit_without_an_end_is_a_minute_and_none_is_longer_than_an_hour() {
    let desk = VimeoDesk::start().await;
    for (fault, seconds) in [
        (json!({"kind": "status", "status": 429}), 60),
        (json!({"kind": "status", "status": 429, "body": "slow down"}), 60),
        (json!({"kind": "rate-limit", "reset_seconds": 1_000_000}), 3600),
    ] {
        desk.fault("GET /me/videos", fault).await;
        let until = window_end(desk.session.list_newest_videos(1, TIMEOUT).await.unwrap_err()).unwrap();
        assert_eq!(until.seconds_after(desk.now()), seconds);
        desk.pass(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn the_last_request_of_a_window_closes_it_before_vimeo_must_refuse() {
    let options = sandbox::Options { plan: Some(sandbox::Plan::Free), ..Default::default() };
    let desk = VimeoDesk::with(options).await;
    let mut answered = 0;
    let until = loop {
        match desk.session.list_newest_videos(1, TIMEOUT).await {
            Ok(_) => answered += 1,
            Err(failure) => break window_end(failure).unwrap(),
        }
    };
    // 25 a minute, and twice as many because each names its fields.
    assert_eq!(answered, 50);
    assert!(until > desk.now());
    assert!(desk.journal().await.iter().all(|request| request["status"] == 200));
    desk.pass(Duration::from_mins(1));
    desk.control(Method::DELETE, "faults", Value::Null).await;
    desk.session.list_newest_videos(1, TIMEOUT).await.unwrap();
}

fn window_end(failure: Failure) -> Option<domain::time::Timestamp> {
    match failure {
        Failure::RetryLater { not_before, error: trouble } => {
            assert_eq!(trouble, TransportError::RateLimited { not_before });
            not_before
        }
        other => panic!("{other:?}"),
    }
}
