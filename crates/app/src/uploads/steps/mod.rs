//! The steps of an upload, one file a state. A step asks Vimeo and the source, and returns an outcome; it never writes.

mod chapters;
pub(super) mod clean_up;
mod client_transfer;
pub(super) mod configure;
pub(super) mod create;
mod extras;
mod parts;
mod placeholders;
pub(super) mod publish;
mod replace;
mod source;
mod targets;
mod thumbnail;
pub(super) mod transfer;
mod unique;

use std::sync::Arc;
use std::time::Duration;

use domain::job::{Job, JobState, Target};
use domain::publication::Chapter;
use domain::time::Timestamp;
use egress::{SourceProgress, Spooled};
use seal::Randomness;
use tracing::Instrument as _;
use vimeo::UploadLink;

use super::lease::JobLease;
use super::local_file::LocalFile;
use super::outcome::StepOutcome;
use super::prepare::Prepared;
use super::setup::Uploads;
use super::transfer_counter::TransferCounter;
use crate::Clock;
use crate::context::Context;

pub(super) use placeholders::placeholder_name;

/// How long a call of Vimeo's API may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// What a step is given.
pub(super) struct StepContext<'a> {
    /// The job as it is stored.
    pub(super) job: &'a Job,
    pub(super) prepared: &'a Prepared,
    /// The upload link of the placeholder; `None`: there is none, or it does not decrypt.
    pub(super) link: Option<UploadLink>,
    pub(super) uploads: &'a Uploads,
    pub(super) clock: &'a Clock,
    /// The time by the database's clock, or a little earlier.
    pub(super) database_now: Timestamp,
    pub(super) randomness: &'a Randomness,
    pub(super) counter: &'a Arc<TransferCounter>,
}

/// What a worker remembers between the steps of one lease. Losing it costs time, and nothing else.
#[derive(Default)]
pub(super) struct Memory {
    /// The create that this worker has stored and not asked for yet: its deadline.
    pub(super) unasked_create: Option<Timestamp>,
    /// Views of a placeholder that Vimeo refused.
    pub(super) refused_views: usize,
    /// The job's bytes, if this process is its client.
    pub(super) local_file: Option<Arc<dyn LocalFile>>,
    /// The transfer that is running.
    pub(super) transfer: Option<transfer::Transfer>,
    /// The source, if it had to be buffered on the disk.
    pub(super) spooled: Option<Spooled>,
    /// The video whose file is replaced exists, and belongs to the account.
    pub(super) is_replaced_video_checked: bool,
    /// What was read of the source.
    pub(super) progress: SourceProgress,
    /// What was deleted last.
    pub(super) last_deleted: Option<Target>,
    /// The file of the text track whose creation this worker has stored and not requested yet.
    pub(super) part_file: Option<parts::PartFile>,
    /// The same for chapters.
    pub(super) chapters_to_create: Option<Vec<Chapter>>,
    /// The same for the thumbnail.
    pub(super) thumbnail: Option<thumbnail::ThumbnailToCreate>,
}

impl<'a> StepContext<'a> {
    /// Without an upload link.
    pub(super) fn new(
        context: &'a Context,
        uploads: &'a Uploads,
        prepared: &'a Prepared,
        (lease, job): (&'a JobLease, &'a Job),
    ) -> Self {
        Self {
            job,
            prepared,
            link: None,
            uploads,
            clock: &context.clock,
            database_now: lease.database_now(),
            randomness: &context.randomness,
            counter: &lease.counter,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The same state, and how the job continues.
    pub(super) fn stay(&self, then: super::outcome::Then) -> StepOutcome {
        StepOutcome::stay(self.job.state.clone(), then)
    }
}

/// Runs the step of the job's state; `None` if the job has ended.
pub(super) async fn run(context: &StepContext<'_>, memory: &mut Memory) -> Option<StepOutcome> {
    let (job, state) = (&context.job.id, context.job.state.as_str());
    let span = tracing::debug_span!(target: "otlp", "upload.step", %job, state);
    run_state(context, memory).instrument(span).await
}

async fn run_state(context: &StepContext<'_>, memory: &mut Memory) -> Option<StepOutcome> {
    Some(match context.job.state.clone() {
        JobState::Queued(queued) => create::begin(context, memory, queued).await,
        JobState::Creating(creating) => create::create(context, memory, creating).await,
        JobState::Uploading(uploading) => transfer::transfer(context, memory, uploading).await,
        JobState::Configuring(configuring) => configure::configure(context, memory, configuring).await,
        JobState::Transcoding(transcoding) => publish::await_transcoding(context, memory, transcoding).await,
        JobState::Scheduled(scheduled) => publish::await_publish_time(context, scheduled),
        JobState::Publishing(publishing) => publish::publish(context, publishing).await,
        JobState::CleaningUp(cleaning) => clean_up::clean_up(context, memory, cleaning).await,
        JobState::Completed(_) | JobState::Failed(_) | JobState::Cancelled(_) => return None,
    })
}
