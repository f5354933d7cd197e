//! Protects the controls, which need no credentials, from web pages of other sites.
//!
//! Only this machine can connect to the sandbox, but so can pages in its browser. A page of another site could send
//! requests that change something, or resolve its own host name to 127.0.0.1 (DNS rebinding) and read the responses
//! too.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::header::{HOST, HeaderName, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::error_response;

const FOREIGN_HOST: &str = "The controls respond only to names of this machine, such as 127.0.0.1 or \
                            localhost. The Host header names another one.";
const FOREIGN_API_HOST: &str = "The sandbox listens on loopback and responds only to names of this machine, such as \
                                127.0.0.1 or localhost. The Host header names another one.";
const FOREIGN_ORIGIN: &str = "This request comes from a web page of another origin, and such pages may not use \
                              the controls. Send it from a program, or from the page at /_sandbox/.";

/// Passes a request on, or rejects it with 403.
pub(super) async fn require_same_origin(request: Request, next: Next) -> Response {
    match rejection(request.method(), request.headers()) {
        Some(sentence) => error_response(StatusCode::FORBIDDEN, sentence),
        None => next.run(request).await,
    }
}

/// Passes an API request on if its Host header names this machine; otherwise DNS rebinding would let a web page use the
/// API.
pub(super) async fn require_own_host(request: Request, next: Next) -> Response {
    if request.headers().get_all(HOST).iter().all(names_this_machine) {
        return next.run(request).await;
    }
    error_response(StatusCode::FORBIDDEN, FOREIGN_API_HOST)
}

fn rejection(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    if !headers.get_all(HOST).iter().all(names_this_machine) {
        return Some(FOREIGN_HOST);
    }
    if method.is_safe() {
        // A cross-origin page cannot read the response, and a GET changes nothing.
        return None;
    }
    let mut sites = headers.get_all(HeaderName::from_static("sec-fetch-site")).iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    let is_from_elsewhere = sites.any(|site| site == "cross-site" || site == "same-site")
        || origins.any(|origin| !is_origin_of(origin, headers.get(HOST)));
    is_from_elsewhere.then_some(FOREIGN_ORIGIN)
}

/// Whether a Host header can only mean this machine. A name without a dot, or below `localhost`, cannot be registered.
fn names_this_machine(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let without_port = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if let Some(address) = without_port.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback());
    }
    if let Ok(address) = without_port.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let is_name = without_port.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    let name = without_port.to_ascii_lowercase();
    // A plain number is another notation for an address.
    let is_number = name.parse::<u64>().is_ok() || name.starts_with("0x");
    is_name && !is_number && (!name.contains('.') || name.ends_with(".localhost"))
}

fn is_origin_of(origin: &HeaderValue, host: Option<&HeaderValue>) -> bool {
    let (Ok(origin), Some(Ok(host))) = (origin.to_str(), host.map(HeaderValue::to_str)) else { return false };
    origin.strip_prefix("http://").is_some_and(|authority| authority.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_accepted(method: &Method, headers: &[(&'static str, &'static str)]) -> bool {
        let pairs = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        rejection(method, &pairs.collect()).is_none()
    }

    #[test]
    fn only_names_of_this_machine_are_let_in() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:9300",
            "127.1.2.3:1",
            "[::1]",
            "[::1]:9300",
            "[::ffff:127.0.0.1]:9300",
            "localhost",
            "LOCALHOST:9300",
            "vimeo.localhost:9300",
            "sandbox",
            "x",
        ] {
            assert!(is_accepted(&Method::GET, &[("host", host)]), "{host}");
        }
        for host in [
            "example.com",
            "example.com:9300",
            "127.0.0.1.example.com",
            "localhost.example.com:9300",
            "10.0.0.1",
            "0.0.0.0",
            "[::]:9300",
            "[fe80::1]",
            "[::1",
            "2130706433",
            "0x7f000001",
            "localhost.",
            "a@b",
            "a b",
        ] {
            assert!(!is_accepted(&Method::GET, &[("host", host)]), "{host}");
        }
        assert!(is_accepted(&Method::GET, &[]));
    }

    #[test]
    fn a_page_of_another_origin_may_change_nothing() {
        let host = ("host", "127.0.0.1:9300");
        for more in [
            ("origin", "https://example.com"),
            ("origin", "http://127.0.0.1:8080"),
            ("origin", "http://localhost:9300"),
            ("origin", "https://127.0.0.1:9300"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            for method in [Method::POST, Method::PATCH, Method::DELETE] {
                assert!(!is_accepted(&method, &[host, more]), "{method} {more:?}");
            }
            assert!(is_accepted(&Method::GET, &[host, more]), "{more:?}");
        }
        for more in [
            ("origin", "http://127.0.0.1:9300"),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "none"),
        ] {
            assert!(is_accepted(&Method::POST, &[host, more]), "{more:?}");
        }
        assert!(!is_accepted(&Method::POST, &[("origin", "http://127.0.0.1:9300")]));
    }
}
