//! What the pages of the dashboard show of uploads beyond their jobs.

use domain::job::{Job, JobId};
use domain::upload::UploadSettings;
use store::StatusCounts;

use super::prepare::{self, PrepareError};
use crate::{App, Caller, Error};

/// How many of an account's newest uploads are counted. No index has their status: SQLite needs about a millisecond for
/// these, and 40 for ten times as many.
const COUNTED_MAX: u32 = 1_000;

/// How many uploads of an account have each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadCounts {
    /// The numbers.
    pub counts: StatusCounts,
    /// Whether the account may have older uploads, which are not counted.
    pub has_more: bool,
}

impl App {
    /// Counts the caller's uploads by status.
    pub async fn count_uploads(&self, caller: &Caller) -> Result<UploadCounts, Error> {
        let counts = self.store.count_jobs(&caller.account_id, COUNTED_MAX).await?;
        Ok(UploadCounts { counts, has_more: counts.total() >= COUNTED_MAX.into() })
    }

    /// The settings of an upload, as long as its request is kept: until it has ended, and for a retry after a failure.
    pub async fn find_upload_settings(
        &self,
        caller: &Caller,
        job: &Job,
    ) -> Result<Option<UploadSettings>, Error> {
        let found = self.store.find_stored_job(&caller.account_id, &job.id).await?;
        let Some(found) = found.filter(|found| found.request.is_some()) else { return Ok(None) };
        match prepare::verify(self, &found.job, found.row_mac.as_deref(), found.request.as_ref()).await {
            Ok(request) => Ok(request.map(|request| request.settings)),
            Err(PrepareError::Temporary(error)) => Err(error),
            // The worker reports what does not verify.
            Err(_) => Ok(None),
        }
    }

    /// The upload that repeats a failed one.
    pub async fn find_retry(&self, caller: &Caller, id: &JobId) -> Result<Option<JobId>, Error> {
        Ok(self.store.find_retry(&caller.account_id, id).await?)
    }
}
