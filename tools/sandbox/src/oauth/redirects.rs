//! Redirects back to apps: which URIs are allowed, and with which parameters.

use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};

use crate::errors;
use crate::pages;
use crate::state::{App, RedirectTarget};

const URI_MAX_BYTES: usize = 2048;

/// Schemes that execute or display content instead of opening an app.
const REFUSED_SCHEMES: [&str; 7] = ["about", "blob", "data", "file", "filesystem", "javascript", "vbscript"];

/// Why a URI cannot be a redirect URI; completes a sentence that begins with the URI.
pub(crate) fn problem(uri: &str) -> Option<&'static str> {
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
        return Some("has a scheme that is not allowed");
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

/// Whether an app may use a redirect URI: a registered one, byte for byte; for the guest app any web address, since it
/// has no registered ones.
pub(crate) fn is_allowed(app: &App, uri: &str) -> bool {
    let lower = uri.to_ascii_lowercase();
    let is_web = lower.starts_with("http://") || lower.starts_with("https://");
    app.redirect_uris.iter().any(|known| known == uri) || (app.is_guest && is_web && problem(uri).is_none())
}

/// Where in the URI the parameters are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterLocation {
    Query,
    /// For a token and its parameters, which no server sees.
    Fragment,
}

/// Redirects the browser to the app with these parameters and its state.
pub(crate) fn send_back(
    back: &RedirectTarget,
    place: ParameterLocation,
    parameters: &[(&str, &str)],
) -> Response {
    match HeaderValue::try_from(location(back, place, parameters)) {
        Ok(location) => errors::uncached((StatusCode::FOUND, [(LOCATION, location)]).into_response()),
        Err(_) => pages::message(
            StatusCode::BAD_REQUEST,
            "The app cannot be notified",
            &["The state parameter, or the app's redirect URI, has a character that no header may have."],
        ),
    }
}

/// The target of the redirect.
pub(crate) fn location(
    back: &RedirectTarget,
    place: ParameterLocation,
    parameters: &[(&str, &str)],
) -> String {
    let mut added = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    if let Some(state) = &back.state {
        added = format!("{added}&state={state}");
    }
    let uri = &back.redirect_uri;
    match place {
        ParameterLocation::Fragment => format!("{uri}#{added}"),
        ParameterLocation::Query => format!("{uri}{}{added}", mark_before_more(uri)),
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
            assert_eq!(problem(uri), None, "{uri}");
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
            assert!(problem(uri).is_some(), "{uri}");
        }
        assert!(problem(&format!("http://example.com/{}", "x".repeat(2048))).is_some());
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
            let back = RedirectTarget { redirect_uri, is_named: true, state };
            assert_eq!(location(&back, ParameterLocation::Query, &[("code", "1")]), expected);
        }
    }
}
