//! The service with its accounts, and the loads that run beside each other on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hyper::StatusCode;
use serde_json::Value;
use tokio::runtime::Runtime;

use super::answers::{Answers, Expected, Latency, Tally};
use super::traffic::{Connections, MakeRequest, Recovery};
use super::{Flood, Kind, NEAR, Observed};
use crate::client::Client;
use crate::error::BenchError;
use crate::limits::per_second;
use crate::open_loop::Schedule;
use crate::process::{Memory, cpu_us};
use crate::record;
use crate::service::{Plan, Service, Template, create_keys, prepare, remove_rate_limits};

/// The honest account's requests per second: far below the capacity.
const GETS_PER_SECOND: f64 = 200.0;
const CREATES_PER_SECOND: f64 = 100.0;
const HONEST_CONNECTIONS: usize = 8;
/// The load that measures the capacity of writes.
const CAPACITY_CONNECTIONS: usize = 64;
const CAPACITY_TIME: Duration = Duration::from_secs(2);
/// Ten times the connections that reach the capacity; more than the writes that the defaults admit at once.
const FLOOD_CONNECTIONS: usize = 10 * CAPACITY_CONNECTIONS;
const FLOOD_KEYS: u64 = 4;

pub(super) struct TestBed<'a> {
    runtime: &'a Runtime,
    service: Service,
    flood_keys: Arc<[String]>,
    capacity_key: String,
    /// A connection of the honest account, relative to the collection.
    path: String,
    /// The number in the next name.
    named: Arc<AtomicU64>,
    seconds: u32,
}

impl<'a> TestBed<'a> {
    pub(super) fn set(runtime: &'a Runtime, plan: &Plan<'_>, seconds: u32) -> Result<Self, BenchError> {
        let api_key = prepare(plan)?;
        let flood_keys = create_keys(plan, "flood", FLOOD_KEYS)?;
        let capacity_key = create_keys(plan, "capacity", 1)?.pop().ok_or("there is no key")?;
        remove_rate_limits(plan, "capacity")?;
        let mut test_bed = Self {
            runtime,
            service: Service::serve(plan, api_key)?,
            flood_keys: flood_keys.into(),
            capacity_key,
            path: String::new(),
            named: Arc::default(),
            seconds,
        };
        test_bed.path = test_bed.create_one()?;
        Ok(test_bed)
    }

    /// Starts the service again, and uses the honest account's key, so that it is known.
    pub(super) fn restart(mut self, plan: &Plan<'_>) -> Result<Self, BenchError> {
        self.service = self.service.restart(plan)?;
        self.path = self.create_one()?;
        Ok(self)
    }

    /// Creates a connection of the honest account. Returns its path.
    fn create_one(&self) -> Result<String, BenchError> {
        let request = self.creates(&[self.service.api_key.clone()].into())(0)?;
        let (status, text) = self
            .runtime
            .block_on(async { Client::connect(self.service.address).await?.send(request).await })?;
        let made: Value = serde_json::from_slice(&text)?;
        match made.get("connectionId").and_then(Value::as_str) {
            Some(id) if status == StatusCode::CREATED => Ok(format!("/{id}")),
            _ => Err(format!("nothing was created: {status}: {made}").into()),
        }
    }

    /// Creates with these keys in turn, each with a new name.
    fn creates(&self, keys: &Arc<[String]>) -> MakeRequest {
        let templates: Vec<Template> =
            keys.iter().map(|key| Template::of(self.service.address, key)).collect();
        let (named, body) = (Arc::clone(&self.named), record::body());
        Arc::new(move |number| {
            let name = named.fetch_add(1, Ordering::Relaxed);
            let template = usize::try_from(number)? % templates.len().max(1);
            let template = templates.get(template).ok_or("there is no key")?;
            template.request("POST", "", body.replace(record::PLACE, &format!("{name:08}")))
        })
    }

    fn gets(&self) -> MakeRequest {
        let (template, path) = (self.service.template(), self.path.clone());
        Arc::new(move |_| template.request("GET", &path, String::new()))
    }

    /// Gets with a different unknown key each.
    fn gets_with_unknown_keys(&self) -> MakeRequest {
        let (address, path) = (self.service.address, self.path.clone());
        Arc::new(move |number| {
            Template::of(address, &unknown_key(number)).request("GET", &path, String::new())
        })
    }

    pub(super) fn capacity(&self) -> Result<(Answers, f64), BenchError> {
        let creates = self.creates(&[self.capacity_key.clone()].into());
        let connections = Connections::open(self.service.address, CAPACITY_CONNECTIONS)?;
        let end = Instant::now() + CAPACITY_TIME;
        let answers = connections.send_without_pauses(&creates, Expected::Admission, end)?.answers();
        let rate = per_second(answers.admitted.count, CAPACITY_TIME);
        Ok((answers, rate))
    }

    /// Floods the service, and waits until it has recovered.
    pub(super) fn flood(
        &self,
        kind: Kind,
        account_writes: Option<u64>,
        unloaded: &Observed,
    ) -> Result<Flood, BenchError> {
        let (observed, attacked) = self.observe(Some((kind, unloaded)))?;
        let attacked = attacked.ok_or("there was no flood")?;
        let attack = attacked.tally.answers();
        Ok(Flood {
            kind,
            account_writes,
            observed,
            attack_per_second: per_second(attack.count(), Duration::from_secs(self.seconds.into())),
            attack,
            admitted_creates: Latency::of(&attacked.admitted_creates),
            later_creates: Latency::of(&attacked.later_creates),
            recovery: attacked.recovery,
        })
    }

    /// The honest account's requests, health probes and memory, during a flood of this kind if any.
    pub(super) fn observe(
        &self,
        flood: Option<(Kind, &Observed)>,
    ) -> Result<(Observed, Option<Attacked>), BenchError> {
        let (address, pid) = (self.service.address, self.service.id());
        let schedule = |rate| Schedule::of(rate, self.seconds);
        let (make_get, make_create) = (self.gets(), self.creates(&[self.service.api_key.clone()].into()));
        // All before the flood starts.
        let attack = flood.map(|(kind, unloaded)| self.prepare(kind, unloaded)).transpose()?;
        let get = Connections::open(address, HONEST_CONNECTIONS)?;
        let create = Connections::open(address, HONEST_CONNECTIONS)?;
        let health = Connections::open(address, 1)?;
        let rss_before = Memory::of(pid)?.rss;
        let cpu = || Ok::<_, BenchError>((self.service.cpu_us()?, cpu_us(std::process::id())?));
        let (started, cpu_before) = (Instant::now(), cpu()?);
        let end = started + Duration::from_secs(self.seconds.into());
        let admission = Expected::Admission;
        thread::scope(|scope| {
            let get = scope.spawn(|| get.send_at_rate(&make_get, admission, schedule(GETS_PER_SECOND)));
            let create =
                scope.spawn(|| create.send_at_rate(&make_create, admission, schedule(CREATES_PER_SECOND)));
            let health = scope.spawn(move || health.probe_health(end));
            let memory = scope.spawn(move || memory_by_second(pid, end));
            let attack = attack.map(|attack| scope.spawn(move || attack.run(end)));
            let get = get.join().map_err(|_| "the gets panicked")??;
            let create = create.join().map_err(|_| "the creates panicked")??;
            let health = health.join().map_err(|_| "the health probes panicked")??;
            let rss_by_second = memory.join().map_err(|_| "the measurement of memory panicked")??;
            let attacked = match attack {
                Some(attack) => Some(attack.join().map_err(|_| "the flood panicked")??),
                None => None,
            };
            let (cpu_after, took) = (cpu()?, started.elapsed());
            let observed = Observed {
                get: get.answers(),
                create: create.answers(),
                health: health.answers(),
                rss_before,
                rss_by_second,
                service_cores: per_second(cpu_after.0 - cpu_before.0, took) / 1e6,
                bench_cores: per_second(cpu_after.1 - cpu_before.1, took) / 1e6,
            };
            let Some((tally, recovery)) = attacked else { return Ok((observed, None)) };
            let mut admitted_creates = create.admitted;
            admitted_creates.add(&tally.admitted)?;
            let mut later_creates = create.admitted_later;
            later_creates.add(&tally.admitted_later)?;
            Ok((observed, Some(Attacked { tally, admitted_creates, later_creates, recovery })))
        })
    }

    fn prepare(&self, kind: Kind, unloaded: &Observed) -> Result<Attack, BenchError> {
        let (make, expected) = match kind {
            Kind::Writes => (self.creates(&self.flood_keys), Expected::Admission),
            Kind::UnknownKeys => (self.gets_with_unknown_keys(), Expected::Refusal),
        };
        let near = |answers: &Answers| Duration::from_micros(answers.admitted.p99_us).mul_f64(NEAR);
        let honest = self.creates(&[self.service.api_key.clone()].into());
        Ok(Attack {
            connections: Connections::open(self.service.address, FLOOD_CONNECTIONS)?,
            address: self.service.address,
            make,
            expected,
            afterwards: [(self.gets(), near(&unloaded.get)), (honest, near(&unloaded.create))],
        })
    }
}

/// A flood that is ready to start.
struct Attack {
    connections: Connections,
    address: SocketAddr,
    make: MakeRequest,
    expected: Expected,
    /// The honest account's requests that show recovery, and the longest that each may take.
    afterwards: [(MakeRequest, Duration); 2],
}

pub(super) struct Attacked {
    tally: Tally,
    admitted_creates: Histogram<u64>,
    later_creates: Histogram<u64>,
    recovery: Recovery,
}

impl Attack {
    fn run(self, end: Instant) -> Result<(Tally, Recovery), BenchError> {
        let tally = self.connections.send_without_pauses(&self.make, self.expected, end)?;
        let recovery = Connections::open(self.address, 1)?.wait_for_recovery(&self.afterwards, end)?;
        Ok((tally, recovery))
    }
}

/// Resident memory at every second until then.
fn memory_by_second(pid: u32, end: Instant) -> Result<Vec<u64>, BenchError> {
    let mut all = Vec::new();
    while Instant::now() < end {
        thread::sleep(Duration::from_secs(1).min(end.saturating_duration_since(Instant::now())));
        all.push(Memory::of(pid)?.rss);
    }
    Ok(all)
}

/// A key in the form of the service's, which it has not made.
fn unknown_key(number: u64) -> String {
    format!("pictai_{number:049}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_differ_and_have_the_form_of_keys() {
        assert_ne!(unknown_key(1), unknown_key(2));
        assert_eq!(unknown_key(7).len(), "pictai_".len() + 49);
    }

    #[test]
    fn the_memory_of_a_process_is_sampled_until_the_end() {
        let end = Instant::now() + Duration::from_millis(10);
        let all = memory_by_second(std::process::id(), end).unwrap();
        assert_eq!(all.len(), 1);
        assert!(all[0] > 0);
    }
}
