//! The list that `GET /_sandbox/` returns.

/// Every control: method, path, and what it does with its body.
pub(super) const INDEX: &[(&str, &str, &str)] = &[
    ("GET", "/_sandbox/", "This list; for a browser a dashboard."),
    ("GET", "/_sandbox/index.json", "This list, for a browser too."),
    (
        "POST",
        "/_sandbox/apps",
        "Creates an app: {\"name\"?, \"upload_access\"? (true), \"redirect_uris\"? ([])}. Answers with its credentials.",
    ),
    (
        "POST",
        "/_sandbox/tokens",
        "Creates a token: {\"app\": client id or \"/apps/N\", \"scopes\"? (all): [\"public\", ...] or \"public private\", \
         \"user\"? (true): true for the app's owner, \"/users/N\", {\"name\"} for a new user, false or null for none}. With \"count\" (up to 20,000) creates that many, \
         each of a new user: {\"app\", \"scopes\"?, \"count\", \"user\"?: {\"name\"}, \"requests_per_minute\"?}.",
    ),
    ("GET", "/_sandbox/apps", "Lists the apps, with their credentials."),
    (
        "PATCH",
        "/_sandbox/apps/{number}",
        "Changes an app: {\"name\"?, \"upload_access\"?, \"redirect_uris\"?, \"client_secret_rotated\"?: true for a new secret, which \
         the answer has, \"deleted\"?: true makes its client id and its tokens unknown}. What is left out stays as it is.",
    ),
    (
        "POST",
        "/_sandbox/codes",
        "Creates an authorization code without a browser: {\"app\", \"redirect_uri\"? (the app's only one), \"scopes\"? (all), \
         \"user\"? (true), \"state\"?}. Answers with the code and where a browser would carry it.",
    ),
    ("GET", "/_sandbox/users", "Lists every user: plan, quota, and what they may do."),
    (
        "POST",
        "/_sandbox/users",
        "Creates a user: {\"name\"?, \"plan\"? (null: the sandbox's), \"requests_per_minute\"? (null: the plan's), \"email_verified\"? (true), \"folders\"? (true: may manage \
         them), \"refused_views\"? ([]), \"allowed_privacies\"? (null: derived), \"shows_allowed_privacies\"? (true), \"cold_privacy\"? (false), \"refused_features\"? ([]; of text_tracks, thumbnails, tags, showcases, presets, chapters, versions), \"quota\"?: null for unknown, or {\"unit\"? (\"size\" or \"count\"), \
         \"lifetime\"?: {\"max\", \"used\"?}, \"periodic\"?: {\"max\", \"used\"?}, \"restricted\"?: {\"max\", \"used\"?}, \"period\"? (\"week\", \"month\", \"year\", \"lifetime\")}, where max may be null}.",
    ),
    ("PATCH", "/_sandbox/users/{number}", "Changes a user: what POST takes, and only what is named."),
    (
        "GET",
        "/_sandbox/tokens",
        "Lists every token by fingerprint: whose, where from, revoked or not, and how many requests it was used for.",
    ),
    ("GET", "/_sandbox/tokens/{fingerprint}", "Shows one token."),
    (
        "PATCH",
        "/_sandbox/tokens/{fingerprint}",
        "Changes a token, not its value: {\"scopes\"?, \"expired\"?, \"revoked\"? (false makes it valid again), \"user\"?}. \
         What is left out stays as it is.",
    ),
    ("DELETE", "/_sandbox/tokens/{fingerprint}", "Revokes a token."),
    (
        "POST",
        "/_sandbox/faults",
        "Creates a fault: {\"route\": \"GET /me\", \"/videos/{video}\", \"/videos/*\" or \"*\", \"kind\", \"times\"? (1; 0 or \
         \"always\"), \"after\"? (0), \"every\"?, \"probability\"?, \"seed\"? (0), \"in_seconds\"?, \"for_seconds\"?, and what \
         its kind takes}: status {status, body?, content_type?, error_code?, headers?}, delay {millis}, hold, cut, cut-after, \
         cut-during {bytes}, late {millis}, outage, reset, truncate, html {status?}, rate-limit {reset_seconds?, \
         spend?}, wrong-json {body?}, empty {status?}, huge {bytes?}, garbage, drip {millis, bytes?}, \
         slow-body {bytes_per_second}, odd-headers {style}, wrong-length {by}, redirect {location, status?}, \
         list-lag {seconds}, expired-link {status?}, outcome {status?, error?, upload_status?}.",
    ),
    ("GET", "/_sandbox/faults", "Lists the pending faults."),
    ("DELETE", "/_sandbox/faults", "Removes every fault."),
    ("DELETE", "/_sandbox/faults/{id}", "Removes one fault."),
    (
        "GET",
        "/_sandbox/videos",
        "Lists every video: its versions, text tracks and pictures with sizes and hashes, its tags, chapters, showcases, and when its view changed.",
    ),
    ("GET", "/_sandbox/videos/{number}", "Shows one video."),
    (
        "GET",
        "/_sandbox/videos/{number}/bytes",
        "Gives the bytes of its active version, as far as they came, if the sandbox keeps bytes.",
    ),
    ("POST", "/_sandbox/videos/{number}/step", "Advances its newest version to the next stage."),
    (
        "POST",
        "/_sandbox/videos/{number}/fail",
        "Fails its newest version: {\"status\"?: such as \"transcoding_error\", \"error\"?: such as \"analysis_failed\", \
         \"upload_status\"?: \"canceled\", \"when\"? (\"now\"): \"due\" lets it fail when it would have ended well}.",
    ),
    ("POST", "/_sandbox/videos/{number}/expire-link", "Expires the upload link of its newest version."),
    (
        "GET",
        "/_sandbox/journal",
        "Shows the last 10,000 requests and how many connections brought them; ?after=N&route=GET /me&limit=N.",
    ),
    ("GET", "/_sandbox/journal/live", "Streams further requests as server-sent events; ?after=N."),
    ("DELETE", "/_sandbox/journal", "Empties the journal."),
    ("GET", "/_sandbox/credentials", "Shows the first app's credentials again."),
    ("GET", "/_sandbox/settings", "Shows the settings that PATCH changes."),
    (
        "PATCH",
        "/_sandbox/settings",
        "Changes settings: {\"empty_track_links\"? (true: a text track without a file shows its upload link), \
         \"playable_millis\"? (null: as long as a stage; how long a video is playable before its transcoding is complete), \
         \"image_millis\"? (0: how long an image is processed before it can be the thumbnail)}.",
    ),
    ("POST", "/_sandbox/reset", "Restores the initial state, with the same first credentials."),
    (
        "GET",
        "/_sandbox/film.avi",
        "A sample video of four seconds, 17 MB, with range requests: a source for uploads without network access.",
    ),
    ("GET", "/_sandbox/assets/{name}", "Files of the pages, such as sandbox.css and icon.svg."),
    ("GET", "/_sandbox", "The same list."),
];
