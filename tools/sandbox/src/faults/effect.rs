//! The effects of faults, each with its parameters.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::raw::RawFormat;
use crate::state::Failure;

/// The effect on a request. "Handled" effects run the handler; all others respond without running it.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Another response.
    Status { status: StatusCode, headers: HeaderMap, said: StatusBody },
    /// Handled after a delay.
    Delay { pause: Duration },
    /// Handled once the fault is removed.
    Hold { released: CancellationToken },
    /// No response: the connection is closed.
    Cut,
    /// The same for every request until it ends.
    Outage,
    /// Handled with the part of the body that arrived until then; no response.
    CutDuring { bytes: u64 },
    /// Handled; the response is lost.
    CutAfter,
    /// No response; handled later.
    Late { pause: Duration },
    /// Like `Cut`, but the connection is reset.
    Reset,
    /// Handled; half of the response is sent.
    Truncate,
    /// An HTML page, as a proxy would send it.
    Html { status: StatusCode },
    /// A response that reports a reached rate limit.
    RateLimit { reset: Duration, spending: Spending },
    /// A successful response with an unexpected body.
    WrongJson { body: Bytes },
    /// A response without a body.
    Empty { status: StatusCode },
    /// A response with an overlong body.
    HugeBody { bytes: u64 },
    /// Bytes that are not HTTP.
    Garbage,
    /// Handled; the response is sent a few bytes at a time.
    Drip { pause: Duration, bytes: usize },
    /// Handled; the request body is read slowly.
    SlowBody { bytes_per_second: u64 },
    /// Handled; the response is written in an unusual format.
    Raw { as_kind: &'static str, raw_format: RawFormat },
    /// A redirect.
    Redirect { status: StatusCode, headers: HeaderMap },
    /// Handled; lists do not contain the newest videos yet.
    ListLag { lag: SignedDuration },
    /// The upload link expires now.
    ExpiredLink { status: StatusCode },
    /// Handled; the version that was created will fail.
    Outcome { scheduled_failure: Failure },
}

/// The body of a response with a given status.
#[derive(Clone, Debug)]
pub(crate) enum StatusBody {
    /// The body that Vimeo sends with this status.
    Usual,
    /// The body that Vimeo sends with this error code.
    Code(u32),
    /// These bytes.
    Body(Bytes),
}

/// Whether a rate limit is only reported, or really used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spending {
    StatusBody,
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
            Self::HugeBody { .. } => "huge",
            Self::Garbage => "garbage",
            Self::Drip { .. } => "drip",
            Self::SlowBody { .. } => "slow-body",
            Self::Raw { as_kind, .. } => as_kind,
            Self::Redirect { .. } => "redirect",
            Self::ListLag { .. } => "list-lag",
            Self::ExpiredLink { .. } => "expired-link",
            Self::Outcome { .. } => "outcome",
        }
    }
}
