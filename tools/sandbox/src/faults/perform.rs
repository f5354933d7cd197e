//! Lets a fault happen to a request.

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

use super::bodies::{Drip, Halved};
use super::instead::instead;
use super::marks;
use super::uploads::{CutShort, Slow, is_streamed};
use super::{Disguise, Effect, ListLag};
use crate::body::{self, Unreadable};
use crate::desk::Desk;
use crate::http::{answer, note_body};
use crate::server::Cut;

/// Answers a request in the way this fault wants.
///
/// `over` ends when the faults are thrown away that this one was of.
pub(crate) async fn perform(
    effect: &Effect,
    desk: &Arc<Desk>,
    over: CancellationToken,
    mut request: Request,
    next: Next,
) -> Response {
    match effect {
        Effect::Delay { pause } => {
            tokio::time::sleep(*pause).await;
            answer(desk, request, next).await
        }
        Effect::Hold { released } => {
            released.cancelled().await;
            answer(desk, request, next).await
        }
        Effect::CutAfter => {
            answer(desk, request, next).await;
            Cut::Close.response()
        }
        Effect::CutDuring { bytes } if is_streamed(request.method(), request.uri().path()) => {
            let request = request.map(|whole| Body::new(CutShort::new(whole, *bytes)));
            answer(desk, request, next).await;
            Cut::Close.response()
        }
        Effect::Late { pause } => {
            act_later(desk, over, kept(request).await, next, *pause);
            Cut::Close.response()
        }
        Effect::Truncate => truncated(answer(desk, request, next).await).await,
        Effect::Drip { pause, bytes } => {
            let (response, whole) = collected(answer(desk, request, next).await).await;
            response.map(|_| Body::new(Drip::new(whole, *pause, *bytes)))
        }
        Effect::SlowBody { bytes_per_second } => {
            let request = request.map(|whole| Body::new(Slow::new(whole, *bytes_per_second)));
            answer(desk, request, next).await
        }
        Effect::Disguised { disguise, .. } => disguised(desk, answer(desk, request, next).await, *disguise),
        Effect::ListLag { lag } => {
            request.extensions_mut().insert(ListLag(*lag));
            answer(desk, request, next).await
        }
        Effect::ExpiredLink { status } => {
            marks::kill_link(desk, request.uri().path(), *status);
            answer(desk, request, next).await
        }
        Effect::Outcome { fate } => {
            let response = answer(desk, request, next).await;
            marks::doom(desk, &response, fate);
            response
        }
        Effect::Cut | Effect::Outage | Effect::Reset | Effect::Garbage => {
            // A connection that is closed on unread bytes is reset, so what is there is read away; but the end is not put
            // off for a body that takes its time.
            let (parts, sent) = request.into_parts();
            if let Ok(body) = timeout(GRACE, read_unless_waiting(&parts, sent)).await {
                note_body(desk, &parts, &body);
            }
            instead(effect, desk, &parts)
        }
        _ => {
            let (parts, sent) = request.into_parts();
            // A connection that is kept needs what was sent out of the way.
            note_body(desk, &parts, &read_unless_waiting(&parts, sent).await);
            instead(effect, desk, &parts)
        }
    }
}

// For how long a connection that is about to end is read from.
const GRACE: Duration = Duration::from_secs(1);

/// The body; none of one whose sender waits for leave, which reading would give.
async fn read_unless_waiting(parts: &Parts, sent: Body) -> Result<Bytes, Unreadable> {
    if parts.headers.contains_key(EXPECT) { Err(Unreadable) } else { body::read(sent).await }
}

/// The request with its body, which no longer needs the connection.
async fn kept(request: Request) -> Request {
    let (parts, sent) = request.into_parts();
    let body = match body::read_at_most(sent, body::PATIENCE_BYTES).await {
        Ok(whole) => Body::from(whole),
        Err(_) => Body::new(CutShort::new(Body::empty(), 0)),
    };
    Request::from_parts(parts, body)
}

/// Does what was asked after a while, unless the sandbox is stopped or reset before.
fn act_later(desk: &Arc<Desk>, over: CancellationToken, request: Request, next: Next, pause: Duration) {
    let later = Arc::clone(desk);
    desk.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = later.stopping.cancelled() => return,
            () = over.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        answer(&later, request, next).await;
        later.save().await;
    });
}

fn disguised(desk: &Desk, mut response: Response, disguise: Disguise) -> Response {
    let date = DateTimePrinter::new().timestamp_to_rfc9110_string(&desk.now()).ok();
    // What the HTTP library would have added.
    if let Some(date) = date.and_then(|date| HeaderValue::try_from(date).ok()) {
        response.headers_mut().insert(DATE, date);
    }
    response.extensions_mut().insert(disguise);
    response
}

/// The response with its length announced, and the body that is to be sent under it.
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
        // There is nothing to halve in an answer without a body, so all of it is lost.
        return Cut::Close.response();
    }
    response.map(|_| Body::new(Halved::new(&whole)))
}
