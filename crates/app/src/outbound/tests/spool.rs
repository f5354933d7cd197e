//! Sources without a length, kept here for a while.

use super::*;
use web::Answer;

/// More than is written or read at a time.
const LENGTH: usize = 700_000;

fn body() -> Vec<u8> {
    (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn facts(length: Option<u64>, validator: Option<&str>) -> SourceFacts {
    let validator = validator.map(|text| Validator::parse(text).unwrap());
    SourceFacts { length, validator, ranges: Ranges::Ignored }
}

async fn spool(
    limit_bytes: u64,
    facts: SourceFacts,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Result<Spooled, SourceError>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let web = Web::start(GOOD, answer).await;
    let outbound = outbound();
    let spooled = outbound.spool(&web.url(&outbound, "/"), limit_bytes, directory.path(), &facts).await;
    // Nothing of it has a name, at any time.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    (spooled, web.accepted())
}

#[tokio::test]
async fn a_source_without_a_length_is_kept_and_read_from_anywhere() {
    let (spooled, _) = spool(LENGTH as u64, facts(None, None), |_| Answer::chunked(&[], &body())).await;
    let spooled = spooled.unwrap();
    assert_eq!(spooled.length(), LENGTH as u64);
    for from in [0, 1, 262_144, 500_000, LENGTH - 1, LENGTH, LENGTH + 1] {
        let rest = body().split_off(from.min(LENGTH));
        assert!(all(spooled.open(from as u64)).await == (rest, None), "{from}");
    }
    let (mut one, other) = (spooled.open(0), spooled.open(0));
    let first = one.next().await.unwrap().unwrap();
    assert!(all(other).await == (body(), None), "two readers disturb each other");
    assert!(body().starts_with(&first) && body().ends_with(&all(one).await.0));
}

#[tokio::test]
async fn nothing_is_kept_beyond_the_limit() {
    let (off, asked) = spool(0, facts(None, None), |_| Answer::chunked(&[], &body())).await;
    assert_eq!((off.unwrap_err(), asked), (SourceError::NoLength, 0));
    for answer in [
        |_: &str| Answer::chunked(&[], &body()),
        |_: &str| Answer::new(200, &[], body()),
        |_: &str| Answer::raw(200, &[], body()),
        |_: &str| Answer::raw(200, &["Content-Length: 99999999999"], "x"),
    ] {
        let (spooled, _) = spool(LENGTH as u64 - 1, facts(None, None), answer).await;
        assert_eq!(spooled.unwrap_err(), SourceError::TooLarge);
    }
}

#[tokio::test]
async fn what_is_kept_is_whole_and_what_it_was() {
    for (facts, answer, expected) in [
        (
            facts(None, None),
            (|_| Answer::chunked(&[], &body()).cut_by(9)) as fn(&str) -> Answer,
            SourceError::Broken,
        ),
        (facts(None, None), |_| Answer::chunked(&[], b""), SourceError::Empty),
        (facts(None, Some("\"a\"")), |_| Answer::chunked(&["ETag: \"b\""], b"x"), SourceError::Changed),
        (facts(Some(2), None), |_| Answer::chunked(&[], b"x"), SourceError::Changed),
        (facts(None, None), |_| Answer::new(410, &[], ""), SourceError::Status(410)),
        (
            facts(None, None),
            |_| Answer::new(429, &["Retry-After: 3"], ""),
            SourceError::Later { after_seconds: Some(3) },
        ),
    ] {
        assert_eq!(spool(1_000_000, facts, answer).await.0.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_no_fault_of_the_source() {
    let web = Web::start(GOOD, |_| Answer::chunked(&[], b"x")).await;
    let outbound = outbound();
    let nowhere = std::path::Path::new("/proc/self/nowhere");
    let spooled = outbound.spool(&web.url(&outbound, "/"), 10, nowhere, &facts(None, None)).await;
    assert_eq!(spooled.unwrap_err(), SourceError::NoRoom);
}
