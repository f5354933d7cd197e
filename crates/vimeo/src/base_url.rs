//! The base URL of Vimeo's API, set by the operator only.

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

use crate::path::ApiPath;

/// An origin with an optional path prefix: https, or http on a loopback address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl {
    /// Without a trailing slash.
    text: String,
    is_https: bool,
    is_loopback: bool,
}

/// Why a text is not a valid [`BaseUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BaseUrlError {
    /// Not an absolute http or https URL.
    #[error("must be an absolute URL such as https://api.vimeo.com")]
    NotAUrl,
    /// http to another machine: credentials would be sent in clear text.
    #[error("must start with https:// (http:// only for a loopback address)")]
    Insecure,
    /// A user name, query or fragment.
    #[error("must not contain a user name, a query or a fragment")]
    Extras,
}

impl BaseUrl {
    /// Parses the operator's setting.
    pub fn parse(text: &str) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text).map_err(|_| BaseUrlError::NotAUrl)?;
        let is_loopback = url.host().map(|host| is_loopback(&host)).ok_or(BaseUrlError::NotAUrl)?;
        let is_https = match url.scheme() {
            "https" => true,
            "http" if is_loopback => false,
            "http" => return Err(BaseUrlError::Insecure),
            _ => return Err(BaseUrlError::NotAUrl),
        };
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::Extras);
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned(), is_https, is_loopback })
    }

    pub(crate) fn is_https(&self) -> bool {
        self.is_https
    }

    /// Its scheme, host and port.
    pub fn origin(&self) -> String {
        Url::parse(&self.text).map_or_else(|_| String::new(), |url| url.origin().ascii_serialization())
    }

    /// Whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// The URL of a path.
    pub(crate) fn join(&self, path: &ApiPath) -> String {
        format!("{}{}", self.text, path.as_str())
    }
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_sent_encrypted_or_not_at_all() {
        for good in [
            "https://api.vimeo.com",
            "https://api.vimeo.com/",
            "http://127.0.0.1:9300",
            "http://[::1]:1/x/",
            "http://localhost:9300",
        ] {
            let url = BaseUrl::parse(good).unwrap();
            assert_eq!(url.to_string(), good.trim_end_matches('/'));
            assert_eq!(url.is_https(), good.starts_with("https"));
        }
        for (bad, error) in [
            ("http://api.vimeo.com", BaseUrlError::Insecure),
            ("http://localhost.example.com", BaseUrlError::Insecure),
            ("http://127.0.0.1.example.com", BaseUrlError::Insecure),
            ("http://0.0.0.0", BaseUrlError::Insecure),
            ("ftp://127.0.0.1", BaseUrlError::NotAUrl),
            ("api.vimeo.com", BaseUrlError::NotAUrl),
            ("", BaseUrlError::NotAUrl),
            ("https://user:pw@api.vimeo.com", BaseUrlError::Extras),
            ("https://api.vimeo.com/?x=1", BaseUrlError::Extras),
        ] {
            assert_eq!(BaseUrl::parse(bad), Err(error), "{bad}");
        }
    }
}
