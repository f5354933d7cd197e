//! `upload` through a remote service. It creates the video and applies its settings; the bytes of a file go from here
//! straight to Vimeo, by the upload link that the service returns. Rerunning the command finds the upload that it
//! started, because the request has the same idempotency key.

use std::process::ExitCode;
use std::sync::Arc;

use domain::job::{JobId, JobPhase, JobStatus};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::file::{FileToSend, ReadFault, SendingFile};
use super::once::{HELD_FOR, HELD_PAUSE, TIMES, Wanted, digest, started_too_often};
use super::publication::VideoOptions;
use super::sending::{Sent, send_file};
use super::submission::{Accepted, Submission, submit};
use super::{Again, Arguments, Ended, Interrupts, Progress, RERUN, Source, Stay, Stopped, bulk, wire};
use crate::cli::backend::Backend;
use crate::cli::jobs::{JobView, Until, watch};
use crate::cli::{BoxError, output};
use crate::client::{ApiClient, ClientError};

/// Everything an upload needs.
struct RemoteUpload<'a> {
    client: &'a ApiClient,
    backend: &'a Backend<'a>,
    connection: String,
    stopping: &'a CancellationToken,
    progress: &'a Progress,
}

/// The state of the upload that this run needs.
enum Started {
    InProgress(Accepted),
    /// It was completed by an earlier run.
    Completed(Box<JobView>),
}

pub(in crate::cli) async fn run(client: &ApiClient, arguments: Arguments) -> Result<ExitCode, BoxError> {
    if arguments.bulk.is_given() {
        return Box::pin(bulk::run_remotely(client, arguments)).await;
    }
    arguments.of.reject()?;
    let source = Source::read(&arguments.source.unwrap_or_default())?;
    if let (Source::File(_), true) = (&source, arguments.no_wait) {
        return Err("--no-wait is for an address: a file's bytes go to Vimeo from here".into());
    }
    let again = if arguments.again { Again::Yes } else { Again::No };
    let stay = if arguments.no_wait { Stay::UntilItIsTaken } else { Stay::ToTheEnd };
    let options = arguments.publication.read(arguments.settings.read()?)?;
    let (interrupts, progress) = (Interrupts::listen()?, Progress::new());
    let backend = Backend::Service(client);
    let uploading = async {
        let connection =
            backend.find_connection(&arguments.connection.unwrap_or_default()).await?.id().to_owned();
        let (stopping, progress) = (&interrupts.stopping, &progress);
        let upload = RemoteUpload { client, backend: &backend, connection, stopping, progress };
        match source {
            Source::File(file) => upload.file(file, options, again).await,
            Source::Url(url) => upload.url(&url, &options, (again, stay)).await,
        }
    };
    let result = Box::pin(uploading).await;
    progress.end();
    match result {
        Ok(ended) => ended.tell(&arguments.format),
        Err(error) if error.is::<Stopped>() => {
            output::status(&format!("Interrupted. {RERUN}."));
            Ok(ExitCode::from(interrupts.code()))
        }
        Err(error) => Err(error),
    }
}

impl RemoteUpload<'_> {
    async fn url(
        &self,
        url: &str,
        options: &VideoOptions,
        (again, stay): (Again, Stay),
    ) -> Result<Ended, BoxError> {
        // The URL may contain a secret, and the name of the request is stored.
        let wanted = Wanted::new(&self.connection, &digest(url), options);
        let body = wire::body(json!({ "url": url }), options);
        match self.begin(&wanted, &body, again).await? {
            Started::Completed(job) => Ok(Ended::Before(job)),
            Started::InProgress(accepted) if stay == Stay::UntilItIsTaken => Ok(Ended::Taken(accepted.id)),
            Started::InProgress(accepted) => self.watch(&accepted.id).await,
        }
    }

    async fn file(&self, file: FileToSend, options: VideoOptions, again: Again) -> Result<Ended, BoxError> {
        self.progress.phase("creating the video at Vimeo");
        let options = options.named(&file);
        let wanted = Wanted::new(&self.connection, &file.identity(), &options);
        let body = wire::body(json!({ "size": file.size() }), &options);
        let Accepted { id, link } = match self.begin(&wanted, &body, again).await? {
            Started::Completed(job) => return Ok(Ended::Before(job)),
            Started::InProgress(accepted) => accepted,
        };
        let link = link.ok_or("the service returned no upload link")?;
        let size = file.size();
        let sending = Arc::new(SendingFile::new(file, TaskTracker::new(), self.progress.clone()));
        let sent = send_file(self.client.url(), &link, size, &sending, self.stopping);
        // A cancelled or failed job ends the sending.
        let ended = watch(self.backend, (&id, Until::Scheduled), self.progress, self.stopping);
        tokio::pin!(ended);
        tokio::select! {
            job = &mut ended => return Ok(Ended::Now(Box::new(job?))),
            sent = sent => match sent {
                Ok(Sent::Whole) => {}
                Ok(Sent::LinkGone) => {
                    let job = self.backend.find_job(&id).await?;
                    if !job.has_ended() && job.phase() == Some(JobPhase::Uploading) {
                        return Err(format!("the upload link is no longer valid. {RERUN}, or cancel the job {}", id.as_str()).into());
                    }
                }
                Err(error) => return Err(self.read_fault(&id, error).await),
            },
        }
        Ok(Ended::Now(Box::new(ended.await?)))
    }

    /// The error after the file could not be read, or the bytes could not be sent.
    async fn read_fault(&self, id: &JobId, error: BoxError) -> BoxError {
        match error.downcast::<ReadFault>().map(|fault| *fault) {
            Ok(ReadFault::Changed) => match self.backend.cancel_job(id).await {
                // The bytes that have arrived are useless.
                Ok(()) => "the file changed while it was sent, so the upload was cancelled and the uploaded part is \
                           deleted. Run the command again when the file is no longer being written"
                    .into(),
                Err(error) => error,
            },
            Ok(ReadFault::Unreadable(error)) => format!("the file cannot be read: {error}. {RERUN}").into(),
            Err(error) => error,
        }
    }

    async fn watch(&self, id: &JobId) -> Result<Ended, BoxError> {
        Ok(Ended::Now(Box::new(
            watch(self.backend, (id, Until::Scheduled), self.progress, self.stopping).await?,
        )))
    }

    /// Tries one key after another until one leads to an upload that can be resumed.
    async fn begin(&self, wanted: &Wanted, body: &Value, again: Again) -> Result<Started, BoxError> {
        let body = Zeroizing::new(serde_json::to_vec(body)?);
        for time in 1..=TIMES {
            let (id, accepted) = match self.ask(wanted, time, &body).await? {
                Submission::Fresh(accepted) => return Ok(Started::InProgress(accepted)),
                Submission::Known(accepted) => (accepted.id.clone(), Some(accepted)),
                Submission::Ended(Some(id)) => (id, None),
                Submission::Ended(None) | Submission::Reused => continue,
            };
            let job = match self.backend.find_job(&id).await {
                Ok(job) => job,
                Err(error) if is_code(&error, "JOB_NOT_FOUND") => continue,
                Err(error) => return Err(error),
            };
            match (job.status(), accepted) {
                (Some(JobStatus::Completed), _) if again == Again::No => {
                    return Ok(Started::Completed(Box::new(job)));
                }
                (Some(JobStatus::InProgress) | None, Some(accepted))
                    if job.phase() != Some(JobPhase::CleaningUp) =>
                {
                    return Ok(Started::InProgress(accepted));
                }
                _ => {}
            }
        }
        Err(started_too_often())
    }

    async fn ask(
        &self,
        wanted: &Wanted,
        time: u32,
        body: &Zeroizing<Vec<u8>>,
    ) -> Result<Submission, BoxError> {
        let (key, asked_at) = (wanted.key(time)?, Instant::now());
        loop {
            match submit(self.client, &self.connection, body.clone(), &key).await {
                Ok(submission) => {
                    return submission.ok_or_else(|| "the service returned no valid job ID".into());
                }
                // An interrupted run may still hold it.
                Err(error)
                    if error.code() == Some("IDEMPOTENCY_KEY_IN_USE") && asked_at.elapsed() < HELD_FOR => {}
                Err(error) => return Err(error.into()),
            }
            self.progress.phase("waiting for the end of an earlier run");
            tokio::select! {
                () = sleep(HELD_PAUSE) => {}
                () = self.stopping.cancelled() => return Err(Stopped.into()),
            }
        }
    }
}

fn is_code(error: &BoxError, code: &str) -> bool {
    error.downcast_ref::<ClientError>().is_some_and(|error| error.code() == Some(code))
}
