//! Watches a job to its end, and runs it if no service does.

use std::time::Duration;

use app::Error;
use domain::job::{Job, JobId};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{Desk, Stopped, in_words};
use crate::cli::BoxError;

/// How often the job is read.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How many consecutive reads may fail: half a minute, for a restart of the database.
const FAILED_LOOKS_MAX: u32 = 60;

/// The job once it has ended.
pub(super) async fn watch(desk: &Desk<'_>, id: &JobId) -> Result<Job, BoxError> {
    let working = desk.stopping.child_token();
    let looking = async {
        let seen = look(desk, id).await;
        working.cancel();
        seen
    };
    // Both run to completion, so that no lease is left behind.
    let (seen, ()) = tokio::join!(looking, work(desk, id, &working));
    seen
}

async fn look(desk: &Desk<'_>, id: &JobId) -> Result<Job, BoxError> {
    let mut failed = 0;
    loop {
        match desk.app.find_job(desk.caller, id).await {
            Ok(job) => {
                failed = 0;
                desk.progress.show(&job);
                if job.state.has_ended() {
                    return Ok(job);
                }
            }
            Err(Error::StoreUnavailable(_) | Error::Overloaded) if failed < FAILED_LOOKS_MAX => failed += 1,
            Err(error) => return Err(in_words(error)),
        }
        tokio::select! {
            () = sleep(LOOK_PAUSE) => {}
            () = desk.stopping.cancelled() => return Err(Stopped.into()),
        }
    }
}

/// Runs the job whenever it is due and no service has taken it.
async fn work(desk: &Desk<'_>, id: &JobId, until: &CancellationToken) {
    if !desk.is_working {
        return;
    }
    while !until.is_cancelled() {
        if let Err(error) = desk.app.run_one(id, until).await {
            tracing::debug!(%error, "the upload could not be worked on; it will be retried");
        }
        tokio::select! {
            () = sleep(LOOK_PAUSE) => {}
            () = until.cancelled() => return,
        }
    }
}
