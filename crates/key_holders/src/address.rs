//! Where a transit engine is: its server, and names in its paths.

use std::fmt;

use url::{Host, Url};

/// The base URL of an OpenBao or Vault server: https, or http on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitAddress(Url);

impl TransitAddress {
    /// Parses `https://bao.example.com:8200`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text.trim_end_matches('/'))
            .map_err(|_| "must be a URL such as https://bao.example.com:8200".to_owned())?;
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err("has no host".to_owned()),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            _ => return Err("must start with https://, or with http:// for this machine".to_owned()),
        }
        let has_more = url.query().is_some() || url.fragment().is_some();
        if has_more || !url.username().is_empty() || url.password().is_some() {
            return Err("must be only scheme, host, port and path".to_owned());
        }
        Ok(Self(url))
    }

    /// Whether the server is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The URL of a path of the API, whose segments need no escaping.
    pub(crate) fn join(&self, path: &str) -> String {
        format!("{}/v1/{path}", self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Display for TransitAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// A name in a path: letters, digits, `.`, `_` and `-`.
pub fn parse_segment(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if text.is_empty() || text.starts_with('.') || !text.bytes().all(is_plain) {
        return Err("must have only letters, digits, _ - and ., and not start with a dot".to_owned());
    }
    Ok(text.to_owned())
}

/// Names with `/` between them. A `/` at the ends is ignored.
pub fn parse_path(text: &str) -> Result<String, String> {
    let path = text.trim_matches('/');
    path.split('/').map(parse_segment).collect::<Result<Vec<_>, _>>().map(|names| names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_or_on_this_machine() {
        for good in
            ["https://bao.example.com", "https://10.1.2.3:8200/x/", "http://127.0.0.1:8200", "http://[::1]:1"]
        {
            assert!(TransitAddress::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "http://bao.example.com",
            "http://10.1.2.3",
            "bao:8200",
            "ftp://127.0.0.1",
            "https://u:p@bao",
            "https://bao/?x",
            "",
        ] {
            assert!(TransitAddress::parse(bad).is_err(), "{bad}");
        }
        let address = TransitAddress::parse("https://bao.example.com/base/").unwrap();
        assert_eq!(address.join("transit/keys/k"), "https://bao.example.com/base/v1/transit/keys/k");
    }

    #[test]
    fn names_in_a_path_need_no_escaping() {
        assert_eq!(parse_path("/team/transit/").as_deref(), Ok("team/transit"));
        assert_eq!(parse_segment("k-1_a.b").as_deref(), Ok("k-1_a.b"));
        for bad in ["", "..", "a/../b", "a b", "a%2f", "a?b", "ä"] {
            assert!(parse_path(bad).is_err(), "{bad}");
        }
    }
}
