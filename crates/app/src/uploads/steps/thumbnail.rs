//! The thumbnail of a video, created once the video can be played: a frame of it, or an image from a URL.
//!
//! The video is the upload's own: a picture that it gets after the request is the one that was requested. The highest number
//! before the request is stored with it.

use domain::job::{JobState, Transcoding, UniqueRequest};
use domain::moment::Moment;
use domain::publication::{Requirement, THUMBNAIL_MAX_BYTES, Thumbnail};
use domain::secret::Secret;
use domain::time::Timestamp;
use domain::video::{PictureNumber, VideoNumber};
use egress::image_format;
use std::time::Duration;
use vimeo::{CreatedFile, PictureSummary};

use super::parts::{PartFile, Unfetched, fetch};
use super::unique::{Next, Ours, retry_part};
use super::{CALL_TIMEOUT, Memory, StepContext};
use crate::uploads::outcome::{JobPatch, StepOutcome, Then};

/// What a worker remembers of the thumbnail that it is about to request.
#[derive(Debug)]
pub(in crate::uploads) enum ThumbnailToCreate {
    At(Moment),
    Image(PartFile),
}

/// What became of a thumbnail.
pub(super) enum Made {
    /// It is made, or is left out with these warnings.
    Done(JobPatch),
    /// Not yet.
    NotYet(StepOutcome),
}

/// Creates the thumbnail, if one is requested.
pub(super) async fn make_thumbnail(
    context: &StepContext<'_>,
    memory: &mut Memory,
    transcoding: Transcoding,
) -> Made {
    let publication = &context.prepared.request.settings.publication;
    let Some(thumbnail) = &publication.thumbnail else { return Made::Done(JobPatch::default()) };
    let video = transcoding.target.video();
    match context.next_of(transcoding.request, Ours::of(memory.thumbnail.as_ref())) {
        Next::Wait(lookup_at) => wait_until(context, transcoding, lookup_at),
        Next::Prepare => prepare(context, memory, transcoding, thumbnail).await,
        Next::Send => match memory.thumbnail.take() {
            Some(ThumbnailToCreate::At(moment)) => create_frame(context, transcoding, moment).await,
            Some(ThumbnailToCreate::Image(file)) => create_image(context, transcoding, file).await,
            None => Made::NotYet(stay(transcoding, retry_part("a thumbnail"))),
        },
        Next::LookUp => look_up(context, transcoding, (video, thumbnail)).await,
    }
}

/// Fetches the image, and has the request stored.
async fn prepare(
    context: &StepContext<'_>,
    memory: &mut Memory,
    transcoding: Transcoding,
    thumbnail: &Thumbnail,
) -> Made {
    let to_create = match thumbnail {
        Thumbnail::At(moment) => ThumbnailToCreate::At(*moment),
        Thumbnail::Image(url) => match fetch_image(context, url).await {
            Ok(file) => ThumbnailToCreate::Image(file),
            Err(Unfetched::Later(then)) => return Made::NotYet(stay(transcoding, then)),
            Err(Unfetched::Unusable(reason)) => return left_out(&reason),
        },
    };
    let listed = context.prepared.session.list_pictures(transcoding.target.video(), CALL_TIMEOUT).await;
    let newest_picture = match listed {
        Ok(listed) => listed.iter().map(|picture| picture.number.as_i64()).max(),
        Err(failed) => return refused_or_later(context, transcoding, failed),
    };
    memory.thumbnail = Some(to_create);
    let sent = Transcoding { request: UniqueRequest::Sent, newest_picture, ..transcoding };
    Made::NotYet(StepOutcome::enter(JobState::Transcoding(sent)))
}

async fn create_frame(context: &StepContext<'_>, transcoding: Transcoding, moment: Moment) -> Made {
    let moment = Duration::from_millis(moment.as_millis());
    let video = transcoding.target.video();
    match context.prepared.session.create_picture_at(video, moment, CALL_TIMEOUT).await {
        Ok(_) => Made::Done(JobPatch::default()),
        Err(failed) => not_created(context, transcoding, failed),
    }
}

async fn create_image(context: &StepContext<'_>, transcoding: Transcoding, file: PartFile) -> Made {
    let session = &context.prepared.session;
    let created = session.create_picture(transcoding.target.video(), CALL_TIMEOUT).await;
    let CreatedFile { number, link } = match created {
        Ok(created) => created,
        Err(failed) => return not_created(context, transcoding, failed),
    };
    let PartFile { bytes, media_type } = file;
    match context.uploads.client.put_file(&link, media_type, bytes, CALL_TIMEOUT).await {
        Ok(()) => {}
        Err(vimeo::Failure::Refused(said)) => {
            // An empty picture is of no use; one that cannot be deleted stays inactive.
            let _ = session.delete_picture(number, CALL_TIMEOUT).await;
            return left_out(&format!("Vimeo refused the image ({said})."));
        }
        // The host of the image says nothing about the video.
        Err(_) => {
            let request = UniqueRequest::Unconfirmed { lookup_at: context.now() };
            let then = retry_part("the image of a thumbnail");
            return Made::NotYet(stay(Transcoding { request, ..transcoding }, then));
        }
    }
    activate(context, transcoding, number).await
}

/// Makes a picture the thumbnail. Doing so twice changes nothing.
async fn activate(context: &StepContext<'_>, transcoding: Transcoding, picture: PictureNumber) -> Made {
    match context.prepared.session.activate_picture(picture, CALL_TIMEOUT).await {
        Ok(()) => Made::Done(JobPatch::default()),
        Err(failed) => {
            let request = UniqueRequest::Unconfirmed { lookup_at: context.now() };
            refused_or_later(context, Transcoding { request, ..transcoding }, failed)
        }
    }
}

/// Looks for what an earlier request created. A frame is complete; of an image nothing says whether it arrived, so that an
/// image is deleted and made again.
async fn look_up(
    context: &StepContext<'_>,
    transcoding: Transcoding,
    (video, thumbnail): (VideoNumber, &Thumbnail),
) -> Made {
    let session = &context.prepared.session;
    let listed = match session.list_pictures(video, CALL_TIMEOUT).await {
        Ok(listed) => listed,
        Err(failed) => return refused_or_later(context, transcoding, failed),
    };
    let ours = ours_of(listed, transcoding.newest_picture);
    let not_sent = Transcoding { request: UniqueRequest::NotSent, newest_picture: None, ..transcoding };
    let kept = match thumbnail {
        Thumbnail::At(_) => ours.first(),
        Thumbnail::Image(_) => None,
    };
    for picture in ours.iter().filter(|picture| Some(picture.number) != kept.map(|kept| kept.number)) {
        if let Err(failed) = session.delete_picture(picture.number, CALL_TIMEOUT).await
            && let Err(then) = context.refusal_of_part(failed)
        {
            return Made::NotYet(stay(transcoding, then));
        }
    }
    match kept {
        Some(picture) if picture.is_active => Made::Done(JobPatch::default()),
        Some(picture) => activate(context, transcoding, picture.number).await,
        None if context.is_part_exhausted() => left_out("Vimeo repeatedly did not confirm it."),
        None => Made::NotYet(stay(not_sent, retry_part("a thumbnail"))),
    }
}

/// The pictures that were added after a request, the lowest number first. Those that Vimeo makes itself are not among them.
fn ours_of(listed: Vec<PictureSummary>, newest_before: Option<i64>) -> Vec<PictureSummary> {
    let is_newer =
        |picture: &PictureSummary| newest_before.is_none_or(|newest| picture.number.as_i64() > newest);
    let mut ours: Vec<_> =
        listed.into_iter().filter(|picture| !picture.is_default && is_newer(picture)).collect();
    ours.sort_by_key(|picture| picture.number);
    ours
}

fn not_created(context: &StepContext<'_>, transcoding: Transcoding, failed: vimeo::Failure) -> Made {
    if let vimeo::Failure::Unknown(error) = failed {
        tracing::info!(job = %context.job.id, %error, "whether Vimeo created a thumbnail is unknown");
        return wait_until(context, transcoding, context.lookup_at());
    }
    let not_sent = Transcoding { request: UniqueRequest::NotSent, newest_picture: None, ..transcoding };
    refused_or_later(context, not_sent, failed)
}

fn refused_or_later(context: &StepContext<'_>, transcoding: Transcoding, failed: vimeo::Failure) -> Made {
    match context.refusal_of_part(failed) {
        Ok(said) => left_out(&format!("Vimeo refused it: {said}")),
        Err(then) => Made::NotYet(stay(transcoding, then)),
    }
}

fn left_out(reason: &str) -> Made {
    let warning = format!("The thumbnail could not be created: {reason}");
    Made::Done(JobPatch { warnings: vec![warning], ..JobPatch::default() })
}

async fn fetch_image(context: &StepContext<'_>, url: &Secret) -> Result<PartFile, Unfetched> {
    let bytes = fetch(context, url, THUMBNAIL_MAX_BYTES, Requirement::Optional).await?;
    let format = image_format(&bytes)
        .map_err(|error| Unfetched::Unusable(format!("its file is not a supported image: {error}.")))?;
    Ok(PartFile { bytes, media_type: format.media_type() })
}

/// Waits until a request whose outcome is unknown has certainly ended.
fn wait_until(context: &StepContext<'_>, transcoding: Transcoding, lookup_at: Timestamp) -> Made {
    let request = UniqueRequest::Unconfirmed { lookup_at };
    Made::NotYet(stay(Transcoding { request, ..transcoding }, context.wait_for_lookup(lookup_at)))
}

fn stay(transcoding: Transcoding, then: Then) -> StepOutcome {
    StepOutcome::stay(JobState::Transcoding(transcoding), then)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pictures_after_the_request_that_vimeo_did_not_make_are_ours() {
        let picture = |number, is_default| PictureSummary {
            number: PictureNumber::from_stored(VideoNumber::from_stored(1), number),
            is_active: false,
            is_default,
        };
        let listed = vec![picture(9, false), picture(3, false), picture(8, true), picture(5, false)];
        let numbers = |newest| {
            let ours = ours_of(listed.clone(), newest);
            ours.iter().map(|picture| picture.number.as_i64()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(Some(3)), [5, 9]);
        assert_eq!(numbers(None), [3, 5, 9]);
        assert_eq!(numbers(Some(9)), Vec::<i64>::new());
    }
}
