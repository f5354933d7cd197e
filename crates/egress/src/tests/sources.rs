//! Metadata of sources, with every kind of request that servers accept.

use super::*;
use web::{Answer, header};

const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const FILM: &[u8] = b"0123456789";

/// Names for the kinds of requests.
const FIRST: &str = "bytes=0-4095";
const WHOLE: &str = "bytes=0-";

async fn probe(
    max_bytes: u64,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Result<SourceMetadata, SourceError>, Vec<Option<String>>) {
    let web = Web::start(GOOD, answer).await;
    let egress = egress();
    let found = metadata_of(&egress, &web.url(&egress, "/film.mp4?signature=1"), max_bytes).await;
    let ranges = web.requests().iter().map(|request| header(request, "range").map(str::to_owned)).collect();
    (found, ranges)
}

/// The requested ranges.
fn asked(ranges: &[Option<&str>]) -> Vec<Option<String>> {
    ranges.iter().map(|range| range.map(str::to_owned)).collect()
}

fn metadata(length: Option<u64>, validator: Option<&str>, ranges: RangeSupport) -> SourceMetadata {
    SourceMetadata { length, validators: mark(validator), ranges }
}

/// Metadata of a source whose first bytes arrived.
fn first_metadata(bytes: &[u8], validator: Option<&str>, ranges: RangeSupport) -> SourceMetadata {
    let first = &bytes[..bytes.len().min(4_096)];
    let metadata = metadata(Some(bytes.len() as u64), validator, ranges);
    SourceMetadata { validators: metadata.validators.with_first_bytes(first), ..metadata }
}

fn no() -> Answer {
    Answer::new(403, &[], "no")
}

#[tokio::test]
async fn a_source_with_ranges_reports_its_length_in_a_range() {
    let answer = |_: &str| Answer::new(206, &["Content-Range: bytes 0-9/10", "ETag: \"a\""], FILM);
    let found = Ok(first_metadata(FILM, Some("\"a\""), RangeSupport::Yes));
    assert_eq!(probe(10, answer).await, (found, asked(&[Some(FIRST)])));
    // A server that returns less than requested, and spells the unit differently.
    let answer = |_: &str| Answer::new(206, &["Content-Range: Bytes 0-0/10"], "0");
    assert_eq!(
        probe(10, answer).await,
        (Ok(metadata(Some(10), None, RangeSupport::Yes)), asked(&[Some(FIRST)]))
    );
}

#[tokio::test]
async fn a_range_without_a_total_leads_to_a_plain_request() {
    let part = || Answer::new(206, &["Content-Range: bytes 0-9/*", "ETag: \"a\""], FILM);
    let answer = move |request: &str| {
        if header(request, "range").is_some() { part() } else { Answer::new(200, &[], FILM) }
    };
    let found = Ok(metadata(Some(10), Some("\"a\""), RangeSupport::Yes));
    assert_eq!(probe(10, answer).await, (found, asked(&[Some(FIRST), None])));
    let found = Ok(metadata(None, Some("\"a\""), RangeSupport::No));
    assert_eq!(probe(10, move |_| part()).await, (found, asked(&[Some(FIRST), None])));
}

#[tokio::test]
async fn a_source_without_ranges_has_a_length_or_none() {
    let (found, _) = probe(10, |_| {
        let changed = format!("Last-Modified: {THEN}");
        Answer::new(200, &[&changed, "Date: Mon, 07 Nov 1994 08:49:37 GMT"], FILM)
    })
    .await;
    assert_eq!(found, Ok(first_metadata(FILM, Some(THEN), RangeSupport::No)));
    let unknown = (Ok(metadata(None, None, RangeSupport::No)), asked(&[Some(FIRST)]));
    assert_eq!(probe(10, |_| Answer::chunked(&[], FILM)).await, unknown);
    assert_eq!(probe(10, |_| Answer::raw(200, &[], FILM)).await, unknown);
}

#[tokio::test]
async fn a_rejected_range_request_says_nothing_about_the_file() {
    // Every unsuccessful status for the range request; the plain request succeeds.
    for status in (400..600).filter(|status| *status != 416) {
        let answer = move |request: &str| match header(request, "range") {
            Some(_) => Answer::new(status, &[], "no"),
            None => Answer::new(200, &[], FILM),
        };
        let (found, ranges) = probe(10, answer).await;
        assert_eq!(found, Ok(first_metadata(FILM, None, RangeSupport::No)), "{status}");
        assert_eq!(ranges, asked(&[Some(FIRST), None]), "{status}");
    }
}

#[tokio::test]
async fn an_unusual_response_to_a_range_says_nothing_about_the_file() {
    for unusual in [
        (|| Answer::new(416, &[], "")) as fn() -> Answer,
        || Answer::new(416, &["Content-Range: bytes */10"], ""),
        || Answer::new(416, &["Content-Range: bytes */0"], ""),
        || Answer::new(206, &[], FILM),
        || Answer::new(206, &["Content-Range: items 0-9/10"], FILM),
        || Answer::new(206, &["Content-Range: bytes 5-9/10"], "56789"),
        || Answer::new(206, &["Content-Type: multipart/byteranges; boundary=x"], "--x"),
        || Answer::new(204, &[], ""),
        || Answer::new(302, &[], ""),
        || Answer::bytes(b""),
        || Answer::bytes(b"HTTP/1.1 206 Partial\r\nContent-"),
        // The head arrives, but no body.
        || Answer::new(206, &["Content-Range: bytes 0-9/10"], FILM).cut_by(10),
    ] {
        let answer = move |request: &str| {
            if header(request, "range").is_some() { unusual() } else { Answer::new(200, &[], FILM) }
        };
        assert_eq!(
            probe(10, answer).await,
            (Ok(first_metadata(FILM, None, RangeSupport::No)), asked(&[Some(FIRST), None]))
        );
    }
}

#[tokio::test]
async fn servers_that_require_or_always_send_ranges_are_supported() {
    let whole = || Answer::new(206, &["Content-Range: bytes 0-9999/10000"], [b'x'; 10_000]);
    // Only an open range is accepted.
    let insists = move |request: &str| if header(request, "range") == Some(WHOLE) { whole() } else { no() };
    let found = Ok(first_metadata(&[b'x'; 10_000], None, RangeSupport::Yes));
    assert_eq!(probe(10_000, insists).await, (found, asked(&[Some(FIRST), None, Some(WHOLE)])));
    // Always 206 with the whole file, whatever was requested.
    let found = Ok(first_metadata(&[b'x'; 10_000], None, RangeSupport::No));
    assert_eq!(probe(10_000, move |_| whole()).await, (found, asked(&[Some(FIRST)])));
    // 206 for a request without a range.
    let only_plain = move |request: &str| if header(request, "range").is_some() { no() } else { whole() };
    let found = Ok(first_metadata(&[b'x'; 10_000], None, RangeSupport::No));
    assert_eq!(probe(10_000, only_plain).await, (found, asked(&[Some(FIRST), None])));
}

#[tokio::test]
async fn an_empty_source_is_an_error_of_its_own() {
    let empty = |answer: fn(&str) -> Answer| async move { probe(10, answer).await.0 };
    let with_ranges = |request: &str| match header(request, "range") {
        Some(_) => Answer::new(416, &["Content-Range: bytes */0"], ""),
        None => Answer::new(200, &[], ""),
    };
    assert_eq!(empty(with_ranges).await, Err(SourceError::Empty));
    assert_eq!(empty(|_| Answer::new(416, &["Content-Range: bytes */0"], "")).await, Err(SourceError::Empty));
    assert_eq!(empty(|_| Answer::new(200, &[], "")).await, Err(SourceError::Empty));
    assert_eq!(empty(|_| Answer::new(416, &["Content-Range: bytes */5"], "")).await, Err(refused(416)));
}

#[tokio::test]
async fn a_source_is_rejected_by_a_declared_length_above_the_limit() {
    let (with_ranges, _) = probe(9, |_| Answer::new(206, &["Content-Range: bytes 0-0/10"], "x")).await;
    assert_eq!(with_ranges, Err(SourceError::TooLarge));
    let (endless, _) = probe(9, |_| Answer::raw(200, &["Content-Length: 9223372036854775807"], "x")).await;
    assert_eq!(endless, Err(SourceError::TooLarge));
}

#[tokio::test]
async fn a_probe_fails_permanently_only_after_three_permanent_responses() {
    let all = asked(&[Some(FIRST), None, Some(WHOLE)]);
    for status in [403, 404, 410, 401, 204] {
        let answer = move |_: &str| Answer::new(status, &[], "");
        assert_eq!(probe(10, answer).await, (Err(refused(status)), all.clone()));
    }
    let different = |request: &str| match header(request, "range") {
        Some(FIRST) => Answer::new(403, &[], ""),
        None => Answer::new(404, &[], ""),
        _ => Answer::new(400, &[], ""),
    };
    let (error, _) = probe(10, different).await;
    assert_eq!(error.unwrap_err().to_string(), "the source answered with status 403, 404 and 400");
    for (retry_after, after_seconds) in
        [("120", Some(120)), ("Sun, 06 Nov 1994 08:49:37 GMT", None), ("-1", None)]
    {
        for status in [408, 425, 429, 500, 502, 503, 504, 599] {
            let head = format!("Retry-After: {retry_after}");
            let answer = move |request: &str| match header(request, "range") {
                None => Answer::new(status, &[&head], ""),
                Some(_) => no(),
            };
            assert_eq!(probe(10, answer).await.0, Err(SourceError::RetryLater { after_seconds }), "{status}");
        }
    }
}

#[tokio::test]
async fn a_broken_connection_is_retryable() {
    for dies in [
        (|| Answer::bytes(b"")) as fn() -> Answer,
        || Answer::bytes(b"HTTP/1.1 200 OK\r\nContent-"),
        || Answer::bytes(b"not HTTP at all\r\n\r\n"),
    ] {
        let answer = move |request: &str| {
            if header(request, "range") == Some(FIRST) { dies() } else { no() }
        };
        assert_eq!(probe(10, answer).await.0, Err(SourceError::Unreachable));
    }
    let (no_body, _) = probe(10, |_| Answer::new(200, &[], FILM).cut_by(10)).await;
    assert_eq!(no_body, Err(SourceError::EndedEarly));
}

#[tokio::test]
async fn the_body_of_an_error_response_is_not_awaited() {
    let announces = |_: &str| Answer::raw(404, &["Content-Length: 1000000"], "").then_silence();
    assert_eq!(probe(10, announces).await.0, Err(refused(404)));
}

#[tokio::test]
async fn a_probe_returns_the_headers_and_the_first_bytes() {
    let body: Vec<u8> = (0..10_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let film = body.clone();
    let web = Web::start(GOOD, move |request| {
        if request.starts_with("GET /moved") {
            return Answer::new(302, &["Location: /there.mp4?token=1"], "");
        }
        let head = ["Content-Type: video/mp4", "Content-Disposition: attachment; filename=a.mp4"];
        Answer::new(200, &head, &film)
    })
    .await;
    let egress = egress();
    let found = egress.probe(&web.url(&egress, "/moved"), 10_000).await.ok().unwrap();
    assert_eq!(found.first, body[..probe::FIRST_BYTES]);
    assert_eq!(found.headers["content-type"], "video/mp4");
    assert_eq!(found.headers["content-disposition"], "attachment; filename=a.mp4");
    // Fewer bytes, because the connection broke: still enough.
    let web = Web::start(GOOD, |_| Answer::new(200, &[], FILM).cut_by(5)).await;
    assert_eq!(egress.probe(&web.url(&egress, "/"), 10).await.ok().unwrap().first, FILM[..5]);
}

#[tokio::test]
async fn a_silent_server_looks_unreachable() {
    let web = Web::start(GOOD, |_| Answer::bytes(b"").then_silence()).await;
    let mut options = options(no_dns());
    options.timeouts.idle = Duration::from_millis(300);
    let egress = Egress::new(options).unwrap();
    let found = metadata_of(&egress, &web.url(&egress, "/"), 10).await;
    assert_eq!(found, Err(SourceError::Unreachable));
}

#[tokio::test]
async fn an_endless_response_head_is_not_read() {
    let (found, _) = probe(10, |_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        for _ in 0..200_000 {
            bytes.extend_from_slice(b"x: yyyyyyyy\r\n");
        }
        Answer::bytes(&bytes)
    })
    .await;
    assert_eq!(found, Err(SourceError::Unreachable));
}
