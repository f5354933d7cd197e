//! Connections and redirects: each one goes only to addresses that were just checked.

use std::sync::Mutex;

use super::*;
use web::{Answer, header};

const FILE: &str = "the file";

fn file(_: &str) -> Answer {
    Answer::new(200, &[], FILE)
}

/// An allowed server and a forbidden one at the same port, distinguished only by name.
async fn good_and_bad(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> (Web, Web) {
    let good = Web::start(GOOD, answer).await;
    let bad = Web::start_at(SocketAddr::new(BAD, good.address.port()), file).await;
    (good, bad)
}

#[tokio::test]
async fn dns_rebinding_cannot_change_the_checked_address() {
    let (good, bad) = good_and_bad(file).await;
    let dns = Dns::start(|name, before| match (name, before) {
        ("rebinding.test", 0) => vec![GOOD],
        ("rebinding.test", _) => vec![BAD],
        _ => Vec::new(),
    })
    .await;
    let egress = outbound_asking(&dns);
    let url = egress.validate(&format!("http://rebinding.test:{}/", good.address.port())).unwrap();
    let metadata = metadata_of(&egress, &url, 100).await.unwrap();
    // One query each for IPv4 and IPv6: connecting did not resolve the name again.
    assert_eq!((dns.asked_for("rebinding.test"), good.accepted()), (2, 1));
    assert_eq!(
        egress.open(&url, 0, &metadata, &SourceProgress::default()).await.unwrap_err(),
        SourceError::Unreachable
    );
    assert_eq!((good.accepted(), bad.accepted()), (1, 0));
}

#[tokio::test]
async fn a_redirect_to_the_same_name_resolves_it_again() {
    let (good, bad) = good_and_bad(|_| Answer::new(302, &["Location: /again"], "")).await;
    let dns = Dns::start(|_, before| vec![if before == 0 { GOOD } else { BAD }]).await;
    let egress = outbound_asking(&dns);
    let url = egress.validate(&format!("http://rebinding.test:{}/", good.address.port())).unwrap();
    assert_eq!(metadata_of(&egress, &url, 100).await, Err(SourceError::Unreachable));
    assert_eq!((good.accepted(), bad.accepted()), (1, 0));
}

#[tokio::test]
async fn a_redirect_target_is_checked_like_a_users_url() {
    let location_of_redirect = Arc::new(Mutex::new(String::new()));
    let location = Arc::clone(&location_of_redirect);
    let (good, bad) =
        good_and_bad(move |_| Answer::new(307, &[&format!("Location: {}", location.lock().unwrap())], ""))
            .await;
    let dns = Dns::start(|name, _| match name {
        "good.test" => vec![GOOD],
        "inside.test" => vec![BAD],
        "mixed.test" => vec![GOOD, BAD],
        _ => Vec::new(),
    })
    .await;
    let egress = outbound_asking(&dns);
    let port = good.address.port();
    let url = egress.validate(&format!("http://good.test:{port}/")).unwrap();
    for (count, location) in [
        "http://127.0.0.1:PORT/",
        "//127.0.0.1:PORT/",
        "http:\\\\127.0.0.1:PORT/",
        "http://127.1:PORT/",
        "http://2130706433:PORT/",
        "http://0x7f.1:PORT/",
        "http://%31%32%37.0.0.1:PORT/",
        "http://[::1]:PORT/",
        "http://[::ffff:127.0.0.1]:PORT/",
        "http://[64:ff9b::7f00:1]:PORT/",
        "http://localhost:PORT/",
        "http://any.localhost.:PORT/",
        "http://inside.test:PORT/",
        "http://mixed.test:PORT/",
        "http://nowhere.test:PORT/",
        "http://user:password@good.test:PORT/",
        "http://user@good.test:PORT/",
        "http://good.test@inside.test:PORT/",
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "ftp://good.test/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:PORT/_x",
        "data:text/plain,x",
        "http://",
    ]
    .iter()
    .enumerate()
    {
        *location_of_redirect.lock().unwrap() = location.replace("PORT", &port.to_string());
        assert_eq!(metadata_of(&egress, &url, 100).await, Err(SourceError::Unreachable), "{location}");
        assert_eq!((good.accepted(), bad.accepted()), (count + 1, 0), "{location}");
    }
}

#[tokio::test]
async fn five_redirects_are_followed_without_forwarding_anything() {
    let web = Web::start(GOOD, |request| {
        let left: usize = request.split(['/', ' ', '?']).nth(2).unwrap().parse().unwrap();
        if left == 0 {
            return file(request);
        }
        let location = format!("Location: ./{}?token=2", left - 1);
        Answer::new([301, 302, 303, 307, 308][left % 5], &[&location, "Set-Cookie: a=b; Path=/"], "")
    })
    .await;
    let egress = egress();
    let metadata = metadata_of(&egress, &web.url(&egress, "/5?token=1"), 100).await.unwrap();
    assert_eq!((metadata.length, web.accepted()), (Some(8), 6));
    for request in web.requests() {
        assert!(request.starts_with("GET /"), "{request}");
        assert_eq!(header(&request, "accept-encoding"), Some("identity"));
        assert_eq!(header(&request, "range"), Some("bytes=0-4095"));
        for name in ["authorization", "cookie", "referer", "proxy-authorization", "origin"] {
            assert_eq!(header(&request, name), None, "{request}");
        }
    }
    let too_many = metadata_of(&egress, &web.url(&egress, "/6"), 100).await;
    assert_eq!((too_many, web.accepted()), (Err(SourceError::Unreachable), 12));
}

#[tokio::test]
async fn a_redirect_without_a_target_counts_as_its_status() {
    let web = Web::start(GOOD, |_| Answer::new(302, &[], "")).await;
    let egress = egress();
    let found = metadata_of(&egress, &web.url(&egress, "/"), 100).await;
    assert_eq!(found, Err(refused(302)));
}

#[tokio::test]
async fn blocked_and_unreachable_give_the_same_error() {
    let (good, _bad) = good_and_bad(file).await;
    let dns = Dns::start(|name, _| match name {
        "good.test" => vec![GOOD],
        "inside.test" => vec![BAD],
        _ => Vec::new(),
    })
    .await;
    let egress = outbound_asking(&dns);
    // A port that was just freed; only these tests bind to this address.
    let closed = Web::start(GOOD, file).await.address.port();
    let open = good.address.port();
    for address in [
        format!("http://inside.test:{open}/"),
        format!("http://nowhere.test:{open}/"),
        format!("http://good.test:{closed}/"),
        // Not a TLS server.
        format!("https://good.test:{open}/"),
    ] {
        let url = egress.validate(&address).unwrap();
        let error = metadata_of(&egress, &url, 100).await.unwrap_err();
        assert_eq!(
            (error, error.to_string()),
            (SourceError::Unreachable, "the source cannot be reached".into())
        );
        let error = egress.post(&url, Vec::new(), Vec::new()).await.unwrap_err();
        assert_eq!(
            (error, error.to_string()),
            (PostError::Unreachable, "the address cannot be reached".into())
        );
    }
}

#[tokio::test]
async fn a_host_allowed_by_name_may_have_any_address() {
    let inside = Web::start(BAD, file).await;
    let dns = Dns::start(|name, _| if name == "media.internal" { vec![BAD] } else { Vec::new() }).await;
    let mut options = options(vec![dns.address]);
    options.policy.allow = vec![AllowedDestination::parse("Media.Internal").unwrap()];
    let egress = Egress::new(options).unwrap();
    let url = |host: &str| egress.validate(&format!("http://{host}:{}/", inside.address.port()));
    assert_eq!(metadata_of(&egress, &url("MEDIA.internal.").unwrap(), 100).await.unwrap().length, Some(8));
    assert_eq!(url("other.internal").unwrap_err(), UrlError::NotPublic);
    assert_eq!(url("media.internal.example").unwrap().shown().matches("media").count(), 1);
    assert_eq!(url("127.0.0.1").unwrap_err(), UrlError::NotPublic);
    assert_eq!(inside.accepted(), 1);
}

#[tokio::test]
async fn no_connection_is_reused() {
    let web =
        Web::start(GOOD, |_| Answer::bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx").then_silence())
            .await;
    let egress = egress();
    let url = web.url(&egress, "/");
    for count in 1..=3 {
        metadata_of(&egress, &url, 100).await.unwrap();
        assert_eq!(web.accepted(), count);
    }
}
