//! Reading the bytes of a source, from the beginning or an offset: exactly those bytes.

use super::*;
use web::{Answer, header};

const FILM: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const LENGTH: u64 = FILM.len() as u64;

fn metadata(validator: Option<&str>, ranges: RangeSupport) -> SourceMetadata {
    SourceMetadata { length: Some(LENGTH), validators: mark(validator), ranges }
}

fn tagged() -> SourceMetadata {
    metadata(Some("\"a\""), RangeSupport::Yes)
}

/// A correct server: ranges, `If-Range`, `ETag`.
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
    metadata: &SourceMetadata,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Vec<u8>, Option<SourceError>) {
    let web = Web::start(GOOD, answer).await;
    let egress = egress();
    match egress.open(&web.url(&egress, "/film.mp4"), from, metadata, &SourceProgress::default()).await {
        Ok(opened) => all(opened.stream).await,
        Err(error) => (Vec::new(), Some(error)),
    }
}

#[tokio::test]
async fn a_broken_stream_resumes_at_the_same_offset() {
    let web = Web::start(GOOD, |request| {
        let answer = well_behaved(request);
        if header(request, "range").is_some() { answer } else { answer.cut_by(20) }
    })
    .await;
    let egress = egress();
    let url = web.url(&egress, "/film.mp4");
    let progress = SourceProgress::default();
    let opened = async |from| egress.open(&url, from, &tagged(), &progress).await.unwrap();
    let (mut bytes, error) = all(opened(0).await.stream).await;
    assert_eq!((bytes.len(), error), (16, Some(SourceError::EndedEarly)));
    let (rest, error) = all(opened(16).await.stream).await;
    bytes.extend_from_slice(&rest);
    assert_eq!((bytes.as_slice(), error), (FILM, None));
    let requests = web.requests();
    assert_eq!((header(&requests[0], "range"), header(&requests[0], "if-range")), (None, None));
    assert_eq!(
        (header(&requests[1], "range"), header(&requests[1], "if-range")),
        (Some("bytes=16-"), Some("\"a\""))
    );
    assert_eq!((header(&requests[0], "if-match"), header(&requests[1], "if-match")), (None, Some("\"a\"")));
}

#[tokio::test]
async fn a_silent_stream_counts_as_broken() {
    let web = Web::start(GOOD, |request| well_behaved(request).cut_by(20).then_silence()).await;
    let mut options = options(no_dns());
    options.timeouts.idle = Duration::from_millis(300);
    let egress = Egress::new(options).unwrap();
    let opened = egress.open(&web.url(&egress, "/"), 0, &tagged(), &SourceProgress::default()).await.unwrap();
    assert_eq!(all(opened.stream).await, (FILM[..16].to_vec(), Some(SourceError::EndedEarly)));
}

#[tokio::test]
async fn a_source_that_changed_midway_returns_no_more_bytes() {
    let changed = (Vec::new(), Some(SourceError::Changed));
    let unproven = (Vec::new(), Some(SourceError::CannotResume));
    // A different `ETag` with the same length; as the whole file and as a range.
    assert_eq!(read(16, &tagged(), |_| Answer::new(200, &["ETag: \"b\""], FILM)).await, changed);
    // No `ETag` any more.
    assert_eq!(read(16, &tagged(), |_| Answer::new(200, &[], FILM)).await, unproven);
    // The same `ETag` with a different length.
    assert_eq!(read(16, &tagged(), |_| Answer::new(200, &["ETag: \"a\""], "short")).await, changed);
    let part = |headers: &'static [&'static str]| async move {
        read(16, &tagged(), move |_| Answer::new(206, headers, &FILM[16..])).await
    };
    assert_eq!(part(&["Content-Range: bytes 16-35/36", "ETag: \"b\""]).await, changed);
    assert_eq!(part(&["Content-Range: bytes 16-35/36", "ETag: W/\"b\""]).await, changed);
    assert_eq!(part(&["Content-Range: bytes 16-35/36"]).await, unproven);
    assert_eq!(part(&["Content-Range: bytes 16-35/37", "ETag: \"a\""]).await, changed);
    let shrunk = read(16, &tagged(), |_| Answer::new(416, &["Content-Range: bytes */10"], "")).await;
    assert_eq!(shrunk, changed);
    assert_eq!(read(37, &tagged(), well_behaved).await, changed);
}

#[tokio::test]
async fn at_offset_zero_the_response_defines_the_file() {
    let web = Web::start(GOOD, |_| Answer::new(200, &["ETag: \"b\""], "another")).await;
    let egress = egress();
    let url = web.url(&egress, "/");
    let opened = egress.open(&url, 0, &tagged(), &SourceProgress::default()).await.unwrap();
    let found =
        SourceMetadata { length: Some(7), validators: mark(Some("\"b\"")), ranges: RangeSupport::Yes };
    assert_eq!(opened.metadata, found);
    assert_eq!(all(opened.stream).await, (b"another".to_vec(), None));
}

#[tokio::test]
async fn a_server_that_rejects_a_plain_request_gets_an_open_range() {
    let insists = |request: &str| match header(request, "range") {
        Some("bytes=0-") => Answer::new(206, &["Content-Range: bytes 0-35/36", "ETag: \"a\""], FILM),
        _ => Answer::new(403, &[], ""),
    };
    assert_eq!(read(0, &tagged(), insists).await, (FILM.to_vec(), None));
}

#[tokio::test]
async fn a_server_that_mishandles_conditions_gets_an_unconditional_request() {
    for status in [400, 403, 412, 416, 501] {
        let web = Web::start(GOOD, move |request| match header(request, "if-match") {
            Some(_) if status == 501 => Answer::new(200, &["ETag: \"a\""], FILM),
            Some(_) => Answer::new(status, &[], ""),
            None => well_behaved(request),
        })
        .await;
        let egress = egress();
        let opened = egress.open(&web.url(&egress, "/"), 16, &tagged(), &SourceProgress::default()).await;
        assert_eq!(all(opened.unwrap().stream).await, (FILM[16..].to_vec(), None), "{status}");
    }
    // A server that reports a mismatch, then returns a range of a file with a different `ETag` or none.
    for tag in ["ETag: \"b\"", "X: y"] {
        let answer = move |request: &str| match header(request, "if-match") {
            Some(_) => Answer::new(412, &[], ""),
            None => Answer::new(206, &["Content-Range: bytes 16-35/36", tag], &FILM[16..]),
        };
        assert_eq!(read(16, &tagged(), answer).await, (Vec::new(), Some(SourceError::Changed)), "{tag}");
    }
}

#[tokio::test]
async fn a_server_that_accepts_conditions_but_sends_nothing_gets_an_unconditional_request() {
    // Like a slicing cache whose origin has a different file now.
    let web = Web::start(GOOD, |request| match header(request, "if-range") {
        Some(_) => {
            Answer::new(206, &["Content-Range: bytes 16-35/36", "ETag: \"a\""], &FILM[16..]).cut_by(20)
        }
        None => Answer::new(206, &["Content-Range: bytes 16-35/36", "ETag: \"b\""], &FILM[16..]),
    })
    .await;
    let (egress, progress) = (egress(), SourceProgress::default());
    let url = web.url(&egress, "/");
    let first = egress.open(&url, 16, &tagged(), &progress).await.unwrap();
    assert_eq!(all(first.stream).await, (Vec::new(), Some(SourceError::EndedEarly)));
    assert_eq!(egress.open(&url, 16, &tagged(), &progress).await.unwrap_err(), SourceError::Changed);
    assert_eq!(web.accepted(), 2);
}

#[tokio::test]
async fn a_range_other_than_the_requested_one_is_not_used() {
    for headers in [
        &["Content-Range: bytes 0-35/36", "ETag: \"a\""][..],
        &["Content-Range: bytes 17-35/36", "ETag: \"a\""],
        &["Content-Range: 16-35", "ETag: \"a\""],
        &["ETag: \"a\""],
    ] {
        let (bytes, error) = read(16, &tagged(), move |_| Answer::new(206, headers, &FILM[16..])).await;
        let error = error.unwrap();
        assert!(
            matches!(error, SourceError::CannotResume | SourceError::Refused(_)),
            "{headers:?} {error:?}"
        );
        assert!(bytes.is_empty());
    }
    // More than requested, including the byte at the offset.
    let whole = |_: &str| Answer::new(206, &["Content-Range: bytes 0-35/36", "ETag: \"a\""], FILM);
    assert_eq!(read(16, &tagged(), whole).await, (FILM[16..].to_vec(), None));
}

#[tokio::test]
async fn a_range_conditional_on_a_date_may_omit_the_date() {
    let metadata = metadata(Some("Sun, 06 Nov 1994 08:49:37 GMT"), RangeSupport::Yes);
    let answer = |_: &str| Answer::new(206, &["Content-Range: bytes 16-35/36"], &FILM[16..]);
    assert_eq!(read(16, &metadata, answer).await, (FILM[16..].to_vec(), None));
    let answer = |_: &str| {
        let changed = "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT";
        Answer::new(206, &["Content-Range: bytes 16-35/36", changed], &FILM[16..])
    };
    assert_eq!(read(16, &metadata, answer).await, (Vec::new(), Some(SourceError::Changed)));
}

#[tokio::test]
async fn a_source_without_ranges_is_reread_and_its_beginning_skipped() {
    let whole = |_: &str| Answer::new(200, &["ETag: \"a\""], FILM);
    for ranges in [RangeSupport::No, RangeSupport::Yes] {
        for from in [1, 16, 35] {
            let rest = FILM[usize::try_from(from).unwrap()..].to_vec();
            assert_eq!(read(from, &metadata(Some("\"a\""), ranges), whole).await, (rest, None));
        }
    }
    let in_pieces = |_: &str| Answer::chunked(&["ETag: \"a\""], FILM);
    assert_eq!(
        read(16, &metadata(Some("\"a\""), RangeSupport::No), in_pieces).await,
        (FILM[16..].to_vec(), None)
    );
}

#[tokio::test]
async fn a_source_that_cannot_be_verified_is_not_resumed() {
    let web = Web::start(GOOD, well_behaved).await;
    let egress = egress();
    let open = async |from, ranges| {
        egress.open(&web.url(&egress, "/"), from, &metadata(None, ranges), &SourceProgress::default()).await
    };
    for ranges in [RangeSupport::No, RangeSupport::Yes] {
        assert_eq!(open(16, ranges).await.unwrap_err(), SourceError::CannotResume);
    }
    assert_eq!(web.accepted(), 0);
    let opened = open(0, RangeSupport::No).await.unwrap();
    assert_eq!(all(opened.stream).await, (FILM.to_vec(), None));
}

#[tokio::test]
async fn without_validators_a_file_is_reread_and_its_bytes_compared() {
    const OTHER: &[u8] = b"0123456789abcdeFghijklmnopqrstuvwxyz";
    for (second, expected) in [
        (FILM, (FILM[10..].to_vec(), None)),
        // A change in bytes that were already sent: detected before the rest is returned.
        (OTHER, (Vec::new(), Some(SourceError::Changed))),
    ] {
        let count = std::sync::atomic::AtomicUsize::new(0);
        let web = Web::start(GOOD, move |_| match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => Answer::new(200, &[], FILM).cut_by(16),
            _ => Answer::new(200, &[], second),
        })
        .await;
        let (egress, progress) = (egress(), SourceProgress::default());
        let (url, metadata) = (web.url(&egress, "/"), metadata(None, RangeSupport::No));
        let first = egress.open(&url, 0, &metadata, &progress).await.unwrap();
        assert_eq!(all(first.stream).await, (FILM[..20].to_vec(), Some(SourceError::EndedEarly)));
        let again = egress.open(&url, 10, &metadata, &progress).await.unwrap();
        assert_eq!(all(again.stream).await, expected);
    }
}

#[tokio::test]
async fn a_trickling_source_is_too_slow_however_often_it_is_reopened() {
    let mut options = options(no_dns());
    // No source is fast enough, from the first wait on.
    options.minimum_rate = MinimumRate { bytes_per_second: u64::MAX, window: Duration::from_nanos(1) };
    let web = Web::start(GOOD, well_behaved).await;
    let egress = Egress::new(options).unwrap();
    let opened = egress.open(&web.url(&egress, "/"), 0, &tagged(), &SourceProgress::default()).await.unwrap();
    assert_eq!(all(opened.stream).await, (Vec::new(), Some(SourceError::TooSlow)));
}

#[tokio::test]
async fn fewer_or_more_bytes_than_declared_are_detected() {
    let in_pieces = |body: &'static [u8]| move |_: &str| Answer::chunked(&["ETag: \"a\""], body);
    let short = read(0, &tagged(), in_pieces(&FILM[..30])).await;
    assert_eq!(short, (FILM[..30].to_vec(), Some(SourceError::EndedEarly)));
    let (bytes, error) = read(0, &tagged(), in_pieces(b"0123456789abcdefghijklmnopqrstuvwxyzXYZ")).await;
    // The last bytes are held back, so that it is not mistaken for complete.
    assert!(bytes.len() < FILM.len() && error == Some(SourceError::Changed), "{bytes:?} {error:?}");
    let (bytes, error) = read(16, &tagged(), |_| {
        let head = ["Content-Range: bytes 16-35/36", "ETag: \"a\""];
        Answer::raw(206, &head, [&FILM[16..], b"more"].concat())
    })
    .await;
    assert!(bytes.len() < 20 && error == Some(SourceError::Changed), "{bytes:?} {error:?}");
}

#[tokio::test]
async fn a_response_with_another_encoding_is_passed_on_unchanged() {
    // The header of a gzip file, followed by garbage.
    let body = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03not really";
    let metadata = SourceMetadata { length: Some(body.len() as u64), ..metadata(None, RangeSupport::No) };
    let read = read(0, &metadata, move |_| Answer::new(200, &["Content-Encoding: gzip"], body)).await;
    assert_eq!(read, (body.to_vec(), None));
}

#[tokio::test]
async fn an_expired_link_is_distinguished_from_a_busy_server() {
    let expired = read(16, &tagged(), |_| Answer::new(403, &[], "expired")).await;
    assert_eq!(expired, (Vec::new(), Some(refused(403))));
    let busy = read(16, &tagged(), |_| Answer::new(503, &["Retry-After: 7"], "")).await;
    assert_eq!(busy, (Vec::new(), Some(SourceError::RetryLater { after_seconds: Some(7) })));
}

#[tokio::test]
async fn at_the_end_no_request_is_sent() {
    let web = Web::start(GOOD, well_behaved).await;
    let egress = egress();
    let url = web.url(&egress, "/");
    let progress = SourceProgress::default();
    let opened = egress.open(&url, LENGTH, &tagged(), &progress).await.unwrap();
    assert_eq!(all(opened.stream).await, (Vec::new(), None));
    let endless = SourceMetadata { length: None, ..tagged() };
    assert_eq!(egress.open(&url, 0, &endless, &progress).await.unwrap_err(), SourceError::NoLength);
    assert_eq!(web.accepted(), 0);
}
