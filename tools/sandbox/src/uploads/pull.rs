//! Pulls: the sandbox fetches the file itself from allowed addresses, and reports failures as Vimeo does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::bytes::{StartAt, UploadWriter, VersionDeleted};
use super::fetch::{ConnectionFailed, Download, FetchResponse, Source};
use crate::PullFrom;
use crate::app_state::AppState;
use crate::state::{Approach, Failure, Stage, Upload, Version, VersionId, VideoId};
use crate::videos::FILE_BYTES_MAX;

const TRIES: u32 = 3;
// Vimeo waits for minutes, which is too long for a test.
const PAUSE: Duration = Duration::from_millis(100);
const REDIRECTS_MAX: u32 = 5;

/// Fetches a version's file, and records the result.
pub(super) async fn run(app_state: Arc<AppState>, video: VideoId, version: VersionId) {
    let (link, key) = {
        let vimeo_state = app_state.vimeo();
        match vimeo_state.version(video, version).map(|version| &version.upload) {
            Some(Upload { approach: Approach::Pull { link }, key, .. }) => (link.clone(), key.clone()),
            _ => return,
        }
    };
    let fail = |error: &str| fail(&app_state, (video, version), &key, error);
    let Ok(mut writer) = UploadWriter::open(&app_state, (video, version), &key, StartAt::Zero) else {
        fail("internal");
        app_state.save().await;
        return;
    };
    let deleted = writer.deleted();
    let ended = tokio::select! {
        // The pull starts again with the next process.
        () = app_state.stopping.cancelled() => return,
        () = deleted.cancelled() => return,
        ended = fetch(&app_state, &mut writer, &link) => ended,
    };
    let ended =
        ended.and_then(|()| writer.record_complete(None).map_err(|VersionDeleted| PullError::VersionDeleted));
    match ended {
        // Deleted, or failed by a control: that result stays.
        Ok(()) | Err(PullError::VersionDeleted) => {}
        Err(PullError::ConnectionFailed) => fail("exceeded_retry_count"),
        Err(PullError::Unwell) => fail("remote_internal"),
        Err(PullError::Final(error)) => fail(error),
    }
    app_state.save().await;
}

fn fail(app_state: &AppState, (video, version): (VideoId, VersionId), key: &str, error: &str) {
    let now = app_state.now();
    app_state.vimeo().edit_version(video, version, |Version { upload, .. }| {
        // After a reset the same numbers may be another upload's.
        if upload.key == key && *upload.stage() == Stage::Uploading {
            upload.fail(Failure::of_upload(error), now);
        }
    });
}

/// Why a file could not be fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PullError {
    /// The version was deleted, or failed by a control.
    VersionDeleted,
    /// The connection failed; retried.
    ConnectionFailed,
    /// The source's server failed; retried.
    Unwell,
    /// One of [`Failure::ERRORS`]; not retried.
    Final(&'static str),
}

impl std::convert::From<ConnectionFailed> for PullError {
    fn from(_: ConnectionFailed) -> Self {
        Self::ConnectionFailed
    }
}

async fn fetch(app_state: &AppState, writer: &mut UploadWriter<'_>, link: &str) -> Result<(), PullError> {
    let source = Source::parse(link).ok_or(PullError::Final("disallowed_address"))?;
    let mut tries = 1;
    loop {
        let ended = try_once(app_state, writer, source.clone()).await;
        match ended {
            Err(PullError::ConnectionFailed | PullError::Unwell) if tries < TRIES => {
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            _ => return ended,
        }
    }
}

async fn try_once(
    app_state: &AppState,
    writer: &mut UploadWriter<'_>,
    mut source: Source,
) -> Result<(), PullError> {
    writer.rewind().map_err(|_| PullError::Final("internal"))?;
    writer.record_progress().map_err(|VersionDeleted| PullError::VersionDeleted)?;
    let mut redirects = 0;
    loop {
        let addresses = allowed_addresses(app_state.pull_from, &source).await?;
        match source.get(&addresses).await? {
            FetchResponse::File(download) => return receive(writer, download).await,
            FetchResponse::Elsewhere(Some(next)) if redirects < REDIRECTS_MAX => {
                source = next;
                redirects += 1;
            }
            FetchResponse::Elsewhere(_) => return Err(PullError::Final("invalid_redirects")),
            FetchResponse::No(status) => return Err(error_of_status(status)),
        }
    }
}

/// The host's addresses, all of which are allowed.
async fn allowed_addresses(from: PullFrom, source: &Source) -> Result<Vec<SocketAddr>, PullError> {
    let disallowed = PullError::Final("disallowed_address");
    if from == PullFrom::Nowhere {
        return Err(disallowed);
    }
    let addresses = source.addresses().await.unwrap_or_default();
    match from {
        // A name that does not resolve is not one of this machine.
        PullFrom::Loopback if addresses.is_empty() => Err(disallowed),
        PullFrom::Loopback if !addresses.iter().all(|found| found.ip().to_canonical().is_loopback()) => {
            Err(disallowed)
        }
        _ if addresses.is_empty() => Err(PullError::ConnectionFailed),
        _ => Ok(addresses),
    }
}

fn error_of_status(status: u16) -> PullError {
    PullError::Final(match status {
        401 => "remote_unauthorized",
        403 => "remote_forbidden",
        404 | 410 => "remote_not_found",
        500.. => return PullError::Unwell,
        _ => "remote_bad_request",
    })
}

async fn receive(writer: &mut UploadWriter<'_>, mut download: Download) -> Result<(), PullError> {
    let is_text = |media_type: &str| media_type.starts_with("text/") || media_type == "application/json";
    if is_text(&download.media_type()) {
        return Err(PullError::Final("disallowed_content_type"));
    }
    let too_much = PullError::Final("max_file_size_exceeded");
    let most = writer.size.unwrap_or(FILE_BYTES_MAX).min(FILE_BYTES_MAX);
    if download.length().is_some_and(|length| length > most) {
        return Err(too_much);
    }
    while let Some(data) = download.next().await? {
        let data = data.as_ref();
        if data.len() as u64 > most - writer.received.bytes {
            return Err(too_much);
        }
        writer.write(data).map_err(|_| PullError::Final("internal"))?;
        writer.record_progress().map_err(|VersionDeleted| PullError::VersionDeleted)?;
    }
    match writer.received.bytes {
        0 => Err(PullError::Final("empty_upload")),
        bytes if writer.size.is_some_and(|size| bytes < size) => Err(PullError::ConnectionFailed),
        _ => Ok(()),
    }
}
