//! Texts that many pages share: the navigation, forms, lists and errors of whole pages.

// What surrounds a page.
pub(crate) const PRODUCT: &str = "Vimeo Connections";
pub(crate) const SKIP: &str = "Skip to the content";
pub(crate) const NAV_LABEL: &str = "Main";
pub(crate) const NAV_CONNECTIONS: &str = "Connections";
pub(crate) const NAV_UPLOADS: &str = "Uploads";
pub(crate) const NAV_KEYS: &str = "API keys";
pub(crate) const NAV_WEBHOOKS: &str = "Webhooks";
pub(crate) const NAV_AUDIT: &str = "Audit";
pub(crate) const NAV_SETTINGS: &str = "Settings";
pub(crate) const SIGN_OUT: &str = "Sign out";
pub(crate) const CRUMB_LABEL: &str = "Up";
pub(crate) const NEW_TAB: &str = "(opens in a new tab)";
pub(crate) const SIGNED_IN_AS: &str = "Signed in as";
/// The role of a person in an account.
pub(crate) fn role_in(role: &str, account: &str) -> String {
    format!("{role} in {account}")
}

// Buttons.
pub(crate) const SAVE: &str = "Save changes";
pub(crate) const CANCEL: &str = "Cancel";
pub(crate) const CONTINUE: &str = "Continue";
pub(crate) const EDIT: &str = "Edit";
pub(crate) const DELETE: &str = "Delete";
pub(crate) const ENABLE: &str = "Enable";
pub(crate) const DISABLE: &str = "Disable";
pub(crate) const RENAME: &str = "Rename";
pub(crate) const ROTATE: &str = "Rotate";
pub(crate) const REVOKE: &str = "Revoke";
pub(crate) const REPLACE: &str = "Replace";
pub(crate) const RETRY: &str = "Retry";
pub(crate) const TRY_AGAIN: &str = "Try again";
pub(crate) const START_AGAIN: &str = "Start again";
pub(crate) const REFRESH: &str = "Refresh";
pub(crate) const DONE: &str = "Done";
pub(crate) const COPY: &str = "Copy";
pub(crate) const COPIED: &str = "Copied";
pub(crate) const COPY_ID: &str = "Copy the ID";
pub(crate) const SAVED_IT: &str = "I have saved it";

// Labels.
pub(crate) const OPTIONAL: &str = "optional";
pub(crate) const REQUIRED: &str = "required";
pub(crate) const OR: &str = "or";
pub(crate) const NAME: &str = "Name";
pub(crate) const DESCRIPTION: &str = "Description";
pub(crate) const FIELD: &str = "Field";
pub(crate) const STATE: &str = "State";
pub(crate) const HEALTH: &str = "Health";
pub(crate) const CONNECTION: &str = "Connection";
pub(crate) const CREATED: &str = "Created";
pub(crate) const UPDATED: &str = "Updated";
pub(crate) const EXPIRES: &str = "Expires";
pub(crate) const LAST_USED: &str = "Last used";
pub(crate) const LAST_SEEN: &str = "Last seen";
pub(crate) const LAST_CHECKED: &str = "Last checked";
pub(crate) const NEVER: &str = "Never";
pub(crate) const NOT_KNOWN: &str = "Not known";
pub(crate) const ENABLED: &str = "Enabled";
pub(crate) const DISABLED: &str = "Disabled";
pub(crate) const DELETED: &str = "Deleted";
pub(crate) const DETAILS: &str = "Details";
pub(crate) const MANAGE: &str = "Manage";
pub(crate) const ACTIONS: &str = "Actions";
pub(crate) const VERSION: &str = "Version";
pub(crate) const ACCOUNT: &str = "Account";
pub(crate) const PERSON: &str = "Person";
pub(crate) const ROLE: &str = "Role";

// Lists.
pub(crate) const FILTER: &str = "Filter";
pub(crate) const CLEAR_FILTERS: &str = "Clear the filters";
pub(crate) const PAGER_LABEL: &str = "Pages";
pub(crate) const PAGER_FIRST: &str = "First page";
pub(crate) const PAGER_NEXT: &str = "Next";
pub(crate) const SELECT_ALL: &str = "Select all";

// Forms.
pub(crate) const ERRORS_TITLE: &str = "There is a problem";
pub(crate) const REENTER: &str = "Secrets are never sent back to the browser: enter them again.";
pub(crate) const SHOWN_ONCE: &str = "Copy this now and store it safely. It is shown only this once.";
pub(crate) const LINK_SHOWN_ONCE: &str = "Copy this link now. It is shown only this once.";

// Live updates.
pub(crate) const LIVE_PAUSE: &str = "Pause updates";
pub(crate) const LIVE_RESUME: &str = "Resume updates";
pub(crate) const LIVE_STOPPED: &str = "Live updates have stopped. Refresh the page to see what has changed.";

// Without an answer of the service.
pub(crate) const UNREACHABLE: &str = "The service could not be reached. Check the network, then try again.";

// The health of a connection.
pub(crate) const HEALTH_HEALTHY: &str = "Healthy";
pub(crate) const HEALTH_UNHEALTHY: &str = "Unhealthy";
pub(crate) const HEALTH_UNVERIFIED: &str = "Unverified";

// Pages of errors.
pub(crate) const PROBLEM_BACK: &str = "Back to the dashboard";
pub(crate) const REQUEST_ID: &str = "Request ID, for support:";
pub(crate) const PROBLEM_400_TITLE: &str = "The request was not valid";
pub(crate) const PROBLEM_400: &str = "Go back, check what you entered, and send it again.";
pub(crate) const PROBLEM_403_TITLE: &str = "Your role does not allow this";
pub(crate) const PROBLEM_403: &str =
    "Nothing was changed. Ask an owner of the account to do it, or to give you another role.";
pub(crate) const PROBLEM_STALE_TITLE: &str = "This form has expired";
pub(crate) const PROBLEM_STALE: &str =
    "Nothing was changed. Go back, reload the page, and send the form again.";
pub(crate) const PROBLEM_404_TITLE: &str = "This page does not exist";
pub(crate) const PROBLEM_404: &str =
    "What it showed may have been deleted, or the address has a typing error.";
pub(crate) const PROBLEM_409_TITLE: &str = "This was changed by someone else";
pub(crate) const PROBLEM_409: &str =
    "Nothing was changed. Go back, reload the page to see the current state, and try again.";
pub(crate) const PROBLEM_429_TITLE: &str = "Too many requests";
pub(crate) const PROBLEM_429: &str = "Wait a minute, then try again.";
pub(crate) const PROBLEM_500_TITLE: &str = "The service failed";
pub(crate) const PROBLEM_500: &str =
    "Try again. If it fails again, send the request ID to the operator of this service.";
pub(crate) const PROBLEM_503_TITLE: &str = "The service is not available";
pub(crate) const PROBLEM_503: &str = "Nothing was stored. Try again in a minute.";

// Signing in again.
pub(crate) const CONFIRM_TITLE: &str = "Confirm that it is you";
pub(crate) const CONFIRM_LINK: &str = "You signed in with a link. Without an API key, ask an owner of the account for a new invitation: for some minutes after signing in, no confirmation is needed.";
pub(crate) const CONFIRM_TEXT: &str =
    "What you are about to do affects secrets or access. Enter an API key of this account to continue.";
pub(crate) const CONFIRM_KEY_HINT: &str =
    "An active key of this account that allows what you are about to do. It is not stored.";
pub(crate) const CONFIRM_BUTTON: &str = "Confirm";
