//! The redirect flow and the device flow of authorizations, from their creation to the connection, against the sandbox.

use std::collections::BTreeMap;
use std::time::Duration;

use app::{
    AuthorizationDraft, CallbackResult, ConnectStage, ConnectView, DraftFlow, DraftTarget, Error, StartResult,
};
use domain::authorization::{AuthorizationState, FailureReason};
use domain::connection::ConnectionName;
use domain::id::ConnectionId;
use domain::secret::Secret;
use serde_json::json;

use crate::support::authorizations::{Authorizing, PUBLIC_URL, RETURN_URL, token, view};

fn ended_at(view: &ConnectView) -> &str {
    match &view.stage {
        ConnectStage::Ended { return_url: Some(url) } => url,
        other => panic!("{other:?}"),
    }
}

pub(super) fn reason(view: &ConnectView) -> FailureReason {
    match view.shown.authorization.state {
        AuthorizationState::Failed { reason, .. } => reason,
        ref other => panic!("{other:?}"),
    }
}

/// The person can try again, after a failure with this reason.
pub(super) fn try_again(result: &CallbackResult, expected: FailureReason) {
    assert!(matches!(result, CallbackResult::TryAgain(reason) if *reason == expected), "{result:?}");
}

/// Creates a connection by the redirect flow, with the user of this place on the consent page.
async fn connect(authorizing: &Authorizing, draft: AuthorizationDraft, user: usize) -> ConnectView {
    let created = authorizing.create(draft).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", user).await;
    view(authorizing.call_back(&query, Some(&binding)).await)
}

pub(super) fn connection_of(view: &ConnectView) -> ConnectionId {
    match &view.shown.authorization.state {
        AuthorizationState::Completed { connection_id, .. } => connection_id.clone(),
        other => panic!("{other:?}"),
    }
}

fn renewal(connection_id: &ConnectionId, draft: AuthorizationDraft) -> AuthorizationDraft {
    AuthorizationDraft {
        target: DraftTarget::Renew { connection_id: connection_id.clone(), app: None },
        ..draft
    }
}

#[tokio::test]
async fn a_person_who_agrees_creates_a_connection() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "By consent")).await;
    let connect_url = created.connect_url.as_ref().unwrap().expose();
    assert!(connect_url.starts_with(&format!("{PUBLIC_URL}/connect/")), "{connect_url}");
    let open = authorizing.app.view_authorization(&token(&created)).await.unwrap().unwrap();
    assert_eq!((open.account_name.as_str(), &open.stage), ("Acme", &ConnectStage::Open));
    let request = &open.shown.request;
    assert_eq!(request.target.name().as_str(), "By consent");
    assert_eq!(request.scopes, ["public", "private", "upload", "edit"]);
    assert_eq!(request.return_url.as_ref().unwrap().host(), "app.example.com");

    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    let done = view(authorizing.call_back(&query, Some(&binding)).await);
    let id = &created.shown.authorization.id;
    assert_eq!(ended_at(&done), format!("{RETURN_URL}&authorizationId={id}&result=connected"));
    let outcome = done.shown.outcome.as_ref().unwrap();
    assert!(outcome.account.as_ref().unwrap().uri.starts_with("/users/"), "{outcome:?}");
    assert_eq!((outcome.has_upload_access, outcome.granted_scopes.len()), (Some(true), 4));
    let connection =
        authorizing.app.find_connection(&authorizing.caller, &connection_of(&done)).await.unwrap();
    assert_eq!((connection.name.as_str(), connection.version), ("By consent", 1));
    // The browser reloads the page.
    let again = view(authorizing.call_back(&query, Some(&binding)).await);
    assert_eq!((again.stage, again.shown.authorization), (done.stage, done.shown.authorization.clone()));
    let shown = authorizing.app.find_authorization(&authorizing.caller, id).await.unwrap();
    assert_eq!(shown.authorization, done.shown.authorization);
    let taken = authorizing.app.create_authorization(
        &authorizing.caller,
        authorizing.draft(DraftFlow::Redirect, "By consent"),
        None,
    );
    assert!(matches!(taken.await, Err(Error::ConnectionNameExists)));
}

#[tokio::test]
async fn only_the_browser_that_was_sent_last_can_come_back() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "One browser")).await;
    let (first_url, first) = authorizing.begin(&created).await;
    let first_query = authorizing.decide(first_url.expose(), "allow", 0).await;
    for binding in [None, Some(&Secret::new("x".to_owned()))] {
        let other = authorizing.call_back(&first_query, binding).await;
        assert!(matches!(other, CallbackResult::OtherBrowser), "{other:?}");
    }
    let (second_url, second) = authorizing.begin(&created).await;
    let replaced = authorizing.call_back(&first_query, Some(&first)).await;
    assert!(matches!(replaced, CallbackResult::InvalidState), "{replaced:?}");
    for state in ["", "nonsense", &token(&created)] {
        let mut query = first_query.clone();
        query.insert("state".to_owned(), state.to_owned());
        let unknown = authorizing.call_back(&query, Some(&first)).await;
        assert!(matches!(unknown, CallbackResult::InvalidState), "{unknown:?}");
    }
    let query = authorizing.decide(second_url.expose(), "allow", 0).await;
    let other = authorizing.call_back(&query, Some(&first)).await;
    assert!(matches!(other, CallbackResult::OtherBrowser), "{other:?}");
    connection_of(&view(authorizing.call_back(&query, Some(&second)).await));
}

#[tokio::test]
async fn of_callbacks_at_once_one_creates_the_connection() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Once")).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    let call = || authorizing.call_back(&query, Some(&binding));
    let results = tokio::join!(call(), call(), call());
    for result in [results.0, results.1, results.2] {
        let stage = view(result).stage;
        assert!(matches!(stage, ConnectStage::Exchanging | ConnectStage::Ended { .. }), "{stage:?}");
    }
    connection_of(&view(call().await));
}

#[tokio::test]
async fn a_person_may_decline_here_or_at_vimeo() {
    let authorizing = Authorizing::start().await;
    let here = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Declined here")).await;
    let declined = authorizing.app.decline_authorization(&token(&here), None).await.unwrap().unwrap();
    assert!(ended_at(&declined).ends_with("&result=denied"), "{declined:?}");
    let late = authorizing.app.start_authorization(&token(&here), None).await.unwrap().unwrap();
    assert!(matches!(late, StartResult::Refused(_)), "{late:?}");

    let there = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Declined there")).await;
    let (url, binding) = authorizing.begin(&there).await;
    let query = authorizing.decide(url.expose(), "deny", 0).await;
    assert_eq!(query["error"], "access_denied");
    let declined = view(authorizing.call_back(&query, Some(&binding)).await);
    assert!(matches!(declined.shown.authorization.state, AuthorizationState::Denied { .. }));

    let failed = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Failed")).await;
    let (url, binding) = authorizing.begin(&failed).await;
    let mut query = authorizing.decide(url.expose(), "deny", 0).await;
    query.insert("error".to_owned(), "server_error".to_owned());
    try_again(&authorizing.call_back(&query, Some(&binding)).await, FailureReason::VimeoError);
    let (url, binding) = authorizing.begin(&failed).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    connection_of(&view(authorizing.call_back(&query, Some(&binding)).await));
}

#[tokio::test]
async fn what_vimeo_rejects_fails_by_name() {
    let authorizing = Authorizing::start().await;
    let code = |code: &str| BTreeMap::from([("code".to_owned(), code.to_owned())]);
    for (name, change, expected) in [
        ("Code", json!({}), FailureReason::CodeRejected),
        ("Secret", json!({"client_secret_rotated": true}), FailureReason::ClientRejected),
    ] {
        let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, name)).await;
        let (url, binding) = authorizing.begin(&created).await;
        let mut query = authorizing.decide(url.expose(), "allow", 0).await;
        if expected == FailureReason::CodeRejected {
            query.extend(code("wrong"));
        }
        authorizing.change_app(change).await;
        let failed = view(authorizing.call_back(&query, Some(&binding)).await);
        assert_eq!(reason(&failed), expected, "{name}");
        assert!(ended_at(&failed).ends_with("&result=failed"), "{failed:?}");
    }
}

#[tokio::test]
async fn an_app_without_upload_access_connects_and_says_so() {
    let authorizing = Authorizing::start().await;
    authorizing.change_app(json!({"upload_access": false})).await;
    let done = connect(&authorizing, authorizing.draft(DraftFlow::Redirect, "No uploads"), 0).await;
    connection_of(&done);
    assert_eq!(done.shown.outcome.unwrap().has_upload_access, Some(false));
}

#[tokio::test]
async fn a_name_that_was_taken_meanwhile_fails_by_name() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Contested")).await;
    connect(&authorizing, authorizing.draft(DraftFlow::Redirect, "Contested"), 0).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    assert_eq!(reason(&view(authorizing.call_back(&query, Some(&binding)).await)), FailureReason::NameExists);
}

#[tokio::test]
async fn the_vimeo_account_of_a_connection_is_found_before_its_first_renewal() {
    let authorizing = Authorizing::start().await;
    authorizing.control("users", json!({"name": "Somebody Else"})).await;
    let done = connect(&authorizing, authorizing.draft(DraftFlow::Redirect, "Never checked"), 0).await;
    let id = connection_of(&done);
    let report = authorizing.app.find_connection_health(&authorizing.caller, &id).await.unwrap();
    assert!(report.health.facts.user.is_none(), "{report:?}");
    let draft = renewal(&id, authorizing.draft(DraftFlow::Redirect, "unused"));
    let created = authorizing.create(draft).await;
    // Vimeo accepts the token, but does not say whose it is.
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 1).await;
    authorizing
        .control("faults", json!({"route": "GET /me", "kind": "status", "status": 500, "times": 10}))
        .await;
    try_again(&authorizing.call_back(&query, Some(&binding)).await, FailureReason::VimeoUnavailable);
    authorizing.clear_faults().await;

    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 1).await;
    try_again(&authorizing.call_back(&query, Some(&binding)).await, FailureReason::OtherVimeoAccount);
    let shown =
        authorizing.app.find_authorization(&authorizing.caller, &created.shown.authorization.id).await;
    assert_eq!(shown.unwrap().authorization.failure(), Some(FailureReason::OtherVimeoAccount));
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    assert_eq!(connection_of(&view(authorizing.call_back(&query, Some(&binding)).await)), id);
}

#[tokio::test]
async fn a_connection_is_renewed_by_the_same_vimeo_account_alone() {
    let authorizing = Authorizing::start().await;
    authorizing.control("users", json!({"name": "Somebody Else"})).await;
    let done = connect(&authorizing, authorizing.draft(DraftFlow::Redirect, "Renewed"), 0).await;
    let id = connection_of(&done);
    // What the health check after the creation finds.
    authorizing.app.verify_connection(&authorizing.caller, id.as_str()).await.unwrap();
    let draft = renewal(&id, authorizing.draft(DraftFlow::Redirect, "unused"));
    let other = authorizing.create(draft.clone()).await;
    assert_eq!(other.shown.request.target.name(), &ConnectionName::parse("Renewed").unwrap());
    let (url, binding) = authorizing.begin(&other).await;
    let query = authorizing.decide(url.expose(), "allow", 1).await;
    try_again(&authorizing.call_back(&query, Some(&binding)).await, FailureReason::OtherVimeoAccount);
    let found = authorizing.app.find_connection(&authorizing.caller, &id).await.unwrap();
    assert_eq!(found.version, 1, "nothing was changed");
    let same = connect(&authorizing, draft.clone(), 0).await;
    assert_eq!(connection_of(&same), id);
    let found = authorizing.app.find_connection(&authorizing.caller, &id).await.unwrap();
    assert_eq!((found.version, found.name.as_str()), (2, "Renewed"));

    let created = authorizing.create(draft.clone()).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    authorizing.app.delete_connection(&authorizing.caller, &id).await.unwrap();
    let gone = view(authorizing.call_back(&query, Some(&binding)).await);
    assert_eq!(reason(&gone), FailureReason::ConnectionNotFound);
    let unknown = authorizing.app.create_authorization(&authorizing.caller, draft, None).await;
    assert!(matches!(unknown, Err(Error::ConnectionNotFound)));
}

#[tokio::test]
async fn an_authorization_expires_after_half_an_hour() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Redirect, "Too late")).await;
    let (url, binding) = authorizing.begin(&created).await;
    let query = authorizing.decide(url.expose(), "allow", 0).await;
    authorizing.advance(Duration::from_mins(30));
    let expired = view(authorizing.call_back(&query, Some(&binding)).await);
    assert!(matches!(expired.shown.authorization.state, AuthorizationState::Expired { .. }));
    assert!(ended_at(&expired).ends_with("&result=failed"), "{expired:?}");
    assert!(authorizing.app.view_authorization("unknown").await.unwrap().is_none());
}

#[tokio::test]
async fn a_device_connects_after_its_person_entered_the_code() {
    let authorizing = Authorizing::start().await;
    let created = authorizing.create(authorizing.draft(DraftFlow::Device, "By code")).await;
    let id = created.shown.authorization.id.clone();
    let device = created.shown.device.as_ref().unwrap();
    let activate = format!("{}?user_code={}", device.activate_url, device.user_code.expose());
    let find = async || authorizing.app.find_authorization(&authorizing.caller, &id).await.unwrap();
    authorizing.advance(Duration::from_secs(device.interval_seconds));
    assert_eq!(find().await.authorization.state, AuthorizationState::Pending, "Vimeo was asked");
    assert_eq!(authorizing.decide(&activate, "allow", 0).await, BTreeMap::new());
    assert_eq!(find().await.authorization.state, AuthorizationState::Pending, "it was asked just now");
    assert!(find().await.device.is_some());
    authorizing.advance(Duration::from_secs(device.interval_seconds));
    let view = authorizing.app.view_authorization(&token(&created)).await.unwrap().unwrap();
    connection_of(&view);
    assert!(ended_at(&view).ends_with("&result=connected"), "{view:?}");
    let shown = find().await;
    assert!(shown.device.is_none() && shown.outcome.is_some(), "what is sealed was wiped");

    let created = authorizing.create(authorizing.draft(DraftFlow::Device, "Refused")).await;
    let device = created.shown.device.as_ref().unwrap();
    let activate = format!("{}?user_code={}", device.activate_url, device.user_code.expose());
    authorizing.decide(&activate, "deny", 0).await;
    authorizing.advance(Duration::from_secs(device.interval_seconds));
    let view = authorizing.app.view_authorization(&token(&created)).await.unwrap().unwrap();
    assert!(matches!(view.shown.authorization.state, AuthorizationState::Denied { .. }), "{view:?}");
}
