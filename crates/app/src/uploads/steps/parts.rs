//! The parts of a publication that are created once all settings are applied: text tracks, one after the other, and chapters.
//!
//! A part that cannot be made becomes a warning, unless it is a required text track: that fails the job with the video closed.

use bytes::Bytes;
use domain::job::{Configuring, FailureCode, JobState, UniqueRequest};
use domain::publication::{Chapter, Publication, Requirement, TEXT_TRACK_MAX_BYTES, TextTrack};
use domain::secret::Secret;
use domain::time::Timestamp;
use egress::{SourceError, text_track_format};
use vimeo::{CreatedFile, FileLink, NewTextTrack, TextTrackSummary};

use super::unique::{Next, Ours, retry_part};
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::failures::failure;
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};
use crate::uploads::sources;

/// A file that a part needs, and its media type.
#[derive(Debug, Clone)]
pub(in crate::uploads) struct PartFile {
    pub(super) bytes: Bytes,
    pub(super) media_type: &'static str,
}

/// A part of a publication.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// The settings, and everything else that can be requested twice.
    Settings,
    /// A text track.
    TextTrack(&'a TextTrack),
    /// All chapters.
    Chapters(&'a [Chapter]),
}

/// The part after this many; `None`: all are done.
pub(super) fn part_after(publication: &Publication, parts_done: u32) -> Option<Part<'_>> {
    let tracks = &publication.text_tracks;
    let place = usize::try_from(parts_done).unwrap_or(usize::MAX);
    match place.checked_sub(1) {
        None => Some(Part::Settings),
        Some(track) if track < tracks.len() => tracks.get(track).map(Part::TextTrack),
        Some(place) if place == tracks.len() && !publication.chapters.is_empty() => {
            Some(Part::Chapters(&publication.chapters))
        }
        Some(_) => None,
    }
}

/// Why a file cannot be used.
pub(super) enum Unfetched {
    /// For this reason, which is for people.
    Unusable(String),
    /// It may be there later.
    Later(Then),
}

/// Creates a text track and sends its file.
pub(super) async fn make_text_track(
    context: &StepContext<'_>,
    memory: &mut Memory,
    configuring: Configuring,
    track: &TextTrack,
) -> StepOutcome {
    let next = context.next_of(configuring.request, Ours::of(memory.part_file.as_ref()));
    if let Next::Wait(lookup_at) = next {
        return wait_until(context, configuring, lookup_at);
    }
    let file = match memory.part_file.take() {
        Some(file) => file,
        None => match fetch_text_track(context, track).await {
            Ok(file) => file,
            Err(Unfetched::Later(then)) => return stay(configuring, then),
            Err(Unfetched::Unusable(reason)) if next == Next::LookUp => {
                return remove_text_track(context, configuring, track, &reason).await;
            }
            Err(Unfetched::Unusable(reason)) => return give_up(configuring, track, &reason),
        },
    };
    match next {
        Next::Prepare | Next::Wait(_) => {
            memory.part_file = Some(file);
            StepOutcome::enter(JobState::Configuring(Configuring {
                request: UniqueRequest::Sent,
                ..configuring
            }))
        }
        Next::Send => create_text_track(context, configuring, track, file).await,
        Next::LookUp => find_text_track(context, configuring, track, file).await,
    }
}

async fn create_text_track(
    context: &StepContext<'_>,
    configuring: Configuring,
    track: &TextTrack,
    file: PartFile,
) -> StepOutcome {
    let video = configuring.target.video();
    let new = NewTextTrack {
        kind: track.kind.as_str(),
        language: track.language.as_str(),
        name: track.stored_name(),
        active: track.is_active,
    };
    let not_sent = Configuring { request: UniqueRequest::NotSent, ..configuring };
    match context.prepared.session.create_text_track(video, &new, CALL_TIMEOUT).await {
        Ok(CreatedFile { number, link }) => {
            let link = TrackLink::Created(link);
            send_text_track(context, configuring, track, (file, link, number)).await
        }
        Err(vimeo::Failure::Unknown(error)) => {
            tracing::info!(job = %context.job.id, %error, "whether Vimeo created a text track is unknown");
            wait_until(context, configuring, context.lookup_at())
        }
        Err(failed) => match context.refusal_of_part(failed) {
            Ok(said) => give_up(not_sent, track, &format!("Vimeo refused it: {said}")),
            Err(then) => stay(not_sent, then),
        },
    }
}

/// Looks for the track of an earlier request, and continues with it.
async fn find_text_track(
    context: &StepContext<'_>,
    configuring: Configuring,
    track: &TextTrack,
    file: PartFile,
) -> StepOutcome {
    let found = match list_text_tracks(context, configuring, track).await {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let mut found = found.into_iter();
    let not_sent = Configuring { request: UniqueRequest::NotSent, ..configuring };
    let Some(first) = found.next() else {
        if track.requirement == Requirement::Optional && context.is_part_exhausted() {
            return give_up(not_sent, track, "Vimeo repeatedly did not confirm it.");
        }
        return stay(not_sent, retry_part("a text track"));
    };
    for other in found {
        if let Err(failed) = context.prepared.session.delete_text_track(other.number, CALL_TIMEOUT).await {
            return match context.refusal_of_part(failed) {
                Err(then) => stay(configuring, then),
                Ok(said) => {
                    let reason = format!("Vimeo has it twice, and refused to delete one: {said}");
                    give_up(configuring, track, &reason)
                }
            };
        }
    }
    send_text_track(context, configuring, track, (file, TrackLink::Listed(first.link), first.number)).await
}

/// The tracks at Vimeo that an earlier request for this one may have created, the lowest number first.
async fn list_text_tracks(
    context: &StepContext<'_>,
    configuring: Configuring,
    track: &TextTrack,
) -> Result<Vec<TextTrackSummary>, StepOutcome> {
    let listed = context.prepared.session.list_text_tracks(configuring.target.video(), CALL_TIMEOUT).await;
    let listed = listed.map_err(|failed| match context.refusal_of_part(failed) {
        Err(then) => stay(configuring, then),
        Ok(said) => give_up(configuring, track, &format!("Vimeo refused to list the text tracks: {said}")),
    })?;
    let mut found: Vec<_> = listed.into_iter().filter(|listed| is_the_same(listed, track)).collect();
    found.sort_by_key(|found| found.number);
    Ok(found)
}

/// Deletes what an earlier request may have created, because its file can no longer be fetched.
async fn remove_text_track(
    context: &StepContext<'_>,
    configuring: Configuring,
    track: &TextTrack,
    reason: &str,
) -> StepOutcome {
    let found = match list_text_tracks(context, configuring, track).await {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    for found in found {
        if let Err(failed) = context.prepared.session.delete_text_track(found.number, CALL_TIMEOUT).await
            && let Err(then) = context.refusal_of_part(failed)
        {
            return stay(configuring, then);
        }
    }
    give_up(configuring, track, reason)
}

/// The link of a text track.
enum TrackLink {
    /// As the response to its creation has it: it takes the file.
    Created(FileLink),
    /// As a list has it: once a file has arrived, it may be the one that the file is read from.
    Listed(Option<FileLink>),
}

/// Sends the file of a track that exists. Doing so twice changes nothing. A listed track whose link does not take the file is
/// deleted and created again: nothing says for certain whether its file is complete.
async fn send_text_track(
    context: &StepContext<'_>,
    configuring: Configuring,
    track: &TextTrack,
    (file, link, number): (PartFile, TrackLink, domain::video::TextTrackNumber),
) -> StepOutcome {
    let now_unconfirmed = UniqueRequest::Unconfirmed { lookup_at: context.now() };
    let looked_up = Configuring { request: now_unconfirmed, ..configuring };
    let session = &context.prepared.session;
    let sent = match &link {
        TrackLink::Created(link) | TrackLink::Listed(Some(link)) => {
            context.uploads.client.put_file(link, file.media_type, file.bytes, CALL_TIMEOUT).await
        }
        // Its link was shown once: only another track has one.
        TrackLink::Listed(None) => Err(vimeo::Failure::NotFound),
    };
    let reason = match (sent, &link) {
        (Ok(()), _) => return done(configuring),
        (Err(vimeo::Failure::Refused(said)), TrackLink::Created(_)) => {
            format!("Vimeo refused its file ({said}).")
        }
        (Err(vimeo::Failure::Refused(_)), TrackLink::Listed(_)) | (Err(vimeo::Failure::NotFound), _) => {
            String::new()
        }
        // The host of the file says nothing about the video.
        (Err(_), _) if track.requirement == Requirement::Optional && context.is_part_exhausted() => {
            "its file could repeatedly not be sent.".to_owned()
        }
        (Err(_), _) => return stay(looked_up, retry_part("the file of a text track")),
    };
    match session.delete_text_track(number, CALL_TIMEOUT).await {
        Ok(()) => {}
        Err(failed) => {
            return match context.refusal_of_part(failed) {
                Err(then) => stay(looked_up, then),
                // It is left there, without a file.
                Ok(_) => give_up(configuring, track, "Vimeo did not accept its file."),
            };
        }
    }
    let not_sent = Configuring { request: UniqueRequest::NotSent, ..configuring };
    if !reason.is_empty() {
        return give_up(not_sent, track, &reason);
    }
    if track.requirement == Requirement::Optional && context.is_part_exhausted() {
        return give_up(not_sent, track, "Vimeo repeatedly did not accept its file.");
    }
    stay(not_sent, retry_part("the file of a text track"))
}

/// Whether a listed track is this one.
fn is_the_same(listed: &TextTrackSummary, track: &TextTrack) -> bool {
    listed.kind == track.kind.as_str()
        && listed.language == track.language.as_str()
        && listed.name == track.stored_name()
}

async fn fetch_text_track(context: &StepContext<'_>, track: &TextTrack) -> Result<PartFile, Unfetched> {
    let bytes = fetch(context, &track.url, TEXT_TRACK_MAX_BYTES, track.requirement).await?;
    let format = text_track_format(&bytes)
        .map_err(|error| Unfetched::Unusable(format!("its file is not a text track: {error}.")))?;
    Ok(PartFile { bytes, media_type: format.media_type() })
}

/// Fetches the file of a part.
pub(super) async fn fetch(
    context: &StepContext<'_>,
    url: &Secret,
    max_bytes: usize,
    requirement: Requirement,
) -> Result<Bytes, Unfetched> {
    let egress = &context.uploads.egress;
    let Ok(url) = sources::read_address(egress, url) else {
        return Err(Unfetched::Unusable(why_unfetched(&SourceError::Unreachable, max_bytes)));
    };
    let error = match egress.fetch(&url, max_bytes, CALL_TIMEOUT).await {
        Ok(fetched) => return Ok(fetched.bytes),
        Err(error) => error,
    };
    let reason = why_unfetched(&error, max_bytes);
    match sources::then_of(error) {
        Then::Retry(_) if context.is_fetch_exhausted(requirement) => Err(Unfetched::Unusable(reason)),
        Then::Fail(_) => Err(Unfetched::Unusable(reason)),
        then => Err(Unfetched::Later(then)),
    }
}

/// Why the file of a part cannot be used, after the colon of a sentence.
fn why_unfetched(error: &SourceError, max_bytes: usize) -> String {
    match error {
        SourceError::Unreachable => "its address cannot be reached.".to_owned(),
        SourceError::RetryLater { .. } => "its server was busy or failing for too long.".to_owned(),
        SourceError::EndedEarly => "its file repeatedly ended early.".to_owned(),
        SourceError::TooSlow => "its file is sent too slowly.".to_owned(),
        SourceError::Empty => "its file is empty.".to_owned(),
        SourceError::TooLarge => format!("its file is larger than {} MiB.", max_bytes / (1024 * 1024)),
        SourceError::NotVideo(what) => format!("its address returned {what}."),
        SourceError::Refused(statuses) => format!(
            "its server answered with status {statuses}: the file does not exist, or its link is invalid or has expired."
        ),
        // Only of sources that are streamed.
        SourceError::Changed
        | SourceError::CannotResume
        | SourceError::NoLength
        | SourceError::SpoolFull
        | SourceError::SpoolTimeout
        | SourceError::SpoolFailed => format!("{error}."),
    }
}

/// A text track that is not made: a warning, or the end of the job.
fn give_up(configuring: Configuring, track: &TextTrack, reason: &str) -> StepOutcome {
    let message = format!("The text track {track} could not be made: {reason}");
    match track.requirement {
        Requirement::Optional => {
            let patch = JobPatch { warnings: vec![message], ..JobPatch::default() };
            done(configuring).with(patch)
        }
        Requirement::Required => {
            let failed = configuring.kept_closed(failure(FailureCode::TextTrackFailed, message));
            StepOutcome::advance(JobState::Failed(failed))
        }
    }
}

pub(super) fn done(configuring: Configuring) -> StepOutcome {
    StepOutcome::advance(JobState::Configuring(configuring.part_done()))
}

/// Waits until a request whose outcome is unknown has certainly ended.
pub(super) fn wait_until(
    context: &StepContext<'_>,
    configuring: Configuring,
    lookup_at: Timestamp,
) -> StepOutcome {
    let request = UniqueRequest::Unconfirmed { lookup_at };
    stay(Configuring { request, ..configuring }, context.wait_for_lookup(lookup_at))
}

pub(super) fn stay(configuring: Configuring, then: Then) -> StepOutcome {
    StepOutcome::stay(JobState::Configuring(configuring), then)
}
