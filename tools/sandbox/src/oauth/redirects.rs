//! Where a browser may be sent back to, and with what.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use crate::errors;
use crate::pages;
use crate::state::{App, Return};

const URI_MAX_BYTES: usize = 2048;

/// Schemes that run or show something instead of going somewhere.
const REFUSED_SCHEMES: [&str; 7] = ["about", "blob", "data", "file", "filesystem", "javascript", "vbscript"];

/// What stands against a URI as a place to send a user back to; the rest of a sentence that begins with it.
pub(crate) fn flaw(uri: &str) -> Option<&'static str> {
    if uri.is_empty() || uri.len() > URI_MAX_BYTES {
        return Some("must have 1 to 2048 characters");
    }
    if !uri.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("must have no spaces, no control characters and nothing that needs escaping");
    }
    if uri.contains('#') {
        return Some("must have no fragment");
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return Some("must begin with a scheme") };
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return Some("must begin with a scheme");
    }
    let scheme = scheme.to_ascii_lowercase();
    if REFUSED_SCHEMES.contains(&scheme.as_str()) {
        return Some("has a scheme that leads nowhere");
    }
    let is_web = scheme == "http" || scheme == "https";
    if is_web && !(rest.starts_with("//") && names_host(uri)) {
        return Some("must name a host");
    }
    None
}

fn names_host(uri: &str) -> bool {
    uri.parse::<Uri>().is_ok_and(|uri| uri.host().is_some_and(|host| !host.is_empty()))
}

/// Whether an app may send users there: where it is registered, byte for byte; a guest to any web address, because
/// nobody could register for it.
pub(crate) fn is_allowed(app: &App, uri: &str) -> bool {
    let lower = uri.to_ascii_lowercase();
    let is_web = lower.starts_with("http://") || lower.starts_with("https://");
    app.redirect_uris.iter().any(|known| known == uri) || (app.is_guest && is_web && flaw(uri).is_none())
}

/// Where in an address parameters travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Query,
    /// For a token and what concerns it: no server sees it.
    Fragment,
}

/// Sends the browser back to the app with these parameters and its state.
pub(crate) fn send_back(back: &Return, place: Place, parameters: &[(&str, &str)]) -> Response {
    match HeaderValue::try_from(location(back, place, parameters)) {
        Ok(location) => errors::uncached((StatusCode::FOUND, [(LOCATION, location)]).into_response()),
        Err(_) => pages::message(
            StatusCode::BAD_REQUEST,
            "The app cannot be told",
            &["The state parameter, or the app's redirect URI, has a character that no header may have."],
        ),
    }
}

/// Where the browser goes.
pub(crate) fn location(back: &Return, place: Place, parameters: &[(&str, &str)]) -> String {
    let mut added = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if let Some(state) = &back.state {
        added = format!("{added}&state={state}");
    }
    let uri = &back.redirect_uri;
    match place {
        Place::Fragment => format!("{uri}#{added}"),
        Place::Query => format!("{uri}{}{added}", mark_before_more(uri)),
    }
}

fn mark_before_more(uri: &str) -> &'static str {
    match uri.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_sites_and_apps_are_fit() {
        for uri in [
            "http://localhost:8080/callback",
            "https://example.com",
            "http://[::1]:80/?a=b&c",
            "HTTPS://Example.com/",
            "vimeo123://auth",
            "com.example.app:/oauth",
        ] {
            assert_eq!(flaw(uri), None, "{uri}");
        }
    }

    #[test]
    fn what_a_browser_cannot_be_sent_to_is_not() {
        for uri in [
            "",
            "callback",
            "/callback",
            "//example.com",
            "http:",
            "http:example.com",
            "http://",
            "http:///path",
            "http://?x",
            "http://a b/",
            "http://example.com/\r\nX: y",
            "http://example.com/#",
            "http://example.com/#fragment",
            "http://exämple.com/",
            "1http://example.com",
            "javascript:alert(1)",
            "JavaScript://example.com/%0aalert(1)",
            "data:text/html,x",
        ] {
            assert!(flaw(uri).is_some(), "{uri}");
        }
        assert!(flaw(&format!("http://example.com/{}", "x".repeat(2048))).is_some());
    }

    #[test]
    fn what_a_redirect_uri_has_already_is_kept() {
        for (uri, expected) in [
            ("http://a/b", "http://a/b?code=1&state=%20+x"),
            ("http://a/b?", "http://a/b?code=1&state=%20+x"),
            ("http://a/b?c=d", "http://a/b?c=d&code=1&state=%20+x"),
            ("http://a/b?c=d&", "http://a/b?c=d&code=1&state=%20+x"),
        ] {
            let (redirect_uri, state) = (uri.to_owned(), Some("%20+x".to_owned()));
            let back = Return { redirect_uri, is_named: true, state };
            assert_eq!(location(&back, Place::Query, &[("code", "1")]), expected);
        }
    }
}
