//! `upload --from FILE`: uploads what each line of a file names. All lines are checked first. Each line is idempotent by its
//! content, and a report beside the file says what was accepted and how it ended, so that the command can be repeated after
//! any interruption: each film is uploaded once.

mod board;
mod cells;
mod decision;
mod entries;
mod files;
mod following;
mod input;
mod plan;
mod report_file;
mod service;
mod starts;
mod submitting;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use app::Clock;
use futures_util::stream::{self, StreamExt as _};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Arguments, Interrupts, RERUN, Stopped};
use crate::cli::backend::{Backend, Place, UsageError};
use crate::cli::{BoxError, output};
use crate::client::ApiClient;
use crate::config::Config;
use crate::exit::ExitStatus;
use crate::wiring;
use board::Board;
use entries::{Entry, EntrySource};
use plan::{Options, Plan};
use report_file::{Record, Report, Status};
use service::Service;
use starts::{Start, start_of};

use submitting::{Gate, Submitted, accepted_state};

pub(super) use plan::BulkArguments;

/// How many files are sent at once.
const FILES_AT_ONCE: usize = 3;

/// A command that uploads many lines.
struct Bulk<'a> {
    service: Service<'a>,
    entries: Vec<Entry>,
    board: Board,
    report: Report,
    gate: Gate,
    options: Options,
    tasks: &'a TaskTracker,
    /// Cancelled by a signal, or by an error of all lines.
    ending: CancellationToken,
    /// The first error of all lines.
    error: Mutex<Option<BoxError>>,
}

/// Uploads through the database of this machine; this process runs due jobs meanwhile.
pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, BoxError> {
    let plan = Plan::of(&arguments)?;
    let interrupts = Interrupts::listen()?;
    let tasks = TaskTracker::new();
    let app = Arc::new(wiring::open_for_uploading(config, tasks.clone()).await?);
    let uploading = async {
        let backend = arguments.of.open(Place::Database(&app)).await?;
        let Backend::Database { caller, .. } = &backend else { return Err(UsageError::NeedsDatabase.into()) };
        let service = Service::Database { app: &app, caller };
        let Some(entries) = plan.check(&backend, service).await? else {
            return Ok(ExitCode::from(ExitStatus::Usage.code()));
        };
        let is_working = config.uploads.is_working && plan.options.waits;
        let stopping = CancellationToken::new();
        let worker = async {
            if is_working {
                app.clone().run_worker(stopping.clone()).await;
            }
        };
        let uploading = async {
            let result = upload(service, plan, entries, (&tasks, &interrupts)).await;
            stopping.cancel();
            result
        };
        // Both run to completion, so that no lease is left behind.
        tokio::join!(uploading, worker).0
    };
    let result = Box::pin(uploading).await;
    tasks.close();
    if tokio::time::timeout(config.shutdown, tasks.wait()).await.is_err() {
        tracing::warn!("the cleanup after the uploads did not finish in time");
    }
    app.close().await;
    result
}

/// Uploads through a remote service.
pub(super) async fn run_remotely(client: &ApiClient, arguments: Arguments) -> Result<ExitCode, BoxError> {
    arguments.of.reject()?;
    let plan = Plan::of(&arguments)?;
    let (interrupts, tasks) = (Interrupts::listen()?, TaskTracker::new());
    let service = Service::Remote(client);
    let Some(entries) = plan.check(&Backend::Service(client), service).await? else {
        return Ok(ExitCode::from(ExitStatus::Usage.code()));
    };
    let result = Box::pin(upload(service, plan, entries, (&tasks, &interrupts))).await;
    tasks.close();
    tasks.wait().await;
    result
}

/// Uploads all entries that need it.
async fn upload(
    service: Service<'_>,
    plan: Plan,
    entries: Vec<Entry>,
    (tasks, interrupts): (&TaskTracker, &Interrupts),
) -> Result<ExitCode, BoxError> {
    let (report, records) = Report::open(&plan.report, tasks)?;
    if records.is_empty() {
        let errors = entries::check_times(&entries, Clock::system().now());
        if !errors.is_empty() {
            plan.report_errors(&errors);
            return Ok(ExitCode::from(ExitStatus::Usage.code()));
        }
    }
    let repeat = plan.options.repeat;
    let starts: Vec<_> =
        entries.iter().map(|entry| start_of(entry, records.get(&entry.digest), repeat)).collect();
    let bulk = Bulk {
        service,
        board: Board::new(starts.iter().map(Start::state).collect()),
        entries,
        report,
        gate: Gate::new(),
        options: plan.options,
        tasks,
        ending: interrupts.stopping.child_token(),
        error: Mutex::new(None),
    };
    bulk.say_what_is_known(&starts)?;
    bulk.work(&starts).await;
    bulk.conclude(interrupts)
}

impl Bulk<'_> {
    /// What earlier runs have done, and which lines are the same.
    fn say_what_is_known(&self, starts: &[Start]) -> Result<(), BoxError> {
        for (entry, start) in self.entries.iter().zip(starts) {
            match start {
                Start::Done(record) => {
                    if self.options.prints_records {
                        output::print(&serde_json::to_string(record)?)?;
                    }
                    self.say_failure(record);
                }
                Start::Duplicate(first) => {
                    let first = self.entries.get(*first).map_or(0, |first| first.line);
                    self.board.say(&format!("line {} is the same as line {first}: one upload", entry.line));
                }
                Start::Submit | Start::Follow(_) | Start::Resume(_) => {}
            }
        }
        Ok(())
    }

    async fn work(&self, starts: &[Start]) {
        let places = |is_file: bool| {
            let entries = self.entries.iter().zip(starts).enumerate();
            let chosen = entries.filter(move |(_, (entry, start))| {
                start.needs_work() && is_file == matches!(entry.source, EntrySource::File { .. })
            });
            stream::iter(chosen.map(|(place, (entry, start))| (place, entry, start)).collect::<Vec<_>>())
        };
        let is_submitted = AtomicBool::new(false);
        let submitting = async {
            let one = |(place, entry, start)| async move {
                if !self.ending.is_cancelled() {
                    self.note(Box::pin(self.upload_one(place, entry, start)).await);
                }
            };
            let urls = places(false).for_each_concurrent(self.options.parallel, one);
            let files = places(true).for_each_concurrent(FILES_AT_ONCE, one);
            tokio::join!(urls, files);
            is_submitted.store(true, Ordering::Release);
        };
        let following = async {
            let is_done = || {
                is_submitted.load(Ordering::Acquire)
                    && (!self.options.waits || self.board.counts().in_progress() == 0)
            };
            self.note(self.follow(is_done).await);
        };
        // Requests are not cancelled midway.
        tokio::join!(submitting, following);
        self.board.end();
    }

    async fn upload_one(&self, place: usize, entry: &Entry, start: &Start) -> Result<(), BoxError> {
        match (&entry.source, start) {
            (EntrySource::File { path, identity }, Start::Resume(id)) => {
                if self.needs_bytes(place, entry, id).await? {
                    Box::pin(self.upload_file(place, entry, (path, identity))).await?;
                }
            }
            (EntrySource::File { path, identity }, _) => {
                Box::pin(self.upload_file(place, entry, (path, identity))).await?;
            }
            (EntrySource::Url, _) => {
                if let Submitted::InProgress(accepted) = Box::pin(self.submit(place, entry)).await? {
                    self.board.set(place, accepted_state(&accepted));
                }
            }
        }
        Ok(())
    }

    /// The first error ends the command; what is in progress is finished.
    fn note(&self, result: Result<(), BoxError>) {
        let Err(error) = result else { return };
        if !error.is::<Stopped>() {
            self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        self.ending.cancel();
    }

    /// Appends to the report; with `--json` prints it, too.
    async fn record(&self, record: &Record) -> Result<(), BoxError> {
        self.report.append(record).await?;
        if self.options.prints_records {
            output::print(&serde_json::to_string(record)?)?;
        }
        Ok(())
    }

    fn say_failure(&self, record: &Record) {
        let text = |text: &Option<String>| output::on_one_line(text.as_deref().unwrap_or_default());
        let (line, message, code) = (record.line, text(&record.error_message), text(&record.error_code));
        match record.status {
            Status::Failed => self.board.say(&format!("line {line} failed: {message} ({code})")),
            Status::Cancelled => self.board.say(&format!("line {line} was cancelled")),
            Status::Accepted | Status::Scheduled | Status::Completed => {}
        }
    }

    /// Prints the summary.
    fn conclude(&self, interrupts: &Interrupts) -> Result<ExitCode, BoxError> {
        let counts = self.board.counts();
        let summary = format!("{}: {}", self.entries.len(), counts.text(None, None));
        let summary = format!("Lines: {summary}.");
        if let Some(error) = self.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            output::status(&format!("{summary} {RERUN}."));
            return Err(error);
        }
        if interrupts.stopping.is_cancelled() {
            output::status(&format!("Interrupted. {summary} {RERUN}."));
            return Ok(ExitCode::from(interrupts.code()));
        }
        if self.options.prints_records {
            output::status(&summary);
        } else {
            output::print(&summary)?;
        }
        if counts.scheduled > 0 {
            output::status("Scheduled videos are published at their times, without this command.");
        }
        if counts.unfinished > 0 {
            output::status(&format!("{RERUN} what is not finished."));
        }
        if counts.failed > 0 {
            output::status("Run the same command with --retry-failed to upload the failed lines again.");
        }
        let is_done = counts.failed + counts.unfinished + counts.waiting == 0;
        Ok(if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
