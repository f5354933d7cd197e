//! Texts of the pages for an account's own customers, who approve a connection.

/// The title of the page that asks.
pub(crate) fn hosted_title(account: &str) -> String {
    format!("{account} asks to connect your Vimeo account")
}

/// The account was connected.
pub(crate) fn hosted_done(account: &str) -> String {
    format!("{account} can now upload videos to your Vimeo account.")
}

/// The link back to the account's own pages.
pub(crate) fn hosted_return(account: &str) -> String {
    format!("Return to {account}")
}

pub(crate) const HOSTED_INTRO: &str = "You decide at Vimeo. Your Vimeo password is never seen here.";
pub(crate) const HOSTED_RENEW_INTRO: &str = "The connection exists already and needs your approval again. You decide at Vimeo. Your Vimeo password is never seen here.";
pub(crate) const LEAVE_TITLE: &str = "One moment";
pub(crate) const LEAVE_TEXT: &str = "You are being sent on. If nothing happens, use the button.";
pub(crate) const CONTINUE_LINK: &str = "Continue";
pub(crate) const HOSTED_WHO: &str = "Who asks";
pub(crate) const HOSTED_WHAT: &str = "For the connection";
pub(crate) const HOSTED_PERMISSIONS: &str = "If you approve, it can";
pub(crate) const HOSTED_NEXT: &str =
    "Vimeo asks you to sign in and to approve. Sign in with the account that will receive the videos.";
pub(crate) const HOSTED_DECLINE: &str = "No, decline";
pub(crate) const HOSTED_REVOKE: &str =
    "You can withdraw your approval at any time, in the settings of your Vimeo account under Connected apps.";
pub(crate) const HOSTED_DEVICE_INTRO: &str = "Approve with a code at Vimeo. The connection:";

// What the app will be able to do, a sentence for each scope.
pub(crate) const PERMISSION_PUBLIC: &str = "See your public profile and videos";
pub(crate) const PERMISSION_PRIVATE: &str =
    "See your private videos and account information, such as free space";
pub(crate) const PERMISSION_UPLOAD: &str = "Upload videos to your account";
pub(crate) const PERMISSION_EDIT: &str = "Change the title, privacy and folder of your videos";
pub(crate) const PERMISSION_DELETE: &str = "Delete videos, to clean up after uploads that fail";
pub(crate) const PERMISSION_INTERACT: &str = "Like, comment on and follow videos as you";
pub(crate) const PERMISSION_OTHER: &str = "Use another permission that Vimeo will name";

/// What a scope allows.
pub(crate) fn permission(scope: &str) -> &'static str {
    match scope {
        "public" => PERMISSION_PUBLIC,
        "private" => PERMISSION_PRIVATE,
        "upload" => PERMISSION_UPLOAD,
        "edit" => PERMISSION_EDIT,
        "delete" => PERMISSION_DELETE,
        "interact" => PERMISSION_INTERACT,
        _ => PERMISSION_OTHER,
    }
}

// The result.
pub(crate) const HOSTED_DONE_TITLE: &str = "Your Vimeo account is connected";
pub(crate) const HOSTED_CLOSE: &str = "You can close this page.";
pub(crate) const HOSTED_NO_UPLOAD_ACCESS: &str = "Vimeo does not let this app upload to this account: apps without upload access can upload only to the account of their owner, if at all. Uploads will fail until the owner of the app requests upload access at developer.vimeo.com and Vimeo approves it.";

// It was not connected.
pub(crate) const HOSTED_BACK: &str = "Return";
pub(crate) const HOSTED_USED_TITLE: &str = "This link has been used";
pub(crate) const HOSTED_USED: &str =
    "A link works once. If your account is not connected yet, ask the sender for a new link.";
pub(crate) const HOSTED_EXPIRED_TITLE: &str = "This link has expired";
pub(crate) const HOSTED_EXPIRED: &str = "It was not used in time. Ask the sender for a new link.";
pub(crate) const HOSTED_UNKNOWN_TITLE: &str = "This link does not work";
pub(crate) const HOSTED_UNKNOWN: &str = "It is incomplete, or it was withdrawn. Check that you opened all of it, or ask the sender for a new link.";
pub(crate) const HOSTED_DENIED_TITLE: &str = "You declined";
pub(crate) const HOSTED_DENIED: &str = "Your Vimeo account was not connected, and nothing was stored. If that was a mistake, ask the sender for a new link.";
pub(crate) const HOSTED_OTHER_BROWSER_TITLE: &str = "This was started in another browser";
pub(crate) const HOSTED_OTHER_BROWSER: &str = "For your safety, an approval must end in the browser in which it started. Your account was not connected. Open the link again, and stay in the same browser.";
pub(crate) const HOSTED_IN_PROGRESS_TITLE: &str = "Your decision is being processed";
pub(crate) const HOSTED_IN_PROGRESS: &str = "This takes a few seconds. Then open this page again.";
pub(crate) const HOSTED_WITHDRAWN_TITLE: &str = "This link was withdrawn";
pub(crate) const HOSTED_WITHDRAWN: &str = "The sender no longer needs your approval, and nothing was connected. Ask the sender if you did not expect this.";
pub(crate) const HOSTED_FAILED_TITLE: &str = "Your account was not connected";
pub(crate) const HOSTED_FAILED: &str =
    "The approval could not be completed, and nothing was stored. Send this page to the sender of the link.";
pub(crate) const HOSTED_UNAVAILABLE_TITLE: &str = "Vimeo is not reachable";
pub(crate) const HOSTED_UNAVAILABLE: &str =
    "Your account was not connected, and nothing was stored. Ask the sender for a new link in a few minutes.";
