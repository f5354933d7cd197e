//! The source of videos: a server in this process with files of the length in their URL, with range requests, which
//! records when it was asked for what.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::header::{ACCEPT_RANGES, CONTENT_RANGE, ETAG, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use hyper::body::{Bytes, Frame, SizeHint};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::error::BenchError;
use crate::time_of_day::{TimeOfDay, now};

/// The period of the content; a prime, so that no two offsets a power of two apart are alike.
const PERIOD: usize = 1_048_573;
/// The size of a chunk.
const PIECE: usize = 128 * 1024;

/// The server. Stops when dropped.
pub(crate) struct Source {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<SourceRequest>>>,
    _server: JoinSet<()>,
}

/// A request for a part of a file.
#[derive(Clone, Copy)]
struct SourceRequest {
    at: TimeOfDay,
    bytes: u64,
}

#[derive(Clone)]
struct Shared {
    requests: Arc<Mutex<Vec<SourceRequest>>>,
    period: Bytes,
}

#[derive(Deserialize)]
struct FilmQuery {
    size: u64,
}

impl Source {
    pub(crate) fn start(runtime: &Runtime) -> Result<Self, BenchError> {
        let requests = Arc::<Mutex<Vec<SourceRequest>>>::default();
        let shared = Shared { requests: requests.clone(), period: period() };
        let router = Router::new().route("/film.mp4", get(serve_film)).with_state(shared);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn_on(
            async move {
                // It ends with this process.
                let _ = axum::serve(listener, router).await;
            },
            runtime.handle(),
        );
        Ok(Self { address, requests, _server: server })
    }

    pub(crate) fn url(&self, bytes: u64) -> String {
        format!("http://{}/film.mp4?size={bytes}", self.address)
    }

    /// When the content was first requested, beyond a probe.
    pub(crate) fn started_at(&self) -> Result<TimeOfDay, BenchError> {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let found = requests.iter().find(|requests| requests.bytes > 1);
        Ok(found.ok_or("the source was not asked for its bytes")?.at)
    }

    /// When it received its first request.
    pub(crate) fn first_requested_at(&self) -> Option<TimeOfDay> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).first().map(|requests| requests.at)
    }

    pub(crate) fn forget(&self) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Pseudo-random bytes.
fn period() -> Bytes {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let [byte, ..] = state.to_le_bytes();
        byte
    };
    (0..PERIOD).map(|_| next()).collect()
}

async fn serve_film(
    State(shared): State<Shared>,
    Query(query): Query<FilmQuery>,
    headers: HeaderMap,
) -> Response {
    let at = now();
    let part = headers.get(RANGE).and_then(|value| read_range(value.to_str().ok()?, query.size));
    let (from, to) = part.unwrap_or((0, query.size));
    shared
        .requests
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(SourceRequest { at, bytes: to - from });
    let film = Film { period: shared.period, at: from, left: to - from };
    let usual = [(ETAG, "\"film\""), (ACCEPT_RANGES, "bytes")];
    match part {
        Some((from, to)) => {
            let range = format!("bytes {from}-{}/{}", to - 1, query.size);
            (StatusCode::PARTIAL_CONTENT, usual, [(CONTENT_RANGE, range)], Body::new(film)).into_response()
        }
        None => (usual, Body::new(film)).into_response(),
    }
}

/// `bytes=A-B` or `bytes=A-`, as the first byte and the one after the last.
fn read_range(text: &str, size: u64) -> Option<(u64, u64)> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let from = from.parse().ok().filter(|from| *from < size)?;
    let to = if to.is_empty() { size } else { to.parse::<u64>().ok()?.saturating_add(1).min(size) };
    (from < to).then_some((from, to))
}

/// A part of a file that is being sent.
struct Film {
    period: Bytes,
    at: u64,
    left: u64,
}

impl hyper::body::Body for Film {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let from = usize::try_from(self.at % PERIOD as u64).unwrap_or(0);
        let take = PIECE.min(PERIOD - from).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.at += take as u64;
        self.left -= take as u64;
        Poll::Ready(Some(Ok(Frame::data(self.period.slice(from..from + take)))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_read_as_its_first_byte_and_the_one_after_its_last() {
        assert_eq!(read_range("bytes=0-0", 10), Some((0, 1)));
        assert_eq!(read_range("bytes=3-", 10), Some((3, 10)));
        assert_eq!(read_range("bytes=3-99", 10), Some((3, 10)));
        assert_eq!(read_range("bytes=10-", 10), None);
        assert_eq!(read_range("bytes=-3", 10), None);
    }
}
