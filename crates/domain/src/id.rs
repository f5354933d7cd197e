//! Identifiers. Those of connections and audit events increase with time; the others are random.

use std::fmt;

use crate::time::Timestamp;

const BASE36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// Number of random characters in a time-ordered identifier.
const TAIL_CHARS: usize = 15;
/// 36^15: the number of different tails.
const TAILS: u128 = 36_u128.pow(15);
/// Number of digits in `YYYYMMDDHHmmssSSS`.
const TIME_DIGITS: usize = 17;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// An identifier from the store; for the store and its tests only.
            pub fn from_stored(text: String) -> Self {
                Self(text)
            }

            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id! {
    /// Identifies an account: `acc_` and 20 characters of `[a-z0-9]`.
    AccountId
}
text_id! {
    /// Identifies an API key, without being the key: `key_` and 20 characters of `[a-z0-9]`.
    ApiKeyId
}
text_id! {
    /// Identifies a connection: 17 digits of UTC time `YYYYMMDDHHmmssSSS` and 15 characters of `[a-z0-9]`.
    ConnectionId
}
text_id! {
    /// Identifies an audit event, in the same format as a connection's identifier.
    AuditEventId
}
text_id! {
    /// Identifies a webhook endpoint: `whe_`, and an identifier in the format of a connection's.
    EndpointId
}
text_id! {
    /// Identifies an authorization: `auth_`, and an identifier in the format of a connection's.
    AuthorizationId
}
text_id! {
    /// Identifies a delivery of a webhook: the identifier of its audit event, `-`, and what receives it. Increases with time.
    DeliveryId
}
text_id! {
    /// Identifies a session of the dashboard: `ses_` and 20 characters of `[a-z0-9]`.
    SessionId
}

impl AccountId {
    /// A new identifier from 16 random bytes.
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(format!("acc_{}", base36(u128::from_be_bytes(random), 20)))
    }

    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        is_random("acc_", text).then(|| Self(text.to_owned()))
    }
}

impl SessionId {
    /// A new identifier from 16 random bytes.
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(format!("ses_{}", base36(u128::from_be_bytes(random), 20)))
    }

    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        is_random("ses_", text).then(|| Self(text.to_owned()))
    }
}

/// Whether this is the prefix and 20 characters of `[a-z0-9]`.
fn is_random(prefix: &str, text: &str) -> bool {
    let Some(digits) = text.strip_prefix(prefix) else { return false };
    digits.len() == 20 && digits.bytes().all(|byte| BASE36.contains(&byte))
}

impl ApiKeyId {
    /// A new identifier from 16 random bytes.
    pub fn from_random(random: [u8; 16]) -> Self {
        Self(format!("key_{}", base36(u128::from_be_bytes(random), 20)))
    }

    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        is_random("key_", text).then(|| Self(text.to_owned()))
    }
}

impl AuthorizationId {
    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("auth_").is_some_and(is_time_ordered).then(|| Self(text.to_owned()))
    }
}

impl EndpointId {
    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        text.strip_prefix("whe_").is_some_and(is_time_ordered).then(|| Self(text.to_owned()))
    }
}

impl DeliveryId {
    /// The delivery of a job's own webhook.
    pub fn of_job(id: &AscendingId) -> Self {
        Self(format!("{}-job", id.text))
    }

    /// Parses an identifier from a client; `None` if no account can have such a delivery.
    pub fn parse(text: &str) -> Option<Self> {
        let (event, receiver) = text.split_once('-')?;
        let is_well_formed =
            is_time_ordered(event) && (receiver == "job" || EndpointId::parse(receiver).is_some());
        is_well_formed.then(|| Self(text.to_owned()))
    }
}

impl AuditEventId {
    /// Less than the identifier of every event of this millisecond or a later one, and greater than all earlier ones.
    pub fn first_at(at: Timestamp) -> Self {
        Self(at.to_compact_millis())
    }

    /// Less than every identifier.
    pub fn smallest() -> Self {
        Self(String::new())
    }

    /// Greater than every identifier.
    pub fn greatest() -> Self {
        Self("~".to_owned())
    }

    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        is_time_ordered(text).then(|| Self(text.to_owned()))
    }
}

/// Whether [`AscendingIds`] can have created this text.
fn is_time_ordered(text: &str) -> bool {
    let Some((time, tail)) = text.split_at_checked(TIME_DIGITS) else { return false };
    time.bytes().all(|byte| byte.is_ascii_digit())
        && tail.len() == TAIL_CHARS
        && tail.bytes().all(|byte| BASE36.contains(&byte))
}

impl ConnectionId {
    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        is_time_ordered(text).then(|| Self(text.to_owned()))
    }
}

/// Creates increasing identifiers: within a millisecond the tail counts up, and the time never goes back.
///
/// There is one per node. The caller passes the time and 16 random bytes to each call.
#[derive(Debug, Default)]
pub struct AscendingIds {
    last_millis: i64,
    last_tail: u128,
}

/// An identifier from [`AscendingIds`], and the time it contains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AscendingId {
    text: String,
    at: Timestamp,
}

impl AscendingIds {
    /// Continues after the identifiers of an earlier start: all are later than `last`, whatever the clock says.
    pub fn after(last: Timestamp) -> Self {
        // At the last tail of its millisecond, so that the next identifier is in a later one.
        Self { last_millis: last.as_millis(), last_tail: TAILS - 1 }
    }

    /// The next identifier: greater than all earlier ones in text order, whatever the clock says.
    pub fn make(&mut self, now: Timestamp, random: [u8; 16]) -> AscendingId {
        let millis = now.as_millis();
        if millis > self.last_millis {
            self.last_millis = millis;
            self.last_tail = u128::from_be_bytes(random) % TAILS;
        } else if self.last_tail + 1 < TAILS {
            self.last_tail += 1;
        } else {
            // Random, because several nodes that continue from the same last instant must not create the same
            // identifiers.
            self.last_millis += 1;
            self.last_tail = u128::from_be_bytes(random) % TAILS;
        }
        let at = Timestamp::from_millis(self.last_millis);
        AscendingId { text: at.to_compact_millis() + &base36(self.last_tail, TAIL_CHARS), at }
    }
}

impl AscendingId {
    /// The time in the identifier, in whole milliseconds.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// As a connection's identifier.
    pub fn into_connection_id(self) -> ConnectionId {
        ConnectionId(self.text)
    }

    /// As an endpoint's identifier.
    pub fn into_endpoint_id(self) -> EndpointId {
        EndpointId(format!("whe_{}", self.text))
    }

    /// As an authorization's identifier.
    pub fn into_authorization_id(self) -> AuthorizationId {
        AuthorizationId(format!("auth_{}", self.text))
    }

    /// As an audit event's identifier.
    pub fn into_audit_event_id(self) -> AuditEventId {
        AuditEventId(self.text)
    }
}

/// The lowest `digits` base-36 digits of `value`.
fn base36(mut value: u128, digits: usize) -> String {
    let mut text = vec!['0'; digits];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(value % 36).unwrap_or(0);
        *place = BASE36.get(digit).copied().unwrap_or(b'0').into();
        value /= 36;
    }
    text.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_its_time_and_fifteen_characters() {
        let mut ids = AscendingIds::default();
        let id = ids.make(Timestamp::from_micros(1_769_850_300_042_999), [7; 16]);
        assert_eq!(id.at().to_string(), "2026-01-31T09:05:00.042Z");
        let id = id.into_connection_id();
        assert!(id.as_str().starts_with("20260131090500042"), "{id}");
        assert_eq!(id.as_str().len(), 32);
        assert_eq!(ConnectionId::parse(id.as_str()), Some(id));
    }

    #[test]
    fn identifiers_ascend_within_a_millisecond_and_when_the_clock_goes_back() {
        let mut ids = AscendingIds::default();
        let times = [5_000_000, 5_000_000, 5_000_100, 4_000_000, 5_001_000, 1, 5_001_000];
        let made: Vec<_> = times
            .iter()
            .map(|&t| ids.make(Timestamp::from_micros(t), [0xff; 16]).into_connection_id())
            .collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
    }

    #[test]
    fn identifiers_continue_after_a_restart() {
        let mut before = AscendingIds::default();
        let last = before.make(Timestamp::from_millis(9_000), [0xff; 16]);
        let mut ids = AscendingIds::after(last.at());
        let next = ids.make(Timestamp::from_millis(1_000), [0; 16]);
        assert!(next.text > last.text, "{next:?} after {last:?}");
        assert_eq!(ids.make(Timestamp::from_millis(20_000), [0; 16]).at(), Timestamp::from_millis(20_000));
    }

    #[test]
    fn a_full_millisecond_borrows_from_the_next() {
        let mut ids = AscendingIds { last_millis: 41, last_tail: TAILS - 1 };
        let next = ids.make(Timestamp::from_millis(41), [1; 16]);
        assert_eq!(next.at(), Timestamp::from_millis(42));
    }

    #[test]
    fn a_delivery_is_named_by_its_event_and_its_receiver() {
        let id = AscendingIds::default().make(Timestamp::from_millis(5), [1; 16]);
        let (event, endpoint) = (id.text.clone(), id.clone().into_endpoint_id());
        assert_eq!(EndpointId::parse(endpoint.as_str()), Some(endpoint.clone()));
        for text in [DeliveryId::of_job(&id).to_string(), format!("{event}-{endpoint}")] {
            assert_eq!(DeliveryId::parse(&text).map(|id| id.to_string()), Some(text));
        }
        for text in [format!("{event}-operator"), format!("x-{endpoint}"), event] {
            assert_eq!(DeliveryId::parse(&text), None, "{text}");
        }
    }

    #[test]
    fn an_impossible_identifier_is_rejected() {
        for text in [
            "",
            "x",
            "20260131090500042abcdefghijklmno1",
            "20260131090500042ABCDEFGHIJKLMNO",
            "2026013109050004xabcdefghijklmno",
            "20260131090500042abcdefghijklm-o",
            "2026013109050004éabcdefghijklmn",
        ] {
            assert_eq!(ConnectionId::parse(text), None, "{text}");
        }
    }
}
