//! Uploads: where their bytes are sent to, and what happens beside requests.

use std::sync::Arc;

use crate::desk::Desk;
use crate::state::{Approach, Upload, VersionId, VideoId};

/// Where an upload's bytes go. Whoever has this may send them.
pub(crate) fn link(desk: &Desk, upload: &Upload) -> String {
    let folder = match upload.approach {
        Approach::Post { .. } => "form",
        _ => "vimeo-prod-src-tus-eu",
    };
    format!("{}/files/{folder}/{}", desk.base_url, upload.key)
}

/// Begins what a new version needs beside requests.
pub(crate) fn begin(_desk: &Arc<Desk>, _video: VideoId, _version: VersionId) {}

/// Removes the bytes of versions that are gone.
pub(crate) fn forget(_desk: &Desk, _versions: &[VersionId]) {}
