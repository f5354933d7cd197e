//! Follows the jobs to their ends. Many jobs are read as pages of the account's jobs, few of them one by one: the number of
//! requests does not grow with that of the jobs.

use std::collections::HashMap;
use std::time::Duration;

use domain::job::{JobId, JobStatus};
use tokio::time::{Instant, sleep};

use super::Bulk;
use super::board::{Stage, State, ended};
use super::decision::Fault;
use super::report_file::{Record, Status};
use super::service::Failed;
use super::submitting::record_of;
use crate::cli::BoxError;
use crate::cli::jobs::JobView;

/// The least time between two rounds.
const ROUND: Duration = Duration::from_secs(1);
/// A round that takes long is followed by a longer pause.
const PAUSE_FACTOR: u32 = 3;
/// How many jobs a round reads one by one.
const SINGLE_MAX: usize = 24;

impl Bulk<'_> {
    /// Shows the progress until `is_done`, and records the ends of jobs.
    pub(super) async fn follow(&self, is_done: impl Fn() -> bool) -> Result<(), BoxError> {
        loop {
            let started_at = Instant::now();
            self.read_jobs().await?;
            self.board.show();
            if is_done() {
                return Ok(());
            }
            let pause = ROUND.max(started_at.elapsed() * PAUSE_FACTOR);
            if self.ending.run_until_cancelled(sleep(pause)).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn read_jobs(&self) -> Result<(), BoxError> {
        let mut jobs = self.board.jobs();
        // Jobs that are not listed as in progress have ended.
        for status in [Some(JobStatus::InProgress), None] {
            if jobs.len() > SINGLE_MAX {
                jobs = self.update_listed(status, jobs).await?;
            }
        }
        for (place, id) in jobs.into_iter().take(SINGLE_MAX) {
            match self.repeat(|| self.service.find(&id)).await? {
                Ok(Some(job)) => self.update(place, &id, &job).await?,
                Ok(None) => self.lose(place, &id).await?,
                Err(failed) => return Err(failed.error),
            }
        }
        Ok(())
    }

    /// Reads jobs as pages; those that were not among them.
    async fn update_listed(
        &self,
        status: Option<JobStatus>,
        jobs: Vec<(usize, JobId)>,
    ) -> Result<Vec<(usize, JobId)>, BoxError> {
        let Some(oldest) = jobs.iter().map(|(_, id)| id).min() else { return Ok(jobs) };
        let listed = match self.repeat(|| self.service.list(status, oldest)).await? {
            Ok(listed) => listed,
            Err(failed) => return Err(failed.error),
        };
        let listed: HashMap<_, _> = listed.into_iter().map(|job| (job.id().to_owned(), job)).collect();
        let mut others = Vec::new();
        for (place, id) in jobs {
            match listed.get(id.as_str()) {
                Some(job) => self.update(place, &id, job).await?,
                None => others.push((place, id)),
            }
        }
        Ok(others)
    }

    async fn update(&self, place: usize, id: &JobId, job: &JobView) -> Result<(), BoxError> {
        let Some(entry) = self.entries.get(place) else { return Ok(()) };
        if ended(job).is_some() {
            return self.settle(place, entry, job).await;
        }
        // This command's own numbers are newer.
        if self.board.is_sending(place) {
            return Ok(());
        }
        let stage = Stage::of(job);
        if stage != Stage::Scheduled {
            self.board.set(place, State::InProgress(id.clone(), stage));
            return Ok(());
        }
        self.board.set(place, State::Scheduled);
        let job_id = Some(id.as_str().to_owned());
        self.record(&Record { job_id, ..record_of(entry, Status::Scheduled) }).await
    }

    /// A job that was deleted since. It may have completed, so its line is not submitted again unasked.
    pub(super) async fn lose(&self, place: usize, id: &JobId) -> Result<(), BoxError> {
        let Some(entry) = self.entries.get(place) else { return Ok(()) };
        let fault = Fault::Code { code: "JOB_NOT_FOUND".to_owned(), status: 404, retry_after: None };
        let error = format!(
            "the job {} is no longer known, so it is not known how it ended; --retry-failed uploads it again",
            id.as_str()
        );
        self.refuse(place, entry, &Failed { fault, error: error.into() }).await?;
        Ok(())
    }
}
