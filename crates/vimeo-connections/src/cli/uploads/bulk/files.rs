//! Sends the files of a bulk upload, as `upload` sends one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Caller, Error, FileRun, LocalFile};
use domain::job::{JobId, JobPhase};
use tokio::time::sleep;

use super::super::file::{FileToSend, ReadFault, SendingFile};
use super::super::progress::Progress;
use super::super::sending::{Sent, send_file};
use super::super::submission::Accepted;
use super::super::{RERUN, Stopped};
use super::Bulk;
use super::board::{Stage, State, ended};
use super::entries::Entry;
use super::service::Service;
use super::submitting::{Submitted, accepted_state};
use crate::cli::BoxError;

/// The pause before the file is sent further, after a failure or while a limit is reached.
const PAUSE: Duration = Duration::from_millis(500);

impl Bulk<'_> {
    /// Submits a line with a file, and sends its bytes.
    pub(super) async fn upload_file(
        &self,
        place: usize,
        entry: &Entry,
        (path, identity): (&Path, &str),
    ) -> Result<(), BoxError> {
        let file = match FileToSend::open(path) {
            Ok(file) if file.identity() == identity => file,
            Ok(_) => {
                self.leave(
                    place,
                    entry,
                    &"the file has changed since it was checked: run the command again".into(),
                );
                return Ok(());
            }
            Err(error) => {
                self.leave(place, entry, &error);
                return Ok(());
            }
        };
        let accepted = match Box::pin(self.submit(place, entry)).await? {
            Submitted::InProgress(accepted) => accepted,
            Submitted::Settled => return Ok(()),
        };
        let progress = Progress::silent();
        self.board.set(place, State::Sending(accepted.id.clone(), progress.clone()));
        let sending = Arc::new(SendingFile::new(file, self.tasks.clone(), progress));
        match self.send(&accepted, &sending).await {
            Ok(()) => {}
            Err(error) if error.is::<Stopped>() => return Err(error),
            Err(error) => match error.downcast::<ReadFault>().map(|fault| *fault) {
                Ok(ReadFault::Changed) => {
                    // The bytes that have arrived are useless; the changed file is another upload.
                    if let Err(failed) = self.repeat(|| self.service.cancel(&accepted.id)).await? {
                        self.board.say(&format!("line {}: {}", entry.line, failed.error));
                    }
                    self.board.say(&format!(
                        "line {}: the file changed while it was sent, so its upload is cancelled",
                        entry.line
                    ));
                }
                Ok(ReadFault::Unreadable(error)) => {
                    let error = format!("the file cannot be read: {error}. {RERUN}");
                    self.leave(place, entry, &error.into());
                    return Ok(());
                }
                Err(error) => {
                    self.leave(place, entry, &error);
                    return Ok(());
                }
            },
        }
        // If it has not ended meanwhile.
        if self.board.is_sending(place) {
            self.board.set(place, accepted_state(&accepted));
        }
        Ok(())
    }

    /// Whether the bytes of a job of an earlier run are still to be sent. If not, it is followed.
    pub(super) async fn needs_bytes(
        &self,
        place: usize,
        entry: &Entry,
        id: &JobId,
    ) -> Result<bool, BoxError> {
        match self.repeat(|| self.service.find(id)).await? {
            Ok(Some(job)) if ended(&job).is_some() => self.settle(place, entry, &job).await?,
            Ok(Some(job)) => {
                let phases = [JobPhase::Queued, JobPhase::Creating, JobPhase::Uploading];
                if job.phase().is_some_and(|phase| phases.contains(&phase)) {
                    return Ok(true);
                }
                self.board.set(place, State::InProgress(id.clone(), Stage::of(&job)));
            }
            Ok(None) => self.lose(place, id).await?,
            Err(failed) => return Err(failed.error),
        }
        Ok(false)
    }

    /// A link is gone after the last byte, too.
    async fn check_gone_link(&self, id: &JobId) -> Result<(), BoxError> {
        match self.repeat(|| self.service.find(id)).await? {
            Ok(Some(job)) if ended(&job).is_none() && job.phase() == Some(JobPhase::Uploading) => {
                let id = id.as_str();
                Err(format!("the upload link is no longer valid. {RERUN}, or cancel the job {id}").into())
            }
            Ok(_) => Ok(()),
            Err(failed) => Err(failed.error),
        }
    }

    async fn send(&self, accepted: &Accepted, file: &Arc<SendingFile>) -> Result<(), BoxError> {
        match self.service {
            Service::Database { app, caller } => self.send_as_worker(app, caller, &accepted.id, file).await,
            Service::Remote(client) => {
                // Without a link, the upload is past its last byte.
                let Some(link) = &accepted.link else { return Ok(()) };
                match send_file(client.url(), link, file.size(), file, &self.ending).await? {
                    Sent::Whole => Ok(()),
                    Sent::LinkGone => self.check_gone_link(&accepted.id).await,
                }
            }
        }
    }

    /// Runs the job until its bytes are sent.
    async fn send_as_worker(
        &self,
        app: &App,
        caller: &Caller,
        id: &JobId,
        file: &Arc<SendingFile>,
    ) -> Result<(), BoxError> {
        let bytes = file.clone() as Arc<dyn LocalFile>;
        loop {
            match app.run_file(caller, id, &bytes, &self.ending).await {
                Ok(FileRun::Sent) | Err(Error::JobNotFound) => return Ok(()),
                Ok(FileRun::Ran | FileRun::NotDue | FileRun::LimitReached) => {}
                Err(error) => tracing::debug!(%error, "the upload could not be run; it will be retried"),
            }
            if let Some(fault) = file.take_fault() {
                return Err(fault.into());
            }
            if self.ending.run_until_cancelled(sleep(PAUSE)).await.is_none() {
                return Err(Stopped.into());
            }
        }
    }
}
