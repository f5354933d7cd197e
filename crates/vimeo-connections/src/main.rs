//! The binary: reads the configuration, wires the rooms together, and speaks to the operator.
//! Knows every room by its door. Holds no rule of the business.
//! Invariant: what decides security is said in the configuration or refused; nothing is taken from the ambient
//! environment but the variables that `docs/config.md` lists.

mod certificates;
mod cli;
mod config;
mod exit;
mod hardening;
mod listener;
mod permissions;
mod prepare;
mod serve;
mod telemetry;
mod wiring;

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

use exit::ExitStatus;

/// A page of 50 connections is some 500 small allocations: with the C library's allocator they were a fifth of its work.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    hardening::apply();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(cli::run(arguments)),
        Err(error) => Err(error.into()),
    };
    telemetry::finish();
    match result {
        Ok(code) => code,
        Err(error) => {
            let status = ExitStatus::of(&*error).code();
            if !telemetry::report_failure(&cli::output::with_causes(&*error), status) {
                cli::output::complain(&*error);
            }
            ExitCode::from(status)
        }
    }
}
