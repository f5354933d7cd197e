//! The bench: the speed of the service, compared with what this machine allows at the same time.
//! Knows the service as its clients do, as a process that speaks HTTP; and `/proc`, wrk and PostgreSQL. Knows none of
//! our crates.
//! Invariant: a measurement with an error is void, and every figure is reported beside its limit from the same run.

mod chart;
mod client;
mod dashboard;
mod error;
mod flood;
mod growth;
mod jobs;
mod limits;
mod load;
mod near_misses;
mod open_loop;
mod operations;
mod paced;
mod peers;
mod process;
mod record;
mod relay;
mod report;
mod rounds;
mod run;
mod sandbox;
mod schedule;
mod server_h;
mod service;
mod slow_vimeo;
mod source;
mod time_of_day;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::error::{BenchError, Context as _};

/// Measures the service beside the limits of this machine. ./bench builds and starts everything it needs.
#[derive(Parser)]
#[command(name = "bench", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    environment: Environment,
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

/// Options that ./bench sets itself.
#[derive(Args)]
struct Environment {
    /// A directory for the reports.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench", hide = true)]
    directory: PathBuf,
    /// An empty directory for data, logs and scripts, on the disk to be measured.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench/work", hide = true)]
    work: PathBuf,
    /// The directory of the binaries.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/release", hide = true)]
    programs: PathBuf,
    /// A disposable PostgreSQL server on this machine, in which databases are created.
    #[arg(long, value_name = "URL", hide = true)]
    postgres: Option<String>,
    /// The process ID of its postmaster.
    #[arg(long, value_name = "PID", hide = true)]
    postgres_pid: Option<u32>,
    /// The directory in which scripts/companion has installed it.
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    companion: Option<PathBuf>,
    /// The output of scripts/peers about the peers that it started.
    #[arg(long, value_name = "FILE", hide = true)]
    peers_file: Option<PathBuf>,
}

impl Environment {
    /// The directory for data, created if necessary, as a canonical path.
    fn make_work(&self) -> Result<PathBuf, BenchError> {
        std::fs::create_dir_all(&self.work)?;
        Ok(self.work.canonicalize()?)
    }

    /// The binary of the service.
    fn service(&self) -> Result<PathBuf, BenchError> {
        let program = self.programs.join("vimeo-connections").canonicalize();
        program.context(format!("the service is not in {}: ./bench builds it", self.programs.display()))
    }
}

/// Options for people.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Options {
    /// Three short rounds instead of five long ones: three minutes at most.
    #[arg(long)]
    quick: bool,
    /// Only the open loop: get and create at fixed rates, with latencies from when a request was due.
    #[arg(long)]
    open: bool,
    /// With --open: this many requests a second, instead of parts of what a closed loop reaches.
    #[arg(long, value_name = "PER-SECOND", requires = "open", value_parser = a_rate)]
    rate: Option<f64>,
    /// Only measurements with this in their name, such as sqlite, create or postgres/list; latest.json is not changed.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only the peers, products that store such records, beside the service on SQLite.
    #[arg(long, conflicts_with_all = ["open", "only"])]
    peers: bool,
    /// With --only relay: files of this many bytes.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1_000_000..=300_000_000_000))]
    bytes: Option<u64>,
    /// With --only relay: one long upload, with the service's memory over time.
    #[arg(long)]
    long: bool,
    /// With --only jobs: how many uploads are queued at once; 0 leaves that part out. With --only schedule: how many are
    /// published.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=100_000))]
    uploads: Option<u64>,
    /// With --only jobs: how many uploads wait; 0 leaves that part out.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    waiting: Option<u64>,
    /// With --only jobs: how many uploads the service executes at once, instead of its default.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    concurrency: Option<u32>,
    /// With --only jobs: an older binary of the service, which is measured in turn with the current one.
    #[arg(long, value_name = "BINARY")]
    compare: Option<PathBuf>,
    /// How many rounds.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// How long each measurement of a round takes.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: Option<u32>,
    /// Only the change of all figures from 10 thousand connections to a million and more; growth.json and growth.svg.
    #[arg(long, conflicts_with_all = ["open", "only"])]
    growth: bool,
    /// With --growth: up to this many connections.
    #[arg(long, value_name = "CONNECTIONS", requires = "growth", default_value = "5000000",
        value_parser = clap::value_parser!(u64).range(growth::LEAST..=50_000_000))]
    to: u64,
}

#[derive(Subcommand)]
enum Command {
    /// Serve a constant response.
    #[command(hide = true)]
    ServeConstant,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode, BenchError> {
    // All processes are started from this thread: a child is killed when the thread that started it ends.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments.command {
        Some(Command::ServeConstant) => {
            runtime.block_on(server_h::serve())?;
            Ok(ExitCode::SUCCESS)
        }
        None => run::run(&runtime, &arguments.environment, &arguments.options),
    }
}

fn a_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a rate is a number".to_owned())?;
    if (1.0..=1e6).contains(&rate) { Ok(rate) } else { Err("a rate is from 1 to 1000000".to_owned()) }
}
