//! The tests of the whole: the real binary, over real sockets, against the sandbox. One file a subject.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that is surprised should fail on the spot"
)]

mod architecture;
mod cli;
mod connections;
mod engines;
mod http;
mod keys;
mod process;
mod security;
mod support;
mod uploads;
