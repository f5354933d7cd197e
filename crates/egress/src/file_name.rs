//! The name of a download: from its server (`Content-Disposition`, RFC 6266), else from its URL.
//!
//! Has its own parser, because servers send values outside the grammar (bare UTF-8, percent-encoded `filename`,
//! backslashes) that browsers accept.

use domain::upload::{VIDEO_NAME_MAX_CHARS, VideoName};
use percent_encoding::percent_decode;

/// Limit for a file name extension.
const EXTENSION_MAX_BYTES: usize = 5;

/// A video name derived from the file name, without the extension.
pub fn video_name(disposition: Option<&[u8]>, path: &str) -> Option<VideoName> {
    let from_header = disposition.and_then(file_name_in);
    from_header.as_deref().and_then(to_video_name).or_else(|| {
        let segment = path.rsplit('/').next().unwrap_or_default();
        to_video_name(&String::from_utf8(percent_decode(segment.as_bytes()).collect()).ok()?)
    })
}

/// The file name in a `Content-Disposition` header: `filename*` takes precedence over `filename`.
fn file_name_in(header: &[u8]) -> Option<String> {
    let parameters = parameters(header);
    let find = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.as_slice())
    };
    let extended = find("filename*").and_then(extended);
    extended.or_else(|| find("filename").map(plain)).filter(|name| !name.trim().is_empty())
}

/// The parameters after the first `;`. A quoted value ends at its quote, any other at the next `;`.
fn parameters(header: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut rest = after(header, b';');
    while let Some(parameter) = rest {
        let Some(equals) = parameter.iter().position(|byte| matches!(byte, b'=' | b';')) else { break };
        let (name, value) = parameter.split_at(equals);
        let Some(value) = value.strip_prefix(b"=") else {
            rest = value.strip_prefix(b";");
            continue;
        };
        let (value, behind) = if let Some(quoted) = value.trim_ascii_start().strip_prefix(b"\"") {
            unquote(quoted)
        } else {
            let end = value.iter().position(|byte| *byte == b';').unwrap_or(value.len());
            let (value, behind) = value.split_at(end);
            (value.trim_ascii().to_vec(), behind)
        };
        found.push((String::from_utf8_lossy(name.trim_ascii()).into_owned(), value));
        rest = after(behind, b';');
    }
    found
}

fn after(bytes: &[u8], mark: u8) -> Option<&[u8]> {
    let at = bytes.iter().position(|byte| *byte == mark)?;
    bytes.get(at + 1..)
}

/// Removes the quotes, and returns the rest of the header. A backslash that escapes nothing belongs to a path.
fn unquote(quoted: &[u8]) -> (Vec<u8>, &[u8]) {
    let mut value = Vec::new();
    let mut rest = quoted;
    loop {
        rest = match rest {
            [] => return (value, rest),
            [b'"', behind @ ..] => return (value, behind),
            [b'\\', escaped @ (b'"' | b'\\'), behind @ ..] => {
                value.push(*escaped);
                behind
            }
            [byte, behind @ ..] => {
                value.push(*byte);
                behind
            }
        };
    }
}

/// `UTF-8'en'na%C3%AFve.mp4` (RFC 8187).
fn extended(value: &[u8]) -> Option<String> {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let charset = parts.next()?;
    let bytes: Vec<u8> = percent_decode(parts.nth(1)?).collect();
    if charset.eq_ignore_ascii_case(b"utf-8") {
        String::from_utf8(bytes).ok()
    } else if charset.eq_ignore_ascii_case(b"iso-8859-1") {
        Some(from_latin(&bytes))
    } else {
        None
    }
}

/// A plain value is UTF-8 in practice, Latin-1 by the old standard. It is percent-decoded if it contains no spaces.
fn plain(value: &[u8]) -> String {
    let text = String::from_utf8(value.to_vec()).unwrap_or_else(|_| from_latin(value));
    if text.contains(char::is_whitespace) {
        return text;
    }
    String::from_utf8(percent_decode(text.as_bytes()).collect()).unwrap_or(text)
}

fn from_latin(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Converts a file name to a video name: without directories, extension and invisible characters, truncated to Vimeo's
/// limit. `None` if nothing is left.
fn to_video_name(file: &str) -> Option<VideoName> {
    let file = file.rsplit(['/', '\\']).next().unwrap_or_default();
    let stem = match file.trim().rsplit_once('.') {
        Some((stem, extension)) if is_extension(extension) => stem,
        _ => file,
    };
    let clean: String = stem.chars().filter(|c| !is_invisible(*c)).collect();
    let short: String = clean.trim().chars().take(VIDEO_NAME_MAX_CHARS).collect();
    VideoName::parse(short.trim_end()).ok().filter(|name| name.as_str().chars().any(|c| c != '.'))
}

fn is_extension(text: &str) -> bool {
    (1..=EXTENSION_MAX_BYTES).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Control characters and those that change the text direction.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(disposition: &[u8]) -> Option<String> {
        video_name(Some(disposition), "").map(|name| name.as_str().to_owned())
    }

    fn name_of_path(path: &str) -> Option<String> {
        video_name(None, path).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_file_name_is_taken_from_the_header() {
        for (header, expected) in [
            ("attachment; filename=\"My Film.mp4\"", "My Film"),
            ("attachment; filename=film.mp4", "film"),
            ("attachment;filename=film.mp4;size=5", "film"),
            ("inline; FileName = \"film.mp4\" ", "film"),
            ("attachment; filename=My Film.mp4", "My Film"),
            ("attachment; filename=\"a; b=\\\"c\\\".mp4\"; x=y", "a; b=\"c\""),
            ("attachment; filename*=UTF-8''na%C3%AFve%20film.mp4", "na\u{ef}ve film"),
            ("attachment; filename*=utf-8'en'%e2%82%ac%20rates.mp4", "\u{20ac} rates"),
            ("attachment; filename*=iso-8859-1''na%EFve.mp4", "na\u{ef}ve"),
            ("attachment; filename=\"plain.mp4\"; filename*=UTF-8''better.mp4", "better"),
            ("attachment; filename*=UTF-8''better.mp4; filename=\"plain.mp4\"", "better"),
            ("attachment; filename*=UTF-8''%ff.mp4; filename=\"plain.mp4\"", "plain"),
            ("attachment; filename*=koi8-r''%c1.mp4; filename=\"plain.mp4\"", "plain"),
            ("attachment; filename=\"na\u{ef}ve.mp4\"", "na\u{ef}ve"),
            ("attachment; filename=My%20Film.mp4", "My Film"),
            ("attachment; filename=\"100% sure.mp4\"", "100% sure"),
            ("attachment; filename=\"C:\\films\\film.mp4\"", "film"),
            ("attachment; filename=\"../../etc/film.mp4\"", "film"),
            ("attachment; filename=\"unfinished.mp4", "unfinished"),
            ("attachment; nothing; filename=film.mp4", "film"),
            ("attachment; filename=\"Interview v1.2\"", "Interview v1.2"),
            ("attachment; filename=\"film.tar.gz\"", "film.tar"),
        ] {
            assert_eq!(name(header.as_bytes()).as_deref(), Some(expected), "{header}");
        }
        assert_eq!(name(b"attachment; filename=\"na\xefve.mp4\"").as_deref(), Some("na\u{ef}ve"));
    }

    #[test]
    fn the_url_is_used_if_the_header_has_no_usable_name() {
        for header in [
            "",
            "attachment",
            "attachment;",
            "attachment; filename",
            "attachment; filename=",
            "attachment; filename=\"\"",
            "attachment; filename=\"  \"",
            "attachment; filename=\".mp4\"",
            "attachment; filename=\"..\"",
            "attachment; filename=\"a/\"",
            "attachment; filename*=UTF-8''",
            "attachment; filename*=film.mp4",
            "attachment; name=\"film\"",
            ";;;=;\"",
        ] {
            let found = video_name(Some(header.as_bytes()), "https://media.example/a/film.mp4");
            assert_eq!(found.unwrap().as_str(), "film", "{header}");
            assert_eq!(name(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn the_last_path_segment_is_decoded() {
        for (path, expected) in [
            ("https://media.example/film.mp4", Some("film")),
            ("https://media.example/a/My%20Film%20%E2%80%93%20final.mp4", Some("My Film \u{2013} final")),
            ("https://media.example/%C3%9Cber.uns.mov", Some("\u{dc}ber.uns")),
            ("https://media.example/a%2Fb.mp4", Some("b")),
            ("https://media.example/watch", Some("watch")),
            ("https://media.example/50%25.mp4", Some("50%")),
            ("https://media.example/50%.mp4", Some("50%")),
            ("https://media.example/", None),
            ("https://media.example/a/", None),
            ("https://media.example/%ff%fe.mp4", None),
            ("https://media.example/%00%01.mp4", None),
            ("https://media.example/%2E%2E", None),
        ] {
            assert_eq!(name_of_path(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn invisible_characters_are_removed_and_the_name_is_truncated_to_vimeos_limit() {
        assert_eq!(name(b"attachment; filename*=UTF-8''a%0A%00b%E2%80%AEc.mp4").as_deref(), Some("abc"));
        let long = format!("attachment; filename*=UTF-8''{}.mp4", "%C3%BC".repeat(500));
        assert_eq!(name(long.as_bytes()), Some("\u{fc}".repeat(VIDEO_NAME_MAX_CHARS)));
        let spaced = format!("attachment; filename=\"{}  b.mp4\"", "a".repeat(VIDEO_NAME_MAX_CHARS - 1));
        assert_eq!(name(spaced.as_bytes()), Some("a".repeat(VIDEO_NAME_MAX_CHARS - 1)));
    }
}
