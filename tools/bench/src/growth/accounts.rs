//! The accounts of the growth test: a few huge ones with half of all connections, and many small ones that share the
//! other half.

use std::time::{Duration, Instant};

use super::installation::{Configured, Installation};
use crate::error::BenchError;
use crate::service::{made_key, outcome};

/// The shares of the huge accounts, in percent of all connections, the largest first.
const HUGE: [usize; 3] = [20, 20, 10];
/// The share of the small accounts.
const SHARED: usize = 50;
const SMALL_MOST: u64 = 2_000;
const SMALL_LEAST: u64 = 10;
/// Connections per small account.
const CONNECTIONS_EACH: u64 = 250;
/// Concurrent commands: one for each core of a small machine.
const AT_ONCE: usize = 2;
const TIMEOUT: Duration = Duration::from_mins(1);
/// The longest time for creating accounts.
const BUDGET: Duration = Duration::from_secs(100);

/// The API keys of all accounts, the huge ones first.
pub(crate) struct Accounts {
    pub(crate) keys: Vec<String>,
    pub(crate) took: Duration,
}

impl Accounts {
    /// Creates them with the service's commands, as many as that number of connections needs and the time allows.
    pub(crate) fn make(
        installation: &Installation,
        configured: &Configured,
        connections: u64,
    ) -> Result<Self, BenchError> {
        let wanted = HUGE.len() + usize::try_from(small(connections))?;
        let least = HUGE.len() + usize::try_from(SMALL_LEAST)?;
        let directories = (0..AT_ONCE)
            .map(|at| installation.subdirectory(&format!("commands-{at}")))
            .collect::<Result<Vec<_>, _>>()?;
        let started = Instant::now();
        let mut keys = Vec::with_capacity(wanted);
        while keys.len() < wanted && (keys.len() < least || started.elapsed() < BUDGET) {
            let names: Vec<String> = (0..AT_ONCE).map(|at| format!("bench-{}", keys.len() + at)).collect();
            let run = |arguments: &dyn Fn(&str) -> Vec<String>| {
                let mut running = Vec::new();
                for (subdirectory, name) in directories.iter().zip(&names) {
                    let arguments = arguments(name);
                    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                    running.push((installation.begin(configured, subdirectory, &arguments)?, subdirectory));
                }
                let said = running
                    .into_iter()
                    .map(|(process, subdirectory)| outcome(process, subdirectory, TIMEOUT));
                said.collect::<Result<Vec<String>, BenchError>>()
            };
            run(&|name| ["accounts", "create", name].map(str::to_owned).to_vec())?;
            for said in
                run(&|name| ["keys", "create", "--json", "--account", name].map(str::to_owned).to_vec())?
            {
                keys.push(made_key(&said)?);
            }
        }
        Ok(Self { keys, took: started.elapsed() })
    }

    /// One key per line, repeated in proportion to its account's share: random lines fill all accounts proportionally.
    pub(crate) fn lines(&self) -> String {
        let slots = slots(self.keys.len().saturating_sub(HUGE.len()));
        let lines: Vec<&str> = slots.iter().filter_map(|at| self.keys.get(*at).map(String::as_str)).collect();
        lines.join("\n") + "\n"
    }
}

/// How many small accounts there are.
fn small(connections: u64) -> u64 {
    (connections / CONNECTIONS_EACH).clamp(SMALL_LEAST, SMALL_MOST)
}

/// The accounts by number, each repeated in proportion to its share, and each small one once.
fn slots(small: usize) -> Vec<usize> {
    let huge = HUGE.iter().enumerate().flat_map(|(at, part)| vec![at; (small * part).div_ceil(SHARED)]);
    huge.chain(HUGE.len()..HUGE.len() + small).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_accounts_share_half_and_small_ones_the_rest_evenly() {
        let slots = slots(2_000);
        let of = |account: usize| slots.iter().filter(|at| **at == account).count();
        assert_eq!(slots.len(), 4_000);
        assert_eq!((of(0), of(1), of(2), of(3), of(2_002)), (800, 800, 400, 1, 1));
    }

    #[test]
    fn few_connections_have_few_accounts() {
        assert_eq!((small(10), small(20_000), small(5_000_000)), (10, 80, 2_000));
    }

    #[test]
    fn a_line_is_a_key() {
        let keys = (0..13).map(|at| format!("key-{at}")).collect();
        let accounts = Accounts { keys, took: Duration::ZERO };
        let lines = accounts.lines();
        assert_eq!(lines.lines().count(), 4 + 4 + 2 + 10);
        assert!(lines.ends_with("key-12\n"));
    }
}
