//! The responses of faults that do not run the handler.

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::Effect;
use super::bodies::HugeBody;
use super::effect::{Spending, StatusBody};
use super::raw::GARBAGE;
use crate::app_state::AppState;
use crate::credentials::Credentials;
use crate::errors;
use crate::http::{add_rate_headers, authenticate, weight};
use crate::limits::{RateLimitStatus, Verdict};
use crate::server::Cut;
use crate::state::User;
use crate::uploads;

const PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>Vimeo</title></head>\n\
    <body><h1>Sorry, there was a problem.</h1><p>Please try again in a moment.</p></body></html>\n";

pub(super) fn instead(effect: &Effect, app_state: &AppState, request: &Parts) -> Response {
    match effect {
        Effect::Status { status, headers, said } => {
            let mut response = match said {
                StatusBody::Code(code) => errors::with_code(*status, *code),
                StatusBody::Usual if uploads::is_link(request.uri.path()) => {
                    uploads::text(*status, errors::FAULT_TEXT)
                }
                StatusBody::Usual | StatusBody::Body(_) => errors::of_status(*status),
            };
            if let StatusBody::Body(body) = said {
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
            let reset_at = later(app_state.now(), *reset);
            limited(app_state, request, reset_at, *spending)
        }
        Effect::WrongJson { body } => typed(StatusCode::OK, "application/json", Body::from(body.clone())),
        Effect::Empty { status } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *status;
            response
        }
        Effect::HugeBody { bytes } => {
            typed(StatusCode::OK, "application/json", Body::new(HugeBody::new(*bytes)))
        }
        Effect::Redirect { status, headers } => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = *status;
            *response.headers_mut() = headers.clone();
            response
        }
        Effect::Reset => Cut::Reset.response(),
        Effect::Garbage => Cut::Instead(Bytes::from_static(GARBAGE)).response(),
        // All but the first three run the handler. They are performed elsewhere.
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
        | Effect::Raw { .. }
        | Effect::ListLag { .. }
        | Effect::ExpiredLink { .. }
        | Effect::Outcome { .. } => Cut::Close.response(),
    }
}

/// Reports a reached rate limit, and uses it up if the fault says so and the caller is known.
fn limited(app_state: &AppState, request: &Parts, reset_at: Timestamp, spending: Spending) -> Response {
    let mut response = errors::too_many_requests();
    // An unknown caller has no rate limit headers.
    let Some(payer) = payer(app_state, &Credentials::of(&request.headers)) else { return response };
    let mut rate_limits = app_state.rate_limits();
    if spending == Spending::Real {
        rate_limits.spend(&payer, reset_at);
    }
    let limit = rate_limits.limit(&payer, weight(&request.uri));
    add_rate_headers(
        RateLimitStatus { limit, remaining: 0, reset_at, verdict: Verdict::TooMany },
        response.headers_mut(),
    );
    response
}

/// The user whose rate limit a request counts against, by a token or by an app's credentials.
fn payer(app_state: &AppState, credentials: &Credentials) -> Option<User> {
    if let Credentials::Client { client_id, client_secret } = credentials {
        let vimeo_state = app_state.vimeo();
        let app = vimeo_state.find_client(client_id, client_secret).ok()?;
        return vimeo_state.find_user(app.owner).cloned();
    }
    authenticate(app_state, credentials).map(|caller| caller.payer)
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
