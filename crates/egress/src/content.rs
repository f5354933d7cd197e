//! Classifies a source by its first bytes and by its headers.
//!
//! The bytes decide: a video with a wrong media type is a video. Only content that is certainly not a video is
//! rejected: text of any kind, and bytes that are still compressed. Everything else is left to Vimeo.

use std::fmt;

use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use thiserror::Error;

/// Number of bytes needed for a classification.
pub(super) const HEAD_BYTES: usize = 4_096;
/// Magic number of gzip with its only compression method (RFC 1952, section 2.3).
const GZIP: [u8; 3] = [0x1f, 0x8b, 0x08];
/// Magic number of a Zstandard frame (RFC 8878, section 3.1.1).
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What the headers declare about a body.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Declared<'a> {
    /// `Content-Type`.
    pub(super) media_type: Option<&'a str>,
    /// `Content-Encoding`.
    pub(super) encoding: Option<&'a str>,
}

impl<'a> Declared<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Self {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Self { media_type: text(&CONTENT_TYPE), encoding: text(&CONTENT_ENCODING) }
    }

    /// The same for the decompressed body.
    pub(super) fn decoded(self) -> Self {
        Self { encoding: None, ..self }
    }
}

/// The kind of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Pass it on unchanged: a video, or something that Vimeo may support.
    AsIs,
    /// Compressed for transfer: decompress it and classify the result.
    Gzip,
    /// Not a video.
    NotVideo(NotVideo),
}

/// What was found instead of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotVideo {
    /// HTML: a sign-in page, a share page, an error page.
    #[error("a web page (HTML)")]
    WebPage,
    /// HLS or another list of URLs.
    #[error("a playlist (M3U8), which lists parts of a video")]
    Playlist,
    /// MPEG-DASH or Smooth Streaming.
    #[error("a streaming manifest (DASH), which lists parts of a video")]
    Manifest,
    /// JSON: usually an error of an API.
    #[error("a JSON document")]
    Json,
    /// XML: usually an error of an object store.
    #[error("an XML document")]
    Xml,
    /// Other text.
    #[error("text")]
    Text,
    /// Compressed with an unsupported encoding.
    #[error("a file compressed with {0}")]
    Compressed(Encoding),
}

/// An encoding that is not decompressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// `gzip`, if spooling is disabled.
    Gzip,
    /// `br`
    Brotli,
    /// `deflate`
    Deflate,
    /// `zstd`
    Zstd,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Brotli => "brotli",
            Self::Deflate => "deflate",
            Self::Zstd => "zstd",
        })
    }
}

/// Classifies a body by its first bytes: all of them, or at least [`HEAD_BYTES`].
pub(super) fn classify(declared: Declared<'_>, head: &[u8]) -> Content {
    if is_container(head) {
        return Content::AsIs;
    }
    if declared.is_gzip(head) {
        return Content::Gzip;
    }
    match text_of(head).or_else(|| declared.compressed(head)) {
        Some(what) => Content::NotVideo(what),
        None if declared.is_text() && !has_binary(head) && !head.is_empty() => {
            Content::NotVideo(declared.kind_of_text())
        }
        None => Content::AsIs,
    }
}

impl Declared<'_> {
    /// Whether the body is compressed with gzip for transfer.
    pub(super) fn is_gzip(self, head: &[u8]) -> bool {
        self.has_encoding(&["gzip", "x-gzip"]) && head.starts_with(&GZIP)
    }

    fn has_encoding(self, names: &[&str]) -> bool {
        // The encoding that was applied last is the one the bytes show.
        let last = self.encoding.and_then(|list| list.rsplit(',').next()).unwrap_or_default().trim();
        names.iter().any(|name| last.eq_ignore_ascii_case(name))
    }

    /// The media type without its parameters, in lower case.
    fn essence(self) -> String {
        let essence = self.media_type.and_then(|text| text.split(';').next()).unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }

    fn is_text(self) -> bool {
        let essence = self.essence();
        let is_known = matches!(
            essence.as_str(),
            "application/json"
                | "application/xml"
                | "application/xhtml+xml"
                | "application/javascript"
                | "application/x-mpegurl"
                | "application/vnd.apple.mpegurl"
                | "application/vnd.ms-sstr+xml"
        );
        is_known || essence.starts_with("text/") || essence.ends_with("+json") || essence.ends_with("+xml")
    }

    fn kind_of_text(self) -> NotVideo {
        let essence = self.essence();
        if essence.contains("html") {
            NotVideo::WebPage
        } else if essence.contains("mpegurl") {
            NotVideo::Playlist
        } else if essence.contains("dash") || essence.contains("sstr") {
            NotVideo::Manifest
        } else if essence.ends_with("json") {
            NotVideo::Json
        } else if essence.ends_with("xml") {
            NotVideo::Xml
        } else {
            NotVideo::Text
        }
    }

    /// Unsupported encodings. Brotli has no magic number: the header counts only with a declared text type.
    pub(super) fn compressed(self, head: &[u8]) -> Option<NotVideo> {
        if self.has_encoding(&["zstd"]) && head.starts_with(&ZSTD) {
            return Some(NotVideo::Compressed(Encoding::Zstd));
        }
        if self.has_encoding(&["deflate"]) && is_zlib(head) {
            return Some(NotVideo::Compressed(Encoding::Deflate));
        }
        let is_page = self.has_encoding(&["br"]) && self.is_text();
        is_page.then_some(NotVideo::Compressed(Encoding::Brotli))
    }
}

/// The header of a zlib stream (RFC 1950, section 2.2).
fn is_zlib(head: &[u8]) -> bool {
    let &[method, flags, ..] = head else { return false };
    method & 0x0f == 8 && method >> 4 <= 7 && (u16::from(method) * 256 + u16::from(flags)).is_multiple_of(31)
}

/// The kind of text, for UTF-8 and for text with a byte order mark; `None` for binary data.
pub(super) fn text_of(head: &[u8]) -> Option<NotVideo> {
    let text = decode(head)?;
    let text = text.trim_start();
    // The document type is within the first characters.
    let start: String = text.chars().take(1_024).collect::<String>().to_ascii_lowercase();
    let what = if start.starts_with("#extm3u") {
        NotVideo::Playlist
    } else if start.contains("<mpd") || start.contains("<smoothstreamingmedia") {
        NotVideo::Manifest
    } else if start.starts_with('<') && (start.contains("<html") || start.contains("<!doctype html")) {
        NotVideo::WebPage
    } else if start.starts_with("<?xml") || start.starts_with("<error") {
        NotVideo::Xml
    } else if ["<head", "<body", "<script", "<title", "<meta", "<!--", "<div", "<h1", "<p>", "<p "]
        .iter()
        .any(|tag| start.starts_with(tag))
    {
        NotVideo::WebPage
    } else if start.starts_with('<') {
        NotVideo::Xml
    } else if start.starts_with(['{', '[']) {
        NotVideo::Json
    } else {
        NotVideo::Text
    };
    Some(what)
}

/// The head as text: valid UTF-8, or with a byte order mark, and without binary control characters. The last character
/// may be incomplete.
fn decode(head: &[u8]) -> Option<String> {
    let text = match head {
        [] => return None,
        [0xff, 0xfe, rest @ ..] => from_utf16(rest, u16::from_le_bytes)?,
        [0xfe, 0xff, rest @ ..] => from_utf16(rest, u16::from_be_bytes)?,
        _ => {
            let bytes = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
            let valid = match std::str::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) if error.error_len().is_none() => {
                    std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()?
                }
                Err(_) => return None,
            };
            valid.to_owned()
        }
    };
    let is_text = text.chars().all(|c| !is_binary(c)) && !text.is_empty();
    is_text.then_some(text)
}

fn from_utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Option<String> {
    let (pairs, _) = bytes.as_chunks::<2>();
    let mut units: Vec<_> = pairs.iter().map(|pair| unit(*pair)).collect();
    // The second half of the last character may be missing.
    if units.last().is_some_and(|last| (0xd800..0xdc00).contains(last)) {
        units.pop();
    }
    String::from_utf16(&units).ok()
}

fn has_binary(head: &[u8]) -> bool {
    head.iter().any(|byte| byte.is_ascii() && is_binary(char::from(*byte)))
}

/// A control character that does not occur in text. Tabs, line ends, form feeds and escapes do.
pub(super) fn is_binary(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0e'..='\x1a' | '\x1c'..='\x1f' | '\x7f')
}

/// Whether this is a known video container. Unknown binary formats are accepted as well.
fn is_container(head: &[u8]) -> bool {
    const AT_THE_START: [&[u8]; 12] = [
        b"\x1a\x45\xdf\xa3",         // Matroska, WebM
        b"FLV\x01",                  // Flash video
        b"\x30\x26\xb2\x75\x8e\x66", // ASF, WMV
        b"\x06\x0e\x2b\x34",         // MXF
        b"OggS\0",
        b"\0\0\x01\xba", // MPEG program stream
        b"\0\0\x01\xb3", // MPEG video
        b"\0\0\0\x01",   // H.264, H.265; also a box with a 64-bit length
        b"\0\0\x01\x67", // H.264
        b".RMF\0",
        b"DKIF\0", // IVF
        b"YUV4MPEG2 ",
    ];
    AT_THE_START.iter().any(|magic| head.starts_with(magic))
        || is_riff(head)
        || is_box(head)
        || is_transport_stream(head)
}

/// AVI and similar formats: the length and the type follow.
fn is_riff(head: &[u8]) -> bool {
    let is_form = |start: &[u8]| head.starts_with(start);
    let kind = head.get(8..12);
    (is_form(b"RIFF") || is_form(b"RIFX") || is_form(b"RF64"))
        && matches!(kind, Some(b"AVI " | b"AVIX" | b"CDXA"))
}

/// MP4, `QuickTime`, 3GP: a length and a known type. Text could contain the type, but not the length.
fn is_box(head: &[u8]) -> bool {
    let Some(&[first, .., a, b, c, d]) = head.get(..8) else { return false };
    match &[a, b, c, d] {
        b"mdat" => head.get(..4).is_some_and(|length| length.iter().any(|byte| !(0x20..0x7f).contains(byte))),
        b"ftyp" | b"moov" | b"moof" | b"styp" | b"sidx" | b"free" | b"skip" | b"wide" | b"pnot" | b"uuid"
        | b"emsg" | b"prft" | b"junk" => first == 0,
        _ => false,
    }
}

/// A sync byte at the start of each packet. Packets have 188 bytes; 192 with a timestamp in front (M2TS), 204 with a
/// checksum at the end.
fn is_transport_stream(head: &[u8]) -> bool {
    let is_at =
        |offset: usize, length: usize| (0..3).all(|packet| head.get(offset + packet * length) == Some(&0x47));
    is_at(0, 188) || is_at(4, 192) || is_at(0, 204)
}

#[cfg(test)]
#[path = "content_tests.rs"]
mod tests;
