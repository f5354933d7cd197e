//! Several rounds of all operations: each next to its limits, in the opposite order in every other round, so that
//! changes on the machine affect both alike.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Runtime;

use crate::error::BenchError;
use crate::limits::http::ConstantServer;
use crate::limits::postgres::{Database, Work};
use crate::limits::{Limit, append, raw_log};
use crate::operations::{CONNECTIONS, Operation, Sample, Subject};
use crate::service::Engine;

/// The number and length of rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) rounds: u32,
    /// Of each measurement in a round.
    pub(crate) seconds: u32,
}

/// An operation and its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) engine: Engine,
    pub(crate) operation: Operation,
    limits: &'static [Limit],
}

/// The groups that have targets.
pub(crate) const GROUPS: [Group; 8] = [
    Group::of(Engine::Sqlite, Operation::Create, &[Limit::H, Limit::R]),
    Group::of(Engine::Sqlite, Operation::Get, &[Limit::H]),
    Group::of(Engine::Sqlite, Operation::List, &[Limit::H]),
    Group::of(Engine::Sqlite, Operation::Update, &[Limit::H]),
    Group::of(Engine::Postgres, Operation::Create, &[Limit::P]),
    Group::of(Engine::Postgres, Operation::Get, &[Limit::P]),
    Group::of(Engine::Postgres, Operation::List, &[Limit::P]),
    Group::of(Engine::Postgres, Operation::Update, &[Limit::P]),
];

impl Group {
    const fn of(engine: Engine, operation: Operation, limits: &'static [Limit]) -> Self {
        Self { engine, operation, limits }
    }

    /// `engine/operation`, which `--only` matches.
    pub(crate) fn name(self) -> String {
        format!("{}/{}", self.engine, self.operation)
    }

    fn steps(self) -> Vec<Step> {
        let mut steps = vec![Step::Load(self.operation)];
        if self.operation == Operation::List {
            steps.push(Step::Load(Operation::DeepList));
        }
        for (at, limit) in self.limits.iter().enumerate() {
            // One limit before and one after.
            steps.insert(if at == 0 { 0 } else { steps.len() }, Step::Limit(*limit));
        }
        if self.limits.contains(&Limit::R) {
            steps.push(Step::Append);
        }
        steps
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Limit(Limit),
    Append,
    Load(Operation),
}

/// The result of a group in one round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Round {
    pub(crate) sample: Option<Sample>,
    pub(crate) deep: Option<Sample>,
    /// Each limit and its rate per second.
    pub(crate) limits: Vec<(Limit, f64)>,
    /// F, for operations that write to a disk.
    pub(crate) appends: Option<f64>,
}

/// The result of a group.
pub(crate) struct Results {
    pub(crate) group: Group,
    pub(crate) rounds: Vec<Round>,
    /// Why it is void, if it is.
    pub(crate) fault: Option<String>,
    /// The service's memory before its first request.
    pub(crate) idle: crate::process::Memory,
}

/// The servers and services of a run.
pub(crate) struct TestBed<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) constant: ConstantServer,
    pub(crate) database: Option<Database>,
    pub(crate) directory: PathBuf,
}

impl TestBed<'_> {
    /// Measures the groups, and reports progress.
    pub(crate) fn run(&mut self, groups: &[Group], pace: Pace, progress: impl Fn(&str)) -> Vec<Results> {
        let idle = |group: &Group| {
            let subject = self.subjects.iter().find(|subject| subject.engine == group.engine);
            subject.map(|subject| subject.idle).unwrap_or_default()
        };
        let mut all: Vec<Results> = groups
            .iter()
            .map(|group| Results { group: *group, rounds: Vec::new(), fault: None, idle: idle(group) })
            .collect();
        for number in 0..pace.rounds {
            let order: Vec<&mut Results> =
                if number % 2 == 0 { all.iter_mut().collect() } else { all.iter_mut().rev().collect() };
            for found in order {
                match self.round(found.group, number, pace.seconds) {
                    Ok(round) => {
                        progress(&format!(
                            "round {} of {}: {}",
                            number + 1,
                            pace.rounds,
                            in_short(found.group, &round)
                        ));
                        let faults = round.sample.iter().chain(&round.deep).filter_map(|s| s.fault.clone());
                        found.fault = found.fault.take().or_else(|| faults.into_iter().next());
                        found.rounds.push(round);
                    }
                    Err(error) => {
                        progress(&format!("round {}: {}: {error}", number + 1, found.group.name()));
                        found.fault.get_or_insert(error.to_string());
                    }
                }
            }
        }
        all
    }

    fn round(&mut self, group: Group, number: u32, seconds: u32) -> Result<Round, BenchError> {
        let mut steps = group.steps();
        if number % 2 == 1 {
            steps.reverse();
        }
        let mut round = Round::default();
        for step in steps {
            match step {
                Step::Limit(limit) => {
                    round.limits.push((limit, self.limit(limit, group.operation, seconds)?));
                }
                Step::Append => {
                    let long = Duration::from_millis(500);
                    round.appends = Some(append::run(&self.directory, long)?);
                }
                Step::Load(operation) => {
                    let subject = self
                        .subjects
                        .iter_mut()
                        .find(|subject| subject.engine == group.engine)
                        .ok_or("the service is not there on this engine")?;
                    let sample = subject.measure(self.runtime, operation, seconds)?;
                    match operation {
                        Operation::DeepList => round.deep = Some(sample),
                        _ => round.sample = Some(sample),
                    }
                }
            }
        }
        Ok(round)
    }

    fn limit(&self, limit: Limit, operation: Operation, seconds: u32) -> Result<f64, BenchError> {
        let long = Duration::from_secs(u64::from(seconds));
        match limit {
            Limit::H => {
                let measured = self.constant.run(CONNECTIONS, seconds)?;
                match measured.fault() {
                    None => Ok(measured.requests_per_second()),
                    Some(fault) => Err(format!("the constant server: {fault}").into()),
                }
            }
            Limit::R => raw_log::run(self.runtime, &self.directory, long),
            Limit::P => {
                let database = self.database.as_ref().ok_or("there is no database to compare with")?;
                let work = match operation {
                    Operation::Create => Work::Insert,
                    Operation::Get => Work::Get,
                    Operation::List | Operation::DeepList => Work::List,
                    Operation::Update => Work::Update,
                };
                database.run(self.runtime, work, long)
            }
        }
    }
}

fn in_short(group: Group, round: &Round) -> String {
    let own = round.sample.as_ref().map_or(0.0, |sample| sample.measured.requests_per_second());
    let mut text = format!("{:<16} {own:>8.0}/s", group.name());
    for (limit, rate) in &round.limits {
        let _ = write!(text, "   {} {rate:>7.0}/s", limit.letter());
    }
    if let Some(appends) = round.appends {
        let _ = write!(text, "   F {appends:.0}/s");
    }
    text
}

/// The median, the minimum and the maximum of several values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` without values.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let upper = *values.get(middle)?;
        let median =
            if values.len() % 2 == 1 { upper } else { f64::midpoint(*values.get(middle - 1)?, upper) };
        Some(Self { median, least: *values.first()?, most: *values.last()? })
    }
}

/// Creates a subdirectory.
pub(crate) fn subdirectory(directory: &Path, name: &str) -> Result<PathBuf, BenchError> {
    let subdirectory = directory.join(name);
    std::fs::create_dir_all(&subdirectory)?;
    Ok(subdirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value() {
        let spread = |values: &[f64]| Spread::of(values.iter().copied());
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 3.0 }));
        assert_eq!(spread(&[4.0, 1.0]), Some(Spread { median: 2.5, least: 1.0, most: 4.0 }));
    }

    #[test]
    fn every_operation_is_measured_between_its_limits() {
        let steps = |at: usize| GROUPS[at].steps();
        let send = Step::Load(Operation::Create);
        assert_eq!(steps(0), [Step::Limit(Limit::H), send, Step::Limit(Limit::R), Step::Append]);
        assert_eq!(steps(2).len(), 3);
        assert_eq!(GROUPS.iter().map(|group| group.limits.len()).sum::<usize>(), 9);
    }
}
