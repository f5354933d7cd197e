//! What an upload creates at Vimeo, whether a video or a version of one: looked up, searched for and deleted.

use domain::job::Target;
use domain::video::VideoNumber;
use vimeo::{UploadLink, UploadStatus};

use super::{CALL_TIMEOUT, StepContext, placeholder_name};
use crate::uploads::failures::{failure, then_of};
use crate::uploads::outcome::Then;
use domain::job::FailureCode;

/// A video, or a version, that bytes are sent to.
pub(super) struct FoundTarget {
    pub(super) upload: UploadStatus,
    /// Where its bytes are sent, if it takes some.
    pub(super) link: Option<UploadLink>,
}

impl StepContext<'_> {
    /// What Vimeo says of a target; `None` if it does not exist.
    pub(super) async fn find_target(&self, target: Target) -> Result<Option<FoundTarget>, vimeo::Failure> {
        let session = &self.prepared.session;
        Ok(match target {
            Target::Video(video) => {
                let found = session.find_video(video, CALL_TIMEOUT).await?;
                found.map(|found| FoundTarget { upload: found.upload, link: found.upload_link })
            }
            Target::Version(version) => {
                let found = session.find_version(version, CALL_TIMEOUT).await?;
                found.map(|found| FoundTarget { upload: found.upload, link: found.upload_link })
            }
        })
    }

    /// Deletes a target. The video of a version is never deleted.
    pub(in crate::uploads) async fn delete_target(&self, target: Target) -> Result<(), vimeo::Failure> {
        match target {
            Target::Video(video) => self.prepared.session.delete_video(video, CALL_TIMEOUT).await,
            Target::Version(version) => self.prepared.session.delete_version(version, CALL_TIMEOUT).await,
        }
    }

    /// The versions of a video that this job created, the lowest number first.
    pub(super) async fn find_versions(&self, video: VideoNumber) -> Result<Vec<Target>, vimeo::Failure> {
        let name = placeholder_name(&self.job.id);
        let listed = self.prepared.session.list_versions(video, CALL_TIMEOUT).await?;
        let ours = listed.into_iter().filter(|version| version.file_name.as_deref() == Some(&*name));
        let mut found: Vec<_> = ours.map(|version| Target::Version(version.number)).collect();
        found.sort_unstable();
        Ok(found)
    }

    /// Whether a list at Vimeo still has what the job created.
    pub(in crate::uploads) async fn is_listed(&self, target: Target) -> Result<bool, vimeo::Failure> {
        match target {
            Target::Video(video) => {
                let listings = &self.prepared.shared.listings;
                let newest = listings.newest(self, self.job.created_at, self.now()).await?;
                Ok(newest.iter().any(|listed| listed.video == video))
            }
            Target::Version(version) => {
                match self.prepared.session.list_versions(version.video, CALL_TIMEOUT).await {
                    Ok(listed) => Ok(listed.iter().any(|listed| listed.number == version)),
                    Err(vimeo::Failure::NotFound) => Ok(false),
                    Err(failed) => Err(failed),
                }
            }
        }
    }

    /// Checks that the file of a video may be replaced: it exists, and belongs to the account of the connection.
    pub(super) async fn check_replaced(&self, video: VideoNumber) -> Result<(), Then> {
        let session = &self.prepared.session;
        let then = |failed| then_of(failed, FailureCode::VimeoRefused, self.now());
        let Some(found) = session.find_owner(video, CALL_TIMEOUT).await.map_err(then)? else {
            let message =
                format!("The video {video}, whose file is to be replaced, does not exist at Vimeo.");
            return Err(Then::Fail(failure(FailureCode::VideoNotFound, message)));
        };
        let own = session.own_uri(CALL_TIMEOUT).await.map_err(then)?;
        if found.owner_uri == own {
            return Ok(());
        }
        let message = format!(
            "The video {video} belongs to another Vimeo account than the connection: only its owner can replace its file."
        );
        Err(Then::Fail(failure(FailureCode::VideoNotOwned, message)))
    }
}
