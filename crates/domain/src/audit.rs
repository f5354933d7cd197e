//! Audit events: who did what to which record, when, from where, and how it ended.

use std::net::IpAddr;

use crate::id::{AccountId, ApiKeyId, AuditEventId};
use crate::time::Timestamp;

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A client that showed this key, from this address if it is known.
    ApiKey {
        /// The key's identifier, never the key.
        key_id: ApiKeyId,
        /// The client's address.
        remote: Option<IpAddr>,
    },
    /// A person or script with the operator's commands at hand.
    Operator,
    /// The service itself, going on with what somebody asked for before.
    Service,
}

/// What was done, or tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// An account was made.
    CreateAccount,
    /// An API key was made.
    CreateApiKey,
    /// An API key made elsewhere was taken in.
    ImportApiKey,
    /// An API key was revoked.
    RevokeApiKey,
    /// An account was deleted with all it had.
    DeleteAccount,
    /// A connection was made.
    CreateConnection,
    /// A connection was changed.
    UpdateConnection,
    /// A connection was deleted, and the key of its secrets wiped.
    DeleteConnection,
    /// An upload was asked for.
    CreateUpload,
    /// An upload was cancelled.
    CancelUpload,
    /// An upload came to its end.
    EndUpload,
    /// The secret that webhooks are signed with was made, or made anew.
    CreateWebhookSecret,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::CreateAccount,
        Self::CreateApiKey,
        Self::ImportApiKey,
        Self::RevokeApiKey,
        Self::DeleteAccount,
        Self::CreateConnection,
        Self::UpdateConnection,
        Self::DeleteConnection,
        Self::CreateUpload,
        Self::CancelUpload,
        Self::EndUpload,
        Self::CreateWebhookSecret,
    ];

    /// Its name in the store and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateAccount => "create_account",
            Self::CreateApiKey => "create_api_key",
            Self::ImportApiKey => "import_api_key",
            Self::RevokeApiKey => "revoke_api_key",
            Self::DeleteAccount => "delete_account",
            Self::CreateConnection => "create_connection",
            Self::UpdateConnection => "update_connection",
            Self::DeleteConnection => "delete_connection",
            Self::CreateUpload => "create_upload",
            Self::CancelUpload => "cancel_upload",
            Self::EndUpload => "end_upload",
            Self::CreateWebhookSecret => "create_webhook_secret",
        }
    }

    /// Reads a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, in the same transaction that this event was written in.
    Done,
    /// It was refused with this error code, and nothing else was written.
    Refused(String),
}

/// One entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its identifier; ascends with time on one node.
    pub id: AuditEventId,
    /// In whose account it happened.
    pub account_id: AccountId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What.
    pub action: Action,
    /// Which record: its identifier, when there is one.
    pub subject: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_read_back_from_its_name() {
        for action in Action::ALL {
            assert_eq!(Action::from_stored(action.as_str()), Some(action));
        }
        assert_eq!(Action::from_stored("drop_tables"), None);
    }
}
