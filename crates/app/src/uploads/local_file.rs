//! A file on this machine as the source of a job whose client is this process.

use std::sync::Arc;

use bytes::Bytes;
use domain::job::{JobId, JobState, WaitingFor};
use futures_util::stream::BoxStream;
use store::Work;
use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::executor::execute;
use super::lease::COMMAND_LEASE;
use super::worker::{LeaseResult, job_span};
use crate::{App, Caller, Error};

/// The bytes of a local file.
pub trait LocalFile: Send + Sync {
    /// Reads from an offset to the end. An error releases the job; the implementation keeps its cause.
    fn read(&self, offset: u64) -> BoxStream<'static, Result<Bytes, LocalFileFailed>>;
}

/// A local file cannot be read, or has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the file cannot be read or has changed")]
pub struct LocalFileFailed;

/// The result of an attempt to send a local file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRun {
    /// The job ran until its lease was released.
    Ran,
    /// Another process holds the lease, or the job waits for its next attempt.
    NotDue,
    /// The account or the connection runs as many uploads as its limit allows.
    LimitReached,
    /// There is nothing left to send.
    Sent,
}

impl App {
    /// Leases the caller's job and sends its file, or returns at once if the job cannot be leased.
    pub async fn run_file(
        &self,
        caller: &Caller,
        id: &JobId,
        file: &Arc<dyn LocalFile>,
        stopping: &CancellationToken,
    ) -> Result<FileRun, Error> {
        let uploads = self.uploads()?;
        let job = self.find_job(caller, id).await?;
        if !matches!(job.state, JobState::Uploading(_)) {
            return Ok(FileRun::Sent);
        }
        if job.waiting_for == Some(WaitingFor::Client) {
            // Otherwise it is not due until the next poll of its progress.
            let (connection, now) = (&job.connection_id, self.clock.now());
            self.store.wake_jobs(&job.account_id, connection, WaitingFor::Client, now).await?;
        }
        match self.lease_due(&uploads, (&job.account_id, id), Work::Upload, COMMAND_LEASE).await? {
            LeaseResult::Leased(leased) => {
                let span = job_span(&leased.job);
                let file = Some(file.clone());
                execute(&self.context, &uploads, *leased, (file, stopping.clone())).instrument(span).await;
                Ok(FileRun::Ran)
            }
            LeaseResult::NotDue => Ok(FileRun::NotDue),
            LeaseResult::Refused => Ok(FileRun::LimitReached),
        }
    }
}
