//! A proxy to reach Vimeo through. Said by the operator, never by the ambient environment.

use domain::secret::Secret;
use thiserror::Error;
use url::Url;

use crate::BaseUrl;
use crate::base_url::is_loopback;

/// A proxy's URL, which may hold a password.
#[derive(Debug, Clone)]
pub struct ProxyUrl(Secret);

/// Why a text is no [`ProxyUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyUrlError {
    /// Not the URL of a proxy that is spoken here.
    #[error("must be the URL of a proxy, with http:// or https:// at its beginning")]
    NotAProxy,
    /// Plain HTTP to Vimeo's stand-in, through another machine: credentials would travel in the clear.
    #[error("must be on this machine as long as vimeo.base_url begins with http://")]
    Insecure,
}

impl ProxyUrl {
    /// Reads the operator's setting, for reaching `base_url`.
    pub fn parse(text: &str, base_url: &BaseUrl) -> Result<Self, ProxyUrlError> {
        let url = Url::parse(text).map_err(|_| ProxyUrlError::NotAProxy)?;
        // The HTTP library takes a scheme that it does not know for no proxy at all, and would go to Vimeo directly.
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
    fn a_proxy_that_could_not_be_used_or_would_see_credentials_is_refused() {
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
