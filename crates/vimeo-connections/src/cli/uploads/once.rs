//! Identifies an upload by its parameters, through an idempotency key. Rerunning the same command finds the upload that
//! it started, and creates no second video.

use std::fmt::Write as _;
use std::time::Duration;

use app::{ClientUpload, Error, IdempotentRequest, Outcome, RequestedSource};
use domain::idempotency::{IdempotencyKey, RESERVATION_SECONDS, StoredResponse};
use domain::job::{Job, JobId, JobState};
use domain::publication::Thumbnail;
use domain::upload::{Folder, Privacy, UploadSettings};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, sleep};

use super::publication::VideoOptions;
use super::{Again, Stopped, UploadContext, file::FileToSend, to_message, wire};
use crate::cli::BoxError;

/// How many times the same upload can be started again while stored responses are kept.
pub(super) const TIMES: u32 = 20;
/// How long an interrupted run may still hold the request, and how often that is checked.
pub(super) const HELD_FOR: Duration = Duration::from_secs(RESERVATION_SECONDS.unsigned_abs() + 5);
pub(super) const HELD_PAUSE: Duration = Duration::from_secs(1);

/// The result of a request with one key.
enum Asked<T> {
    /// An upload, started now or by an earlier run.
    Answered(Outcome<T>),
    /// The upload of an earlier run has ended, and its link is no longer valid.
    Over(JobId),
    /// The key was used for a different request.
    Taken,
}

/// The state of the upload that this run needs.
pub(super) enum Started<T> {
    /// It is in progress.
    InProgress(T),
    /// It was completed by an earlier run.
    Completed(Box<Job>),
}

/// A request: the name of its key, and the body that is compared.
pub(super) struct Wanted {
    name: String,
    body: String,
}

/// The prefix of all encoded requests. A change of the encoding needs another prefix, and makes different requests.
const ENCODING: &str = "vimeo-connections cli upload, version 1";
/// How many bytes of the digest are used.
const NAME_BYTES: usize = 16;

impl Wanted {
    pub(super) fn new(connection: &str, source: &str, options: &VideoOptions) -> Self {
        // The name must not depend on the password, because it is stored in plain text; only a keyed hash of the body
        // is stored.
        let body = encode(connection, source, options);
        let name = format!("cli-upload-{}", hex(Sha256::digest(&body).get(..NAME_BYTES).unwrap_or_default()));
        let password =
            options.settings.password.as_ref().map(|password| digest(password.as_secret().expose()));
        Self { name, body: format!("{body}{}", password.unwrap_or_default()) }
    }

    pub(super) fn key(&self, time: u32) -> Result<IdempotencyKey, BoxError> {
        let name = if time == 1 { self.name.clone() } else { format!("{}-{time}", self.name) };
        Ok(IdempotencyKey::parse(&name)?)
    }
}

/// All parameters except the password itself, with the same result in every build. Absent ones are left out, so that a
/// new setting does not change the names of uploads without it.
fn encode(connection: &str, source: &str, options: &VideoOptions) -> String {
    let VideoOptions { settings, replaces, publish_at } = options;
    let UploadSettings {
        name,
        description,
        privacy,
        password,
        embed_domains,
        content_rating,
        folder,
        license,
        locale,
        publication,
    } = settings;
    let Privacy { view, embed, comments, is_downloadable, is_addable } = privacy;
    let mut fields = vec![("connection", connection.to_owned()), ("source", source.to_owned())];
    fields.extend(name.as_ref().map(|name| ("name", name.as_str().to_owned())));
    fields.extend(description.as_ref().map(|text| ("description", text.as_str().to_owned())));
    fields.extend(view.map(|view| ("view", view.as_str().to_owned())));
    fields.extend(embed.map(|embed| ("embed", embed.as_str().to_owned())));
    fields.extend(comments.map(|comments| ("comments", comments.as_str().to_owned())));
    fields.extend(is_downloadable.map(|is_downloadable| ("download", is_downloadable.to_string())));
    fields.extend(is_addable.map(|is_addable| ("add", is_addable.to_string())));
    // Only that there is one.
    fields.extend(password.as_ref().map(|_| ("password", String::new())));
    fields.extend(embed_domains.iter().map(|domain| ("embed_domain", domain.as_str().to_owned())));
    fields.extend(content_rating.iter().map(|rating| ("content_rating", rating.as_str().to_owned())));
    fields.extend(folder.as_ref().map(|folder| match folder {
        Folder::Number(number) => ("folder_uri", number.to_string()),
        Folder::Named(name) => ("folder_name", name.as_str().to_owned()),
    }));
    fields.extend(license.map(|license| ("license", license.as_str().to_owned())));
    fields.extend(locale.as_ref().map(|locale| ("locale", locale.as_str().to_owned())));
    if let Some(Thumbnail::At(moment)) = &publication.thumbnail {
        fields.push(("thumbnail_millis", moment.as_millis().to_string()));
    }
    if publication.is_newer_than_first_format() {
        // Its URLs may contain secrets.
        fields.push(("publication", digest(&wire::publication(publication).to_string())));
    }
    fields.extend(replaces.map(|video| ("replaces", video.to_string())));
    fields.extend(publish_at.map(|at| ("publish_at", at.to_string())));
    let mut encoded = format!("{ENCODING}\n");
    for (field, value) in fields {
        // Length-prefixed, so that no value can imitate two.
        let _ = writeln!(encoded, "{field} {} {value}", value.len());
    }
    encoded
}

pub(super) fn digest(text: &str) -> String {
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Requests a link for a file's bytes, or finds the one of an earlier run.
pub(super) async fn begin_file(
    context: &UploadContext<'_>,
    file: &FileToSend,
    options: VideoOptions,
    again: Again,
) -> Result<Started<JobId>, BoxError> {
    let wanted = Wanted::new(context.connection.as_str(), &file.identity(), &options);
    let request = options.request(RequestedSource::Client { size: file.size() });
    let ask = async |key| {
        let once = IdempotentRequest { key, body: wanted.body.as_bytes(), present: &link_answer };
        let made = context.app.create_upload_link(
            context.caller,
            context.connection.as_str(),
            request.clone(),
            Some(once),
        );
        Ok(match made.await? {
            Outcome::Fresh(upload) => Outcome::Fresh(upload.job_id),
            Outcome::Replayed(answer) => Outcome::Replayed(answer),
        })
    };
    let read = |answer: &StoredResponse| {
        let text = std::str::from_utf8(&answer.0).ok()?;
        let job_id = JobId::parse(text.lines().next()?)?;
        Some((job_id.clone(), job_id))
    };
    begin(context, &wanted, again, (ask, read)).await
}

/// The response that is stored for a request with a file: the job, the video and the link, a line each.
pub(super) fn link_answer(upload: &ClientUpload) -> StoredResponse {
    let lines = [upload.job_id.as_str(), &upload.video.to_string(), upload.link.expose()];
    StoredResponse(lines.join("\n").into_bytes())
}

/// Requests that the service fetch a URL, or finds the job of an earlier run.
pub(super) async fn begin_url(
    context: &UploadContext<'_>,
    url: &app::EgressUrl,
    options: VideoOptions,
    again: Again,
) -> Result<Started<JobId>, BoxError> {
    // The query is not displayed, but distinguishes files.
    let source = format!("{} {}", url.shown(), digest(url.secret().expose()));
    let wanted = Wanted::new(context.connection.as_str(), &source, &options);
    let present = |id: &JobId| StoredResponse(id.as_str().as_bytes().to_vec());
    let request = options.request(RequestedSource::of_url(url));
    let ask = async |key| {
        let once = IdempotentRequest { key, body: wanted.body.as_bytes(), present: &present };
        context
            .app
            .create_upload(context.caller, context.connection.as_str(), request.clone(), Some(once))
            .await
    };
    let read = |answer: &StoredResponse| {
        let job_id = JobId::parse(std::str::from_utf8(&answer.0).ok()?)?;
        Some((job_id.clone(), job_id))
    };
    begin(context, &wanted, again, (ask, read)).await
}

/// Tries one key after another until one leads to an upload that can be resumed.
async fn begin<T>(
    context: &UploadContext<'_>,
    wanted: &Wanted,
    again: Again,
    (ask, read): (
        impl AsyncFn(IdempotencyKey) -> Result<Outcome<T>, Error>,
        impl Fn(&StoredResponse) -> Option<(JobId, T)>,
    ),
) -> Result<Started<T>, BoxError> {
    for time in 1..=TIMES {
        let (id, upload) = match ask_patiently(context, wanted, time, &ask).await? {
            Asked::Answered(Outcome::Fresh(upload)) => return Ok(Started::InProgress(upload)),
            Asked::Answered(Outcome::Replayed(answer)) => match read(&answer) {
                Some((id, upload)) => (id, Some(upload)),
                None => continue,
            },
            Asked::Over(id) => (id, None),
            Asked::Taken => continue,
        };
        match context.app.find_job(context.caller, &id).await {
            Ok(job) => match job.state {
                JobState::Completed(_) if again == Again::No => return Ok(Started::Completed(Box::new(job))),
                JobState::Completed(_)
                | JobState::Failed(_)
                | JobState::Cancelled(_)
                | JobState::CleaningUp(_) => {}
                _ => {
                    if let Some(upload) = upload {
                        return Ok(Started::InProgress(upload));
                    }
                }
            },
            Err(Error::JobNotFound) => {}
            Err(error) => return Err(to_message(error)),
        }
    }
    Err(started_too_often())
}

/// No further key is left.
pub(super) fn started_too_often() -> BoxError {
    format!("this upload was already started {TIMES} times within a day; wait a day, or change a setting")
        .into()
}

async fn ask_patiently<T>(
    context: &UploadContext<'_>,
    wanted: &Wanted,
    time: u32,
    ask: &impl AsyncFn(IdempotencyKey) -> Result<Outcome<T>, Error>,
) -> Result<Asked<T>, BoxError> {
    let asked_at = Instant::now();
    loop {
        // Not cancelled midway, which would leave a placeholder behind.
        match ask(wanted.key(time)?).await {
            Ok(outcome) => return Ok(Asked::Answered(outcome)),
            Err(Error::UploadOver { job_id }) => return Ok(Asked::Over(job_id)),
            Err(Error::IdempotencyKeyReused) => return Ok(Asked::Taken),
            Err(Error::IdempotencyKeyInUse) if asked_at.elapsed() < HELD_FOR => {}
            Err(Error::IdempotencyKeyInUse) => {
                return Err("another run of this command is starting the same upload; try again".into());
            }
            Err(error) => return Err(to_message(error)),
        }
        context.progress.phase("waiting for the end of an earlier run");
        tokio::select! {
            () = sleep(HELD_PAUSE) => {}
            () = context.stopping.cancelled() => return Err(Stopped.into()),
        }
    }
}

#[cfg(test)]
mod tests;
