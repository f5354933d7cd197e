//! Validates the syntax of user-supplied URLs, before anything is resolved or sent.

use std::fmt;
use std::net::IpAddr;

use domain::secret::Secret;
use thiserror::Error;
use url::{Host, Url};

use super::policy::{AllowHttp, EgressPolicy};
use super::request_headers::RequestHeaders;

/// Presigned URLs are long, because their query contains a session token. Twice the longest in use.
pub(super) const URL_MAX_BYTES: usize = 8_192;

/// Names that are local or invalid in every network (RFC 6761, 6762, 8375, 9476 and common use).
const SPECIAL_ENDINGS: [&str; 11] = [
    "localhost",
    "local",
    "internal",
    "intranet",
    "private",
    "corp",
    "lan",
    "home.arpa",
    "localdomain",
    "onion",
    "invalid",
];

/// A valid user-supplied URL. Its query may grant access, so it is a secret.
#[derive(Clone)]
pub struct EgressUrl {
    url: Secret,
    shown: String,
    headers: RequestHeaders,
}

/// Why a user-supplied URL is invalid. Never contains the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlError {
    /// Longer than any URL in use.
    #[error("must be at most {URL_MAX_BYTES} bytes long")]
    TooLong,
    /// Not an https URL, and `http://` is not allowed.
    #[error("must start with https://")]
    NotHttps,
    /// Neither an https nor an http URL.
    #[error("must start with https:// or http://")]
    NotHttp,
    /// Not a URL, or one that parsers interpret differently.
    #[error("must be a complete URL such as https://media.example/film.mp4")]
    NotAUrl,
    /// `user:password@`.
    #[error("must not contain a user name or password")]
    UserInfo,
    /// A port that is not allowed.
    #[error("must not use a port that this service does not connect to")]
    Port,
    /// A private address or name.
    #[error("must be a public address")]
    NotPublic,
}

impl EgressUrl {
    /// The whole URL, to be sealed and passed to `validate` again.
    pub fn secret(&self) -> &Secret {
        &self.url
    }

    /// The same URL with headers for reading a source. They are sent to its scheme, host and port only: after a redirect
    /// to another origin they are dropped, also if a later redirect leads back.
    #[must_use]
    pub fn with_headers(self, headers: RequestHeaders) -> Self {
        Self { headers, ..self }
    }

    /// The headers for reading a source.
    pub fn headers(&self) -> &RequestHeaders {
        &self.headers
    }

    /// Scheme, host, port and path, for display.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The parsed URL, for a request.
    pub(super) fn to_url(&self) -> Result<Url, UrlError> {
        Url::parse(self.url.expose()).map_err(|_| UrlError::NotAUrl)
    }
}

impl fmt::Debug for EgressUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<address>")
    }
}

/// Parses a user's text.
pub(super) fn parse(policy: &EgressPolicy, text: &str) -> Result<EgressUrl, UrlError> {
    let not_http = match policy.insecure {
        AllowHttp::No => UrlError::NotHttps,
        AllowHttp::Yes => UrlError::NotHttp,
    };
    if text.len() > URL_MAX_BYTES {
        return Err(UrlError::TooLong);
    }
    // The URL parser tolerates missing slashes, tabs and line ends; other parsers do not.
    let rest = after_scheme(text).ok_or(not_http)?;
    if text.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
        return Err(UrlError::NotAUrl);
    }
    if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(UrlError::UserInfo);
    }
    let url = normalize(policy, Url::parse(text).map_err(|_| UrlError::NotAUrl)?)?;
    let mut shown = url.clone();
    shown.set_query(None);
    Ok(EgressUrl { shown: shown.into(), url: Secret::new(url.into()), headers: RequestHeaders::default() })
}

fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_known = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    is_known.then_some(rest)
}

/// Checks a URL from a user or a redirect, and removes its fragment and the trailing dot of its host.
pub(super) fn normalize(policy: &EgressPolicy, mut url: Url) -> Result<Url, UrlError> {
    if url.as_str().len() > URL_MAX_BYTES {
        return Err(UrlError::TooLong);
    }
    match (url.scheme(), policy.insecure) {
        ("https", _) | ("http", AllowHttp::Yes) => {}
        (_, AllowHttp::Yes) => return Err(UrlError::NotHttp),
        (_, AllowHttp::No) => return Err(UrlError::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlError::UserInfo);
    }
    let port = url.port_or_known_default().ok_or(UrlError::NotAUrl)?;
    if !policy.ports.allows(port) {
        return Err(UrlError::Port);
    }
    url.set_fragment(None);
    let without_dot = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned);
    if let Some(name) = without_dot {
        url.set_host(Some(&name)).map_err(|_| UrlError::NotAUrl)?;
    }
    let is_public = match url.host().ok_or(UrlError::NotAUrl)? {
        Host::Ipv4(address) => policy.allows_literal(IpAddr::V4(address)),
        Host::Ipv6(address) => policy.allows_literal(IpAddr::V6(address)),
        Host::Domain(name) => policy.allows_host(name) || is_public_name(name),
    };
    if is_public { Ok(url) } else { Err(UrlError::NotPublic) }
}

/// Whether a name can be public: at least two labels, none empty, and no suffix for local use.
fn is_public_name(name: &str) -> bool {
    let is_special = |ending: &str| {
        name.strip_suffix(ending).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    name.contains('.')
        && !name.split('.').any(str::is_empty)
        && !SPECIAL_ENDINGS.iter().any(|e| is_special(e))
}

#[cfg(test)]
mod tests {
    use super::super::policy::{AllowedDestination, OwnAddresses, PortPolicy};
    use super::*;

    fn policy(insecure: AllowHttp, allow: &[&str]) -> EgressPolicy {
        let allow = allow.iter().map(|text| AllowedDestination::parse(text).unwrap()).collect();
        let own = OwnAddresses::from_check(|_| false, Vec::new());
        EgressPolicy { allow, insecure, ports: PortPolicy::Standard, own }
    }

    fn fault(text: &str) -> Option<UrlError> {
        parse(&policy(AllowHttp::No, &[]), text).err()
    }

    #[test]
    fn a_public_url_is_parsed_and_displayed_without_its_query() {
        for (text, shown) in [
            ("https://media.example/film.mp4", "https://media.example/film.mp4"),
            (
                "HTTPS://Media.Example./a/../film.mp4?X-Amz-Signature=canary#t=1",
                "https://media.example/film.mp4",
            ),
            ("https://media.example:443", "https://media.example/"),
            ("https://media.example:80/x?", "https://media.example:80/x"),
            ("https://8.8.8.8/x?canary", "https://8.8.8.8/x"),
            ("https://[2606:4700:4700::1111]/x", "https://[2606:4700:4700::1111]/x"),
            ("https://b\u{fc}cher.example/\u{fc}?a=@", "https://xn--bcher-kva.example/%C3%BC"),
        ] {
            let url = parse(&policy(AllowHttp::No, &[]), text).unwrap();
            assert_eq!(url.shown(), shown);
            assert_eq!(format!("{url:?}"), "<address>");
            assert!(url.to_url().unwrap().as_str().starts_with(shown) && !url.shown().contains("canary"));
        }
        let url = parse(&policy(AllowHttp::No, &[]), "https://media.example/a?b=c&d#e").unwrap();
        assert_eq!(url.to_url().unwrap().as_str(), "https://media.example/a?b=c&d");
    }

    #[test]
    fn each_syntax_error_is_named() {
        let long = format!("https://media.example/{}", "a".repeat(URL_MAX_BYTES));
        // Short in Unicode, too long when percent-encoded.
        let swollen = format!("https://media.example/{}", "\u{fc}".repeat(URL_MAX_BYTES / 3));
        for (text, expected) in [
            (long.as_str(), UrlError::TooLong),
            (&swollen, UrlError::TooLong),
            ("", UrlError::NotHttps),
            ("media.example/film.mp4", UrlError::NotHttps),
            ("//media.example/film.mp4", UrlError::NotHttps),
            (" https://media.example/", UrlError::NotHttps),
            ("https:media.example", UrlError::NotHttps),
            ("https:/media.example", UrlError::NotHttps),
            ("https:\\\\media.example", UrlError::NotHttps),
            ("ht\ntps://media.example/", UrlError::NotHttps),
            ("http://media.example/", UrlError::NotHttps),
            ("ftp://media.example/", UrlError::NotHttps),
            ("file:///etc/passwd", UrlError::NotHttps),
            ("javascript://media.example/%0aalert(1)", UrlError::NotHttps),
            ("view-source:https://media.example/", UrlError::NotHttps),
            ("https://media.example/a b", UrlError::NotAUrl),
            ("https://media.example/ ", UrlError::NotAUrl),
            ("https://media.example\\@inside.example/", UrlError::NotAUrl),
            ("https://media.ex\tample/", UrlError::NotAUrl),
            ("https://media.example/\r\nX: y", UrlError::NotAUrl),
            ("https://", UrlError::NotAUrl),
            ("https://?", UrlError::NotAUrl),
            ("https://media.example:port/", UrlError::NotAUrl),
            ("https://media.example:65536/", UrlError::NotAUrl),
            ("https://[::1", UrlError::NotAUrl),
            ("https://1.2.3.4.5/", UrlError::NotAUrl),
            ("https://a%00b.example/", UrlError::NotAUrl),
            ("https://user@media.example/", UrlError::UserInfo),
            ("https://user:password@media.example/", UrlError::UserInfo),
            ("https://@media.example/", UrlError::UserInfo),
            ("https://:@media.example/", UrlError::UserInfo),
            ("https://media.example:22/", UrlError::Port),
            ("https://media.example:0/", UrlError::Port),
            ("https://media.example:8443/", UrlError::Port),
            ("https://127.0.0.1/", UrlError::NotPublic),
            ("https://localhost/", UrlError::NotPublic),
            ("https://media/", UrlError::NotPublic),
            ("https://media../", UrlError::NotPublic),
            ("https://media..example/", UrlError::NotPublic),
            ("https://a.internal/", UrlError::NotPublic),
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
        assert_eq!(fault("https://notinternal.example/"), None);
        assert_eq!(fault("https://local.internals/"), None);
    }

    #[test]
    fn an_allowed_destination_may_be_private_but_scheme_and_port_are_checked() {
        let policy = policy(AllowHttp::No, &["media", "10.0.0.0/8"]);
        assert!(parse(&policy, "https://media/x").is_ok());
        assert!(parse(&policy, "https://10.1/x").is_ok());
        assert!(parse(&policy, "https://[::ffff:10.0.0.1]/x").is_ok());
        for (text, expected) in [
            ("http://media/x", UrlError::NotHttps),
            ("https://media:8080/x", UrlError::Port),
            ("https://10.0.0.1:8080/x", UrlError::Port),
            ("https://user@media/x", UrlError::UserInfo),
            ("https://other/x", UrlError::NotPublic),
            ("https://[64:ff9b::10.0.0.1]/x", UrlError::NotPublic),
        ] {
            assert_eq!(parse(&policy, text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_redirect_from_https_to_http_is_rejected_unless_http_is_allowed() {
        let target =
            || Url::parse("https://media.example/a").unwrap().join("http://media.example/a").unwrap();
        assert_eq!(normalize(&policy(AllowHttp::No, &[]), target()), Err(UrlError::NotHttps));
        assert!(normalize(&policy(AllowHttp::Yes, &[]), target()).is_ok());
        let fault = parse(&policy(AllowHttp::Yes, &[]), "ftp://media.example/").unwrap_err();
        assert_eq!(fault.to_string(), "must start with https:// or http://");
    }

    #[test]
    fn an_error_contains_nothing_of_the_url() {
        let fault = fault("https://canary:canary@media.example/").unwrap();
        assert_eq!(fault.to_string(), "must not contain a user name or password");
        assert!(!format!("{fault:?}").contains("canary"));
    }
}
