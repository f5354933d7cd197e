//! Webhooks of an account: the events, the endpoints that receive them, and the deliveries.

mod delivery;

pub use delivery::{Attempt, AttemptResult, Delivery, DeliveryStatus, UnknownDeliveryStatus};

use thiserror::Error;

use crate::id::{AccountId, EndpointId};
use crate::job::JobId;
use crate::time::Timestamp;

/// A type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// An upload has completed.
    UploadCompleted,
    /// An upload has failed.
    UploadFailed,
    /// An upload has been cancelled.
    UploadCancelled,
    /// Vimeo can play an uploaded file, perhaps not in every size yet. The upload continues.
    UploadPlayable,
    /// A connection was created.
    ConnectionCreated,
    /// A connection was updated.
    ConnectionUpdated,
    /// A connection was deleted.
    ConnectionDeleted,
    /// Vimeo rejects the credentials of a connection.
    ConnectionUnhealthy,
    /// Vimeo accepts the credentials of a connection again.
    ConnectionRecovered,
    /// The service has disabled an endpoint of the account.
    EndpointDisabled,
    /// A test of one endpoint. No endpoint subscribes to it.
    Test,
}

impl EventType {
    /// The types that an endpoint can subscribe to.
    pub const ALL: [Self; 10] = [
        Self::UploadCompleted,
        Self::UploadFailed,
        Self::UploadCancelled,
        Self::UploadPlayable,
        Self::ConnectionCreated,
        Self::ConnectionUpdated,
        Self::ConnectionDeleted,
        Self::ConnectionUnhealthy,
        Self::ConnectionRecovered,
        Self::EndpointDisabled,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UploadCompleted => "upload.completed",
            Self::UploadFailed => "upload.failed",
            Self::UploadCancelled => "upload.cancelled",
            Self::UploadPlayable => "upload.playable",
            Self::ConnectionCreated => "connection.created",
            Self::ConnectionUpdated => "connection.updated",
            Self::ConnectionDeleted => "connection.deleted",
            Self::ConnectionUnhealthy => "connection.unhealthy",
            Self::ConnectionRecovered => "connection.recovered",
            Self::EndpointDisabled => "webhook_endpoint.disabled",
            Self::Test => "webhook.test",
        }
    }

    /// Parses the name of a type that an endpoint can subscribe to.
    pub fn parse(text: &str) -> Result<Self, UnknownEventType> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(UnknownEventType)
    }

    /// Its bit in a stored [`EventFilter`]. Bits are never reused.
    pub const fn bit(self) -> i64 {
        match self {
            Self::UploadCompleted => 1,
            Self::UploadFailed => 1 << 1,
            Self::UploadCancelled => 1 << 2,
            Self::ConnectionCreated => 1 << 3,
            Self::ConnectionUpdated => 1 << 4,
            Self::ConnectionDeleted => 1 << 5,
            Self::ConnectionUnhealthy => 1 << 6,
            Self::ConnectionRecovered => 1 << 7,
            Self::EndpointDisabled => 1 << 8,
            Self::UploadPlayable => 1 << 9,
            Self::Test => 0,
        }
    }
}

/// The text is not the name of a type of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be one of {}", EventType::ALL.map(EventType::as_str).join(", "))]
pub struct UnknownEventType;

/// The events that an endpoint receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventFilter {
    /// All, including types that later versions add.
    All,
    /// Those with these bits.
    Only(i64),
}

impl EventFilter {
    /// These types.
    pub fn only(types: impl IntoIterator<Item = EventType>) -> Self {
        Self::Only(types.into_iter().fold(0, |bits, kind| bits | kind.bit()))
    }

    /// The types, if they are not all.
    pub fn types(self) -> Option<Vec<EventType>> {
        match self {
            Self::All => None,
            Self::Only(bits) => {
                Some(EventType::ALL.into_iter().filter(|kind| bits & kind.bit() != 0).collect())
            }
        }
    }

    /// The stored form.
    pub fn to_stored(self) -> Option<i64> {
        match self {
            Self::All => None,
            Self::Only(bits) => Some(bits),
        }
    }

    /// Reads the stored form.
    pub fn from_stored(bits: Option<i64>) -> Self {
        bits.map_or(Self::All, Self::Only)
    }
}

/// Why the service disabled an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DisabledReason {
    /// The receiver answered 410.
    Gone,
    /// Every delivery failed for too long.
    Failing,
}

impl DisabledReason {
    /// The name in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    /// Parses a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Gone, Self::Failing].into_iter().find(|reason| reason.as_str() == text)
    }
}

/// Whether an endpoint receives events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointState {
    /// It does.
    Enabled,
    /// It does not: its account disabled it, or the service for this reason.
    Disabled(Option<DisabledReason>),
}

impl EndpointState {
    /// Whether it receives events.
    pub fn is_enabled(self) -> bool {
        self == Self::Enabled
    }

    /// Why the service disabled it.
    pub fn disabled_reason(self) -> Option<DisabledReason> {
        match self {
            Self::Enabled => None,
            Self::Disabled(reason) => reason,
        }
    }
}

/// An endpoint, without what is sealed: its URL, its description and its secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Increases with every change. What is sealed is bound to it.
    pub version: u64,
    /// The events that it receives.
    pub events: EventFilter,
    /// Whether it receives them.
    pub state: EndpointState,
    /// The first failed attempt since the last delivery; `None` if none failed.
    pub failing_since: Option<Timestamp>,
}

/// An event that is announced to receivers in the transaction of its audit event. The audit event's identifier is part of
/// the `webhook-id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// The type of the event.
    pub event_type: EventType,
    /// The job that it is about.
    pub job_id: Option<JobId>,
    /// Which endpoints receive it.
    pub audience: Audience,
    /// The content for endpoints.
    pub message: AnnouncedMessage,
    /// The content for the operator's endpoint, if it receives this event.
    pub operator_message: Option<AnnouncedMessage>,
}

/// Which endpoints of the account receive an event. Only enabled ones do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audience {
    /// Those that subscribe to its type.
    Subscribers,
    /// The same without this one.
    SubscribersExcept(EndpointId),
    /// This one, whatever it subscribes to.
    Only(EndpointId),
}

/// The body of a message, and its MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnnouncedMessage {
    /// JSON.
    pub body: String,
    /// Shows that this service wrote the body.
    pub mac: [u8; 32],
}

/// The receiver of messages for the operator. No endpoint has this identifier.
pub const OPERATOR_RECEIVER: &str = "operator";

/// The `webhook-id` of the event that an audit event announces.
pub fn event_id(audit_event_id: &str) -> String {
    format!("msg_{audit_event_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_name_and_a_bit_of_its_own() {
        let mut bits = 0;
        for kind in EventType::ALL {
            assert_eq!(EventType::parse(kind.as_str()), Ok(kind));
            assert_eq!((kind.bit().count_ones(), bits & kind.bit()), (1, 0), "{kind:?}");
            bits |= kind.bit();
        }
        assert_eq!(EventType::parse(EventType::Test.as_str()), Err(UnknownEventType));
        assert!(UnknownEventType.to_string().contains("upload.completed, upload.failed"));
    }

    #[test]
    fn a_filter_is_read_back_as_it_was_stored() {
        for filter in
            [EventFilter::All, EventFilter::only([EventType::UploadFailed, EventType::EndpointDisabled])]
        {
            assert_eq!(EventFilter::from_stored(filter.to_stored()), filter);
        }
        let only = EventFilter::only([EventType::EndpointDisabled, EventType::UploadFailed]);
        assert_eq!(only.types(), Some(vec![EventType::UploadFailed, EventType::EndpointDisabled]));
        assert_eq!(EventFilter::All.types(), None);
        for reason in [DisabledReason::Gone, DisabledReason::Failing] {
            assert_eq!(DisabledReason::from_stored(reason.as_str()), Some(reason));
        }
    }
}
