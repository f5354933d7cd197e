//! Lets a fault happen to a request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, DATE};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::bodies::{Drip, Halved};
use super::instead::instead;
use super::marks;
use super::uploads::{CutShort, Slow, is_streamed};
use super::{Disguise, Effect, ListLag};
use crate::body;
use crate::desk::Desk;
use crate::http::{answer, note_body};
use crate::server::Cut;

/// Answers a request in the way this fault wants.
pub(crate) async fn perform(effect: &Effect, desk: &Arc<Desk>, mut request: Request, next: Next) -> Response {
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
            act_later(desk, kept(request).await, next, *pause);
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
        Effect::Outcome { fate } => marks::doom(desk, answer(desk, request, next).await, fate).await,
        _ => {
            let (parts, sent) = request.into_parts();
            // A connection that is closed on unread bytes is reset, and one that is kept needs them out of the way.
            note_body(desk, &parts, &body::read(sent).await);
            instead(effect, desk, &parts)
        }
    }
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
fn act_later(desk: &Arc<Desk>, request: Request, next: Next, pause: Duration) {
    let over = desk.faults().over();
    let later = Arc::clone(desk);
    desk.tasks.spawn(async move {
        tokio::select! {
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
