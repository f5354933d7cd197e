//! The kinds of faults, each with what it needs to know.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::raw::Disguise;
use crate::state::Failure;

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Another answer, without acting.
    Status { status: StatusCode, headers: HeaderMap, said: Said },
    /// The normal answer, late.
    Delay { pause: Duration },
    /// The normal answer, once the fault is removed.
    Hold { released: CancellationToken },
    /// No answer, without acting.
    Cut,
    /// The same, for as long as it lasts.
    Outage,
    /// Acts on what has come of the body by then; no answer.
    CutDuring { bytes: u64 },
    /// Acts; the answer is lost.
    CutAfter,
    /// No answer, and acts only later.
    Late { pause: Duration },
    /// Like `Cut`, as a crashed peer does it.
    Reset,
    /// Acts; half of the answer arrives.
    Truncate,
    /// A page from some machine in between, without acting.
    Html { status: StatusCode },
    /// The window is spent, without acting.
    RateLimit { reset: Duration, spending: Spending },
    /// Success, but not in the expected shape; without acting.
    WrongJson { body: Bytes },
    /// Nothing but a status, without acting.
    Empty { status: StatusCode },
    /// A body that goes on and on, without acting.
    Huge { bytes: u64 },
    /// Bytes that are not HTTP, without acting.
    Garbage,
    /// Acts; the answer comes a few bytes at a time.
    Drip { pause: Duration, bytes: usize },
    /// Acts; the body is taken in slowly.
    SlowBody { bytes_per_second: u64 },
    /// Acts; the answer is written in another way than usual.
    Disguised { as_kind: &'static str, disguise: Disguise },
    /// Somewhere else, without acting.
    Redirect { status: StatusCode, headers: HeaderMap },
    /// Acts; lists do not know the newest videos yet.
    ListLag { lag: SignedDuration },
    /// The upload's link is dead from now on.
    ExpiredLink { status: StatusCode },
    /// Acts; what was made will not end well.
    Outcome { fate: Failure },
}

/// What an answer says beside its status.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// What Vimeo says with such a status.
    Usual,
    /// What Vimeo says with this code.
    Code(u32),
    /// Just this.
    Body(Bytes),
}

/// Whether a rate limit is only said, or the user's window is really spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    Said,
    Real,
}

impl Effect {
    /// The kind, as the controls and the journal name it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Status { .. } => "status",
            Self::Delay { .. } => "delay",
            Self::Hold { .. } => "hold",
            Self::Cut => "cut",
            Self::Outage => "outage",
            Self::CutDuring { .. } => "cut-during",
            Self::CutAfter => "cut-after",
            Self::Late { .. } => "late",
            Self::Reset => "reset",
            Self::Truncate => "truncate",
            Self::Html { .. } => "html",
            Self::RateLimit { .. } => "rate-limit",
            Self::WrongJson { .. } => "wrong-json",
            Self::Empty { .. } => "empty",
            Self::Huge { .. } => "huge",
            Self::Garbage => "garbage",
            Self::Drip { .. } => "drip",
            Self::SlowBody { .. } => "slow-body",
            Self::Disguised { as_kind, .. } => as_kind,
            Self::Redirect { .. } => "redirect",
            Self::ListLag { .. } => "list-lag",
            Self::ExpiredLink { .. } => "expired-link",
            Self::Outcome { .. } => "outcome",
        }
    }
}
