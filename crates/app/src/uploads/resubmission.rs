//! Queues a failed upload again, as a new job with the same request.

use domain::audit::Action;
use domain::job::{Job, JobId, NotRetryable};
use store::{Counted, JobStart, StoredJob};

use super::prepare::{self, PrepareError};
use super::{UploadRequest, of_connection};
use crate::{App, Caller, Error};

impl App {
    /// Queues a failed job again as a new one, whose identifier is returned. The failed job stays as it is; it can be retried
    /// once, and the new job in turn if it fails.
    pub async fn retry_upload(&self, caller: &Caller, id: &JobId) -> Result<JobId, Error> {
        let retried = self.resubmit(caller, id).await;
        self.audited(caller, Action::RetryUpload, Some(id.to_string()), retried).await
    }

    async fn resubmit(&self, caller: &Caller, id: &JobId) -> Result<JobId, Error> {
        let account = &caller.account_id;
        let failed = self.store.find_stored_job(account, id).await?.ok_or(Error::JobNotFound)?;
        failed.job.check_retry()?;
        if let Some(job_id) = self.store.find_retry(account, id).await? {
            return Err(Error::JobAlreadyRetried { job_id });
        }
        let connection = self.usable_connection(caller, failed.job.connection_id.as_str()).await?;
        let request = self.kept_request(&failed).await?;
        self.require_webhook_secret(caller, &request).await?;
        let job = Job { retry_of: Some(id.clone()), ..self.new_job(&connection, &request) };
        let sealed = self.seal_request(&job, &request).await?;
        let new = self.new_row(caller, job.clone(), sealed, JobStart::Queued);
        let limit = caller.limits.jobs_in_progress;
        let place = self.usage.reserve(&*self.store, account, Counted::JobsInProgress, limit).await?;
        match self.store.insert_job(account, new).await {
            Ok(()) => drop(place),
            // Another request was first.
            Err(error @ store::Error::AlreadyRetried) => {
                place.withdraw();
                let retry = self.store.find_retry(account, id).await?;
                return Err(match retry {
                    Some(job_id) => Error::JobAlreadyRetried { job_id },
                    None => error.into(),
                });
            }
            Err(error) => place.settle(Err(of_connection(error)))?,
        }
        if let Some(uploads) = &self.uploads {
            uploads.wakeup.notify_one();
        }
        Ok(job.id)
    }

    /// The request that a failed job has kept.
    async fn kept_request(&self, failed: &StoredJob) -> Result<UploadRequest, Error> {
        let StoredJob { job, row_mac, request } = failed;
        let Some(sealed) = request else { return Err(NotRetryable::NotKept.into()) };
        match prepare::verify(self, job, row_mac.as_deref(), Some(sealed)).await {
            Ok(Some(request)) => Ok(request),
            Ok(None) | Err(PrepareError::Undecryptable) => Err(NotRetryable::NotKept.into()),
            Err(PrepareError::Temporary(error)) => Err(error),
            Err(
                PrepareError::Tampered
                | PrepareError::NewerFormat
                | PrepareError::ConnectionDisabled
                | PrepareError::ConnectionUnhealthy
                | PrepareError::ConnectionDeleted,
            ) => Err(Error::Internal("the row of a job does not verify".into())),
        }
    }
}
