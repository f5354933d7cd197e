//! Every call in the pages for people that takes a secret out of its type.

/// File, line of code, and the reason to expose the secret.
pub(super) const PAGES: &[(&str, &str, &str)] = &[
    (
        "web/src/dashboard/pages/connect.rs",
        "let link = created.connect_url.as_ref().map_or(\"\", |url| url.expose());",
        "shown once; what is kept for a form that is sent twice is sealed",
    ),
    (
        "web/src/dashboard/pages/authorization.rs",
        "code: device.user_code.expose().to_owned(),",
        "shown to the person who enters it",
    ),
    (
        "web/src/dashboard/pages/hosted.rs",
        "code: device.user_code.expose().to_owned(),",
        "shown to the person who enters it",
    ),
    (
        "web/src/dashboard/pages/hosted.rs",
        "let mut response = page(&LeavePage { bare, url: url.expose().to_owned() });",
        "the browser is sent there",
    ),
    (
        "web/src/dashboard/pages/hosted.rs",
        "let state = parameter(url.expose().split_once('?').map(|(_, query)| query), \"state\");",
        "a few of its characters distinguish the cookies of a browser",
    ),
    (
        "web/src/dashboard/pages/hosted.rs",
        "let value = format!(\"{}{BINDING_SEPARATOR}{token}\", binding.expose());",
        "the browser's cookie",
    ),
    ("web/src/dashboard/pages/keys.rs", "let key = new.plain.expose().to_owned();", "shown once"),
    ("web/src/dashboard/pages/settings.rs", "let path = sign_in_path(link.token.expose());", "shown once"),
    (
        "web/src/dashboard/pages/sign_in.rs",
        "cookies::set(response.headers_mut(), cookies::SESSION, started.token.expose(), Keep::Session);",
        "the browser's cookie",
    ),
    (
        "web/src/dashboard/pages/webhooks.rs",
        "url: shown.url.expose().to_owned(),",
        "the form in which it is changed",
    ),
    (
        "web/src/dashboard/pages/webhooks.rs",
        "url: without_query(shown.url.expose()),",
        "shown without its query",
    ),
    (
        "web/src/dashboard/pages/webhooks.rs",
        "url: without_query(created.shown.url.expose()),",
        "shown without its query",
    ),
    ("web/src/dashboard/pages/webhooks.rs", "secret: created.secret.expose().to_owned(),", "shown once"),
    (
        "seal/src/sessions.rs",
        "HashedToken(self.sign(|keys| &keys.session_token, token.expose().as_bytes()))",
        "it is hashed",
    ),
    (
        "seal/src/sessions.rs",
        "self.verify(|keys| &keys.session_token, token.expose().as_bytes(), &hash.0)",
        "it is hashed",
    ),
];
