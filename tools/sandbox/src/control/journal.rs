//! The controls for the journal.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;

use super::{done, refused};
use crate::desk::Desk;
use crate::faults::Route;
use crate::journal::Selection;

/// `GET /_sandbox/journal`.
pub(super) async fn show(State(desk): State<Arc<Desk>>, RawQuery(query): RawQuery) -> Response {
    match read_selection(query.as_deref().unwrap_or_default()) {
        Ok(selection) => {
            let shown = desk.journal().to_json(&selection);
            done(StatusCode::OK, &shown)
        }
        Err(sentence) => refused(StatusCode::BAD_REQUEST, &sentence),
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
pub(super) async fn clear(State(desk): State<Arc<Desk>>) -> Response {
    desk.journal().clear();
    StatusCode::NO_CONTENT.into_response()
}

/// `GET /_sandbox/journal/live`: server-sent events, from now on or from the last one that the client has seen.
pub(super) async fn live(
    State(desk): State<Arc<Desk>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let last_heard = match read_last_heard(query.as_deref().unwrap_or_default(), &headers) {
        Ok(last_heard) => last_heard,
        Err(sentence) => return refused(StatusCode::BAD_REQUEST, &sentence),
    };
    let (follower, stopping) = (desk.journal().follow(last_heard), desk.stopping.clone());
    let happenings = unfold((follower, stopping), |(mut follower, stopping)| async {
        let happening = stopping.run_until_cancelled(follower.next()).await??;
        let event = Event::default()
            .id(happening.number.to_string())
            .event(happening.what.name())
            .data(&*happening.entry);
        Some((Ok::<_, Infallible>(event), (follower, stopping)))
    });
    Sse::new(happenings).keep_alive(KeepAlive::default()).into_response()
}

/// The number after which the journal is to be told: the client's header on a later visit, `after` on the first.
fn read_last_heard(query: &str, headers: &HeaderMap) -> Result<Option<u64>, String> {
    if let Some(told) = headers.get("last-event-id") {
        let told = told.to_str().unwrap_or_default();
        return read_number("Last-Event-ID", told).map(Some);
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
