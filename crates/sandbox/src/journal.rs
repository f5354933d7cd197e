//! What was asked of the sandbox, in the order of arrival. Secrets appear as fingerprints only.

use std::collections::{HashSet, VecDeque};

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, USER_AGENT};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::credentials::Credentials;
use crate::state::fingerprint;
use crate::uploads;

// Enough for a load test's last minutes, and little enough to keep.
const ENTRIES_MAX: usize = 10_000;

// Where clients put what belongs into headers and bodies.
const SECRET_PARAMETERS: [&str; 10] = [
    "access_token",
    "client_secret",
    "code",
    "device_code",
    "password",
    "refresh_token",
    "secret",
    "ticket",
    "token",
    "user_code",
];

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
}

struct Entry {
    number: u64,
    status: Option<u16>,
    shown: Value,
}

/// The latest requests.
#[derive(Default)]
pub(crate) struct Journal {
    entries: VecDeque<Entry>,
    connections: HashSet<u64>,
    // Never starts again, not even when the journal is cleared: an answer that is still under way then must not be
    // booked on a newer request.
    last_number: u64,
}

impl Journal {
    /// Enters a request and gives it its number.
    pub(crate) fn arrive(&mut self, arrival: &Arrival<'_>) -> u64 {
        self.last_number += 1;
        self.connections.insert(arrival.connection);
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        let entry = Entry { number: self.last_number, status: None, shown: present(arrival) };
        self.entries.push_back(entry);
        self.last_number
    }

    /// Notes the status that a request was answered with.
    pub(crate) fn settle(&mut self, number: u64, status: u16) {
        let found = self.entries.binary_search_by_key(&number, |entry| entry.number);
        if let Some(entry) = found.ok().and_then(|index| self.entries.get_mut(index)) {
            entry.status = Some(status);
        }
    }

    /// Forgets every request and connection.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.connections.clear();
    }

    /// The journal as the control shows it.
    pub(crate) fn to_json(&self) -> Value {
        let requests: Vec<Value> = self.entries.iter().map(Entry::to_json).collect();
        json!({"requests": requests, "connections_opened": self.connections.len()})
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        let mut shown = self.shown.clone();
        if let Value::Object(members) = &mut shown {
            members.insert("number".to_owned(), json!(self.number));
            members.insert("status".to_owned(), json!(self.status));
        }
        shown
    }
}

fn present(arrival: &Arrival<'_>) -> Value {
    let Arrival { at, request, route, fault, connection } = arrival;
    let text = |name: HeaderName| {
        request.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    json!({
        "at": at.to_string(),
        "method": request.method().as_str(),
        "path": uploads::without_key(request.uri().path()),
        "query": request.uri().query().map(without_secrets),
        "route": route,
        "fault": fault,
        "accept": text(ACCEPT),
        "user_agent": text(USER_AGENT),
        "content_type": text(CONTENT_TYPE),
        "authorization": Credentials::of(request.headers()).to_journal(),
        "connection": connection,
    })
}

/// A query in which secrets are replaced by `fingerprint:…`.
fn without_secrets(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, value)) if is_secret(name) => {
            format!("{name}=fingerprint:{}", fingerprint(value.as_bytes()))
        }
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Whether a parameter is a secret one, however its name is written.
fn is_secret(name: &str) -> bool {
    let mut names = form_urlencoded::parse(name.as_bytes());
    names.any(|(name, _)| SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn arrive(journal: &mut Journal, request: &Request) -> u64 {
        let at = Timestamp::UNIX_EPOCH;
        journal.arrive(&Arrival { at, request, route: None, fault: None, connection: 1 })
    }

    #[test]
    fn only_the_latest_ten_thousand_requests_are_kept() {
        let mut journal = Journal::default();
        let request = Request::new(Body::empty());
        for _ in 0..ENTRIES_MAX + 5 {
            let number = arrive(&mut journal, &request);
            journal.settle(number, 200);
        }
        // Too old to be found, which is no reason to fail.
        journal.settle(1, 500);
        let shown = journal.to_json();
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
        journal.settle(late, 200);
        assert_eq!(journal.to_json()["requests"][0]["status"], Value::Null);
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
