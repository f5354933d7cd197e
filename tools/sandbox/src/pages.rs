//! HTML pages: one style sheet, scripts on the dashboard only, nothing from other origins, no framing, no caching.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

/// Allows the sandbox's own style sheet and icon. There is no `form-action`: browsers apply it to all redirects that
/// follow a form, and the redirect URIs of apps are not known here.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Also allows the sandbox's own script, which connects to the sandbox only. Its forms are handled by the script.
const SCRIPTED_POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; \
                               connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const ASSETS: [(&str, &str, &str); 5] = [
    ("sandbox.css", STYLE, include_str!("../assets/sandbox.css")),
    ("dashboard.css", STYLE, include_str!("../assets/dashboard.css")),
    ("sandbox.js", SCRIPT, include_str!("../assets/sandbox.js")),
    ("journal.js", SCRIPT, include_str!("../assets/journal.js")),
    ("icon.svg", "image/svg+xml", include_str!("../assets/icon.svg")),
];

/// A page with the headers that all pages have.
pub(crate) fn page(status: StatusCode, template: &impl Template) -> Response {
    render(status, template, POLICY)
}

/// A page with the sandbox's own script.
pub(crate) fn scripted_page(status: StatusCode, template: &impl Template) -> Response {
    render(status, template, SCRIPTED_POLICY)
}

fn render(status: StatusCode, template: &impl Template, policy: &'static str) -> Response {
    // A template that only inserts texts cannot fail.
    let mut response = Response::new(Body::from(template.render().unwrap_or_default()));
    *response.status_mut() = status;
    protect(&mut response, "text/html; charset=utf-8", policy);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn protect(response: &mut Response, content_type: &'static str, policy: &'static str) {
    let constant: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, content_type),
        (CONTENT_SECURITY_POLICY, policy),
        (X_FRAME_OPTIONS, "DENY"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in constant {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}

#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    title: &'a str,
    paragraphs: &'a [&'a str],
}

/// A page with a message.
pub(crate) fn message(status: StatusCode, title: &str, paragraphs: &[&str]) -> Response {
    page(status, &Message { title, paragraphs })
}

/// `GET /_sandbox/assets/{name}`: style sheets, scripts and the icon.
pub(crate) async fn asset(Path(wanted): Path<String>) -> Response {
    let Some((_, content_type, text)) = ASSETS.iter().find(|(name, ..)| *name == wanted) else {
        return message(StatusCode::NOT_FOUND, "There is no such file", &["No page of the sandbox uses it."]);
    };
    let mut response = (*text).into_response();
    protect(&mut response, content_type, POLICY);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// Foreign text for a page: truncated, and without characters that hide or reorder the text around it. Templates escape
/// it.
pub(crate) fn presentable(text: &str, characters_max: usize) -> String {
    let mut shown: String = text
        .chars()
        .take(characters_max)
        .map(|char| if is_deceptive(char) { '\u{fffd}' } else { char })
        .collect();
    if text.chars().nth(characters_max).is_some() {
        shown.push('…');
    }
    shown
}

fn is_deceptive(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_or_turns_text_around_is_shown_as_unreadable() {
        assert_eq!(presentable("a\u{202e}b\r\nc\u{0}", 40), "a\u{fffd}b\u{fffd}\u{fffd}c\u{fffd}");
        assert_eq!(presentable("Müller & Söhne", 40), "Müller & Söhne");
    }

    #[test]
    fn a_long_text_is_cut_with_a_mark() {
        assert_eq!(presentable("abcd", 4), "abcd");
        assert_eq!(presentable("abcde", 4), "abcd…");
    }
}
