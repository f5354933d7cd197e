//! Determines the format of a text track by its content. No I/O.

use thiserror::Error;

use super::content::{self, NotVideo};
use super::image::{self, ImageFormat};

/// How many bytes are used to say what a file is instead.
const HEAD_BYTES: usize = 4_096;

/// The format of a text track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextTrackFormat {
    /// `WebVTT`, `.vtt`.
    WebVtt,
    /// `SubRip`, `.srt`.
    SubRip,
    /// `SubViewer` as used by `YouTube`, `.sbv`.
    Sbv,
    /// Timed Text Markup Language, `.ttml` or `.dfxp`.
    Ttml,
}

impl TextTrackFormat {
    /// Its media type. `SubViewer` has none of its own.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::WebVtt => "text/vtt",
            Self::SubRip => "application/x-subrip",
            Self::Sbv => "text/plain",
            Self::Ttml => "application/ttml+xml",
        }
    }
}

/// What was found instead of a text track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotTextTrack {
    /// No bytes, or only white space.
    #[error("an empty file")]
    Empty,
    /// HTML: a sign-in page, a share page, an error page.
    #[error("a web page (HTML)")]
    WebPage,
    /// HLS: text tracks in a stream are lists of parts.
    #[error("a playlist (M3U8), which lists parts of a text track")]
    Playlist,
    /// JSON: usually an error of an API.
    #[error("a JSON document")]
    Json,
    /// XML that is not TTML.
    #[error("an XML document that is not TTML")]
    Xml,
    /// An image.
    #[error("an image ({0})")]
    Image(ImageFormat),
    /// Any other binary file.
    #[error("a binary file")]
    Binary,
    /// UTF-16. `WebVTT` must be UTF-8, and what Vimeo does with other encodings is not documented.
    #[error("text in UTF-16: save it as UTF-8")]
    Utf16,
    /// Another encoding, such as Windows-1252.
    #[error("text that is not UTF-8: save it as UTF-8")]
    NotUtf8,
    /// Text in no known format.
    #[error("text that is not WebVTT, SRT, SBV or TTML")]
    Text,
}

/// The format of a text track, by all its bytes. They must be UTF-8, with or without a byte order mark.
pub fn text_track_format(bytes: &[u8]) -> Result<TextTrackFormat, NotTextTrack> {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(if content::text_of(head).is_some() { NotTextTrack::Utf16 } else { not_text(bytes) });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| not_text(bytes))?;
    if text.chars().any(content::is_binary) {
        return Err(not_text(bytes));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(NotTextTrack::Empty);
    }
    format_of(text).ok_or_else(|| match content::text_of(head) {
        Some(NotVideo::WebPage) => NotTextTrack::WebPage,
        Some(NotVideo::Playlist) => NotTextTrack::Playlist,
        Some(NotVideo::Json) => NotTextTrack::Json,
        Some(NotVideo::Xml | NotVideo::Manifest) => NotTextTrack::Xml,
        Some(NotVideo::Text | NotVideo::Compressed(_)) | None => NotTextTrack::Text,
    })
}

/// What bytes are that are not UTF-8 text.
fn not_text(bytes: &[u8]) -> NotTextTrack {
    if let Some(format) = image::signature(bytes) {
        return NotTextTrack::Image(format);
    }
    let is_binary = |byte: &u8| byte.is_ascii() && content::is_binary(char::from(*byte));
    if bytes.iter().any(is_binary) { NotTextTrack::Binary } else { NotTextTrack::NotUtf8 }
}

fn format_of(text: &str) -> Option<TextTrackFormat> {
    if is_webvtt(text) {
        return Some(TextTrackFormat::WebVtt);
    }
    if root_of(text).is_some_and(|root| root.rsplit(':').next() == Some("tt")) {
        return Some(TextTrackFormat::Ttml);
    }
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (first, second) = (lines.next()?, lines.next()?);
    if is_number(first) && is_subrip_timing(second) {
        Some(TextTrackFormat::SubRip)
    } else if is_sbv_timing(first) {
        Some(TextTrackFormat::Sbv)
    } else {
        None
    }
}

/// The signature, then the end, a space, a tab or a line end.
fn is_webvtt(text: &str) -> bool {
    let rest = text.strip_prefix("WEBVTT");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '\r']))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `00:00:01,000 --> 00:00:02,500`, perhaps followed by coordinates. Some programs write a point instead of the comma.
fn is_subrip_timing(line: &str) -> bool {
    let Some((from, rest)) = line.split_once("-->") else { return false };
    let until = rest.split_whitespace().next().unwrap_or_default();
    is_time(from.trim(), &[',', '.']) && is_time(until, &[',', '.'])
}

/// `0:00:01.000,0:00:02.500`.
fn is_sbv_timing(line: &str) -> bool {
    line.split_once(',').is_some_and(|(from, until)| is_time(from, &['.']) && is_time(until, &['.']))
}

/// Hours, minutes, seconds and a fraction.
fn is_time(text: &str, points: &[char]) -> bool {
    let Some((clock, fraction)) = text.split_once(points) else { return false };
    let mut parts = clock.split(':');
    let has_digits =
        |part: Option<&str>, most: usize| part.is_some_and(|part| is_number(part) && part.len() <= most);
    has_digits(parts.next(), 3)
        && has_digits(parts.next(), 2)
        && has_digits(parts.next(), 2)
        && parts.next().is_none()
        && has_digits(Some(fraction), 3)
}

/// The name of an XML document's root element, after declarations and comments.
fn root_of(text: &str) -> Option<&str> {
    let mut rest = text.trim_start();
    loop {
        let end = if rest.starts_with("<?") {
            "?>"
        } else if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<!") {
            ">"
        } else {
            break;
        };
        rest = rest.split_once(end)?.1.trim_start();
    }
    let name = rest.strip_prefix('<')?;
    name.split(|c: char| c.is_whitespace() || matches!(c, '>' | '/')).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VTT: &str = "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n";

    fn error(bytes: impl AsRef<[u8]>) -> NotTextTrack {
        text_track_format(bytes.as_ref()).unwrap_err()
    }

    #[test]
    fn each_format_is_recognised_with_and_without_a_byte_order_mark() {
        use TextTrackFormat::{Sbv, SubRip, Ttml, WebVtt};
        for (text, format) in [
            (VTT, WebVtt),
            ("WEBVTT", WebVtt),
            ("WEBVTT - Title\r\n\r\n", WebVtt),
            ("WEBVTT\tTitle\n", WebVtt),
            ("1\n00:00:01,000 --> 00:00:02,500\nHello\n", SubRip),
            ("\r\n\r\n12\r\n0:00:01.0 --> 100:00:02.50 X1:40 Y1:20\r\nHello\r\n", SubRip),
            ("1\n00:00:01,000-->00:00:02,500\nH\u{e9}llo", SubRip),
            ("0:00:01.000,0:00:02.500\nHello\n", Sbv),
            ("<tt xmlns=\"http://www.w3.org/ns/ttml\"><body/></tt>", Ttml),
            ("<?xml version=\"1.0\"?>\n<!-- <p> -->\n<tt:tt\nxml:lang=\"en\"></tt:tt>", Ttml),
            ("<!DOCTYPE tt PUBLIC \"-//W3C//DTD\">\n<tt/>", Ttml),
        ] {
            assert_eq!(text_track_format(text.as_bytes()), Ok(format), "{text}");
            assert_eq!(text_track_format(format!("\u{feff}{text}").as_bytes()), Ok(format), "{text}");
        }
        let types = [WebVtt, SubRip, Sbv, Ttml].map(TextTrackFormat::media_type);
        assert_eq!(types, ["text/vtt", "application/x-subrip", "text/plain", "application/ttml+xml"]);
    }

    #[test]
    fn anything_else_is_an_error_that_says_what_it_is() {
        for (bytes, expected) in [
            (&b""[..], NotTextTrack::Empty),
            (b"\xef\xbb\xbf \r\n\t", NotTextTrack::Empty),
            (b"<!DOCTYPE html><html><body>Sign in</body></html>", NotTextTrack::WebPage),
            (b"<html><body>WEBVTT</body></html>", NotTextTrack::WebPage),
            (b"#EXTM3U\n#EXT-X-VERSION:3\n", NotTextTrack::Playlist),
            (b"{\"error\": \"expired\"}", NotTextTrack::Json),
            (b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", NotTextTrack::Xml),
            (b"<ttx></ttx>", NotTextTrack::Xml),
            (b"<?xml version=\"1.0\"", NotTextTrack::Xml),
            (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", NotTextTrack::Image(ImageFormat::Png)),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", NotTextTrack::Image(ImageFormat::Jpeg)),
            (b"GIF89a\x01\0\x01\0\x80\xff\xff", NotTextTrack::Image(ImageFormat::Gif)),
            (b"\0\0\0\x18ftypmp42", NotTextTrack::Binary),
            (b"PK\x03\x04\x14\xff", NotTextTrack::Binary),
            (b"1\n00:00:01,000 --> 00:00:02,500\nH\xe9llo\n", NotTextTrack::NotUtf8),
            (b"Hello", NotTextTrack::Text),
            (b"WEBVTTX\n", NotTextTrack::Text),
            (b"webvtt\n", NotTextTrack::Text),
            (b"1\n2\n", NotTextTrack::Text),
            (b"1\n00:00:01,000 -> 00:00:02,500\nHello", NotTextTrack::Text),
            (b"1\n00:01,000 --> 00:02,500\nHello", NotTextTrack::Text),
            (b"0:00:01.000\nHello", NotTextTrack::Text),
        ] {
            assert_eq!(error(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(error(b"").to_string(), "an empty file");
        assert_eq!(error(b"\xff\xd8\xff\xe0").to_string(), "an image (JPEG)");
    }

    #[test]
    fn utf16_is_named_and_not_accepted() {
        let little = VTT.encode_utf16().flat_map(u16::to_le_bytes);
        let big = VTT.encode_utf16().flat_map(u16::to_be_bytes);
        assert_eq!(error([0xff, 0xfe].into_iter().chain(little).collect::<Vec<u8>>()), NotTextTrack::Utf16);
        assert_eq!(error([0xfe, 0xff].into_iter().chain(big).collect::<Vec<u8>>()), NotTextTrack::Utf16);
    }

    #[test]
    fn a_character_that_is_not_utf8_is_found_after_the_first_bytes() {
        let mut bytes = VTT.repeat(500).into_bytes();
        assert_eq!(text_track_format(&bytes), Ok(TextTrackFormat::WebVtt));
        bytes.push(0xe9);
        assert_eq!(error(&bytes), NotTextTrack::NotUtf8);
        bytes.push(0);
        assert_eq!(error(&bytes), NotTextTrack::Binary);
    }
}
