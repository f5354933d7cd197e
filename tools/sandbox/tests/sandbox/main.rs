//! What the sandbox promises, asked over TCP as a client asks.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised should fail on the spot"
)]

mod abandoned;
mod apps;
mod binary;
mod browser;
mod browser_pages;
mod clients;
mod consent;
mod controls;
mod devices;
mod faults;
mod folders;
mod forms;
mod grants;
mod greeting;
mod harness;
mod hosts;
mod journal;
mod journal_live;
mod limits;
mod line;
mod me;
mod mishaps;
mod nonsense;
mod oauth;
mod offsets;
mod open;
mod page;
mod program;
mod pulls;
mod redirects;
mod refusals;
mod restart;
mod sending;
mod stages;
mod timing;
mod tools;
mod transfers;
mod trouble;
mod tus;
mod videos;
mod walks;
