//! How one upload is known again: what was asked for, as the name of a request that is done once. Running the same command
//! again leads to the upload that was begun, and not to a second video.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use app::{ClientUpload, Error, Once, Outcome, RequestedSource, UploadRequest};
use domain::idempotency::{IdempotencyKey, KeptAnswer, RESERVATION_SECONDS};
use domain::job::{Job, JobId, JobState};
use domain::upload::UploadSettings;
use tokio::time::{Instant, sleep};
use vimeo::UploadLink;

use super::{Again, Desk, Stopped, file::FileToSend, in_words};
use crate::cli::BoxError;

/// So often the same can be begun anew while the first answers are kept.
const TIMES: u32 = 20;
/// How long an earlier run that was cut off at a bad moment may still hold the request, and how often that is looked at.
const HELD_FOR: Duration = Duration::from_secs(RESERVATION_SECONDS.unsigned_abs() + 5);
const HELD_PAUSE: Duration = Duration::from_secs(1);

/// What asking under a name leads to.
enum Asked<T> {
    /// An upload, begun now or by an earlier run.
    Answered(Outcome<T>),
    /// An earlier run's upload is over, and its link with it.
    Over(JobId),
    /// The name was used for a request that said something else.
    Taken,
}

/// What a run finds of the upload that it wants.
pub(super) enum Begun<T> {
    /// It is under way.
    Going(T),
    /// It was completed by an earlier run.
    Completed(Box<Job>),
}

/// An upload whose bytes this command sends.
pub(super) struct Sendable {
    pub(super) job_id: JobId,
    pub(super) link: UploadLink,
}

/// A request as its name and as the body that is compared.
struct Wanted {
    name: String,
    body: String,
}

impl Wanted {
    fn new(connection: &str, source: &str, settings: &UploadSettings) -> Self {
        // The settings' own words show no password. The name must not tell of it either, because it is stored as it is; of
        // the body a keyed hash alone is.
        let body = format!("{connection}\n{source}\n{settings:?}");
        let name = format!("cli-upload-{:016x}", hash(&body));
        let password = settings.password.as_ref().map(|password| hash(password.as_secret().expose()));
        Self { name, body: format!("{body}\n{password:?}") }
    }

    fn key(&self, time: u32) -> Result<IdempotencyKey, BoxError> {
        let name = if time == 1 { self.name.clone() } else { format!("{}-{time}", self.name) };
        Ok(IdempotencyKey::parse(&name)?)
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

/// Asks for a link for a file's bytes, or finds the one that an earlier run was given.
pub(super) async fn begin_file(
    desk: &Desk<'_>,
    file: &FileToSend,
    settings: UploadSettings,
    again: Again,
) -> Result<Begun<Sendable>, BoxError> {
    let wanted = Wanted::new(desk.connection.as_str(), &file.identity(), &settings);
    let present = |upload: &ClientUpload| {
        let lines = [upload.job_id.as_str(), &upload.video.to_string(), upload.link.expose()];
        KeptAnswer(lines.join("\n").into_bytes())
    };
    let request =
        UploadRequest { source: RequestedSource::Client { size: file.size() }, settings, webhook: None };
    let ask = async |key| {
        let once = Once { key, body: wanted.body.as_bytes(), present: &present };
        let made =
            desk.app.create_upload_link(desk.caller, desk.connection.as_str(), request.clone(), Some(once));
        Ok(match made.await? {
            Outcome::Done(upload) => Outcome::Done(Sendable { job_id: upload.job_id, link: upload.link }),
            Outcome::Repeated(answer) => Outcome::Repeated(answer),
        })
    };
    let read = |answer: &KeptAnswer| {
        let text = std::str::from_utf8(&answer.0).ok()?;
        let mut lines = text.lines();
        let (job_id, _, link) = (JobId::parse(lines.next()?)?, lines.next()?, lines.next()?);
        let link = UploadLink::parse(link, desk.client.link_rules()).ok()?;
        Some((job_id.clone(), Sendable { job_id, link }))
    };
    begin(desk, &wanted, again, (ask, read)).await
}

/// Asks the service to fetch what is at an address, or finds the job that an earlier run has begun.
pub(super) async fn begin_url(
    desk: &Desk<'_>,
    url: &app::OutboundUrl,
    settings: UploadSettings,
    again: Again,
) -> Result<Begun<JobId>, BoxError> {
    // The query is no part of what is shown of an address, and still tells one file from another.
    let source = format!("{} {:016x}", url.shown(), hash(url.secret().expose()));
    let wanted = Wanted::new(desk.connection.as_str(), &source, &settings);
    let present = |id: &JobId| KeptAnswer(id.as_str().as_bytes().to_vec());
    let request =
        UploadRequest { source: RequestedSource::Url(url.secret().clone()), settings, webhook: None };
    let ask = async |key| {
        let once = Once { key, body: wanted.body.as_bytes(), present: &present };
        desk.app.create_upload(desk.caller, desk.connection.as_str(), request.clone(), Some(once)).await
    };
    let read = |answer: &KeptAnswer| {
        let job_id = JobId::parse(std::str::from_utf8(&answer.0).ok()?)?;
        Some((job_id.clone(), job_id))
    };
    begin(desk, &wanted, again, (ask, read)).await
}

/// Asks under one name after the other, until one leads to an upload that can be gone on with.
async fn begin<T>(
    desk: &Desk<'_>,
    wanted: &Wanted,
    again: Again,
    (ask, read): (
        impl AsyncFn(IdempotencyKey) -> Result<Outcome<T>, Error>,
        impl Fn(&KeptAnswer) -> Option<(JobId, T)>,
    ),
) -> Result<Begun<T>, BoxError> {
    for time in 1..=TIMES {
        let (id, begun) = match ask_patiently(desk, wanted, time, &ask).await? {
            Asked::Answered(Outcome::Done(begun)) => return Ok(Begun::Going(begun)),
            Asked::Answered(Outcome::Repeated(answer)) => match read(&answer) {
                Some((id, begun)) => (id, Some(begun)),
                None => continue,
            },
            Asked::Over(id) => (id, None),
            Asked::Taken => continue,
        };
        match desk.app.find_job(desk.caller, &id).await {
            Ok(job) => match job.state {
                JobState::Completed(_) if again == Again::No => return Ok(Begun::Completed(Box::new(job))),
                JobState::Completed(_)
                | JobState::Failed(_)
                | JobState::Cancelled(_)
                | JobState::Abandoning(_) => {}
                _ => {
                    if let Some(begun) = begun {
                        return Ok(Begun::Going(begun));
                    }
                }
            },
            Err(Error::JobNotFound) => {}
            Err(error) => return Err(in_words(error)),
        }
    }
    Err(format!(
        "this was begun {TIMES} times within a day already; wait until tomorrow, or change a setting"
    )
    .into())
}

async fn ask_patiently<T>(
    desk: &Desk<'_>,
    wanted: &Wanted,
    time: u32,
    ask: &impl AsyncFn(IdempotencyKey) -> Result<Outcome<T>, Error>,
) -> Result<Asked<T>, BoxError> {
    let asked_at = Instant::now();
    loop {
        // Not given up in the middle: a placeholder that was being made would be left behind.
        match ask(wanted.key(time)?).await {
            Ok(outcome) => return Ok(Asked::Answered(outcome)),
            Err(Error::UploadOver { job_id }) => return Ok(Asked::Over(job_id)),
            Err(Error::IdempotencyKeyReused) => return Ok(Asked::Taken),
            Err(Error::IdempotencyKeyInUse) if asked_at.elapsed() < HELD_FOR => {}
            Err(Error::IdempotencyKeyInUse) => {
                return Err("the same upload is being begun by another run of this command; try again".into());
            }
            Err(error) => return Err(in_words(error)),
        }
        desk.progress.phase("waiting for the end of an earlier run");
        tokio::select! {
            () = sleep(HELD_PAUSE) => {}
            () = desk.stopping.cancelled() => return Err(Stopped.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::upload::VideoPassword;

    use super::*;

    #[test]
    fn what_differs_has_another_name_or_another_body_and_no_name_depends_on_a_password() {
        let plain = UploadSettings::default();
        let locked = |password| UploadSettings {
            password: Some(VideoPassword::parse(password).unwrap()),
            ..UploadSettings::default()
        };
        let one = Wanted::new("c", "/a 1", &locked("canary"));
        assert!(one.name.starts_with("cli-upload-") && one.name.len() == 27, "{}", one.name);
        assert!(!one.body.contains("canary"));
        let other = Wanted::new("c", "/a 1", &locked("other"));
        assert_eq!(one.name, other.name);
        assert_ne!(one.body, other.body);
        for (connection, source, settings) in
            [("d", "/a 1", &locked("canary")), ("c", "/a 2", &locked("canary")), ("c", "/a 1", &plain)]
        {
            assert_ne!(one.name, Wanted::new(connection, source, settings).name);
        }
        assert_eq!(one.key(1).unwrap().as_str(), one.name);
        assert_eq!(one.key(3).unwrap().as_str(), format!("{}-3", one.name));
    }
}
