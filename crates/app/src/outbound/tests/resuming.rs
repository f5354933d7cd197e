//! The bytes of a source, read in one go or from the middle: those and no other.

use super::*;
use web::{Answer, header};

const FILM: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const LENGTH: u64 = FILM.len() as u64;

fn facts(validator: Option<&str>, ranges: Ranges) -> SourceFacts {
    let validator = validator.map(|text| Validator::parse(text).unwrap());
    SourceFacts { length: Some(LENGTH), validator, ranges }
}

fn tagged() -> SourceFacts {
    facts(Some("\"a\""), Ranges::Taken)
}

/// A server that does as it should: ranges, `If-Range`, a tag.
fn well_behaved(request: &str) -> Answer {
    let is_same = header(request, "if-range").is_none_or(|tag| tag == "\"a\"");
    let from = header(request, "range")
        .filter(|_| is_same)
        .map(|range| range.trim_start_matches("bytes=").trim_end_matches('-').parse::<usize>().unwrap());
    match from {
        Some(from) => {
            let range = format!("Content-Range: bytes {from}-{}/{}", FILM.len() - 1, FILM.len());
            Answer::new(206, &[&range, "ETag: \"a\""], &FILM[from..])
        }
        None => Answer::new(200, &["ETag: \"a\""], FILM),
    }
}

async fn read(
    from: u64,
    facts: &SourceFacts,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Vec<u8>, Option<SourceError>) {
    let web = Web::start(GOOD, answer).await;
    let outbound = outbound();
    match outbound.open(&web.url(&outbound, "/film.mp4"), from, facts).await {
        Ok(stream) => all(stream).await,
        Err(error) => (Vec::new(), Some(error)),
    }
}

#[tokio::test]
async fn a_cut_stream_goes_on_where_it_was_cut() {
    let web = Web::start(GOOD, |request| {
        let answer = well_behaved(request);
        if header(request, "range").is_some() { answer } else { answer.cut_by(20) }
    })
    .await;
    let outbound = outbound();
    let url = web.url(&outbound, "/film.mp4");
    let (mut bytes, error) = all(outbound.open(&url, 0, &tagged()).await.unwrap()).await;
    assert_eq!((bytes.len(), error), (16, Some(SourceError::Broken)));
    let (rest, error) = all(outbound.open(&url, 16, &tagged()).await.unwrap()).await;
    bytes.extend_from_slice(&rest);
    assert_eq!((bytes.as_slice(), error), (FILM, None));
    let requests = web.requests();
    assert_eq!((header(&requests[0], "range"), header(&requests[0], "if-range")), (None, None));
    assert_eq!(
        (header(&requests[1], "range"), header(&requests[1], "if-range")),
        (Some("bytes=16-"), Some("\"a\""))
    );
}

#[tokio::test]
async fn a_silent_stream_is_a_cut_one() {
    let web = Web::start(GOOD, |request| well_behaved(request).cut_by(20).then_silence()).await;
    let mut options = options(nobody());
    options.timeouts.silence = Duration::from_millis(300);
    let outbound = Outbound::new(options).unwrap();
    let stream = outbound.open(&web.url(&outbound, "/"), 0, &tagged()).await.unwrap();
    assert_eq!(all(stream).await, (FILM[..16].to_vec(), Some(SourceError::Broken)));
}

#[tokio::test]
async fn a_source_that_changed_in_the_middle_gives_no_byte_more() {
    let changed = (Vec::new(), Some(SourceError::Changed));
    for from in [0, 16] {
        // Another tag, with the same length; as the whole, and as a part.
        let whole = read(from, &tagged(), |_| Answer::new(200, &["ETag: \"b\""], FILM)).await;
        assert_eq!(whole, changed);
        // No tag at all any more.
        assert_eq!(read(from, &tagged(), |_| Answer::new(200, &[], FILM)).await, changed);
        // The same tag, with another length.
        assert_eq!(read(from, &tagged(), |_| Answer::new(200, &["ETag: \"a\""], "short")).await, changed);
    }
    let part = |headers: &'static [&'static str]| async move {
        read(16, &tagged(), move |_| Answer::new(206, headers, &FILM[16..])).await
    };
    assert_eq!(part(&["Content-Range: bytes 16-35/36", "ETag: \"b\""]).await, changed);
    assert_eq!(part(&["Content-Range: bytes 16-35/36"]).await, changed);
    assert_eq!(part(&["Content-Range: bytes 16-35/37", "ETag: \"a\""]).await, changed);
    let shrunk = read(16, &tagged(), |_| Answer::new(416, &["Content-Range: bytes */10"], "")).await;
    assert_eq!(shrunk, changed);
    assert_eq!(read(37, &tagged(), well_behaved).await, changed);
}

#[tokio::test]
async fn a_part_that_is_not_the_one_asked_for_is_not_taken() {
    for headers in [
        &["Content-Range: bytes 0-35/36", "ETag: \"a\""][..],
        &["Content-Range: bytes 17-35/36", "ETag: \"a\""],
        &["Content-Range: 16-35", "ETag: \"a\""],
        &["ETag: \"a\""],
    ] {
        let read = read(16, &tagged(), move |_| Answer::new(206, headers, &FILM[16..])).await;
        assert_eq!(read, (Vec::new(), Some(SourceError::CannotResume)), "{headers:?}");
    }
}

#[tokio::test]
async fn a_part_to_an_instant_of_change_need_not_repeat_it() {
    let facts = facts(Some("Sun, 06 Nov 1994 08:49:37 GMT"), Ranges::Taken);
    let answer = |_: &str| Answer::new(206, &["Content-Range: bytes 16-35/36"], &FILM[16..]);
    assert_eq!(read(16, &facts, answer).await, (FILM[16..].to_vec(), None));
    let answer = |_: &str| {
        let changed = "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT";
        Answer::new(206, &["Content-Range: bytes 16-35/36", changed], &FILM[16..])
    };
    assert_eq!(read(16, &facts, answer).await, (Vec::new(), Some(SourceError::Changed)));
}

#[tokio::test]
async fn a_source_without_ranges_is_read_again_and_its_beginning_dropped() {
    let whole = |_: &str| Answer::new(200, &["ETag: \"a\""], FILM);
    for ranges in [Ranges::Ignored, Ranges::Taken] {
        for from in [1, 16, 35] {
            let rest = FILM[usize::try_from(from).unwrap()..].to_vec();
            assert_eq!(read(from, &facts(Some("\"a\""), ranges), whole).await, (rest, None));
        }
    }
    let in_pieces = |_: &str| Answer::chunked(&["ETag: \"a\""], FILM);
    assert_eq!(
        read(16, &facts(Some("\"a\""), Ranges::Ignored), in_pieces).await,
        (FILM[16..].to_vec(), None)
    );
}

#[tokio::test]
async fn without_a_validator_nothing_is_read_from_the_middle() {
    let web = Web::start(GOOD, well_behaved).await;
    let outbound = outbound();
    for ranges in [Ranges::Ignored, Ranges::Taken] {
        let opened = outbound.open(&web.url(&outbound, "/"), 16, &facts(None, ranges)).await;
        assert_eq!(opened.unwrap_err(), SourceError::CannotResume);
    }
    assert_eq!(web.accepted(), 0);
    let opened = outbound.open(&web.url(&outbound, "/"), 0, &facts(None, Ranges::Ignored)).await.unwrap();
    assert_eq!(all(opened).await, (FILM.to_vec(), None));
}

#[tokio::test]
async fn fewer_and_more_bytes_than_were_said_are_noticed() {
    let in_pieces = |body: &'static [u8]| move |_: &str| Answer::chunked(&["ETag: \"a\""], body);
    let short = read(0, &tagged(), in_pieces(&FILM[..30])).await;
    assert_eq!(short, (FILM[..30].to_vec(), Some(SourceError::Broken)));
    let (bytes, error) = read(0, &tagged(), in_pieces(b"0123456789abcdefghijklmnopqrstuvwxyzXYZ")).await;
    // The last of its bytes are held back, so that it cannot be taken for whole.
    assert!(bytes.len() < FILM.len() && error == Some(SourceError::Changed), "{bytes:?} {error:?}");
    let (bytes, error) = read(16, &tagged(), |_| {
        let head = ["Content-Range: bytes 16-35/36", "ETag: \"a\""];
        Answer::raw(206, &head, [&FILM[16..], b"more"].concat())
    })
    .await;
    assert!(bytes.len() < 20 && error == Some(SourceError::Changed), "{bytes:?} {error:?}");
}

#[tokio::test]
async fn an_answer_in_another_coding_is_passed_on_as_it_came() {
    // The first bytes of a gzip file, and what is no gzip at all.
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not really";
    let facts = SourceFacts { length: Some(body.len() as u64), ..facts(None, Ranges::Ignored) };
    let read = read(0, &facts, move |_| Answer::new(200, &["Content-Encoding: gzip"], body)).await;
    assert_eq!(read, (body.to_vec(), None));
}

#[tokio::test]
async fn a_link_that_expired_in_the_middle_is_told_apart_from_a_busy_server() {
    let expired = read(16, &tagged(), |_| Answer::new(403, &[], "expired")).await;
    assert_eq!(expired, (Vec::new(), Some(SourceError::Status(403))));
    let busy = read(16, &tagged(), |_| Answer::new(503, &["Retry-After: 7"], "")).await;
    assert_eq!(busy, (Vec::new(), Some(SourceError::Later { after_seconds: Some(7) })));
}

#[tokio::test]
async fn at_the_end_nobody_is_asked() {
    let web = Web::start(GOOD, well_behaved).await;
    let outbound = outbound();
    let url = web.url(&outbound, "/");
    assert_eq!(all(outbound.open(&url, LENGTH, &tagged()).await.unwrap()).await, (Vec::new(), None));
    let endless = SourceFacts { length: None, ..tagged() };
    assert_eq!(outbound.open(&url, 0, &endless).await.unwrap_err(), SourceError::NoLength);
    assert_eq!(web.accepted(), 0);
}
