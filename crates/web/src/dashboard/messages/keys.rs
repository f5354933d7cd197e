//! Texts of the pages of API keys.

pub(crate) const KEYS_TITLE: &str = "API keys";
pub(crate) const KEYS_LEAD: &str = "Programs use them to call the API of this account.";
pub(crate) const KEYS_NONE_TITLE: &str = "No API keys yet";
pub(crate) const KEYS_NONE: &str =
    "Create one for each program that calls the API, so that you can revoke one without stopping the others.";
pub(crate) const KEY: &str = "Key";
pub(crate) const KEY_ID: &str = "Key ID";
pub(crate) const KEY_NEW: &str = "New API key";
pub(crate) const KEY_CREATE: &str = "Create key";
pub(crate) const KEY_CONFIRM_FIRST: &str = "Before you create a key, confirm that it is you.";
/// How many keys there are.
pub(crate) fn key_count(count: &str) -> String {
    if count == "1" { "1 API key".to_owned() } else { format!("{count} API keys") }
}

pub(crate) const KEY_NAME_HINT: &str = "The program or the person that uses it.";
pub(crate) const KEY_SCOPES: &str = "Scopes";
pub(crate) const KEY_SCOPES_HINT: &str = "Take away what the program does not need.";
pub(crate) const KEY_ALL_SCOPES: &str = "All";
pub(crate) const KEY_EXPIRES: &str = "Expires";
pub(crate) const KEY_DAYS: &str = "Expires after days";
pub(crate) const KEY_DAYS_HINT: &str = "Leave it empty for a key that does not expire.";
pub(crate) const KEY_ROTATE_DAYS_HINT: &str = "Leave it empty to keep the expiry of the current key.";
pub(crate) const KEY_CREATOR: &str = "Created by";
pub(crate) const KEY_READ_ONLY: &str = "Your role does not allow you to change API keys.";
pub(crate) const KEY_ENDED: &str = "This key is no longer accepted and cannot be changed.";
pub(crate) const KEY_SCOPE_CONNECTIONS_READ: &str = "See connections and their health";
pub(crate) const KEY_SCOPE_CONNECTIONS_WRITE: &str = "Create, change and delete connections";
pub(crate) const KEY_SCOPE_UPLOADS_READ: &str = "See uploads";
pub(crate) const KEY_SCOPE_UPLOADS_WRITE: &str = "Start, retry and cancel uploads";
pub(crate) const KEY_SCOPE_WEBHOOKS: &str = "Manage webhooks and see their deliveries";
pub(crate) const KEY_SCOPE_AUDIT: &str = "Read and export the audit log";
pub(crate) const KEY_SCOPE_KEYS: &str = "Create, change and revoke API keys";

// A new key.
pub(crate) const KEY_CREATED_TITLE: &str = "Your new API key";
pub(crate) const KEY_CURL: &str = "Test it";
pub(crate) const KEY_OLD_UNTIL: &str = "The old key is accepted until";

// Rotating.
pub(crate) const KEY_ROTATE_TEXT: &str = "Creates a new key with the same name and scopes. The old one stays valid for a while, so that you can replace it without interruption.";
pub(crate) const KEY_OVERLAP: &str = "Hours the old key stays valid";
pub(crate) const KEY_OVERLAP_HINT: &str = "0 to 720. Empty: 24.";
pub(crate) const ROTATE_BUTTON: &str = "Rotate the key";

// Revoking.
/// The title of the page that asks whether to revoke a key.
pub(crate) fn revoke_title(name: &str) -> String {
    format!("Revoke {name}")
}

pub(crate) const KEY_REVOKE_SHORT: &str = "Programs that use this key stop working.";
pub(crate) const KEY_REVOKE_TITLE: &str = "Revoke this API key?";
pub(crate) const KEY_REVOKE_TEXT: &str =
    "Within a second, no request with it is accepted. This cannot be undone.";
pub(crate) const KEY_WAS_USED: &str = "It was last used";
pub(crate) const KEY_NEVER_USED: &str = "It was never used.";
pub(crate) const KEY_REVOKE_BUTTON: &str = "Revoke the key";
