//! `upload`: uploads a file or URL through a connection. This command runs the job of a file until its bytes are sent; a
//! URL is fetched by whichever process runs the job, possibly this command. If interrupted, rerunning it resumes the upload.

mod addresses;
mod bulk;
mod file;
mod interrupts;
mod once;
mod progress;
mod publication;
mod remote;
pub(super) mod report;
mod sending;
mod settings;
mod submission;
mod watching;
mod wire;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use app::{App, Caller, Error};
use clap::Args;
use domain::id::ConnectionId;
use domain::job::JobId;
use thiserror::Error as ThisError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::backend::{AccountArg, Backend, Place, UsageError};
use super::jobs::JobView;
use super::{BoxError, Format, error_messages, output};
use crate::config::Config;
use crate::wiring;
use bulk::BulkArguments;
use file::{FileToSend, ReadFault, SendingFile};
use once::{Started, begin_file, begin_url};
use publication::{PublicationArguments, VideoOptions};
use settings::SettingsArguments;
use watching::watch;

pub(super) use interrupts::Interrupts;
pub(super) use progress::Progress;
pub(super) use remote::run as run_remotely;
pub(super) use report::Uploaded;

const RERUN: &str = "Run the same command again to resume";

/// What to upload, through which connection, with which settings.
#[derive(Args)]
pub(super) struct Arguments {
    /// A file, or an https:// URL, which the service fetches. Other users of this machine can see arguments, including
    /// secrets in a URL's query
    #[arg(value_name = "FILE|URL", required_unless_present = "from")]
    source: Option<OsString>,
    #[command(flatten)]
    of: AccountArg,
    /// The connection's ID or name; with --from, of lines that name none
    #[arg(long, value_name = "ID|NAME", required_unless_present = "from")]
    connection: Option<String>,
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(flatten)]
    publication: PublicationArguments,
    #[command(flatten)]
    bulk: BulkArguments,
    /// Upload again even if this command uploaded the same within the last day; with --from, whatever the report says
    #[arg(long)]
    again: bool,
    /// For a URL: print the job's ID immediately, and leave the work to the service; with --from, once all lines are
    /// accepted and all files are sent
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    format: Format,
}

/// Whether a completed upload is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    No,
    Yes,
}

/// How long the command waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    ToTheEnd,
    UntilItIsTaken,
}

/// Interrupted by Ctrl-C.
#[derive(Debug, Clone, Copy, ThisError)]
#[error("interrupted")]
pub(super) struct Stopped;

/// Where the bytes come from.
enum Source {
    File(FileToSend),
    Url(String),
}

/// Everything an upload needs.
struct UploadContext<'a> {
    app: &'a App,
    caller: &'a Caller,
    connection: &'a ConnectionId,
    /// Whether this process may run jobs.
    is_working: bool,
    tasks: &'a TaskTracker,
    stopping: &'a CancellationToken,
    progress: &'a Progress,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, BoxError> {
    if arguments.bulk.is_given() {
        return Box::pin(bulk::run(config, arguments)).await;
    }
    let source = Source::read(&arguments.source.unwrap_or_default())?;
    if let (Source::File(_), true) = (&source, arguments.no_wait) {
        return Err("--no-wait is for an address: a file's bytes go to Vimeo from here".into());
    }
    let again = if arguments.again { Again::Yes } else { Again::No };
    let stay = if arguments.no_wait { Stay::UntilItIsTaken } else { Stay::ToTheEnd };
    let options = arguments.publication.read(arguments.settings.read()?)?;
    let interrupts = Interrupts::listen()?;
    let tasks = TaskTracker::new();
    let app = wiring::open_for_uploading(config, tasks.clone()).await?;
    let progress = Progress::new();
    let result = async {
        let backend = arguments.of.open(Place::Database(&app)).await?;
        let Backend::Database { caller, .. } = &backend else { return Err(UsageError::NeedsDatabase.into()) };
        let connection = backend.find_connection(&arguments.connection.unwrap_or_default()).await?;
        let context = UploadContext {
            app: &app,
            caller,
            connection: &ConnectionId::from_stored(connection.id().to_owned()),
            is_working: config.uploads.is_working,
            tasks: &tasks,
            stopping: &interrupts.stopping,
            progress: &progress,
        };
        match source {
            Source::File(file) => Box::pin(upload_file(&context, file, options, again)).await,
            Source::Url(url) => Box::pin(upload_url(&context, &url, (options, again, stay))).await,
        }
    };
    let result = Box::pin(result).await;
    progress.end();
    tasks.close();
    if tokio::time::timeout(config.shutdown, tasks.wait()).await.is_err() {
        tracing::warn!("the cleanup after the upload did not finish in time");
    }
    app.close().await;
    match result {
        Ok(ended) => ended.tell(&arguments.format),
        Err(error) if error.is::<Stopped>() => {
            output::status(&format!("Interrupted. {RERUN}."));
            Ok(ExitCode::from(interrupts.code()))
        }
        Err(error) => Err(error),
    }
}

/// The result.
enum Ended {
    /// The job has ended.
    Now(Box<JobView>),
    /// It was completed by an earlier run.
    Before(Box<JobView>),
    /// The service has accepted it.
    Taken(JobId),
}

impl Ended {
    fn tell(&self, format: &Format) -> Result<ExitCode, BoxError> {
        match self {
            Self::Now(job) => report::tell(job, report::Uploaded::Now, format),
            Self::Before(job) => report::tell(job, report::Uploaded::Before, format),
            Self::Taken(id) => report::tell_taken(id, format),
        }
    }
}

impl Source {
    fn read(text: &OsStr) -> Result<Self, BoxError> {
        if text == "-" {
            return Err(
                "standard input cannot be uploaded: it could not be read again from the middle. Write it to a file first"
                    .into(),
            );
        }
        // A URL-like argument is not echoed: its query may contain a secret.
        match text.to_str().and_then(|text| Some((text, text.split_once("://")?.0))) {
            Some((url, scheme)) if is_http(scheme) => Ok(Self::Url(url.to_owned())),
            Some((_, scheme)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err("what to upload must be a file, or an address that begins with https://".into())
            }
            _ => Ok(Self::File(FileToSend::open(Path::new(text))?)),
        }
    }
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("https") || scheme.eq_ignore_ascii_case("http")
}

async fn upload_file(
    context: &UploadContext<'_>,
    file: FileToSend,
    options: VideoOptions,
    again: Again,
) -> Result<Ended, BoxError> {
    context.progress.phase("creating the video at Vimeo");
    let options = options.named(&file);
    let id = match Box::pin(begin_file(context, &file, options, again)).await? {
        Started::Completed(job) => return Ok(Ended::Before(Box::new(JobView::of(&job)?))),
        Started::InProgress(id) => id,
    };
    let sending = Arc::new(SendingFile::new(file, context.tasks.clone(), context.progress.clone()));
    match watch(context, &id, Some(&sending)).await {
        Ok(job) => Ok(Ended::Now(Box::new(JobView::of(&job)?))),
        Err(error) => match error.downcast::<ReadFault>().map(|fault| *fault) {
            Ok(ReadFault::Changed) => Err(cancel_changed(context, &id).await),
            Ok(ReadFault::Unreadable(error)) => {
                Err(format!("the file cannot be read: {error}. {RERUN}").into())
            }
            Err(error) => Err(error),
        },
    }
}

/// The bytes that have arrived are useless: cancel the upload.
async fn cancel_changed(context: &UploadContext<'_>, id: &JobId) -> BoxError {
    if let Err(error) = context.app.cancel_upload(context.caller, id.as_str()).await {
        return to_message(error);
    }
    match watch(context, id, None).await {
        Ok(_) => "the file changed while it was sent, so the upload was cancelled and the uploaded part was \
                  deleted. Run the command again when the file is no longer being written"
            .into(),
        Err(error) => error,
    }
}

async fn upload_url(
    context: &UploadContext<'_>,
    url: &str,
    (options, again, stay): (VideoOptions, Again, Stay),
) -> Result<Ended, BoxError> {
    let url = context.app.check_address(url).map_err(|fault| format!("the address {fault}"))?;
    match begin_url(context, &url, options, again).await? {
        Started::Completed(job) => Ok(Ended::Before(Box::new(JobView::of(&job)?))),
        Started::InProgress(id) if stay == Stay::UntilItIsTaken => Ok(Ended::Taken(id)),
        Started::InProgress(id) => {
            let job = watch(context, &id, None).await?;
            Ok(Ended::Now(Box::new(JobView::of(&job)?)))
        }
    }
}

/// The message of an error of an upload.
fn to_message(error: Error) -> BoxError {
    match error {
        Error::VimeoUnavailable { retry_after_seconds } => {
            format!("Vimeo could not create the video; try again in {retry_after_seconds} seconds").into()
        }
        other => error_messages::to_message(other),
    }
}
