//! Every container with every wrong media type, and every text with every video type.

use super::*;

fn declared<'a>(media_type: &'a str, encoding: &'a str) -> Declared<'a> {
    Declared {
        media_type: Some(media_type).filter(|text| !text.is_empty()),
        encoding: Some(encoding).filter(|text| !text.is_empty()),
    }
}

/// Bytes that are not text: enough of a video for these tests.
fn binary(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at * 7 % 256).unwrap()).collect()
}

fn with(start: &[u8]) -> Vec<u8> {
    let mut bytes = start.to_vec();
    bytes.extend(binary(500));
    bytes
}

fn transport_stream(prefix: usize, length: usize) -> Vec<u8> {
    let mut packet = vec![b'a'; length];
    packet[prefix] = 0x47;
    packet.repeat(4)
}

fn films() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("MP4", with(b"\0\0\0\x20ftypisom")),
        ("MP4, fragmented", with(b"\0\0\0\x18styp")),
        ("QuickTime, ProRes", with(b"\0\0\0\x14ftypqt  ")),
        ("QuickTime, old", with(b"\0\0\0\x08wide")),
        ("QuickTime, moov first", with(b"\0\x01\x86\xa0moov")),
        ("QuickTime, mdat first", with(b"\x7f\0\x20\x30mdat")),
        ("QuickTime, 64-bit mdat", with(b"\0\0\0\x01mdat\0\0\0\x02")),
        ("3GP", with(b"\0\0\0\x18ftyp3gp4")),
        ("Matroska", with(b"\x1a\x45\xdf\xa3\x01")),
        ("WebM", with(b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04webm")),
        ("AVI", with(b"RIFF\x10\x20\x30\x40AVI LIST")),
        ("AVI, text-like", b"RIFF    AVI LIST text and nothing else".to_vec()),
        ("MPEG-TS", transport_stream(0, 188)),
        ("M2TS", transport_stream(4, 192)),
        ("MPEG-TS with checksums", transport_stream(0, 204)),
        ("MPEG-PS", with(b"\0\0\x01\xba\x44")),
        ("MPEG-1", with(b"\0\0\x01\xb3\x16")),
        ("FLV", with(b"FLV\x01\x05\0\0\0\x09")),
        ("ASF", with(b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")),
        ("MXF", with(b"\x06\x0e\x2b\x34\x02\x05\x01\x01")),
        ("Ogg", with(b"OggS\0\x02")),
        ("H.264", with(b"\0\0\0\x01\x67")),
        ("RealMedia", with(b".RMF\0\0\0\x12")),
        ("IVF", with(b"DKIF\0\0")),
        ("YUV4MPEG2", b"YUV4MPEG2 W640 H360 F25:1 Ip A0:0 C420\nFRAME\n".to_vec()),
        ("unknown", binary(4_096)),
        ("one byte", vec![0]),
        ("nothing", Vec::new()),
    ]
}

const LABELS: [&str; 13] = [
    "",
    "video/mp4",
    "application/octet-stream",
    "binary/octet-stream",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html",
    "TEXT/HTML; charset=UTF-8",
    "application/json",
    "application/xml",
    "application/x-mpegURL",
    "image/jpeg",
    "nonsense",
];

#[test]
fn a_video_is_accepted_with_every_wrong_media_type() {
    for (name, film) in films() {
        for label in LABELS {
            assert_eq!(classify(declared(label, ""), &film), Content::AsIs, "{name} as {label}");
        }
    }
}

#[test]
fn a_video_is_accepted_with_every_wrong_encoding() {
    for (name, film) in films() {
        for encoding in
            ["gzip", "x-gzip", "br", "deflate", "zstd", "identity", "aws-chunked", "utf-8", "none"]
        {
            for label in ["", "video/mp4", "application/octet-stream"] {
                assert_eq!(classify(declared(label, encoding), &film), Content::AsIs, "{name} as {encoding}");
            }
        }
    }
}

#[test]
fn gzip_needs_the_header_and_the_magic_number() {
    let gzip = with(b"\x1f\x8b\x08\0\0\0\0\0\0\x03");
    for encoding in ["gzip", "GZIP", "x-gzip", "identity, gzip", " gzip "] {
        for label in LABELS {
            assert_eq!(classify(declared(label, encoding), &gzip), Content::Gzip, "{encoding} {label}");
        }
    }
    // A compressed file without the encoding header is the file itself.
    for encoding in ["", "identity", "br", "gzip, br"] {
        assert_eq!(classify(declared("application/gzip", encoding), &gzip), Content::AsIs, "{encoding}");
    }
}

#[test]
fn other_encodings_are_rejected_by_name_if_the_bytes_match() {
    for (encoding, head, expected) in [
        ("zstd", with(&ZSTD), NotVideo::Compressed(Encoding::Zstd)),
        ("deflate", with(b"\x78\x9c"), NotVideo::Compressed(Encoding::Deflate)),
        ("deflate", with(b"\x78\x01"), NotVideo::Compressed(Encoding::Deflate)),
        ("deflate", with(b"\x78\xda"), NotVideo::Compressed(Encoding::Deflate)),
    ] {
        assert_eq!(
            classify(declared("video/mp4", encoding), &head),
            Content::NotVideo(expected),
            "{encoding}"
        );
        assert_eq!(classify(declared("video/mp4", ""), &head), Content::AsIs, "{encoding}");
    }
    let head = with(b"\x1b\x2f\x04");
    let brotli = Content::NotVideo(NotVideo::Compressed(Encoding::Brotli));
    assert_eq!(classify(declared("text/html", "br"), &head), brotli);
    assert_eq!(classify(declared("video/mp4", "br"), &head), Content::AsIs);
}

fn utf16(text: &str, mark: [u8; 2], unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    mark.into_iter().chain(text.encode_utf16().flat_map(unit)).collect()
}

#[test]
fn text_is_recognised_with_every_media_type() {
    let page = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>\u{fc}</body></html>";
    let texts: Vec<(Vec<u8>, NotVideo)> = vec![
        (page.into(), NotVideo::WebPage),
        (format!("\u{feff}\r\n  {page}").into(), NotVideo::WebPage),
        (utf16(page, [0xff, 0xfe], u16::to_le_bytes), NotVideo::WebPage),
        (utf16(page, [0xfe, 0xff], u16::to_be_bytes), NotVideo::WebPage),
        ("<HTML><BODY>Not found".into(), NotVideo::WebPage),
        ("<!-- a comment --><html>".into(), NotVideo::WebPage),
        ("<script>location='/login'</script>".into(), NotVideo::WebPage),
        ("<?xml version=\"1.0\"?><!DOCTYPE html><html xmlns=\"\">".into(), NotVideo::WebPage),
        ("{\"error\":\"not found\"}".into(), NotVideo::Json),
        ("  [1, 2]".into(), NotVideo::Json),
        ("#EXTM3U\n#EXT-X-VERSION:3\n".into(), NotVideo::Playlist),
        ("\u{feff}#EXTM3U\n".into(), NotVideo::Playlist),
        ("<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\">".into(), NotVideo::Manifest),
        ("<MPD>".into(), NotVideo::Manifest),
        ("<SmoothStreamingMedia MajorVersion=\"2\">".into(), NotVideo::Manifest),
        ("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>".into(), NotVideo::Xml),
        ("<Error><Code>NoSuchKey</Code></Error>".into(), NotVideo::Xml),
        ("Please sign in to continue.\n".into(), NotVideo::Text),
        ("Forbidden".into(), NotVideo::Text),
        ("WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n".into(), NotVideo::Text),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n".into(), NotVideo::Text),
    ];
    for (text, expected) in texts {
        for label in LABELS {
            let judged = classify(declared(label, ""), &text);
            assert_eq!(judged, Content::NotVideo(expected), "{} as {label}", String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn text_with_an_incomplete_last_character_is_still_text() {
    let page = format!("<html>{}", "\u{fc}".repeat(3_000));
    let head = &page.as_bytes()[..=HEAD_BYTES];
    assert!(std::str::from_utf8(head).is_err());
    assert_eq!(classify(Declared::default(), head), Content::NotVideo(NotVideo::WebPage));
}

#[test]
fn text_in_a_legacy_charset_is_text_if_declared_as_text() {
    let latin = b"<html><body>Bitte anmelden: f\xfcr Mitglieder</body></html>";
    assert_eq!(classify(declared("text/html", ""), latin), Content::NotVideo(NotVideo::WebPage));
    assert_eq!(
        classify(declared("application/dash+xml", ""), b"\xfc"),
        Content::NotVideo(NotVideo::Manifest)
    );
    assert_eq!(classify(declared("video/mp4", ""), b"\xfc\xfd\xfe"), Content::AsIs);
}

#[test]
fn text_that_contains_an_mp4_box_type_is_not_a_video() {
    for text in ["The free film", "Somemdat and more", "The moov"] {
        assert_eq!(
            classify(declared("video/mp4", ""), text.as_bytes()),
            Content::NotVideo(NotVideo::Text),
            "{text}"
        );
    }
}

#[test]
fn rejected_content_is_described() {
    assert_eq!(NotVideo::WebPage.to_string(), "a web page (HTML)");
    assert_eq!(NotVideo::Compressed(Encoding::Zstd).to_string(), "a file compressed with zstd");
}
