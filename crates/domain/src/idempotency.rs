//! Idempotent requests: a repeated request has its effect only once. The rules are those of the HTTP contract, Part 2.

use thiserror::Error;

use crate::text;
use crate::time::Timestamp;

/// Limit for a key, in characters.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
/// How long a request reserves its key while it is in progress. A slower request may lose the key to a repeated one,
/// and then has no effect.
pub const RESERVATION_SECONDS: i64 = 30;
/// How long the response to the first request is stored.
pub const RESPONSE_TTL_SECONDS: i64 = 24 * 60 * 60;

/// The client's identifier of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// The text is not a valid [`IdempotencyKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 1 to {IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters, without spaces")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// Parses a key from a client.
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        let is_good = (1..=IDEMPOTENCY_KEY_MAX_CHARS).contains(&text.len()) && text::is_visible_ascii(text);
        is_good.then(|| Self(text.to_owned())).ok_or(IdempotencyKeyError)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The kind of request that a key belongs to. The same key for two operations is two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "each has the name of its operation")]
pub enum Operation {
    /// Creating a connection.
    CreateConnection,
    /// Creating an upload.
    CreateUpload,
    /// Creating a webhook endpoint.
    CreateWebhookEndpoint,
    /// Creating an authorization.
    CreateAuthorization,
}

impl Operation {
    /// The name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateConnection => "create_connection",
            Self::CreateUpload => "create_upload",
            Self::CreateWebhookEndpoint => "create_webhook_endpoint",
            Self::CreateAuthorization => "create_authorization",
        }
    }
}

/// A keyed hash of a request's body. It recognises a repeated body and reveals nothing about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestMac(pub [u8; 32]);

/// The response to the first request, in the format of the caller. Contains no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredResponse(pub Vec<u8>);

/// Identifies one attempt to reserve a key: 16 random bytes. If the result of the attempt was lost, it is repeated with
/// the same identifier and finds out whether it has the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationId(pub [u8; 16]);

/// A request to reserve a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveRequest {
    /// Identifies this attempt.
    pub operation_id: OperationId,
    /// The kind of request.
    pub operation: Operation,
    /// The client's key.
    pub key: IdempotencyKey,
    /// The keyed hash of the body, which is stored.
    pub mac: RequestMac,
    /// The keyed hashes that the same body may have been stored with.
    pub other_macs: Vec<RequestMac>,
    /// When the request arrived. A database with its own clock uses that instead.
    pub at: Timestamp,
}

impl ReserveRequest {
    /// Whether a stored hash is one of this request's body.
    pub fn is_of_body(&self, stored: &RequestMac) -> bool {
        self.mac == *stored || self.other_macs.contains(stored)
    }

    /// When the reservation expires.
    pub fn reserved_until(&self) -> Timestamp {
        self.at.plus_seconds(RESERVATION_SECONDS)
    }

    /// Responses stored at this time or earlier have expired.
    pub fn expired_before(&self) -> Timestamp {
        self.at.plus_seconds(-RESPONSE_TTL_SECONDS)
    }
}

/// A reserved key. The attempt number is a fencing token: a later attempt invalidates this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The kind of request.
    pub operation: Operation,
    /// The key.
    pub key: IdempotencyKey,
    /// The number of the attempt that holds the key; starts at 1.
    pub attempt: u64,
}

/// The result of an attempt to reserve a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// The key is reserved: execute the request.
    Acquired(Reservation),
    /// A request with this key is in progress.
    InProgress,
    /// The key was used for a request with a different body.
    BodyMismatch,
    /// The request was completed with this response.
    Completed(StoredResponse),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_visible_ascii_up_to_its_length() {
        for good in ["a", "8e03978e-40d5-43e8-bc93-6894a57f9324", "\"quoted\"", "!~", &"x".repeat(255)] {
            assert_eq!(IdempotencyKey::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", " ", "a b", "a\t", "caf\u{e9}", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(IdempotencyKey::parse(bad), Err(IdempotencyKeyError), "{bad:?}");
        }
    }
}
