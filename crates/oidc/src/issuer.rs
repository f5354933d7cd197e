//! The URL of an identity provider.

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// The issuer: https, or http on a loopback address. Kept as it was written, as tokens must name it in the same form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    text: String,
    host: String,
    is_https: bool,
}

/// The text is not the URL of an issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IssuerError {
    /// No http or https URL with a host.
    #[error(
        "must be the URL of an OpenID Connect provider, as it names itself in `issuer` of its discovery document"
    )]
    NotAUrl,
    /// http to another machine: the client secret would be sent in clear text.
    #[error("must start with https:// (http:// only for a loopback address)")]
    Insecure,
    /// A user name, query or fragment.
    #[error("must not contain a user name, a query or a fragment")]
    Extras,
}

impl Issuer {
    /// Parses the operator's setting.
    pub fn parse(text: &str) -> Result<Self, IssuerError> {
        let url = Url::parse(text).map_err(|_| IssuerError::NotAUrl)?;
        let host = url.host_str().ok_or(IssuerError::NotAUrl)?.to_owned();
        let is_https = match url.scheme() {
            "https" => true,
            "http" if is_loopback(&url) => false,
            "http" => return Err(IssuerError::Insecure),
            _ => return Err(IssuerError::NotAUrl),
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(IssuerError::Extras);
        }
        if text.ends_with("/.well-known/openid-configuration") {
            return Err(IssuerError::NotAUrl);
        }
        Ok(Self { text: text.to_owned(), host, is_https })
    }

    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its host.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Whether this issuer's endpoint may have this URL: over TLS, or on this machine if the issuer is.
    pub(crate) fn may_use(&self, endpoint: &Url) -> bool {
        endpoint.scheme() == "https"
            || (!self.is_https && endpoint.scheme() == "http" && is_loopback(endpoint))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_reached_over_tls_or_on_this_machine() {
        for (text, expected) in [
            ("https://id.example.com", Ok("https://id.example.com")),
            ("https://id.example.com/realms/staff/", Ok("https://id.example.com/realms/staff/")),
            ("http://127.0.0.1:9000", Ok("http://127.0.0.1:9000")),
            ("http://[::1]:9000/x", Ok("http://[::1]:9000/x")),
            ("http://id.example.com", Err(IssuerError::Insecure)),
            ("https://id.example.com?x=1", Err(IssuerError::Extras)),
            ("https://anna:canary@id.example.com", Err(IssuerError::Extras)),
            ("https://id.example.com/.well-known/openid-configuration", Err(IssuerError::NotAUrl)),
            ("id.example.com", Err(IssuerError::NotAUrl)),
            ("ftp://id.example.com", Err(IssuerError::NotAUrl)),
            ("", Err(IssuerError::NotAUrl)),
        ] {
            let issuer = Issuer::parse(text);
            assert_eq!(issuer.as_ref().map(Issuer::as_str).map_err(|error| *error), expected, "{text}");
        }
    }

    #[test]
    fn an_endpoint_of_an_issuer_is_reached_as_safely_as_the_issuer() {
        let public = Issuer::parse("https://id.example.com").unwrap();
        let local = Issuer::parse("http://127.0.0.1:9000").unwrap();
        for (endpoint, by_public, by_local) in [
            ("https://token.example.com/x", true, true),
            ("http://id.example.com/x", false, false),
            ("http://127.0.0.1:9001/x", false, true),
            ("javascript:alert(1)", false, false),
        ] {
            let endpoint = Url::parse(endpoint).unwrap();
            assert_eq!((public.may_use(&endpoint), local.may_use(&endpoint)), (by_public, by_local));
        }
    }
}
