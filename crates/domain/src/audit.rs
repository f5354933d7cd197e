//! Audit events: who did what to which record, when, from where, and with what outcome.

mod chain;
mod record;

pub use chain::{AuditChain, AuditHead, AuditLink, LINK_LEN, Link};
pub use record::{AuditFilter, AuditRecord, FilterActor, FilterActorError};

use std::net::IpAddr;

use crate::account::Label;
use crate::id::{AccountId, ApiKeyId, AuditEventId};
use crate::time::Timestamp;
use crate::webhook::Announcement;

/// Who performed an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A client with this API key, from this address if known.
    ApiKey {
        /// The key's identifier, never the key.
        key_id: ApiKeyId,
        /// The key's name at this time.
        name: Label,
        /// The client's IP address.
        remote: Option<IpAddr>,
    },
    /// A person with a session of the dashboard.
    Session {
        /// The API key that they signed in with; `None` if they signed in otherwise. While it is given, the session is active
        /// only as long as the key.
        key_id: Option<ApiKeyId>,
        /// The person's name.
        name: Label,
        /// Their IP address.
        remote: Option<IpAddr>,
    },
    /// A person with the link of an authorization, who has neither a key nor a session.
    Guest {
        /// Their IP address.
        remote: Option<IpAddr>,
    },
    /// An operator, through the command line.
    Operator,
    /// The service itself, continuing earlier work.
    Service,
}

/// The kind of an actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActorKind {
    /// [`Actor::ApiKey`].
    ApiKey,
    /// [`Actor::Session`].
    Session,
    /// [`Actor::Guest`].
    Guest,
    /// [`Actor::Operator`].
    Operator,
    /// [`Actor::Service`].
    Worker,
}

impl ActorKind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::ApiKey, Self::Session, Self::Guest, Self::Operator, Self::Worker];

    /// The name in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "api_key",
            Self::Session => "session",
            Self::Guest => "guest",
            Self::Operator => "operator",
            Self::Worker => "worker",
        }
    }
}

impl Actor {
    /// Its kind.
    pub fn kind(&self) -> ActorKind {
        match self {
            Self::ApiKey { .. } => ActorKind::ApiKey,
            Self::Session { .. } => ActorKind::Session,
            Self::Guest { .. } => ActorKind::Guest,
            Self::Operator => ActorKind::Operator,
            Self::Service => ActorKind::Worker,
        }
    }

    /// The identifier of its API key, if it has one.
    pub fn key_id(&self) -> Option<&ApiKeyId> {
        match self {
            Self::ApiKey { key_id, .. } => Some(key_id),
            Self::Session { key_id, .. } => key_id.as_ref(),
            Self::Guest { .. } | Self::Operator | Self::Service => None,
        }
    }

    /// The name of its API key, or of the person.
    pub fn name(&self) -> Option<&Label> {
        match self {
            Self::ApiKey { name, .. } | Self::Session { name, .. } => Some(name),
            Self::Guest { .. } | Self::Operator | Self::Service => None,
        }
    }

    /// The address of its client, if it has one and it is known.
    pub fn remote(&self) -> Option<IpAddr> {
        match self {
            Self::ApiKey { remote, .. } | Self::Session { remote, .. } | Self::Guest { remote } => *remote,
            Self::Operator | Self::Service => None,
        }
    }
}

/// An action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Created an account.
    CreateAccount,
    /// Created an API key.
    CreateApiKey,
    /// Imported an API key.
    ImportApiKey,
    /// Renamed an API key.
    RenameApiKey,
    /// Rotated an API key: created its successor and gave it an expiry.
    RotateApiKey,
    /// Revoked an API key.
    RevokeApiKey,
    /// Began to delete an account, which happens in parts.
    StartAccountDeletion,
    /// Deleted an account with everything in it.
    DeleteAccount,
    /// Changed the limits of an account.
    UpdateAccountLimits,
    /// Created the next key of an account, which replaces the current one.
    StartAccountKeyReplacement,
    /// Replaced the key of an account.
    ReplaceAccountKey,
    /// Deleted the former key of an account.
    DeleteFormerAccountKey,
    /// Created a connection.
    CreateConnection,
    /// Updated a connection.
    UpdateConnection,
    /// Had the credentials of a connection checked by Vimeo.
    VerifyConnection,
    /// Found that a connection had become healthy.
    MarkConnectionHealthy,
    /// Found that a connection had become unhealthy.
    MarkConnectionUnhealthy,
    /// Found that nothing was known of a connection's new credentials.
    MarkConnectionUnverified,
    /// Deleted a connection and wiped the key of its secrets.
    DeleteConnection,
    /// Created an upload.
    CreateUpload,
    /// Queued a failed upload again as a new job.
    RetryUpload,
    /// Changed when the video of an upload is opened.
    RescheduleUpload,
    /// Cancelled an upload.
    CancelUpload,
    /// Found that Vimeo can play an uploaded file.
    MarkUploadPlayable,
    /// An upload ended.
    EndUpload,
    /// Created or replaced the account's webhook secret.
    CreateWebhookSecret,
    /// Created a webhook endpoint.
    CreateWebhookEndpoint,
    /// Changed a webhook endpoint.
    UpdateWebhookEndpoint,
    /// Deleted a webhook endpoint.
    DeleteWebhookEndpoint,
    /// Replaced the secret of a webhook endpoint.
    RotateWebhookEndpointSecret,
    /// Sent a test event to a webhook endpoint.
    TestWebhookEndpoint,
    /// The service disabled a webhook endpoint.
    DisableWebhookEndpoint,
    /// Sent a webhook again.
    RedeliverWebhook,
    /// Created a link with which a person can sign in to the dashboard.
    CreateSignInLink,
    /// Signed in to the dashboard.
    SignIn,
    /// Confirmed an identity during a session.
    ConfirmSession,
    /// Signed out of the dashboard.
    SignOut,
    /// Ended another session, or withdrew a sign-in link.
    RevokeSession,
    /// Created an authorization.
    CreateAuthorization,
    /// Sent a person's browser to Vimeo for an authorization.
    StartAuthorization,
    /// Completed an authorization: its connection was created or renewed.
    CompleteAuthorization,
    /// A person declined an authorization.
    DeclineAuthorization,
    /// Withdrew an authorization.
    WithdrawAuthorization,
    /// An authorization failed.
    FailAuthorization,
    /// An authorization expired.
    ExpireAuthorization,
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 45] = [
        Self::CreateAccount,
        Self::CreateApiKey,
        Self::ImportApiKey,
        Self::RenameApiKey,
        Self::RotateApiKey,
        Self::RevokeApiKey,
        Self::StartAccountDeletion,
        Self::DeleteAccount,
        Self::UpdateAccountLimits,
        Self::StartAccountKeyReplacement,
        Self::ReplaceAccountKey,
        Self::DeleteFormerAccountKey,
        Self::CreateConnection,
        Self::UpdateConnection,
        Self::VerifyConnection,
        Self::MarkConnectionHealthy,
        Self::MarkConnectionUnhealthy,
        Self::MarkConnectionUnverified,
        Self::DeleteConnection,
        Self::CreateUpload,
        Self::RetryUpload,
        Self::RescheduleUpload,
        Self::CancelUpload,
        Self::MarkUploadPlayable,
        Self::EndUpload,
        Self::CreateWebhookSecret,
        Self::CreateWebhookEndpoint,
        Self::UpdateWebhookEndpoint,
        Self::DeleteWebhookEndpoint,
        Self::RotateWebhookEndpointSecret,
        Self::TestWebhookEndpoint,
        Self::DisableWebhookEndpoint,
        Self::RedeliverWebhook,
        Self::CreateSignInLink,
        Self::SignIn,
        Self::ConfirmSession,
        Self::SignOut,
        Self::RevokeSession,
        Self::CreateAuthorization,
        Self::StartAuthorization,
        Self::CompleteAuthorization,
        Self::DeclineAuthorization,
        Self::WithdrawAuthorization,
        Self::FailAuthorization,
        Self::ExpireAuthorization,
    ];

    /// The name in the store and in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateAccount => "create_account",
            Self::CreateApiKey => "create_api_key",
            Self::ImportApiKey => "import_api_key",
            Self::RenameApiKey => "rename_api_key",
            Self::RotateApiKey => "rotate_api_key",
            Self::RevokeApiKey => "revoke_api_key",
            Self::StartAccountDeletion => "start_account_deletion",
            Self::DeleteAccount => "delete_account",
            Self::UpdateAccountLimits => "update_account_limits",
            Self::StartAccountKeyReplacement => "start_account_key_replacement",
            Self::ReplaceAccountKey => "replace_account_key",
            Self::DeleteFormerAccountKey => "delete_former_account_key",
            Self::CreateConnection => "create_connection",
            Self::UpdateConnection => "update_connection",
            Self::VerifyConnection => "verify_connection",
            Self::MarkConnectionHealthy => "mark_connection_healthy",
            Self::MarkConnectionUnhealthy => "mark_connection_unhealthy",
            Self::MarkConnectionUnverified => "mark_connection_unverified",
            Self::DeleteConnection => "delete_connection",
            Self::CreateUpload => "create_upload",
            Self::RetryUpload => "retry_upload",
            Self::RescheduleUpload => "reschedule_upload",
            Self::CancelUpload => "cancel_upload",
            Self::MarkUploadPlayable => "mark_upload_playable",
            Self::EndUpload => "end_upload",
            Self::CreateWebhookSecret => "create_webhook_secret",
            Self::CreateWebhookEndpoint => "create_webhook_endpoint",
            Self::UpdateWebhookEndpoint => "update_webhook_endpoint",
            Self::DeleteWebhookEndpoint => "delete_webhook_endpoint",
            Self::RotateWebhookEndpointSecret => "rotate_webhook_endpoint_secret",
            Self::TestWebhookEndpoint => "test_webhook_endpoint",
            Self::DisableWebhookEndpoint => "disable_webhook_endpoint",
            Self::RedeliverWebhook => "redeliver_webhook",
            Self::CreateSignInLink => "create_sign_in_link",
            Self::SignIn => "sign_in",
            Self::ConfirmSession => "confirm_session",
            Self::SignOut => "sign_out",
            Self::RevokeSession => "revoke_session",
            Self::CreateAuthorization => "create_authorization",
            Self::StartAuthorization => "start_authorization",
            Self::CompleteAuthorization => "complete_authorization",
            Self::DeclineAuthorization => "decline_authorization",
            Self::WithdrawAuthorization => "withdraw_authorization",
            Self::FailAuthorization => "fail_authorization",
            Self::ExpireAuthorization => "expire_authorization",
        }
    }

    /// The action of an operation of the API, which has the same name, with the exception below; `None` for one that changes
    /// nothing.
    pub fn from_operation(operation: &str) -> Option<Self> {
        match operation {
            "update_job" => Some(Self::RescheduleUpload),
            "cancel_job" => Some(Self::CancelUpload),
            "retry_job" => Some(Self::RetryUpload),
            operation => Self::parse(operation),
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }
}

/// The outcome of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was performed; this event was written in the same transaction.
    Done,
    /// It was rejected with this error code; nothing else was written.
    Refused(String),
}

impl Outcome {
    /// The error code of a rejection.
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::Done => None,
            Self::Refused(code) => Some(code),
        }
    }
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// Its identifier; increases with time on one node.
    pub id: AuditEventId,
    /// The account in which it happened.
    pub account_id: AccountId,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// The identifier of the affected record, if there is one.
    pub subject: Option<String>,
    /// The outcome.
    pub outcome: Outcome,
    /// What webhooks report of it. Not part of the audit log: it becomes deliveries in the transaction of the event.
    pub announcement: Option<Announcement>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_can_be_parsed_from_its_name() {
        for action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
        assert_eq!(Action::parse("drop_tables"), None);
    }
}
