//! The bench: how fast the service is, beside what this machine allows at the same moment.
//! Knows the service as its clients do: as a process that speaks HTTP; and `/proc`, wrk and PostgreSQL. Knows none of
//! our crates.
//! Invariant: what met an error counts for nothing, and every figure stands beside its limit of the same run.

mod client;
mod load;
mod process;
mod server_h;
mod service;
mod trouble;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::trouble::Trouble;

/// Measures the service beside the limits of this machine. ./bench builds and starts all that this needs.
#[derive(Parser)]
#[command(name = "bench", version, max_term_width = 100)]
struct Arguments {
    /// A directory for everything that is written; what an earlier run left there is replaced.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench")]
    directory: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a constant.
    #[command(hide = true)]
    ServeConstant,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(trouble) => {
            let _ = writeln!(io::stderr(), "bench: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if let Some(Command::ServeConstant) = arguments.command {
        runtime.block_on(server_h::serve())?;
    }
    Ok(ExitCode::SUCCESS)
}
