//! One run, from the first server that is started to the last table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use tokio::runtime::Runtime;

use crate::limits::http::ConstantServer;
use crate::limits::postgres::{Database, administer};
use crate::operations::{Operation, Subject};
use crate::paced::{self, Paced, Rates};
use crate::rounds::{Found, GROUPS, Group, Pace, World, room};
use crate::service::{Engine, Plan, prepare};
use crate::trouble::{Trouble, While as _};
use crate::{Given, Wishes, growth, jobs, near_misses, peers, picture, relay, report, slow_vimeo};

const QUICK: Pace = Pace { rounds: 3, seconds: 2 };
const LONG: Pace = Pace { rounds: 5, seconds: 5 };

/// Measurements of their own, by their names alone.
const SLOW_VIMEO: &str = "slow-vimeo";
const RELAY: &str = "relay";
const NEAR_MISSES: &str = "near-misses";
const JOBS: &str = "jobs";

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn say(text: &str) {
    println!("{text}");
}

/// Measures what is wished, and writes the reports.
pub(crate) fn run(runtime: &Runtime, given: &Given, wishes: &Wishes) -> Result<ExitCode, Trouble> {
    if wishes.growth {
        return growth::run(runtime, given, wishes, say);
    }
    let usual = if wishes.quick { QUICK } else { LONG };
    let pace = Pace {
        rounds: wishes.rounds.unwrap_or(usual.rounds),
        seconds: wishes.seconds.unwrap_or(usual.seconds),
    };
    fs::create_dir_all(&given.directory)?;
    if wishes.peers {
        return beside_peers(runtime, given, pace);
    }
    if wishes.only.as_deref() == Some(SLOW_VIMEO) {
        return on_a_slow_vimeo(runtime, given, pace);
    }
    if wishes.only.as_deref() == Some(NEAR_MISSES) {
        return on_near_misses(runtime, given, pace);
    }
    if wishes.only.as_deref() == Some(RELAY) {
        return the_relay(runtime, given, wishes, pace);
    }
    if wishes.only.as_deref() == Some(JOBS) {
        return uploads_in_bulk(runtime, given, wishes);
    }
    if wishes.uploads.is_some() || wishes.waiting.is_some() || wishes.compare.is_some() {
        return Err("--uploads, --waiting and --compare belong to --only jobs".into());
    }
    if wishes.long || wishes.bytes.is_some() {
        return Err("--long and --bytes belong to --only relay".into());
    }
    let groups = groups(wishes.only.as_deref())?;
    let mut world = prepare_all(runtime, given, &groups)?;
    let mut is_good = true;
    let mut found = Vec::new();
    if !wishes.open {
        say(&format!("\n{} rounds, {} s for each measurement, 64 connections:", pace.rounds, pace.seconds));
        found = world.run(&groups, pace, say);
        let rows = report::rows(&found, pace);
        say(&format!("\n{}", report::table(&rows)));
        is_good = rows.iter().all(|row| row.void.is_none());
        if wishes.only.is_none() {
            write(&given.directory, "latest.json", &rows)?;
            fs::write(given.directory.join("latest.svg"), picture::draw(&rows))?;
        } else {
            write(&given.directory, "only.json", &rows)?;
        }
    }
    if wishes.open || wishes.only.is_none() {
        let open = open_loop(&mut world, &found, wishes, pace)?;
        say(&format!("The open loop: latency from when a request was due\n\n{}", paced::table(&open)));
        is_good &= open.iter().all(|paced| paced.errors == 0);
        write(&given.directory, "open.json", &open)?;
    }
    drop(world);
    if wishes.only.is_none() && !wishes.open && !wishes.quick {
        is_good &= on_a_slow_vimeo(runtime, given, pace)? == ExitCode::SUCCESS;
    }
    say(&format!("Written: {}", given.directory.display()));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The service and others, one loaded at a time.
fn beside_peers(runtime: &Runtime, given: &Given, pace: Pace) -> Result<ExitCode, Trouble> {
    let told = given.peers_told.as_deref().ok_or("there are no peers: ./bench --peers starts them")?;
    let (work, program) = (given.make_work()?, given.service()?);
    let (table, rows) = peers::run(runtime, &program, (told, &work), pace, say)?;
    say(&format!("\n{table}"));
    write(&given.directory, "peers.json", &rows)?;
    Ok(if rows.iter().all(peers::Row::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn on_a_slow_vimeo(runtime: &Runtime, given: &Given, pace: Pace) -> Result<ExitCode, Trouble> {
    let work = given.make_work()?;
    let found = slow_vimeo::run(runtime, &given.programs, &work, pace, say)?;
    say(&format!("\n{}", found.table()));
    write(&given.directory, "slow_vimeo.json", &found)?;
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What bodies of misspelt fields cost.
fn on_near_misses(runtime: &Runtime, given: &Given, pace: Pace) -> Result<ExitCode, Trouble> {
    let (work, program) = (given.make_work()?, given.service()?);
    let found = near_misses::run(runtime, &program, &work, pace, say)?;
    say(&format!("\n{}", found.table()));
    write(&given.directory, "near_misses.json", &found)?;
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The relay of videos, beside others; or one long upload.
fn the_relay(runtime: &Runtime, given: &Given, wishes: &Wishes, pace: Pace) -> Result<ExitCode, Trouble> {
    let (work, companion) = (given.make_work()?, given.companion.as_deref());
    let wish = relay::Wish {
        programs: &given.programs,
        companion,
        work: &work,
        rounds: pace.rounds,
        bytes: wishes.bytes,
    };
    if wishes.long {
        let long = relay::run_long(runtime, &wish, say)?;
        say(&format!("\n{}", long.text()));
        write(&given.directory, "relay_long.json", &long)?;
    } else {
        let found = relay::run(runtime, &wish, say)?;
        say(&format!("\n{}", found.table()));
        write(&given.directory, "relay.json", &found)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Uploads in bulk, and uploads that wait.
fn uploads_in_bulk(runtime: &Runtime, given: &Given, wishes: &Wishes) -> Result<ExitCode, Trouble> {
    let (work, service) = (given.make_work()?, given.service()?);
    let older = wishes.compare.as_ref().map(|path| {
        path.canonicalize().while_doing(format!("there is no binary {} to compare", path.display()))
    });
    let older = older.transpose()?;
    let or = |count: Option<u64>, quick, usual| count.unwrap_or(if wishes.quick { quick } else { usual });
    let usual_seconds = if wishes.quick { jobs::QUICK_BULK_SECONDS } else { jobs::BULK_SECONDS };
    let report = jobs::run(
        runtime,
        &jobs::Options {
            programs: &given.programs,
            service: &service,
            older: older.as_deref(),
            work: &work,
            postgres: given.postgres.as_deref().zip(given.postgres_pid),
            uploads: or(wishes.uploads, jobs::QUICK_UPLOADS, jobs::UPLOADS),
            waiting: or(wishes.waiting, jobs::QUICK_WAITING, jobs::WAITING),
            concurrency: wishes.concurrency,
            rounds: wishes.rounds.unwrap_or(1),
            bulk_seconds: wishes.seconds.unwrap_or(usual_seconds),
        },
        say,
    )?;
    say(&format!("\n{}", report.table()));
    write(&given.directory, "jobs.json", &report)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn groups(only: Option<&str>) -> Result<Vec<Group>, Trouble> {
    let is_wanted = |group: &Group| only.is_none_or(|only| group.name().contains(only));
    let groups: Vec<Group> = GROUPS.into_iter().filter(is_wanted).collect();
    if groups.is_empty() {
        let mut names: Vec<String> = GROUPS.iter().map(|group| group.name()).collect();
        names.extend([SLOW_VIMEO, RELAY, NEAR_MISSES, JOBS].map(str::to_owned));
        return Err(format!("nothing is called that; there is {}", names.join(", ")).into());
    }
    Ok(groups)
}

/// Starts what the groups need.
fn prepare_all<'a>(runtime: &'a Runtime, given: &Given, groups: &[Group]) -> Result<World<'a>, Trouble> {
    let (directory, program) = (given.make_work()?, given.service()?);
    let needs = |engine| groups.iter().any(|group| group.engine == engine);
    let constant = ConstantServer::start(&room(&directory, "constant")?)?;
    let plan = |name: &str, database_url| Plan {
        program: &program,
        directory: PathBuf::from(&directory).join(name),
        database_url,
        configuration: "",
    };
    let (mut subjects, mut database) = (Vec::new(), None);
    if needs(Engine::Sqlite) {
        say("Starting the service on SQLite, and creating 10,000 connections");
        subjects.push(Subject::start(runtime, Engine::Sqlite, &plan("sqlite", None), None)?);
    }
    if needs(Engine::Postgres) {
        say(
            "Starting the service on PostgreSQL, and creating 10,000 connections there and in a database beside it",
        );
        let url = given.postgres.as_deref().ok_or("there is no PostgreSQL: ./bench starts one")?;
        let pid = given.postgres_pid.ok_or("the number of PostgreSQL's first process is missing")?;
        administer(runtime, url, &["CREATE DATABASE service", "CREATE DATABASE beside"])?;
        let of = |name: &str| url.rsplit_once('/').map(|(server, _)| format!("{server}/{name}"));
        let service = plan("postgres", of("service"));
        subjects.push(Subject::start(runtime, Engine::Postgres, &service, Some(pid))?);
        let beside = plan("beside", of("beside"));
        prepare(&beside)?;
        let beside_url = beside.database_url.as_deref().ok_or("the URL names no database")?;
        database = Some(Database::open(runtime, beside_url)?);
        // What the server does by itself in the first minute or so; done now, it disturbs nobody's round.
        for url in [service.database_url.as_deref(), Some(beside_url)].into_iter().flatten() {
            administer(runtime, url, &["VACUUM ANALYZE", "CHECKPOINT"])?;
        }
    }
    Ok(World { runtime, subjects, constant, database, directory })
}

/// Get and create at fixed rates: the one that is wished, or parts of what was found; where nothing was, of a closed loop
/// that is run for it.
fn open_loop(
    world: &mut World<'_>,
    found: &[Found],
    wishes: &Wishes,
    pace: Pace,
) -> Result<Vec<Paced>, Trouble> {
    let mut all = Vec::new();
    for subject in &mut world.subjects {
        for operation in paced::OPERATIONS {
            let name = format!("{}/{operation}", subject.engine);
            if wishes.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let rates = match (wishes.rate, closed_rate(found, subject.engine, operation)) {
                (Some(rate), _) => Rates::Given(rate),
                (None, Some(rate)) => Rates::PartsOf(rate),
                (None, None) => {
                    let sample = subject.measure(world.runtime, operation, pace.seconds)?;
                    Rates::PartsOf(sample.measured.requests_per_second())
                }
            };
            all.extend(paced::run(subject, operation, rates, pace.seconds)?);
        }
    }
    Ok(all)
}

/// The median of the rounds.
fn closed_rate(found: &[Found], engine: Engine, operation: Operation) -> Option<f64> {
    let found = found.iter().find(|f| f.group.engine == engine && f.group.operation == operation)?;
    let samples = found.rounds.iter().filter_map(|round| round.sample.as_ref());
    crate::rounds::Spread::of(samples.map(|sample| sample.measured.requests_per_second()))
        .map(|spread| spread.median)
        .filter(|rate| *rate >= 1.0)
}

pub(crate) fn write(directory: &Path, name: &str, what: &impl Serialize) -> Result<(), Trouble> {
    let path = directory.join(name);
    let text = serde_json::to_string_pretty(what)?;
    fs::write(&path, text + "\n").while_doing(format!("{} cannot be written", path.display()))
}
