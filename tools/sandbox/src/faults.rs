//! Fault injection: what goes wrong, for which requests, and how often. Faults are data, created through the controls.

mod bodies;
mod effect;
mod instead;
mod kinds;
mod marks;
mod perform;
mod raw;
mod read;
mod route;
mod timing;
mod uploads;

use axum::http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;

use crate::state::{VersionId, VideoId};
use timing::{Due, NewTiming, Timing};

pub(crate) use effect::Effect;
pub(crate) use kinds::kinds;
pub(crate) use perform::perform;
pub(crate) use raw::{RawFormat, render};
pub(crate) use read::read;
pub(crate) use route::Route;

/// An extension of a request whose lists lag behind: videos younger than this are not listed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListLag(pub(crate) SignedDuration);

/// An extension of the response to a request that created a version, of a new video or an existing one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CreatedVersion(pub(crate) VideoId, pub(crate) VersionId);

/// A fault without an identifier.
#[derive(Clone, Debug)]
pub(crate) struct NewFault {
    route: Route,
    timing: NewTiming,
    effect: Effect,
    /// The parameters of its kind, as they were given.
    parameters: Map<String, Value>,
}

struct Fault {
    id: u64,
    route: Route,
    timing: Timing,
    effect: Effect,
    parameters: Map<String, Value>,
}

impl Fault {
    fn to_json(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("id".to_owned(), json!(self.id));
        shown.insert("route".to_owned(), json!(self.route.to_string()));
        shown.insert("kind".to_owned(), json!(self.effect.kind()));
        self.timing.show(&mut shown);
        shown.extend(self.parameters.clone());
        Value::Object(shown)
    }
}

impl Drop for Fault {
    /// Releases the requests that it holds, however it is removed.
    fn drop(&mut self) {
        if let Effect::Hold { released } = &self.effect {
            released.cancel();
        }
    }
}

/// The pending faults, in the order of creation.
#[derive(Default)]
pub(crate) struct Faults {
    pending: Vec<Fault>,
    last_id: u64,
    reset: CancellationToken,
}

impl Drop for Faults {
    /// Cancels delayed work at a reset.
    fn drop(&mut self) {
        self.reset.cancel();
    }
}

impl Faults {
    /// Adds a fault. Returns its JSON.
    pub(crate) fn add(&mut self, new: NewFault, now: Timestamp) -> Value {
        self.last_id += 1;
        let NewFault { route, timing, effect, parameters } = new;
        let fault = Fault { id: self.last_id, route, timing: Timing::new(&timing, now), effect, parameters };
        let shown = fault.to_json();
        self.pending.push(fault);
        shown
    }

    /// The effect to inject into a request: that of the oldest fault that is due. Every fault that matches the request
    /// counts it, whether or not another one is applied.
    pub(crate) fn take(&mut self, method: &Method, path: &str, now: Timestamp) -> Option<Effect> {
        let mut taken = None;
        self.remove_ended(now);
        for fault in &mut self.pending {
            let is_affected =
                fault.route.matches(method.as_str(), path) && fault.timing.count_match(now) == Due::Now;
            if is_affected && taken.is_none() {
                taken = Some(fault.effect.clone());
                fault.timing.record();
            }
        }
        self.remove_ended(now);
        taken
    }

    /// Removes faults that will not happen again.
    fn remove_ended(&mut self, now: Timestamp) {
        self.pending.retain(|fault| !fault.timing.has_ended(now));
    }

    pub(crate) fn show(&mut self, now: Timestamp) -> Value {
        self.remove_ended(now);
        let faults: Vec<Value> = self.pending.iter().map(Fault::to_json).collect();
        json!({"faults": faults})
    }

    /// Cancelled when the sandbox is reset.
    pub(crate) fn reset(&self) -> CancellationToken {
        self.reset.clone()
    }

    pub(crate) fn clear(&mut self) {
        self.pending.clear();
    }

    /// Removes one fault. Returns whether it existed.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let before = self.pending.len();
        self.pending.retain(|fault| fault.id.to_string() != id);
        self.pending.len() < before
    }
}
