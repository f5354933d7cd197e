//! What every request goes through: an id, a log line, the headers that every response carries.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;

use app::Caller;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::id::ApiKeyId;
use domain::time::Timestamp;
use futures_util::FutureExt as _;
use tracing::Instrument as _;

use crate::auth::CallerSlot;
use crate::client_address::ClientIp;
use crate::error::{Code, Problem, internal_error};
use crate::host::check_host;
use crate::{OverCapacity, Settings, Shared, Transport, leftover};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX_CHARS: usize = 64;
/// A year, for this host alone: others below the same domain are not ours to speak for.
const HSTS: &str = "max-age=31536000";

/// Around every request.
pub(crate) async fn observe(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), &shared.settings);
    let caller = CallerSlot::default();
    request.extensions_mut().insert(caller.clone());
    let client = shared.settings.client_address.of_request(&request);
    request.extensions_mut().insert(ClientIp(client));
    let is_over_capacity = request.extensions().get::<OverCapacity>().is_some();
    let mut line = LogLine {
        client,
        route: request.extensions().get::<MatchedPath>().map_or("-", |path| path.as_str()).to_owned(),
        method: request.method().clone(),
        started_at: shared.clock.now(),
        caller,
        status: None,
        clock: shared.clock.clone(),
    };
    let (request, leftover) = leftover::lend(request);
    let span = tracing::info_span!("request", request_id = %id);
    let handled = async move {
        tracing::debug!(method = %line.method, route = line.route, "begun");
        let refusal = match check_host(request.version(), request.headers()) {
            Ok(()) if is_over_capacity && !is_probe(&line.route) => Some(Problem::overloaded()),
            checked => checked.err(),
        };
        let mut response = match refusal {
            None => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => finish(response, &id),
                Err(_) => internal_error(&id),
            },
            Some(problem) => problem.into_response(),
        };
        line.status = Some(response.status());
        drop(line);
        if let Some(leftover) = leftover {
            leftover.discard(&mut response).await;
        }
        if is_over_capacity {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        with_common_headers(response, &id, shared.settings.transport)
    };
    handled.instrument(span).await
}

/// The client's own id if it is one that can be logged and sent back as it is.
fn request_id(headers: &HeaderMap, settings: &Settings) -> String {
    let is_plain = |id: &&str| {
        (1..=REQUEST_ID_MAX_CHARS).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_plain);
    own.map_or_else(|| format!("req_{:032x}", u128::from_be_bytes((settings.request_ids.0)())), str::to_owned)
}

/// Gives the router's own answers the body that they lack. The router adds `Allow` when this is done.
fn finish(response: Response, request_id: &str) -> Response {
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            instead_of(&response, Problem::from(Code::MethodNotAllowed).into_response())
        }
        StatusCode::INTERNAL_SERVER_ERROR => instead_of(&response, internal_error(request_id)),
        _ => response,
    }
}

/// An answer that takes another's place, and keeps what a browser must know to read it.
fn instead_of(replaced: &Response, mut response: Response) -> Response {
    let is_for_browsers = |name: &HeaderName| name == VARY || name.as_str().starts_with("access-control-");
    let kept = replaced.headers().iter().filter(|(name, _)| is_for_browsers(name));
    response.headers_mut().extend(kept.map(|(name, value)| (name.clone(), value.clone())));
    response
}

fn with_common_headers(mut response: Response, request_id: &str, transport: Transport) -> Response {
    let headers = response.headers_mut();
    if transport == Transport::Tls {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static(HSTS));
    }
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if headers.contains_key(CONTENT_TYPE) {
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    }
    response
}

/// One line a request, written when it is over: answered, or dropped because the client hung up or the service stops.
struct LogLine {
    client: Option<IpAddr>,
    route: String,
    method: Method,
    started_at: Timestamp,
    caller: CallerSlot,
    status: Option<StatusCode>,
    clock: app::Clock,
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let micros = self.clock.now().as_micros() - self.started_at.as_micros();
        let caller = self.caller.0.get();
        // One line for both levels, which the library wants as constants.
        macro_rules! write_line {
            ($level:ident) => {
        tracing::$level!(
            method = %self.method,
            route = self.route,
            client_address = self.client.map(tracing::field::display),
            status = self.status.map(|status| status.as_u16()),
            duration_micros = micros,
            account = caller.map(|caller| caller.account_id.as_str()),
            api_key = caller.and_then(Caller::key_id).map(ApiKeyId::as_str),
            "{}",
            if self.status.is_some() { "answered" } else { "aborted: client disconnected or shutdown" }
        )
            };
        }
        // Probes come every few seconds for as long as the service runs.
        if is_probe(&self.route) {
            write_line!(debug);
        } else {
            write_line!(info);
        }
    }
}

/// Whether a route is asked by supervisors and load balancers, to see whether the service works.
fn is_probe(route: &str) -> bool {
    matches!(route, "/health/live" | "/health/ready")
}
