//! How the bytes of uploads arrive: by tus, as a form, or by a pull. Each version has its own link.

mod bytes;
mod fetch;
pub(crate) mod files;
pub(crate) mod form;
mod formats;
mod pull;
pub(crate) mod tus;

use std::fs;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;

use crate::api_request::ErrorResponse;
use crate::app_state::{AppState, VimeoGuard};
use crate::state::{Approach, Orphan, Stage, Upload, Version, VersionId, VideoId, VimeoState, redacted};

pub(crate) use bytes::{UploadDirLock, path_of};

pub(crate) const TUS_ROUTE: &str = "/files/vimeo-prod-src-tus-eu/{key}";
pub(crate) const FORM_ROUTE: &str = "/files/form/{key}";

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const LINKS: &str = "/files/";
const FOLDERS: [&str; 5] = ["vimeo-prod-src-tus-eu", "form", "texttracks", "pictures", "captions"];

/// The link of an upload. No token is needed to use it.
pub(crate) fn link(app_state: &AppState, upload: &Upload) -> String {
    let route = match upload.approach {
        Approach::Post { .. } => FORM_ROUTE,
        Approach::Tus | Approach::Pull { .. } | Approach::None => TUS_ROUTE,
    };
    format!("{}{}", app_state.base_url, route.replace("{key}", &upload.key))
}

/// Whether a path is an upload link, which needs no token.
pub(crate) fn is_link(path: &str) -> bool {
    path.starts_with(LINKS)
}

/// The path with the secret of an upload link replaced by `fingerprint:…`, even if the rest is mistyped.
pub(crate) fn redact_key(path: &str) -> String {
    let Some((before, rest)) = path.split_once(LINKS) else { return path.to_owned() };
    let (folder, secret) = match rest.split_once('/') {
        Some((folder, secret)) if FOLDERS.contains(&folder) => (format!("{folder}/"), secret),
        _ => (String::new(), rest),
    };
    if secret.is_empty() || FOLDERS.contains(&secret) {
        return path.to_owned();
    }
    format!("{before}{LINKS}{folder}{}", redacted(secret))
}

/// Starts the upload of a new version: a pull begins, and an upload of 0 bytes is complete at once.
pub(crate) fn start(app_state: &Arc<AppState>, video: VideoId, version: VersionId) {
    let now = app_state.now();
    let is_pull = {
        let mut vimeo_state = app_state.vimeo();
        vimeo_state.edit_version(video, version, |Version { upload, .. }| {
            if *upload.stage() != Stage::Uploading {
                return false;
            }
            match upload.approach {
                Approach::Pull { .. } => true,
                Approach::Tus => {
                    upload.receive(upload.received.clone(), now);
                    false
                }
                Approach::Post { .. } | Approach::None => false,
            }
        })
    };
    if is_pull == Some(true) {
        app_state.tasks.spawn(pull::run(Arc::clone(app_state), video, version));
    }
}

/// Resumes uploads after a restart: files are truncated to the recorded offsets, and pulls start again.
pub(crate) fn resume(app_state: &Arc<AppState>) {
    let known: Vec<(VideoId, VersionId, u64)> = {
        let vimeo_state = app_state.vimeo();
        let versions = vimeo_state.list_videos().flat_map(|video| {
            video.versions.iter().map(|version| (video.id, version.id, version.upload.received.bytes))
        });
        versions.collect()
    };
    for (video, version, received) in known {
        bytes::truncate(app_state, video, version, received);
        start(app_state, video, version);
    }
}

/// Cancels the uploads of deleted versions and deletes their files: while the state is locked, because after a reset
/// other versions may have the same numbers, and so the same files.
pub(crate) fn remove(app_state: &AppState, vimeo_state: VimeoGuard<'_>, orphans: &[Orphan]) {
    delete_files(app_state, orphans);
    drop(vimeo_state);
    app_state.cancel_uploads(orphans);
}

/// Deletes the files of deleted versions.
pub(crate) fn delete_files(app_state: &AppState, orphans: &[Orphan]) {
    for Orphan { video, version, .. } in orphans {
        if let Some(path) = path_of(app_state, *video, *version) {
            // Fails only if the directory is not writable any more.
            let _ = fs::remove_file(path);
        }
    }
}

/// The upload of a link that has not expired.
fn find_live<'a>(
    vimeo_state: &'a VimeoState,
    key: &str,
    now: Timestamp,
) -> Result<(VideoId, VersionId, &'a Upload), ErrorResponse> {
    let found = vimeo_state.find_upload(key);
    let found = found
        .and_then(|(video, version)| Some((video, version, &vimeo_state.version(video, version)?.upload)));
    let (video, version, upload) = found.ok_or_else(|| not_found(StatusCode::NOT_FOUND))?;
    match upload.dead_status(now) {
        None => Ok((video, version, upload)),
        Some(status) => Err(not_found(status).into()),
    }
}

/// No such upload, or an expired link; the status depends on the fault.
fn not_found(status: StatusCode) -> Response {
    text(status, "upload not found")
}

/// A response in plain text, as upload servers send it.
pub(crate) fn text(status: StatusCode, sentence: &'static str) -> Response {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN_TEXT);
    response
}

/// An extension of a response that acknowledges bytes: they must survive a restart.
#[derive(Clone, Copy)]
pub(crate) struct DurableAck;

/// Replaces an acknowledgement whose bytes could not be saved.
pub(crate) fn revoke_ack(response: &mut Response) {
    if response.extensions().get::<DurableAck>().is_none() {
        return;
    }
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    *response.body_mut() =
        Body::from("the sandbox cannot write the file of its --state; earlier data is intact");
    let headers = response.headers_mut();
    for name in [tus::UPLOAD_OFFSET, tus::UPLOAD_LENGTH, LOCATION, CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, PLAIN_TEXT);
}

fn disk_error() -> Response {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the sandbox cannot write to the directory of its --keep-bytes; earlier data is intact",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_link_is_shown_as_its_fingerprint() {
        let shown = redact_key("/files/vimeo-prod-src-tus-eu/hunter2");
        assert_eq!(shown, "/files/vimeo-prod-src-tus-eu/fingerprint:f52fbd32b2b3");
        assert_eq!(redact_key("/files/form/hunter2"), "/files/form/fingerprint:f52fbd32b2b3");
        for open in ["/me", "/files/", "/files/form", "/files/form/"] {
            assert_eq!(redact_key(open), open);
        }
        for mistyped in
            ["/files/hunter2", "/files/hunter2/", "//files/form/hunter2", "/x/files/files/hunter2/hunter2"]
        {
            let shown = redact_key(mistyped);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
