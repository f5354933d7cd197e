//! Texts of the audit log and of the settings.

use domain::limits::Limit;

// The audit log.
pub(crate) const AUDIT_TITLE: &str = "Audit";
pub(crate) const AUDIT_LEAD: &str = "Who changed what, when and from where. Entries cannot be edited here.";
pub(crate) const AUDIT_FILTER_LABEL: &str = "Filter events";
pub(crate) const AUDIT_AFTER: &str = "After (UTC)";
pub(crate) const AUDIT_BEFORE: &str = "Before (UTC)";
pub(crate) const AUDIT_ACTION: &str = "Action";
pub(crate) const AUDIT_SUBJECT: &str = "Record ID";
pub(crate) const AUDIT_EXPORT: &str = "Export as JSON lines";
pub(crate) const AUDIT_NONE_TITLE: &str = "No event matches";
pub(crate) const AUDIT_NONE: &str = "Change the filters, or clear them to see all events.";
pub(crate) const AUDIT_WHEN: &str = "When";
pub(crate) const AUDIT_WHAT: &str = "What";
pub(crate) const AUDIT_WHO: &str = "Who";
pub(crate) const AUDIT_RECORD: &str = "Record";
pub(crate) const UPLOAD: &str = "Upload";
pub(crate) const API_KEY: &str = "API key";
pub(crate) const WEBHOOK_ENDPOINT: &str = "Webhook endpoint";
pub(crate) const APPROVAL: &str = "Approval";
pub(crate) const SESSION: &str = "Session";
pub(crate) const AUDIT_ADDRESS: &str = "Address";
pub(crate) const AUDIT_REFUSED: &str = "Refused";

// The settings.
pub(crate) const SETTINGS_TITLE: &str = "Settings";
pub(crate) const ACCOUNT_ID: &str = "Account ID";
pub(crate) const LIMITS: &str = "Limits";
pub(crate) const SESSIONS: &str = "Sessions";
pub(crate) const SESSIONS_TEXT: &str = "People who are signed in.";
pub(crate) const METHOD_LINK: &str = "Link";
pub(crate) const METHOD_PROVIDER: &str = "Identity provider";
/// The person signed in with this API key.
pub(crate) fn method_key(id: &str) -> String {
    format!("API key {id}")
}

pub(crate) const SESSION_METHOD: &str = "Signed in with";
pub(crate) const SESSION_FROM: &str = "From";
pub(crate) const SESSION_SINCE: &str = "Since";
pub(crate) const THIS_SESSION: &str = "This session";
pub(crate) const END_SESSION: &str = "Sign out";
/// The label of the button that ends a session.
pub(crate) fn end_session_label(person: &str) -> String {
    format!("Sign out {person}")
}

// Limits.
pub(crate) const LIMIT_NONE: &str = "No limit";
/// How much of a limit is used.
pub(crate) fn limit_used(used: &str, value: &str) -> String {
    format!("{used} of {value}")
}

/// A limit in words.
pub(crate) const fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::RequestsPerMinute => "Requests per minute",
        Limit::KeyRequestsPerMinute => "Requests per minute with one API key",
        Limit::Connections => "Connections",
        Limit::JobsInProgress => "Uploads in progress",
        Limit::IdempotencyRecords => "Idempotency keys per day",
        Limit::EventStreams => "Open event streams",
        Limit::WebhookEndpoints => "Webhook endpoints",
        Limit::OpenAuthorizations => "Open approvals at Vimeo",
    }
}

// Invitations.
pub(crate) const INVITATIONS: &str = "Open invitations";
pub(crate) const INVITATIONS_NONE: &str = "No invitation is open.";
pub(crate) const INVITE_TITLE: &str = "Invite a colleague";
pub(crate) const INVITE_TEXT: &str = "You get a link that signs them in. Send it to them yourself.";
pub(crate) const INVITE_CONFIRM_FIRST: &str = "Before you invite someone, confirm that it is you.";
pub(crate) const INVITE_NAME_HINT: &str = "Shown in the audit log.";
pub(crate) const INVITE_BUTTON: &str = "Create the link";
pub(crate) const INVITED_TITLE: &str = "The invitation is ready";
pub(crate) const INVITE_LINK: &str = "Link";
pub(crate) const INVITE_LINK_TEXT: &str = "Send it to your colleague. It signs in once.";
/// The label of the button that revokes an invitation.
pub(crate) fn revoke_invitation_label(name: &str) -> String {
    format!("Revoke the invitation of {name}")
}

pub(crate) const ROLE_OWNER: &str = "Owner";
pub(crate) const ROLE_OWNER_HINT: &str = "Everything, also people and API keys";
pub(crate) const ROLE_MEMBER: &str = "Member";
pub(crate) const ROLE_MEMBER_HINT: &str = "Connections, uploads and webhooks";
pub(crate) const ROLE_READ_ONLY: &str = "Read-only";
pub(crate) const ROLE_API_KEY: &str = "API key";
pub(crate) const ROLE_READ_ONLY_HINT: &str = "Sees connections, uploads and the audit log; changes nothing";
