//! The origin at which people's browsers reach the service.

use std::fmt;
use std::net::SocketAddr;

use thiserror::Error;
use url::{Host, Url};

/// An origin: https, or http on a loopback host. Without a path, query, fragment or user name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// Without a trailing slash.
    text: String,
}

/// Why a text is not a valid [`PublicUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublicUrlError {
    /// Not an absolute http or https URL.
    #[error("must be an absolute URL such as https://connect.example.com")]
    NotAUrl,
    /// http on another host: a browser would send its cookie in clear text.
    #[error("must start with https:// (http:// only for a loopback address)")]
    Insecure,
    /// More than an origin.
    #[error("must not contain a user name, a path, a query or a fragment")]
    Extras,
}

impl PublicUrl {
    /// Parses the operator's setting.
    pub fn parse(text: &str) -> Result<Self, PublicUrlError> {
        let url = Url::parse(text).map_err(|_| PublicUrlError::NotAUrl)?;
        let is_loopback = url.host().is_some_and(|host| is_loopback(&host));
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => return Err(PublicUrlError::Insecure),
            _ => return Err(PublicUrlError::NotAUrl),
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(PublicUrlError::Extras);
        }
        Ok(Self { text: url.as_str().trim_end_matches('/').to_owned() })
    }

    /// The origin of a listener, if only this machine can reach it.
    pub fn of_listener(address: SocketAddr, scheme: ListenerScheme) -> Option<Self> {
        let scheme = match scheme {
            ListenerScheme::Http => "http",
            ListenerScheme::Https => "https",
        };
        address.ip().is_loopback().then(|| Self { text: format!("{scheme}://{address}") })
    }

    /// The URL of a path, which starts with a slash.
    pub fn join(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// Whether browsers reach it over https, so that its cookies can be `Secure`.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }
}

/// The scheme of the service's own listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerScheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_an_origin_that_browsers_reach_encrypted_or_on_this_machine() {
        for (text, origin) in [
            ("https://connect.example.com", "https://connect.example.com"),
            ("https://Connect.example.com/", "https://connect.example.com"),
            ("https://connect.example.com:8443", "https://connect.example.com:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/", "http://[::1]:8080"),
            ("http://localhost:8080", "http://localhost:8080"),
        ] {
            let url = PublicUrl::parse(text).unwrap();
            assert_eq!(url.to_string(), origin);
            assert_eq!(url.is_https(), origin.starts_with("https:"));
            assert_eq!(url.join("/connect/callback"), format!("{origin}/connect/callback"));
        }
        for (text, error) in [
            ("", PublicUrlError::NotAUrl),
            ("connect.example.com", PublicUrlError::NotAUrl),
            ("ftp://localhost", PublicUrlError::NotAUrl),
            ("http://connect.example.com", PublicUrlError::Insecure),
            ("http://localhost.example.com", PublicUrlError::Insecure),
            ("http://0.0.0.0:8080", PublicUrlError::Insecure),
            ("https://user@connect.example.com", PublicUrlError::Extras),
            ("https://:pw@connect.example.com", PublicUrlError::Extras),
            ("https://connect.example.com/prefix", PublicUrlError::Extras),
            ("https://connect.example.com/?a", PublicUrlError::Extras),
            ("https://connect.example.com/#a", PublicUrlError::Extras),
        ] {
            assert_eq!(PublicUrl::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn only_a_listener_on_loopback_has_a_public_url_of_its_own() {
        let of = |address: &str, scheme| PublicUrl::of_listener(address.parse().unwrap(), scheme);
        let url = of("127.0.0.1:8080", ListenerScheme::Http).unwrap();
        assert_eq!(PublicUrl::parse(&url.to_string()), Ok(url.clone()));
        assert_eq!(url.to_string(), "http://127.0.0.1:8080");
        assert_eq!(of("[::1]:1", ListenerScheme::Https).unwrap().to_string(), "https://[::1]:1");
        assert_eq!(of("0.0.0.0:8080", ListenerScheme::Https), None);
        assert_eq!(of("192.0.2.1:8080", ListenerScheme::Http), None);
    }
}
