//! The URL of a service.

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// The path of the API if the URL has none.
const DEFAULT_PATH: &str = crate::config::DEFAULT_BASE_PATH;

/// The base URL of a service's API: https, or http on this machine; without a slash at its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceUrl(Url);

/// The text is not a valid [`ServiceUrl`]. Does not contain the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ServiceUrlError {
    #[error("must be a URL, such as https://videos.example.com")]
    NotAUrl,
    #[error(
        "must start with https://, so that the API key is not sent unencrypted (http:// only to this machine)"
    )]
    Insecure,
    #[error("must not contain a user name, a query or a fragment")]
    Extras,
}

impl ServiceUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, ServiceUrlError> {
        let mut url = Url::parse(text.trim()).map_err(|_| ServiceUrlError::NotAUrl)?;
        let is_loopback = url.host().as_ref().map(is_loopback).ok_or(ServiceUrlError::NotAUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => return Err(ServiceUrlError::Insecure),
            _ => return Err(ServiceUrlError::NotAUrl),
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(ServiceUrlError::Extras);
        }
        let path = url.path().trim_end_matches('/').to_owned();
        url.set_path(if path.is_empty() { DEFAULT_PATH } else { &path });
        Ok(Self(url))
    }

    /// Whether the service is on this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        self.0.host().as_ref().is_some_and(is_loopback)
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of a path below the base path. Each segment is percent-encoded.
    pub(crate) fn api(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        // An http or https URL has segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(segments);
        }
        url
    }

    /// The URL of a path outside the base path.
    pub(crate) fn outside(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        url.set_path(path);
        url
    }
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_sent_encrypted_or_only_to_this_machine() {
        for (text, url) in [
            ("https://videos.example.com", "https://videos.example.com/pictoryapis"),
            (" https://videos.example.com/ ", "https://videos.example.com/pictoryapis"),
            ("https://videos.example.com/a/b/", "https://videos.example.com/a/b"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/pictoryapis"),
            ("http://[::1]:1/x", "http://[::1]:1/x"),
            ("http://localhost:8080", "http://localhost:8080/pictoryapis"),
        ] {
            assert_eq!(ServiceUrl::parse(text).unwrap().to_string(), url);
        }
        for (text, error) in [
            ("http://videos.example.com", ServiceUrlError::Insecure),
            ("http://127.0.0.1.example.com", ServiceUrlError::Insecure),
            ("ftp://videos.example.com", ServiceUrlError::NotAUrl),
            ("videos.example.com", ServiceUrlError::NotAUrl),
            ("", ServiceUrlError::NotAUrl),
            ("https://user:canary@videos.example.com", ServiceUrlError::Extras),
            ("https://videos.example.com/?a=b", ServiceUrlError::Extras),
        ] {
            assert_eq!(ServiceUrl::parse(text), Err(error), "{text}");
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn a_segment_cannot_leave_its_place() {
        let url = ServiceUrl::parse("https://a.example/base").unwrap();
        assert_eq!(
            url.api(&["v1", "jobs", "a/../b?c#d"]).as_str(),
            "https://a.example/base/v1/jobs/a%2F..%2Fb%3Fc%23d"
        );
        assert_eq!(url.outside("/health/live").as_str(), "https://a.example/health/live");
    }
}
