//! Texts of the pages of webhooks.

use domain::webhook::EventType;

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

/// When an event is sent.
pub(crate) const fn event_hint(event: EventType) -> &'static str {
    match event {
        EventType::UploadCompleted => "An upload has completed",
        EventType::UploadFailed => "An upload has failed",
        EventType::UploadCancelled => "An upload was cancelled",
        EventType::UploadPlayable => "An uploaded video can be played",
        EventType::ConnectionCreated => "A connection was created",
        EventType::ConnectionUpdated => "A connection was changed",
        EventType::ConnectionDeleted => "A connection was deleted",
        EventType::ConnectionUnhealthy => "Vimeo rejects the credentials of a connection",
        EventType::ConnectionRecovered => "Vimeo accepts them again",
        EventType::EndpointDisabled => "An endpoint was disabled because it kept failing",
        EventType::Test => "A test was requested",
    }
}

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

// States.
pub(crate) const ENDPOINT_FAILING: &str = "Failing";
pub(crate) const ENDPOINT_DISABLED_BY_SERVICE: &str = "Disabled by the service";
pub(crate) const ENDPOINT_GONE: &str =
    "It answered 410 Gone, which means that it wants no more events. Enable it again once it accepts them.";
pub(crate) const ENDPOINT_FAILED_TOO_LONG: &str =
    "Every delivery failed for five days. Repair the receiver, then enable the endpoint again.";
pub(crate) const DELIVERY_WAITING: &str = "Waiting";
pub(crate) const DELIVERY_DELIVERED: &str = "Delivered";
pub(crate) const DELIVERY_EXHAUSTED: &str = "Not delivered";
pub(crate) const DELIVERY_UNREACHABLE: &str = "The receiver could not be reached.";
pub(crate) const DELIVERY_NOT_ALLOWED: &str = "Nothing was sent: the URL is not allowed any more.";
pub(crate) const DELIVERY_ENDPOINT_DISABLED: &str = "Nothing was sent: the endpoint is disabled.";
pub(crate) const DELIVERY_ENDPOINT_DELETED: &str = "Nothing was sent: the endpoint was deleted.";
pub(crate) const DELIVERY_UNREADABLE: &str = "Nothing was sent: the stored content does not verify.";
/// The receiver answered with a status.
pub(crate) fn delivery_http(status: u16, millis: &str) -> String {
    format!("HTTP {status} after {millis} ms")
}

/// The receiver did not answer in time.
pub(crate) fn delivery_no_response(millis: &str) -> String {
    format!("No response after {millis} ms")
}

/// How many endpoints there are.
pub(crate) fn endpoint_count(count: &str) -> String {
    if count == "1" { "1 endpoint".to_owned() } else { format!("{count} endpoints") }
}

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
