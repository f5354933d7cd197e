//! The middleware of all requests: request ID, log line, common headers.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, STRICT_TRANSPORT_SECURITY, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use domain::id::ApiKeyId;
use domain::time::Timestamp;
use futures_util::FutureExt as _;
use metrics::{RequestInFlight, RequestLabels, record_request};
use tracing::{Instrument as _, Span};

use crate::auth::CallerSlot;
use crate::client_address::ClientIp;
use crate::error::{Code, Problem, internal_error};
use crate::gate::Full;
use crate::host::check_host;
use crate::{LimitExceeded, OverCapacity, Settings, Shared, Transport, body_drain, rate_headers};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const REQUEST_ID_MAX_CHARS: usize = 64;
/// The route of a request that matches none, in the log and as a label of metrics.
const NO_ROUTE: &str = "-";
/// One year, for this host only: the service does not control the rest of the domain.
const HSTS: &str = "max-age=31536000";

/// The ID of a request. Added to it before routing.
#[derive(Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// The middleware of all requests.
pub(crate) async fn observe(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers(), &shared.settings);
    let caller = CallerSlot::default();
    request.extensions_mut().insert(caller.clone());
    request.extensions_mut().insert(RequestId(id.clone()));
    let client = shared.settings.client_address.get().of_request(&request);
    request.extensions_mut().insert(ClientIp(client));
    let is_over_capacity = request.extensions().get::<OverCapacity>().is_some();
    let route = Route(request.extensions().get::<MatchedPath>().cloned());
    let trace = if route.is_probe() {
        Span::none()
    } else {
        (shared.settings.request_spans.0)(request.headers(), method_label(request.method()), route.as_str())
    };
    let mut log = RequestLog {
        client,
        route,
        method: request.method().clone(),
        started_at: shared.clock.now(),
        caller,
        status: None,
        clock: shared.clock.clone(),
        _in_flight: RequestInFlight::start(),
        trace: trace.clone(),
    };
    let (request, drain) = body_drain::split(request);
    let span = tracing::info_span!("request", request_id = %id);
    trace.record("request_id", &*id);
    let handled = async move {
        tracing::debug!(method = %log.method, route = log.route.as_str(), "started");
        let admitted = match check_host(request.version(), request.headers()) {
            Err(problem) => Err(problem),
            Ok(()) if log.route.is_probe() => Ok(None),
            Ok(()) if is_over_capacity => Err(Problem::overloaded()),
            Ok(()) => {
                let admitted = shared.gate.admit(&log.method, shared.app.waiting_for_vimeo());
                admitted.map(Some).map_err(|Full| Problem::overloaded())
            }
        };
        let mut response = match admitted {
            Ok(_admitted) => match AssertUnwindSafe(next.run(request)).catch_unwind().await {
                Ok(response) => fill_router_error(response, &id),
                Err(_) => internal_error(&id),
            },
            Err(problem) => problem.into_response(),
        };
        if let Some(report) = log.caller.0.rates.get() {
            rate_headers::insert(response.headers_mut(), report);
            if report.retry_after_seconds.is_some() {
                response.extensions_mut().insert(LimitExceeded);
            }
        }
        log.status = Some(response.status());
        drop(log);
        if let Some(drain) = drain {
            drain.drain(&mut response).await;
        }
        if is_over_capacity {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        with_common_headers(response, &id, shared.settings.transport)
    };
    // A disabled span costs something at each poll.
    if trace.is_disabled() {
        handled.instrument(span).await
    } else {
        handled.instrument(trace).instrument(span).await
    }
}

/// The client's own ID, if it is safe to log and echo; else a new one.
fn request_id(headers: &HeaderMap, settings: &Settings) -> String {
    let is_plain = |id: &&str| {
        (1..=REQUEST_ID_MAX_CHARS).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(is_plain);
    own.map_or_else(|| format!("req_{:032x}", u128::from_be_bytes((settings.request_ids.0)())), str::to_owned)
}

/// Adds the missing body to errors of the router. The router adds `Allow` afterwards.
fn fill_router_error(response: Response, request_id: &str) -> Response {
    match response.status() {
        // A page for a browser.
        _ if is_html(&response) => response,
        StatusCode::METHOD_NOT_ALLOWED => {
            replace_response(&response, Problem::from(Code::MethodNotAllowed).into_response())
        }
        StatusCode::INTERNAL_SERVER_ERROR => replace_response(&response, internal_error(request_id)),
        _ => response,
    }
}

fn is_html(response: &Response) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/html"))
}

/// Replaces a response, but keeps the headers that browsers need to read it.
fn replace_response(replaced: &Response, mut response: Response) -> Response {
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
    // Only what never changes may be cached.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if headers.contains_key(CONTENT_TYPE) {
        headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    }
    response
}

/// One log line and the metrics of a request, written when it ends: answered, or dropped because of a disconnect or shutdown.
struct RequestLog {
    client: Option<IpAddr>,
    route: Route,
    method: Method,
    started_at: Timestamp,
    caller: CallerSlot,
    status: Option<StatusCode>,
    clock: app::Clock,
    _in_flight: RequestInFlight,
    trace: Span,
}

impl Drop for RequestLog {
    fn drop(&mut self) {
        let micros = self.clock.now().as_micros() - self.started_at.as_micros();
        let labels = RequestLabels {
            method: method_label(&self.method),
            route: self.route.as_str(),
            status: self.status.as_ref().map_or("aborted", StatusCode::as_str),
        };
        self.trace.record("http.response.status_code", labels.status);
        if labels.status.starts_with('5') {
            self.trace.record("otel.status_code", "ERROR");
        }
        record_request(labels, Duration::from_micros(u64::try_from(micros).unwrap_or(0)));
        let caller = self.caller.0.caller.get();
        // `tracing` requires constant levels.
        macro_rules! write_line {
            ($level:ident) => {
        tracing::$level!(
            method = %self.method,
            route = self.route.as_str(),
            client_address = self.client.map(tracing::field::display),
            status = self.status.map(|status| status.as_u16()),
            duration_micros = micros,
            account = caller.map(|caller| caller.account_id.as_str()),
            api_key = caller.and_then(|caller| caller.key_id()).map(ApiKeyId::as_str),
            "{}",
            if self.status.is_some() { "answered" } else { "aborted: client disconnected or shutdown" }
        )
            };
        }
        // Probes arrive every few seconds.
        if self.route.is_probe() {
            write_line!(debug);
        } else {
            write_line!(info);
        }
    }
}

/// A method as a label of metrics. A client may send any word as a method.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The template of the matched route, if there is one.
struct Route(Option<MatchedPath>);

impl Route {
    fn as_str(&self) -> &str {
        self.0.as_ref().map_or(NO_ROUTE, MatchedPath::as_str)
    }

    /// Whether it is used by health probes.
    fn is_probe(&self) -> bool {
        matches!(self.as_str(), "/health/live" | "/health/ready")
    }
}
