//! What was asked of the sandbox, in the order of arrival. Secrets appear as fingerprints only.

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
use crate::state::{Caller, hidden};
use crate::uploads;
use live::Teller;

pub(crate) use live::{Follower, Happening, What};

// Enough for a load test's last minutes, and little enough to keep.
const ENTRIES_MAX: usize = 10_000;

// No client's headers are longer, and the longest that HTTP lets through fill no memory then.
const TEXT_BYTES_MAX: usize = 4096;

// What the bodies of all entries together may take; beyond it the oldest are forgotten.
const BODIES_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is known of a request before it is answered.
pub(crate) struct Arrival<'a> {
    pub(crate) at: Timestamp,
    pub(crate) request: &'a Request,
    /// The matched route, if any: `GET /oauth/verify`.
    pub(crate) route: Option<String>,
    /// The kind of the fault that is about to befall it.
    pub(crate) fault: Option<&'static str>,
    /// The number of its TCP connection.
    pub(crate) connection: u64,
    pub(crate) asker: Asker,
    /// The credentials that it brings, without secrets.
    pub(crate) authorization: Value,
    /// Counts the bytes of its body as they are read.
    pub(crate) request_bytes: Arc<AtomicU64>,
}

/// The URIs of those who stand behind a request, as far as they are known.
#[derive(Default)]
pub(crate) struct Asker {
    pub(crate) user: Option<String>,
    pub(crate) app: Option<String>,
}

impl From<&Caller> for Asker {
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
    /// As JSON: a tree of values takes many times as much.
    body: Option<String>,
    asker: Asker,
    request_bytes: Arc<AtomicU64>,
    status: Option<u16>,
    settled: Option<Settled>,
    /// Whether its client left before it was answered.
    is_abandoned: bool,
}

/// How a request came to its end.
#[derive(Clone, Copy)]
struct Settled {
    at: Timestamp,
    /// The number of the request that had arrived last by then.
    last_number: u64,
}

/// Which entries are wanted.
#[derive(Default)]
pub(crate) struct Selection {
    /// Those with a greater number.
    pub(crate) after: Option<u64>,
    pub(crate) route: Option<Route>,
    /// With `after` the first so many of them, otherwise the last.
    pub(crate) limit: Option<usize>,
}

/// The latest requests.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    connections: HashSet<u64>,
    // Never starts again, not even when the journal is cleared: an answer that is still under way then must not be
    // booked on a newer request.
    last_number: u64,
    /// The entries with bodies, oldest first, and how long each is.
    bodies: VecDeque<(u64, usize)>,
    bodies_bytes: usize,
    teller: Teller,
}

impl Journal {
    /// Enters a request and gives it its number.
    pub(crate) fn arrive(&mut self, arrival: &Arrival<'_>) -> u64 {
        self.last_number += 1;
        self.connections.insert(arrival.connection);
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        let entry = Entry {
            number: self.last_number,
            method: arrival.request.method().to_string(),
            path: cut(arrival.request.uri().path()).into_owned(),
            arrived_at: arrival.at,
            shown: present(arrival),
            body: None,
            asker: Asker { user: arrival.asker.user.clone(), app: arrival.asker.app.clone() },
            request_bytes: Arc::clone(&arrival.request_bytes),
            status: None,
            settled: None,
            is_abandoned: false,
        };
        self.teller.tell(entry.number, What::Arrived, || entry.to_json());
        self.entries.push_back(entry);
        self.last_number
    }

    /// Notes what a request brought.
    pub(crate) fn note_body(&mut self, number: u64, headers: &HeaderMap, body: &[u8]) {
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

    /// Notes who asks, for one who was not known before.
    pub(crate) fn note_asker(&mut self, number: u64, asker: Asker) {
        if let Some(entry) = self.find(number) {
            entry.asker = asker;
        }
    }

    /// Notes that nobody waits for the answer to a request any more.
    pub(crate) fn abandon(&mut self, number: u64) {
        let Some(index) = self.index(number) else { return };
        let Some(entry) = self.entries.get_mut(index).filter(|entry| entry.settled.is_none()) else { return };
        entry.is_abandoned = true;
        self.teller.tell(number, What::Abandoned, || entry.to_json());
    }

    /// Notes that a request is over, and the status that it was answered with, if it was.
    pub(crate) fn settle(&mut self, number: u64, status: Option<u16>, at: Timestamp) {
        let last_number = self.last_number;
        let Some(index) = self.index(number) else { return };
        let Some(entry) = self.entries.get_mut(index) else { return };
        // What nobody waits for is not told.
        entry.status = status.filter(|_| !entry.is_abandoned);
        entry.settled = Some(Settled { at, last_number });
        self.teller.tell(number, What::Settled, || entry.to_json());
    }

    fn index(&self, number: u64) -> Option<usize> {
        self.entries.binary_search_by_key(&number, |entry| entry.number).ok()
    }

    fn find(&mut self, number: u64) -> Option<&mut Entry> {
        self.index(number).and_then(|index| self.entries.get_mut(index))
    }

    /// Forgets every request and connection.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.connections.clear();
        self.bodies.clear();
        self.bodies_bytes = 0;
    }

    /// The journal as the control shows it.
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

    /// Begins to follow the journal: from now on, or from the entry on that was the last to be heard of.
    pub(crate) fn follow(&self, last_heard: Option<u64>) -> Follower {
        let mut missed = VecDeque::new();
        for entry in last_heard.iter().flat_map(|last| self.entries.iter().map(move |entry| (*last, entry))) {
            let (last, entry) = entry;
            let happening =
                |what| Happening { number: entry.number, what, entry: entry.to_json().to_string().into() };
            if entry.number > last {
                missed.push_back(happening(What::Arrived));
            }
            // Also one that had arrived before, but was answered after: rather twice than never.
            if entry.settled.is_some_and(|settled| settled.last_number >= last) {
                missed.push_back(happening(What::Settled));
            }
        }
        Follower { missed, coming: self.teller.listen() }
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        let mut shown = self.shown.clone();
        let answered = self.settled.filter(|_| self.status.is_some());
        let body: Option<Value> = self.body.as_deref().and_then(|text| serde_json::from_str(text).ok());
        let millis = answered.map(|settled| settled.at.duration_since(self.arrived_at).as_millis());
        if let Value::Object(members) = &mut shown {
            for (name, value) in [
                ("number", json!(self.number)),
                ("status", json!(self.status)),
                ("settled", json!(self.settled.is_some())),
                ("abandoned", json!(self.is_abandoned)),
                ("answered_at", json!(answered.map(|settled| settled.at.to_string()))),
                ("millis", json!(millis.map(|millis| i64::try_from(millis).unwrap_or(i64::MAX)))),
                ("user", json!(self.asker.user)),
                ("app", json!(self.asker.app)),
                ("request_bytes", json!(self.request_bytes.load(Ordering::SeqCst))),
                ("body", json!(body)),
            ] {
                members.insert(name.to_owned(), value);
            }
        }
        shown
    }
}

fn present(arrival: &Arrival<'_>) -> Value {
    let Arrival { at, request, route, fault, connection, authorization, .. } = arrival;
    let text = |name: HeaderName| {
        let value = request.headers().get(name)?;
        Some(cut(&String::from_utf8_lossy(value.as_bytes())).into_owned())
    };
    json!({
        "at": at.to_string(),
        "method": request.method().as_str(),
        "path": cut(&uploads::without_key(request.uri().path())),
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

/// A text as it is, or the beginning of one that is too long to be kept ten thousand times.
fn cut(text: &str) -> Cow<'_, str> {
    match text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)) {
        Some(beginning) if beginning.len() < text.len() => Cow::Owned(format!("{beginning}…")),
        _ => Cow::Borrowed(text),
    }
}

/// A query in which secrets are replaced by `fingerprint:…`.
fn without_secrets(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if is_secret(name) => format!("{name}={}", hidden(value)),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a parameter is a secret one, however its name is written.
fn is_secret(name: &str) -> bool {
    let mut names = form_urlencoded::parse(name.as_bytes());
    names.any(|(name, _)| bodies::is_secret(&name))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn arrive(journal: &mut Journal, request: &Request) -> u64 {
        let at = Timestamp::UNIX_EPOCH;
        let (asker, request_bytes) = (Asker::default(), Arc::default());
        journal.arrive(&Arrival {
            at,
            request,
            route: None,
            fault: None,
            connection: 1,
            asker,
            authorization: Value::Null,
            request_bytes,
        })
    }

    #[test]
    fn only_the_latest_ten_thousand_requests_are_kept() {
        let mut journal = Journal::default();
        let request = Request::new(Body::empty());
        for _ in 0..ENTRIES_MAX + 5 {
            let number = arrive(&mut journal, &request);
            journal.settle(number, Some(200), Timestamp::UNIX_EPOCH);
        }
        // Too old to be found, which is no reason to fail.
        journal.settle(1, Some(500), Timestamp::UNIX_EPOCH);
        let shown = journal.to_json(&Selection::default());
        assert_eq!(shown["requests"].as_array().unwrap().len(), ENTRIES_MAX);
        assert_eq!(shown["requests"][0]["number"], 6);
        assert_eq!(shown["requests"][0]["status"], 200);
    }

    #[test]
    fn a_late_answer_is_not_booked_on_a_newer_request() {
        let mut journal = Journal::default();
        let request = Request::new(Body::empty());
        let late = arrive(&mut journal, &request);
        journal.clear();
        arrive(&mut journal, &request);
        journal.settle(late, Some(200), Timestamp::UNIX_EPOCH);
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
