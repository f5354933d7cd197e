//! Growth: the same operations with ten thousand connections, a million, and more. The database grows through the
//! service; measurements use a copy of it, so that it keeps its size.

mod accounts;
mod chart;
mod fill;
mod installation;
mod list_scan;
mod measure;
mod stages;
mod table;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;

use tokio::runtime::Runtime;

use self::accounts::Accounts;
use self::fill::Creator;
use self::installation::Installation;
use self::measure::Meter;
use self::stages::{Databases, Growing};
use self::table::Growth;
use crate::error::BenchError;
use crate::limits::http::ConstantServer;
use crate::rounds::{Pace, subdirectory};
use crate::run::write;
use crate::{Environment, Options};

/// The size that all others are compared with.
pub(crate) const LEAST: u64 = 10_000;
const SIZES: [u64; 3] = [LEAST, 1_000_000, 5_000_000];
const QUICK: Pace = Pace { rounds: 3, seconds: 2 };
const LONG: Pace = Pace { rounds: 5, seconds: 3 };

/// Measures every size, and writes the reports.
pub(crate) fn run(
    runtime: &Runtime,
    environment: &Environment,
    options: &Options,
    progress: fn(&str),
) -> Result<ExitCode, BenchError> {
    let usual = if options.quick { QUICK } else { LONG };
    let pace = Pace {
        rounds: options.rounds.unwrap_or(usual.rounds),
        seconds: options.seconds.unwrap_or(usual.seconds),
    };
    fs::create_dir_all(&environment.directory)?;
    let (directory, program) = (environment.make_work()?, environment.service()?);
    let installation = Installation::new(&program, &subdirectory(&directory, "growth")?);
    let databases = Databases::configure(&installation, environment.postgres.as_deref())?;
    progress("Making accounts and keys with the service's own commands");
    let accounts = Accounts::make(&installation, &databases.grown, options.to)?;
    let how_many = accounts.keys.len();
    progress(&format!(
        "{how_many} accounts, each with a key, in {:.0} s: three have 20, 20 and 10 % of all connections, the others share the rest",
        accounts.took.as_secs_f64()
    ));
    let constant = ConstantServer::start(&subdirectory(&directory, "constant")?)?;
    let load = installation.subdirectory("load")?;
    let meter = Meter {
        runtime,
        constant: &constant,
        accounts: &accounts,
        subdirectory: load.clone(),
        pace,
        progress: &progress,
    };
    let creator = Creator::new(&load, &accounts.lines())?;
    let mut growing = Growing::new(&installation, &databases, meter, creator);
    let mut growth = Growth::new(options.to, how_many, pace, memory_bytes()?, cores());
    let outcome = grow(&mut growing, &mut growth, environment, options.to);
    if let Err(error) = outcome {
        growth.notes.push(format!("It ended before its end: {error}"));
        growth.is_whole = false;
    }
    report(&growth, &environment.directory)?;
    progress(&format!("\n{}", growth.table()));
    progress(&format!("Written: growth.json and growth.svg in {}", environment.directory.display()));
    fs::remove_dir_all(directory.join("growth"))?;
    Ok(if growth.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn grow(
    growing: &mut Growing<'_>,
    growth: &mut Growth,
    environment: &Environment,
    to: u64,
) -> Result<(), BenchError> {
    for size in sizes(to) {
        let arrival = growing.fill(size)?;
        growth.found.push(growing.sqlite(&arrival)?);
        report(growth, &environment.directory)?;
        match growing.postgres(size) {
            Ok(Ok(found)) => growth.found.push(found),
            Ok(Err(note)) => growth.notes.push(note),
            // SQLite continues without it.
            Err(error) => {
                growth.notes.push(format!("PostgreSQL at {size} connections failed: {error}"));
                growth.is_whole = false;
            }
        }
        report(growth, &environment.directory)?;
    }
    Ok(())
}

/// Results are written as they come, so that a long run can be stopped.
fn report(growth: &Growth, directory: &Path) -> Result<(), BenchError> {
    write(directory, "growth.json", &growth.report())?;
    fs::write(directory.join("growth.svg"), chart::draw(&growth.lines()))?;
    Ok(())
}

/// The sizes that are measured up to the largest one.
fn sizes(to: u64) -> Vec<u64> {
    SIZES.into_iter().filter(|size| *size < to).chain([to]).collect()
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// The cores and memory of the machine.
fn memory_bytes() -> Result<u64, BenchError> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or("the kernel does not say how much memory there is")? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_size_is_the_requested_one() {
        assert_eq!(sizes(10_000), [10_000]);
        assert_eq!(sizes(20_000), [10_000, 20_000]);
        assert_eq!(sizes(5_000_000), SIZES);
        assert_eq!(sizes(6_000_000), [10_000, 1_000_000, 5_000_000, 6_000_000]);
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory_bytes().unwrap() > 1 << 20);
    }
}
