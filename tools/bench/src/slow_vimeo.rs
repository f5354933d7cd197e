//! A Vimeo that responds after two seconds: the effect of a thousand waiting creations on other requests, and the time
//! that checking credentials adds to a creation when Vimeo responds at once.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::client::{Body, Client};
use crate::error::{BenchError, Context as _};
use crate::open_loop::{self, OpenLoad, Outcome, Schedule};
use crate::process::{Memory, Process};
use crate::record;
use crate::rounds::{Pace, Spread, subdirectory};
use crate::service::{Plan, Service, Template};

/// Concurrent creations.
const BURST: u64 = 1_000;
const DELAY_MILLIS: u64 = 2_000;
/// Gets per second: few enough for the machine, many enough to show a stall.
const GETS_PER_SECOND: f64 = 1_000.0;
/// How long until every creation waits for Vimeo, and how long they then still wait.
const UNTIL_ALL_WAIT: Duration = Duration::from_millis(800);
const WHILE_ALL_WAIT_SECONDS: u32 = 1;
/// Creations per second, and requests to the sandbox, in sequence.
const FEW_PER_SECOND: f64 = 50.0;
const TIMEOUT: Duration = Duration::from_secs(30);
const GRANT: &str = "/oauth/authorize/client";
const VERIFY: &str = "/oauth/verify";
/// The base64 of `client:secret`; the sandbox runs in open mode.
const BASIC: &str = "Basic Y2xpZW50OnNlY3JldA==";

/// Figures of all rounds: latencies in microseconds, memory in bytes.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    rounds: Vec<Round>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Round {
    /// Without waiting creations, before and after.
    alone: [Latency; 2],
    /// While all creations of the burst wait.
    while_all_wait: Latency,
    /// From before the burst until after it.
    throughout: Latency,
    /// The latency of the creations.
    burst: [Latency; 2],
    rss_before: u64,
    rss_while: u64,
    rss_after: u64,
    /// Connections between the service and the sandbox, while all creations wait, and afterwards.
    connections_while: usize,
    connections_after: usize,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct Latency {
    p50_us: u64,
    p99_us: u64,
    most_us: u64,
    answered: u64,
    errors: u64,
}

/// Median latencies at a low rate.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "units come last")]
struct Check {
    unverified_us: u64,
    verified_us: u64,
    grant_us: u64,
    verify_us: u64,
    /// The service's part beside Vimeo's: it sends both requests at once, so the longer one counts.
    added_us: i64,
}

impl Latency {
    fn of(outcome: &Outcome) -> Self {
        let at = |quantile| outcome.latencies.value_at_quantile(quantile);
        Self {
            p50_us: at(0.5),
            p99_us: at(0.99),
            most_us: outcome.latencies.max(),
            answered: outcome.latencies.len(),
            errors: outcome.errors,
        }
    }
}

/// One of a round's latencies.
type Pick = fn(&Round) -> Latency;

struct TestBed<'a> {
    runtime: &'a Runtime,
    sandbox: SocketAddr,
    _process: Process,
    verifying: Service,
    unverifying: Service,
    /// The path of an existing connection.
    path: String,
    named: u64,
}

/// Measures; `work` is an empty directory.
pub(crate) fn run(
    runtime: &Runtime,
    programs: &Path,
    work: &Path,
    pace: Pace,
    progress: impl Fn(&str),
) -> Result<Results, BenchError> {
    let mut test_bed = TestBed::set(runtime, programs, work)?;
    let mut found = Results::default();
    for number in 0..pace.rounds {
        let check = test_bed.check(pace.seconds)?;
        progress(&format!("round {} of {}: checking adds {} µs", number + 1, pace.rounds, check.added_us));
        found.checks.push(check);
        let round = test_bed.round(pace.seconds)?;
        progress(&format!(
            "round {} of {}: get p99 {} µs alone, {} µs while {} creations wait",
            number + 1,
            pace.rounds,
            round.alone[0].p99_us,
            round.while_all_wait.p99_us,
            round.burst[0].answered
        ));
        found.rounds.push(round);
    }
    Ok(found)
}

impl<'a> TestBed<'a> {
    fn set(runtime: &'a Runtime, programs: &Path, work: &Path) -> Result<Self, BenchError> {
        let directory = subdirectory(work, "sandbox")?;
        let program = programs.join("vimeo-sandbox").canonicalize().context("the sandbox is not built")?;
        let arguments = ["--open", "--json", "--listen", "127.0.0.1:0"];
        let mut process = Process::start(&program, &arguments, &directory)?;
        let base_url = process.wait_for(&directory.join("vimeo-sandbox.out"), TIMEOUT, |line| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some(line.get("base_url")?.as_str()?.to_owned())
        })?;
        let program = programs.join("vimeo-connections").canonicalize()?;
        let start = |name: &str, configuration: &str| {
            let plan =
                Plan { program: &program, directory: work.join(name), database_url: None, configuration };
            Service::start(&plan)
        };
        let required = format!("vimeo.base_url = {base_url:?}\nvimeo.verification = \"required\"\n");
        let (verifying, unverifying) = (start("verifying", &required)?, start("unverifying", "")?);
        let mut test_bed = Self {
            runtime,
            sandbox: base_url.trim_start_matches("http://").parse()?,
            _process: process,
            verifying,
            unverifying,
            path: String::new(),
            named: 0,
        };
        let request = create(&test_bed.verifying.template(), 0)?;
        let made: Value = serde_json::from_slice(&test_bed.send(test_bed.verifying.address, request)?)?;
        let id = made.get("connectionId").and_then(Value::as_str);
        test_bed.path = format!("/{}", id.ok_or_else(|| format!("nothing was created: {made}"))?);
        Ok(test_bed)
    }

    fn send(&self, address: SocketAddr, request: Request<Body>) -> Result<Bytes, BenchError> {
        let asked = async { Client::connect(address).await?.send(request).await };
        let (status, text) = self.runtime.block_on(asked)?;
        if status.is_success() { Ok(text) } else { Err(String::from_utf8_lossy(&text).into()) }
    }

    fn control(&self, method: &str, body: &str) -> Result<(), BenchError> {
        let request = Request::builder().method(method).uri("/_sandbox/faults").header("Host", "sandbox");
        self.send(self.sandbox, request.body(Body::from(body.to_owned()))?).map(drop)
    }

    fn gets(&self, seconds: u32) -> Result<Latency, BenchError> {
        let (template, path) = (self.verifying.template(), self.path.clone());
        let request = move |_| template.request("GET", &path, String::new());
        let load =
            OpenLoad { address: self.verifying.address, connections: 16, request, expected: StatusCode::OK };
        Ok(Latency::of(&open_loop::run(&load, Schedule::of(GETS_PER_SECOND, seconds))?))
    }

    /// Creations with limited concurrency.
    fn creates(
        &mut self,
        verifying: bool,
        at_once: usize,
        schedule: Schedule,
    ) -> Result<Latency, BenchError> {
        let service = if verifying { &self.verifying } else { &self.unverifying };
        let (template, first) = (service.template(), self.named + 1);
        self.named += schedule.requests;
        let request = move |number: u64| create(&template, first + number);
        let expected = StatusCode::CREATED;
        let load = OpenLoad { address: service.address, connections: at_once, request, expected };
        Ok(Latency::of(&open_loop::run(&load, schedule)?))
    }

    /// Gets alone, gets during a burst, gets alone.
    fn round(&mut self, seconds: u32) -> Result<Round, BenchError> {
        let (pid, address) = (self.verifying.id(), self.sandbox);
        let rss = || Memory::of(pid).map(|memory| memory.rss);
        let (rss_before, before) = (rss()?, self.gets(seconds)?);
        self.control(
            "POST",
            &format!(r#"{{"route":"*","kind":"delay","millis":{DELAY_MILLIS},"times":0}}"#),
        )?;
        let (first, (while_all_wait, rss_while, connections_while)) = self.during_a_burst(|test_bed| {
            thread::sleep(UNTIL_ALL_WAIT);
            let seen = (rss()?, connections_to(address));
            Ok((test_bed.gets(WHILE_ALL_WAIT_SECONDS)?, seen.0, seen.1))
        })?;
        let (second, throughout) = self.during_a_burst(|test_bed| test_bed.gets(6))?;
        self.control("DELETE", "")?;
        let after = self.gets(seconds)?;
        Ok(Round {
            alone: [before, after],
            while_all_wait,
            throughout,
            burst: [first, second],
            rss_before,
            rss_while,
            rss_after: rss()?,
            connections_while,
            connections_after: connections_to(address),
        })
    }

    fn during_a_burst<T>(
        &mut self,
        beside: impl FnOnce(&Self) -> Result<T, BenchError>,
    ) -> Result<(Latency, T), BenchError> {
        let (template, first) = (self.verifying.template(), self.named + 1);
        self.named += BURST;
        let address = self.verifying.address;
        let request = move |number: u64| create(&template, first + number);
        let connections = usize::try_from(BURST)?;
        let load = OpenLoad { address, connections, request, expected: StatusCode::CREATED };
        let all_at_once = Schedule { requests: BURST, rate: f64::INFINITY };
        thread::scope(|scope| {
            let burst = scope.spawn(|| open_loop::run(&load, all_at_once));
            let beside = beside(self)?;
            let burst = burst.join().map_err(|_| "the burst panicked")??;
            match &burst.first_error {
                Some(error) => Err(format!("{} creations of the burst failed: {error}", burst.errors).into()),
                None => Ok((Latency::of(&burst), beside)),
            }
        })
    }

    fn check(&mut self, seconds: u32) -> Result<Check, BenchError> {
        let schedule = Schedule::of(FEW_PER_SECOND, seconds);
        let unverified = self.creates(false, 1, schedule)?;
        let verified = self.creates(true, 1, schedule)?;
        let grant = self.exchanges(schedule, |_| {
            let request = Request::post(GRANT)
                .header("Authorization", BASIC)
                .header("Content-Type", "application/x-www-form-urlencoded");
            Ok(request
                .header("Host", "sandbox")
                .body(Body::from("grant_type=client_credentials&scope=public"))?)
        })?;
        let verify = self.exchanges(schedule, |_| {
            let request = Request::get(VERIFY).header("Authorization", "bearer 70ken0ne70ken0ne");
            Ok(request.header("Host", "sandbox").body(Body::default())?)
        })?;
        let added = |long: u64, short: u64| i64::try_from(long).and_then(|l| Ok(l - i64::try_from(short)?));
        let vimeo = grant.p50_us.max(verify.p50_us);
        Ok(Check {
            unverified_us: unverified.p50_us,
            verified_us: verified.p50_us,
            grant_us: grant.p50_us,
            verify_us: verify.p50_us,
            added_us: added(verified.p50_us, unverified.p50_us + vimeo)?,
        })
    }

    fn exchanges(
        &self,
        schedule: Schedule,
        request: fn(u64) -> Result<Request<Body>, BenchError>,
    ) -> Result<Latency, BenchError> {
        let load = OpenLoad { address: self.sandbox, connections: 1, request, expected: StatusCode::OK };
        let outcome = open_loop::run(&load, schedule)?;
        match &outcome.first_error {
            Some(error) => Err(format!("the sandbox: {error}").into()),
            None => Ok(Latency::of(&outcome)),
        }
    }
}

fn create(template: &Template, number: u64) -> Result<Request<Body>, BenchError> {
    template.request("POST", "", record::body().replace(record::PLACE, &format!("{number:08}")))
}

/// Established TCP connections to a local address, counted on the client side.
fn connections_to(address: SocketAddr) -> usize {
    let port = format!(":{:04X}", address.port());
    let listed = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        fields.next().is_some_and(|remote| remote.ends_with(&port)) && fields.next() == Some("01")
    };
    listed.lines().filter(is_one).count()
}

impl Results {
    /// Whether all requests succeeded.
    pub(crate) fn is_good(&self) -> bool {
        let is_good = |latency: &Latency| latency.errors == 0;
        self.rounds.iter().all(|round| {
            round.alone.iter().all(is_good) && is_good(&round.while_all_wait) && is_good(&round.throughout)
        })
    }

    /// A table: medians over the rounds.
    pub(crate) fn table(&self) -> String {
        let mut text = format!("{:<44} {:>9} {:>9} {:>9}\n", "get", "p50 µs", "p99 µs", "most µs");
        let kinds: [(&str, Pick); 5] = [
            ("alone, before", |round| round.alone[0]),
            ("while 1,000 creations wait", |round| round.while_all_wait),
            ("alone, after", |round| round.alone[1]),
            ("while 1,000 come, wait and are created", |round| round.throughout),
            ("(the creations themselves)", |round| round.burst[0]),
        ];
        for (name, of) in kinds {
            let middle = |part: fn(Latency) -> u64| median(self.rounds.iter().map(|round| part(of(round))));
            let (p50, p99) = (middle(|latency| latency.p50_us), middle(|latency| latency.p99_us));
            let _ = writeln!(text, "{name:<44} {p50:>9.0} {p99:>9.0} {:>9.0}", middle(|l| l.most_us));
        }
        let middle = |of: fn(&Round) -> u64| median(self.rounds.iter().map(of));
        let mib = |bytes: f64| bytes / 1_048_576.0;
        let _ = writeln!(
            text,
            "\nmemory in MiB: {:.0} before, {:.0} while they wait, {:.0} after",
            mib(middle(|round| round.rss_before)),
            mib(middle(|round| round.rss_while)),
            mib(middle(|round| round.rss_after)),
        );
        let _ = writeln!(
            text,
            "connections to Vimeo: {:.0} while they wait, {:.0} when two thousand creations are done",
            middle(|round| round.connections_while as u64),
            middle(|round| round.connections_after as u64),
        );
        let check = |of: fn(&Check) -> u64| median(self.checks.iter().map(of));
        let added = Spread::of(self.checks.iter().map(|check| signed(check.added_us)));
        let _ = writeln!(
            text,
            "create, one at a time: {:.0} µs unverified, {:.0} µs verified; the sandbox itself takes {:.0} µs for a grant \
             and {:.0} µs for a token check: the service adds {:.0} µs",
            check(|check| check.unverified_us),
            check(|check| check.verified_us),
            check(|check| check.grant_us),
            check(|check| check.verify_us),
            added.map_or(0.0, |spread| spread.median),
        );
        text
    }
}

fn median(values: impl IntoIterator<Item = u64>) -> f64 {
    let values = values.into_iter().map(|value| f64::from(u32::try_from(value).unwrap_or(u32::MAX)));
    Spread::of(values).map_or(0.0, |spread| spread.median)
}

fn signed(micros: i64) -> f64 {
    i32::try_from(micros).map_or(f64::MAX, f64::from)
}
