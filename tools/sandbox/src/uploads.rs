//! How bytes reach the sandbox: sent by tus, sent as a form, or fetched. Each version has a link of its own.

mod bytes;
mod fetch;
pub(crate) mod form;
mod pull;
pub(crate) mod tus;

use std::fs;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;

use crate::ask::Refusal;
use crate::desk::{Desk, WorldGuard};
use crate::state::{Approach, Orphan, Stage, Upload, Version, VersionId, VideoId, World, hidden};

pub(crate) use bytes::{Keeper, path_of};

pub(crate) const TUS_ROUTE: &str = "/files/vimeo-prod-src-tus-eu/{key}";
pub(crate) const FORM_ROUTE: &str = "/files/form/{key}";

const PLAIN_TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

const LINKS: &str = "/files/";
const FOLDERS: [&str; 2] = ["vimeo-prod-src-tus-eu", "form"];

/// Where a client sends an upload's bytes. Whoever knows it may.
pub(crate) fn link(desk: &Desk, upload: &Upload) -> String {
    let route = match upload.approach {
        Approach::Post { .. } => FORM_ROUTE,
        Approach::Tus | Approach::Pull { .. } | Approach::None => TUS_ROUTE,
    };
    format!("{}{}", desk.base_url, route.replace("{key}", &upload.key))
}

/// Whether a path is that of an upload, which needs no token.
pub(crate) fn is_link(path: &str) -> bool {
    path.starts_with(LINKS)
}

/// A path in which the secret of an upload link is replaced by `fingerprint:…`, also where somebody mistyped the rest.
pub(crate) fn without_key(path: &str) -> String {
    let Some((before, rest)) = path.split_once(LINKS) else { return path.to_owned() };
    let (folder, secret) = match rest.split_once('/') {
        Some((folder, secret)) if FOLDERS.contains(&folder) => (format!("{folder}/"), secret),
        _ => (String::new(), rest),
    };
    if secret.is_empty() || FOLDERS.contains(&secret) {
        return path.to_owned();
    }
    format!("{before}{LINKS}{folder}{}", hidden(secret))
}

/// What follows when a version was made: a pull sets out, and an upload of no bytes is whole at once.
pub(crate) fn begin(desk: &Arc<Desk>, video: VideoId, version: VersionId) {
    let now = desk.now();
    let is_pull = {
        let mut world = desk.world();
        world.edit_version(video, version, |Version { upload, .. }| {
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
        desk.tasks.spawn(pull::run(Arc::clone(desk), video, version));
    }
}

/// Goes on after a restart: kept files end where their offsets say, and pulls begin again.
pub(crate) fn resume(desk: &Arc<Desk>) {
    let known: Vec<(VideoId, VersionId, u64)> = {
        let world = desk.world();
        let versions = world.list_videos().flat_map(|video| {
            video.versions.iter().map(|version| (video.id, version.id, version.upload.received.bytes))
        });
        versions.collect()
    };
    for (video, version, received) in known {
        bytes::settle(desk, video, version, received);
        begin(desk, video, version);
    }
}

/// Ends what was going on for deleted versions, and takes their bytes off the disk: while the world is held in which they
/// are no more, because after a reset their numbers, and so their files, are others'.
pub(crate) fn forget(desk: &Desk, world: WorldGuard<'_>, orphans: &[Orphan]) {
    discard(desk, orphans);
    drop(world);
    desk.break_off(orphans);
}

/// Takes the bytes of deleted versions off the disk.
pub(crate) fn discard(desk: &Desk, orphans: &[Orphan]) {
    for Orphan { video, version, .. } in orphans {
        if let Some(path) = path_of(desk, *video, *version) {
            // It stays only where the directory is not ours to write to any more.
            let _ = fs::remove_file(path);
        }
    }
}

/// The upload that a link leads to, as long as it does.
fn find_live<'a>(
    world: &'a World,
    key: &str,
    now: Timestamp,
) -> Result<(VideoId, VersionId, &'a Upload), Refusal> {
    let found = world.find_upload(key);
    let found =
        found.and_then(|(video, version)| Some((video, version, &world.version(video, version)?.upload)));
    let (video, version, upload) = found.ok_or_else(|| not_found(StatusCode::NOT_FOUND))?;
    match upload.dead_status(now) {
        None => Ok((video, version, upload)),
        Some(status) => Err(not_found(status).into()),
    }
}

/// There is no such upload, or no more; the status says how much is admitted.
fn not_found(status: StatusCode) -> Response {
    text(status, "upload not found")
}

/// An answer in plain text, as an upload server gives them.
pub(crate) fn text(status: StatusCode, sentence: &'static str) -> Response {
    let mut response = Response::new(Body::from(sentence));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, PLAIN_TEXT);
    response
}

/// Put on an answer that a sender relies on, also beyond the end of this sandbox.
#[derive(Clone, Copy)]
pub(crate) struct Promise;

/// Takes a promise back that the next sandbox of this state file would not keep.
pub(crate) fn take_back(response: &mut Response) {
    if response.extensions().get::<Promise>().is_none() {
        return;
    }
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    *response.body_mut() =
        Body::from("the sandbox cannot write the file of its --state; what was kept before is kept");
    let headers = response.headers_mut();
    for name in [tus::UPLOAD_OFFSET, tus::UPLOAD_LENGTH, LOCATION, CONTENT_LENGTH] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, PLAIN_TEXT);
}

fn disk_trouble() -> Response {
    text(
        StatusCode::SERVICE_UNAVAILABLE,
        "the sandbox cannot write to the directory of its --keep-bytes; what was kept before is kept",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_a_link_is_shown_as_its_fingerprint() {
        let shown = without_key("/files/vimeo-prod-src-tus-eu/hunter2");
        assert_eq!(shown, "/files/vimeo-prod-src-tus-eu/fingerprint:f52fbd32b2b3");
        assert_eq!(without_key("/files/form/hunter2"), "/files/form/fingerprint:f52fbd32b2b3");
        for open in ["/me", "/files/", "/files/form", "/files/form/"] {
            assert_eq!(without_key(open), open);
        }
        for mistyped in
            ["/files/hunter2", "/files/hunter2/", "//files/form/hunter2", "/x/files/files/hunter2/hunter2"]
        {
            let shown = without_key(mistyped);
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
