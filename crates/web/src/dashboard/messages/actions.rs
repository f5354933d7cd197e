//! What the audit log says of actions and actors.

use domain::audit::{Action, ActorKind};

pub(crate) const ACTOR_API_KEY: &str = "API key";
pub(crate) const ACTOR_SESSION: &str = "Person";
pub(crate) const ACTOR_GUEST: &str = "Person with a link";
pub(crate) const ACTOR_OPERATOR: &str = "Operator";
pub(crate) const ACTOR_WORKER: &str = "The service";

/// A kind of actor in a word or two.
pub(crate) const fn actor_kind(kind: ActorKind) -> &'static str {
    match kind {
        ActorKind::ApiKey => ACTOR_API_KEY,
        ActorKind::Session => ACTOR_SESSION,
        ActorKind::Guest => ACTOR_GUEST,
        ActorKind::Operator => ACTOR_OPERATOR,
        ActorKind::Worker => ACTOR_WORKER,
    }
}

/// An action in a few words.
pub(crate) const fn action(action: Action) -> &'static str {
    match action {
        Action::CreateAccount => "Account created",
        Action::CreateApiKey => "API key created",
        Action::ImportApiKey => "API key imported",
        Action::RenameApiKey => "API key renamed",
        Action::RotateApiKey => "API key rotated",
        Action::RevokeApiKey => "API key revoked",
        Action::StartAccountDeletion => "Deletion of the account started",
        Action::DeleteAccount => "Account deleted",
        Action::UpdateAccountLimits => "Limits changed",
        Action::StartAccountKeyReplacement => "Replacement of the account's key started",
        Action::ReplaceAccountKey => "Account's key replaced",
        Action::DeleteFormerAccountKey => "Account's former key deleted",
        Action::CreateConnection => "Connection created",
        Action::UpdateConnection => "Connection changed",
        Action::VerifyConnection => "Connection tested",
        Action::MarkConnectionHealthy => "Connection became healthy",
        Action::MarkConnectionUnhealthy => "Connection became unhealthy",
        Action::MarkConnectionUnverified => "Connection became unverified",
        Action::DeleteConnection => "Connection deleted",
        Action::CreateUpload => "Upload started",
        Action::RetryUpload => "Upload retried",
        Action::RescheduleUpload => "Publication of an upload rescheduled",
        Action::CancelUpload => "Upload cancelled",
        Action::MarkUploadPlayable => "Upload became playable",
        Action::EndUpload => "Upload ended",
        Action::CreateWebhookSecret => "Webhook secret created",
        Action::CreateWebhookEndpoint => "Webhook endpoint created",
        Action::UpdateWebhookEndpoint => "Webhook endpoint changed",
        Action::DeleteWebhookEndpoint => "Webhook endpoint deleted",
        Action::RotateWebhookEndpointSecret => "Webhook secret rotated",
        Action::TestWebhookEndpoint => "Webhook test sent",
        Action::DisableWebhookEndpoint => "Webhook endpoint disabled",
        Action::RedeliverWebhook => "Webhook sent again",
        Action::CreateAuthorization => "Approval at Vimeo requested",
        Action::StartAuthorization => "Person sent to Vimeo for approval",
        Action::CompleteAuthorization => "Approval at Vimeo completed",
        Action::DeclineAuthorization => "Approval at Vimeo declined",
        Action::WithdrawAuthorization => "Approval at Vimeo withdrawn",
        Action::FailAuthorization => "Approval at Vimeo failed",
        Action::ExpireAuthorization => "Approval at Vimeo expired",
        Action::CreateSignInLink => "Colleague invited",
        Action::SignIn => "Signed in",
        Action::ConfirmSession => "Identity confirmed",
        Action::SignOut => "Signed out",
        Action::RevokeSession => "Session ended",
    }
}
