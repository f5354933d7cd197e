//! What pages say about a job: its phase, progress, steps, and why it failed.

use domain::job::{Completed, FailureCode, Job, JobId, JobPhase, JobState, JobStatus, WaitingFor};
use domain::scope::Scope;
use domain::upload::UploadSettings;

use super::super::super::messages as m;
use super::super::super::respond::when;
use super::super::super::views::parts::{Badge, Tone};
use super::super::super::views::upload::{Step, UploadError, UploadView};
use super::super::super::views::uploads::UploadRow;
use super::super::super::visit::Visit;

/// The phases of an upload that completes, in their order.
const PATH: [JobPhase; 8] = [
    JobPhase::Queued,
    JobPhase::Creating,
    JobPhase::Uploading,
    JobPhase::Configuring,
    JobPhase::Transcoding,
    JobPhase::Scheduled,
    JobPhase::Publishing,
    JobPhase::Completed,
];

/// What a person may do with uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Look at them.
    Read,
    /// Cancel, retry and start them, too.
    Write,
}

impl Access {
    pub(super) fn of(visit: &Visit) -> Self {
        if visit.may(Scope::UploadsWrite) { Self::Write } else { Self::Read }
    }
}

/// A connection as a page names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ShownConnection {
    pub(super) name: String,
    /// `None`: it was deleted, or the person may not see it.
    pub(super) href: Option<String>,
    pub(super) is_deleted: bool,
}

/// The path of the page of a job.
pub(super) fn href(id: &JobId) -> String {
    format!("/dashboard/uploads/{id}")
}

/// The name of an upload: that of its video if it is known, else its number or a part of the job's ID.
pub(super) fn name(job: &Job, settings: Option<&UploadSettings>) -> String {
    if let Some(name) = settings.and_then(|settings| settings.name.as_ref()) {
        return name.as_str().to_owned();
    }
    match job.video() {
        Some(video) => m::video_without_name(&video.as_i64().to_string()),
        None => m::upload_without_name(job.id.as_str().rsplit('-').next().unwrap_or_default()),
    }
}

/// The name of a phase.
pub(super) const fn phase_text(phase: JobPhase) -> &'static str {
    match phase {
        JobPhase::Queued => m::PHASE_QUEUED,
        JobPhase::Creating => m::PHASE_CREATING,
        JobPhase::Uploading => m::PHASE_UPLOADING,
        JobPhase::Configuring => m::PHASE_CONFIGURING,
        JobPhase::Transcoding => m::PHASE_TRANSCODING,
        JobPhase::Scheduled => m::PHASE_SCHEDULED,
        JobPhase::Publishing => m::PHASE_PUBLISHING,
        JobPhase::CleaningUp => m::PHASE_CLEANING_UP,
        JobPhase::Completed => m::PHASE_COMPLETED,
        JobPhase::Failed => m::PHASE_FAILED,
        JobPhase::Cancelled => m::PHASE_CANCELLED,
    }
}

/// The name of a status, on its tab.
pub(super) const fn status_text(status: JobStatus) -> &'static str {
    match status {
        JobStatus::InProgress => m::TAB_IN_PROGRESS,
        JobStatus::Completed => m::PHASE_COMPLETED,
        JobStatus::Failed => m::PHASE_FAILED,
        JobStatus::Cancelled => m::PHASE_CANCELLED,
    }
}

/// What a job waits for. An ended one waits for nothing.
fn waiting_for(job: &Job) -> Option<WaitingFor> {
    job.waiting_for.filter(|_| !job.state.has_ended())
}

const fn waiting_text(reason: WaitingFor) -> &'static str {
    match reason {
        WaitingFor::RateLimit => m::WAITING_RATE_LIMIT,
        WaitingFor::Vimeo => m::WAITING_VIMEO,
        WaitingFor::Source => m::WAITING_SOURCE,
        WaitingFor::Connection => m::WAITING_CONNECTION,
        WaitingFor::Health => m::WAITING_HEALTH,
        WaitingFor::Client => m::WAITING_CLIENT,
        WaitingFor::Transcoding => m::WAITING_TRANSCODING,
        WaitingFor::Confirmation => m::WAITING_CONFIRMATION,
        WaitingFor::PublishTime => m::WAITING_PUBLISH_TIME,
    }
}

/// Whether something must happen first that usually does not.
const fn is_held_up(reason: WaitingFor) -> bool {
    match reason {
        WaitingFor::RateLimit
        | WaitingFor::Vimeo
        | WaitingFor::Source
        | WaitingFor::Connection
        | WaitingFor::Health
        | WaitingFor::Confirmation => true,
        WaitingFor::Client | WaitingFor::Transcoding | WaitingFor::PublishTime => false,
    }
}

fn tone(job: &Job) -> Tone {
    match job.state.phase() {
        JobPhase::Completed => Tone::Good,
        JobPhase::Failed => Tone::Bad,
        JobPhase::Cancelled => Tone::Muted,
        JobPhase::Queued
        | JobPhase::Creating
        | JobPhase::Uploading
        | JobPhase::Configuring
        | JobPhase::Transcoding
        | JobPhase::Scheduled
        | JobPhase::Publishing
        | JobPhase::CleaningUp => {
            if waiting_for(job).is_some_and(is_held_up) {
                Tone::Warn
            } else {
                Tone::Busy
            }
        }
    }
}

/// The phase of a job.
pub(super) fn badge(job: &Job) -> Badge {
    Badge { tone: tone(job), text: phase_text(job.state.phase()).to_owned() }
}

/// Whether a job approaches its completion, so that its progress means something.
fn has_progress(job: &Job) -> bool {
    job.status() == JobStatus::InProgress && !matches!(job.state, JobState::CleaningUp(_))
}

/// Whether a cancellation has an effect.
pub(super) fn can_be_cancelled(job: &Job) -> bool {
    job.status() == JobStatus::InProgress && job.cancel().is_some()
}

/// The bytes that were sent; empty if that says nothing.
fn amount(job: &Job) -> String {
    match (job.bytes_sent(), job.bytes_total()) {
        (Some(sent), Some(total)) if sent < total => m::amount(&bytes(sent), &bytes(total)),
        (_, Some(total)) => bytes(total),
        (_, None) => String::new(),
    }
}

fn rate(job: &Job) -> String {
    let is_sending = matches!(job.state, JobState::Uploading(_));
    let rate = job.bytes_per_second.filter(|rate| is_sending && *rate > 0);
    rate.map_or_else(String::new, |rate| m::rate(&bytes(rate)))
}

fn left(job: &Job) -> String {
    job.seconds_left().filter(|seconds| *seconds > 0).map_or_else(String::new, time_left)
}

/// A number of bytes, with three digits or so.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut divisor: u64 = 1024;
    let mut units = UNITS.iter().peekable();
    let mut unit = units.next();
    while count / divisor >= 1024 && units.peek().is_some() {
        divisor *= 1024;
        unit = units.next();
    }
    let tenths = u128::from(count) * 10 / u128::from(divisor);
    let amount =
        if tenths < 1000 { format!("{}.{}", tenths / 10, tenths % 10) } else { (tenths / 10).to_string() };
    format!("{amount} {}", unit.copied().unwrap_or_default())
}

/// A duration, rounded up.
fn time_left(seconds: u64) -> String {
    let (count, unit) = match seconds {
        ..90 => (seconds, m::TimeUnit::Seconds),
        90..5_400 => (seconds.div_ceil(60), m::TimeUnit::Minutes),
        5_400.. => (seconds.div_ceil(3_600), m::TimeUnit::Hours),
    };
    m::time_left(count, unit)
}

/// A job as a row of the list.
pub(super) fn row(job: &Job, name: String, connection: &ShownConnection, access: Access) -> UploadRow {
    let note = match (job.failure_message(), waiting_for(job)) {
        (Some(failure), _) => failure,
        (None, Some(reason)) => waiting_text(reason).to_owned(),
        (None, None) => String::new(),
    };
    UploadRow {
        id: job.id.to_string(),
        href: href(&job.id),
        name,
        connection: connection.name.clone(),
        connection_href: connection.href.clone(),
        is_connection_deleted: connection.is_deleted,
        phase: badge(job),
        progress: job.progress_percent(),
        is_in_progress: has_progress(job),
        amount: amount(job),
        rate: rate(job),
        left: left(job),
        note,
        created: when(job.created_at),
        can_cancel: access == Access::Write && can_be_cancelled(job),
    }
}

/// What changes while a job is watched.
pub(super) fn view(job: &Job, connection: &ShownConnection) -> UploadView {
    UploadView {
        phase: badge(job),
        is_in_progress: !job.state.has_ended(),
        has_progress: has_progress(job),
        progress: job.progress_percent(),
        amount: amount(job),
        rate: rate(job),
        left: left(job),
        waiting: waiting_for(job).map_or("", waiting_text).to_owned(),
        error: error(job, connection),
        warnings: job.all_warnings(),
        steps: steps(job),
        links: links(job),
    }
}

/// Why a job failed, and what to do.
fn error(job: &Job, connection: &ShownConnection) -> Option<UploadError> {
    let failure = job.failure()?;
    let to_connection = || connection.href.clone().map(|href| (m::OPEN_CONNECTION.to_owned(), href));
    Some(UploadError {
        text: job.failure_message().unwrap_or_default(),
        cure: cure(failure.code).to_owned(),
        code: failure.code.as_str().to_owned(),
        link: if concerns_connection(failure.code) { to_connection() } else { None },
    })
}

const fn cure(code: FailureCode) -> &'static str {
    match code {
        FailureCode::SourceUnreachable => m::CURE_SOURCE_UNREACHABLE,
        FailureCode::SourceRefused => m::CURE_SOURCE_REFUSED,
        FailureCode::SourceChanged => m::CURE_SOURCE_CHANGED,
        FailureCode::SourceNotVideo => m::CURE_SOURCE_NOT_VIDEO,
        FailureCode::SourceEmpty => m::CURE_SOURCE_EMPTY,
        FailureCode::SourceTooLarge => m::CURE_SOURCE_TOO_LARGE,
        FailureCode::SourceWithoutLength => m::CURE_SOURCE_WITHOUT_LENGTH,
        FailureCode::SourceBroken => m::CURE_SOURCE_BROKEN,
        FailureCode::SourceTooSlow => m::CURE_SOURCE_TOO_SLOW,
        FailureCode::CredentialsRejected => m::CURE_CREDENTIALS_REJECTED,
        FailureCode::ScopeMissing => m::CURE_SCOPE_MISSING,
        FailureCode::QuotaExceeded => m::CURE_QUOTA_EXCEEDED,
        FailureCode::UploadAccessMissing => m::CURE_UPLOAD_ACCESS_MISSING,
        FailureCode::PrivacyNotAllowed => m::CURE_PRIVACY_NOT_ALLOWED,
        FailureCode::VimeoRefused => m::CURE_VIMEO_REFUSED,
        FailureCode::SettingRefused => m::CURE_SETTING_REFUSED,
        FailureCode::TextTrackFailed => m::CURE_TEXT_TRACK_FAILED,
        FailureCode::VideoNotFound => m::CURE_VIDEO_NOT_FOUND,
        FailureCode::VideoNotOwned => m::CURE_VIDEO_NOT_OWNED,
        FailureCode::UploadLost => m::CURE_UPLOAD_LOST,
        FailureCode::FileUnusable => m::CURE_FILE_UNUSABLE,
        FailureCode::VideoDeleted => m::CURE_VIDEO_DELETED,
        FailureCode::VimeoUnavailable => m::CURE_VIMEO_UNAVAILABLE,
        FailureCode::UploadLinkExpired => m::CURE_UPLOAD_LINK_EXPIRED,
        FailureCode::Unreadable => m::CURE_UNREADABLE,
    }
}

/// Whether the page of the connection shows the cause.
const fn concerns_connection(code: FailureCode) -> bool {
    match code {
        FailureCode::CredentialsRejected
        | FailureCode::ScopeMissing
        | FailureCode::QuotaExceeded
        | FailureCode::UploadAccessMissing
        | FailureCode::PrivacyNotAllowed => true,
        FailureCode::SourceUnreachable
        | FailureCode::SourceRefused
        | FailureCode::SourceChanged
        | FailureCode::SourceNotVideo
        | FailureCode::SourceEmpty
        | FailureCode::SourceTooLarge
        | FailureCode::SourceWithoutLength
        | FailureCode::SourceBroken
        | FailureCode::SourceTooSlow
        | FailureCode::VimeoRefused
        | FailureCode::SettingRefused
        | FailureCode::TextTrackFailed
        | FailureCode::VideoNotFound
        | FailureCode::VideoNotOwned
        | FailureCode::UploadLost
        | FailureCode::FileUnusable
        | FailureCode::VideoDeleted
        | FailureCode::VimeoUnavailable
        | FailureCode::UploadLinkExpired
        | FailureCode::Unreadable => false,
    }
}

/// The phases. Of a job that did not complete, only those that certainly happened: its others are not recorded.
fn steps(job: &Job) -> Vec<Step> {
    let current = job.state.phase();
    let start = Step {
        name: phase_text(JobPhase::Queued).to_owned(),
        tone: Tone::Good,
        at: Some(when(job.created_at)),
        note: String::new(),
        is_current: false,
    };
    let now = Step {
        name: phase_text(current).to_owned(),
        tone: tone(job),
        at: Some(when(job.updated_at)),
        note: attempts(job),
        is_current: true,
    };
    let path = path(job);
    let Some(at) = path.iter().position(|phase| *phase == current) else { return vec![start, now] };
    let others = path.iter().enumerate().map(|(place, phase)| match (place, place.cmp(&at)) {
        (_, std::cmp::Ordering::Equal) => now.clone(),
        (0, _) => start.clone(),
        (_, order) => {
            let tone = if order.is_lt() { Tone::Good } else { Tone::Muted };
            let name = phase_text(*phase).to_owned();
            Step { name, tone, at: None, note: String::new(), is_current: false }
        }
    });
    others.collect()
}

/// The phases of an upload that completes.
fn path(job: &Job) -> Vec<JobPhase> {
    let is_left_out = |phase: JobPhase| match phase {
        JobPhase::Scheduled => job.publish_at.is_none(),
        // The video that gets another file is as open as it was.
        JobPhase::Publishing => job.replaces.is_some(),
        _ => false,
    };
    PATH.into_iter().filter(|phase| !is_left_out(*phase)).collect()
}

/// Failed attempts of the current phase, and restarts.
fn attempts(job: &Job) -> String {
    let restarts = match &job.state {
        JobState::Queued(queued) => queued.restarts,
        JobState::Creating(creating) => creating.restarts,
        JobState::Uploading(uploading) => uploading.restarts,
        _ => 0,
    };
    let attempt = Some(job.retry.count).filter(|count| *count > 0 && !job.state.has_ended());
    let attempt = attempt.map(|count| m::attempt(count.saturating_add(1)));
    let restarts = Some(restarts).filter(|count| *count > 0).map(m::restarts);
    attempt.into_iter().chain(restarts).collect::<Vec<_>>().join(", ")
}

/// The pages of the video. What Vimeo sent is a link only if it is one for browsers.
fn links(job: &Job) -> Vec<(String, String)> {
    let JobState::Completed(Completed { link, player, .. }) = &job.state else { return Vec::new() };
    let found = [(m::OPEN_VIDEO, Some(link)), (m::OPEN_PLAYER, player.as_ref())];
    let is_web = |link: &&String| link.starts_with("https://");
    found
        .into_iter()
        .filter_map(|(label, link)| Some((label.to_owned(), link.filter(is_web)?.clone())))
        .collect()
}

#[cfg(test)]
mod tests;
