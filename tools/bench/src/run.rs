//! One run of the bench, from the first server to the last table.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde::Serialize;
use tokio::runtime::Runtime;

use crate::error::{BenchError, Context as _};
use crate::limits::http::ConstantServer;
use crate::limits::postgres::{Database, administer};
use crate::operations::{Operation, Subject};
use crate::paced::{self, Paced, Rates};
use crate::rounds::{GROUPS, Group, Pace, Results, TestBed, subdirectory};
use crate::service::{Engine, Plan, prepare};
use crate::{
    Environment, Options, chart, dashboard, flood, growth, jobs, near_misses, peers, relay, report, schedule,
    slow_vimeo,
};

const QUICK: Pace = Pace { rounds: 3, seconds: 2 };
const LONG: Pace = Pace { rounds: 5, seconds: 5 };

/// Measurements that run only by their name.
const SLOW_VIMEO: &str = "slow-vimeo";
const RELAY: &str = "relay";
const NEAR_MISSES: &str = "near-misses";
const JOBS: &str = "jobs";
const FLOOD: &str = "flood";
const DASHBOARD: &str = "dashboard";
const SCHEDULE: &str = "schedule";

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn progress(text: &str) {
    println!("{text}");
}

/// Measures what the options select, and writes the reports.
pub(crate) fn run(
    runtime: &Runtime,
    environment: &Environment,
    options: &Options,
) -> Result<ExitCode, BenchError> {
    if options.growth {
        return growth::run(runtime, environment, options, progress);
    }
    let usual = if options.quick { QUICK } else { LONG };
    let pace = Pace {
        rounds: options.rounds.unwrap_or(usual.rounds),
        seconds: options.seconds.unwrap_or(usual.seconds),
    };
    fs::create_dir_all(&environment.directory)?;
    if options.peers {
        return compare_with_peers(runtime, environment, pace);
    }
    match options.only.as_deref() {
        Some(SLOW_VIMEO) => return with_slow_vimeo(runtime, environment, pace),
        Some(NEAR_MISSES) => return on_near_misses(runtime, environment, pace),
        Some(DASHBOARD) => return for_people(runtime, environment, pace),
        Some(FLOOD) => return under_floods(runtime, environment, options),
        Some(RELAY) => return relay_uploads(runtime, environment, options, pace),
        Some(JOBS) => return uploads_in_bulk(runtime, environment, options),
        Some(SCHEDULE) => return publish_at_times(runtime, environment, options),
        _ => {}
    }
    if options.uploads.is_some() || options.waiting.is_some() || options.compare.is_some() {
        return Err("--uploads, --waiting and --compare belong to --only jobs".into());
    }
    if options.long || options.bytes.is_some() {
        return Err("--long and --bytes belong to --only relay".into());
    }
    let groups = groups(options.only.as_deref())?;
    let mut test_bed = prepare_all(runtime, environment, &groups)?;
    let mut is_good = true;
    let mut found = Vec::new();
    if !options.open {
        progress(&format!(
            "\n{} rounds, {} s for each measurement, 64 connections:",
            pace.rounds, pace.seconds
        ));
        found = test_bed.run(&groups, pace, progress);
        let rows = report::rows(&found, pace);
        progress(&format!("\n{}", report::table(&rows)));
        is_good = rows.iter().all(|row| row.void.is_none());
        if options.only.is_none() {
            write(&environment.directory, "latest.json", &rows)?;
            fs::write(environment.directory.join("latest.svg"), chart::draw(&rows))?;
        } else {
            write(&environment.directory, "only.json", &rows)?;
        }
    }
    if options.open || options.only.is_none() {
        let open = open_loop(&mut test_bed, &found, options, pace)?;
        progress(&format!("The open loop: latency from when a request was due\n\n{}", paced::table(&open)));
        is_good &= open.iter().all(|paced| paced.errors == 0);
        write(&environment.directory, "open.json", &open)?;
    }
    drop(test_bed);
    if options.only.is_none() && !options.open && !options.quick {
        is_good &= with_slow_vimeo(runtime, environment, pace)? == ExitCode::SUCCESS;
    }
    progress(&format!("Written: {}", environment.directory.display()));
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The service and its peers, one loaded at a time.
fn compare_with_peers(
    runtime: &Runtime,
    environment: &Environment,
    pace: Pace,
) -> Result<ExitCode, BenchError> {
    let peers_file =
        environment.peers_file.as_deref().ok_or("there are no peers: ./bench --peers starts them")?;
    let (work, program) = (environment.make_work()?, environment.service()?);
    let (table, rows) = peers::run(runtime, &program, (peers_file, &work), pace, progress)?;
    progress(&format!("\n{table}"));
    write(&environment.directory, "peers.json", &rows)?;
    Ok(if rows.iter().all(peers::Row::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn with_slow_vimeo(runtime: &Runtime, environment: &Environment, pace: Pace) -> Result<ExitCode, BenchError> {
    let work = environment.make_work()?;
    let found = slow_vimeo::run(runtime, &environment.programs, &work, pace, progress)?;
    progress(&format!("\n{}", found.table()));
    write(&environment.directory, "slow_vimeo.json", &found)?;
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cost of bodies with misspelt fields.
fn on_near_misses(runtime: &Runtime, environment: &Environment, pace: Pace) -> Result<ExitCode, BenchError> {
    let (work, program) = (environment.make_work()?, environment.service()?);
    let found = near_misses::run(runtime, &program, &work, pace, progress)?;
    progress(&format!("\n{}", found.table()));
    write(&environment.directory, "near_misses.json", &found)?;
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The list of the dashboard beside that of the API.
fn for_people(runtime: &Runtime, environment: &Environment, pace: Pace) -> Result<ExitCode, BenchError> {
    let (work, program) = (environment.make_work()?, environment.service()?);
    let settings = dashboard::Settings { programs: &environment.programs, program: &program, work: &work };
    let found = dashboard::run(runtime, &settings, pace, progress)?;
    progress(&format!("\n{}", found.table()));
    write(&environment.directory, "dashboard.json", &found)?;
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Clients that send far more than the service can do.
fn under_floods(
    runtime: &Runtime,
    environment: &Environment,
    options: &Options,
) -> Result<ExitCode, BenchError> {
    let (work, program) = (environment.make_work()?, environment.service()?);
    let usual = if options.quick { flood::QUICK_SECONDS } else { flood::SECONDS };
    let found = flood::run(runtime, &program, &work, options.seconds.unwrap_or(usual), progress)?;
    progress(&format!("\n{}", found.table()));
    write(&environment.directory, "flood.json", &found)?;
    Ok(if found.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The relay of videos, beside other programs; or one long upload.
fn relay_uploads(
    runtime: &Runtime,
    environment: &Environment,
    options: &Options,
    pace: Pace,
) -> Result<ExitCode, BenchError> {
    let (work, companion) = (environment.make_work()?, environment.companion.as_deref());
    let settings = relay::Settings {
        programs: &environment.programs,
        companion,
        work: &work,
        rounds: pace.rounds,
        bytes: options.bytes,
    };
    if options.long {
        let long = relay::run_long(runtime, &settings, progress)?;
        progress(&format!("\n{}", long.text()));
        write(&environment.directory, "relay_long.json", &long)?;
    } else {
        let found = relay::run(runtime, &settings, progress)?;
        progress(&format!("\n{}", found.table()));
        write(&environment.directory, "relay.json", &found)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Uploads in bulk, and uploads that wait.
fn uploads_in_bulk(
    runtime: &Runtime,
    environment: &Environment,
    options: &Options,
) -> Result<ExitCode, BenchError> {
    let (work, service) = (environment.make_work()?, environment.service()?);
    let older = options
        .compare
        .as_ref()
        .map(|path| path.canonicalize().context(format!("there is no binary {} to compare", path.display())));
    let older = older.transpose()?;
    let or = |count: Option<u64>, quick, usual| count.unwrap_or(if options.quick { quick } else { usual });
    let usual_seconds = if options.quick { jobs::QUICK_BULK_SECONDS } else { jobs::BULK_SECONDS };
    let report = jobs::run(
        runtime,
        &jobs::Options {
            programs: &environment.programs,
            service: &service,
            older: older.as_deref(),
            work: &work,
            postgres: environment.postgres.as_deref().zip(environment.postgres_pid),
            uploads: or(options.uploads, jobs::QUICK_UPLOADS, jobs::UPLOADS),
            waiting: or(options.waiting, jobs::QUICK_WAITING, jobs::WAITING),
            concurrency: options.concurrency,
            rounds: options.rounds.unwrap_or(1),
            bulk_seconds: options.seconds.unwrap_or(usual_seconds),
        },
        progress,
    )?;
    progress(&format!("\n{}", report.table()));
    write(&environment.directory, "jobs.json", &report)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Videos that are published at their times, by two nodes of which one is killed.
fn publish_at_times(
    runtime: &Runtime,
    environment: &Environment,
    options: &Options,
) -> Result<ExitCode, BenchError> {
    let (work, service) = (environment.make_work()?, environment.service()?);
    let (jobs, seconds) = if options.quick {
        (schedule::QUICK_JOBS, schedule::QUICK_SECONDS)
    } else {
        (schedule::JOBS, schedule::SECONDS)
    };
    let postgres = environment.postgres.as_deref().zip(environment.postgres_pid);
    let report = schedule::run(
        runtime,
        &schedule::Options {
            programs: &environment.programs,
            service: &service,
            work: &work,
            postgres: postgres.ok_or("there is no PostgreSQL: ./bench starts one")?,
            jobs: options.uploads.unwrap_or(jobs).max(1),
            seconds: options.seconds.unwrap_or(seconds),
        },
        progress,
    )?;
    progress(&format!("\n{}", report.table()));
    write(&environment.directory, "schedule.json", &report)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn groups(only: Option<&str>) -> Result<Vec<Group>, BenchError> {
    let is_wanted = |group: &Group| only.is_none_or(|only| group.name().contains(only));
    let groups: Vec<Group> = GROUPS.into_iter().filter(is_wanted).collect();
    if groups.is_empty() {
        let mut names: Vec<String> = GROUPS.iter().map(|group| group.name()).collect();
        names.extend([SLOW_VIMEO, RELAY, NEAR_MISSES, JOBS, FLOOD, DASHBOARD, SCHEDULE].map(str::to_owned));
        return Err(format!("unknown measurement; choose one of {}", names.join(", ")).into());
    }
    Ok(groups)
}

/// Starts the servers that the groups need.
fn prepare_all<'a>(
    runtime: &'a Runtime,
    environment: &Environment,
    groups: &[Group],
) -> Result<TestBed<'a>, BenchError> {
    let (directory, program) = (environment.make_work()?, environment.service()?);
    let needs = |engine| groups.iter().any(|group| group.engine == engine);
    let constant = ConstantServer::start(&subdirectory(&directory, "constant")?)?;
    let plan = |name: &str, database_url| Plan {
        program: &program,
        directory: PathBuf::from(&directory).join(name),
        database_url,
        configuration: "",
    };
    let (mut subjects, mut database) = (Vec::new(), None);
    if needs(Engine::Sqlite) {
        progress("Starting the service on SQLite, and creating 10,000 connections");
        subjects.push(Subject::start(runtime, Engine::Sqlite, &plan("sqlite", None), None)?);
    }
    if needs(Engine::Postgres) {
        progress(
            "Starting the service on PostgreSQL, and creating 10,000 connections there and in a second database",
        );
        let url = environment.postgres.as_deref().ok_or("there is no PostgreSQL: ./bench starts one")?;
        let pid = environment.postgres_pid.ok_or("the number of PostgreSQL's first process is missing")?;
        administer(runtime, url, &["CREATE DATABASE service", "CREATE DATABASE beside"])?;
        let of = |name: &str| url.rsplit_once('/').map(|(server, _)| format!("{server}/{name}"));
        let service = plan("postgres", of("service"));
        subjects.push(Subject::start(runtime, Engine::Postgres, &service, Some(pid))?);
        let beside = plan("beside", of("beside"));
        prepare(&beside)?;
        let beside_url = beside.database_url.as_deref().ok_or("the URL names no database")?;
        database = Some(Database::open(runtime, beside_url)?);
        // Maintenance that the server would otherwise start during a round.
        for url in [service.database_url.as_deref(), Some(beside_url)].into_iter().flatten() {
            administer(runtime, url, &["VACUUM ANALYZE", "CHECKPOINT"])?;
        }
    }
    Ok(TestBed { runtime, subjects, constant, database, directory })
}

/// Get and create at fixed rates: the given rate, or parts of the closed loop's, which is measured first if necessary.
fn open_loop(
    test_bed: &mut TestBed<'_>,
    found: &[Results],
    options: &Options,
    pace: Pace,
) -> Result<Vec<Paced>, BenchError> {
    let mut all = Vec::new();
    for subject in &mut test_bed.subjects {
        for operation in paced::OPERATIONS {
            let name = format!("{}/{operation}", subject.engine);
            if options.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
                continue;
            }
            let rates = match (options.rate, closed_rate(found, subject.engine, operation)) {
                (Some(rate), _) => Rates::Given(rate),
                (None, Some(rate)) => Rates::PartsOf(rate),
                (None, None) => {
                    let sample = subject.measure(test_bed.runtime, operation, pace.seconds)?;
                    Rates::PartsOf(sample.measured.requests_per_second())
                }
            };
            all.extend(paced::run(subject, operation, rates, pace.seconds)?);
        }
    }
    Ok(all)
}

/// The median of the rounds.
fn closed_rate(found: &[Results], engine: Engine, operation: Operation) -> Option<f64> {
    let found = found.iter().find(|f| f.group.engine == engine && f.group.operation == operation)?;
    let samples = found.rounds.iter().filter_map(|round| round.sample.as_ref());
    crate::rounds::Spread::of(samples.map(|sample| sample.measured.requests_per_second()))
        .map(|spread| spread.median)
        .filter(|rate| *rate >= 1.0)
}

pub(crate) fn write(directory: &Path, name: &str, what: &impl Serialize) -> Result<(), BenchError> {
    let path = directory.join(name);
    let text = serde_json::to_string_pretty(what)?;
    fs::write(&path, text + "\n").context(format!("{} cannot be written", path.display()))
}
