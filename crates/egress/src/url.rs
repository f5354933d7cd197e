//! An address that a user gives, judged by its form alone: before anything is resolved or sent.

use std::fmt;
use std::net::IpAddr;

use domain::secret::Secret;
use thiserror::Error;
use url::{Host, Url};

use super::policy::{AllowHttp, OutboundPolicy};

/// Presigned addresses are long, with a session's token in their query; this is twice the longest that is in use.
pub(super) const URL_MAX_BYTES: usize = 8_192;

/// Names that mean another machine, or none, on every network (RFC 6761, 6762, 8375, 9476 and common use).
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

/// An address that may be gone to by its form. Its query may open what it leads to, so it is a secret.
#[derive(Clone)]
pub struct OutboundUrl {
    url: Secret,
    shown: String,
}

/// What is wrong with an address that a user gives. Never holds or shows the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FormFault {
    /// Longer than any address in use.
    #[error("must be at most {URL_MAX_BYTES} bytes long")]
    TooLong,
    /// Another scheme, or none, where `http://` is not allowed.
    #[error("must begin with https://")]
    NotHttps,
    /// Another scheme, or none, where `http://` is allowed.
    #[error("must begin with https:// or http://")]
    NotHttp,
    /// Not a URL, or one that different readers read differently.
    #[error("must be a complete URL such as https://media.example/film.mp4")]
    NotAUrl,
    /// `user:password@`.
    #[error("must not contain a user name or password")]
    UserInfo,
    /// A port that is not spoken to.
    #[error("must not name a port that this service does not connect to")]
    Port,
    /// An address or a name that is not public.
    #[error("must be a public address")]
    NotPublic,
}

impl OutboundUrl {
    /// The whole address, to be sealed and to be read again by `check_form`.
    pub fn secret(&self) -> &Secret {
        &self.url
    }

    /// Scheme, host, port and path: what people may see.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// For the request; what was read once is read again.
    pub(super) fn to_url(&self) -> Result<Url, FormFault> {
        Url::parse(self.url.expose()).map_err(|_| FormFault::NotAUrl)
    }
}

impl fmt::Debug for OutboundUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<address>")
    }
}

/// Reads what a user gave.
pub(super) fn read(policy: &OutboundPolicy, text: &str) -> Result<OutboundUrl, FormFault> {
    let not_http = match policy.insecure {
        AllowHttp::No => FormFault::NotHttps,
        AllowHttp::Yes => FormFault::NotHttp,
    };
    if text.len() > URL_MAX_BYTES {
        return Err(FormFault::TooLong);
    }
    // The reader of URLs forgives missing slashes, and tabs and line ends in the middle; other readers do not.
    let rest = after_scheme(text).ok_or(not_http)?;
    if text.contains(|c: char| c.is_control() || c == ' ' || c == '\\') {
        return Err(FormFault::NotAUrl);
    }
    if rest.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(FormFault::UserInfo);
    }
    let url = checked(policy, Url::parse(text).map_err(|_| FormFault::NotAUrl)?)?;
    let mut shown = url.clone();
    shown.set_query(None);
    Ok(OutboundUrl { shown: shown.into(), url: Secret::new(url.into()) })
}

fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let is_known = scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http");
    is_known.then_some(rest)
}

/// Judges a URL, given or redirected to, and gives it without its fragment and without a dot at the end of its host.
pub(super) fn checked(policy: &OutboundPolicy, mut url: Url) -> Result<Url, FormFault> {
    if url.as_str().len() > URL_MAX_BYTES {
        return Err(FormFault::TooLong);
    }
    match (url.scheme(), policy.insecure) {
        ("https", _) | ("http", AllowHttp::Yes) => {}
        (_, AllowHttp::Yes) => return Err(FormFault::NotHttp),
        (_, AllowHttp::No) => return Err(FormFault::NotHttps),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(FormFault::UserInfo);
    }
    let port = url.port_or_known_default().ok_or(FormFault::NotAUrl)?;
    if !policy.ports.admits(port) {
        return Err(FormFault::Port);
    }
    url.set_fragment(None);
    let without_dot = url.domain().and_then(|name| name.strip_suffix('.')).map(str::to_owned);
    if let Some(name) = without_dot {
        url.set_host(Some(&name)).map_err(|_| FormFault::NotAUrl)?;
    }
    let is_public = match url.host().ok_or(FormFault::NotAUrl)? {
        Host::Ipv4(address) => policy.admits_literal(IpAddr::V4(address)),
        Host::Ipv6(address) => policy.admits_literal(IpAddr::V6(address)),
        Host::Domain(name) => policy.allows_host(name) || is_public_name(name),
    };
    if is_public { Ok(url) } else { Err(FormFault::NotPublic) }
}

/// Whether a name can be somebody's on the Internet: more than one label, none empty, and no ending of local use.
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
    use super::super::policy::{AllowedPlace, OwnAddresses, PortPolicy};
    use super::*;

    fn policy(insecure: AllowHttp, allow: &[&str]) -> OutboundPolicy {
        let allow = allow.iter().map(|text| AllowedPlace::parse(text).unwrap()).collect();
        let own = OwnAddresses::told_by(|_| false, Vec::new());
        OutboundPolicy { allow, insecure, ports: PortPolicy::Standard, own }
    }

    fn fault(text: &str) -> Option<FormFault> {
        read(&policy(AllowHttp::No, &[]), text).err()
    }

    #[test]
    fn a_public_address_is_read_and_shown_without_its_query() {
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
            let url = read(&policy(AllowHttp::No, &[]), text).unwrap();
            assert_eq!(url.shown(), shown);
            assert_eq!(format!("{url:?}"), "<address>");
            assert!(url.to_url().unwrap().as_str().starts_with(shown) && !url.shown().contains("canary"));
        }
        let url = read(&policy(AllowHttp::No, &[]), "https://media.example/a?b=c&d#e").unwrap();
        assert_eq!(url.to_url().unwrap().as_str(), "https://media.example/a?b=c&d");
    }

    #[test]
    fn each_fault_of_form_is_named() {
        let long = format!("https://media.example/{}", "a".repeat(URL_MAX_BYTES));
        // Short as it is written, and long as it is sent.
        let swollen = format!("https://media.example/{}", "\u{fc}".repeat(URL_MAX_BYTES / 3));
        for (text, expected) in [
            (long.as_str(), FormFault::TooLong),
            (&swollen, FormFault::TooLong),
            ("", FormFault::NotHttps),
            ("media.example/film.mp4", FormFault::NotHttps),
            ("//media.example/film.mp4", FormFault::NotHttps),
            (" https://media.example/", FormFault::NotHttps),
            ("https:media.example", FormFault::NotHttps),
            ("https:/media.example", FormFault::NotHttps),
            ("https:\\\\media.example", FormFault::NotHttps),
            ("ht\ntps://media.example/", FormFault::NotHttps),
            ("http://media.example/", FormFault::NotHttps),
            ("ftp://media.example/", FormFault::NotHttps),
            ("file:///etc/passwd", FormFault::NotHttps),
            ("javascript://media.example/%0aalert(1)", FormFault::NotHttps),
            ("view-source:https://media.example/", FormFault::NotHttps),
            ("https://media.example/a b", FormFault::NotAUrl),
            ("https://media.example/ ", FormFault::NotAUrl),
            ("https://media.example\\@inside.example/", FormFault::NotAUrl),
            ("https://media.ex\tample/", FormFault::NotAUrl),
            ("https://media.example/\r\nX: y", FormFault::NotAUrl),
            ("https://", FormFault::NotAUrl),
            ("https://?", FormFault::NotAUrl),
            ("https://media.example:port/", FormFault::NotAUrl),
            ("https://media.example:65536/", FormFault::NotAUrl),
            ("https://[::1", FormFault::NotAUrl),
            ("https://1.2.3.4.5/", FormFault::NotAUrl),
            ("https://a%00b.example/", FormFault::NotAUrl),
            ("https://user@media.example/", FormFault::UserInfo),
            ("https://user:password@media.example/", FormFault::UserInfo),
            ("https://@media.example/", FormFault::UserInfo),
            ("https://:@media.example/", FormFault::UserInfo),
            ("https://media.example:22/", FormFault::Port),
            ("https://media.example:0/", FormFault::Port),
            ("https://media.example:8443/", FormFault::Port),
            ("https://127.0.0.1/", FormFault::NotPublic),
            ("https://localhost/", FormFault::NotPublic),
            ("https://media/", FormFault::NotPublic),
            ("https://media../", FormFault::NotPublic),
            ("https://media..example/", FormFault::NotPublic),
            ("https://a.internal/", FormFault::NotPublic),
        ] {
            assert_eq!(fault(text), Some(expected), "{text}");
        }
        assert_eq!(fault("https://notinternal.example/"), None);
        assert_eq!(fault("https://local.internals/"), None);
    }

    #[test]
    fn what_is_allowed_is_not_public_and_still_has_its_scheme_and_port() {
        let policy = policy(AllowHttp::No, &["media", "10.0.0.0/8"]);
        assert!(read(&policy, "https://media/x").is_ok());
        assert!(read(&policy, "https://10.1/x").is_ok());
        assert!(read(&policy, "https://[::ffff:10.0.0.1]/x").is_ok());
        for (text, expected) in [
            ("http://media/x", FormFault::NotHttps),
            ("https://media:8080/x", FormFault::Port),
            ("https://10.0.0.1:8080/x", FormFault::Port),
            ("https://user@media/x", FormFault::UserInfo),
            ("https://other/x", FormFault::NotPublic),
            ("https://[64:ff9b::10.0.0.1]/x", FormFault::NotPublic),
        ] {
            assert_eq!(read(&policy, text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn no_redirect_leads_from_https_to_http_unless_http_is_allowed() {
        let target =
            || Url::parse("https://media.example/a").unwrap().join("http://media.example/a").unwrap();
        assert_eq!(checked(&policy(AllowHttp::No, &[]), target()), Err(FormFault::NotHttps));
        assert!(checked(&policy(AllowHttp::Yes, &[]), target()).is_ok());
        let fault = read(&policy(AllowHttp::Yes, &[]), "ftp://media.example/").unwrap_err();
        assert_eq!(fault.to_string(), "must begin with https:// or http://");
    }

    #[test]
    fn a_fault_shows_nothing_of_what_was_given() {
        let fault = fault("https://canary:canary@media.example/").unwrap();
        assert_eq!(fault.to_string(), "must not contain a user name or password");
        assert!(!format!("{fault:?}").contains("canary"));
    }
}
