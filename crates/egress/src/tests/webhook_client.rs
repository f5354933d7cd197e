//! Webhooks are sent once, to the intended receiver only.

use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use web::{Answer, header};

fn signed() -> Vec<(String, String)> {
    vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("webhook-id".to_owned(), "msg_1".to_owned()),
    ]
}

#[tokio::test]
async fn a_webhook_arrives_complete_and_its_status_is_returned() {
    for status in [200, 204, 302, 400, 410, 500] {
        let web =
            Web::start(GOOD, move |_| Answer::new(status, &["Location: http://127.0.0.2:9/"], "")).await;
        let egress = egress();
        let url = web.url(&egress, "/hook?token=1");
        let posted = egress.post(&url, signed(), b"{\"a\":1}".to_vec()).await;
        assert_eq!(posted.map(|posted| posted.status), Ok(status));
        let [request] = &web.requests()[..] else { panic!("one request") };
        assert!(
            request.starts_with("POST /hook?token=1 ") && request.ends_with("\r\n\r\n{\"a\":1}"),
            "{request}"
        );
        for (name, value) in signed() {
            assert_eq!(header(request, &name), Some(value.as_str()));
        }
        assert_eq!(header(request, "user-agent"), Some("egress-tests"));
    }
}

#[tokio::test]
async fn a_long_response_is_not_read_to_its_end() {
    let web = Web::start(GOOD, |_| {
        let body = vec![b'x'; 100_000];
        Answer::raw(200, &["Content-Length: 9000000000"], body).then_silence()
    })
    .await;
    let egress = egress();
    let posted = egress.post(&web.url(&egress, "/"), signed(), Vec::new()).await;
    assert_eq!(posted.map(|posted| posted.status), Ok(200));
}

#[tokio::test]
async fn a_silent_or_broken_receiver_did_not_answer() {
    let silent = Web::start(GOOD, |_| Answer::bytes(b"").then_silence()).await;
    let broken = Web::start(GOOD, |_| Answer::bytes(b"HTTP/1.1 200 O")).await;
    let foreign = Web::start(GOOD, |_| Answer::bytes(b"SSH-2.0-x\r\n")).await;
    let mut options = options(no_dns());
    options.timeouts.post = Duration::from_millis(300);
    let egress = Egress::new(options).unwrap();
    for web in [silent, broken, foreign] {
        let answer = egress.post(&web.url(&egress, "/"), signed(), Vec::new()).await;
        assert_eq!((answer, web.accepted()), (Err(PostError::NoResponse), 1));
    }
}

#[tokio::test]
async fn a_header_with_a_line_break_is_not_sent() {
    let web = Web::start(GOOD, |_| Answer::new(200, &[], "")).await;
    let egress = egress();
    for (name, value) in [("a", "b\r\nc: d"), ("a\r\nb", "c"), ("", "c")] {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let answer = egress.post(&web.url(&egress, "/"), headers, Vec::new()).await;
        assert_eq!((answer, web.accepted()), (Err(PostError::Header), 0));
    }
}

/// All log lines of this crate, at any level.
#[derive(Clone, Default)]
struct Lines(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_webhooks_url_is_never_logged_and_a_sources_host_is() {
    let lines = Lines::default();
    let writer = lines.clone();
    let targets = tracing_subscriber::filter::Targets::new().with_target("egress", tracing::Level::TRACE);
    let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone());
    let _logging = tracing::subscriber::set_default(tracing_subscriber::registry().with(targets).with(layer));
    let closed = Web::start(GOOD, |_| Answer::new(302, &["Location: http://127.0.0.1/canary"], "")).await;
    let dns = Dns::start(|name, _| match name {
        "canary-good.test" => vec![GOOD],
        "canary-inside.test" => vec![BAD],
        _ => Vec::new(),
    })
    .await;
    let egress = outbound_asking(&dns);
    let port = closed.address.port();
    drop(closed);
    for host in ["canary-good.test", "canary-inside.test", "canary-missing.test", "my_canary.test"] {
        let url = egress.validate(&format!("http://{host}:{port}/canary?canary")).unwrap();
        egress.post(&url, Vec::new(), Vec::new()).await.unwrap_err();
    }
    let logged = || String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(logged().matches("the receiver of a webhook cannot be reached").count(), 4, "{}", logged());
    assert!(!logged().contains("canary") && !logged().contains(&port.to_string()), "{}", logged());
    for (host, reason) in [
        ("canary-good.test", "onnection refused"),
        ("canary-inside.test", "not globally reachable"),
        ("canary-missing.test", "has no address"),
    ] {
        let url = egress.validate(&format!("http://{host}:{port}/path?secret")).unwrap();
        assert!(egress.probe(&url, 10).await.is_err());
        assert!(logged().contains(host) && logged().contains(reason), "{host}: {}", logged());
    }
    assert!(!logged().contains("secret") && !logged().contains("path"), "{}", logged());
}
