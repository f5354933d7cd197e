//! Faults: what goes wrong, with which requests, and how often. They are data, made through the controls.

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
pub(crate) use raw::{Disguise, render};
pub(crate) use read::read;
pub(crate) use route::Route;

/// Put on a request whose lists are to be behind: videos younger than this are not in them yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListLag(pub(crate) SignedDuration);

/// Put on the answer to a request that made a version, of a new video or an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Made(pub(crate) VideoId, pub(crate) VersionId);

/// A fault before it has a number.
#[derive(Clone, Debug)]
pub(crate) struct NewFault {
    route: Route,
    timing: NewTiming,
    effect: Effect,
    /// What its kind was told, as it was told.
    told: Map<String, Value>,
}

struct Fault {
    id: u64,
    route: Route,
    timing: Timing,
    effect: Effect,
    told: Map<String, Value>,
}

impl Fault {
    fn to_json(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("id".to_owned(), json!(self.id));
        shown.insert("route".to_owned(), json!(self.route.to_string()));
        shown.insert("kind".to_owned(), json!(self.effect.kind()));
        self.timing.show(&mut shown);
        shown.extend(self.told.clone());
        Value::Object(shown)
    }
}

impl Drop for Fault {
    /// However it goes, what it held goes on.
    fn drop(&mut self) {
        if let Effect::Hold { released } = &self.effect {
            released.cancel();
        }
    }
}

/// The faults that are still to happen, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Faults {
    waiting: Vec<Fault>,
    last_id: u64,
    over: CancellationToken,
}

impl Drop for Faults {
    /// Nothing that a fault put off happens after a reset.
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl Faults {
    /// Adds a fault and shows it.
    pub(crate) fn add(&mut self, new: NewFault, now: Timestamp) -> Value {
        self.last_id += 1;
        let NewFault { route, timing, effect, told } = new;
        let fault = Fault { id: self.last_id, route, timing: Timing::new(&timing, now), effect, told };
        let shown = fault.to_json();
        self.waiting.push(fault);
        shown
    }

    /// What befalls this request: the effect of the oldest fault that is due. Each that it matches counts it, whether
    /// or not another fault takes it.
    pub(crate) fn take(&mut self, method: &Method, path: &str, now: Timestamp) -> Option<Effect> {
        let mut taken = None;
        self.sweep(now);
        for fault in &mut self.waiting {
            let is_due = fault.route.matches(method.as_str(), path) && fault.timing.meet(now) == Due::Now;
            if is_due && taken.is_none() {
                taken = Some(fault.effect.clone());
                fault.timing.happen();
            }
        }
        self.sweep(now);
        taken
    }

    /// Removes what is over.
    fn sweep(&mut self, now: Timestamp) {
        self.waiting.retain(|fault| !fault.timing.is_over(now));
    }

    pub(crate) fn show(&mut self, now: Timestamp) -> Value {
        self.sweep(now);
        let faults: Vec<Value> = self.waiting.iter().map(Fault::to_json).collect();
        json!({"faults": faults})
    }

    /// Cancelled when the sandbox is reset.
    pub(crate) fn over(&self) -> CancellationToken {
        self.over.clone()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Removes one fault; says whether it was there.
    pub(crate) fn remove(&mut self, id: &str) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|fault| fault.id.to_string() != id);
        self.waiting.len() < before
    }
}
