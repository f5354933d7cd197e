//! Texts of the pages about connecting with Vimeo, within the dashboard.

pub(crate) const CONNECT_TITLE: &str = "Connect with Vimeo";
pub(crate) const CONNECT_LEAD: &str =
    "The owner of the Vimeo account approves the app at Vimeo. No access token is copied.";
pub(crate) const CONNECT_INSTEAD: &str = "Paste credentials instead";
pub(crate) const CONNECT_BEFORE: &str = "Before you start";
pub(crate) const STEP_CALLBACK: &str = "Add the callback URL.";
pub(crate) const STEP_CALLBACK_TEXT: &str = "On the page of the app, under Your callback URLs:";
pub(crate) const CALLBACK_URL: &str = "Callback URL";
pub(crate) const CONNECT_SCOPES: &str = "What the app may do";
pub(crate) const CONNECT_SCOPES_HINT: &str = "Uploads need the scopes that cannot be cleared.";
pub(crate) const CONNECT_APPROVER: &str = "Who will approve it?";
pub(crate) const CONNECT_RETURN: &str = "Return address";
pub(crate) const CONNECT_RETURN_HINT: &str = "Where a browser is sent afterwards. An https address.";
pub(crate) const APPROVER_ME: &str = "Me, now";
pub(crate) const APPROVER_ME_HINT: &str = "You can sign in to the Vimeo account in this browser.";
pub(crate) const APPROVER_CUSTOMER: &str = "Someone else";
pub(crate) const APPROVER_CUSTOMER_HINT: &str = "You get a link to send to them. They need no account here.";
pub(crate) const APPROVER_DEVICE: &str = "Someone at another device";
pub(crate) const APPROVER_DEVICE_HINT: &str = "You get a code that they enter on a page of Vimeo.";
pub(crate) const SCOPE_PUBLIC: &str = "See public information of the account";
pub(crate) const SCOPE_PRIVATE: &str = "See private information of the account and its videos";
pub(crate) const SCOPE_UPLOAD: &str = "Upload videos";
pub(crate) const SCOPE_EDIT: &str = "Change videos: their titles, privacy and folders";
pub(crate) const SCOPE_DELETE: &str = "Delete videos; cleans up after uploads that fail or are cancelled";
pub(crate) const SCOPE_INTERACT: &str = "Like, comment on and follow videos";

pub(crate) const ERROR_APPROVER: &str = "Choose who will approve it.";
pub(crate) const ERROR_CONNECT_SCOPES: &str = "Choose at least the scopes that uploads need.";
pub(crate) const ERROR_PUBLIC_URL: &str = "The service does not know the address at which browsers reach it. Ask its operator to set public_url, or paste credentials instead.";
/// The Vimeo account that was connected.
pub(crate) fn connected_account(name: &str) -> String {
    format!("Vimeo account: {name}")
}

// Renewing.
pub(crate) const RENEW: &str = "Renew with Vimeo";
pub(crate) const RENEW_LEAD: &str = "The owner of the Vimeo account approves the app again, and the new access token replaces the one that is stored.";

// The page of an authorization.
/// The title of the page of an authorization.
pub(crate) fn authorization_title(name: &str) -> String {
    format!("Connect \u{201c}{name}\u{201d} with Vimeo")
}

/// The link to a connection.
pub(crate) fn open_connection(name: &str) -> String {
    format!("Open {name}")
}

pub(crate) const AUTHORIZATION_WAITING: &str = "Waiting for approval";
pub(crate) const AUTHORIZATION_WAITING_HELP: &str =
    "This page changes when the request is approved or declined.";
pub(crate) const AUTHORIZATION_COMPLETED: &str = "Completed";
pub(crate) const AUTHORIZATION_COMPLETED_HELP: &str = "Vimeo accepted the app, and the connection is ready.";
pub(crate) const AUTHORIZATION_DENIED: &str = "Declined";
pub(crate) const AUTHORIZATION_DENIED_HELP: &str =
    "The request was declined, so nothing was stored. Ask the owner of the Vimeo account, then start again.";
pub(crate) const AUTHORIZATION_FAILED: &str = "Failed";
pub(crate) const AUTHORIZATION_FAILED_HELP: &str =
    "The approval could not be completed, so nothing was stored. Fix what is named below, then start again.";
pub(crate) const AUTHORIZATION_WITHDRAWN: &str = "Withdrawn";
pub(crate) const AUTHORIZATION_WITHDRAWN_HELP: &str =
    "The link or code no longer works, and nothing was stored.";
pub(crate) const AUTHORIZATION_WITHDRAW: &str = "Withdraw";
pub(crate) const WAITING_TITLE: &str = "Waiting for approval at Vimeo";
pub(crate) const WAITING_NEW: &str = "New connection";
pub(crate) const WAITING_RENEWAL: &str = "Renewal";
pub(crate) const AUTHORIZATION_EXPIRED: &str = "Expired";
pub(crate) const AUTHORIZATION_EXPIRED_HELP: &str =
    "The request was not approved in time, so nothing was stored.";
pub(crate) const CONTINUE_TO_VIMEO: &str = "Continue to Vimeo";
pub(crate) const SEND_LINK_TITLE: &str = "Send this link";
pub(crate) const SEND_LINK_TEXT: &str = "Send it to the owner of the Vimeo account. It works once.";
pub(crate) const CONNECT_LINK: &str = "Link";
pub(crate) const DEVICE_TITLE: &str = "Enter a code at Vimeo";
pub(crate) const DEVICE_OPEN: &str = "Open";
pub(crate) const DEVICE_ENTER: &str =
    "Sign in to the Vimeo account that will receive the videos, and enter this code.";
pub(crate) const DEVICE_CODE: &str = "Code";
