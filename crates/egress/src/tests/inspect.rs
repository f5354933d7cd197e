//! Inspecting a source before anything is created at Vimeo.

use super::super::content::{Content, NotVideo};
use super::super::gunzip::tests::gzip;
use super::*;
use web::{Answer, header};

async fn seen(
    path: &str,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Content, Option<String>) {
    let web = Web::start(GOOD, answer).await;
    let egress = egress();
    let (_, seen) = egress.inspect(&web.url(&egress, path), 1_000_000).await.unwrap();
    (seen.content, seen.name.map(|name| name.as_str().to_owned()))
}

fn film() -> Vec<u8> {
    [b"\0\0\0\x20ftypisom".to_vec(), vec![7; 100_000]].concat()
}

#[tokio::test]
async fn a_web_page_is_rejected_and_a_video_with_a_wrong_type_accepted() {
    let (content, _) = seen("/", |_| Answer::new(200, &[], "<html>Sign in</html>")).await;
    assert_eq!(content, Content::NotVideo(NotVideo::WebPage));
    let (content, _) = seen("/", |_| Answer::new(206, &["Content-Range: bytes 0-7/8"], "#EXTM3U\n")).await;
    assert_eq!(content, Content::NotVideo(NotVideo::Playlist));
    for label in ["Content-Type: text/html", "Content-Encoding: gzip", "X: y"] {
        let (content, _) = seen("/", move |_| Answer::new(200, &[label], film())).await;
        assert_eq!(content, Content::AsIs, "{label}");
    }
    let (content, _) = seen("/", |_| Answer::new(200, &["Content-Encoding: gzip"], gzip(&film()))).await;
    assert_eq!(content, Content::Gzip);
}

#[tokio::test]
async fn a_name_comes_from_the_header_or_else_from_the_url() {
    let disposition = "Content-Disposition: attachment; filename*=UTF-8''na%C3%AFve%20film.mp4";
    let named = seen("/get?id=5", move |_| Answer::new(200, &[disposition], film())).await;
    assert_eq!(named.1.as_deref(), Some("na\u{ef}ve film"));
    let unnamed = seen("/a/My%20Film.mp4?filename=x", |_| Answer::new(200, &[], film())).await;
    assert_eq!(unnamed.1.as_deref(), Some("My Film"));
}

#[tokio::test]
async fn only_the_first_bytes_are_requested_without_encoding() {
    let asked = Arc::new(std::sync::Mutex::new(String::new()));
    let journal = Arc::clone(&asked);
    seen("/", move |request| {
        *journal.lock().unwrap() = request.to_owned();
        Answer::new(200, &[], film())
    })
    .await;
    let request = asked.lock().unwrap().clone();
    assert_eq!(header(&request, "range"), Some("bytes=0-4095"));
    assert_eq!(header(&request, "accept-encoding"), Some("identity"));
}
