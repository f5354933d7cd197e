//! What `GET /_sandbox/` lists.

/// Every control, and what its body takes.
pub(super) const INDEX: &[(&str, &str, &str)] = &[
    ("GET", "/_sandbox/", "This list; for a browser a page to see and steer everything."),
    ("GET", "/_sandbox/index.json", "This list, for a browser too."),
    (
        "POST",
        "/_sandbox/apps",
        "Makes an app: {\"name\"?, \"upload_access\"? (true), \"redirect_uris\"? ([])}. Answers with its credentials.",
    ),
    (
        "POST",
        "/_sandbox/tokens",
        "Makes a token: {\"app\": client id or \"/apps/N\", \"scopes\"? (all): [\"public\", ...] or \"public private\", \
         \"user\"? (true): true for the app's owner, \"/users/N\", {\"name\"} for somebody new, false or null for nobody}.",
    ),
    ("GET", "/_sandbox/apps", "Lists the apps, with their credentials."),
    (
        "PATCH",
        "/_sandbox/apps/{number}",
        "Changes an app: {\"name\"?, \"upload_access\"?, \"redirect_uris\"?}. What is left out stays as it is.",
    ),
    (
        "POST",
        "/_sandbox/codes",
        "Makes an authorization code without a browser: {\"app\", \"redirect_uri\"? (the app's only one), \"scopes\"? (all), \
         \"user\"? (true), \"state\"?}. Answers with the code and where a browser would carry it.",
    ),
    ("GET", "/_sandbox/users", "Lists every user: plan, quota, and what they may do."),
    (
        "POST",
        "/_sandbox/users",
        "Makes a user: {\"name\"?, \"plan\"? (null: the sandbox's), \"email_verified\"? (true), \"folders\"? (true: may manage \
         them), \"refused_views\"? ([]), \"quota\"?: null for nothing known, or {\"unit\"? (\"size\" or \"count\"), \
         \"lifetime\"?: {\"max\", \"used\"?}, \"periodic\"?: {\"max\", \"used\"?}, \"period\"? (\"week\", \"month\", \"year\", \"lifetime\")}, where max may be null}.",
    ),
    ("PATCH", "/_sandbox/users/{number}", "Changes a user: what POST takes, and only what is named."),
    ("GET", "/_sandbox/tokens", "Lists every token by fingerprint: whose, where from, revoked or not."),
    ("DELETE", "/_sandbox/tokens/{fingerprint}", "Revokes a token."),
    (
        "POST",
        "/_sandbox/faults",
        "Makes a fault: {\"route\": \"GET /me\", \"/videos/{video}\", \"/videos/*\" or \"*\", \"kind\", \"times\"? (1; 0 or \
         \"always\"), \"after\"? (0), \"every\"?, \"probability\"?, \"seed\"? (0), \"in_seconds\"?, \"for_seconds\"?, and what \
         its kind takes}: status {status, body?, content_type?, error_code?, headers?}, delay {millis}, hold, cut, cut-after, \
         cut-during {bytes}, late {millis}, outage, reset, truncate, html {status?}, rate-limit {reset_seconds?, \
         spend?}, wrong-json {body?}, empty {status?}, huge {bytes?}, garbage, drip {millis, bytes?}, \
         slow-body {bytes_per_second}, odd-headers {style}, wrong-length {by}, redirect {location, status?}, \
         list-lag {seconds}, expired-link {status?}, outcome {status?, error?, upload_status?}.",
    ),
    ("GET", "/_sandbox/faults", "Lists the faults that are still to happen."),
    ("DELETE", "/_sandbox/faults", "Removes every fault."),
    ("DELETE", "/_sandbox/faults/{id}", "Removes one fault."),
    ("GET", "/_sandbox/videos", "Lists every video: its versions, their bytes, hashes and stages."),
    ("GET", "/_sandbox/videos/{number}", "Shows one video."),
    (
        "GET",
        "/_sandbox/videos/{number}/bytes",
        "Gives the bytes of its active version, as far as they came, if the sandbox keeps bytes.",
    ),
    ("POST", "/_sandbox/videos/{number}/step", "Moves its newest version on to the next stage."),
    (
        "POST",
        "/_sandbox/videos/{number}/fail",
        "Ends its newest version badly: {\"status\"?: such as \"transcoding_error\", \"error\"?: such as \"analysis_failed\", \
         \"upload_status\"?: \"canceled\", \"when\"? (\"now\"): \"due\" lets it fail when it would have ended well}.",
    ),
    ("POST", "/_sandbox/videos/{number}/expire-link", "Ends the upload link of its newest version."),
    (
        "GET",
        "/_sandbox/journal",
        "Shows the last 10,000 requests and how many connections brought them; ?after=N&route=GET /me&limit=N.",
    ),
    ("GET", "/_sandbox/journal/live", "Goes on to show them as they come, as server-sent events; ?after=N."),
    ("DELETE", "/_sandbox/journal", "Empties the journal."),
    ("GET", "/_sandbox/credentials", "Shows the first app's credentials again."),
    (
        "POST",
        "/_sandbox/reset",
        "Puts everything back as it was at the start, with the same first credentials.",
    ),
    (
        "GET",
        "/_sandbox/film.avi",
        "A film of four seconds, 17 MB, made on the spot and read by ranges: a source for uploads where there is no network.",
    ),
    ("GET", "/_sandbox/assets/{name}", "What the pages are drawn with: sandbox.css, icon.svg."),
    ("GET", "/_sandbox", "The same list."),
];
