//! One request of a pull, to addresses that have been checked. The only module that connects to other machines.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Client, Response, Url, redirect, retry};

use crate::body;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// The URL of a file.
#[derive(Clone, Debug)]
pub(super) struct Source(Url);

/// The connection failed, was interrupted or timed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionFailed;

/// The response of a source.
pub(super) enum FetchResponse {
    File(Download),
    /// A redirect; `None` if its target is invalid.
    Elsewhere(Option<Source>),
    /// An error status.
    No(u16),
}

/// A download in progress.
pub(super) struct Download {
    response: Response,
}

impl Source {
    pub(super) fn parse(link: &str) -> Option<Self> {
        Url::parse(link).ok().and_then(Self::fetchable)
    }

    fn fetchable(url: Url) -> Option<Self> {
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Self(url))
    }

    /// All addresses of the host, resolved once.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.0.port_or_known_default().unwrap_or_default();
        tokio::net::lookup_host((host, port)).await.map(Iterator::collect)
    }

    /// Requests the file from these addresses, without resolving the name again.
    pub(super) async fn get(&self, addresses: &[SocketAddr]) -> Result<FetchResponse, ConnectionFailed> {
        let client = Client::builder()
            .user_agent("vimeo-sandbox")
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .resolve_to_addrs(self.0.host_str().unwrap_or_default(), addresses)
            .build()
            .map_err(|_| ConnectionFailed)?;
        let response = client.get(self.0.clone()).send().await.map_err(|_| ConnectionFailed)?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|text| self.0.join(text).ok()).and_then(Self::fetchable);
            return Ok(FetchResponse::Elsewhere(next));
        }
        if status.is_success() {
            return Ok(FetchResponse::File(Download { response }));
        }
        Ok(FetchResponse::No(status.as_u16()))
    }
}

impl Download {
    /// The media type, as returned by [`body::media_type`].
    pub(super) fn media_type(&self) -> String {
        body::media_type(self.response.headers())
    }

    /// The announced length in bytes.
    pub(super) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, ConnectionFailed> {
        self.response.chunk().await.map_err(|_| ConnectionFailed)
    }
}
