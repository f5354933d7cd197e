//! What the sandbox promises, asked over TCP as a client asks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised should fail on the spot"
)]

mod apps;
mod binary;
mod browser;
mod consent;
mod controls;
mod devices;
mod faults;
mod grants;
mod harness;
mod journal;
mod limits;
mod me;
mod nonsense;
mod oauth;
mod open;
mod redirects;
