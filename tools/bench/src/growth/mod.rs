//! Growth: the same questions to the service with ten thousand connections, a million, and more. The database grows
//! through the service itself; what is measured is always a copy of it, so that it has the size that is said.

mod accounts;
mod fill;
mod home;
mod measure;
mod picture;
mod stages;
mod table;
mod walk;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread::available_parallelism;

use tokio::runtime::Runtime;

use self::accounts::Accounts;
use self::fill::Creator;
use self::home::Home;
use self::measure::Meter;
use self::stages::{Databases, Growing};
use self::table::Growth;
use crate::limits::http::ConstantServer;
use crate::rounds::{Pace, room};
use crate::trouble::Trouble;
use crate::whole::write;
use crate::{Given, Wishes};

/// The size that all others are compared with.
pub(crate) const LEAST: u64 = 10_000;
const SIZES: [u64; 3] = [LEAST, 1_000_000, 5_000_000];
const QUICK: Pace = Pace { rounds: 3, seconds: 2 };
const LONG: Pace = Pace { rounds: 5, seconds: 3 };

/// Measures at every size, and writes the reports.
pub(crate) fn run(
    runtime: &Runtime,
    given: &Given,
    wishes: &Wishes,
    say: fn(&str),
) -> Result<ExitCode, Trouble> {
    let usual = if wishes.quick { QUICK } else { LONG };
    let pace = Pace {
        rounds: wishes.rounds.unwrap_or(usual.rounds),
        seconds: wishes.seconds.unwrap_or(usual.seconds),
    };
    fs::create_dir_all(&given.directory)?;
    let (directory, program) = (given.make_work()?, given.service()?);
    let home = Home::new(&program, &room(&directory, "growth")?);
    let databases = Databases::configure(&home, given.postgres.as_deref())?;
    say("Making accounts and keys with the service's own commands");
    let accounts = Accounts::make(&home, &databases.grown, wishes.to)?;
    let how_many = accounts.keys.len();
    say(&format!(
        "{how_many} accounts, each with a key, in {:.0} s: three have 20, 20 and 10 % of all connections, the others share the rest",
        accounts.took.as_secs_f64()
    ));
    let constant = ConstantServer::start(&room(&directory, "constant")?)?;
    let load = home.room("load")?;
    let meter =
        Meter { runtime, constant: &constant, accounts: &accounts, room: load.clone(), pace, say: &say };
    let creator = Creator::new(&load, &accounts.lines())?;
    let mut growing = Growing::new(&home, &databases, meter, creator);
    let mut growth = Growth::new(wishes.to, how_many, pace, memory_bytes()?, cores());
    let outcome = grow(&mut growing, &mut growth, given, wishes.to);
    if let Err(trouble) = outcome {
        growth.notes.push(format!("It ended before its end: {trouble}"));
        growth.is_whole = false;
    }
    report(&growth, &given.directory)?;
    say(&format!("\n{}", growth.table()));
    say(&format!("Written: growth.json and growth.svg in {}", given.directory.display()));
    fs::remove_dir_all(directory.join("growth"))?;
    Ok(if growth.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn grow(growing: &mut Growing<'_>, growth: &mut Growth, given: &Given, to: u64) -> Result<(), Trouble> {
    for size in sizes(to) {
        let arrival = growing.fill(size)?;
        growth.found.push(growing.sqlite(&arrival)?);
        report(growth, &given.directory)?;
        match growing.postgres(size) {
            Ok(Ok(found)) => growth.found.push(found),
            Ok(Err(note)) => growth.notes.push(note),
            // SQLite goes on without it.
            Err(trouble) => {
                growth.notes.push(format!("PostgreSQL at {size} connections failed: {trouble}"));
                growth.is_whole = false;
            }
        }
        report(growth, &given.directory)?;
    }
    Ok(())
}

/// What is there by then is written, so that a long run that is stopped was not for nothing.
fn report(growth: &Growth, directory: &Path) -> Result<(), Trouble> {
    write(directory, "growth.json", &growth.report())?;
    fs::write(directory.join("growth.svg"), picture::draw(&growth.lines()))?;
    Ok(())
}

/// Where is measured on the way to that size.
fn sizes(to: u64) -> Vec<u64> {
    SIZES.into_iter().filter(|size| *size < to).chain([to]).collect()
}

fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}

/// What the machine has.
fn memory_bytes() -> Result<u64, Trouble> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kib.ok_or("the kernel does not say how much memory there is")? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_size_is_the_one_that_is_wished() {
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
