//! Deliveries of webhooks, and their attempts.

use std::time::Duration;

use thiserror::Error;

use crate::id::{AccountId, DeliveryId, EndpointId};
use crate::job::JobId;
use crate::time::Timestamp;

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// An attempt follows.
    Waiting,
    /// The receiver accepted it.
    Delivered,
    /// No attempt follows.
    Exhausted,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waiting, Self::Delivered, Self::Exhausted];

    /// The name in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, UnknownDeliveryStatus> {
        Self::ALL.into_iter().find(|status| status.as_str() == text).ok_or(UnknownDeliveryStatus)
    }
}

/// The text is not the name of a [`DeliveryStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be one of waiting, delivered, exhausted")]
pub struct UnknownDeliveryStatus;

/// The result of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// The receiver answered with this status.
    Http(u16),
    /// It may have received the request: no response in time, or the connection broke.
    NoResponse,
    /// It was not reached. Blocked and unreachable are not distinguished.
    Unreachable,
    /// Nothing was sent: the URL is not allowed any more.
    NotAllowed,
    /// Nothing was sent: the endpoint is disabled.
    EndpointDisabled,
    /// Nothing was sent: the endpoint was deleted.
    EndpointDeleted,
    /// Nothing was sent: what is stored does not verify or decrypt.
    Unreadable,
}

impl AttemptResult {
    /// The name in the store and in the API, and the status of a response.
    pub fn to_stored(self) -> (&'static str, Option<u16>) {
        match self {
            Self::Http(status) => ("http", Some(status)),
            Self::NoResponse => ("no_response", None),
            Self::Unreachable => ("unreachable", None),
            Self::NotAllowed => ("not_allowed", None),
            Self::EndpointDisabled => ("endpoint_disabled", None),
            Self::EndpointDeleted => ("endpoint_deleted", None),
            Self::Unreadable => ("unreadable", None),
        }
    }

    /// Reads the stored form.
    pub fn from_stored(name: &str, status: Option<u16>) -> Option<Self> {
        Some(match (name, status) {
            ("http", Some(status)) => Self::Http(status),
            ("no_response", None) => Self::NoResponse,
            ("unreachable", None) => Self::Unreachable,
            ("not_allowed", None) => Self::NotAllowed,
            ("endpoint_disabled", None) => Self::EndpointDisabled,
            ("endpoint_deleted", None) => Self::EndpointDeleted,
            ("unreadable", None) => Self::Unreadable,
            _ => return None,
        })
    }

    /// Whether a request was made, or was tried.
    pub fn is_attempt(self) -> bool {
        matches!(self, Self::Http(_) | Self::NoResponse | Self::Unreachable)
    }
}

/// The last attempt of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// Its result.
    pub result: AttemptResult,
    /// How long it took.
    pub duration: Duration,
}

/// A message for one receiver, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The endpoint that receives it; `None` for the webhook of a job, and for the operator.
    pub endpoint_id: Option<EndpointId>,
    /// The job that it is about.
    pub job_id: Option<JobId>,
    /// The `webhook-id`: the same for all receivers of an event and for all attempts.
    pub event_id: String,
    /// The name of the event's type; a later version may have written it.
    pub event_type: String,
    /// When the event happened.
    pub created_at: Timestamp,
    /// Its state.
    pub status: DeliveryStatus,
    /// Attempts since it was created or last sent again by a client.
    pub attempts: u32,
    /// The last of them.
    pub last_attempt: Option<Attempt>,
    /// When the next one is due; `None` if none follows.
    pub next_attempt_at: Option<Timestamp>,
    /// When the last one ended it.
    pub ended_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_result_is_read_back_as_it_was_stored() {
        use AttemptResult as R;
        let all = [
            R::Http(204),
            R::NoResponse,
            R::Unreachable,
            R::NotAllowed,
            R::EndpointDisabled,
            R::EndpointDeleted,
            R::Unreadable,
        ];
        for result in all {
            let (name, status) = result.to_stored();
            assert_eq!(R::from_stored(name, status), Some(result));
        }
        assert_eq!(R::from_stored("http", None), None);
        for status in DeliveryStatus::ALL {
            assert_eq!(DeliveryStatus::parse(status.as_str()), Ok(status));
        }
    }
}
