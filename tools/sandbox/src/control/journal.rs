//! The controls for the journal.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;

use super::{error_response, json_response};
use crate::app_state::AppState;
use crate::faults::Route;
use crate::journal::Selection;

/// `GET /_sandbox/journal`.
pub(super) async fn show(State(app_state): State<Arc<AppState>>, RawQuery(query): RawQuery) -> Response {
    match read_selection(query.as_deref().unwrap_or_default()) {
        Ok(selection) => {
            let shown = app_state.journal().to_json(&selection);
            json_response(StatusCode::OK, &shown)
        }
        Err(sentence) => error_response(StatusCode::BAD_REQUEST, &sentence),
    }
}

fn read_selection(query: &str) -> Result<Selection, String> {
    let mut selection = Selection::default();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match name.as_ref() {
            "after" => selection.after = Some(read_number(&name, &value)?),
            "route" => selection.route = Some(Route::read(&value)?),
            "limit" => {
                let limit = read_number(&name, &value)?;
                if limit == 0 {
                    return Err("`limit` must be at least 1.".to_owned());
                }
                selection.limit = Some(usize::try_from(limit).unwrap_or(usize::MAX));
            }
            _ => return Err(format!("`{name}` is unknown: the journal takes `after`, `route`, `limit`.")),
        }
    }
    Ok(selection)
}

fn read_number(name: &str, text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{name}` must be a whole number."))
}

/// `DELETE /_sandbox/journal`.
pub(super) async fn clear(State(app_state): State<Arc<AppState>>) -> Response {
    app_state.journal().clear();
    StatusCode::NO_CONTENT.into_response()
}

/// `GET /_sandbox/journal/live`: server-sent events, from now on or after the last one that the client has received.
pub(super) async fn live(
    State(app_state): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let last_received = match read_last_received(query.as_deref().unwrap_or_default(), &headers) {
        Ok(last_received) => last_received,
        Err(sentence) => return error_response(StatusCode::BAD_REQUEST, &sentence),
    };
    let (follower, stopping) = (app_state.journal().subscribe(last_received), app_state.stopping.clone());
    let events = unfold((follower, stopping), |(mut follower, stopping)| async {
        let event = stopping.run_until_cancelled(follower.next()).await??;
        let event =
            Event::default().id(event.number.to_string()).event(event.what.name()).data(&*event.entry);
        Some((Ok::<_, Infallible>(event), (follower, stopping)))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

/// The number of the last event that the client has received: its `Last-Event-ID` header when it reconnects, `after` at
/// first.
fn read_last_received(query: &str, headers: &HeaderMap) -> Result<Option<u64>, String> {
    if let Some(header) = headers.get("last-event-id") {
        let header = header.to_str().unwrap_or_default();
        return read_number("Last-Event-ID", header).map(Some);
    }
    let mut after = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name != "after" {
            return Err(format!("`{name}` is unknown: the live journal takes `after`."));
        }
        after = Some(read_number("after", &value)?);
    }
    Ok(after)
}
