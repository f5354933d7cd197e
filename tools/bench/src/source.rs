//! Where videos come from: a server of this program's own, whose files are as long as their address says, whole or by
//! ranges, and which writes down when it was asked for what.

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

use crate::trouble::Trouble;
use crate::wall_clock::{WallTime, now};

/// What every file is made of; a prime, so that no two places a power of two apart look alike.
const PERIOD: usize = 1_048_573;
/// What is given away at a time.
const PIECE: usize = 128 * 1024;

/// The server. Stops when dropped.
pub(crate) struct Source {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    _server: JoinSet<()>,
}

/// A request for a part of a file.
#[derive(Clone, Copy)]
struct Asked {
    at: WallTime,
    bytes: u64,
}

#[derive(Clone)]
struct Shared {
    asked: Arc<Mutex<Vec<Asked>>>,
    period: Bytes,
}

#[derive(Deserialize)]
struct Which {
    size: u64,
}

impl Source {
    pub(crate) fn start(runtime: &Runtime) -> Result<Self, Trouble> {
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let shared = Shared { asked: asked.clone(), period: period() };
        let router = Router::new().route("/film.mp4", get(give)).with_state(shared);
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let mut server = JoinSet::new();
        server.spawn_on(
            async move {
                // It ends with this program.
                let _ = axum::serve(listener, router).await;
            },
            runtime.handle(),
        );
        Ok(Self { address, asked, _server: server })
    }

    pub(crate) fn url(&self, bytes: u64) -> String {
        format!("http://{}/film.mp4?size={bytes}", self.address)
    }

    /// When it was first asked for more than a look at a file.
    pub(crate) fn began_at(&self) -> Result<WallTime, Trouble> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let found = asked.iter().find(|asked| asked.bytes > 1);
        Ok(found.ok_or("the source was not asked for its bytes")?.at)
    }

    /// When it was first asked for anything.
    pub(crate) fn first_asked_at(&self) -> Option<WallTime> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).first().map(|asked| asked.at)
    }

    pub(crate) fn forget(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Bytes that look random.
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

async fn give(State(shared): State<Shared>, Query(which): Query<Which>, headers: HeaderMap) -> Response {
    let at = now();
    let part = headers.get(RANGE).and_then(|value| read_range(value.to_str().ok()?, which.size));
    let (from, to) = part.unwrap_or((0, which.size));
    shared.asked.lock().unwrap_or_else(PoisonError::into_inner).push(Asked { at, bytes: to - from });
    let film = Film { period: shared.period, at: from, left: to - from };
    let usual = [(ETAG, "\"film\""), (ACCEPT_RANGES, "bytes")];
    match part {
        Some((from, to)) => {
            let range = format!("bytes {from}-{}/{}", to - 1, which.size);
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

/// A part of a file on its way.
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
