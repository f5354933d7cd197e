//! Texts of the pages of connections.

// The list.
pub(crate) const CONNECTIONS_TITLE: &str = "Connections";
pub(crate) const CONNECTIONS_LEAD: &str = "The Vimeo accounts that this account can upload to.";
pub(crate) const CONNECTIONS_PASTE: &str = "Paste credentials";
pub(crate) const CONNECTIONS_CONNECT: &str = "Connect with Vimeo";
pub(crate) const CONNECTIONS_FILTER_LABEL: &str = "Filter connections";
pub(crate) const CONNECTIONS_SEARCH: &str = "Name, connection ID or client identifier";
pub(crate) const CONNECTIONS_NONE_TITLE: &str = "No connection matches";
pub(crate) const CONNECTIONS_NONE: &str = "Change the filters, or clear them to see all connections.";
pub(crate) const VIMEO_ACCOUNT: &str = "Vimeo account";

// The first visit.
pub(crate) const FIRST_TITLE: &str = "No connections yet";
pub(crate) const FIRST_TEXT: &str = "A connection holds the credentials of a Vimeo app, so that videos can be uploaded to the Vimeo account behind it. There are two ways to make one.";
pub(crate) const FIRST_READER_TEXT: &str = "A connection holds the credentials of a Vimeo app, so that videos can be uploaded to the Vimeo account behind it. A member or an owner of the account can make one.";
pub(crate) const FIRST_CONNECT_TITLE: &str = "Connect with Vimeo";
pub(crate) const FIRST_CONNECT_TEXT: &str = "The owner of the Vimeo account approves the app at Vimeo. You need the client identifier and the client secret of the app, and no access token.";
pub(crate) const FIRST_PASTE_TITLE: &str = "Paste credentials";
pub(crate) const FIRST_PASTE_TEXT: &str = "You have the client identifier, the client secret and an access token from the page of the app at Vimeo.";

// Vimeo's own steps.
pub(crate) const STEPS_TITLE: &str = "Where to find the credentials";
pub(crate) const VIMEO_APPS: &str = "Open developer.vimeo.com";
pub(crate) const VIMEO_APPS_URL: &str = "https://developer.vimeo.com/apps";
pub(crate) const STEP_APP: &str = "Create an app.";
pub(crate) const STEP_APP_TEXT: &str =
    "Sign in to the Vimeo account that receives the videos, and create an app.";
pub(crate) const STEP_UPLOAD: &str = "Request upload access.";
pub(crate) const STEP_UPLOAD_TEXT: &str =
    "On the page of the app, under General Information. Vimeo may take some days to approve it.";
pub(crate) const STEP_TOKEN: &str = "Generate an access token.";
pub(crate) const STEP_TOKEN_TEXT: &str = "Choose Authenticated (you) and these scopes:";
pub(crate) const STEP_TOKEN_OPTIONAL: &str = "Optional:";
pub(crate) const STEP_COPY: &str = "Copy three values.";
pub(crate) const STEP_COPY_TEXT: &str =
    "The client identifier, the client secret, and the access token, which Vimeo shows only once.";

// Fields.
pub(crate) const NAME_HINT: &str = "Letters, digits, spaces, hyphens and underscores; at most 100 characters. Each name is used once in the account.";
pub(crate) const CLIENT_IDENTIFIER: &str = "Client identifier";
pub(crate) const CLIENT_IDENTIFIER_HINT: &str = "From the page of the app at developer.vimeo.com.";
pub(crate) const CLIENT_SECRET: &str = "Client secret";
pub(crate) const CLIENT_SECRET_HINT: &str = "Stored encrypted, and never shown again.";
pub(crate) const ACCESS_TOKEN: &str = "Access token";
pub(crate) const ACCESS_TOKEN_HINT: &str =
    "Of the same app, with the scopes private, upload and edit. Stored encrypted, and never shown again.";
pub(crate) const ENABLED_HINT: &str = "Uploads can use this connection.";
pub(crate) const ASKING_VIMEO: &str = "Asking Vimeo…";

// A new connection.
pub(crate) const NEW_TITLE: &str = "New connection";
pub(crate) const NEW_LEAD: &str = "Paste the credentials of a Vimeo app.";
pub(crate) const NEW_INSTEAD: &str = "Connect with Vimeo instead";
pub(crate) const NEW_BUTTON: &str = "Check and create";
pub(crate) const NEW_NOTE: &str =
    "Vimeo is asked whether it accepts these credentials before anything is stored.";

// Changing a connection.
pub(crate) const EDIT_TITLE: &str = "Edit the connection";
/// The title of the form that changes a connection.
pub(crate) fn edit_title(name: &str) -> String {
    format!("Edit {name}")
}

pub(crate) const CONFLICT_TITLE: &str = "The connection was changed while you were editing";
pub(crate) const CONFLICT_TEXT: &str =
    "Nothing was saved. Compare the values. If you save now, yours replace the others.";
pub(crate) const CONFLICT_THEIRS: &str = "Stored now";
pub(crate) const CONFLICT_YOURS: &str = "Yours";
pub(crate) const CONFLICT_OVERWRITE: &str = "Save mine";

// Replacing credentials.
pub(crate) const CREDENTIALS_TITLE: &str = "Replace the credentials";
pub(crate) const CREDENTIALS_LEAD: &str = "What you leave empty stays as it is.";
pub(crate) const CREDENTIALS_TOKEN_HINT: &str = "A new token from the page of the app at developer.vimeo.com. Leave it empty to keep the one that is stored.";
pub(crate) const CREDENTIALS_KEEP_HINT: &str = "Leave it empty to keep the one that is stored.";
pub(crate) const CREDENTIALS_BUTTON: &str = "Check and replace";
/// The title of the form that replaces credentials.
pub(crate) fn credentials_title(name: &str) -> String {
    format!("Replace the credentials of {name}")
}

// Deleting a connection.
pub(crate) const DELETE_TITLE: &str = "Delete the connection";
pub(crate) const DELETE_TEXT: &str =
    "Its credentials are destroyed and cannot be restored. Videos that are already at Vimeo stay there.";
pub(crate) const DELETE_SHORT_TEXT: &str = "Destroys its credentials.";
pub(crate) const DELETE_NAME: &str = "Type the name of the connection";
pub(crate) const DELETE_HINT: &str = "Exactly as shown above.";
pub(crate) const DELETE_BUTTON: &str = "Delete this connection";
/// The title of the form that deletes a connection.
pub(crate) fn delete_title(name: &str) -> String {
    format!("Delete {name}")
}

// The page of a connection.
pub(crate) const TEST_NOW: &str = "Test now";
pub(crate) const SINCE: &str = "Since";
pub(crate) const CHECKED: &str = "Checked";
pub(crate) const NEXT_CHECK: &str = "next check";
pub(crate) const NEVER_CHECKED: &str = "Not checked yet";
pub(crate) const CHECKS_TITLE: &str = "Checks";
pub(crate) const CHECK_PASS: &str = "Passed";
pub(crate) const CHECK_WARN: &str = "Warning";
pub(crate) const CHECK_FAIL: &str = "Failed";
pub(crate) const CHECK_UNKNOWN: &str = "Unknown";
pub(crate) const RECENT_UPLOADS: &str = "Recent uploads";
pub(crate) const ALL_UPLOADS: &str = "All uploads";
pub(crate) const CONNECTION_NO_UPLOADS: &str = "Nothing has been uploaded with this connection.";
pub(crate) const HISTORY: &str = "History";
pub(crate) const ALL_HISTORY: &str = "Full history";
pub(crate) const NO_HISTORY: &str = "No events.";
pub(crate) const PLAN: &str = "Plan";
pub(crate) const OPEN_AT_VIMEO: &str = "Open at Vimeo";
pub(crate) const VIMEO_ACCOUNT_NOT_KNOWN: &str = "Not known yet. Test the connection to find out.";
pub(crate) const CONNECTION_ID: &str = "Connection ID";
pub(crate) const CREDENTIALS: &str = "Credentials";
pub(crate) const CREDENTIALS_STORED: &str = "Stored encrypted";
pub(crate) const TOKEN_SCOPES: &str = "Scopes of the token";
pub(crate) const PRIVACIES: &str = "Allowed privacy";
pub(crate) const REPLACE_CREDENTIALS: &str = "Replace credentials";
pub(crate) const REPLACE_TEXT: &str = "A new access token or client secret.";
pub(crate) const RENEW_SHORT: &str = "Renew";
pub(crate) const RENEW_TEXT: &str = "A new access token by approval at Vimeo.";
pub(crate) const DISABLE_TITLE: &str = "Disable the connection";
pub(crate) const DISABLE_TEXT: &str = "Keeps it, but stops its uploads.";
pub(crate) const ENABLE_TITLE: &str = "Enable the connection";
pub(crate) const ENABLE_TEXT: &str = "Uploads can use it again.";

// The number of connections.
pub(crate) const ONE_CONNECTION: &str = "1 connection";
/// How many connections an account has.
pub(crate) fn connection_count(count: &str) -> String {
    format!("{count} connections")
}

/// The same, if they were not all counted.
pub(crate) fn connection_count_more(count: &str) -> String {
    format!("More than {count} connections")
}

/// How many connections on this page match the filters.
pub(crate) fn connection_matches(matches: &str, total: &str) -> String {
    format!("{matches} on this page, of {total}")
}

/// Only a part of the connections was searched.
pub(crate) fn search_stopped(count: &str) -> String {
    format!("One search covers {count} connections, and there are more. Choose Next to search the others.")
}

// Why a connection is not healthy, in the list: what is wrong, and what to do.
pub(crate) const REASON_UNVERIFIED: &str = "Vimeo has not been asked successfully yet.";
pub(crate) const REASON_CLIENT: &str = "Vimeo rejects the client identifier or the client secret.";
pub(crate) const REASON_TOKEN: &str = "Vimeo rejects the access token.";
pub(crate) const REASON_USER: &str = "The access token belongs to no user.";
pub(crate) const REASON_APP: &str = "The access token belongs to another app.";
pub(crate) const REASON_SCOPES: &str = "The access token lacks scopes.";
pub(crate) const REASON_UPLOAD: &str = "The app may not upload.";
pub(crate) const CURE_CREDENTIALS: &str = "Replace the credentials.";
pub(crate) const CURE_TOKEN: &str = "Replace the access token.";
pub(crate) const CURE_UPLOAD: &str = "Request upload access at Vimeo, then test the connection.";
pub(crate) const CURE_TEST: &str = "Test the connection to see what is wrong.";

// What is wrong with a connection, on its page.
pub(crate) const PROBLEM_CLIENT_TITLE: &str = "Vimeo rejects the client identifier or the client secret";
pub(crate) const PROBLEM_TOKEN_TITLE: &str = "Vimeo rejects the access token";
pub(crate) const PROBLEM_USER_TITLE: &str = "The access token belongs to no user";
pub(crate) const PROBLEM_APP_TITLE: &str = "The access token belongs to another app";
pub(crate) const PROBLEM_SCOPES_TITLE: &str = "The access token lacks scopes";
pub(crate) const PROBLEM_UPLOAD_TITLE: &str = "The app may not upload";
pub(crate) const UNVERIFIED_TITLE: &str = "The credentials are not verified yet";
pub(crate) const UNVERIFIED_TEXT: &str =
    "Vimeo has not been asked successfully yet whether it accepts them. Test the connection to ask again.";
pub(crate) const DISABLED_TITLE: &str = "The connection is disabled";
pub(crate) const DISABLED_TEXT: &str = "Uploads wait until it is enabled, and none can be started.";
pub(crate) const WARNING_TITLE: &str = "Uploads may fail";

// The Vimeo account of a connection.
pub(crate) const QUOTA_SPACE: &str = "In all";
pub(crate) const QUOTA_PERIOD: &str = "In this period";
pub(crate) const QUOTA_RESTRICTED: &str = "For videos that are not public";
/// How much space is free.
pub(crate) fn bytes_free(bytes: &str) -> String {
    format!("{bytes} free")
}

// Errors of the forms.
pub(crate) const SUBJECT_NAME: &str = "The name";
pub(crate) const SUBJECT_DESCRIPTION: &str = "The description";
pub(crate) const SUBJECT_RETURN: &str = "The return address";
pub(crate) const SUBJECT_URL: &str = "The URL";
pub(crate) const SUBJECT_CLIENT_IDENTIFIER: &str = "The client identifier";
pub(crate) const SUBJECT_CLIENT_SECRET: &str = "The client secret";
pub(crate) const SUBJECT_ACCESS_TOKEN: &str = "The access token";
/// A field that was left empty.
pub(crate) fn required(subject: &str) -> String {
    format!("{subject} is required.")
}

/// A rule that a field breaks: `must be at most 100 characters long`.
pub(crate) fn broken_rule(subject: &str, rule: &str) -> String {
    format!("{subject} {rule}.")
}

pub(crate) const ERROR_NOTHING_REPLACED: &str = "Nothing was entered that differs from what is stored. Enter a new access token, client secret or client identifier.";
pub(crate) const ERROR_FORM_REUSED: &str = "This form was sent before with other values, and that connection was created. Send it again to create another one.";
pub(crate) const ERROR_FORM_IN_USE: &str = "This form is being processed already. Wait a few seconds, then look at the list before you send it again.";

// Deleting while uploads are in progress.
pub(crate) const RUNNING_ONE: &str = "1 upload in progress is cancelled.";
/// How many uploads are cancelled.
pub(crate) fn running_uploads(count: &str) -> String {
    format!("{count} uploads in progress are cancelled.")
}

/// The same, if they were not all counted.
pub(crate) fn running_uploads_more(count: &str) -> String {
    format!("More than {count} uploads in progress are cancelled.")
}

// The state as a value of a field.
pub(crate) const NO_DESCRIPTION: &str = "None";
