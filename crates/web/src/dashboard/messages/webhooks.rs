//! Texts of the pages of webhooks.

pub(crate) const WEBHOOKS_TITLE: &str = "Webhooks";
pub(crate) const WEBHOOKS_LEAD: &str =
    "Your servers are notified when an upload ends or a connection needs attention.";
pub(crate) const WEBHOOKS_NONE_TITLE: &str = "No endpoints yet";
pub(crate) const WEBHOOKS_NONE: &str =
    "An endpoint is an https address of yours that receives events as signed requests.";
pub(crate) const WEBHOOK_NEW: &str = "New endpoint";
pub(crate) const WEBHOOK_EDIT: &str = "Edit the endpoint";
pub(crate) const WEBHOOK_CREATE: &str = "Create endpoint";
pub(crate) const WEBHOOK_URL: &str = "URL";
pub(crate) const WEBHOOK_URL_HINT: &str = "A public https address.";
pub(crate) const WEBHOOK_EVENTS: &str = "Events";
pub(crate) const WEBHOOK_EVENTS_HINT: &str =
    "Choose none to receive all, also those that later versions add.";
pub(crate) const WEBHOOK_ALL_EVENTS: &str = "All events";
pub(crate) const WEBHOOK_ENABLED_HINT: &str = "Events are sent to this endpoint.";
pub(crate) const WEBHOOK_ID: &str = "Endpoint ID";
pub(crate) const WEBHOOK_TEST: &str = "Send a test";
pub(crate) const WEBHOOK_DISABLED_TITLE: &str = "This endpoint was disabled";
pub(crate) const WEBHOOK_ENABLE_AGAIN: &str = "Enable again";
pub(crate) const WEBHOOK_DISABLE: &str = "Disable the endpoint";
pub(crate) const WEBHOOK_DISABLE_TEXT: &str = "Nothing is sent to it.";
pub(crate) const WEBHOOK_ENABLE: &str = "Enable the endpoint";
pub(crate) const WEBHOOK_ENABLE_TEXT: &str = "Events are sent to it again.";

// The secret.
pub(crate) const WEBHOOK_SECRET_TITLE: &str = "The signing secret";
pub(crate) const WEBHOOK_SECRET: &str = "Signing secret";
pub(crate) const WEBHOOK_SECRET_TEXT: &str =
    "Your server uses it to verify that a request comes from this service, as Standard Webhooks describes.";
pub(crate) const WEBHOOK_OLD_UNTIL: &str = "The old secret also signs until";
pub(crate) const WEBHOOK_ROTATE_TITLE: &str = "Rotate the signing secret";
pub(crate) const WEBHOOK_ROTATE_SHORT: &str = "Both secrets sign for 24 hours.";
pub(crate) const WEBHOOK_ROTATE_TEXT: &str = "You get a new secret. For 24 hours requests are signed with both, so that you can replace it without interruption.";
pub(crate) const WEBHOOK_ROTATE_BUTTON: &str = "Rotate the secret";

// Deleting.
pub(crate) const WEBHOOK_DELETE_TITLE: &str = "Delete the endpoint";
pub(crate) const WEBHOOK_DELETE_SHORT: &str = "Also stops deliveries that wait.";
pub(crate) const WEBHOOK_DELETE_TEXT: &str =
    "Deliveries that wait are not sent, and the signing secret is destroyed. This cannot be undone.";
pub(crate) const WEBHOOK_DELETE_BUTTON: &str = "Delete the endpoint";

// Deliveries.
pub(crate) const DELIVERIES: &str = "Deliveries";
pub(crate) const DELIVERIES_FILTER: &str = "Filter deliveries";
pub(crate) const DELIVERIES_NONE_TITLE: &str = "No deliveries";
pub(crate) const DELIVERIES_NONE: &str =
    "Send a test to see one. Deliveries are kept for 30 days after they end.";
pub(crate) const DELIVERY_RESULT: &str = "Last attempt";
pub(crate) const DELIVERY_UPLOAD: &str = "Open the upload";
pub(crate) const EVENT: &str = "Event";
pub(crate) const ATTEMPTS: &str = "Attempts";
pub(crate) const REDELIVER: &str = "Send again";
/// The label of the button that sends a delivery again.
pub(crate) fn redeliver_label(event: &str) -> String {
    format!("Send again: {event}")
}
