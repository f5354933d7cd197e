//! The API router and its middleware.
//!
//! The middleware writes the request to the journal, injects a fault if one applies, counts the request against the
//! user's rate limit, checks the Accept header, and calls the handler.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, VARY, VIA};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, delete, get, post};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::ambient::iso_8601;
use crate::api_request::{Payload, RequestCaller};
use crate::app_state::{AppState, SaveOutcome};
use crate::body::{self, Counted, Unreadable};
use crate::catalogue;
use crate::credentials::Credentials;
use crate::errors;
use crate::faults;
use crate::fields::Fields;
use crate::journal::{CallerUris, NewEntry};
use crate::limits::{RateLimitStatus, RequestCost, Verdict};
use crate::oauth;
use crate::routes;
use crate::server::{ConnectionNumber, Cut};
use crate::state::Caller;
use crate::uploads;

/// Every route of the API.
pub(crate) fn router(app_state: Arc<AppState>) -> Router {
    Router::new()
        .route("/tutorial", get(catalogue::tutorial))
        .route("/contentratings", get(catalogue::content_ratings))
        .route("/creativecommons", get(catalogue::licenses))
        .route("/languages", get(catalogue::languages))
        .merge(oauth_routes())
        .merge(routes::own_routes("/me"))
        .merge(routes::own_routes("/users/{user}"))
        .merge(routes::video_routes())
        .merge(routes::file_routes())
        .route(uploads::TUS_ROUTE, any(uploads::tus::serve))
        .route(uploads::FORM_ROUTE, any(uploads::form::serve).layer(DefaultBodyLimit::disable()))
        .method_not_allowed_fallback(errors::method_not_allowed)
        .fallback(errors::not_found)
        .layer(from_fn_with_state(Arc::clone(&app_state), journal_middleware))
        .with_state(app_state)
}

fn oauth_routes() -> Router<Arc<AppState>> {
    Router::new()
        .route("/oauth/authorize", get(oauth::show_page).post(oauth::answer_page))
        .route("/oauth/authorize/client", post(oauth::authorize_client))
        .route("/oauth/access_token", post(oauth::exchange_code))
        .route("/oauth/device", post(oauth::start_device))
        .route("/oauth/device/authorize", get(oauth::show_code_form).post(oauth::poll_device))
        .route("/activate", get(oauth::show_code_form))
        .route("/oauth/verify", get(oauth::verify))
        .route("/tokens", delete(oauth::revoke))
}

/// Writes the request to the journal, applies a fault, and runs the handler in a task of its own: the request is
/// carried out even if its client disconnects.
async fn journal_middleware(
    State(app_state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let now = app_state.now();
    let (fault, reset) = {
        let mut faults = app_state.faults();
        (faults.take(request.method(), request.uri().path(), now), faults.reset())
    };
    let request_bytes = Arc::new(AtomicU64::new(0));
    let number = {
        let credentials = Credentials::of(request.headers());
        count_token(&app_state, &request, &credentials);
        let new = NewEntry {
            at: now,
            route: matched_route(&request),
            fault: fault.as_ref().map(faults::Effect::kind),
            connection: request.extensions().get().map_or(0, |ConnectionNumber(number)| *number),
            caller_uris: caller_uris(&app_state, &credentials),
            request_bytes: Arc::clone(&request_bytes),
            authorization: redacted_credentials(&app_state, &credentials),
            request: &request,
        };
        app_state.journal().add(&new)
    };
    let mut request = request.map(|body| Body::new(Counted::new(body, request_bytes)));
    request.extensions_mut().insert(EntryNumber(number));
    let mut client = WaitingClient {
        app_state: &app_state,
        number,
        disconnected: CancellationToken::new(),
        is_answered: false,
    };
    let (task_state, stopping, disconnected) =
        (Arc::clone(&app_state), app_state.stopping.clone(), client.disconnected.clone());
    let work = async move {
        let unwanted = unwanted_after_reset(reset.clone(), disconnected);
        let done = async {
            match fault {
                Some(effect) => faults::perform(&effect, &task_state, reset, request, next).await,
                None => answer(&task_state, request, next).await,
            }
        };
        let response = tokio::select! {
            biased;
            () = unwanted => Cut::Close.response(),
            response = done => response,
        };
        finish(&task_state, number, response).await
    };
    let task = app_state.tasks.spawn(async move { stopping.run_until_cancelled(work).await });
    let response = task.await.ok().flatten();
    client.is_answered = true;
    response.unwrap_or_else(|| Cut::Close.response())
}

/// Completes when a request must not be carried out any more: its client has disconnected, and the sandbox was reset
/// since it arrived, so that it would change the new state.
async fn unwanted_after_reset(reset: CancellationToken, disconnected: CancellationToken) {
    reset.cancelled().await;
    disconnected.cancelled().await;
}

/// A client that waits for a response. Dropped before the response was sent, it has disconnected.
struct WaitingClient<'a> {
    app_state: &'a AppState,
    number: u64,
    disconnected: CancellationToken,
    is_answered: bool,
}

impl Drop for WaitingClient<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.app_state.journal().mark_abandoned(self.number);
            self.disconnected.cancel();
        }
    }
}

/// Saves what a request has changed, and records the response in the journal.
async fn finish(app_state: &AppState, number: u64, mut response: Response) -> Response {
    // A change that could not be saved must not be acknowledged.
    if app_state.save().await == SaveOutcome::InMemoryOnly {
        uploads::revoke_ack(&mut response);
    }
    add_common_headers(number, response.headers_mut());
    let status = response.extensions().get::<Cut>().is_none().then(|| response.status().as_u16());
    let now = app_state.now();
    app_state.journal().finish(number, status, now);
    response
}

/// The number of a request in the journal.
#[derive(Clone, Copy)]
struct EntryNumber(u64);

/// Counts an API request that carries a known token. Unknown ones are not counted: there may be any number of them.
fn count_token(app_state: &AppState, request: &Request, credentials: &Credentials) {
    if let Credentials::Token(token) = credentials
        && !uploads::is_link(request.uri().path())
        && app_state.vimeo().knows_token(token)
    {
        let now = app_state.now();
        app_state.token_usage().count(token, now);
    }
}

/// The caller, for the journal.
fn caller_uris(app_state: &AppState, credentials: &Credentials) -> CallerUris {
    if let Credentials::Client { client_id, client_secret } = credentials {
        let found = app_state.vimeo().find_client(client_id, client_secret);
        return CallerUris { user: None, app: found.ok().map(|app| app.id.to_string()) };
    }
    find_caller(app_state, credentials).map(|caller| CallerUris::from(&caller)).unwrap_or_default()
}

/// The credentials for the journal. A client identifier is shown only if it is a known one: clients confuse theirs with
/// secrets.
fn redacted_credentials(app_state: &AppState, credentials: &Credentials) -> Value {
    credentials.to_journal(|client_id| app_state.vimeo().list_apps().any(|app| app.client_id == client_id))
}

/// Records the body of a request in the journal, unless it was sent to an upload link.
pub(crate) fn record_body(app_state: &AppState, request: &Parts, body: &Result<Bytes, Unreadable>) {
    if !uploads::is_link(request.uri.path())
        && let (Some(EntryNumber(number)), Ok(body)) = (request.extensions.get(), body)
    {
        app_state.journal().record_body(*number, &request.headers, body);
    }
}

/// The caller of a valid token. In open mode an unknown token becomes a guest's.
pub(crate) fn authenticate(app_state: &AppState, credentials: &Credentials) -> Option<Caller> {
    if let Credentials::Token(token) = credentials
        && app_state.vimeo().accepts_guest(token)
    {
        app_state.vimeo().add_guest_token(token);
    }
    find_caller(app_state, credentials)
}

/// The caller of a valid token.
fn find_caller(app_state: &AppState, credentials: &Credentials) -> Option<Caller> {
    let Credentials::Token(token) = credentials else { return None };
    let now = app_state.now();
    app_state.vimeo().find_caller(token, now)
}

fn matched_route(request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>()?;
    Some(format!("{} {}", request.method(), path.as_str()))
}

/// Responds as Vimeo does without a fault.
pub(crate) async fn answer(app_state: &AppState, request: Request, next: Next) -> Response {
    if uploads::is_link(request.uri().path()) {
        // Upload links need no token and are not rate-limited, and their bodies are not held in memory.
        return next.run(request).await;
    }
    let (mut parts, sent) = request.into_parts();
    // Read completely before any error response, so that the client's connection stays usable.
    let payload = Payload(body::read(sent).await);
    record_body(app_state, &parts, &payload.0);
    let credentials = Credentials::of(&parts.headers);
    let now = app_state.now();
    let caller = authenticate(app_state, &credentials);
    if let (Some(caller), Some(EntryNumber(number))) = (&caller, parts.extensions.get()) {
        // A guest was unknown when the request arrived.
        app_state.journal().record_caller(*number, CallerUris::from(caller));
    }
    let rate_limit =
        caller.as_ref().map(|caller| app_state.rate_limits().count(&caller.payer, weight(&parts.uri), now));
    let mut response = match rate_limit {
        Some(RateLimitStatus { verdict: Verdict::TooMany, .. }) => {
            if let Some(caller) = &caller {
                app_state.token_usage().count_refusal(&caller.token.value);
            }
            errors::too_many_requests()
        }
        _ if !accept::is_understood(&parts.headers) => errors::bad_accept(),
        _ => {
            parts.extensions.insert(credentials);
            parts.extensions.insert(RequestCaller(caller));
            parts.extensions.insert(payload);
            next.run(Request::from_parts(parts, Body::empty())).await
        }
    };
    if let Some(rate_limit) = rate_limit {
        add_rate_headers(rate_limit, response.headers_mut());
    }
    response
}

/// What a request costs.
pub(crate) fn weight(uri: &Uri) -> RequestCost {
    if Fields::of_query(uri.query()).are_named() { RequestCost::WithFields } else { RequestCost::Whole }
}

/// The three rate limit headers.
pub(crate) fn add_rate_headers(rate_limit: RateLimitStatus, headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(rate_limit.limit));
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(rate_limit.remaining));
    if let Ok(reset) = HeaderValue::try_from(iso_8601(rate_limit.reset_at)) {
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), reset);
    }
}

/// Headers that Vimeo's servers and caches add to every response. The hash is the request's number in the journal.
fn add_common_headers(number: u64, headers: &mut HeaderMap) {
    let constant = [
        (CACHE_CONTROL, "private, no-store, no-cache"),
        (VARY, "Accept,Vimeo-Client-Id"),
        (VIA, "1.1 varnish"),
        (HeaderName::from_static("x-vimeo-dc"), "sandbox"),
        (HeaderName::from_static("x-bapp-server"), "sandbox"),
    ];
    for (name, value) in constant {
        // Headers of an endpoint or a fault take precedence.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(hash) = HeaderValue::try_from(format!("{number:08x}")) {
        headers.entry(HeaderName::from_static("request-hash")).or_insert(hash);
    }
}
