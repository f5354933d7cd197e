//! The figures of all rounds, as a table and as `jobs.json`. Medians over the rounds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::bulk::{AtSize, Bulk};
use super::waiting::Waiting;
use super::{Binary, Measured};
use crate::rounds::Spread;
use crate::service::Engine;

/// The figures of each engine, by its name.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    #[serde(flatten)]
    current: BTreeMap<String, Figures>,
    /// The same of the older binary.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    older: BTreeMap<String, Figures>,
}

/// The figures of one binary on one engine. Those of a part that was not measured are left out.
#[derive(Debug, Serialize)]
struct Figures {
    #[serde(flatten)]
    bulk: Option<BulkFigures>,
    #[serde(flatten)]
    waiting: Option<WaitingFigures>,
    /// What was measured in each round.
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct BulkFigures {
    uploads: u64,
    /// The minimum of all rounds. Fewer than `uploads` if a bulk was stopped early.
    completed: u64,
    jobs_per_second: f64,
    api_requests_per_upload_first_100: f64,
    api_requests_per_upload_last_100: f64,
}

#[derive(Debug, Serialize)]
struct WaitingFigures {
    waiting_jobs: u64,
    waiting_cpu_percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_postgres_cpu_percent: Option<f64>,
    /// The longest time of all rounds until an upload beside the waiting ones started; absent if one did not.
    start_beside_waiting_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Round {
    #[serde(skip_serializing_if = "Option::is_none")]
    bulk: Option<Bulk>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting: Option<Waiting>,
}

impl Report {
    pub(super) fn of(measured: &[Measured]) -> Self {
        let of = |binary| {
            let mut engines = BTreeMap::new();
            for engine in [Engine::Sqlite, Engine::Postgres] {
                let own = measured.iter().filter(|one| one.binary == binary && one.engine == engine);
                let rounds: Vec<Round> =
                    own.map(|one| Round { bulk: one.bulk.clone(), waiting: one.waiting.clone() }).collect();
                if !rounds.is_empty() {
                    engines.insert(engine.to_string(), Figures::of(rounds));
                }
            }
            engines
        };
        Self { current: of(Binary::Current), older: of(Binary::Older) }
    }

    /// Whether every upload completed with the current binary.
    pub(crate) fn is_good(&self) -> bool {
        let bulks = self.current.values().filter_map(|figures| figures.bulk.as_ref());
        bulks.into_iter().all(|bulk| bulk.completed == bulk.uploads)
    }

    pub(crate) fn table(&self) -> String {
        let mut text = format!(
            "{:<9} {:<8} {:>8} {:>10} {:>7} {:>11} {:>11} {:>9} {:>7} {:>12} {:>9}\n",
            "engine",
            "binary",
            "uploads",
            "completed",
            "jobs/s",
            "requests,",
            "requests,",
            "waiting",
            "CPU %",
            "PostgreSQL %",
            "start ms"
        );
        let _ = writeln!(text, "{:>58} {:>11}", "first 100", "last 100");
        for (binary, engines) in self.binaries() {
            for (engine, figures) in engines {
                text.push_str(&figures.row(engine, binary));
            }
        }
        text.push_str("\nUploads into an account that has this many videos, and requests by route:\n");
        for (binary, engines) in self.binaries() {
            for (engine, figures) in engines {
                let Some(bulk) = figures.rounds.first().and_then(|round| round.bulk.as_ref()) else {
                    continue;
                };
                let _ = writeln!(text, "\n{engine} {binary}");
                text.push_str(&details(bulk));
            }
        }
        text
    }

    fn binaries(&self) -> [(&'static str, &BTreeMap<String, Figures>); 2] {
        [("current", &self.current), ("older", &self.older)]
    }
}

impl Figures {
    fn of(rounds: Vec<Round>) -> Self {
        let bulks: Vec<&Bulk> = rounds.iter().filter_map(|round| round.bulk.as_ref()).collect();
        let waitings: Vec<&Waiting> = rounds.iter().filter_map(|round| round.waiting.as_ref()).collect();
        let (bulk, waiting) = (BulkFigures::of(&bulks), WaitingFigures::of(&waitings));
        Self { bulk, waiting, rounds }
    }

    fn row(&self, engine: &str, binary: &str) -> String {
        let bulk = |show: fn(&BulkFigures) -> String| self.bulk.as_ref().map_or_else(none, show);
        let waiting = |show: fn(&WaitingFigures) -> String| self.waiting.as_ref().map_or_else(none, show);
        let shown = |number: Option<f64>| number.map_or_else(none, |number| format!("{number:.1}"));
        format!(
            "{engine:<9} {binary:<8} {:>8} {:>10} {:>7} {:>11} {:>11} {:>9} {:>7} {:>12} {:>9}\n",
            bulk(|figures| figures.uploads.to_string()),
            bulk(|figures| figures.completed.to_string()),
            bulk(|figures| format!("{:.1}", figures.jobs_per_second)),
            bulk(|figures| format!("{:.2}", figures.api_requests_per_upload_first_100)),
            bulk(|figures| format!("{:.2}", figures.api_requests_per_upload_last_100)),
            waiting(|figures| figures.waiting_jobs.to_string()),
            waiting(|figures| format!("{:.2}", figures.waiting_cpu_percent)),
            shown(self.waiting.as_ref().and_then(|figures| figures.waiting_postgres_cpu_percent)),
            shown(self.waiting.as_ref().and_then(|figures| figures.start_beside_waiting_ms)),
        )
    }
}

fn none() -> String {
    "-".to_owned()
}

fn details(bulk: &Bulk) -> String {
    let mut text = format!("{:>10} {:>8} {:>10} {:>8}\n", "videos", "queued", "requests", "jobs/s");
    for AtSize { videos, queued, api_requests_per_upload, jobs_per_second } in &bulk.by_account_size {
        let _ =
            writeln!(text, "{videos:>10} {queued:>8} {api_requests_per_upload:>10.2} {jobs_per_second:>8.1}");
    }
    for (route, count) in &bulk.requests_by_route {
        let _ = writeln!(text, "{count:>10.2}  {route}");
    }
    let _ = writeln!(text, "{:>10.2}  at the upload link", bulk.link_requests_per_upload);
    text
}

impl BulkFigures {
    fn of(bulks: &[&Bulk]) -> Option<Self> {
        let median = |of: fn(&Bulk) -> f64| Spread::of(bulks.iter().map(|bulk| of(bulk)));
        Some(Self {
            uploads: bulks.first()?.uploads,
            completed: bulks.iter().map(|bulk| bulk.completed).min()?,
            jobs_per_second: median(|bulk| bulk.jobs_per_second)?.median,
            api_requests_per_upload_first_100: median(|bulk| bulk.requests_first)?.median,
            api_requests_per_upload_last_100: median(|bulk| bulk.requests_last)?.median,
        })
    }
}

impl WaitingFigures {
    fn of(waitings: &[&Waiting]) -> Option<Self> {
        let postgres = Spread::of(waitings.iter().filter_map(|waiting| waiting.postgres_cpu_percent));
        let starts: Option<Vec<f64>> =
            waitings.iter().map(|waiting| waiting.start_ms.map(|(_, longest)| longest)).collect();
        Some(Self {
            waiting_jobs: waitings.first()?.jobs,
            waiting_cpu_percent: Spread::of(waitings.iter().map(|waiting| waiting.cpu_percent))?.median,
            waiting_postgres_cpu_percent: postgres.map(|spread| spread.median),
            start_beside_waiting_ms: starts.and_then(|starts| Spread::of(starts).map(|spread| spread.most)),
        })
    }
}
