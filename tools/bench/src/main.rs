//! The bench: how fast the service is, beside what this machine allows at the same moment.
//! Knows the service as its clients do: as a process that speaks HTTP; and `/proc`, wrk and PostgreSQL. Knows none of
//! our crates.
//! Invariant: what met an error counts for nothing, and every figure stands beside its limit of the same run.

mod client;
mod growth;
mod jobs;
mod limits;
mod load;
mod near_misses;
mod open_loop;
mod operations;
mod paced;
mod peers;
mod picture;
mod process;
mod record;
mod relay;
mod report;
mod rounds;
mod sandbox;
mod server_h;
mod service;
mod slow_vimeo;
mod source;
mod trouble;
mod wall_clock;
mod whole;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::trouble::{Trouble, While as _};

/// Measures the service beside the limits of this machine. ./bench builds and starts all that this needs.
#[derive(Parser)]
#[command(name = "bench", version, max_term_width = 100)]
struct Arguments {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    wishes: Wishes,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What ./bench says itself.
#[derive(Args)]
struct Given {
    /// A directory for the reports.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench", hide = true)]
    directory: PathBuf,
    /// An empty directory for data, logs and scripts, on the disk that is to be measured.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/bench/work", hide = true)]
    work: PathBuf,
    /// Where the programs are.
    #[arg(long, value_name = "DIRECTORY", default_value = "target/release", hide = true)]
    programs: PathBuf,
    /// A throw-away PostgreSQL on this machine, in which databases are made.
    #[arg(long, value_name = "URL", hide = true)]
    postgres: Option<String>,
    /// The number of its first process.
    #[arg(long, value_name = "PID", hide = true)]
    postgres_pid: Option<u32>,
    /// Where scripts/companion has installed it.
    #[arg(long, value_name = "DIRECTORY", hide = true)]
    companion: Option<PathBuf>,
    /// What scripts/peers told of the peers that it started.
    #[arg(long, value_name = "FILE", hide = true)]
    peers_told: Option<PathBuf>,
}

impl Given {
    /// The directory for data, made if it is not there; its path without links.
    fn make_work(&self) -> Result<PathBuf, Trouble> {
        std::fs::create_dir_all(&self.work)?;
        Ok(self.work.canonicalize()?)
    }

    /// The program of the service.
    fn service(&self) -> Result<PathBuf, Trouble> {
        let program = self.programs.join("vimeo-connections").canonicalize();
        program.while_doing(format!("the service is not in {}: ./bench builds it", self.programs.display()))
    }
}

/// What whoever runs it may ask for.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
struct Wishes {
    /// Three short rounds instead of five long ones: three minutes at most.
    #[arg(long)]
    quick: bool,
    /// Only the open loop: get and create at fixed rates, with latencies from when a request was due.
    #[arg(long)]
    open: bool,
    /// With --open: this many requests a second, instead of parts of what a closed loop reaches.
    #[arg(long, value_name = "PER-SECOND", requires = "open", value_parser = a_rate)]
    rate: Option<f64>,
    /// Only what has this in its name, such as sqlite, create or postgres/list; latest.json is left as it was.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only the others that keep such records, beside the service on SQLite.
    #[arg(long, conflicts_with_all = ["open", "only"])]
    peers: bool,
    /// With --only relay: files of this many bytes.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1_000_000..=300_000_000_000))]
    bytes: Option<u64>,
    /// With --only relay: one long upload, with the service's memory over time.
    #[arg(long)]
    long: bool,
    /// With --only jobs: how many uploads are queued at once; 0 leaves that part out.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=100_000))]
    uploads: Option<u64>,
    /// With --only jobs: how many uploads wait; 0 leaves that part out.
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    waiting: Option<u64>,
    /// With --only jobs: how many uploads the service works on at once, instead of its default.
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
    /// Only how all of it changes from 10 thousand connections to a million and more; growth.json and growth.svg.
    #[arg(long, conflicts_with_all = ["open", "only"])]
    growth: bool,
    /// With --growth: up to this many connections.
    #[arg(long, value_name = "CONNECTIONS", requires = "growth", default_value = "5000000",
        value_parser = clap::value_parser!(u64).range(growth::LEAST..=50_000_000))]
    to: u64,
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
    // All that measures is started from here: a child is ended with the thread that started it.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments.command {
        Some(Command::ServeConstant) => {
            runtime.block_on(server_h::serve())?;
            Ok(ExitCode::SUCCESS)
        }
        None => whole::run(&runtime, &arguments.given, &arguments.wishes),
    }
}

fn a_rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "a rate is a number".to_owned())?;
    if (1.0..=1e6).contains(&rate) { Ok(rate) } else { Err("a rate is from 1 to 1000000".to_owned()) }
}
