//! An HTTP proxy for requests to Vimeo, set by the operator only.

use domain::secret::Secret;
use thiserror::Error;
use url::Url;

use crate::BaseUrl;
use crate::base_url::is_loopback;

/// A proxy URL, which may contain a password.
#[derive(Debug, Clone)]
pub struct ProxyUrl(Secret);

/// Why a text is not a valid [`ProxyUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyUrlError {
    /// Not an http or https URL.
    #[error("must be a proxy URL that starts with http:// or https://")]
    NotAProxy,
    /// Plain http to a sandbox through another machine: credentials would be sent in clear text.
    #[error("must be on this machine while vimeo.base_url starts with http://")]
    Insecure,
}

impl ProxyUrl {
    /// Parses the operator's setting for a proxy to `base_url`.
    pub fn parse(text: &str, base_url: &BaseUrl) -> Result<Self, ProxyUrlError> {
        let url = Url::parse(text).map_err(|_| ProxyUrlError::NotAProxy)?;
        // reqwest ignores a proxy with an unknown scheme and would connect directly.
        let host = url
            .host()
            .filter(|_| matches!(url.scheme(), "http" | "https"))
            .ok_or(ProxyUrlError::NotAProxy)?;
        if !base_url.is_https() && !is_loopback(&host) {
            return Err(ProxyUrlError::Insecure);
        }
        Ok(Self(Secret::new(text.to_owned())))
    }

    pub(crate) fn to_proxy(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::all(self.0.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_is_unusable_or_would_see_credentials_is_rejected() {
        let (vimeo, sandbox) = ("https://api.vimeo.com", "http://127.0.0.1:9300");
        for (proxy, base_url, expected) in [
            ("http://proxy.example:3128", vimeo, None),
            ("HTTPS://user:password@proxy.example:3128", vimeo, None),
            ("http://127.0.0.1:3128", sandbox, None),
            ("http://proxy.example:3128", sandbox, Some(ProxyUrlError::Insecure)),
            ("socks5://proxy.example:1080", vimeo, Some(ProxyUrlError::NotAProxy)),
            ("proxy.example:3128", vimeo, Some(ProxyUrlError::NotAProxy)),
            ("", vimeo, Some(ProxyUrlError::NotAProxy)),
        ] {
            let read = ProxyUrl::parse(proxy, &BaseUrl::parse(base_url).unwrap());
            assert_eq!(read.as_ref().err(), expected.as_ref(), "{proxy}");
            assert!(read.is_err() || read.unwrap().to_proxy().is_ok(), "{proxy}");
        }
    }
}
