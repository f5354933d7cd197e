//! Request bodies: read whole, but never more than a mebibyte.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Multipart;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

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

// Who has sent nothing for so long is waiting for the answer.
const PAUSE: Duration = Duration::from_millis(250);

/// Lets a client finish what it sends, for the same reason, without keeping anything.
pub(crate) async fn drain(body: &mut Body) {
    let mut length: usize = 0;
    while length <= PATIENCE_BYTES {
        let Ok(Some(Ok(frame))) = timeout(PAUSE, body.frame()).await else { return };
        length = length.saturating_add(frame.data_ref().map_or(0, Bytes::len));
    }
}

/// The same for what is left of a form.
pub(crate) async fn drain_form(form: &mut Multipart) {
    let mut length: usize = 0;
    while let Ok(Ok(Some(mut field))) = timeout(PAUSE, form.next_field()).await {
        while let Ok(Ok(Some(data))) = timeout(PAUSE, field.chunk()).await {
            length = length.saturating_add(data.len());
            if length > PATIENCE_BYTES {
                return;
            }
        }
    }
}
