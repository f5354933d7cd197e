//! What a source says of itself.

use super::*;
use web::Answer;

const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

async fn probe(max_bytes: u64, answer: fn(&str) -> Answer) -> Result<SourceFacts, SourceError> {
    let web = Web::start(GOOD, answer).await;
    let outbound = outbound();
    let probed = outbound.probe(&web.url(&outbound, "/film.mp4?signature=1"), max_bytes).await;
    assert_eq!(web.accepted(), 1);
    probed
}

fn facts(length: Option<u64>, validator: Option<&str>, ranges: Ranges) -> SourceFacts {
    SourceFacts { length, validator: validator.map(|text| Validator::parse(text).unwrap()), ranges }
}

#[tokio::test]
async fn a_source_with_ranges_says_its_length_in_one_byte() {
    let probed = probe(10, |_| Answer::new(206, &["Content-Range: bytes 0-0/10", "ETag: \"a\""], "x"));
    assert_eq!(probed.await, Ok(facts(Some(10), Some("\"a\""), Ranges::Taken)));
    let probed = probe(10, |_| Answer::new(206, &["Content-Range: bytes 0-0/*"], "x"));
    assert_eq!(probed.await, Ok(facts(None, None, Ranges::Taken)));
}

#[tokio::test]
async fn a_source_without_ranges_is_known_by_its_length_or_not_at_all() {
    let probed = probe(10, |_| {
        let changed = format!("Last-Modified: {THEN}");
        Answer::new(200, &[&changed, "Date: Mon, 07 Nov 1994 08:49:37 GMT", "ETag: W/\"a\""], "0123456789")
    });
    assert_eq!(probed.await, Ok(facts(Some(10), Some(THEN), Ranges::Ignored)));
    assert_eq!(
        probe(10, |_| Answer::chunked(&[], b"0123456789")).await,
        Ok(facts(None, None, Ranges::Ignored))
    );
    let until_closed = probe(10, |_| Answer::raw(200, &[], "0123456789"));
    assert_eq!(until_closed.await, Ok(facts(None, None, Ranges::Ignored)));
}

#[tokio::test]
async fn an_empty_source_is_told_apart() {
    let with_ranges = probe(10, |_| Answer::new(416, &["Content-Range: bytes */0"], ""));
    assert_eq!(with_ranges.await, Err(SourceError::Empty));
    assert_eq!(probe(10, |_| Answer::new(200, &[], "")).await, Err(SourceError::Empty));
    let strange = probe(10, |_| Answer::new(416, &["Content-Range: bytes */5"], ""));
    assert_eq!(strange.await, Err(SourceError::Status(416)));
}

#[tokio::test]
async fn a_source_that_is_too_long_is_refused_by_what_it_says() {
    let with_ranges = probe(9, |_| Answer::new(206, &["Content-Range: bytes 0-0/10"], "x"));
    assert_eq!(with_ranges.await, Err(SourceError::TooLarge));
    let endless = probe(9, |_| Answer::raw(200, &["Content-Length: 9223372036854775807"], "x"));
    assert_eq!(endless.await, Err(SourceError::TooLarge));
}

#[tokio::test]
async fn a_status_is_final_or_a_reason_to_wait() {
    let probed =
        probe(10, |_| Answer::new(403, &[], "<Code>AccessDenied</Code><Message>Request has expired"));
    assert_eq!(probed.await, Err(SourceError::Status(403)));
    assert_eq!(probe(10, |_| Answer::new(404, &[], "")).await, Err(SourceError::Status(404)));
    assert_eq!(probe(10, |_| Answer::new(204, &[], "")).await, Err(SourceError::Status(204)));
    assert_eq!(probe(10, |_| Answer::new(206, &[], "x")).await, Err(SourceError::Status(206)));
    for (probed, after_seconds) in [
        (probe(10, |_| Answer::new(429, &["Retry-After: 120"], "")).await, Some(120)),
        (probe(10, |_| Answer::new(429, &[], "")).await, None),
        (probe(10, |_| Answer::new(503, &["Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"], "")).await, None),
        (probe(10, |_| Answer::new(503, &["Retry-After: -1"], "")).await, None),
        (probe(10, |_| Answer::new(500, &[], "")).await, None),
    ] {
        assert_eq!(probed, Err(SourceError::Later { after_seconds }));
    }
    let broken = probe(10, |_| Answer::bytes(b"HTTP/1.1 200 OK\r\nContent-"));
    assert_eq!(broken.await, Err(SourceError::Unreachable), "that is no answer yet");
}

#[tokio::test]
async fn a_server_that_is_silent_looks_as_if_nobody_were_there() {
    let web = Web::start(GOOD, |_| Answer::bytes(b"").then_silence()).await;
    let mut options = options(nobody());
    options.timeouts.silence = Duration::from_millis(300);
    let outbound = Outbound::new(options).unwrap();
    let probed = outbound.probe(&web.url(&outbound, "/"), 10).await;
    assert_eq!(probed, Err(SourceError::Unreachable));
}

#[tokio::test]
async fn a_head_without_end_is_not_read_to_its_end() {
    let probed = probe(10, |_| {
        let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
        for _ in 0..200_000 {
            bytes.extend_from_slice(b"x: yyyyyyyy\r\n");
        }
        Answer::bytes(&bytes)
    });
    assert_eq!(probed.await, Err(SourceError::Unreachable));
}
