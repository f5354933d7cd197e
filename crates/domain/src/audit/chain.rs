//! The chain that links an account's audit events, so that a later change of them can be detected.
//!
//! Each link authenticates its event, its position and the link before it. Events are linked after they are written, in the
//! order of their identifiers; an event that is committed late is linked later, at the end.

use crate::id::{AccountId, AuditEventId};
use crate::time::Timestamp;

/// The version of the canonical bytes.
const FORMAT: u8 = 1;
/// Length of a link in bytes.
pub const LINK_LEN: usize = 32;

/// A link: a keyed hash. That before the first event is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link(pub [u8; LINK_LEN]);

impl Link {
    /// The link before the first event.
    pub const START: Self = Self([0; LINK_LEN]);
}

/// The link of one event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLink {
    /// The event.
    pub event_id: AuditEventId,
    /// Its position in the chain; the first is 1.
    pub position: u64,
    /// The keyed hash.
    pub link: Link,
}

/// The state of an account's chain. Its row has a MAC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditChain {
    /// The account.
    pub account_id: AccountId,
    /// Counts the writes of this row; each needs the version that it read.
    pub version: u64,
    /// The position of the last linked event; 0 if there is none.
    pub position: u64,
    /// Its link.
    pub link: Link,
    /// The greatest identifier of a linked event.
    pub linked_event_id: AuditEventId,
    /// No event with a smaller identifier than this is linked any more.
    pub checked_event_id: AuditEventId,
    /// The position of the last event that was deleted because of its age; 0 if none was.
    pub deleted_position: u64,
    /// Its link: the checkpoint from which the chain is verified.
    pub deleted_link: Link,
    /// When this row was written.
    pub updated_at: Timestamp,
    /// The MAC of all of this.
    pub row_mac: Vec<u8>,
}

impl AuditChain {
    /// The chain of an account none of whose events is linked yet, before it is stored.
    pub fn empty(account_id: AccountId, now: Timestamp) -> Self {
        Self {
            account_id,
            version: 0,
            position: 0,
            link: Link::START,
            linked_event_id: AuditEventId::smallest(),
            checked_event_id: AuditEventId::smallest(),
            deleted_position: 0,
            deleted_link: Link::START,
            updated_at: now,
            row_mac: Vec::new(),
        }
    }

    /// The bytes that the MAC of the row authenticates: everything but the MAC. The format is frozen.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        put_text(&mut bytes, self.account_id.as_str());
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.position.to_be_bytes());
        bytes.extend_from_slice(&self.link.0);
        put_text(&mut bytes, self.linked_event_id.as_str());
        put_text(&mut bytes, self.checked_event_id.as_str());
        bytes.extend_from_slice(&self.deleted_position.to_be_bytes());
        bytes.extend_from_slice(&self.deleted_link.0);
        bytes.extend_from_slice(&self.updated_at.as_micros().to_be_bytes());
        bytes
    }

    /// Its head at this time.
    pub fn head(&self, at: Timestamp) -> AuditHead {
        AuditHead {
            account_id: self.account_id.clone(),
            position: self.position,
            link: self.link,
            // Shown, signed and read again in milliseconds.
            at: at.floor_to_millis(),
        }
    }
}

/// Adds a text after its length.
pub(super) fn put_text(bytes: &mut Vec<u8>, text: &str) {
    // No text comes near 4 GiB.
    bytes.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// The last link of a chain at some time. A head that is kept elsewhere shows later whether events were cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// The account.
    pub account_id: AccountId,
    /// The position of the last linked event.
    pub position: u64,
    /// Its link.
    pub link: Link,
    /// When the head was exported, in whole milliseconds.
    pub at: Timestamp,
}

impl AuditHead {
    /// The bytes that its signature authenticates. The format is frozen.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        put_text(&mut bytes, self.account_id.as_str());
        bytes.extend_from_slice(&self.position.to_be_bytes());
        bytes.extend_from_slice(&self.link.0);
        bytes.extend_from_slice(&self.at.as_micros().to_be_bytes());
        bytes
    }
}
