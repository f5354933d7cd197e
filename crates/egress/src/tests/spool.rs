//! Buffering sources of unknown length.

use std::path::Path;

use super::super::content::NotVideo;
use super::super::gunzip::tests::gzip;
use super::*;
use web::Answer;

/// More than is written or read at a time.
const LENGTH: usize = 700_000;

fn body() -> Vec<u8> {
    (0..LENGTH).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn metadata(length: Option<u64>, validator: Option<&str>) -> SourceMetadata {
    SourceMetadata { length, validators: mark(validator), ranges: RangeSupport::No }
}

fn space(directory: &Path, file_max_bytes: u64, total_max_bytes: u64) -> SpoolSpace {
    let directory = directory.to_owned();
    SpoolSpace::new(SpoolOptions {
        directory,
        file_max_bytes,
        total_max_bytes,
        time_limit: Duration::from_mins(5),
    })
}

async fn spool(
    limit_bytes: u64,
    metadata: SourceMetadata,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Result<Spooled, SourceError>, usize) {
    let directory = tempfile::tempdir().unwrap();
    let web = Web::start(GOOD, answer).await;
    let egress = egress();
    let space = space(directory.path(), limit_bytes, limit_bytes);
    let expected =
        Some(&metadata).filter(|_| metadata.length.is_some() || metadata.validators != Validators::default());
    let spooled = egress.spool(&web.url(&egress, "/"), &space, expected).await;
    // The file never has a name.
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    (spooled, web.accepted())
}

#[tokio::test]
async fn a_source_without_a_length_is_spooled_and_readable_from_any_offset() {
    let (spooled, _) = spool(LENGTH as u64, metadata(None, None), |_| Answer::chunked(&[], &body())).await;
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
async fn a_source_above_the_limit_is_not_spooled() {
    let (off, asked) = spool(0, metadata(None, None), |_| Answer::chunked(&[], &body())).await;
    assert_eq!((off.unwrap_err(), asked), (SourceError::NoLength, 0));
    for answer in [
        |_: &str| Answer::chunked(&[], &body()),
        |_: &str| Answer::new(200, &[], body()),
        |_: &str| Answer::raw(200, &[], body()),
        |_: &str| Answer::raw(200, &["Content-Length: 99999999999"], "x"),
    ] {
        let (spooled, _) = spool(LENGTH as u64 - 1, metadata(None, None), answer).await;
        assert_eq!(spooled.unwrap_err(), SourceError::TooLarge);
    }
}

#[tokio::test]
async fn a_spooled_source_is_complete_and_unchanged() {
    for (metadata, answer, expected) in [
        (
            metadata(None, None),
            (|_| Answer::chunked(&[], &body()).cut_by(9)) as fn(&str) -> Answer,
            SourceError::EndedEarly,
        ),
        (metadata(None, None), |_| Answer::chunked(&[], b""), SourceError::Empty),
        (metadata(None, Some("\"a\"")), |_| Answer::chunked(&["ETag: \"b\""], b"x"), SourceError::Changed),
        (
            metadata(Some(2), Some("\"a\"")),
            |_| Answer::chunked(&["ETag: \"a\""], b"\0"),
            SourceError::Changed,
        ),
        (metadata(None, Some("\"a\"")), |_| Answer::chunked(&[], b"x"), SourceError::CannotResume),
        (metadata(None, None), |_| Answer::new(410, &[], ""), refused(410)),
        (
            metadata(None, None),
            |_| Answer::new(429, &["Retry-After: 3"], ""),
            SourceError::RetryLater { after_seconds: Some(3) },
        ),
    ] {
        assert_eq!(spool(1_000_000, metadata, answer).await.0.unwrap_err(), expected);
    }
}

#[tokio::test]
async fn an_unwritable_directory_is_not_an_error_of_the_source() {
    let web = Web::start(GOOD, |_| Answer::chunked(&[], b"\0")).await;
    let egress = egress();
    let nowhere = space(Path::new("/proc/self/nowhere"), 10, 10);
    let spooled = egress.spool(&web.url(&egress, "/"), &nowhere, None).await;
    assert_eq!(spooled.unwrap_err(), SourceError::SpoolFailed);
}

const GZIP: &[&str] = &["Content-Encoding: gzip", "Content-Type: video/mp4"];

#[tokio::test]
async fn a_source_compressed_for_transfer_is_spooled_decompressed() {
    for answer in [
        (|_| Answer::chunked(GZIP, &gzip(&body()))) as fn(&str) -> Answer,
        |_| Answer::new(200, GZIP, gzip(&body())),
        |_| {
            Answer::chunked(&["Content-Encoding: x-gzip"], &[gzip(&body()[..9]), gzip(&body()[9..])].concat())
        },
    ] {
        let (spooled, _) = spool(LENGTH as u64, metadata(None, None), answer).await;
        assert!(all(spooled.unwrap().open(0)).await == (body(), None));
    }
}

#[tokio::test]
async fn a_wrong_encoding_header_changes_no_byte() {
    for label in ["Content-Encoding: gzip", "Content-Encoding: br", "Content-Type: text/html"] {
        let answer = move |_: &str| Answer::chunked(&[label], &body());
        let (spooled, _) = spool(LENGTH as u64, metadata(None, None), answer).await;
        assert!(all(spooled.unwrap().open(0)).await == (body(), None), "{label}");
    }
    // A compressed file that is not compressed for transfer.
    let (spooled, _) =
        spool(LENGTH as u64, metadata(None, None), |_| Answer::chunked(&[], &gzip(&body()))).await;
    assert!(all(spooled.unwrap().open(0)).await == (gzip(&body()), None));
}

#[tokio::test]
async fn text_is_not_spooled_compressed_or_not() {
    let page = || b"<html>Sign in</html>".repeat(400);
    for answer in [
        Box::new(move |_: &str| Answer::chunked(&[], &page())) as Box<dyn Fn(&str) -> Answer + Send + Sync>,
        Box::new(move |_: &str| Answer::chunked(GZIP, &gzip(&page()))),
        Box::new(|_: &str| Answer::chunked(GZIP, &gzip(b"<html>"))),
        Box::new(|_: &str| Answer::chunked(&[], b"<html>")),
    ] {
        let (spooled, _) = spool(1_000_000, metadata(None, None), answer).await;
        assert_eq!(spooled.unwrap_err(), SourceError::NotVideo(NotVideo::WebPage));
    }
}

#[tokio::test]
async fn a_decompression_bomb_and_a_corrupt_body_are_not_spooled() {
    let bomb = || gzip(&vec![0; 10_000_000]);
    let (spooled, _) = spool(1_000_000, metadata(None, None), move |_| Answer::chunked(GZIP, &bomb())).await;
    assert_eq!(spooled.unwrap_err(), SourceError::TooLarge);
    let cut = || gzip(&body())[..5_000 % gzip(&body()).len()].to_vec();
    let (spooled, _) = spool(1_000_000, metadata(None, None), move |_| Answer::chunked(GZIP, &cut())).await;
    assert_eq!(spooled.unwrap_err(), SourceError::EndedEarly);
    let changed = || [gzip(&body()), b"rest".to_vec()].concat();
    let (spooled, _) =
        spool(1_000_000, metadata(None, None), move |_| Answer::chunked(GZIP, &changed())).await;
    assert_eq!(spooled.unwrap_err(), SourceError::EndedEarly);
}

#[tokio::test]
async fn all_sources_share_the_space_and_release_it() {
    let directory = tempfile::tempdir().unwrap();
    let space = space(directory.path(), 700_000, 1_000_000);
    let web = Web::start(GOOD, |_| Answer::chunked(&[], &body())).await;
    let egress = egress();
    let url = web.url(&egress, "/");
    let keep = || egress.spool(&url, &space, None);
    let first = keep().await.unwrap();
    let second = first.clone();
    assert_eq!(keep().await.unwrap_err(), SourceError::SpoolFull);
    drop(first);
    // Its space is still reserved.
    assert_eq!(keep().await.unwrap_err(), SourceError::SpoolFull);
    drop(second);
    assert_eq!(keep().await.unwrap().length(), LENGTH as u64);
}

#[tokio::test]
async fn an_endless_source_is_cut_off_by_the_time_limit() {
    let directory = tempfile::tempdir().unwrap();
    let space = SpoolSpace::new(SpoolOptions {
        directory: directory.path().to_owned(),
        file_max_bytes: 1_000,
        total_max_bytes: 1_000,
        time_limit: Duration::ZERO,
    });
    let web = Web::start(GOOD, |_| Answer::chunked(&[], &body())).await;
    let egress = egress();
    let spooled = egress.spool(&web.url(&egress, "/"), &space, None).await;
    assert_eq!(spooled.unwrap_err(), SourceError::SpoolTimeout);
    assert_eq!(space.used_bytes(), 0);
}
