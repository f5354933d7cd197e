//! What is said instead of an answer, by the faults that keep the API from acting.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::Effect;
use super::bodies::Huge;
use super::effect::{Said, Spending};
use super::raw::GARBAGE;
use crate::credentials::Credentials;
use crate::desk::Desk;
use crate::errors;
use crate::http::{add_rate_headers, recognize, weight};
use crate::limits::{Standing, Verdict};
use crate::server::Cut;
use crate::state::User;
use crate::uploads;

const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Vimeo</title></head>\n\
    <body><h1>Sorry, there was a problem.</h1><p>Please try again in a moment.</p></body></html>\n";

pub(super) fn instead(effect: &Effect, desk: &Desk, request: &Parts) -> Response {
    match effect {
        Effect::Status { status, headers, said } => {
            let mut response = match said {
                Said::Code(code) => errors::with_code(*status, *code),
                Said::Usual if uploads::is_link(request.uri.path()) => {
                    uploads::text(*status, errors::TOLD_TO)
                }
                Said::Usual | Said::Body(_) => errors::of_status(*status),
            };
            if let Said::Body(body) = said {
                response.headers_mut().remove(errors::ERROR_CODE);
                *response.body_mut() = Body::from(body.clone());
            }
            for (name, value) in headers {
                response.headers_mut().insert(name, value.clone());
            }
            response
        }
        Effect::Html { status } => typed(*status, "text/html; charset=UTF-8", Body::from(PAGE)),
        Effect::RateLimit { reset, spending } => {
            let reset_at = later(desk.now(), *reset);
            limited(desk, request, reset_at, *spending)
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
        Effect::Garbage => Cut::Instead(Bytes::from_static(GARBAGE)).response(),
        // All but the first three act, and were performed elsewhere.
        Effect::Cut
        | Effect::Outage
        | Effect::CutDuring { .. }
        | Effect::CutAfter
        | Effect::Late { .. }
        | Effect::Delay { .. }
        | Effect::Hold { .. }
        | Effect::Truncate
        | Effect::Drip { .. }
        | Effect::SlowBody { .. }
        | Effect::Disguised { .. }
        | Effect::ListLag { .. }
        | Effect::ExpiredLink { .. }
        | Effect::Outcome { .. } => Cut::Close.response(),
    }
}

/// Says that the caller's window is spent, and spends it, if that is wanted and there is a caller.
fn limited(desk: &Desk, request: &Parts, reset_at: Timestamp, spending: Spending) -> Response {
    let mut response = errors::too_many_requests();
    // Nobody is told whose window it is if nobody is known.
    let Some(payer) = payer(desk, &Credentials::of(&request.headers)) else { return response };
    let mut windows = desk.windows();
    if spending == Spending::Real {
        windows.spend(&payer, reset_at);
    }
    let limit = windows.limit(&payer, weight(&request.uri));
    add_rate_headers(
        Standing { limit, remaining: 0, reset_at, verdict: Verdict::TooMany },
        response.headers_mut(),
    );
    response
}

/// Whose window a request would spend, by a token or by an app's own credentials.
fn payer(desk: &Desk, credentials: &Credentials) -> Option<User> {
    if let Credentials::Client { client_id, client_secret } = credentials {
        let world = desk.world();
        let app = world.find_client(client_id, client_secret).ok()?;
        return world.find_user(app.owner).cloned();
    }
    recognize(desk, credentials).map(|caller| caller.payer)
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
