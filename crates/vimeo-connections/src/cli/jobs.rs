//! `jobs`.

mod operations;
mod view;
mod watch;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use domain::job::{JobId, JobPhase, JobStatus};
use domain::time::Timestamp;
use serde_json::json;

use super::backend::{AccountArg, Place};
use super::uploads::{Interrupts, Progress, Stopped, Uploaded, report};
use super::{BoxError, Format, output};
use operations::Only;

pub(super) use view::JobView;
pub(super) use watch::{Until, watch};

#[derive(Subcommand)]
pub(super) enum Command {
    /// List an account's jobs, newest first
    List {
        #[command(flatten)]
        account: AccountArg,
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        format: Format,
    },
    /// Show a job
    Show {
        #[command(flatten)]
        job: JobArg,
        #[command(flatten)]
        format: Format,
    },
    /// Watch a job to its end, with its progress
    Watch {
        #[command(flatten)]
        job: JobArg,
        #[command(flatten)]
        format: Format,
    },
    /// Queue a failed job again, as a new job; print its ID
    Retry {
        #[command(flatten)]
        job: JobArg,
        #[command(flatten)]
        format: Format,
    },
    /// Change when the video of a job is opened to its viewers
    Reschedule {
        #[command(flatten)]
        job: JobArg,
        /// The new time, such as 2026-01-31T09:05:00Z, or now: as soon as everything else is done
        #[arg(long = "to", value_name = "TIME", value_parser = read_time)]
        publish_at: PublishAt,
        #[command(flatten)]
        format: Format,
    },
    /// Cancel a job; whatever it created at Vimeo is deleted
    Cancel {
        #[command(flatten)]
        job: JobArg,
        #[command(flatten)]
        format: Format,
    },
}

/// The job.
#[derive(Args)]
pub(super) struct JobArg {
    /// The job's ID
    #[arg(value_name = "JOB", value_parser = read_id)]
    id: JobId,
    #[command(flatten)]
    account: AccountArg,
}

/// Which jobs are listed.
#[derive(Args)]
pub(super) struct Filter {
    /// Only jobs with this status: in-progress, completed, failed or cancelled
    #[arg(long, value_parser = JobStatus::parse)]
    status: Option<JobStatus>,
    /// Only jobs in this phase, such as queued, uploading or transcoding
    #[arg(long, value_parser = JobPhase::parse)]
    phase: Option<JobPhase>,
    /// Only jobs of this connection
    #[arg(long, value_name = "ID|NAME")]
    connection: Option<String>,
    /// Only jobs created at this time or later, such as 2026-01-31T09:05:00Z
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    created_after: Option<Timestamp>,
    /// Only jobs created before this time
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    created_before: Option<Timestamp>,
    /// At most this many
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// When a video is opened.
#[derive(Debug, Clone, Copy)]
pub(super) enum PublishAt {
    Time(Timestamp),
    Now,
}

fn read_time(text: &str) -> Result<PublishAt, String> {
    if text == "now" {
        return Ok(PublishAt::Now);
    }
    Timestamp::parse(text).map(PublishAt::Time).map_err(|error| format!("{error}, or now"))
}

fn read_id(text: &str) -> Result<JobId, &'static str> {
    JobId::parse(text).ok_or("must be the ID of a job, such as 019c1234-5678-7abc-8def-0123456789ab")
}

pub(super) async fn run(place: Place<'_>, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::List { account, filter, format } => list(place, &account, filter, &format).await,
        Command::Show { job, format } => {
            let found = job.account.open(place).await?.find_job(&job.id).await?;
            if format.json {
                return output::print_json(&found.json);
            }
            output::print(&output::to_lines(&found.lines()))
        }
        Command::Watch { job, format } => {
            let backend = job.account.open(place).await?;
            let (interrupts, progress) = (Interrupts::listen()?, Progress::new());
            let watched = watch(&backend, (&job.id, Until::Ended), &progress, &interrupts.stopping).await;
            progress.end();
            match watched {
                Ok(ended) => report::tell(&ended, Uploaded::Now, &format),
                Err(error) if error.is::<Stopped>() => {
                    output::status("Interrupted. The job continues.");
                    Ok(ExitCode::from(interrupts.code()))
                }
                Err(error) => Err(error),
            }
        }
        Command::Retry { job, format } => {
            let retry = job.account.open(place).await?.retry_job(&job.id).await?;
            report::tell_taken(&retry, &format)
        }
        Command::Reschedule { job, publish_at, format } => {
            let publish_at = match publish_at {
                PublishAt::Time(at) => Some(at),
                PublishAt::Now => None,
            };
            let changed = job.account.open(place).await?.reschedule_job(&job.id, publish_at).await?;
            if format.json {
                return output::print_json(&changed.json);
            }
            output::print(&match publish_at {
                Some(at) => format!("The video of the job {} is opened at {at}.", changed.id()),
                None => format!("The video of the job {} is opened as soon as possible.", changed.id()),
            })
        }
        Command::Cancel { job, format } => {
            let backend = job.account.open(place).await?;
            // Cancelling an unknown job is audited, so it is asked for in any case.
            let before = backend.find_job(&job.id).await;
            backend.cancel_job(&job.id).await?;
            let before = before?;
            let now = backend.find_job(&job.id).await?;
            if format.json {
                return output::print_json(&now.json);
            }
            let id = now.id();
            output::print(&match now.status() {
                Some(JobStatus::Cancelled) if !before.has_ended() => format!("Cancelled the job {id}."),
                _ => format!("The job {id} had ended already ({}).", now.phase_text()),
            })
        }
    }
}

async fn list(
    place: Place<'_>,
    account: &AccountArg,
    filter: Filter,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let backend = account.open(place).await?;
    let connection_id = match &filter.connection {
        Some(connection) => Some(backend.find_connection(connection).await?.id().to_owned()),
        None => None,
    };
    let only = Only {
        connection_id,
        status: filter.status,
        phase: filter.phase,
        created_from: filter.created_after,
        created_until: filter.created_before,
    };
    let jobs = backend.list_jobs(&only, filter.limit as usize).await?;
    if format.json {
        return output::print_json(&json!(jobs.iter().map(|job| &job.json).collect::<Vec<_>>()));
    }
    let rows: Vec<_> = jobs.iter().map(JobView::row).collect();
    output::print_table(&["JOB", "CONNECTION", "STATUS", "PHASE", "PROGRESS", "VIDEO", "CREATED"], &rows)
}
