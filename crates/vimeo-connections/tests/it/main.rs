//! Integration tests: the real binary, over real sockets, against the sandbox. Each folder covers a subject, and `support`
//! has what they share.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test should fail at the first surprise")]

mod architecture;
mod audit;
mod cli;
mod connections;
mod dashboard;
mod engines;
mod health;
mod http;
mod key_holding;
mod keys;
mod limits;
mod monitoring;
mod oidc;
mod process;
mod publication;
mod retention;
mod rotation;
mod security;
mod support;
mod upgrades;
mod uploads;
mod webhooks;
mod words;
