//! Pulls: the sandbox fetches the file itself, from where it may, and says in Vimeo's words why it could not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::bytes::{From, Gone, Inlet};
use super::fetch::{Answer, Broken, Download, Source};
use crate::PullFrom;
use crate::desk::Desk;
use crate::state::{Approach, Failure, Stage, Upload, Version, VersionId, VideoId};
use crate::videos::FILE_BYTES_MAX;

const TRIES: u32 = 3;
// Vimeo waits for minutes; nobody at a desk wants to.
const PAUSE: Duration = Duration::from_millis(100);
const REDIRECTS_MAX: u32 = 5;

/// Fetches a version's file, and books how that ended.
pub(super) async fn run(desk: Arc<Desk>, video: VideoId, version: VersionId) {
    let (link, key) = {
        let world = desk.world();
        match world.version(video, version).map(|version| &version.upload) {
            Some(Upload { approach: Approach::Pull { link }, key, .. }) => (link.clone(), key.clone()),
            _ => return,
        }
    };
    let fail = |error: &str| fail(&desk, (video, version), &key, error);
    let Ok(mut inlet) = Inlet::open(&desk, (video, version), &key, From::Zero) else {
        fail("internal");
        desk.save().await;
        return;
    };
    let gone = inlet.gone();
    let ended = tokio::select! {
        // It begins again at the next start.
        () = desk.stopping.cancelled() => return,
        () = gone.cancelled() => return,
        ended = fetch(&desk, &mut inlet, &link) => ended,
    };
    let ended = ended.and_then(|()| inlet.book_whole(None).map_err(|Gone| Trouble::Gone));
    match ended {
        // Who deleted it or ended it otherwise had the last word.
        Ok(()) | Err(Trouble::Gone) => {}
        Err(Trouble::Broken) => fail("exceeded_retry_count"),
        Err(Trouble::Unwell) => fail("remote_internal"),
        Err(Trouble::Final(error)) => fail(error),
    }
    desk.save().await;
}

fn fail(desk: &Desk, (video, version): (VideoId, VersionId), key: &str, error: &str) {
    let now = desk.now();
    desk.world().edit_version(video, version, |Version { upload, .. }| {
        // After a reset the same numbers may be another upload's.
        if upload.key == key && *upload.stage() == Stage::Uploading {
            upload.fail(Failure::of_upload(error), now);
        }
    });
}

/// Why a file is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The version was deleted, or failed by a control.
    Gone,
    /// The connection; worth another try.
    Broken,
    /// The source's server; worth another try.
    Unwell,
    /// One of [`Failure::ERRORS`], which another try would not change.
    Final(&'static str),
}

impl std::convert::From<Broken> for Trouble {
    fn from(_: Broken) -> Self {
        Self::Broken
    }
}

async fn fetch(desk: &Desk, inlet: &mut Inlet<'_>, link: &str) -> Result<(), Trouble> {
    let source = Source::parse(link).ok_or(Trouble::Final("disallowed_address"))?;
    let mut tries = 1;
    loop {
        let ended = try_once(desk, inlet, source.clone()).await;
        match ended {
            Err(Trouble::Broken | Trouble::Unwell) if tries < TRIES => {
                tokio::time::sleep(PAUSE * tries).await;
                tries += 1;
            }
            _ => return ended,
        }
    }
}

async fn try_once(desk: &Desk, inlet: &mut Inlet<'_>, mut source: Source) -> Result<(), Trouble> {
    inlet.rewind().map_err(|_| Trouble::Final("internal"))?;
    inlet.book_progress().map_err(|Gone| Trouble::Gone)?;
    let mut redirects = 0;
    loop {
        let addresses = allowed_addresses(desk.pull_from, &source).await?;
        match source.get(&addresses).await? {
            Answer::File(download) => return receive(inlet, download).await,
            Answer::Elsewhere(Some(next)) if redirects < REDIRECTS_MAX => {
                source = next;
                redirects += 1;
            }
            Answer::Elsewhere(_) => return Err(Trouble::Final("invalid_redirects")),
            Answer::No(status) => return Err(trouble_of(status)),
        }
    }
}

/// The host's addresses, each of which may be fetched from.
async fn allowed_addresses(from: PullFrom, source: &Source) -> Result<Vec<SocketAddr>, Trouble> {
    let disallowed = Trouble::Final("disallowed_address");
    if from == PullFrom::Nowhere {
        return Err(disallowed);
    }
    let addresses = source.addresses().await.unwrap_or_default();
    match from {
        // A name that means nothing here is none of this machine's.
        PullFrom::Loopback if addresses.is_empty() => Err(disallowed),
        PullFrom::Loopback if !addresses.iter().all(|found| found.ip().to_canonical().is_loopback()) => {
            Err(disallowed)
        }
        _ if addresses.is_empty() => Err(Trouble::Broken),
        _ => Ok(addresses),
    }
}

fn trouble_of(status: u16) -> Trouble {
    Trouble::Final(match status {
        401 => "remote_unauthorized",
        403 => "remote_forbidden",
        404 | 410 => "remote_not_found",
        500.. => return Trouble::Unwell,
        _ => "remote_bad_request",
    })
}

async fn receive(inlet: &mut Inlet<'_>, mut download: Download) -> Result<(), Trouble> {
    let is_text = |media_type: &str| media_type.starts_with("text/") || media_type == "application/json";
    if is_text(&download.media_type()) {
        return Err(Trouble::Final("disallowed_content_type"));
    }
    let too_much = Trouble::Final("max_file_size_exceeded");
    let most = inlet.size.unwrap_or(FILE_BYTES_MAX).min(FILE_BYTES_MAX);
    if download.length().is_some_and(|length| length > most) {
        return Err(too_much);
    }
    while let Some(data) = download.next().await? {
        let data = data.as_ref();
        if data.len() as u64 > most - inlet.received.bytes {
            return Err(too_much);
        }
        inlet.take(data).map_err(|_| Trouble::Final("internal"))?;
        inlet.book_progress().map_err(|Gone| Trouble::Gone)?;
    }
    match inlet.received.bytes {
        0 => Err(Trouble::Final("empty_upload")),
        bytes if inlet.size.is_some_and(|size| bytes < size) => Err(Trouble::Broken),
        _ => Ok(()),
    }
}
