//! How the client classifies refusals and failures of Vimeo, and rate limits.

use std::sync::Arc;
use std::time::Duration;

use domain::connection::AccessToken;
use domain::secret::Secret;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use vimeo::{
    CredentialProblem, Failure, NewPlaceholder, PlaceholderView, RateLimit, TransportError, VideoChange,
};

use crate::support::client_fixture::{ClientFixture, TIMEOUT, placeholder, unknown_status};

const CREATE: &str = "POST /me/videos";

async fn refused(fixture: &ClientFixture, new: &NewPlaceholder<'_>) -> Failure {
    fixture.session.create_video(new, TIMEOUT).await.unwrap_err()
}

#[tokio::test]
async fn an_invalid_token_is_distinguished_from_a_forbidden_one() {
    let fixture = ClientFixture::start().await;
    let appless = fixture.session_for(Value::Null, "public").await;
    let poor = fixture.session_for(json!(true), "public private edit").await;
    for (session, failure) in [
        (
            &fixture.session_with("never-issued-by-the-sandbox"),
            Failure::Rejected(CredentialProblem::TokenUnknown),
        ),
        (&appless, Failure::Rejected(CredentialProblem::TokenWithoutUser)),
        (&poor, Failure::LacksScope("upload".to_owned())),
    ] {
        assert_eq!(session.create_video(&placeholder(10), TIMEOUT).await.unwrap_err(), failure);
    }
    let made = fixture.make(10).await;
    assert_eq!(poor.delete_video(made.video, TIMEOUT).await, Err(Failure::LacksScope("delete".to_owned())));
    assert_eq!(poor.find_folder_by_name("x", TIMEOUT).await, Ok(None));
    let unknown = fixture.session_with("never-issued-by-the-sandbox");
    let found = unknown.find_folder_by_name("x", TIMEOUT).await;
    assert_eq!(found, Err(Failure::Rejected(CredentialProblem::TokenUnknown)), "folders have the code 8000");
    // The challenge alone is as clear. Without it, and without an error of Vimeo, the response did not come from the
    // API.
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
        fixture.fault(CREATE, fault.clone()).await;
        assert_eq!(refused(&fixture, &placeholder(10)).await, failure, "{fault}");
    }
}

#[tokio::test]
async fn an_exhausted_quota_is_distinguished_from_other_refusals() {
    let fixture = ClientFixture::start().await;
    for (user, size, code) in [
        (json!({"quota": {"lifetime": {"max": 9}}}), 10, 4101),
        (json!({"quota": {"periodic": {"max": 9}}}), 10, 4102),
        (json!({"quota": {"unit": "count", "lifetime": {"max": 0}}}), 10, 4103),
        (json!({"quota": {"unit": "count", "periodic": {"max": 0}}}), 10, 4104),
        (json!({"quota": null}), 300_000_000_001, 3428),
    ] {
        fixture.user(user).await;
        let Failure::Quota(refusal) = refused(&fixture, &placeholder(size)).await else { panic!("{code}") };
        assert_eq!((refusal.status, refusal.code), (403, Some(code)));
        assert!(!refusal.text.is_empty() && !refusal.is_about_view());
    }
    fixture.user(json!({"email_verified": false})).await;
    let Failure::Refused(refusal) = refused(&fixture, &placeholder(10)).await else { panic!() };
    assert_eq!((refusal.code, refusal.is_about_view()), (Some(3400), false));
    assert_eq!(fixture.videos().await, 0);
}

#[tokio::test]
async fn a_view_the_plan_lacks_is_reported_and_the_next_is_tried() {
    let fixture = ClientFixture::start().await;
    fixture.user(json!({"plan": "free", "refused_views": ["nobody", "password"]})).await;
    let password = Secret::new("canary-password".to_owned());
    let mut tried = Vec::new();
    for view in PlaceholderView::ORDER {
        let new = NewPlaceholder { view, password: Some(&password), ..placeholder(10) };
        match fixture.session.create_video(&new, TIMEOUT).await {
            Ok(_) => break,
            Err(Failure::Refused(refusal)) if refusal.is_about_view() => tried.push(refusal.code),
            Err(other) => panic!("{other:?}"),
        }
    }
    // The views `nobody`, `password`, `disable`, `unlisted`, and last `anybody`.
    assert_eq!(tried, [Some(2409), Some(2204), Some(2411), Some(2204)]);
    assert_eq!(fixture.videos().await, 1);
    let long = "n".repeat(129);
    let Failure::Refused(refusal) =
        refused(&fixture, &NewPlaceholder { name: &long, view: PlaceholderView::Anybody, ..placeholder(10) })
            .await
    else {
        panic!()
    };
    let [parameter] = refusal.parameters.as_slice() else { panic!("{refusal:?}") };
    assert_eq!((parameter.field.as_str(), parameter.code), ("name", Some(2250)));
    assert!(!refusal.is_about_view() && !format!("{refusal:?}").contains(&long));
}

#[tokio::test]
async fn an_ambiguous_failure_is_reported_as_unconfirmed() {
    let fixture = ClientFixture::start().await;
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
        fixture.fault(CREATE, fault.clone()).await;
        assert_eq!(refused(&fixture, &placeholder(10)).await, failure, "{fault}");
        assert_eq!(fixture.videos().await, 0, "{fault}");
    }
    for (made, fault) in [json!({"kind": "cut-after"}), json!({"kind": "truncate"})].into_iter().enumerate() {
        fixture.fault(CREATE, fault).await;
        assert_eq!(refused(&fixture, &placeholder(10)).await, unreachable());
        assert_eq!(fixture.videos().await, made + 1, "it exists all the same");
    }
    fixture.fault(CREATE, json!({"kind": "hold"})).await;
    let answered = fixture.session.create_video(&placeholder(10), Duration::from_millis(200)).await;
    assert_eq!(answered.unwrap_err(), Failure::Unknown(TransportError::Timeout));
}

#[tokio::test]
async fn a_failed_connect_is_reported_as_not_sent() {
    let fixture = ClientFixture::start().await;
    let ClientFixture { sandbox, session, .. } = fixture;
    sandbox.stop().await;
    let answered = session.create_video(&placeholder(10), TIMEOUT).await;
    assert_eq!(
        answered.unwrap_err(),
        Failure::RetryLater { not_before: None, error: TransportError::Unreachable }
    );
}

#[tokio::test]
async fn api_redirects_are_not_followed() {
    let (fixture, other) = (ClientFixture::start().await, ClientFixture::start().await);
    for status in [301, 302, 307, 308] {
        let location = format!("{}/me/videos", other.sandbox.base_url);
        fixture.fault(CREATE, json!({"kind": "redirect", "status": status, "location": location})).await;
        let expected = unknown_status(StatusCode::from_u16(status).unwrap());
        assert_eq!(refused(&fixture, &placeholder(10)).await, expected);
    }
    assert!(other.journal().await.is_empty());
    assert_eq!(fixture.journal().await.len(), 4);
}

#[tokio::test]
async fn every_request_sends_the_api_version_and_user_agent() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    let session = &fixture.session;
    session.find_video(made.video, TIMEOUT).await.unwrap();
    session.list_newest_videos(1, TIMEOUT).await.unwrap();
    let change = VideoChange { name: Some("x".to_owned()), ..VideoChange::default() };
    session.change_video(made.video, &change, TIMEOUT).await.unwrap();
    let folder = session.create_folder("f", TIMEOUT).await.unwrap();
    session.find_folder_by_name("f", TIMEOUT).await.unwrap();
    session.put_in_folder(folder, made.video, TIMEOUT).await.unwrap();
    session.set_thumbnail(made.video, Duration::ZERO, TIMEOUT).await.unwrap();
    session.delete_video(made.video, TIMEOUT).await.unwrap();
    let journal = fixture.journal().await;
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
async fn no_request_is_sent_while_the_window_is_closed() {
    let fixture = ClientFixture::start().await;
    let token = AccessToken::parse(&fixture.sandbox.access_token).unwrap();
    let window = Arc::new(RateLimit::default());
    let [one, other] = [
        fixture.client.session(token.clone(), window.clone()),
        fixture.client.session(token, window.clone()),
    ];
    fixture.fault("GET /me/videos", json!({"kind": "rate-limit", "reset_seconds": 20})).await;
    let until = window_end(one.list_newest_videos(1, TIMEOUT).await.unwrap_err()).unwrap();
    assert_eq!(until.seconds_after(fixture.now()), 20);
    assert_eq!(window.blocked_until(fixture.now()), Some(until));
    let before = fixture.journal().await.len();
    for session in [&one, &other] {
        let again = session.create_video(&placeholder(10), TIMEOUT).await.unwrap_err();
        assert_eq!(window_end(again), Some(until));
    }
    assert_eq!(fixture.journal().await.len(), before);
    fixture.pass(Duration::from_secs(20));
    other.create_video(&placeholder(10), TIMEOUT).await.unwrap();
    // Another connection has its own window.
    fixture.session.create_video(&placeholder(10), TIMEOUT).await.unwrap();
}

#[tokio::test]
async fn a_rate_limit_lasts_a_minute_by_default_and_an_hour_at_most() {
    let fixture = ClientFixture::start().await;
    for (fault, seconds) in [
        (json!({"kind": "status", "status": 429}), 60),
        (json!({"kind": "status", "status": 429, "body": "slow down"}), 60),
        (json!({"kind": "rate-limit", "reset_seconds": 1_000_000}), 3600),
    ] {
        fixture.fault("GET /me/videos", fault).await;
        let until = window_end(fixture.session.list_newest_videos(1, TIMEOUT).await.unwrap_err()).unwrap();
        assert_eq!(until.seconds_after(fixture.now()), seconds);
        fixture.pass(Duration::from_secs(seconds));
    }
}

#[tokio::test]
async fn the_last_request_of_a_window_closes_it() {
    let options = sandbox::Options { plan: Some(sandbox::Plan::Free), ..Default::default() };
    let fixture = ClientFixture::with(options).await;
    let mut answered = 0;
    let until = loop {
        match fixture.session.list_newest_videos(1, TIMEOUT).await {
            Ok(_) => answered += 1,
            Err(failure) => break window_end(failure).unwrap(),
        }
    };
    // 25 requests a minute, and twice as many because each names its fields.
    assert_eq!(answered, 50);
    assert!(until > fixture.now());
    assert!(fixture.journal().await.iter().all(|request| request["status"] == 200));
    fixture.pass(Duration::from_mins(1));
    fixture.control(Method::DELETE, "faults", Value::Null).await;
    fixture.session.list_newest_videos(1, TIMEOUT).await.unwrap();
}

fn window_end(failure: Failure) -> Option<domain::time::Timestamp> {
    match failure {
        Failure::RetryLater { not_before, error } => {
            assert_eq!(error, TransportError::RateLimited { not_before });
            not_before
        }
        other => panic!("{other:?}"),
    }
}
