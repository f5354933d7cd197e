//! Where uploads may go: links of Vimeo's, and of nobody else.

use std::fmt;
use std::sync::Arc;

use domain::secret::Secret;
use thiserror::Error;
use url::{Host, Url};
use zeroize::Zeroize as _;

use crate::base_url::{BaseUrl, is_loopback};

/// The longest link that is taken. Vimeo's have about a hundred characters.
const LINK_BYTES_MAX: usize = 4096;

/// The end of the names of hosts that uploads may go to: `.tus.vimeo.com` allows `files.tus.vimeo.com`. Matched by whole
/// labels; it allows a host of exactly this name too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadHost(String);

/// Why a text is no [`UploadHost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a domain of two labels or more, such as .tus.vimeo.com")]
pub struct UploadHostError;

impl UploadHost {
    /// Vimeo's own.
    pub const DEFAULT: &str = ".tus.vimeo.com";

    /// [`Self::DEFAULT`].
    pub fn vimeo() -> Self {
        Self("tus.vimeo.com".to_owned())
    }

    /// Reads the operator's setting, with a dot in front or without.
    pub fn parse(text: &str) -> Result<Self, UploadHostError> {
        let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let mut labels = name.split('.');
        // A name whose last label is a number would be an address.
        let is_name = labels.clone().count() >= 2
            && labels.clone().all(is_label)
            && labels.next_back().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
        if is_name { Ok(Self(name)) } else { Err(UploadHostError) }
    }

    fn allows(&self, host: &str) -> bool {
        host.strip_suffix(&self.0).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

/// Which upload links may be used. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LinkRules {
    hosts: Arc<[UploadHost]>,
    /// Whether the API is on this machine, as a sandbox is: then uploads may stay here too.
    allows_loopback: bool,
}

impl LinkRules {
    pub(crate) fn new(hosts: Vec<UploadHost>, base_url: &BaseUrl) -> Self {
        Self { hosts: hosts.into(), allows_loopback: base_url.is_loopback() }
    }
}

/// Why a text is no [`UploadLink`]. Does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UploadLinkError {
    /// Not an absolute http or https URL, or one that is too long.
    #[error("it is not a URL")]
    NotAUrl,
    /// It would travel in the clear.
    #[error("it does not begin with https://")]
    Insecure,
    /// It leads to a host or port that is not Vimeo's.
    #[error("it leads to a host that uploads may not go to")]
    Foreign,
    /// It has a user name or a fragment, which no link of Vimeo's has.
    #[error("it has a user name or a fragment")]
    Extras,
}

/// Where the bytes of one upload go. Whoever knows it may send them, so it is a secret.
#[derive(Clone)]
pub struct UploadLink(Secret);

impl UploadLink {
    /// Reads what Vimeo gave, or what was kept of it.
    pub fn parse(text: &str, rules: &LinkRules) -> Result<Self, UploadLinkError> {
        if text.len() > LINK_BYTES_MAX {
            return Err(UploadLinkError::NotAUrl);
        }
        let url = Url::parse(text).map_err(|_| UploadLinkError::NotAUrl)?;
        match check(&url, rules) {
            // As the library reads it, so that what was judged is what is asked.
            Ok(()) => Ok(Self(Secret::new(String::from(url)))),
            Err(refused) => {
                String::from(url).zeroize();
                Err(refused)
            }
        }
    }

    /// The link itself: for asking it, and for sealing it. Whoever calls this answers for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for UploadLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<upload link>")
    }
}

fn check(url: &Url, rules: &LinkRules) -> Result<(), UploadLinkError> {
    let host = url.host().ok_or(UploadLinkError::NotAUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UploadLinkError::NotAUrl);
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(UploadLinkError::Extras);
    }
    if rules.allows_loopback && is_loopback(&host) {
        return Ok(());
    }
    if url.scheme() != "https" {
        return Err(UploadLinkError::Insecure);
    }
    let is_vimeos = match host {
        Host::Domain(name) => rules.hosts.iter().any(|allowed| allowed.allows(name)),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    };
    // The port is none where it is that of https.
    if is_vimeos && url.port().is_none() { Ok(()) } else { Err(UploadLinkError::Foreign) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(base_url: &str) -> LinkRules {
        let hosts = vec![UploadHost::vimeo()];
        LinkRules::new(hosts, &BaseUrl::parse(base_url).unwrap())
    }

    #[test]
    fn uploads_go_to_vimeo_or_with_a_sandbox_to_this_machine() {
        let (vimeo, sandbox) = ("https://api.vimeo.com", "http://127.0.0.1:9300");
        for (link, at_vimeo, at_sandbox) in [
            ("https://files.tus.vimeo.com/files/x/0123", None, None),
            ("https://asia-files.tus.vimeo.com:443/files/x/0123?a=b", None, None),
            ("HTTPS://FILES.TUS.VIMEO.COM/x", None, None),
            ("http://127.0.0.1:9300/files/x", Some(UploadLinkError::Insecure), None),
            ("https://[::1]/files/x", Some(UploadLinkError::Foreign), None),
            ("http://localhost:1/files/x", Some(UploadLinkError::Insecure), None),
            (
                "http://files.tus.vimeo.com/x",
                Some(UploadLinkError::Insecure),
                Some(UploadLinkError::Insecure),
            ),
            (
                "https://files.tus.vimeo.com:8443/x",
                Some(UploadLinkError::Foreign),
                Some(UploadLinkError::Foreign),
            ),
            ("https://evil-tus.vimeo.com/x", Some(UploadLinkError::Foreign), Some(UploadLinkError::Foreign)),
            (
                "https://files.xtus.vimeo.com/x",
                Some(UploadLinkError::Foreign),
                Some(UploadLinkError::Foreign),
            ),
            (
                "https://files.tus.vimeo.com.evil.example/x",
                Some(UploadLinkError::Foreign),
                Some(UploadLinkError::Foreign),
            ),
            (
                "https://files.tus.vimeo.com./x",
                Some(UploadLinkError::Foreign),
                Some(UploadLinkError::Foreign),
            ),
            ("https://api.vimeo.com/x", Some(UploadLinkError::Foreign), Some(UploadLinkError::Foreign)),
            ("https://169.254.169.254/x", Some(UploadLinkError::Foreign), Some(UploadLinkError::Foreign)),
            (
                "https://evil.example\\.tus.vimeo.com/x",
                Some(UploadLinkError::Foreign),
                Some(UploadLinkError::Foreign),
            ),
            (
                "https://files.tus.vimeo.com@evil.example/x",
                Some(UploadLinkError::Extras),
                Some(UploadLinkError::Extras),
            ),
            (
                "https://u:p@files.tus.vimeo.com/x",
                Some(UploadLinkError::Extras),
                Some(UploadLinkError::Extras),
            ),
            ("https://files.tus.vimeo.com/x#y", Some(UploadLinkError::Extras), Some(UploadLinkError::Extras)),
            ("ftp://files.tus.vimeo.com/x", Some(UploadLinkError::NotAUrl), Some(UploadLinkError::NotAUrl)),
            ("file:///etc/passwd", Some(UploadLinkError::NotAUrl), Some(UploadLinkError::NotAUrl)),
            ("/files/x", Some(UploadLinkError::NotAUrl), Some(UploadLinkError::NotAUrl)),
            ("", Some(UploadLinkError::NotAUrl), Some(UploadLinkError::NotAUrl)),
        ] {
            assert_eq!(UploadLink::parse(link, &rules(vimeo)).err(), at_vimeo, "{link}");
            assert_eq!(UploadLink::parse(link, &rules(sandbox)).err(), at_sandbox, "{link}");
        }
        let long = format!("https://files.tus.vimeo.com/{}", "x".repeat(LINK_BYTES_MAX));
        assert_eq!(UploadLink::parse(&long, &rules(vimeo)).err(), Some(UploadLinkError::NotAUrl));
    }

    #[test]
    fn a_link_does_not_show_itself_and_is_read_again_from_what_was_kept() {
        let link =
            UploadLink::parse("https://files.tus.vimeo.com/files/canary", &rules("https://api.vimeo.com"));
        let link = link.unwrap();
        assert_eq!(format!("{link:?}"), "<upload link>");
        let again = UploadLink::parse(link.expose(), &rules("https://api.vimeo.com")).unwrap();
        assert_eq!(again.expose(), "https://files.tus.vimeo.com/files/canary");
    }

    #[test]
    fn a_setting_that_would_allow_whole_top_level_domains_or_addresses_is_refused() {
        for good in [".tus.vimeo.com", "tus.vimeo.com", ".Example.com", "a-1.example"] {
            assert!(UploadHost::parse(good).is_ok(), "{good}");
        }
        assert_eq!(UploadHost::parse(UploadHost::DEFAULT), Ok(UploadHost::vimeo()));
        for bad in [
            "",
            ".",
            "com",
            ".com",
            "..vimeo.com",
            "vimeo.com.",
            "https://x.y",
            "a b.c",
            "*.vimeo.com",
            "127.0.0.1",
            "x.y:1",
        ] {
            assert_eq!(UploadHost::parse(bad), Err(UploadHostError), "{bad}");
        }
    }
}
