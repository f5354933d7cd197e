//! Watches a job to its end, with its progress: from the database by reading it again and again, from a remote service
//! by its event stream.

use std::time::Duration;

use domain::job::JobId;
use reqwest::Response;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::view::JobView;
use crate::cli::BoxError;
use crate::cli::backend::Backend;
use crate::cli::uploads::{Progress, Stopped};
use crate::client::{ApiClient, ClientError, EventReader, STREAM_TIMEOUT};

/// How often a job of the database is read.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// How long to wait before the stream is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(2);
/// How many consecutive attempts may fail: more than a minute, for a restart of the service.
const FAILURES_MAX: u32 = 40;

/// How long a job is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Until {
    Ended,
    /// Until it waits only for its time of publication, too.
    Scheduled,
}

impl Until {
    fn is_reached(self, job: &JobView) -> bool {
        job.has_ended() || (self == Self::Scheduled && job.is_scheduled())
    }
}

/// The job once that is reached. [`Stopped`] if `stopping` is cancelled first.
pub(in crate::cli) async fn watch(
    backend: &Backend<'_>,
    (id, until): (&JobId, Until),
    progress: &Progress,
    stopping: &CancellationToken,
) -> Result<JobView, BoxError> {
    let watching = async {
        match backend {
            Backend::Database { .. } => read_until(backend, (id, until), progress).await,
            Backend::Service(client) => follow(backend, client, (id, until), progress).await,
        }
    };
    stopping.run_until_cancelled(watching).await.unwrap_or_else(|| Err(Stopped.into()))
}

async fn read_until(
    backend: &Backend<'_>,
    (id, until): (&JobId, Until),
    progress: &Progress,
) -> Result<JobView, BoxError> {
    loop {
        let job = backend.find_job(id).await?;
        progress.show(&job);
        if until.is_reached(&job) {
            return Ok(job);
        }
        sleep(LOOK_PAUSE).await;
    }
}

/// How a stream ended.
enum StreamEnd {
    /// With the end of the job.
    Ended(Box<JobView>),
    /// The connection was lost, after this many events.
    Lost(u32),
}

async fn follow(
    backend: &Backend<'_>,
    client: &ApiClient,
    (id, until): (&JobId, Until),
    progress: &Progress,
) -> Result<JobView, BoxError> {
    let (mut failures, mut last_id) = (0, None);
    loop {
        let opened = client.open_stream(&["v1", "jobs", id.as_str(), "events"], last_id.as_deref()).await;
        match opened {
            // It has ended, with an event that this command has seen.
            Ok(None) => return backend.find_job(id).await,
            Ok(Some(response)) => match read(response, &mut last_id, (progress, until)).await? {
                StreamEnd::Ended(job) => return Ok(*job),
                StreamEnd::Lost(0) => failures += 1,
                StreamEnd::Lost(_) => failures = 0,
            },
            Err(error) if is_worth_a_retry(&error, failures) => failures += 1,
            Err(error) => return Err(error.into()),
        }
        if failures > FAILURES_MAX {
            return Err("the event stream of the job ends again and again; `jobs show` shows the job".into());
        }
        sleep(RECONNECT_PAUSE).await;
    }
}

/// Reads events until the connection is lost, is silent for too long, or the job has ended.
async fn read(
    mut response: Response,
    last_id: &mut Option<String>,
    (progress, until): (&Progress, Until),
) -> Result<StreamEnd, BoxError> {
    let (mut reader, mut count) = (EventReader::default(), 0);
    while let Ok(Ok(Some(bytes))) = timeout(STREAM_TIMEOUT, response.chunk()).await {
        let Ok(events) = reader.read(&bytes) else { break };
        for event in events {
            let job = JobView::parse(serde_json::from_str(&event.data)?)?;
            count += 1;
            *last_id = event.id;
            progress.show(&job);
            if until.is_reached(&job) {
                return Ok(StreamEnd::Ended(Box::new(job)));
            }
        }
    }
    Ok(StreamEnd::Lost(count))
}

fn is_worth_a_retry(error: &ClientError, failures: u32) -> bool {
    error.is_temporary() && failures < FAILURES_MAX
}
