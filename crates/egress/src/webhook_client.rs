//! Posts webhooks.

use std::time::UNIX_EPOCH;

use domain::time::Timestamp;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, Response};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::Egress;
use super::connect::{Purpose, RequestError};
use super::url::EgressUrl;

/// How much of a response body is read, so that the receiver does not see a reset connection. The body is ignored.
const RESPONSE_MAX_BYTES: usize = 64 * 1024;

/// The head of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// Its status.
    pub status: u16,
    /// `Retry-After`, if it is there and well-formed.
    pub retry_after: Option<RetryAfter>,
}

/// When a receiver wants the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// After this many seconds.
    Seconds(u64),
    /// At this instant.
    At(Timestamp),
}

impl RetryAfter {
    /// Decimal digits, or an HTTP date.
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().ok().map(Self::Seconds);
        }
        let since = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self::At(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?)))
    }
}

/// Why a request got no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PostError {
    /// Nothing was sent. Blocked and unreachable are not distinguished.
    #[error("the address cannot be reached")]
    Unreachable,
    /// It may have been delivered: no response in time, or the connection broke.
    #[error("the address did not answer")]
    NoResponse,
    /// A header name or value is invalid.
    #[error("a header of the webhook is invalid")]
    Header,
}

impl From<RequestError> for PostError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Unreachable => Self::Unreachable,
            RequestError::NoResponse => Self::NoResponse,
        }
    }
}

impl Egress {
    /// Sends `body` by `POST` and returns the head of the response. Redirects are not followed.
    pub async fn post(
        &self,
        url: &EgressUrl,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<Posted, PostError> {
        let headers = parse_headers(headers)?;
        let deadline = Instant::now() + self.0.timeouts.post;
        let url = url.to_url().map_err(|_| PostError::Unreachable)?;
        let reached = timeout_at(deadline, self.0.connect(url, Purpose::Webhook)).await;
        let (client, url) = reached.map_err(|_| PostError::Unreachable)??;
        let mut request = Request::new(Method::POST, url);
        *request.headers_mut() = headers;
        *request.body_mut() = Some(body.into());
        let answered = timeout_at(deadline, self.0.send(&client, request, Purpose::Webhook)).await;
        let response = answered.map_err(|_| PostError::NoResponse)??;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let posted = Posted {
            status: response.status().as_u16(),
            retry_after: retry_after.and_then(RetryAfter::parse),
        };
        // Only the status matters: an incomplete or slow body is not an error.
        let _ = timeout_at(deadline, drain(response)).await;
        Ok(posted)
    }
}

async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read >= RESPONSE_MAX_BYTES {
            return;
        }
    }
}

fn parse_headers(headers: Vec<(String, String)>) -> Result<HeaderMap, PostError> {
    let read = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).map_err(|_| PostError::Header)?;
        let value = HeaderValue::try_from(value).map_err(|_| PostError::Header)?;
        Ok((name, value))
    };
    headers.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        assert_eq!(RetryAfter::parse(" 120 "), Some(RetryAfter::Seconds(120)));
        let at = Timestamp::from_millis(784_111_777_000);
        assert_eq!(RetryAfter::parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(RetryAfter::At(at)));
        for text in ["", "-1", "1.5", "soon", "99999999999999999999999"] {
            assert_eq!(RetryAfter::parse(text), None, "{text}");
        }
    }
}
