//! Watches a job to its end. Meanwhile runs it: a job with a local file until the file is sent, any other one unless
//! this node leaves jobs to others.

use std::sync::Arc;
use std::time::Duration;

use app::{Error, FileRun, LocalFile};
use domain::job::{Job, JobId, JobState};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::file::SendingFile;
use super::{Stopped, UploadContext, to_message};
use crate::cli::BoxError;
use crate::cli::jobs::JobView;

/// How often the job is read.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How many consecutive reads may fail: half a minute, for a restart of the database.
const FAILED_LOOKS_MAX: u32 = 60;

/// The job once it has ended, or waits for its time of publication. `file`: its bytes, if this command sends them. A [`ReadFault`](super::file::ReadFault) if
/// they cannot be read.
pub(super) async fn watch(
    context: &UploadContext<'_>,
    id: &JobId,
    file: Option<&Arc<SendingFile>>,
) -> Result<Job, BoxError> {
    let working = context.stopping.child_token();
    let looking = async {
        let seen = look(context, id, file).await;
        working.cancel();
        seen
    };
    // Both run to completion, so that no lease is left behind.
    let (seen, ()) = tokio::join!(looking, work(context, id, file, &working));
    seen
}

async fn look(
    context: &UploadContext<'_>,
    id: &JobId,
    file: Option<&Arc<SendingFile>>,
) -> Result<Job, BoxError> {
    let mut failed = 0;
    loop {
        match context.app.find_job(context.caller, id).await {
            Ok(job) => {
                failed = 0;
                context.progress.show(&JobView::of(&job)?);
                // At its time the service publishes it.
                if job.state.has_ended() || matches!(job.state, JobState::Scheduled(_)) {
                    return Ok(job);
                }
            }
            Err(Error::StoreUnavailable(_) | Error::KeyringLacksKey | Error::Overloaded)
                if failed < FAILED_LOOKS_MAX =>
            {
                failed += 1;
            }
            Err(error) => return Err(to_message(error)),
        }
        if let Some(fault) = file.and_then(|file| file.take_fault()) {
            return Err(fault.into());
        }
        tokio::select! {
            () = sleep(LOOK_PAUSE) => {}
            () = context.stopping.cancelled() => return Err(Stopped.into()),
        }
    }
}

/// Runs the job whenever it is due and no service has taken it.
async fn work(
    context: &UploadContext<'_>,
    id: &JobId,
    file: Option<&Arc<SendingFile>>,
    until: &CancellationToken,
) {
    let mut to_send = file.map(|file| file.clone() as Arc<dyn LocalFile>);
    while !until.is_cancelled() {
        let ran = match &to_send {
            Some(bytes) => {
                let run = context.app.run_file(context.caller, id, bytes, until).await;
                match run {
                    Ok(FileRun::Sent) => {
                        to_send = None;
                        continue;
                    }
                    Ok(run) => context.progress.set_limited(run == FileRun::LimitReached),
                    Err(_) => {}
                }
                run.map(drop)
            }
            None if !context.is_working => return,
            None => context.app.run_one(context.caller, id, until).await.map(drop),
        };
        if let Err(error) = ran {
            tracing::debug!(%error, "the upload could not be run; it will be retried");
        }
        if file.is_some_and(|file| file.has_failed()) {
            return;
        }
        tokio::select! {
            () = sleep(LOOK_PAUSE) => {}
            () = until.cancelled() => return,
        }
    }
}
