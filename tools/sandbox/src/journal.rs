//! The journal of requests, in the order of arrival. Secrets appear as fingerprints only.

mod bodies;
mod live;

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, USER_AGENT};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::faults::Route;
use crate::state::{Caller, redacted};
use crate::uploads;
use live::Publisher;

pub(crate) use live::{EventKind, JournalEvent, Subscription};

// Enough for the last minutes of a load test, within bounded memory.
const ENTRIES_MAX: usize = 10_000;

// Longer than the headers of any client; bounds the memory of an entry.
const TEXT_BYTES_MAX: usize = 4096;

// The size of all bodies together; the oldest are dropped beyond it.
const BODIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A request before its response.
pub(crate) struct NewEntry<'a> {
    pub(crate) at: Timestamp,
    pub(crate) request: &'a Request,
    /// The matched route, if any: `GET /oauth/verify`.
    pub(crate) route: Option<String>,
    /// The kind of the fault that will be injected.
    pub(crate) fault: Option<&'static str>,
    /// The number of its TCP connection.
    pub(crate) connection: u64,
    pub(crate) caller_uris: CallerUris,
    /// Its credentials, without secrets.
    pub(crate) authorization: Value,
    /// Counts the bytes of its body while they are read.
    pub(crate) request_bytes: Arc<AtomicU64>,
}

/// The URIs of the user and app of a request, as far as they are known.
#[derive(Default)]
pub(crate) struct CallerUris {
    pub(crate) user: Option<String>,
    pub(crate) app: Option<String>,
}

impl From<&Caller> for CallerUris {
    fn from(caller: &Caller) -> Self {
        let user = caller.user.as_ref().map(|user| user.id.to_string());
        Self { user, app: Some(caller.app.id.to_string()) }
    }
}

struct Entry {
    number: u64,
    method: String,
    path: String,
    arrived_at: Timestamp,
    shown: Value,
    /// As JSON text, which takes much less memory than a tree of values.
    body: Option<String>,
    caller_uris: CallerUris,
    request_bytes: Arc<AtomicU64>,
    status: Option<u16>,
    finished: Option<Finished>,
    /// Whether its client disconnected before the response.
    is_abandoned: bool,
}

/// The end of a request.
#[derive(Clone, Copy)]
struct Finished {
    at: Timestamp,
    /// The number of the latest request at that time.
    last_number: u64,
}

/// A filter of entries.
#[derive(Default)]
pub(crate) struct Selection {
    /// Only entries with a greater number.
    pub(crate) after: Option<u64>,
    pub(crate) route: Option<Route>,
    /// At most this many entries: the first ones with `after`, otherwise the last ones.
    pub(crate) limit: Option<usize>,
}

/// The journal of the latest requests.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    connections: HashSet<u64>,
    // Never reset, not even when the journal is cleared: a pending response must not be recorded on a newer request.
    last_number: u64,
    /// The entries with bodies, oldest first, and the length of each body.
    bodies: VecDeque<(u64, usize)>,
    bodies_bytes: usize,
    publisher: Publisher,
}

impl Journal {
    /// Adds a request. Returns its number.
    pub(crate) fn add(&mut self, new: &NewEntry<'_>) -> u64 {
        self.last_number += 1;
        self.connections.insert(new.connection);
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        let entry = Entry {
            number: self.last_number,
            method: new.request.method().to_string(),
            path: cut(new.request.uri().path()).into_owned(),
            arrived_at: new.at,
            shown: present(new),
            body: None,
            caller_uris: CallerUris { user: new.caller_uris.user.clone(), app: new.caller_uris.app.clone() },
            request_bytes: Arc::clone(&new.request_bytes),
            status: None,
            finished: None,
            is_abandoned: false,
        };
        self.publisher.publish(entry.number, EventKind::Arrived, || entry.to_json());
        self.entries.push_back(entry);
        self.last_number
    }

    /// Records the body of a request.
    pub(crate) fn record_body(&mut self, number: u64, headers: &HeaderMap, body: &[u8]) {
        let shown = bodies::present(headers, body);
        let Some(entry) = self.find(number).filter(|_| !shown.is_null()) else { return };
        let text = shown.to_string();
        let length = text.len();
        entry.body = Some(text);
        self.bodies.push_back((number, length));
        self.bodies_bytes += length;
        while self.bodies_bytes > BODIES_BYTES_MAX
            && let Some((oldest, length)) = self.bodies.pop_front()
        {
            self.bodies_bytes -= length;
            if let Some(entry) = self.find(oldest) {
                entry.body = None;
            }
        }
    }

    /// Records the caller, if it was unknown at first.
    pub(crate) fn record_caller(&mut self, number: u64, caller_uris: CallerUris) {
        if let Some(entry) = self.find(number) {
            entry.caller_uris = caller_uris;
        }
    }

    /// Records that the client of a request has disconnected.
    pub(crate) fn mark_abandoned(&mut self, number: u64) {
        let Some(index) = self.index(number) else { return };
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.finished.is_none()) else {
            return;
        };
        entry.is_abandoned = true;
        self.publisher.publish(number, EventKind::Abandoned, || entry.to_json());
    }

    /// Records the end of a request, and the status of its response, if one was sent.
    pub(crate) fn finish(&mut self, number: u64, status: Option<u16>, at: Timestamp) {
        let last_number = self.last_number;
        let Some(index) = self.index(number) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        // No client receives this response.
        entry.status = status.filter(|_| !entry.is_abandoned);
        entry.finished = Some(Finished { at, last_number });
        self.publisher.publish(number, EventKind::Finished, || entry.to_json());
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    fn find(&mut self, number: u64) -> Option<&mut Entry> {
        self.index(number).and_then(|index| self.entries.get_mut(index))
    }

    /// Removes all entries and connections.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.connections.clear();
        self.bodies.clear();
        self.bodies_bytes = 0;
    }

    /// The JSON of the journal.
    pub(crate) fn to_json(&self, selection: &Selection) -> Value {
        let Selection { after, route, limit } = selection;
        let wanted = self.entries.iter().filter(|entry| {
            entry.number > after.unwrap_or(0)
                && route.as_ref().is_none_or(|route| route.matches(&entry.method, &entry.path))
        });
        let mut wanted: Vec<&Entry> = wanted.collect();
        let limit = limit.unwrap_or(ENTRIES_MAX);
        if after.is_none() {
            wanted.drain(..wanted.len().saturating_sub(limit));
        }
        let requests: Vec<Value> = wanted.into_iter().take(limit).map(Entry::to_json).collect();
        json!({"requests": requests, "connections_opened": self.connections.len()})
    }

    /// Subscribes to the journal: from now on, or after the last entry that the client has received.
    pub(crate) fn subscribe(&self, last_received: Option<u64>) -> Subscription {
        let mut missed = VecDeque::new();
        for entry in
            last_received.iter().flat_map(|last| self.entries.iter().map(move |entry| (*last, entry)))
        {
            let (last, entry) = entry;
            let event =
                |what| JournalEvent { number: entry.number, what, entry: entry.to_json().to_string().into() };
            if entry.number > last {
                missed.push_back(event(EventKind::Arrived));
            }
            // Includes entries that arrived before and ended after it: at least once rather than at most once.
            if entry.finished.is_some_and(|finished| finished.last_number >= last) {
                missed.push_back(event(EventKind::Finished));
            }
        }
        Subscription { missed, coming: self.publisher.subscribe() }
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        let mut shown = self.shown.clone();
        let answered = self.finished.filter(|_| self.status.is_some());
        let body: Option<Value> = self.body.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let millis = answered.map(|finished| finished.at.duration_since(self.arrived_at).as_millis());
        if let Value::Object(members) = &mut shown {
            for (name, value) in [
                ("number", json!(self.number)),
                ("status", json!(self.status)),
                ("settled", json!(self.finished.is_some())),
                ("abandoned", json!(self.is_abandoned)),
                ("answered_at", json!(answered.map(|finished| finished.at.to_string()))),
                ("millis", json!(millis.map(|millis| i64::try_from(millis).unwrap_or(i64::MAX)))),
                ("user", json!(self.caller_uris.user)),
                ("app", json!(self.caller_uris.app)),
                ("request_bytes", json!(self.request_bytes.load(Ordering::SeqCst))),
                ("body", json!(body)),
            ] {
                members.insert(name.to_owned(), value);
            }
        }
        shown
    }
}

fn present(new: &NewEntry<'_>) -> Value {
    let NewEntry { at, request, route, fault, connection, authorization, .. } = new;
    let text = |name: HeaderName| {
        let value = request.headers().get(name)?;
        Some(cut(&String::from_utf8_lossy(value.as_bytes())).into_owned())
    };
    json!({
        "at": at.to_string(),
        "method": request.method().as_str(),
        "path": cut(&uploads::redact_key(request.uri().path())),
        "query": request.uri().query().map(|query| cut(&without_secrets(query)).into_owned()),
        "route": route,
        "fault": fault,
        "accept": text(ACCEPT),
        "user_agent": text(USER_AGENT),
        "content_type": text(CONTENT_TYPE),
        "authorization": authorization,
        "connection": connection,
    })
}

/// The text, truncated if it is too long to be kept in ten thousand entries.
fn cut(text: &str) -> Cow<'_, str> {
    match text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)) {
        Some(beginning) if beginning.len() < text.len() => Cow::Owned(format!("{beginning}…")),
        _ => Cow::Borrowed(text),
    }
}

/// The query with secrets replaced by `fingerprint:…`.
fn without_secrets(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if is_secret(name) => format!("{name}={}", redacted(value)),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a parameter is secret, however its name is encoded.
fn is_secret(name: &str) -> bool {
    let mut names = form_urlencoded::parse(name.as_bytes());
    names.any(|(name, _)| bodies::is_secret(&name))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn add(journal: &mut Journal, request: &Request) -> u64 {
        let at = Timestamp::UNIX_EPOCH;
        let (caller_uris, request_bytes) = (CallerUris::default(), Arc::default());
        journal.add(&NewEntry {
            at,
            request,
            route: None,
            fault: None,
            connection: 1,
            caller_uris,
            authorization: Value::Null,
            request_bytes,
        })
    }

    #[test]
    fn only_the_latest_ten_thousand_requests_are_kept() {
        let mut journal = Journal::default();
        let request = Request::new(Body::empty());
        for _ in 0..ENTRIES_MAX + 5 {
            let number = add(&mut journal, &request);
            journal.finish(number, Some(200), Timestamp::UNIX_EPOCH);
        }
        // Its entry has been dropped, which is not an error.
        journal.finish(1, Some(500), Timestamp::UNIX_EPOCH);
        let shown = journal.to_json(&Selection::default());
        assert_eq!(shown["requests"].as_array().unwrap().len(), ENTRIES_MAX);
        assert_eq!(shown["requests"][0]["number"], 6);
        assert_eq!(shown["requests"][0]["status"], 200);
    }

    #[test]
    fn a_late_answer_is_not_booked_on_a_newer_request() {
        let mut journal = Journal::default();
        let request = Request::new(Body::empty());
        let late = add(&mut journal, &request);
        journal.clear();
        add(&mut journal, &request);
        journal.finish(late, Some(200), Timestamp::UNIX_EPOCH);
        assert_eq!(journal.to_json(&Selection::default())["requests"][0]["status"], Value::Null);
    }

    #[test]
    fn a_secret_in_the_query_is_shown_as_its_fingerprint() {
        let shown = without_secrets("fields=uri&Access_Token=hunter2&x");
        assert_eq!(shown, "fields=uri&Access_Token=fingerprint:f52fbd32b2b3&x");
        assert_eq!(
            without_secrets("c%6fde=hunter2&codes=1&=2"),
            "c%6fde=fingerprint:f52fbd32b2b3&codes=1&=2"
        );
    }
}
