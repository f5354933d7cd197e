//! The API version in the Accept header.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

const VIMEO: &str = "application/vnd.vimeo.";

/// Whether Vimeo would accept the header: any well-formed version of its own media types, no version, or other media
/// types.
pub(crate) fn is_understood(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().all(|value| {
        let text = String::from_utf8_lossy(value.as_bytes());
        text.split(',').all(is_range_understood)
    })
}

/// Whether it names the version that uploads need. Without a version the app's default applies, which is older.
pub(crate) fn names_current_version(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(|value| {
        let text = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        text.split(',').any(|range| {
            let is_vimeo = range.trim_start().starts_with(VIMEO);
            let mut parameters = range.split(';').filter_map(|parameter| parameter.split_once('='));
            let version = parameters.find(|(name, _)| name.trim() == "version").map(|(_, value)| value);
            is_vimeo && version.is_some_and(|version| version.trim().trim_matches('"').starts_with("3.4"))
        })
    })
}

fn is_range_understood(range: &str) -> bool {
    let mut parts = range.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
    let Some(kind) = media_type.strip_prefix(VIMEO) else { return true };
    let kind = kind.strip_suffix("+json").unwrap_or(kind);
    let is_kind = kind == "*" || (!kind.is_empty() && kind.bytes().all(is_kind_byte));
    is_kind
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("version") => is_version(value.trim()),
            // Quality values and the like.
            Some(_) => true,
            None => parameter.is_empty(),
        })
}

fn is_kind_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}

/// `3`, `3.4` or `3.4.9`, quoted or not.
fn is_version(value: &str) -> bool {
    let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let numbers: Vec<&str> = bare.split('.').collect();
    numbers.len() <= 3
        && numbers.iter().all(|number| {
            (1..=3).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_real_clients_send_is_understood() {
        for range in [
            "application/vnd.vimeo.*;version=3.4",
            "application/vnd.vimeo.*+json;version=3.4",
            "application/vnd.vimeo.*+json; version=3.4",
            "application/vnd.vimeo.*+json;version=3.4.4",
            "application/vnd.vimeo.user+json;version=3.4",
            "application/vnd.vimeo.*+json",
            "APPLICATION/vnd.vimeo.*+json;Version=\"3.4\"",
            "application/json",
            "*/*",
            "",
        ] {
            assert!(is_range_understood(range), "{range}");
        }
    }

    #[test]
    fn a_malformed_version_is_not_understood() {
        for range in [
            "application/vnd.vimeo.*+json;version=",
            "application/vnd.vimeo.*+json;version=latest",
            "application/vnd.vimeo.*+json;version=3.",
            "application/vnd.vimeo.*+json;version=3.4.5.6",
            "application/vnd.vimeo.*+json;version",
            "application/vnd.vimeo.*+json;3.4",
            "application/vnd.vimeo.+json;version=3.4",
            "application/vnd.vimeo.a b;version=3.4",
        ] {
            assert!(!is_range_understood(range), "{range}");
        }
    }
}
