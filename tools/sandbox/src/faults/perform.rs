//! Applies a fault to a request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, DATE, EXPECT};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::bodies::{Drip, TruncatedBody};
use super::instead::instead;
use super::marks;
use super::uploads::{CutShort, Slow, is_streamed};
use super::{Effect, ListLag, RawFormat};
use crate::app_state::AppState;
use crate::body::{self, Unreadable};
use crate::http::{answer, record_body};
use crate::server::Cut;

/// Responds to a request with this effect.
///
/// `reset` is cancelled when all faults are discarded by a reset.
pub(crate) async fn perform(
    effect: &Effect,
    app_state: &Arc<AppState>,
    reset: CancellationToken,
    mut request: Request,
    next: Next,
) -> Response {
    match effect {
        Effect::Delay { pause } => {
            tokio::time::sleep(*pause).await;
            answer(app_state, request, next).await
        }
        Effect::Hold { released } => {
            released.cancelled().await;
            answer(app_state, request, next).await
        }
        Effect::CutAfter => {
            answer(app_state, request, next).await;
            Cut::Close.response()
        }
        Effect::CutDuring { bytes } if is_streamed(request.method(), request.uri().path()) => {
            let request = request.map(|whole| Body::new(CutShort::new(whole, *bytes)));
            answer(app_state, request, next).await;
            Cut::Close.response()
        }
        Effect::Late { pause } => {
            act_later(app_state, reset, kept(request).await, next, *pause);
            Cut::Close.response()
        }
        Effect::Truncate => truncated(answer(app_state, request, next).await).await,
        Effect::Drip { pause, bytes } => {
            let (response, whole) = collected(answer(app_state, request, next).await).await;
            response.map(|_| Body::new(Drip::new(whole, *pause, *bytes)))
        }
        Effect::SlowBody { bytes_per_second } => {
            let request = request.map(|whole| Body::new(Slow::new(whole, *bytes_per_second)));
            answer(app_state, request, next).await
        }
        Effect::Raw { raw_format, .. } => raw(app_state, answer(app_state, request, next).await, *raw_format),
        Effect::ListLag { lag } => {
            request.extensions_mut().insert(ListLag(*lag));
            answer(app_state, request, next).await
        }
        Effect::ExpiredLink { status } => {
            marks::kill_link(app_state, request.uri().path(), *status);
            answer(app_state, request, next).await
        }
        Effect::Outcome { scheduled_failure } => {
            let response = answer(app_state, request, next).await;
            marks::schedule_failure(app_state, &response, scheduled_failure);
            response
        }
        Effect::Cut | Effect::Outage | Effect::Reset | Effect::Garbage => {
            // Closing a connection with unread data would reset it, so the body is read, but not for longer than the
            // grace period.
            let (parts, sent) = request.into_parts();
            if let Ok(body) = timeout(GRACE, read_unless_waiting(&parts, sent)).await {
                record_body(app_state, &parts, &body);
            }
            instead(effect, app_state, &parts)
        }
        _ => {
            let (parts, sent) = request.into_parts();
            // A connection that stays open needs the body read.
            record_body(app_state, &parts, &read_unless_waiting(&parts, sent).await);
            instead(effect, app_state, &parts)
        }
    }
}

// How long a connection that is about to end is read from.
const GRACE: Duration = Duration::from_secs(1);

/// The body, unless its sender waits for 100 Continue, which reading would send.
async fn read_unless_waiting(parts: &Parts, sent: Body) -> Result<Bytes, Unreadable> {
    if parts.headers.contains_key(EXPECT) { Err(Unreadable) } else { body::read(sent).await }
}

/// The request with its body in memory, independent of the connection.
async fn kept(request: Request) -> Request {
    let (parts, sent) = request.into_parts();
    let body = match body::read_at_most(sent, body::DRAIN_LIMIT_BYTES).await {
        Ok(whole) => Body::from(whole),
        Err(_) => Body::new(CutShort::new(Body::empty(), 0)),
    };
    Request::from_parts(parts, body)
}

/// Handles the request after a delay, unless the sandbox is stopped or reset before.
fn act_later(
    app_state: &Arc<AppState>,
    reset: CancellationToken,
    request: Request,
    next: Next,
    pause: Duration,
) {
    let later = Arc::clone(app_state);
    app_state.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = later.stopping.cancelled() => return,
            () = reset.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        answer(&later, request, next).await;
        later.save().await;
    });
}

fn raw(app_state: &AppState, mut response: Response, raw_format: RawFormat) -> Response {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&app_state.now()).ok();
    // The HTTP library would have added it.
    if let Some(date) = date.and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    response.extensions_mut().insert(raw_format);
    response
}

/// The response with its Content-Length, and its body.
async fn collected(response: Response) -> (Response, Bytes) {
    let (mut parts, body) = response.into_parts();
    let whole = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    if !whole.is_empty() {
        parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len()));
    }
    (Response::from_parts(parts, Body::empty()), whole)
}

async fn truncated(response: Response) -> Response {
    let (response, whole) = collected(response).await;
    if whole.is_empty() {
        // A response without a body cannot be halved, so all of it is lost.
        return Cut::Close.response();
    }
    response.map(|_| Body::new(TruncatedBody::new(&whole)))
}
