//! The page that Prometheus reads.

use std::collections::BTreeMap;

use prometheus::core::Collector;
use prometheus::proto::MetricFamily;
use prometheus::{Encoder as _, GaugeVec, Registry, Result, TextEncoder};

use crate::definitions::{
    BUILD_INFO, CERTIFICATE, Definition, JOBS, JOBS_DUE, JOBS_OLDEST, NOT_HEALTHY, REGISTRY, STORE_CAPACITY,
    STORE_QUEUED, STORE_UP, WEBHOOKS_DUE, WEBHOOKS_PENDING,
};

/// The media type of the page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What is measured when the page is read. What is not known is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PointInTime {
    /// The program.
    pub build: Option<BuildInfo>,
    /// When the listener's certificate expires, in seconds since 1970.
    pub certificate_not_after: Option<i64>,
    /// The queue of writes.
    pub write_queue: Option<WriteQueue>,
    /// The unfinished jobs; `None` if the database could not be read.
    pub jobs: Option<Vec<JobGroup>>,
    /// The connections that are not healthy; `None` if the database could not be read.
    pub not_healthy: Option<NotHealthy>,
}

/// Connections that are not healthy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NotHealthy {
    /// Unhealthy ones.
    pub unhealthy: u64,
    /// Unverified ones.
    pub unverified: u64,
}

/// The program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildInfo {
    /// Its version.
    pub version: &'static str,
    /// The commit that it was built from.
    pub commit: &'static str,
}

/// The queue of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteQueue {
    /// Writes in it.
    pub length: usize,
    /// The most writes that it accepts.
    pub capacity: usize,
}

/// Jobs that have something in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobGroup {
    /// Unfinished jobs.
    Unfinished {
        /// Their state.
        state: &'static str,
        /// What they wait for.
        waiting_for: &'static str,
        /// How many they are.
        count: u64,
        /// When the oldest was created, in microseconds since 1970.
        oldest_created_at: i64,
        /// If they wait for a worker: since when the first has been due, in microseconds since 1970.
        due_since: Option<i64>,
    },
    /// Ended jobs with a webhook that is not delivered.
    Webhooks {
        /// How many they are.
        count: u64,
        /// Since when the first has been due, in microseconds since 1970, if one is.
        due_since: Option<i64>,
    },
}

/// The page, with what was recorded until now.
pub fn render(now: &PointInTime) -> String {
    // The names are constants, and a test renders every metric.
    let mut families = gather(now).unwrap_or_default();
    families.extend(REGISTRY.gather());
    families.sort_by(|one, other| one.name().cmp(other.name()));
    let mut page = Vec::new();
    // Writing to memory does not fail.
    let _ = TextEncoder::new().encode(&families, &mut page);
    String::from_utf8(page).unwrap_or_default()
}

/// The gauges of one reading, in a registry of their own: those that are not known now are absent.
struct Gauges(Registry);

impl Gauges {
    fn add(&self, definition: Definition, labels: &[&str]) -> Result<GaugeVec> {
        let gauge = GaugeVec::new(definition.options(), labels)?;
        self.0.register(Box::new(gauge.clone()) as Box<dyn Collector>)?;
        Ok(gauge)
    }

    fn set(&self, definition: Definition, value: f64) -> Result<()> {
        self.add(definition, &[])?.with_label_values::<&str>(&[]).set(value);
        Ok(())
    }
}

fn gather(now: &PointInTime) -> Result<Vec<MetricFamily>> {
    let gauges = Gauges(Registry::new());
    if let Some(BuildInfo { version, commit }) = now.build {
        gauges.add(BUILD_INFO, &["version", "commit"])?.with_label_values(&[version, commit]).set(1.0);
    }
    if let Some(seconds) = now.certificate_not_after {
        gauges.set(CERTIFICATE, float(seconds))?;
    }
    if let Some(WriteQueue { length, capacity }) = now.write_queue {
        gauges.set(STORE_QUEUED, float(i64::try_from(length).unwrap_or(i64::MAX)))?;
        gauges.set(STORE_CAPACITY, float(i64::try_from(capacity).unwrap_or(i64::MAX)))?;
    }
    gauges.set(STORE_UP, if now.jobs.is_some() { 1.0 } else { 0.0 })?;
    if let Some(jobs) = &now.jobs {
        add_jobs(&gauges, jobs)?;
    }
    if let Some(NotHealthy { unhealthy, unverified }) = now.not_healthy {
        let connections = gauges.add(NOT_HEALTHY, &["status"])?;
        connections.with_label_values(&["unhealthy"]).set(unsigned(unhealthy));
        connections.with_label_values(&["unverified"]).set(unsigned(unverified));
    }
    Ok(gauges.0.gather())
}

fn add_jobs(gauges: &Gauges, groups: &[JobGroup]) -> Result<()> {
    let jobs = gauges.add(JOBS, &["state", "waiting_for"])?;
    let mut oldest_by_reason = BTreeMap::new();
    let (mut job_due, mut webhook_due, mut webhooks) = (None, None, 0);
    for group in groups {
        match *group {
            JobGroup::Unfinished { state, waiting_for, count, oldest_created_at, due_since } => {
                jobs.with_label_values(&[state, waiting_for]).add(unsigned(count));
                let oldest = oldest_by_reason.entry(waiting_for).or_insert(oldest_created_at);
                *oldest = oldest_created_at.min(*oldest);
                job_due = earliest(job_due, due_since);
            }
            JobGroup::Webhooks { count, due_since } => {
                webhooks += count;
                webhook_due = earliest(webhook_due, due_since);
            }
        }
    }
    let oldest = gauges.add(JOBS_OLDEST, &["waiting_for"])?;
    for (waiting_for, created_at) in oldest_by_reason {
        oldest.with_label_values(&[waiting_for]).set(seconds(created_at));
    }
    gauges.set(WEBHOOKS_PENDING, unsigned(webhooks))?;
    for (definition, due) in [(JOBS_DUE, job_due), (WEBHOOKS_DUE, webhook_due)] {
        if let Some(due) = due {
            gauges.set(definition, seconds(due))?;
        }
    }
    Ok(())
}

fn earliest(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.into_iter().chain(other).min()
}

fn seconds(micros: i64) -> f64 {
    float(micros) / 1e6
}

fn unsigned(count: u64) -> f64 {
    float(i64::try_from(count).unwrap_or(i64::MAX))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus has only floating-point numbers, exact up to 2^53"
)]
fn float(number: i64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFINITIONS;

    fn unfinished(state: &'static str, waiting_for: &'static str, created: i64) -> JobGroup {
        let due_since = (waiting_for == "worker").then_some(created + 1);
        JobGroup::Unfinished { state, waiting_for, count: 2, oldest_created_at: created, due_since }
    }

    fn everything() -> PointInTime {
        PointInTime {
            build: Some(BuildInfo { version: "1.2.3", commit: "abc" }),
            certificate_not_after: Some(1_900_000_000),
            write_queue: Some(WriteQueue { length: 3, capacity: 4_096 }),
            jobs: Some(vec![
                unfinished("queued", "worker", 5_000_000),
                unfinished("uploading", "worker", 3_000_000),
                unfinished("uploading", "client", 1_500_000),
                JobGroup::Webhooks { count: 4, due_since: None },
                JobGroup::Webhooks { count: 3, due_since: Some(7_000_000) },
            ]),
            not_healthy: Some(NotHealthy { unhealthy: 3, unverified: 4 }),
        }
    }

    #[test]
    fn a_page_has_every_metric_with_its_kind_and_help() {
        crate::start();
        let labels = crate::RequestLabels { method: "GET", route: "/x", status: "200" };
        crate::record_request(labels, std::time::Duration::from_millis(3));
        let page = render(&everything());
        for Definition { name, kind, .. } in DEFINITIONS {
            assert!(page.contains(&format!("# HELP {name} ")), "{name}: {page}");
            let kind = format!("{kind:?}").to_lowercase();
            assert!(page.contains(&format!("# TYPE {name} {kind}\n")), "{name}: {page}");
        }
        for line in [
            "build_info{commit=\"abc\",version=\"1.2.3\"} 1",
            "store_queued_writes 3",
            "store_up 1",
            "jobs{state=\"queued\",waiting_for=\"worker\"} 2",
            "jobs_oldest_created_timestamp_seconds{waiting_for=\"worker\"} 3",
            "jobs_oldest_created_timestamp_seconds{waiting_for=\"client\"} 1.5",
            "jobs_due_since_timestamp_seconds 3.000001",
            "webhooks_pending 7",
            "webhooks_due_since_timestamp_seconds 7",
            "certificate_not_after_timestamp_seconds 1900000000",
            "http_request_duration_seconds_bucket{method=\"GET\",route=\"/x\",le=\"0.005\"} 1",
        ] {
            assert!(page.contains(&format!("\nvimeo_connections_{line}\n")), "{line}: {page}");
        }
    }

    #[test]
    fn gauges_that_are_not_known_are_absent() {
        let page = render(&PointInTime::default());
        assert!(page.contains("vimeo_connections_store_up 0"), "{page}");
        for Definition { name, .. } in [JOBS, JOBS_OLDEST, WEBHOOKS_PENDING, CERTIFICATE, STORE_QUEUED] {
            assert!(!page.contains(&format!("{name} ")) && !page.contains(&format!("{name}{{")), "{name}");
        }
    }
}
