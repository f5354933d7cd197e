//! Authorizations: a person is asked by OAuth to let an app of the account use a Vimeo account, which creates or renews a
//! connection. The decisions about their states are here.

mod failure;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::id::{AccountId, AuthorizationId, ConnectionId};
use crate::time::Timestamp;

pub use failure::FailureReason;

/// How long a person has from the creation of an authorization.
pub const AUTHORIZATION_LIFETIME: Duration = Duration::from_mins(30);
/// How long after its code arrived an authorization may still be completed. The exchange takes seconds.
const EXCHANGE_LIMIT: Duration = Duration::from_mins(5);

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
    /// Why the last attempt of its person failed, if they could try again.
    pub last_failure: Option<FailureReason>,
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

    /// Whether the code of a callback with the right `state` is exchanged. `bindings`: what the browser's cookie may hash to.
    pub fn check_callback(&self, bindings: &[TokenHash], now: Timestamp) -> Result<(), StepRefusal> {
        // First, so that another browser learns nothing.
        if !self.browser.is_some_and(|browser| bindings.contains(&browser.binding)) {
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

    /// Whether the authorization may end like this now. The end of an exchange is known better by the exchange than by who gave up
    /// on it.
    pub fn may_end_as(&self, state: &AuthorizationState) -> bool {
        match (&self.state, state) {
            (
                AuthorizationState::Failed { reason: FailureReason::Interrupted, .. },
                AuthorizationState::Completed { .. },
            ) => true,
            (current, _) => current.ended_at().is_none(),
        }
    }

    /// Why it failed, or why its last attempt did.
    pub fn failure(&self) -> Option<FailureReason> {
        match self.state {
            AuthorizationState::Failed { reason, .. } => Some(reason),
            AuthorizationState::Completed { .. } => None,
            _ => self.last_failure,
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
