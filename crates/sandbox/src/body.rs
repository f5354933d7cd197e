//! Request bodies: read whole, but never more than a mebibyte.

use axum::body::{Body, Bytes};
use http_body_util::BodyExt as _;

/// The largest request body that is read; no answer of Vimeo's needs more.
pub(crate) const BODY_LIMIT_BYTES: usize = 1024 * 1024;

// A client hears our refusal only if it may finish sending, so some of what is too much is read and dropped.
const PATIENCE_BYTES: usize = 64 * BODY_LIMIT_BYTES;

/// The body is longer than the limit, or ended before its end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unreadable;

/// The whole body.
pub(crate) async fn read(mut body: Body) -> Result<Bytes, Unreadable> {
    let mut read = Vec::new();
    let mut length: usize = 0;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unreadable)?.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length > PATIENCE_BYTES {
            return Err(Unreadable);
        }
        if length <= BODY_LIMIT_BYTES {
            read.extend_from_slice(&data);
        }
    }
    if length > BODY_LIMIT_BYTES { Err(Unreadable) } else { Ok(read.into()) }
}
