//! Lets a fault happen to a request.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};

use super::Effect;
use super::bodies::{Drip, Halved, Huge};
use crate::body;
use crate::desk::Desk;
use crate::errors;
use crate::http::{add_rate_headers, answer, weight};
use crate::limits::{Standing, Verdict, Weight};
use crate::server::Cut;

const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Vimeo</title></head>\n\
    <body><h1>Sorry, there was a problem.</h1><p>Please try again in a moment.</p></body></html>\n";

/// Answers a request in the way this fault wants.
pub(crate) async fn perform(effect: &Effect, desk: &Desk, request: Request, next: Next) -> Response {
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
        Effect::Truncate => truncated(answer(desk, request, next).await).await,
        Effect::Drip { pause } => {
            let (response, whole) = collected(answer(desk, request, next).await).await;
            response.map(|_| Body::new(Drip::new(whole, *pause)))
        }
        _ => {
            let weight = weight(request.uri());
            // A connection that is closed on unread bytes is reset, and one that is kept needs them out of the way.
            let _ = body::read(request.into_body()).await;
            instead(effect, desk, weight)
        }
    }
}

/// What is said instead of an answer, by the faults that keep the API from acting.
fn instead(effect: &Effect, desk: &Desk, weight: Weight) -> Response {
    match effect {
        Effect::Status { status, headers, body } => {
            let mut response = errors::of_status(*status);
            if let Some(body) = body {
                *response.body_mut() = Body::from(body.clone());
            }
            for (name, value) in headers {
                response.headers_mut().insert(name, value.clone());
            }
            response
        }
        Effect::Html { status } => typed(*status, "text/html; charset=UTF-8", Body::from(PAGE)),
        Effect::RateLimit { reset } => {
            let mut response = errors::too_many_requests();
            let limit = desk.windows().default_limit(weight);
            let standing = Standing {
                limit,
                remaining: 0,
                reset_at: later(desk.now(), *reset),
                verdict: Verdict::TooMany,
            };
            add_rate_headers(standing, response.headers_mut());
            response
        }
        Effect::WrongJson { body } => typed(StatusCode::OK, "application/json", Body::from(body.clone())),
        Effect::Empty { status } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *status;
            response
        }
        Effect::Huge { bytes } => typed(StatusCode::OK, "application/json", Body::new(Huge::new(*bytes))),
        Effect::Redirect { status, headers } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *status;
            *response.headers_mut() = headers.clone();
            response
        }
        Effect::Reset => Cut::Reset.response(),
        // The later five act, and were performed above.
        Effect::Cut
        | Effect::CutAfter
        | Effect::Delay { .. }
        | Effect::Hold { .. }
        | Effect::Truncate
        | Effect::Drip { .. } => Cut::Close.response(),
    }
}

fn typed(status: StatusCode, content_type: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn later(now: Timestamp, by: std::time::Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| now.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
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
