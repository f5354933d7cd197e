//! Where a person is sent when an authorization has ended.

use std::net::IpAddr;

use domain::id::AuthorizationId;
use thiserror::Error;
use url::{Host, Url};

/// Limit for a return URL, in characters.
pub const RETURN_URL_MAX_CHARS: usize = 2_000;

/// An address of the client's own web page: https, or http on a loopback host. It is not a secret: the person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnUrl(Url);

/// Why a text is not a valid [`ReturnUrl`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ReturnUrlError {
    /// Longer than [`RETURN_URL_MAX_CHARS`].
    #[error("must be at most {RETURN_URL_MAX_CHARS} characters long")]
    TooLong,
    /// Contains a control character or a space, which a URL parser would remove.
    #[error("must not contain spaces or control characters")]
    Characters,
    /// Not an absolute URL with a host.
    #[error("must be an absolute URL such as https://app.example.com/connected")]
    NotAUrl,
    /// http on another host.
    #[error("must start with https:// (http:// only for a loopback address)")]
    Insecure,
    /// A user name or a password.
    #[error("must not contain a user name or a password")]
    UserInfo,
}

/// How an authorization ended, as the client's page learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReturnResult {
    /// The connection was created or renewed.
    Connected,
    /// The person declined.
    Denied,
    /// Anything else.
    Failed,
}

impl ReturnResult {
    /// The value of the parameter `result`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

impl ReturnUrl {
    /// Parses a URL from a client.
    pub fn parse(text: &str) -> Result<Self, ReturnUrlError> {
        if text.chars().count() > RETURN_URL_MAX_CHARS {
            return Err(ReturnUrlError::TooLong);
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(ReturnUrlError::Characters);
        }
        let url = Url::parse(text).map_err(|_| ReturnUrlError::NotAUrl)?;
        let host = url.host().ok_or(ReturnUrlError::NotAUrl)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) => {}
            "http" => return Err(ReturnUrlError::Insecure),
            _ => return Err(ReturnUrlError::NotAUrl),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(ReturnUrlError::UserInfo);
        }
        Ok(Self(url))
    }

    /// The URL as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The host, which the page names.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The URL to which the person is sent: with `authorizationId` and `result` in addition to its own parameters.
    pub fn with_result(&self, id: &AuthorizationId, result: ReturnResult) -> String {
        let mut url = self.0.clone();
        url.query_pairs_mut()
            .append_pair("authorizationId", id.as_str())
            .append_pair("result", result.as_str());
        url.into()
    }
}

fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost",
        Host::Ipv4(address) => IpAddr::from(*address).is_loopback(),
        Host::Ipv6(address) => IpAddr::from(*address).is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_url_is_an_address_that_a_browser_reaches_encrypted_or_on_this_machine() {
        for good in [
            "https://app.example.com/connected?session=1#done",
            "https://app.example.com:8443/",
            "http://localhost:3000/a",
            "http://127.0.0.1/",
            "http://[::1]:3000/",
        ] {
            assert_eq!(ReturnUrl::parse(good).unwrap().as_str(), good);
        }
        for (bad, error) in [
            ("", ReturnUrlError::NotAUrl),
            ("/connected", ReturnUrlError::NotAUrl),
            ("app.example.com", ReturnUrlError::NotAUrl),
            ("javascript:alert(1)", ReturnUrlError::NotAUrl),
            ("data:text/html,x", ReturnUrlError::NotAUrl),
            ("http://app.example.com/", ReturnUrlError::Insecure),
            ("http://127.0.0.1.example.com/", ReturnUrlError::Insecure),
            ("https://user@app.example.com/", ReturnUrlError::UserInfo),
            ("https://:pw@app.example.com/", ReturnUrlError::UserInfo),
            ("https://app.example.com/\nx", ReturnUrlError::Characters),
            ("java\tscript:alert(1)", ReturnUrlError::Characters),
            (" https://app.example.com/", ReturnUrlError::Characters),
        ] {
            assert_eq!(ReturnUrl::parse(bad), Err(error), "{bad:?}");
        }
        let long = format!("https://app.example.com/{}", "x".repeat(RETURN_URL_MAX_CHARS));
        assert_eq!(ReturnUrl::parse(&long), Err(ReturnUrlError::TooLong));
    }

    #[test]
    fn the_result_is_added_to_the_parameters_before_the_fragment() {
        let id = AuthorizationId::parse("auth_20260131090500042abcdefghijklmno").unwrap();
        let url = ReturnUrl::parse("https://app.example.com/x?session=a%20b#done").unwrap();
        assert_eq!(
            url.with_result(&id, ReturnResult::Denied),
            "https://app.example.com/x?session=a%20b&authorizationId=auth_20260131090500042abcdefghijklmno&result=denied#done"
        );
        assert_eq!(url.host(), "app.example.com");
    }
}
