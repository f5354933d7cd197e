//! The binary: reads the configuration, wires the crates together, and implements the command line.
//! Knows every crate's public API. Contains no business rules.
//! Invariant: security settings come from the configuration or are rejected; nothing is read from the environment
//! except the variables listed in `docs/config.md`, which include those of systemd.

mod activation;
mod bootstrap;
mod browsers;
mod certificates;
mod cli;
mod client;
mod config;
mod exit;
mod hardening;
mod keyring_source;
mod listener;
mod metrics_server;
mod permissions;
mod prepare;
mod reload;
mod serve;
mod supervisor;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use mimalloc::MiMalloc;

use exit::ExitStatus;

/// A page of 50 connections needs about 500 small allocations. With the C library's allocator they were a fifth of its
/// cost.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::parse();
    hardening::apply();
    let sockets = activation::take();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(arguments, sockets)),
        Err(error) => Err(error.into()),
    };
    telemetry::finish();
    match result {
        Ok(code) => code,
        Err(error) => {
            let status = ExitStatus::of(&*error).code();
            if !telemetry::report_failure(&cli::output::with_causes(&*error), status) {
                cli::output::report_error(&*error);
            }
            ExitCode::from(status)
        }
    }
}
