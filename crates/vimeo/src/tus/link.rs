//! Upload links, and which of them are accepted.

use std::fmt;
use std::sync::Arc;

use domain::secret::Secret;
use thiserror::Error;
use url::{Host, Url};
use zeroize::Zeroize as _;

use crate::base_url::{BaseUrl, is_loopback};

/// Limit for a link. Vimeo's have about a hundred characters.
const LINK_BYTES_MAX: usize = 4096;

/// A host suffix that uploads may go to: `.tus.vimeo.com` allows `files.tus.vimeo.com`. Matches whole labels, and also
/// the host of exactly this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadHost(String);

/// The text is not a valid [`UploadHost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a domain of at least two labels, such as .tus.vimeo.com")]
pub struct UploadHostError;

impl UploadHost {
    /// Vimeo's upload hosts.
    pub const DEFAULT: &str = ".tus.vimeo.com";

    /// [`Self::DEFAULT`].
    pub fn vimeo() -> Self {
        Self("tus.vimeo.com".to_owned())
    }

    /// Parses the operator's setting, with or without a leading dot.
    pub fn parse(text: &str) -> Result<Self, UploadHostError> {
        let name = text.strip_prefix('.').unwrap_or(text).to_ascii_lowercase();
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let mut labels = name.split('.');
        // A name whose last label is a number is an IP address.
        let is_name = labels.clone().count() >= 2
            && labels.clone().all(is_label)
            && labels.next_back().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
        if is_name { Ok(Self(name)) } else { Err(UploadHostError) }
    }

    /// The domain, without a leading dot. Its subdomains are upload hosts too.
    pub fn name(&self) -> &str {
        &self.0
    }

    fn allows(&self, host: &str) -> bool {
        host.strip_suffix(&self.0).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }
}

/// Which upload links are accepted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LinkRules {
    hosts: Arc<[UploadHost]>,
    /// True if the API is on a loopback address, as the sandbox is: then upload links may be as well.
    allows_loopback: bool,
}

impl LinkRules {
    pub(crate) fn new(hosts: Vec<UploadHost>, base_url: &BaseUrl) -> Self {
        Self { hosts: hosts.into(), allows_loopback: base_url.is_loopback() }
    }

    /// The same rules for links that receive text tracks and images, which Vimeo keeps on several hosts of its domain.
    pub(crate) fn for_files(&self) -> Self {
        let vimeo = UploadHost("vimeo.com".to_owned());
        Self { hosts: self.hosts.iter().cloned().chain([vimeo]).collect(), ..*self }
    }
}

/// Why a text is not a valid [`UploadLink`]. Does not contain the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UploadLinkError {
    /// Not an absolute http or https URL, or too long.
    #[error("it is not a URL")]
    NotAUrl,
    /// Plain http.
    #[error("it does not start with https://")]
    Insecure,
    /// The host or port is not Vimeo's.
    #[error("its host is not an upload host")]
    Foreign,
    /// It contains a user name or a fragment, which Vimeo's links never do.
    #[error("it has a user name or a fragment")]
    Extras,
}

/// Where the bytes of one upload are sent. Anyone who has it can send them, so it is a secret.
#[derive(Clone)]
pub struct UploadLink(Secret);

impl UploadLink {
    /// Parses a link from Vimeo, or a stored one.
    pub fn parse(text: &str, rules: &LinkRules) -> Result<Self, UploadLinkError> {
        accepted(text, rules).map(Self)
    }

    /// The link itself, for requests and for sealing. The caller is responsible for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for UploadLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<upload link>")
    }
}

/// The parsed form of a link, so that the URL that was checked is the URL that is requested.
pub(crate) fn accepted(text: &str, rules: &LinkRules) -> Result<Secret, UploadLinkError> {
    if text.len() > LINK_BYTES_MAX {
        return Err(UploadLinkError::NotAUrl);
    }
    let url = Url::parse(text).map_err(|_| UploadLinkError::NotAUrl)?;
    match check(&url, rules) {
        Ok(()) => Ok(Secret::new(String::from(url))),
        Err(refused) => {
            String::from(url).zeroize();
            Err(refused)
        }
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
    let is_vimeo_host = match host {
        Host::Domain(name) => rules.hosts.iter().any(|allowed| allowed.allows(name)),
        Host::Ipv4(_) | Host::Ipv6(_) => false,
    };
    // `port` is `None` for the default port of https.
    if is_vimeo_host && url.port().is_none() { Ok(()) } else { Err(UploadLinkError::Foreign) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(base_url: &str) -> LinkRules {
        let hosts = vec![UploadHost::vimeo()];
        LinkRules::new(hosts, &BaseUrl::parse(base_url).unwrap())
    }

    #[test]
    fn upload_links_are_accepted_at_vimeo_or_with_a_sandbox_on_this_machine() {
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
    fn a_link_is_redacted_in_debug_output_and_can_be_parsed_again() {
        let link =
            UploadLink::parse("https://files.tus.vimeo.com/files/canary", &rules("https://api.vimeo.com"));
        let link = link.unwrap();
        assert_eq!(format!("{link:?}"), "<upload link>");
        let again = UploadLink::parse(link.expose(), &rules("https://api.vimeo.com")).unwrap();
        assert_eq!(again.expose(), "https://files.tus.vimeo.com/files/canary");
    }

    #[test]
    fn an_upload_host_that_is_a_top_level_domain_or_an_address_is_rejected() {
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
