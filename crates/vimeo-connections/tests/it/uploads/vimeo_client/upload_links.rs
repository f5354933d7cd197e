//! How the client sends bytes to upload links, against the sandbox.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use vimeo::{Chunk, LinkFailure, RemoteOffset, TransportError, UploadError, UploadLink, UploadStatus};

use crate::support::client_fixture::{ClientFixture, TIMEOUT};
use crate::support::harness::until;

/// Longer than any stall of a loopback connection.
const STALL: Duration = Duration::from_secs(30);
/// Short enough to wait for.
const SHORT_STALL: Duration = Duration::from_millis(300);

const LINKS: &str = "/files/*";
const PATCH: &str = "PATCH /files/*";

/// The error of a failing source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken(&'static str);

pub(crate) type Sent = Result<u64, UploadError<Broken>>;

/// Bytes in which missing, duplicate or misplaced ones are noticed.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from((index * 7 + index / 251) % 256).unwrap()).collect()
}

/// A source of these bytes, in chunks of odd sizes, some of them empty.
pub(crate) fn source(bytes: &[u8]) -> impl Stream<Item = Result<Bytes, Broken>> + Send + use<> {
    let mut chunks = vec![Ok(Bytes::new())];
    chunks.extend(bytes.chunks(7_919).map(|chunk| Ok(Bytes::copy_from_slice(chunk))));
    chunks.push(Ok(Bytes::new()));
    stream::iter(chunks)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

async fn send(fixture: &ClientFixture, link: &UploadLink, offset: usize, bytes: &[u8]) -> Sent {
    let piece = Chunk { offset: offset as u64, length: bytes.len() as u64 };
    fixture.client.send_chunk(link, piece, source(bytes), STALL).await
}

async fn offset(fixture: &ClientFixture, link: &UploadLink) -> u64 {
    fixture.client.offset(link, TIMEOUT).await.unwrap().offset
}

#[tokio::test]
async fn a_file_sent_in_chunks_arrives_complete() {
    let fixture = ClientFixture::start().await;
    let bytes = pattern(1_000_000);
    let made = fixture.make(bytes.len() as u64).await;
    let length = Some(1_000_000);
    assert_eq!(fixture.client.offset(&made.link, TIMEOUT).await, Ok(RemoteOffset { offset: 0, length }));
    for (from, to) in [(0, 1), (1, 400_000), (400_000, 999_999)] {
        assert_eq!(send(&fixture, &made.link, from, &bytes[from..to]).await, Ok(to as u64));
    }
    assert_eq!(
        fixture.client.offset(&made.link, TIMEOUT).await,
        Ok(RemoteOffset { offset: 999_999, length })
    );
    // The source may have more than this chunk.
    let more = [&bytes[999_999..], b"and more"].concat();
    let piece = Chunk { offset: 999_999, length: 1 };
    assert_eq!(fixture.client.send_chunk(&made.link, piece, source(&more), STALL).await, Ok(1_000_000));
    assert_eq!(
        fixture.client.offset(&made.link, TIMEOUT).await,
        Ok(RemoteOffset { offset: 1_000_000, length })
    );
    assert_eq!(fixture.version(made.video).await["sha256"], sha256(&bytes));
    let state = fixture.session.find_video(made.video, TIMEOUT).await.unwrap().unwrap();
    assert_eq!(state.upload, UploadStatus::Complete);
    assert!(state.upload_link.is_none());
}

#[tokio::test]
async fn no_api_header_is_sent_to_an_upload_link() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    offset(&fixture, &made.link).await;
    send(&fixture, &made.link, 0, &pattern(10)).await.unwrap();
    let [_, head, patch] = fixture.journal().await.try_into().unwrap();
    for (request, method, kind) in
        [(head, "HEAD", Value::Null), (patch, "PATCH", json!("application/offset+octet-stream"))]
    {
        assert_eq!((&request["method"], &request["content_type"]), (&json!(method), &kind));
        assert_eq!((&request["authorization"], &request["query"]), (&Value::Null, &Value::Null));
        let accept = request["accept"].as_str().unwrap_or_default();
        assert!(!accept.contains("vimeo"), "{accept}");
    }
}

#[tokio::test]
async fn an_empty_chunk_asks_for_the_offset() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    assert_eq!(send(&fixture, &made.link, 0, b"").await, Ok(0));
}

#[tokio::test]
async fn refusals_of_the_upload_server_are_classified() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    send(&fixture, &made.link, 0, &pattern(5)).await.unwrap();
    for (piece, length, failure) in
        [(4, 5, LinkFailure::Conflict), (6, 1, LinkFailure::Conflict), (5, 6, LinkFailure::TooLarge)]
    {
        assert_eq!(send(&fixture, &made.link, piece, &pattern(length)).await, Err(failure.into()));
    }
    let later = |status| LinkFailure::RetryLater(TransportError::Status(status));
    for (status, failure) in [
        (400, LinkFailure::ProtocolRefused(400)),
        (401, LinkFailure::ProtocolRefused(401)),
        (403, LinkFailure::Gone),
        (404, LinkFailure::Gone),
        (405, LinkFailure::ProtocolRefused(405)),
        (408, later(408)),
        (409, LinkFailure::Conflict),
        (410, LinkFailure::Gone),
        (412, LinkFailure::ProtocolRefused(412)),
        (413, LinkFailure::TooLarge),
        (415, LinkFailure::ProtocolRefused(415)),
        (423, LinkFailure::Locked),
        (429, LinkFailure::RetryLater(TransportError::RateLimited { not_before: None })),
        (500, later(500)),
        (502, later(502)),
        (503, later(503)),
        (504, later(504)),
        (302, later(302)),
        (200, LinkFailure::Incoherent),
        (202, LinkFailure::Incoherent),
    ] {
        fixture.fault(LINKS, json!({"kind": "status", "status": status, "times": 2})).await;
        let asked = fixture.client.offset(&made.link, TIMEOUT).await;
        assert_eq!(asked, Err(failure.clone()), "{status}");
        assert_eq!(send(&fixture, &made.link, 5, &pattern(5)).await, Err(failure.into()), "{status}");
    }
    assert_eq!(offset(&fixture, &made.link).await, 5);
}

#[tokio::test]
async fn an_expired_link_is_reported_as_gone() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    fixture.control(Method::POST, &format!("videos/{}/expire-link", made.video.as_i64()), Value::Null).await;
    assert_eq!(fixture.client.offset(&made.link, TIMEOUT).await, Err(LinkFailure::Gone));
    assert_eq!(send(&fixture, &made.link, 0, &pattern(10)).await, Err(LinkFailure::Gone.into()));
    let made = fixture.make(10).await;
    fixture.fault(PATCH, json!({"kind": "expired-link", "status": 410})).await;
    assert_eq!(send(&fixture, &made.link, 0, &pattern(10)).await, Err(LinkFailure::Gone.into()));
    fixture.session.delete_video(made.video, TIMEOUT).await.unwrap();
    assert_eq!(fixture.client.offset(&made.link, TIMEOUT).await, Err(LinkFailure::Gone));
}

#[tokio::test]
async fn an_upload_resumes_at_its_offset_after_a_disconnect() {
    let fixture = ClientFixture::start().await;
    let bytes = pattern(300_000);
    let made = fixture.make(300_000).await;
    let cut = || Err(LinkFailure::RetryLater(TransportError::Unreachable).into());
    fixture.fault(PATCH, json!({"kind": "cut-during", "bytes": 70_001})).await;
    assert_eq!(send(&fixture, &made.link, 0, &bytes).await, cut());
    assert_eq!(offset(&fixture, &made.link).await, 70_001);
    fixture.fault(PATCH, json!({"kind": "cut"})).await;
    assert_eq!(send(&fixture, &made.link, 70_001, &bytes[70_001..]).await, cut());
    assert_eq!(offset(&fixture, &made.link).await, 70_001);
    fixture.fault(PATCH, json!({"kind": "reset"})).await;
    assert_eq!(send(&fixture, &made.link, 70_001, &bytes[70_001..200_000]).await, cut());
    fixture.fault(PATCH, json!({"kind": "cut-after"})).await;
    assert_eq!(send(&fixture, &made.link, 70_001, &bytes[70_001..200_000]).await, cut());
    assert_eq!(offset(&fixture, &made.link).await, 200_000);
    fixture.fault(PATCH, json!({"kind": "garbage"})).await;
    assert_eq!(send(&fixture, &made.link, 200_000, &bytes[200_000..]).await, cut());
    assert_eq!(send(&fixture, &made.link, 200_000, &bytes[200_000..]).await, Ok(300_000));
    assert_eq!(fixture.version(made.video).await["sha256"], sha256(&bytes));
}

#[tokio::test]
async fn a_stalled_server_times_out_and_a_slow_one_does_not() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(10).await;
    let piece = Chunk { offset: 0, length: 10 };
    fixture.fault(PATCH, json!({"kind": "hold"})).await;
    let sent = fixture.client.send_chunk(&made.link, piece, source(&pattern(10)), SHORT_STALL).await;
    assert_eq!(sent, Err(LinkFailure::RetryLater(TransportError::Timeout).into()));
    fixture.fault("HEAD /files/*", json!({"kind": "hold"})).await;
    let asked = fixture.client.offset(&made.link, SHORT_STALL).await;
    assert_eq!(asked, Err(LinkFailure::RetryLater(TransportError::Timeout)));
    // Removing the fault releases the held request, which was sent completely.
    fixture.control(Method::DELETE, "faults", Value::Null).await;
    until("the held bytes are accepted", async || offset(&fixture, &made.link).await == 10).await;
    // A source that sends a byte now and then has not stalled, however long it takes: here half as long again as the
    // limit.
    let made = fixture.make(60).await;
    let slow = stream::iter(pattern(60)).then(async |byte| {
        tokio::time::sleep(Duration::from_millis(25)).await;
        Ok::<_, Broken>(Bytes::from(vec![byte]))
    });
    let piece = Chunk { offset: 0, length: 60 };
    assert_eq!(fixture.client.send_chunk(&made.link, piece, slow, Duration::from_secs(1)).await, Ok(60));
}

#[tokio::test]
async fn a_failing_short_or_stalled_source_is_reported_as_such() {
    let fixture = ClientFixture::start().await;
    let bytes = pattern(100_000);
    let made = fixture.make(100_000).await;
    let rest = |from: u64| Chunk { offset: from, length: 100_000 - from };
    let broken = stream::iter([Err(Broken("the disk is missing"))]);
    let broken = source(&bytes[..40_000]).chain(broken);
    let sent = fixture.client.send_chunk(&made.link, rest(0), broken, STALL).await;
    assert_eq!(sent, Err(UploadError::Source(Broken("the disk is missing"))));
    // Bytes in flight may or may not have arrived.
    let held = until_unlocked(&fixture, &made.link, 0).await;
    let short = source(&bytes[usize::try_from(held).unwrap()..60_000]);
    let sent = fixture.client.send_chunk(&made.link, rest(held), short, STALL).await;
    assert_eq!(sent, Err(UploadError::SourceTruncated));
    let held = until_unlocked(&fixture, &made.link, held).await;
    let still = source(&bytes[usize::try_from(held).unwrap()..80_000]).chain(stream::pending());
    let sent = fixture.client.send_chunk(&made.link, rest(held), still, SHORT_STALL).await;
    assert_eq!(sent, Err(UploadError::SourceStalled));
    let held = until_unlocked(&fixture, &made.link, held).await;
    assert_eq!(held, 80_000, "the bytes of the source were forwarded before it stalled");
    assert_eq!(send(&fixture, &made.link, 80_000, &bytes[80_000..]).await, Ok(100_000));
    assert_eq!(fixture.version(made.video).await["sha256"], sha256(&bytes));
}

/// Waits until the sandbox has finished an interrupted request; its offset, which is at least `from`.
async fn until_unlocked(fixture: &ClientFixture, link: &UploadLink, from: u64) -> u64 {
    let mut held = from;
    until("the upload is unlocked", async || {
        held = offset(fixture, link).await;
        let empty = Chunk { offset: held, length: 0 };
        let asked: Sent = fixture.client.send_chunk(link, empty, stream::empty(), STALL).await;
        asked == Ok(held)
    })
    .await;
    assert!(held >= from);
    held
}

#[tokio::test]
async fn a_cancelled_sender_releases_its_source_and_the_upload() {
    let fixture = ClientFixture::start().await;
    let made = fixture.make(100).await;
    let (held, released) = tokio::sync::oneshot::channel::<()>();
    let source = source(&pattern(50)).chain(stream::pending()).map(move |item| {
        // Dropped with the source.
        let _ = &held;
        item
    });
    {
        let piece = Chunk { offset: 0, length: 100 };
        let mut sending = Box::pin(fixture.client.send_chunk(&made.link, piece, source, STALL));
        until("half of it has arrived", async || {
            let pause = tokio::time::sleep(Duration::from_millis(10));
            tokio::select! {
                sent = &mut sending => panic!("{sent:?}"),
                () = pause => offset(&fixture, &made.link).await == 50,
            }
        })
        .await;
    }
    released.await.unwrap_err();
    assert_eq!(until_unlocked(&fixture, &made.link, 50).await, 50);
    assert_eq!(send(&fixture, &made.link, 50, &pattern(50)).await, Ok(100));
}

#[tokio::test]
async fn headers_are_case_insensitive() {
    let fixture = ClientFixture::start().await;
    for style in ["lower", "upper", "title", "mixed"] {
        let made = fixture.make(10).await;
        fixture.fault(LINKS, json!({"kind": "odd-headers", "style": style, "times": 2})).await;
        assert_eq!(send(&fixture, &made.link, 0, &pattern(4)).await, Ok(4), "{style}");
        let held = fixture.client.offset(&made.link, TIMEOUT).await;
        assert_eq!(held, Ok(RemoteOffset { offset: 4, length: Some(10) }), "{style}");
    }
}

#[tokio::test]
async fn a_link_to_another_host_is_never_requested() {
    let fixture = ClientFixture::start().await;
    let foreign = "https://files.tus.vimeo.com.evil.example/files/canary-link";
    let body = json!({"uri": "/videos/1", "upload": {"upload_link": foreign}});
    fixture.fault("POST /me/videos", json!({"kind": "wrong-json", "body": body})).await;
    let made = fixture.session.create_video(&crate::support::client_fixture::placeholder(1), TIMEOUT).await;
    let failure = made.unwrap_err();
    assert_eq!(failure, vimeo::Failure::Unknown(TransportError::UnexpectedResponse));
    let refused = UploadLink::parse(foreign, fixture.client.link_rules()).unwrap_err();
    assert!(!format!("{failure:?} {failure} {refused:?} {refused}").contains("canary-link"));
}
