//! Reading small files.

use super::super::content::NotVideo;
use super::super::gunzip::tests::gzip;
use super::*;
use web::Answer;

const TRACK: &str = "WEBVTT\n\n00:01.000 --> 00:02.000\nHello\n";

async fn fetch(
    max_bytes: usize,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> Result<Fetched, SourceError> {
    let web = Web::start(GOOD, answer).await;
    let egress = egress();
    egress.fetch(&web.url(&egress, "/track.vtt"), max_bytes, Duration::from_mins(5)).await
}

#[tokio::test]
async fn a_file_is_read_with_and_without_a_length_up_to_the_limit() {
    let fetched =
        fetch(TRACK.len(), |_| Answer::new(200, &["Content-Type: text/vtt; x"], TRACK)).await.unwrap();
    assert_eq!((&*fetched.bytes, fetched.content_type.as_deref()), (TRACK.as_bytes(), Some("text/vtt; x")));
    let fetched = fetch(TRACK.len(), |_| Answer::chunked(&[], TRACK.as_bytes())).await.unwrap();
    assert_eq!((&*fetched.bytes, fetched.content_type), (TRACK.as_bytes(), None));
    let limit = TRACK.len() - 1;
    assert_eq!(fetch(limit, |_| Answer::new(200, &[], TRACK)).await, Err(SourceError::TooLarge));
    assert_eq!(fetch(limit, |_| Answer::chunked(&[], TRACK.as_bytes())).await, Err(SourceError::TooLarge));
    // The rest of a file that is too large is not read: it would be incomplete.
    let huge = |_: &str| Answer::raw(200, &["Content-Length: 1000000000000"], TRACK);
    assert_eq!(fetch(1_000, huge).await, Err(SourceError::TooLarge));
    let endless = |_: &str| {
        Answer::raw(200, &["Transfer-Encoding: chunked"], "800\r\n".to_owned() + &"x".repeat(2_048))
    };
    assert_eq!(fetch(1_000, endless).await, Err(SourceError::TooLarge));
}

#[tokio::test]
async fn a_compressed_file_is_decompressed_or_named() {
    let compressed = |_: &str| Answer::new(200, &["Content-Encoding: gzip"], gzip(TRACK.as_bytes()));
    assert_eq!(&*fetch(TRACK.len(), compressed).await.unwrap().bytes, TRACK.as_bytes());
    assert_eq!(fetch(TRACK.len() - 1, compressed).await, Err(SourceError::TooLarge));
    let bomb = |_: &str| Answer::new(200, &["Content-Encoding: gzip"], gzip(&vec![0; 10_000_000]));
    assert_eq!(fetch(100_000, bomb).await, Err(SourceError::TooLarge));
    let cut = |_: &str| Answer::new(200, &["Content-Encoding: gzip"], &gzip(TRACK.as_bytes())[..30]);
    assert_eq!(fetch(1_000, cut).await, Err(SourceError::EndedEarly));
    let empty = |_: &str| Answer::new(200, &["Content-Encoding: gzip"], gzip(b""));
    assert_eq!(fetch(1_000, empty).await, Err(SourceError::Empty));
    let brotli = |_: &str| Answer::new(200, &["Content-Encoding: br", "Content-Type: text/vtt"], "\x0b\x02");
    assert_eq!(
        fetch(1_000, brotli).await,
        Err(SourceError::NotVideo(NotVideo::Compressed(Encoding::Brotli)))
    );
    // Some servers declare an encoding that they did not apply.
    let plain = |_: &str| Answer::new(200, &["Content-Encoding: gzip"], TRACK);
    assert_eq!(&*fetch(1_000, plain).await.unwrap().bytes, TRACK.as_bytes());
}

#[tokio::test]
async fn each_failure_is_named() {
    assert_eq!(fetch(100, |_| Answer::new(200, &[], "")).await, Err(SourceError::Empty));
    assert_eq!(fetch(100, |_| Answer::new(404, &[], "no")).await, Err(refused(404)));
    let busy = |_: &str| Answer::new(503, &["Retry-After: 7"], "");
    assert_eq!(fetch(100, busy).await, Err(SourceError::RetryLater { after_seconds: Some(7) }));
    assert_eq!(fetch(100, |_| Answer::new(200, &[], TRACK).cut_by(1)).await, Err(SourceError::EndedEarly));
    assert_eq!(
        fetch(100, |_| Answer::new(302, &["Location: http://127.0.0.1/"], "")).await,
        Err(SourceError::Unreachable)
    );
}

#[tokio::test]
async fn a_file_that_does_not_arrive_in_time_is_too_slow() {
    let web = Web::start(GOOD, |_| Answer::new(200, &[], TRACK).cut_by(1).then_silence()).await;
    let egress = egress();
    let fetched = egress.fetch(&web.url(&egress, "/"), 100, Duration::from_millis(200)).await;
    assert_eq!(fetched, Err(SourceError::TooSlow));
}
