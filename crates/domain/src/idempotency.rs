//! Requests that may be sent again and have their effect once. Rules from the HTTP contract, Part 2.

use thiserror::Error;

use crate::text;
use crate::time::Timestamp;

/// Longest key, in characters.
pub const IDEMPOTENCY_KEY_MAX_CHARS: usize = 255;
/// How long a request holds its key while it is being done. A request that takes longer may lose it to a repetition,
/// and then has no effect.
pub const RESERVATION_SECONDS: i64 = 30;
/// How long a first answer is kept.
pub const ANSWER_KEPT_SECONDS: i64 = 24 * 60 * 60;

/// What a client calls one request by, however often it sends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(String);

/// Why a text is no [`IdempotencyKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 1 to {IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters, without spaces")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// Reads a key as a client sent it.
    pub fn parse(text: &str) -> Result<Self, IdempotencyKeyError> {
        let is_good = (1..=IDEMPOTENCY_KEY_MAX_CHARS).contains(&text.len()) && text::is_visible_ascii(text);
        is_good.then(|| Self(text.to_owned())).ok_or(IdempotencyKeyError)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Which kind of request a key belongs to: the same key of two kinds is two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A connection is created.
    CreateConnection,
    /// An upload is asked for.
    CreateUpload,
}

impl Operation {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateConnection => "create_connection",
            Self::CreateUpload => "create_upload",
        }
    }
}

/// A keyed hash of a request's body: tells whether a repetition is one, and nothing of what the body says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestMac(pub [u8; 32]);

/// The first answer to a request, in the form of whoever answers it; no secret is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer(pub Vec<u8>);

/// What one attempt to reserve a key is known by: 16 random bytes. When the answer to the attempt was lost, it is made
/// again under the same identifier, and learns whether it has the key already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OperationId(pub [u8; 16]);

/// A request that wants to be done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnceRequest {
    /// What this attempt at it is known by.
    pub operation_id: OperationId,
    /// Its kind.
    pub operation: Operation,
    /// What the client calls it.
    pub key: IdempotencyKey,
    /// What it says, hashed.
    pub mac: RequestMac,
    /// When it came. A database that has a clock of its own goes by that.
    pub at: Timestamp,
}

impl OnceRequest {
    /// Until when it holds its key.
    pub fn reserved_until(&self) -> Timestamp {
        self.at.plus_seconds(RESERVATION_SECONDS)
    }

    /// Answers that were kept at this instant or before are no longer remembered.
    pub fn forgotten_before(&self) -> Timestamp {
        self.at.plus_seconds(-ANSWER_KEPT_SECONDS)
    }
}

/// A held key. The attempt number is the fence: a later attempt takes the key away from this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The kind of request.
    pub operation: Operation,
    /// Its key.
    pub key: IdempotencyKey,
    /// Which attempt holds it; counts up from 1.
    pub attempt: u64,
}

/// What the store says to a request that wants to be done once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reserved {
    /// Do it.
    Now(Reservation),
    /// It is being done.
    InUse,
    /// The key was used for a request that said something else.
    OtherBody,
    /// It was done; this was the answer.
    Done(KeptAnswer),
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
