//! One request of a pull, to an address that was looked at before. The only module that speaks to other machines.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::LOCATION;
use reqwest::{Client, Response, Url, redirect, retry};

use crate::body;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a file is fetched from.
#[derive(Clone, Debug)]
pub(super) struct Source(Url);

/// The connection could not be made, broke, or fell silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What a source said.
pub(super) enum Answer {
    File(Download),
    /// Look there, if that is somewhere.
    Elsewhere(Option<Source>),
    /// A status that is no good news.
    No(u16),
}

/// A file that is on its way.
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

    /// Every address of the host, asked for once.
    pub(super) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let host = self.0.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.0.port_or_known_default().unwrap_or_default();
        tokio::net::lookup_host((host, port)).await.map(Iterator::collect)
    }

    /// Asks for the file, at these addresses whatever the host's name may mean by now.
    pub(super) async fn get(&self, addresses: &[SocketAddr]) -> Result<Answer, Broken> {
        let client = Client::builder()
            .user_agent("vimeo-sandbox")
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .resolve_to_addrs(self.0.host_str().unwrap_or_default(), addresses)
            .build()
            .map_err(|_| Broken)?;
        let response = client.get(self.0.clone()).send().await.map_err(|_| Broken)?;
        let status = response.status();
        if status.is_redirection() {
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let next = location.and_then(|text| self.0.join(text).ok()).and_then(Self::fetchable);
            return Ok(Answer::Elsewhere(next));
        }
        if status.is_success() {
            return Ok(Answer::File(Download { response }));
        }
        Ok(Answer::No(status.as_u16()))
    }
}

impl Download {
    /// The media type, as [`body::media_type`] gives it.
    pub(super) fn media_type(&self) -> String {
        body::media_type(self.response.headers())
    }

    /// How many bytes are to come, if the source says so.
    pub(super) fn length(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// Some more bytes; `None` after the last.
    pub(super) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<>>, Broken> {
        self.response.chunk().await.map_err(|_| Broken)
    }
}
