//! Headers that a user gives for a source: which servers they are sent to.

use super::super::spool_space::{SpoolOptions, SpoolSpace};
use super::*;
use web::{Answer, header};

const FILM: &[u8] = b"0123456789";
const VALUES: [(&str, &str); 3] =
    [("Authorization", "Bearer canary"), ("X-Key", "canary"), ("User-Agent", "player")];

fn headers() -> RequestHeaders {
    RequestHeaders::parse(VALUES).unwrap()
}

/// Whether each request had all of the headers (true) or none (false).
fn sent_to(web: &Web) -> Vec<bool> {
    let has = |request: &String| {
        let found = VALUES.map(|(name, value)| header(request, name) == Some(value));
        assert!(found.iter().all(|has| *has == found[0]), "{request}");
        assert!(found[0] || !request.contains("canary"), "{request}");
        found[0]
    };
    web.requests().iter().map(has).collect()
}

fn redirect(location: &str) -> Answer {
    Answer::new(302, &[&format!("Location: {location}")], "")
}

#[tokio::test]
async fn they_are_sent_with_every_request_to_the_source() {
    let web = Web::start(GOOD, |request| match header(request, "range") {
        Some("bytes=0-4095") => Answer::new(403, &[], ""),
        Some("bytes=4-") => Answer::new(206, &["Content-Range: bytes 4-9/10", "ETag: \"a\""], &FILM[4..]),
        _ => Answer::new(200, &["ETag: \"a\""], FILM),
    })
    .await;
    let (egress, progress) = (egress(), SourceProgress::default());
    let url = web.url(&egress, "/film.mp4").with_headers(headers());
    assert!(url.headers().pairs().eq(headers().pairs()));
    let (metadata, _) = egress.inspect(&url, 100).await.unwrap();
    assert_eq!(sent_to(&web).len(), 2, "the first range was refused");
    let opened = egress.open(&url, 0, &metadata, &progress).await.unwrap();
    assert_eq!(all(opened.stream).await, (FILM.to_vec(), None));
    let known = SourceMetadata { ranges: RangeSupport::Yes, ..metadata };
    let opened = egress.open(&url, 4, &known, &progress).await.unwrap();
    assert_eq!(all(opened.stream).await, (FILM[4..].to_vec(), None));
    egress.is_unchanged(&url, 10, &progress).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let space = SpoolSpace::new(SpoolOptions {
        directory: directory.path().to_owned(),
        file_max_bytes: 100,
        total_max_bytes: 100,
        time_limit: Duration::from_mins(5),
    });
    egress.fetch(&url, 100, Duration::from_mins(5)).await.unwrap();
    assert_eq!(sent_to(&web), vec![true; web.accepted()]);
    let before = web.accepted();
    // Text is not a video, but the request was sent.
    egress.spool(&url, &space, None).await.unwrap_err();
    assert_eq!(sent_to(&web), vec![true; before + 1]);
    // A URL that was validated again has none.
    egress.inspect(&web.url(&egress, "/film.mp4"), 100).await.unwrap();
    assert_eq!(sent_to(&web).last(), Some(&false));
}

#[tokio::test]
async fn they_follow_a_redirect_within_the_origin_only() {
    let own = Web::start(GOOD, |request| {
        if request.starts_with("GET /a ") { redirect("/b") } else { Answer::new(200, &[], FILM) }
    })
    .await;
    let egress = egress();
    let url = own.url(&egress, "/a").with_headers(headers());
    egress.fetch(&url, 100, Duration::from_mins(5)).await.unwrap();
    assert_eq!(sent_to(&own), [true, true]);
    // The same address with another port is another origin.
    let other = Web::start(GOOD, |_| Answer::new(200, &[], FILM)).await;
    let location = format!("http://{}/", other.address);
    let own = Web::start(GOOD, move |_| redirect(&location)).await;
    let url = own.url(&egress, "/").with_headers(headers());
    egress.fetch(&url, 100, Duration::from_mins(5)).await.unwrap();
    assert_eq!((sent_to(&own), sent_to(&other)), (vec![true], vec![false]));
}

#[tokio::test]
async fn they_are_not_sent_to_another_name_of_the_same_server() {
    let web = Web::start(GOOD, |request| {
        let port = header(request, "host").and_then(|host| host.rsplit(':').next()).unwrap().to_owned();
        match header(request, "host") {
            Some(host) if host.starts_with("one.test:") => redirect(&format!("http://two.test:{port}/")),
            _ => Answer::new(200, &[], FILM),
        }
    })
    .await;
    let dns = Dns::start(|_, _| vec![GOOD]).await;
    let egress = outbound_asking(&dns);
    let url = egress.validate(&format!("http://one.test:{}/", web.address.port())).unwrap();
    egress.fetch(&url.with_headers(headers()), 100, Duration::from_mins(5)).await.unwrap();
    assert_eq!(sent_to(&web), [true, false]);
}

#[tokio::test]
async fn they_stay_dropped_if_another_origin_redirects_back() {
    let own_address = Arc::new(std::sync::OnceLock::<SocketAddr>::new());
    let address = Arc::clone(&own_address);
    let other = Web::start(GOOD, move |_| redirect(&format!("http://{}/end", address.get().unwrap()))).await;
    let location = format!("http://{}/", other.address);
    let own = Web::start(GOOD, move |request| {
        if request.starts_with("GET /end ") { Answer::new(200, &[], FILM) } else { redirect(&location) }
    })
    .await;
    own_address.set(own.address).unwrap();
    let egress = egress();
    let url = own.url(&egress, "/").with_headers(headers());
    egress.fetch(&url, 100, Duration::from_mins(5)).await.unwrap();
    assert_eq!((sent_to(&own), sent_to(&other)), (vec![true, false], vec![false]));
}

#[tokio::test]
async fn they_are_not_posted_with_a_webhook() {
    let web = Web::start(GOOD, |_| Answer::new(204, &[], "")).await;
    let egress = egress();
    let url = web.url(&egress, "/").with_headers(headers());
    egress.post(&url, Vec::new(), b"{}".to_vec()).await.unwrap();
    assert_eq!(sent_to(&web), [false]);
}
