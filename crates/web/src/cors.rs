//! Cross-origin requests from browsers.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH,
    LOCATION, ORIGIN, RETRY_AFTER,
};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;
use tower::{Layer as _, ServiceExt as _};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::fields::IGNORED_FIELDS;
use crate::headers::{IDEMPOTENCY_KEY, IDEMPOTENT_REPLAYED, LAST_EVENT_ID};
use crate::layers::REQUEST_ID;
use crate::rate_headers::{RATE_LIMIT, RATE_LIMIT_POLICY};

/// How long a browser may cache a preflight response.
const MAX_AGE: Duration = Duration::from_mins(10);

/// Which origins may use the service from a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cors {
    /// No origin.
    Off,
    /// All origins.
    AnyOrigin,
    /// Only these origins.
    Origins(Vec<HeaderValue>),
}

impl Cors {
    /// Parses a list of origins (`https://app.example.com`), or a single `*` for all. The error is a sentence about the
    /// list.
    pub fn parse(origins: &[String]) -> Result<Self, String> {
        if origins.is_empty() {
            return Ok(Self::Off);
        }
        if origins == ["*"] {
            return Ok(Self::AnyOrigin);
        }
        let read = |origin: &String| {
            let value = HeaderValue::from_str(origin).ok().filter(|_| is_origin(origin));
            value.ok_or_else(|| {
                "must be origins as browsers write them, such as https://app.example.com (small letters, no path, no \
                 slash at the end), or `*` alone"
                    .to_owned()
            })
        };
        origins.iter().map(read).collect::<Result<_, _>>().map(Self::Origins)
    }

    /// The middleware; `None` if CORS is off.
    pub(crate) fn layer(&self) -> Option<CorsLayer> {
        let origins = match self {
            Self::Off => return None,
            Self::AnyOrigin => AllowOrigin::any(),
            Self::Origins(origins) => AllowOrigin::list(origins.clone()),
        };
        let user_id = HeaderName::from_static("x-pictory-user-id");
        Some(
            CorsLayer::new()
                .allow_origin(origins)
                .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
                .allow_headers([
                    AUTHORIZATION,
                    CONTENT_TYPE,
                    IF_MATCH,
                    IF_NONE_MATCH,
                    IDEMPOTENCY_KEY,
                    LAST_EVENT_ID,
                    REQUEST_ID,
                    user_id,
                ])
                .expose_headers([
                    ALLOW,
                    ETAG,
                    LOCATION,
                    RETRY_AFTER,
                    IDEMPOTENT_REPLAYED,
                    IGNORED_FIELDS,
                    RATE_LIMIT,
                    RATE_LIMIT_POLICY,
                    REQUEST_ID,
                ])
                .max_age(MAX_AGE),
        )
    }
}

/// The middleware. An OPTIONS request that is not a preflight is routed like any other request.
pub(crate) async fn around(State(cors): State<CorsLayer>, request: Request, next: Next) -> Response {
    let is_preflight = request.headers().contains_key(ORIGIN)
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if request.method() == Method::OPTIONS && !is_preflight {
        return next.run(request).await;
    }
    let Ok(response) = cors.layer(next).oneshot(request).await;
    response
}

/// Whether a text is an origin as browsers write it: scheme, host, and port if it is not the default.
fn is_origin(text: &str) -> bool {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or_default();
    let is_plain = |byte: u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b':' | b'[' | b']')
    };
    !host.is_empty() && host.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        let parse = |text: &str| Cors::parse(&[text.to_owned()]);
        for good in ["https://app.example.com", "http://localhost:3000", "http://[::1]:8080"] {
            assert_eq!(parse(good), Ok(Cors::Origins(vec![HeaderValue::from_static(good)])));
        }
        for bad in [
            "app.example.com",
            "https://",
            "https://A.example",
            "https://a/",
            "https://a/b",
            "null",
            "ftp://a",
            "*.a",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert_eq!(parse("*"), Ok(Cors::AnyOrigin));
        assert_eq!(Cors::parse(&[]), Ok(Cors::Off));
        assert!(Cors::parse(&["*".to_owned(), "https://a".to_owned()]).is_err());
    }
}
