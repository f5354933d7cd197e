//! Posts webhooks.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Response};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::Egress;
use super::connect::{Purpose, RequestError};
use super::url::EgressUrl;

/// How much of a response body is read, so that the receiver does not see a reset connection. The body is ignored.
const RESPONSE_MAX_BYTES: usize = 64 * 1024;

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
    /// Sends `body` by `POST` and returns the status of the response. Redirects are not followed.
    pub async fn post(
        &self,
        url: &EgressUrl,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<u16, PostError> {
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
        let status = response.status().as_u16();
        // Only the status matters: an incomplete or slow body is not an error.
        let _ = timeout_at(deadline, drain(response)).await;
        Ok(status)
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
