//! Determines the format of an image by its content, and whether its structure is complete. Pixels are not decoded, and
//! no other I/O is done.

use std::fmt;

use thiserror::Error;

use super::content::{self, NotVideo};

/// How many bytes are used to say what a file is instead.
const HEAD_BYTES: usize = 4_096;
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// The format of an image that Vimeo accepts as a thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// GIF.
    Gif,
}

impl ImageFormat {
    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
        }
    }
}

/// Its usual name.
impl fmt::Display for ImageFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::Gif => "GIF",
        })
    }
}

/// What was found instead of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotImage {
    /// No bytes.
    #[error("an empty file")]
    Empty,
    /// It starts like an image, but is cut off or damaged.
    #[error("an incomplete or damaged {0} file")]
    Damaged(ImageFormat),
    /// An image in another format, which is named.
    #[error("an image in the format {0}, not JPEG, PNG or GIF")]
    OtherFormat(&'static str),
    /// HTML: a sign-in page, a share page, an error page.
    #[error("a web page (HTML)")]
    WebPage,
    /// Any other text.
    #[error("text")]
    Text,
    /// Anything else.
    #[error("a file that is not an image")]
    Other,
}

/// The format of an image, by all its bytes.
pub fn image_format(bytes: &[u8]) -> Result<ImageFormat, NotImage> {
    if bytes.is_empty() {
        return Err(NotImage::Empty);
    }
    let Some(format) = signature(bytes) else { return Err(other(bytes)) };
    let is_complete = match format {
        ImageFormat::Jpeg => is_jpeg(bytes),
        ImageFormat::Png => is_png(bytes),
        ImageFormat::Gif => is_gif(bytes),
    };
    if is_complete.unwrap_or(false) { Ok(format) } else { Err(NotImage::Damaged(format)) }
}

/// The format that the first bytes announce.
pub(super) fn signature(bytes: &[u8]) -> Option<ImageFormat> {
    if bytes.starts_with(b"\xff\xd8\xff") {
        Some(ImageFormat::Jpeg)
    } else if bytes.starts_with(PNG) {
        Some(ImageFormat::Png)
    } else if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        Some(ImageFormat::Gif)
    } else {
        None
    }
}

fn other(bytes: &[u8]) -> NotImage {
    let head = bytes.get(..HEAD_BYTES).unwrap_or(bytes);
    let format = match head {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("WebP"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', b'f' | b's', ..] => Some("AVIF"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e', b'i' | b'v', b'c' | b'x', ..]
        | [_, _, _, _, b'f', b't', b'y', b'p', b'm', b'i', b'f', b'1', ..] => Some("HEIC"),
        [b'I', b'I', b'*', 0, ..] | [b'M', b'M', 0, b'*', ..] => Some("TIFF"),
        // The reserved fields distinguish it from text that starts like it.
        [b'B', b'M', _, _, _, _, 0, 0, 0, 0, ..] => Some("BMP"),
        _ => None,
    };
    match (format, content::text_of(head)) {
        (Some(name), _) => NotImage::OtherFormat(name),
        (None, Some(NotVideo::Xml)) if contains(head, b"<svg") => NotImage::OtherFormat("SVG"),
        (None, Some(NotVideo::WebPage)) => NotImage::WebPage,
        (None, Some(_)) => NotImage::Text,
        (None, None) => NotImage::Other,
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Segments up to the start of a scan, one of them a frame header with a size (ITU-T T.81, annex B), and the end marker
/// somewhere after it.
fn is_jpeg(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes.strip_prefix(b"\xff\xd8")?;
    let mut has_size = false;
    loop {
        let (&[prefix, marker], after) = rest.split_first_chunk()?;
        rest = after;
        match (prefix, marker) {
            // Any marker may be preceded by fill bytes.
            (0xff, 0xff) => {
                rest = bytes.get(bytes.len() - rest.len() - 1..)?;
                continue;
            }
            // The start of a scan.
            (0xff, 0xda) => return Some(has_size && contains(rest, b"\xff\xd9")),
            // Markers without a segment.
            (0xff, 0x01 | 0xd0..=0xd7) => continue,
            (0xff, 0xc0..=0xfe) if marker != 0xd8 && marker != 0xd9 => {}
            _ => return Some(false),
        }
        let (length, _) = rest.split_first_chunk()?;
        let segment = rest.get(2..usize::from(u16::from_be_bytes(*length)))?;
        // A frame header. Three of the markers in this range are tables. The number of lines may be given later.
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            has_size = segment.get(3..5)? != [0, 0];
        }
        rest = rest.get(2 + segment.len()..)?;
    }
}

/// Chunks from a header with a size to the end chunk, with data between them (PNG specification, section 5).
fn is_png(bytes: &[u8]) -> Option<bool> {
    let mut rest = bytes.strip_prefix(PNG)?;
    let mut has_data = false;
    let mut is_first = true;
    loop {
        let (length, after) = rest.split_first_chunk()?;
        let (kind, after) = after.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        // A checksum follows the data.
        let (data, after) = (after.get(..length)?, after.get(length.checked_add(4)?..)?);
        match kind {
            b"IHDR" if is_first => {
                let is_zero = |range| data.get(range) == Some(&[0; 4][..]);
                if data.len() != 13 || is_zero(0..4) || is_zero(4..8) {
                    return Some(false);
                }
            }
            _ if is_first => return Some(false),
            b"IDAT" => has_data = true,
            b"IEND" => return Some(has_data),
            _ => {}
        }
        is_first = false;
        rest = after;
    }
}

/// A screen with a size, and something after it (`GIF89a` specification, sections 17 to 20). Many programs leave the
/// trailer out, so it is not required.
fn is_gif(bytes: &[u8]) -> Option<bool> {
    let screen = bytes.get(6..13)?;
    let has_size = screen.get(..2)? != [0, 0] && screen.get(2..4)? != [0, 0];
    Some(has_size && bytes.len() > 14)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg() -> Vec<u8> {
        let start = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0";
        let frame = b"\xff\xff\xc0\0\x0b\x08\0\x10\0\x20\x01\x01\x11\0";
        let scan = b"\xff\xda\0\x08\x01\x01\0\0\x3f\0\x12\x34\xff\xd9";
        [&start[..], frame, scan].concat()
    }

    fn chunk(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let length = u32::try_from(data.len()).unwrap().to_be_bytes();
        [&length[..], kind, data, b"\x01\x02\x03\x04"].concat()
    }

    fn png_with(header: &[u8]) -> Vec<u8> {
        [PNG.to_vec(), chunk(b"IHDR", header), chunk(b"IDAT", b"x"), chunk(b"IEND", b"")].concat()
    }

    fn png() -> Vec<u8> {
        png_with(b"\0\0\0\x10\0\0\0\x20\x08\x02\0\0\0")
    }

    fn gif() -> Vec<u8> {
        b"GIF89a\x10\0\x20\0\0\0\0,\0\0\0\0\x10\0\x20\0\0\x02\x01\0\0;".to_vec()
    }

    #[test]
    fn each_format_is_recognised() {
        for (bytes, format, name, media_type) in [
            (jpeg(), ImageFormat::Jpeg, "JPEG", "image/jpeg"),
            (png(), ImageFormat::Png, "PNG", "image/png"),
            (gif(), ImageFormat::Gif, "GIF", "image/gif"),
        ] {
            assert_eq!(image_format(&bytes), Ok(format));
            assert_eq!((format.to_string().as_str(), format.media_type()), (name, media_type));
            // Programs append data to images.
            assert_eq!(image_format(&[bytes, b"more".to_vec()].concat()), Ok(format));
        }
    }

    #[test]
    fn a_truncated_jpeg_or_png_is_damaged_wherever_it_ends() {
        for (bytes, format) in [(jpeg(), ImageFormat::Jpeg), (png(), ImageFormat::Png)] {
            for length in 8..bytes.len() {
                assert_eq!(image_format(&bytes[..length]), Err(NotImage::Damaged(format)), "{length}");
            }
        }
        assert_eq!(image_format(&gif()[..13]), Err(NotImage::Damaged(ImageFormat::Gif)));
    }

    #[test]
    fn an_image_without_a_size_or_data_is_damaged() {
        let damaged = |bytes: &[u8]| match image_format(bytes) {
            Err(NotImage::Damaged(format)) => format,
            other => panic!("{other:?}"),
        };
        let mut bytes = gif();
        bytes[6] = 0;
        assert_eq!(damaged(&bytes), ImageFormat::Gif);
        assert_eq!(damaged(&png_with(b"\0\0\0\0\0\0\0\x20\x08\x02\0\0\0")), ImageFormat::Png);
        assert_eq!(damaged(&png_with(b"\0\0\0\x10")), ImageFormat::Png);
        let without_data = [PNG.to_vec(), chunk(b"IHDR", &[1; 13]), chunk(b"IEND", b"")].concat();
        assert_eq!(damaged(&without_data), ImageFormat::Png);
        let without_header = [PNG.to_vec(), chunk(b"IDAT", b"x"), chunk(b"IEND", b"")].concat();
        assert_eq!(damaged(&without_header), ImageFormat::Png);
        let mut bytes = jpeg();
        let width = bytes.windows(3).position(|window| window == b"\0\x20\x01").unwrap();
        bytes[width + 1] = 0;
        assert_eq!(damaged(&bytes), ImageFormat::Jpeg);
        assert_eq!(damaged(b"\xff\xd8\xff\xda\0\x02\xff\xd9"), ImageFormat::Jpeg);
        assert_eq!(damaged(b"\xff\xd8\xff\xe0\0\0\xff\xd9"), ImageFormat::Jpeg);
    }

    #[test]
    fn anything_else_is_an_error_that_says_what_it_is() {
        for (bytes, expected) in [
            (&b""[..], NotImage::Empty),
            (b"RIFF\x10\0\0\0WEBPVP8 ", NotImage::OtherFormat("WebP")),
            (b"\0\0\0\x1cftypavif", NotImage::OtherFormat("AVIF")),
            (b"\0\0\0\x1cftypheic", NotImage::OtherFormat("HEIC")),
            (b"II*\0\x08\0\0\0", NotImage::OtherFormat("TIFF")),
            (b"BM\x10\0\0\0\0\0\0\0\x36", NotImage::OtherFormat("BMP")),
            (b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", NotImage::OtherFormat("SVG")),
            (b"<!DOCTYPE html><html><body><svg/></body></html>", NotImage::WebPage),
            (b"{\"error\": \"expired\"}", NotImage::Text),
            (b"BMW and others", NotImage::Text),
            (b"GIF", NotImage::Text),
            (b"\0\0\0\x18ftypmp42", NotImage::Other),
            (b"\xff\xd8", NotImage::Other),
        ] {
            assert_eq!(image_format(bytes), Err(expected), "{}", String::from_utf8_lossy(bytes));
        }
        let message = image_format(b"\0\0\0\x1cftypheic").unwrap_err().to_string();
        assert_eq!(message, "an image in the format HEIC, not JPEG, PNG or GIF");
    }
}
