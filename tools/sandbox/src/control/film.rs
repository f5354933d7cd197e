//! A sample video for tests without network access: four seconds of moving colours, as an uncompressed AVI file. It is
//! generated in memory and supports range requests.

use std::sync::LazyLock;

use axum::body::{Body, Bytes};
use axum::http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

const WIDTH: u32 = 320;
const HEIGHT: u32 = 180;
const FRAMES_PER_SECOND: u32 = 25;
const FRAMES: u32 = 100;
/// Blue, green and red of each pixel; rows need no padding, since their length is a multiple of four.
const FRAME_BYTES: u32 = WIDTH * HEIGHT * 3;
const _: () = assert!((WIDTH * 3).is_multiple_of(4));
/// The `ETag`; the content is constant.
const TAG: HeaderValue = HeaderValue::from_static("\"film-1\"");

static FILM: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(film()));

/// `GET /_sandbox/film.avi`.
pub(super) async fn show(headers: HeaderMap) -> Response {
    let film = FILM.clone();
    let length = film.len();
    let asked =
        headers.get(RANGE).and_then(|range| range.to_str().ok()).and_then(|range| read_range(range, length));
    let (status, part) = match asked {
        Some((from, to)) => (StatusCode::PARTIAL_CONTENT, film.slice(from..=to)),
        None => (StatusCode::OK, film),
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let answered = response.headers_mut();
    answered.insert(CONTENT_TYPE, HeaderValue::from_static("video/x-msvideo"));
    answered.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answered.insert(ETAG, TAG);
    answered.insert(CONTENT_LENGTH, HeaderValue::from(part.len()));
    if let Some((from, to)) = asked
        && let Ok(range) = HeaderValue::try_from(format!("bytes {from}-{to}/{length}"))
    {
        answered.insert(CONTENT_RANGE, range);
    }
    response.map(|_| Body::from(part))
}

/// `bytes=from-` and `bytes=from-to`; any other range is ignored.
fn read_range(range: &str, length: usize) -> Option<(usize, usize)> {
    let (from, to) = range.strip_prefix("bytes=")?.split_once('-')?;
    let from: usize = from.parse().ok()?;
    let to = if to.is_empty() { length - 1 } else { to.parse::<usize>().ok()?.min(length - 1) };
    (from <= to).then_some((from, to))
}

fn film() -> Vec<u8> {
    let header = chunk(*b"LIST", &[b"hdrl".as_slice(), &main_header(), &stream()].concat());
    let (mut frames, mut index) = (b"movi".to_vec(), Vec::new());
    for number in 0..FRAMES {
        // All frames are keyframes; offsets count from the word `movi`.
        index.extend([*b"00db", 0x10_u32.to_le_bytes()].concat());
        index.extend(u32::try_from(frames.len()).unwrap_or(0).to_le_bytes());
        index.extend(FRAME_BYTES.to_le_bytes());
        frames.extend(chunk(*b"00db", &frame(number)));
    }
    let body = [b"AVI ".as_slice(), &header, &chunk(*b"LIST", &frames), &chunk(*b"idx1", &index)].concat();
    chunk(*b"RIFF", &body)
}

fn chunk(name: [u8; 4], content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(0).to_le_bytes();
    [name.as_slice(), &length, content].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn main_header() -> Vec<u8> {
    let has_index = 0x10;
    let micros = 1_000_000 / FRAMES_PER_SECOND;
    let rate = FRAME_BYTES * FRAMES_PER_SECOND;
    let fields = [micros, rate, 0, has_index, FRAMES, 0, 1, FRAME_BYTES, WIDTH, HEIGHT, 0, 0, 0, 0];
    chunk(*b"avih", &words(&fields))
}

fn stream() -> Vec<u8> {
    let place = [0, WIDTH | (HEIGHT << 16)];
    let header = [
        b"vidsDIB ".to_vec(),
        words(&[0, 0, 0, 1, FRAMES_PER_SECOND, 0, FRAMES, FRAME_BYTES, u32::MAX, 0]),
        words(&place),
    ];
    let (planes_and_bits, no_compression) = (1 | (24 << 16), 0);
    let format = [40, WIDTH, HEIGHT, planes_and_bits, no_compression, FRAME_BYTES, 0, 0, 0, 0];
    let parts = [b"strl".to_vec(), chunk(*b"strh", &header.concat()), chunk(*b"strf", &words(&format))];
    chunk(*b"LIST", &parts.concat())
}

/// Colours that move from frame to frame.
fn frame(number: u32) -> Vec<u8> {
    let low = |value: u32| value.to_le_bytes()[0];
    let point = |place: u32| {
        let (x, y) = (place % WIDTH, place / WIDTH);
        [low(x * 255 / WIDTH), low(y * 255 / HEIGHT), low((x + y + number * 5) % 256)]
    };
    (0..WIDTH * HEIGHT).flat_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_film_is_as_long_as_it_says() {
        let film = film();
        let said = u32::from_le_bytes(film[4..8].try_into().unwrap()) as usize;
        assert_eq!((&film[..4], &film[8..12]), (b"RIFF".as_slice(), b"AVI ".as_slice()));
        assert_eq!(film.len(), said + 8);
        assert!(film.len() > (FRAME_BYTES * FRAMES) as usize);
    }

    #[test]
    fn a_range_is_read_and_nonsense_is_the_whole() {
        for (range, read) in [
            ("bytes=0-0", Some((0, 0))),
            ("bytes=5-", Some((5, 99))),
            ("bytes=5-1000", Some((5, 99))),
            ("bytes=100-", None),
            ("bytes=6-5", None),
            ("bytes=-5", None),
            ("items=0-1", None),
            ("bytes=a-b", None),
        ] {
            assert_eq!(read_range(range, 100), read, "{range}");
        }
    }
}
