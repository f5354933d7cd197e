//! The metrics of a service, and `promtool`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::architecture::root;
use crate::support::harness::TestEnv;
use crate::support::tools::{find_tool, program};

/// Serves metrics on a free port.
pub(crate) const METRICS: &str = "metrics.listen=\"127.0.0.1:0\"\n";
/// The beginning of every name of a metric.
pub(crate) const PREFIX: &str = "vimeo_connections_";

/// A page of metrics.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(pub(crate) String);

/// The URL of the metrics.
pub(crate) fn metrics_url(env: &TestEnv) -> String {
    metrics_url_in(&env.log())
}

/// The same from a log: that of its last start.
pub(crate) fn metrics_url_in(log: &str) -> String {
    let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let line = lines.rfind(|line| line["message"] == "serving metrics");
    format!("http://{}/metrics", line.unwrap_or_else(|| panic!("{log}"))["address"].as_str().unwrap())
}

pub(crate) async fn scrape(env: &TestEnv, url: &str) -> Metrics {
    let response = env.http.get(url).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    Metrics(response.text().await.unwrap())
}

impl Metrics {
    /// The value of a series, without the common beginning of its name.
    pub(crate) fn find(&self, series: &str) -> Option<f64> {
        let mut lines = self.0.lines().filter_map(|line| line.strip_prefix(PREFIX)?.strip_prefix(series));
        lines.find_map(|value| value.strip_prefix(' ')?.parse().ok())
    }

    /// The value of a series that counts.
    pub(crate) fn find_count(&self, series: &str) -> Option<u64> {
        let mut lines = self.0.lines().filter_map(|line| line.strip_prefix(PREFIX)?.strip_prefix(series));
        lines.find_map(|value| value.strip_prefix(' ')?.parse().ok())
    }

    /// The value of a series that counts and must be there.
    pub(crate) fn count(&self, series: &str) -> u64 {
        self.find_count(series).unwrap_or_else(|| panic!("{series}: {}", self.0))
    }

    /// The value of a series that must be there.
    pub(crate) fn value(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("{series}: {}", self.0))
    }

    /// The sum of all series of a metric that counts.
    pub(crate) fn sum(&self, name: &str) -> u64 {
        let start = format!("{PREFIX}{name}");
        let values = self.0.lines().filter_map(|line| {
            let rest = line.strip_prefix(&start)?;
            rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<u64>().ok()).flatten()
        });
        values.sum()
    }

    /// The names of all metrics.
    pub(crate) fn names(&self) -> BTreeSet<&str> {
        self.0.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
    }

    /// The values of a label.
    pub(crate) fn labels(&self, label: &str) -> BTreeSet<&str> {
        let start = format!("{label}=\"");
        let value = |line: &'_ str| -> Option<(usize, usize)> {
            let from = line.find(&start)? + start.len();
            Some((from, from + line[from..].find('"')?))
        };
        self.0.lines().filter_map(|line| value(line).map(|(from, to)| &line[from..to])).collect()
    }
}

/// A file of `packaging/`.
pub(crate) fn packaged(path: &str) -> PathBuf {
    root().join("packaging").join(path)
}

/// `promtool` with these arguments; `None`, and reported, if it is not installed.
pub(crate) fn promtool(arguments: &[&str]) -> Option<Command> {
    let mut command = program(find_tool("prometheus/root/usr/bin/promtool")?);
    command.args(arguments);
    Some(command)
}

/// Runs it with this input.
pub(crate) fn with_input(mut command: Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// The metrics that an expression of `PromQL` reads, without the suffixes of histograms.
pub(crate) fn metrics_of(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let names = words.filter(|word| word.starts_with(PREFIX));
    names.map(|name| base_name(name).to_owned()).collect()
}

/// A name without the suffix that a histogram's series have.
fn base_name(name: &str) -> &str {
    let is_histogram = |base: &str| {
        metrics::DEFINITIONS
            .iter()
            .any(|metric| metric.name == base && metric.kind == metrics::Kind::Histogram)
    };
    let bases = ["_bucket", "_sum", "_count"].map(|suffix| name.strip_suffix(suffix));
    bases.into_iter().flatten().find(|base| is_histogram(base)).unwrap_or(name)
}

/// Fails unless the service exports every metric of this expression.
pub(crate) fn assert_exported(expression: &str) {
    for name in metrics_of(expression) {
        let is_exported = metrics::DEFINITIONS.iter().any(|metric| metric.name == name);
        assert!(is_exported, "{name} is not exported: {expression}");
    }
}

/// The text of a file.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
