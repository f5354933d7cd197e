//! Faults: what goes wrong, with which requests, and how often. They are data, made through the controls.

mod bodies;
mod perform;
mod read;

use std::fmt;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub(crate) use perform::perform;
pub(crate) use read::read;

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Another answer, without acting.
    Status { status: StatusCode, headers: HeaderMap, body: Option<Bytes> },
    /// The normal answer, late.
    Delay { pause: Duration },
    /// The normal answer, once the fault is removed.
    Hold { released: CancellationToken },
    /// No answer, without acting.
    Cut,
    /// Acts; the answer is lost.
    CutAfter,
    /// Like `Cut`, as a crashed peer does it.
    Reset,
    /// Acts; half of the answer arrives.
    Truncate,
    /// A page from some machine in between, without acting.
    Html { status: StatusCode },
    /// The window is spent, without acting.
    RateLimit { reset: Duration },
    /// Success, but not in the expected shape; without acting.
    WrongJson { body: Bytes },
    /// Nothing but a status, without acting.
    Empty { status: StatusCode },
    /// A body that goes on and on, without acting.
    Huge { bytes: u64 },
    /// Acts; the answer comes a byte at a time.
    Drip { pause: Duration },
    /// Somewhere else, without acting.
    Redirect { status: StatusCode, headers: HeaderMap },
}

impl Effect {
    /// The kind, as the controls and the journal name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Delay { .. } => "delay",
            Self::Hold { .. } => "hold",
            Self::Cut => "cut",
            Self::CutAfter => "cut-after",
            Self::Reset => "reset",
            Self::Truncate => "truncate",
            Self::Html { .. } => "html",
            Self::RateLimit { .. } => "rate-limit",
            Self::WrongJson { .. } => "wrong-json",
            Self::Empty { .. } => "empty",
            Self::Huge { .. } => "huge",
            Self::Drip { .. } => "drip",
            Self::Redirect { .. } => "redirect",
        }
    }
}

/// Which requests a fault befalls: `GET /oauth/verify`, `/me`, `/videos/*`, `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    method: Option<Method>,
    path: PathPattern,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PathPattern {
    Exactly(String),
    StartsWith(String),
}

impl Route {
    fn matches(&self, method: &Method, path: &str) -> bool {
        let is_path = match &self.path {
            PathPattern::Exactly(exact) => exact == path,
            PathPattern::StartsWith(start) => path.starts_with(start),
        };
        is_path && self.method.as_ref().is_none_or(|wanted| wanted == method)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(method) = &self.method {
            write!(f, "{method} ")?;
        }
        match &self.path {
            PathPattern::Exactly(path) => f.write_str(path),
            PathPattern::StartsWith(start) => write!(f, "{start}*"),
        }
    }
}

/// How often a fault still happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    Left(u64),
    Always,
}

/// A fault before it has a number.
#[derive(Clone, Debug)]
pub(crate) struct NewFault {
    route: Route,
    times: Times,
    /// How many matching requests still go by unharmed.
    after: u64,
    effect: Effect,
}

struct Fault {
    id: u64,
    new: NewFault,
}

impl Fault {
    fn to_json(&self) -> Value {
        let NewFault { route, times, after, effect } = &self.new;
        let remaining = match times {
            Times::Left(left) => json!(left),
            Times::Always => json!("always"),
        };
        json!({
            "id": self.id,
            "route": route.to_string(),
            "kind": effect.kind(),
            "remaining": remaining,
            "after": after,
        })
    }
}

impl Drop for Fault {
    /// However it goes, what it held goes on.
    fn drop(&mut self) {
        if let Effect::Hold { released } = &self.new.effect {
            released.cancel();
        }
    }
}

/// The faults that are still to happen, in the order in which they were made.
#[derive(Default)]
pub(crate) struct Faults {
    waiting: Vec<Fault>,
    last_id: u64,
}

impl Faults {
    /// Adds a fault and shows it.
    pub(crate) fn add(&mut self, new: NewFault) -> Value {
        self.last_id += 1;
        let fault = Fault { id: self.last_id, new };
        let shown = fault.to_json();
        self.waiting.push(fault);
        shown
    }

    /// What befalls this request: the effect of the oldest fault that is due. Those which still wait for their
    /// `after` count the request, whether or not another fault takes it.
    pub(crate) fn take(&mut self, method: &Method, path: &str) -> Option<Effect> {
        let mut taken = None;
        self.waiting.retain_mut(|Fault { new, .. }| {
            if !new.route.matches(method, path) {
                return true;
            }
            if new.after > 0 {
                new.after -= 1;
                return true;
            }
            if taken.is_some() {
                return true;
            }
            taken = Some(new.effect.clone());
            match &mut new.times {
                Times::Always => true,
                Times::Left(left) => {
                    *left = left.saturating_sub(1);
                    *left > 0
                }
            }
        });
        taken
    }

    pub(crate) fn to_json(&self) -> Value {
        let faults: Vec<Value> = self.waiting.iter().map(Fault::to_json).collect();
        json!({"faults": faults})
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
