//! The decisions about the states of authorizations.

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn authorization(flow: Flow, state: AuthorizationState) -> Authorization {
    Authorization {
        id: AuthorizationId::from_stored("auth_1".to_owned()),
        account_id: AccountId::from_random([1; 16]),
        created_at: at(0),
        expires_at: at(100),
        version: 1,
        flow,
        browser: Some(BrowserTokens { state: TokenHash([1; 32]), binding: TokenHash([2; 32]) }),
        state,
        last_failure: None,
    }
}

fn connection() -> ConnectionId {
    ConnectionId::parse("20260131090500042abcdefghijklmno").unwrap()
}

fn ended() -> [AuthorizationState; 4] {
    [
        AuthorizationState::Completed { at: at(5), connection_id: connection() },
        AuthorizationState::Denied { at: at(5) },
        AuthorizationState::Failed { at: at(5), reason: FailureReason::VimeoError },
        AuthorizationState::Expired { at: at(5) },
    ]
}

#[test]
fn a_browser_may_be_sent_again_until_it_came_back_or_the_time_has_passed() {
    for state in [AuthorizationState::Pending, AuthorizationState::Started] {
        let open = authorization(Flow::Redirect, state);
        assert_eq!(open.check_start(at(99)), Ok(()));
        assert_eq!(open.check_start(at(100)), Err(StepRefusal::Expired));
        assert_eq!((open.check_decline(at(99)), open.check_withdrawal(at(99))), (Ok(()), Ok(())));
        assert_eq!(open.check_withdrawal(at(100)), Err(StepRefusal::Expired));
    }
    let exchanging = AuthorizationState::Exchanging { since: at(1), connection_id: connection() };
    let exchanging = authorization(Flow::Redirect, exchanging);
    let refused = Err(StepRefusal::Exchanging);
    assert_eq!((exchanging.check_start(at(2)), exchanging.check_withdrawal(at(2))), (refused, refused));
    for state in ended() {
        assert_eq!(authorization(Flow::Redirect, state).check_start(at(6)), Err(StepRefusal::Ended));
    }
    let device = authorization(Flow::Device { next_poll_at: at(0) }, AuthorizationState::Pending);
    assert_eq!(device.check_start(at(1)), Err(StepRefusal::OtherFlow));
    assert_eq!(device.check_decline(at(1)), Ok(()));
}

#[test]
fn a_callback_counts_once_and_only_from_the_browser_that_was_sent() {
    let started = authorization(Flow::Redirect, AuthorizationState::Started);
    let (own, other) = (TokenHash([2; 32]), TokenHash([3; 32]));
    assert_eq!(started.check_callback(&[own], at(99)), Ok(()));
    assert_eq!(started.check_callback(&[own], at(100)), Err(StepRefusal::Expired));
    for state in ended() {
        let ended = authorization(Flow::Redirect, state);
        assert_eq!(ended.check_callback(&[own], at(6)), Err(StepRefusal::Ended));
        assert_eq!(ended.check_callback(&[other], at(6)), Err(StepRefusal::OtherBrowser));
        assert_eq!(ended.check_callback(&[], at(6)), Err(StepRefusal::OtherBrowser));
    }
    let unsent = Authorization { browser: None, ..started };
    assert_eq!(unsent.check_callback(&[], at(1)), Err(StepRefusal::OtherBrowser));
}

#[test]
fn a_failure_that_the_person_can_fix_leaves_the_link_open_until_its_time_has_passed() {
    let exchanging = AuthorizationState::Exchanging { since: at(1), connection_id: connection() };
    let link = authorization(Flow::Redirect, exchanging.clone());
    let device = authorization(Flow::Device { next_poll_at: at(0) }, exchanging);
    for reason in FailureReason::ALL {
        let failed = |at| AuthorizationState::Failed { at, reason };
        let expected = if reason.is_retryable() { AuthorizationState::Pending } else { failed(at(99)) };
        assert_eq!(link.after_failure(reason, at(99)), expected, "{reason:?}");
        assert_eq!(link.after_failure(reason, at(100)), failed(at(100)));
        assert_eq!(device.after_failure(reason, at(99)), failed(at(99)));
    }
    assert!(FailureReason::VimeoUnavailable.is_retryable());
    assert!(!FailureReason::ClientRejected.is_retryable());
}

#[test]
fn an_authorization_ends_once_unless_an_exchange_was_given_up_too_early() {
    let completed = AuthorizationState::Completed { at: at(9), connection_id: connection() };
    let interrupted = AuthorizationState::Failed { at: at(5), reason: FailureReason::Interrupted };
    for state in ended() {
        let ended = authorization(Flow::Redirect, state);
        assert!(!ended.may_end_as(&completed) && !ended.may_end_as(&interrupted));
    }
    let given_up = authorization(Flow::Redirect, interrupted.clone());
    assert!(given_up.may_end_as(&completed) && !given_up.may_end_as(&interrupted));
    assert!(authorization(Flow::Redirect, AuthorizationState::Started).may_end_as(&interrupted));
}

#[test]
fn the_last_failure_is_shown_until_it_is_completed() {
    let last_failure = Some(FailureReason::ScopesMissing);
    for (state, expected) in [
        (AuthorizationState::Pending, last_failure),
        (AuthorizationState::Expired { at: at(5) }, last_failure),
        (AuthorizationState::Completed { at: at(5), connection_id: connection() }, None),
        (
            AuthorizationState::Failed { at: at(5), reason: FailureReason::Withdrawn },
            Some(FailureReason::Withdrawn),
        ),
    ] {
        let shown = Authorization { last_failure, ..authorization(Flow::Redirect, state) };
        assert_eq!(shown.failure(), expected);
    }
}

#[test]
fn vimeo_is_polled_after_each_interval_until_the_end() {
    let device = authorization(Flow::Device { next_poll_at: at(10) }, AuthorizationState::Pending);
    assert_eq!(device.check_poll(at(9)), PollDecision::Wait);
    assert_eq!(device.check_poll(at(10)), PollDecision::Poll);
    assert_eq!(device.check_poll(at(100)), PollDecision::Never);
    for state in ended() {
        let ended = Authorization { state, ..device.clone() };
        assert_eq!(ended.check_poll(at(10)), PollDecision::Never);
    }
    let redirect = Authorization { flow: Flow::Redirect, ..device };
    assert_eq!(redirect.check_poll(at(10)), PollDecision::Never);
}

#[test]
fn what_is_not_finished_in_time_ends_automatically() {
    let open = authorization(Flow::Redirect, AuthorizationState::Started);
    assert_eq!(open.overdue(at(99)), None);
    assert_eq!(open.overdue_at(), Some(at(100)));
    assert_eq!(open.overdue(at(100)), Some(AuthorizationState::Expired { at: at(100) }));
    let exchanging = AuthorizationState::Exchanging { since: at(99), connection_id: connection() };
    let exchanging = Authorization { state: exchanging, ..open };
    assert_eq!(exchanging.overdue(at(398)), None, "the exchange may end after the time for the decision");
    let failed = AuthorizationState::Failed { at: at(399), reason: FailureReason::Interrupted };
    assert_eq!((exchanging.overdue(at(399)), exchanging.overdue_at()), (Some(failed), Some(at(399))));
    assert_eq!(exchanging.state.status(), "started");
    for state in ended() {
        let ended = Authorization { state, ..exchanging.clone() };
        assert_eq!((ended.overdue(at(999)), ended.overdue_at()), (None, None));
    }
}
