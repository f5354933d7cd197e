//! PostgreSQL for tests: private servers, databases on shared servers, and a proxy that fails on demand.
//! `scripts/postgres` installs the programs and starts the shared servers; without them a test is skipped, and
//! reported.

mod disk;
mod harness_selftest;
mod pgbouncer;
mod proxy;
mod server;
mod shared;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

pub(crate) use disk::Part;
pub(crate) use pgbouncer::{PgBouncer, PoolMode};
pub(crate) use proxy::{Cut, Fault, Proxy};
pub(crate) use server::{PASSWORD, PASSWORD_IN_URL, Postgres, Stop, remove_memory};
pub(crate) use shared::SharedPostgres;

use crate::support::harness::finish;
use crate::support::tools::{program, skip, variable};

/// The limit of every wait, after which the test fails. Tests make no other assertions about time.
const WAIT_LIMIT: Duration = Duration::from_mins(1);
const HOW_TO_HAVE_IT: &str = "run ./test, or eval \"$(scripts/postgres start target --while $$)\" before";

/// The versions in the tests: the oldest supported one, and the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    V15,
    V18,
}

impl Version {
    pub(crate) const ALL: [Self; 2] = [Self::V15, Self::V18];

    /// A variable of `scripts/postgres` for this version.
    fn variable(self, end: &str) -> Option<String> {
        let number = match self {
            Self::V15 => 15,
            Self::V18 => 18,
        };
        variable(&format!("TEST_POSTGRES_{number}_{end}"))
    }

    /// The directory of its programs: from `scripts/postgres`, or where Debian installs them.
    fn programs(self) -> Option<PathBuf> {
        let named = self.variable("BIN").map(PathBuf::from);
        let usual = (self == Self::V15).then(|| PathBuf::from("/usr/lib/postgresql/15/bin"));
        named.or(usual).filter(|programs| programs.join("postgres").exists())
    }

    /// The same. `None`, and reported, if it is missing: the test is skipped. In CI this is a failure.
    pub(crate) fn find_programs(self) -> Option<PathBuf> {
        let found = self.programs();
        if found.is_none() {
            skip(&format!("the programs of PostgreSQL {self:?} are missing; {HOW_TO_HAVE_IT}"));
        }
        found
    }
}

/// Runs statements, in one transaction if there are several: the rows, with columns separated by `|`; or the error,
/// with its SQLSTATE.
pub(crate) fn sql(url: &str, statements: &str) -> Result<String, String> {
    let output = finish(psql(url, statements), WAIT_LIMIT);
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
}

/// The command that [`sql`] runs, for tests that do something else meanwhile.
pub(crate) fn psql(url: &str, statements: &str) -> Command {
    let programs = Version::ALL.iter().find_map(|version| version.programs()).unwrap();
    let mut command = program(programs.join("psql"));
    command.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--set=VERBOSITY=verbose"]);
    command.args(["--set=ON_ERROR_STOP=1", "--no-password", "--dbname", url, "--command", statements]);
    command
}
