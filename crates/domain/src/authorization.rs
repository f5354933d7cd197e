//! Authorizations: a person is asked by OAuth to let an app of the account use a Vimeo account, which creates or renews a
//! connection. The decisions about their states are here.

mod failure;

use std::time::Duration;

use crate::id::{AccountId, AuthorizationId, ConnectionId};
use crate::time::Timestamp;

pub use failure::FailureReason;

/// How long a person has from the creation of an authorization.
pub const AUTHORIZATION_LIFETIME: Duration = Duration::from_mins(30);
/// How long after its code arrived an authorization may still be completed. The exchange takes seconds.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(3);

/// A keyed hash of a token that only a browser has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

/// How the person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// A page of this service sends the browser to Vimeo, which sends it back with a code.
    Redirect,
    /// The person enters a code on a page of Vimeo, and the service polls for the decision.
    Device {
        /// When Vimeo may be asked next. A poll moves it on before it asks.
        next_poll_at: Timestamp,
    },
}

impl Flow {
    /// The name in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Device { .. } => "device",
        }
    }

    /// When Vimeo may be asked next, if it is polled.
    pub fn next_poll_at(self) -> Option<Timestamp> {
        match self {
            Self::Redirect => None,
            Self::Device { next_poll_at } => Some(next_poll_at),
        }
    }
}

/// What binds the callback to the browser that was sent to Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrowserTokens {
    /// The hash of the `state`.
    pub state: TokenHash,
    /// The hash of the secret in the browser's cookie.
    pub binding: TokenHash,
}

/// The state of an authorization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthorizationState {
    /// It was created.
    Pending,
    /// A browser was sent to Vimeo.
    Started,
    /// The person has decided, and the service exchanges the code. No other request may.
    Exchanging {
        /// Since when.
        since: Timestamp,
        /// The connection that is created or renewed.
        connection_id: ConnectionId,
    },
    /// The connection was created or renewed.
    Completed {
        /// When.
        at: Timestamp,
        /// The connection.
        connection_id: ConnectionId,
    },
    /// The person declined.
    Denied {
        /// When.
        at: Timestamp,
    },
    /// It failed.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: FailureReason,
    },
    /// The person did not decide in time.
    Expired {
        /// When that was noticed.
        at: Timestamp,
    },
}

impl AuthorizationState {
    /// The name in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Started => "started",
            Self::Exchanging { .. } => "exchanging",
            Self::Completed { .. } => "completed",
            Self::Denied { .. } => "denied",
            Self::Failed { .. } => "failed",
            Self::Expired { .. } => "expired",
        }
    }

    /// The status that clients see: an exchange is part of what was started.
    pub fn status(&self) -> &'static str {
        match self {
            Self::Exchanging { .. } => "started",
            other => other.as_str(),
        }
    }

    /// When it ended, if it has.
    pub fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Pending | Self::Started | Self::Exchanging { .. } => None,
            Self::Completed { at, .. }
            | Self::Denied { at }
            | Self::Failed { at, .. }
            | Self::Expired { at } => Some(*at),
        }
    }
}

/// An authorization, without what is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Its identifier.
    pub id: AuthorizationId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// When it was created.
    pub created_at: Timestamp,
    /// Until when the person must have decided.
    pub expires_at: Timestamp,
    /// Increases with every write. Each write names the one that it is based on.
    pub version: u64,
    /// How the person decides.
    pub flow: Flow,
    /// The browser that was sent to Vimeo last.
    pub browser: Option<BrowserTokens>,
    /// Its state.
    pub state: AuthorizationState,
}

/// Why a step of a person is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepRefusal {
    /// The authorization has ended.
    Ended,
    /// Its time has passed.
    Expired,
    /// Another request exchanges its code.
    Exchanging,
    /// The callback comes from another browser.
    OtherBrowser,
    /// It has another flow.
    OtherFlow,
}

/// Whether Vimeo is asked for the decision now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PollDecision {
    /// It is.
    Poll,
    /// It was asked within the interval, or another request asks it.
    Wait,
    /// It need not be asked.
    Never,
}

impl Authorization {
    /// Whether a browser may be sent to Vimeo. It may be sent again: the browser before it can no longer come back.
    pub fn check_start(&self, now: Timestamp) -> Result<(), StepRefusal> {
        self.check_open(now)?;
        if self.flow == Flow::Redirect { Ok(()) } else { Err(StepRefusal::OtherFlow) }
    }

    /// Whether the person may decline.
    pub fn check_decline(&self, now: Timestamp) -> Result<(), StepRefusal> {
        self.check_open(now)
    }

    /// Whether the account may withdraw it.
    pub fn check_withdrawal(&self, now: Timestamp) -> Result<(), StepRefusal> {
        self.check_open(now)
    }

    /// Whether the code of a callback with the right `state` is exchanged. `binding`: what the browser's cookie hashes to.
    pub fn check_callback(&self, binding: Option<&TokenHash>, now: Timestamp) -> Result<(), StepRefusal> {
        // First, so that another browser learns nothing.
        if self.browser.is_none() || self.browser.map(|browser| browser.binding) != binding.copied() {
            return Err(StepRefusal::OtherBrowser);
        }
        self.check_open(now)
    }

    fn check_open(&self, now: Timestamp) -> Result<(), StepRefusal> {
        match self.state {
            AuthorizationState::Exchanging { .. } => Err(StepRefusal::Exchanging),
            AuthorizationState::Pending | AuthorizationState::Started if now >= self.expires_at => {
                Err(StepRefusal::Expired)
            }
            AuthorizationState::Pending | AuthorizationState::Started => Ok(()),
            _ => Err(StepRefusal::Ended),
        }
    }

    /// Whether Vimeo is asked for the decision of a device flow.
    pub fn check_poll(&self, now: Timestamp) -> PollDecision {
        match (self.flow, &self.state) {
            (Flow::Device { next_poll_at }, AuthorizationState::Pending | AuthorizationState::Started)
                if now < self.expires_at =>
            {
                if now >= next_poll_at {
                    PollDecision::Poll
                } else {
                    PollDecision::Wait
                }
            }
            _ => PollDecision::Never,
        }
    }

    /// What a failure leads to. What the person can fix by trying again does not end a link before its time; a device code is
    /// used up.
    pub fn after_failure(&self, reason: FailureReason, now: Timestamp) -> AuthorizationState {
        if self.flow == Flow::Redirect && reason.is_retryable() && now < self.expires_at {
            AuthorizationState::Pending
        } else {
            AuthorizationState::Failed { at: now, reason }
        }
    }

    /// How the authorization ends without another step: the person did not decide in time, or an exchange was interrupted.
    pub fn overdue(&self, now: Timestamp) -> Option<AuthorizationState> {
        match self.state {
            AuthorizationState::Pending | AuthorizationState::Started if now >= self.expires_at => {
                Some(AuthorizationState::Expired { at: now })
            }
            AuthorizationState::Exchanging { since, .. } if now >= since.plus(EXCHANGE_LIMIT) => {
                Some(AuthorizationState::Failed { at: now, reason: FailureReason::Interrupted })
            }
            _ => None,
        }
    }

    /// When [`Self::overdue`] ends it; `None` if it has ended.
    pub fn overdue_at(&self) -> Option<Timestamp> {
        match self.state {
            AuthorizationState::Pending | AuthorizationState::Started => Some(self.expires_at),
            AuthorizationState::Exchanging { since, .. } => Some(since.plus(EXCHANGE_LIMIT)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(started.check_callback(Some(&own), at(99)), Ok(()));
        assert_eq!(started.check_callback(Some(&own), at(100)), Err(StepRefusal::Expired));
        for state in ended() {
            let ended = authorization(Flow::Redirect, state);
            assert_eq!(ended.check_callback(Some(&own), at(6)), Err(StepRefusal::Ended));
            assert_eq!(ended.check_callback(Some(&other), at(6)), Err(StepRefusal::OtherBrowser));
            assert_eq!(ended.check_callback(None, at(6)), Err(StepRefusal::OtherBrowser));
        }
        let unsent = Authorization { browser: None, ..started };
        assert_eq!(unsent.check_callback(None, at(1)), Err(StepRefusal::OtherBrowser));
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
        assert_eq!(exchanging.overdue(at(278)), None, "the exchange may end after the time for the decision");
        let failed = AuthorizationState::Failed { at: at(279), reason: FailureReason::Interrupted };
        assert_eq!((exchanging.overdue(at(279)), exchanging.overdue_at()), (Some(failed), Some(at(279))));
        assert_eq!(exchanging.state.status(), "started");
        for state in ended() {
            let ended = Authorization { state, ..exchanging.clone() };
            assert_eq!((ended.overdue(at(999)), ended.overdue_at()), (None, None));
        }
    }
}
