//! Authorizations that are withdrawn, and attempts that their person repeats, against the sandbox.

use std::time::Duration;

use app::{CallbackResult, CreatedAuthorization, DraftFlow, StartResult};
use domain::authorization::{AuthorizationState, FailureReason};
use serde_json::json;

use super::authorization_flows::{connection_of, reason, try_again};
use crate::support::authorizations::{Authorizing, token, view};

#[tokio::test]
async fn a_link_outlives_what_its_person_can_fix() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "In the end")).await;
    let id = &created.shown.authorization.id;
    for (route, kind) in [
        ("POST /oauth/access_token", json!({"kind": "status", "status": 500})),
        ("POST /oauth/access_token", json!({"kind": "status", "status": 429})),
        ("GET /oauth/verify", json!({"kind": "status", "status": 500})),
    ] {
        let (url, binding) = authorizing.begin(&created).await;
        let query = authorizing.decide(url.expose(), "allow", 0).await;
        let mut fault = kind.clone();
        fault["route"] = json!(route);
        fault["times"] = json!(10);
        authorizing.control("faults", fault).await;
        let result = authorizing.call_back(&query, Some(&binding)).await;
        try_again(&result, FailureReason::VimeoUnavailable);
        authorizing.clear_faults().await;
        let shown = authorizing.app.find_authorization(&authorizing.caller, id).await.unwrap();
        assert_eq!(shown.authorization.state, AuthorizationState::Pending, "{route} {kind}");
        // The browser comes back once.
        let again = authorizing.call_back(&query, Some(&binding)).await;
        assert!(matches!(again, CallbackResult::InvalidState), "{again:?}");
    }
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    connection_of(&view(authorizing.call_back(&query, Some(&binding)).await));
}

#[tokio::test]
async fn nothing_comes_of_an_authorization_that_was_withdrawn() {
    let authorizing = Authorizing::start().await;
    let withdraw = async |created: &CreatedAuthorization| {
        let id = created.shown.authorization.id.as_str();
        authorizing.app.withdraw_authorization(&authorizing.caller, id).await.unwrap();
    };
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Too late")).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    withdraw(&created).await;
    let late = view(authorizing.call_back(&query, Some(&binding)).await);
    assert_eq!(reason(&late), FailureReason::Withdrawn);
    let late = authorizing.app.start_authorization(&token(&created), None).await.unwrap().unwrap();
    assert!(matches!(late, StartResult::Refused(_)), "{late:?}");

    let created = authorizing.create(authorizing.draft(DraftFlow::Device, "By code")).await;
    let device = created.shown.device.as_ref().unwrap();
    let activate = format!("{}?user_code={}", device.activate_url, device.user_code.expose());
    authorizing.decide(&activate, "allow", 0).await;
    withdraw(&created).await;
    authorizing.advance(Duration::from_secs(device.interval_seconds));
    let id = &created.shown.authorization.id;
    let shown = authorizing.app.find_authorization(&authorizing.caller, id).await.unwrap();
    assert!(matches!(shown.authorization.state, AuthorizationState::Failed { .. }), "{shown:?}");
    assert!(shown.device.is_none(), "what is sealed was wiped");

    // One that has ended stays as it ended.
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "In time")).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    connection_of(&view(authorizing.call_back(&query, Some(&binding)).await));
    withdraw(&created).await;
    connection_of(&view(authorizing.call_back(&query, Some(&binding)).await));
}

#[tokio::test]
async fn of_a_callback_and_a_withdrawal_at_once_one_counts() {
    let authorizing = Authorizing::start().await;
    for number in 0..20 {
        let name = format!("Race {number}");
        let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, &name)).await;
        let id = created.shown.authorization.id.as_str();
        let (url, binding) = authorizing.begin(&created).await;
        let query = authorizing.decide(url.expose(), "allow", 0).await;
        let call = authorizing.call_back(&query, Some(&binding));
        let withdraw = authorizing.app.withdraw_authorization(&authorizing.caller, id);
        let (called, withdrawn) = tokio::join!(call, withdraw);
        withdrawn.unwrap();
        let ended = view(called);
        let limit = domain::page::PageLimit::MAX;
        let filter = app::ConnectionFilter::default();
        let found =
            authorizing.app.search_connections(&authorizing.caller, &filter, None, limit).await.unwrap();
        let is_created = found.items.iter().any(|item| item.connection.name.as_str() == name);
        let is_completed = matches!(ended.shown.authorization.state, AuthorizationState::Completed { .. });
        assert_eq!(is_created, is_completed, "{ended:?}");
    }
}

#[tokio::test]
async fn a_withdrawal_waits_for_an_exchange_that_may_leave_the_link_open() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Undecided")).await;
    let id = created.shown.authorization.id.as_str();
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    let route = "POST /oauth/access_token";
    authorizing.control("faults", json!({"route": route, "kind": "delay", "millis": 600, "times": 1})).await;
    authorizing
        .control("faults", json!({"route": "GET /oauth/verify", "kind": "status", "status": 500, "times": 9}))
        .await;
    let call = authorizing.call_back(&query, Some(&binding));
    let withdraw = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        authorizing.app.withdraw_authorization(&authorizing.caller, id).await
    };
    let (called, withdrawn) = tokio::join!(call, withdraw);
    withdrawn.unwrap();
    try_again(&called, FailureReason::VimeoUnavailable);
    let shown =
        authorizing.app.find_authorization(&authorizing.caller, &created.shown.authorization.id).await;
    assert_eq!(shown.unwrap().authorization.failure(), Some(FailureReason::Withdrawn));
}
