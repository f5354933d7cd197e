//! An environment for one test: a directory, a sandbox, the service as a process, and commands of the binary.

mod closed_port;
mod commands;
mod env;
mod service;

use std::time::{Duration, Instant};

pub(crate) use closed_port::ClosedPort;
pub(crate) use commands::{cli, finish, is_documented_failure, make_key, printed, run, schema, serve_error};
pub(crate) use env::{ACCOUNT, COLLECTION, EnvOptions, Response, TestEnv};
pub(crate) use service::{Service, binary};

/// The limit of every wait, after which the test fails. Tests make no other assertions about time.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// Waits until a condition holds, at most [`WAIT_LIMIT`].
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < WAIT_LIMIT, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
