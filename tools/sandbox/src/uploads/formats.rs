//! Recognises the formats of text tracks and images by their beginning.

/// The format of a text track: `vtt`, `srt`, `sbv` or `ttml`.
pub(super) fn of_text_track(bytes: &[u8]) -> Option<&'static str> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Files of other encodings than UTF-8 are accepted: the parts that are looked at are ASCII.
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    if first.strip_prefix("WEBVTT").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return Some("vtt");
    }
    if first.starts_with('<') {
        let is_ttml = text.contains("<tt ") || text.contains("<tt>") || text.contains("<tt:tt");
        return is_ttml.then_some("ttml");
    }
    if is_pair_of_times(first, ",", '.') {
        return Some("sbv");
    }
    let is_number = first.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && is_pair_of_times(lines.next()?, "-->", ',')).then_some("srt")
}

/// Whether a line is two times with this text between them, such as `00:00:01,000 --> 00:00:02,500`.
fn is_pair_of_times(line: &str, between: &str, point: char) -> bool {
    let is_time = |text: &str| {
        let Some((clock, fraction)) = text.trim().split_once(point) else { return false };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number(fraction) && clock.split(':').count() == 3 && clock.split(':').all(is_number)
    };
    line.split_once(between).is_some_and(|(from, to)| is_time(from) && is_time(to))
}

/// The format of an image: `jpeg`, `png` or `gif`.
pub(super) fn of_image(bytes: &[u8]) -> Option<&'static str> {
    let beginnings: [(&[u8], &str); 4] =
        [(b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF87a", "gif"), (b"GIF89a", "gif")];
    beginnings.into_iter().find(|(beginning, _)| bytes.starts_with(beginning)).map(|(_, format)| format)
}

/// The media type of a text track's format.
pub(super) fn content_type(format: &str) -> &'static str {
    match format {
        "vtt" => "text/vtt; charset=utf-8",
        "ttml" => "application/ttml+xml",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_track_is_recognised_by_its_beginning() {
        for (text, format) in [
            ("WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n", Some("vtt")),
            ("\u{feff}WEBVTT - Title\r\n\r\n", Some("vtt")),
            ("\r\n1\r\n00:00:01,000 --> 00:00:02,500\r\nHello\r\n", Some("srt")),
            ("0:00:01.000,0:00:02.500\nHello\n", Some("sbv")),
            ("<?xml version=\"1.0\"?>\n<tt xmlns=\"http://www.w3.org/ns/ttml\"></tt>", Some("ttml")),
            ("WEBVTTX\n", None),
            ("<html></html>", None),
            ("1\nHello\n", None),
            ("00:00:01,000 --> 00:00:02,500\n", None),
            ("Hello", None),
            ("", None),
        ] {
            assert_eq!(of_text_track(text.as_bytes()), format, "{text}");
        }
        assert_eq!(of_text_track(b"1\n00:00:01,000 --> 00:00:02,500\nGr\xfc\xdfe\n"), Some("srt"));
    }

    #[test]
    fn an_image_is_recognised_by_its_beginning() {
        assert_eq!(of_image(b"\xff\xd8\xff\xe0 and more"), Some("jpeg"));
        assert_eq!(of_image(b"\x89PNG\r\n\x1a\n and more"), Some("png"));
        assert_eq!(of_image(b"GIF89a"), Some("gif"));
        for other in [b"".as_slice(), b"GIF88a", b"BM", b"<svg/>", b"RIFF....WEBP"] {
            assert_eq!(of_image(other), None);
        }
    }
}
