//! Changes when the video of an upload is opened to its viewers.

use std::time::Duration;

use domain::audit::Action;
use domain::job::{Job, JobId, JobState};
use domain::publication::check_publish_at;
use domain::time::Timestamp;
use store::{Changed, JobGuard, JobUpdate, LeaseAfter, SealedPart};

use super::{CHANGE_ATTEMPTS, lease};
use crate::{App, Caller, Error};

impl App {
    /// Whether this is an instant at which a video can be opened.
    pub(super) fn check_publish_at(&self, publish_at: Option<Timestamp>) -> Result<(), Error> {
        publish_at
            .map_or(Ok(()), |at| check_publish_at(at, self.clock.now()))
            .map_err(Error::InvalidPublishAt)
    }

    /// Changes when the video of a job is opened; `None`: as soon as everything else is done. A transfer that is running
    /// continues at its last acknowledged byte.
    pub async fn reschedule_upload(
        &self,
        caller: &Caller,
        id: &str,
        publish_at: Option<Timestamp>,
    ) -> Result<Job, Error> {
        let id =
            self.well_formed(caller, Action::RescheduleUpload, JobId::parse(id), Error::JobNotFound).await?;
        let changed = match self.check_publish_at(publish_at) {
            Ok(()) => self.try_reschedule(caller, &id, publish_at).await,
            Err(error) => Err(error),
        };
        self.audited(caller, Action::RescheduleUpload, Some(id.to_string()), changed).await
    }

    async fn try_reschedule(
        &self,
        caller: &Caller,
        id: &JobId,
        publish_at: Option<Timestamp>,
    ) -> Result<Job, Error> {
        let account = &caller.account_id;
        for _ in 0..CHANGE_ATTEMPTS {
            let found = self.store.find_stored_job(account, id).await?.ok_or(Error::JobNotFound)?;
            found.job.check_reschedule()?;
            self.require_verified(&found).await?;
            let now = self.clock.now();
            let job = Job { publish_at, version: found.job.version + 1, ..found.job };
            let subject = Some(id.to_string());
            let event = self.audit_event(account, caller.actor.clone(), Action::RescheduleUpload, subject);
            let is_scheduled = matches!(job.state, JobState::Scheduled(_));
            let update = JobUpdate {
                guard: JobGuard::Version(job.version - 1),
                due_in: Some(
                    self.uploads
                        .as_ref()
                        .map_or(Duration::ZERO, |uploads| uploads.delay_after_abort(&job.state)),
                ),
                due_not_before: publish_at.filter(|_| is_scheduled),
                lease: LeaseAfter::Released,
                request: SealedPart::Kept,
                link: SealedPart::Kept,
                answer: None,
                delivery: None,
                event: Some(event),
                completion: None,
                row_mac: Vec::new(),
                now,
                job: job.clone(),
            };
            if lease::write(self, account, update).await? == Changed::Yes {
                if let Some(uploads) = &self.uploads {
                    uploads.wakeup.notify_one();
                    uploads.publication_wakeup.notify_one();
                }
                return Ok(job);
            }
        }
        Err(Error::Overloaded)
    }
}
