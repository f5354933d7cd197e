//! A message to an address that a user gave: a webhook.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Request, Response};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::Egress;
use super::connect::{Purpose, RequestError};
use super::url::EgressUrl;

/// An answer is read this far, so that whoever answers is not cut off; what it says is not kept.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

/// Why a message was not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PostError {
    /// Nothing was sent, and the reason is not told: refused and unreachable are not told apart.
    #[error("the address cannot be reached")]
    Unreachable,
    /// It may have arrived: no answer came in time, or the connection broke.
    #[error("the address did not answer")]
    NoResponse,
    /// A header has a name or a value that cannot be sent.
    #[error("a header of the message cannot be sent")]
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
    /// Sends `body` by `POST` and gives the status of the answer, whichever it is: redirects are not followed.
    pub async fn post(
        &self,
        url: &EgressUrl,
        headers: Vec<(String, String)>,
        body: Vec<u8>,
    ) -> Result<u16, PostError> {
        let headers = read_headers(headers)?;
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
        // The status is all that counts: whether the rest comes, and comes in time, does not.
        let _ = timeout_at(deadline, read_some(response)).await;
        Ok(status)
    }
}

async fn read_some(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(piece)) = response.chunk().await {
        read += piece.len();
        if read >= ANSWER_MAX_BYTES {
            return;
        }
    }
}

fn read_headers(headers: Vec<(String, String)>) -> Result<HeaderMap, PostError> {
    let read = |(name, value): (String, String)| {
        let name = HeaderName::try_from(name).map_err(|_| PostError::Header)?;
        let value = HeaderValue::try_from(value).map_err(|_| PostError::Header)?;
        Ok((name, value))
    };
    headers.into_iter().map(read).collect()
}
