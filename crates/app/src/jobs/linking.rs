//! Making an upload link while a client waits for it.

use std::time::Duration;

use domain::job::{End, Failure, JobState, Sending, Webhook};
use domain::secret::Sealed;
use store::{Completion, LeasedJob};

use super::Uploads;
use super::attendance::{Attendance, Obstacle, Step, open_request};
use super::held::{Held, Interrupt};
use crate::uploads::ClientUpload;
use crate::{App, Error};
use egress::SourceProgress;

/// When to ask again if Vimeo did not say.
const RETRY_SECONDS: u64 = 10;
/// When the progress of the client is looked at first.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// What became of the wish for a link.
pub(crate) enum LinkMade {
    /// Here it is.
    Yes(ClientUpload),
    /// Vimeo does not take such an upload; the job has failed.
    Refused(Failure),
    /// Vimeo could not be asked; the job was cancelled, and whatever it may have made is taken away.
    NotNow {
        /// When to ask again.
        retry_after_seconds: u64,
    },
}

/// What is kept for a repeated request, together with the link.
pub(crate) struct KeptWithLink {
    /// That the request was done, and by which job.
    pub(crate) completion: Completion,
    /// The answer with the link, sealed: the job keeps it, so that it goes with the link.
    pub(crate) answer: Sealed,
}

/// Makes the placeholder of a job that the caller has just added, and gives its link. `complete` says what is written
/// together with it, so that a repeated request is answered alike.
pub(crate) async fn make_link<F>(
    app: &App,
    uploads: &Uploads,
    leased: LeasedJob,
    complete: impl FnOnce(ClientUpload) -> F,
) -> Result<LinkMade, Error>
where
    F: Future<Output = Result<Option<KeptWithLink>, Error>>,
{
    let sealed = leased.request.clone();
    let held = Held::new(leased, app.store.clone(), app.clock.clone());
    let opened = match open_request(app, uploads, &held.job, sealed).await {
        Ok(opened) => opened,
        Err(Obstacle::Disabled) => return Err(Error::ConnectionDisabled),
        Err(Obstacle::Gone) => return Err(Error::ConnectionNotFound),
        Err(Obstacle::Unreadable) => return Err(seal::DoesNotOpen.into()),
        Err(Obstacle::Passing(error)) => return Err(error),
    };
    let (spooled, reading, last_deleted) = (None, SourceProgress::default(), None);
    let mut attendance = Attendance { app, uploads, held, opened, spooled, reading, last_deleted };
    let made = attendance.make_link(complete).await;
    match made {
        Ok(made) => Ok(made),
        // Cancelled, or the connection was deleted, in this very moment.
        Err(Interrupt::Lost) => Err(Error::ConnectionNotFound),
        Err(Interrupt::Store(error)) => Err(error.into()),
        Err(Interrupt::Done | Interrupt::Disabled | Interrupt::Stopping) => {
            Ok(LinkMade::NotNow { retry_after_seconds: RETRY_SECONDS })
        }
    }
}

impl Attendance<'_> {
    async fn make_link<F>(&mut self, complete: impl FnOnce(ClientUpload) -> F) -> Result<LinkMade, Interrupt>
    where
        F: Future<Output = Result<Option<KeptWithLink>, Error>>,
    {
        let JobState::Accepted(accepted) = self.held.job.state else { return Err(Interrupt::Lost) };
        let placeholder = match self.create_placeholder(accepted).await? {
            Ok(placeholder) => placeholder,
            Err(Step::Fail(failure)) => {
                self.give_up(End::Failed(failure.clone())).await?;
                return Ok(LinkMade::Refused(failure));
            }
            Err(Step::Wait(pause)) if matches!(self.held.job.state, JobState::Accepted(_)) => {
                self.give_up(End::Cancelled).await?;
                return Ok(LinkMade::NotNow { retry_after_seconds: pause.as_secs().max(1) });
            }
            Err(Step::Go | Step::Wait(_) | Step::Trouble(_) | Step::Refused(..)) => {
                self.give_up(End::Cancelled).await?;
                return Ok(LinkMade::NotNow { retry_after_seconds: RETRY_SECONDS });
            }
        };
        let (sending, link): (Sending, _) = placeholder;
        let upload = ClientUpload { job_id: self.held.job.id.clone(), video: sending.video, link };
        let kept = complete(upload.clone()).await.map_err(super::interrupt)?;
        self.begin_sending(sending, &upload.link, kept).await?;
        self.held.let_go(FIRST_LOOK).await?;
        Ok(LinkMade::Yes(upload))
    }

    /// Nobody will learn of the link, nor of the job: it ends.
    pub(super) async fn give_up(&mut self, end: End) -> Result<(), Interrupt> {
        self.held.job.webhook = Webhook::None;
        let size = self.held.job.size();
        let Some(state) = self.held.job.state.clone().abandon(&end, size) else { return Ok(()) };
        self.enter(state).await?;
        if self.held.job.state.is_over() { Ok(()) } else { self.held.let_go(Duration::ZERO).await }
    }
}
