//! Checks the page URLs that Vimeo returns for a video.

use url::{Host, Url};

use crate::base_url::{BaseUrl, is_loopback};

/// Limit for a page URL.
const PAGE_BYTES_MAX: usize = 2 * 1024;

/// Whether a URL may be shown as a Vimeo page: https on one of Vimeo's hosts. If the API is on a loopback address, as
/// the sandbox is, pages may be as well.
pub(super) fn is_vimeo_url(text: &str, base_url: &BaseUrl) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&byte);
    if text.len() > PAGE_BYTES_MAX || !text.bytes().all(is_plain) {
        return false;
    }
    let Ok(url) = Url::parse(text) else { return false };
    if !url.username().is_empty() || url.password().is_some() {
        return false;
    }
    match url.host() {
        Some(host) if base_url.is_loopback() && is_loopback(&host) => {
            matches!(url.scheme(), "http" | "https")
        }
        Some(Host::Domain(name)) => {
            let is_own = name == "vimeo.com" || name.ends_with(".vimeo.com");
            // `port` is `None` for the default port of https.
            is_own && url.scheme() == "https" && url.port().is_none()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_urls_are_accepted_at_vimeo_and_with_a_sandbox_on_this_machine() {
        let vimeo = BaseUrl::parse("https://api.vimeo.com").unwrap();
        let sandbox = BaseUrl::parse("http://127.0.0.1:9300").unwrap();
        let long = format!("https://vimeo.com/{}", "1".repeat(PAGE_BYTES_MAX));
        for (page, at_vimeo, at_sandbox) in [
            ("https://vimeo.com/123", true, true),
            ("https://vimeo.com/123/abc", true, true),
            ("https://player.vimeo.com/video/123?h=abc", true, true),
            ("https://vimeo.com:443/123", true, true),
            ("http://vimeo.com/123", false, false),
            ("http://127.0.0.1:9300/123", false, true),
            ("https://vimeo.com:8443/123", false, false),
            ("https://vimeo.com.evil.example/123", false, false),
            ("https://evilvimeo.com/123", false, false),
            ("https://evil.example/vimeo.com", false, false),
            ("https://vimeo.com@evil.example/", false, false),
            ("https://u:p@vimeo.com/", false, false),
            ("https://evil.example\\.vimeo.com/", false, false),
            ("https://vimeo.com/\"><script>", false, false),
            ("https://vimeo.com/\n", false, false),
            ("javascript:alert(1)//vimeo.com", false, false),
            ("//vimeo.com/1", false, false),
            ("", false, false),
            (&long, false, false),
        ] {
            assert_eq!(is_vimeo_url(page, &vimeo), at_vimeo, "{page}");
            assert_eq!(is_vimeo_url(page, &sandbox), at_sandbox, "{page}");
        }
    }
}
