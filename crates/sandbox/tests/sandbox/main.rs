//! What the sandbox promises, asked over TCP as a client asks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised should fail on the spot"
)]

mod binary;
mod controls;
mod faults;
mod harness;
mod journal;
mod journal_live;
mod limits;
mod me;
mod nonsense;
mod oauth;
mod open;
mod timing;
mod trouble;
