//! The API's side of the server: its routes, and what every request passes on its way in and out.
//!
//! A request is journalled, then a fault may befall it, then it is counted against its user's window, then its
//! Accept header is read, and then it is answered.

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
use axum::routing::{any, delete, get, post, put};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::accept;
use crate::ambient::iso_8601;
use crate::ask::{Payload, Visitor};
use crate::body::{self, Counted, Unreadable};
use crate::catalogue;
use crate::credentials::Credentials;
use crate::desk::{Desk, Kept};
use crate::errors;
use crate::faults;
use crate::fields::Fields;
use crate::folders;
use crate::journal::{Arrival, Asker};
use crate::limits::{Standing, Verdict, Weight};
use crate::oauth;
use crate::server::{ConnectionNumber, Cut};
use crate::state::Caller;
use crate::uploads;
use crate::users;
use crate::videos;

/// Every route of the API.
pub(crate) fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/tutorial", get(catalogue::tutorial))
        .route("/contentratings", get(catalogue::content_ratings))
        .route("/creativecommons", get(catalogue::licenses))
        .route("/languages", get(catalogue::languages))
        .merge(oauth_routes())
        .merge(own_routes("/me"))
        .merge(own_routes("/users/{user}"))
        .merge(video_routes())
        .route(uploads::TUS_ROUTE, any(uploads::tus::serve))
        .route(uploads::FORM_ROUTE, any(uploads::form::serve).layer(DefaultBodyLimit::disable()))
        .method_not_allowed_fallback(errors::method_not_allowed)
        .fallback(errors::not_found)
        .layer(from_fn_with_state(Arc::clone(&desk), attend))
        .with_state(desk)
}

fn oauth_routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/oauth/authorize", get(oauth::show_page).post(oauth::answer_page))
        .route("/oauth/authorize/client", post(oauth::authorize_client))
        .route("/oauth/access_token", post(oauth::exchange_code))
        .route("/oauth/device", post(oauth::begin_device))
        .route("/oauth/device/authorize", get(oauth::ask_for_code).post(oauth::poll_device))
        .route("/activate", get(oauth::ask_for_code))
        .route("/oauth/verify", get(oauth::verify))
        .route("/tokens", delete(oauth::revoke))
}

/// What a user has. Folders have two names.
fn own_routes(user: &str) -> Router<Arc<Desk>> {
    let mut router = Router::new()
        .route(user, get(users::show))
        .route(&format!("{user}/videos"), get(videos::list).post(videos::create))
        .route(
            &format!("{user}/videos/{{video}}"),
            get(videos::show).patch(videos::edit).delete(videos::delete),
        )
        .route(&format!("{user}/presets"), get(videos::list_presets))
        .route(&format!("{user}/presets/{{preset}}"), get(videos::show_preset));
    for name in ["projects", "folders"] {
        let folders = format!("{user}/{name}");
        let folder = format!("{folders}/{{folder}}");
        router = router
            .route(&folders, get(folders::list).post(folders::create))
            .route(&folder, get(folders::show).patch(folders::edit).delete(folders::delete))
            .route(&format!("{folder}/items"), get(folders::list_items))
            .route(&format!("{folder}/folders"), get(folders::list_subfolders))
            .route(
                &format!("{folder}/videos"),
                get(folders::list_videos).put(folders::put_videos).delete(folders::remove_videos),
            )
            .route(
                &format!("{folder}/videos/{{video}}"),
                put(folders::put_video).delete(folders::remove_video),
            );
    }
    router
}

fn video_routes() -> Router<Arc<Desk>> {
    Router::new()
        .route("/videos/{video}", get(videos::show).patch(videos::edit).delete(videos::delete))
        .route("/videos/{video}/versions", get(videos::list_versions).post(videos::create_version))
        .route(
            "/videos/{video}/versions/{version}",
            get(videos::show_version).patch(videos::edit_version).delete(videos::delete_version),
        )
        .route("/videos/{video}/privacy/domains", get(videos::list_domains))
        .route(
            "/videos/{video}/privacy/domains/{domain}",
            put(videos::add_domain).delete(videos::remove_domain),
        )
        .route(
            "/videos/{video}/presets/{preset}",
            get(videos::show_preset_of_video).put(videos::set_preset).delete(videos::remove_preset),
        )
        .route("/videos/{video}/pictures", get(videos::list_pictures).post(videos::create_picture))
        .route(
            "/videos/{video}/pictures/{picture}",
            get(videos::show_picture).patch(videos::edit_picture).delete(videos::delete_picture),
        )
}

/// Journals a request, lets a fault befall it, and has it answered: apart from its connection, because what was asked
/// is done also when its client has given up on the answer.
async fn attend(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let now = desk.now();
    let (fault, over) = {
        let mut faults = desk.faults();
        (faults.take(request.method(), request.uri().path(), now), faults.over())
    };
    let request_bytes = Arc::new(AtomicU64::new(0));
    let number = {
        let credentials = Credentials::of(request.headers());
        let arrival = Arrival {
            at: now,
            route: matched_route(&request),
            fault: fault.as_ref().map(faults::Effect::kind),
            connection: request.extensions().get().map_or(0, |ConnectionNumber(number)| *number),
            asker: asker(&desk, &credentials),
            request_bytes: Arc::clone(&request_bytes),
            authorization: shown_credentials(&desk, &credentials),
            request: &request,
        };
        desk.journal().arrive(&arrival)
    };
    let mut request = request.map(|body| Body::new(Counted::new(body, request_bytes)));
    request.extensions_mut().insert(EntryNumber(number));
    let mut client = Client { desk: &desk, number, left: CancellationToken::new(), has_heard: false };
    let (at_work, stopping, left) = (Arc::clone(&desk), desk.stopping.clone(), client.left.clone());
    let work = async move {
        let pointless = nobody_wants(over.clone(), left);
        let done = async {
            match fault {
                Some(effect) => faults::perform(&effect, &at_work, over, request, next).await,
                None => answer(&at_work, request, next).await,
            }
        };
        let response = tokio::select! {
            biased;
            () = pointless => Cut::Close.response(),
            response = done => response,
        };
        finish(&at_work, number, response).await
    };
    let task = desk.tasks.spawn(async move { stopping.run_until_cancelled(work).await });
    let response = task.await.ok().flatten();
    client.has_heard = true;
    response.unwrap_or_else(|| Cut::Close.response())
}

/// Ends when a request need not be done any more: its client has left, and the sandbox was reset since it came, so that
/// what it asked for would befall somebody else's world.
async fn nobody_wants(over: CancellationToken, left: CancellationToken) {
    over.cancelled().await;
    left.cancelled().await;
}

/// Who waits for an answer. Dropped before it was heard, it was given up.
struct Client<'a> {
    desk: &'a Desk,
    number: u64,
    left: CancellationToken,
    has_heard: bool,
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        if !self.has_heard {
            self.desk.journal().abandon(self.number);
            self.left.cancel();
        }
    }
}

/// Keeps what a request has changed, and enters how it ended.
async fn finish(desk: &Desk, number: u64, mut response: Response) -> Response {
    // What was answered is kept. What could not be must not be promised.
    if desk.save().await == Kept::InMemoryOnly {
        uploads::take_back(&mut response);
    }
    add_house_headers(number, response.headers_mut());
    let status = response.extensions().get::<Cut>().is_none().then(|| response.status().as_u16());
    let now = desk.now();
    desk.journal().settle(number, status, now);
    response
}

/// The number of a request in the journal.
#[derive(Clone, Copy)]
struct EntryNumber(u64);

/// Who asks, for the journal.
fn asker(desk: &Desk, credentials: &Credentials) -> Asker {
    if let Credentials::Client { client_id, client_secret } = credentials {
        let found = desk.world().find_client(client_id, client_secret);
        return Asker { user: None, app: found.ok().map(|app| app.id.to_string()) };
    }
    find_caller(desk, credentials).map(|caller| Asker::from(&caller)).unwrap_or_default()
}

/// What is said of credentials in the journal. A client identifier is shown if it is one: people mix theirs up.
fn shown_credentials(desk: &Desk, credentials: &Credentials) -> Value {
    credentials.to_journal(|client_id| desk.world().list_apps().any(|app| app.client_id == client_id))
}

/// Enters the body of a request in the journal.
pub(crate) fn note_body(desk: &Desk, request: &Parts, body: &Result<Bytes, Unreadable>) {
    if let (Some(EntryNumber(number)), Ok(body)) = (request.extensions.get(), body) {
        desk.journal().note_body(*number, &request.headers, body);
    }
}

/// Who stands behind a good token, with a welcome for those who come for the first time.
pub(crate) fn recognize(desk: &Desk, credentials: &Credentials) -> Option<Caller> {
    if let Credentials::Token(token) = credentials
        && desk.world().would_welcome(token)
    {
        desk.world().welcome(token);
    }
    find_caller(desk, credentials)
}

/// Who stands behind a good token.
fn find_caller(desk: &Desk, credentials: &Credentials) -> Option<Caller> {
    let Credentials::Token(token) = credentials else { return None };
    let now = desk.now();
    desk.world().find_caller(token, now)
}

fn matched_route(request: &Request) -> Option<String> {
    let path = request.extensions().get::<MatchedPath>()?;
    Some(format!("{} {}", request.method(), path.as_str()))
}

/// Answers as Vimeo does when nothing is wrong with it.
pub(crate) async fn answer(desk: &Desk, request: Request, next: Next) -> Response {
    if uploads::is_link(request.uri().path()) {
        // Whoever has a link may use it, as often as they like, and what they send is not held in memory.
        return next.run(request).await;
    }
    let (mut parts, sent) = request.into_parts();
    // Read whole before anything is refused, so that a refused client's connection stays usable.
    let payload = Payload(body::read(sent).await);
    note_body(desk, &parts, &payload.0);
    let credentials = Credentials::of(&parts.headers);
    let now = desk.now();
    let caller = recognize(desk, &credentials);
    if let (Some(caller), Some(EntryNumber(number))) = (&caller, parts.extensions.get()) {
        // A guest was not known yet when the request arrived.
        desk.journal().note_asker(*number, Asker::from(caller));
    }
    let standing = caller.as_ref().map(|caller| desk.windows().count(&caller.payer, weight(&parts.uri), now));
    let mut response = match standing {
        Some(Standing { verdict: Verdict::TooMany, .. }) => errors::too_many_requests(),
        _ if !accept::is_understood(&parts.headers) => errors::bad_accept(),
        _ => {
            parts.extensions.insert(credentials);
            parts.extensions.insert(Visitor(caller));
            parts.extensions.insert(payload);
            next.run(Request::from_parts(parts, Body::empty())).await
        }
    };
    if let Some(standing) = standing {
        add_rate_headers(standing, response.headers_mut());
    }
    response
}

/// How a request counts.
pub(crate) fn weight(uri: &Uri) -> Weight {
    if Fields::of_query(uri.query()).are_named() { Weight::WithFields } else { Weight::Whole }
}

/// The three headers that say where a user stands.
pub(crate) fn add_rate_headers(standing: Standing, headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), HeaderValue::from(standing.limit));
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), HeaderValue::from(standing.remaining));
    if let Ok(reset) = HeaderValue::try_from(iso_8601(standing.reset_at)) {
        headers.insert(HeaderName::from_static("x-ratelimit-reset"), reset);
    }
}

/// What Vimeo's servers and caches leave on every reply. The hash is the request's number in the journal.
fn add_house_headers(number: u64, headers: &mut HeaderMap) {
    let constant = [
        (CACHE_CONTROL, "private, no-store, no-cache"),
        (VARY, "Accept,Vimeo-Client-Id"),
        (VIA, "1.1 varnish"),
        (HeaderName::from_static("x-vimeo-dc"), "desk"),
        (HeaderName::from_static("x-bapp-server"), "sandbox"),
    ];
    for (name, value) in constant {
        // What an endpoint or a fault said already stands.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if let Ok(hash) = HeaderValue::try_from(format!("{number:08x}")) {
        headers.entry(HeaderName::from_static("request-hash")).or_insert(hash);
    }
}
