//! Placeholders of a job that no answer confirmed: found by their name, among the newest videos of the account.

use domain::job::{JobId, Target};
use domain::time::Timestamp;
use vimeo::UploadStatus;

use super::{CALL_TIMEOUT, StepContext};
use crate::uploads::failures::{then_of, then_of_whole};
use crate::uploads::outcome::{JobPatch, Then};
use domain::job::FailureCode;

/// Precedes the job's identifier in the name of a placeholder.
const NAME_PREFIX: &str = "vimeo-connections upload ";

/// The name of a job's placeholder at Vimeo.
pub(in crate::uploads) fn placeholder_name(id: &JobId) -> String {
    format!("{NAME_PREFIX}{id}")
}

/// What became of a placeholder that was to be deleted.
pub(super) enum Deleted {
    /// It is gone, or was left because Vimeo refuses to delete it.
    Yes,
    /// All of its bytes are there: it was not deleted.
    Whole,
    /// It has to be tried again.
    NotYet(Then),
}

impl StepContext<'_> {
    /// The placeholders of the job at Vimeo, the lowest number first, except `known` and those that could not be deleted.
    /// `since`: the first create that may have made one.
    pub(super) async fn find_placeholders(
        &self,
        known: Option<Target>,
        since: Timestamp,
        not_before: Timestamp,
    ) -> Result<Vec<Target>, vimeo::Failure> {
        let mut found: Vec<_> = if let Some(video) = self.job.replaces {
            self.find_versions(video).await?
        } else {
            let name = placeholder_name(&self.job.id);
            let newest = self.prepared.shared.listings.newest(self, since, not_before).await?;
            let ours = newest.iter().filter(|video| video.name == name);
            ours.map(|video| Target::Video(video.video)).collect()
        };
        found.retain(|target| Some(*target) != known && !self.job.undeleted.contains(target));
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Deletes a placeholder unless all of its bytes are there, as Vimeo says. One that cannot be looked up is left; one that
    /// Vimeo does not find needs no deletion.
    pub(super) async fn delete_unless_whole(&self, target: Target, patch: &mut JobPatch) -> Deleted {
        match self.find_target(target).await {
            Ok(Some(found)) if found.upload == UploadStatus::Complete => Deleted::Whole,
            Ok(Some(_)) => {
                tracing::info!(job = %self.job.id, %target, "a placeholder of an upload is deleted");
                self.delete(target, patch).await
            }
            Ok(None) => Deleted::Yes,
            Err(vimeo::Failure::LacksScope(_) | vimeo::Failure::Refused(_) | vimeo::Failure::Quota(_)) => {
                patch.undeleted.push(target);
                Deleted::Yes
            }
            Err(failed) => Deleted::NotYet(then_of(failed, FailureCode::VimeoRefused, self.now())),
        }
    }

    /// Deletes a target. If Vimeo refuses, it is left, and named.
    pub(super) async fn delete(&self, target: Target, patch: &mut JobPatch) -> Deleted {
        match self.delete_target(target).await {
            Ok(()) | Err(vimeo::Failure::NotFound) => self.check_deleted(target, patch).await,
            Err(vimeo::Failure::LacksScope(_) | vimeo::Failure::Refused(_) | vimeo::Failure::Quota(_)) => {
                patch.undeleted.push(target);
                Deleted::Yes
            }
            Err(failed) => Deleted::NotYet(then_of(failed, FailureCode::VimeoRefused, self.now())),
        }
    }

    /// Vimeo does not delete the version that plays, and its answer may be that of one that does not exist.
    async fn check_deleted(&self, target: Target, patch: &mut JobPatch) -> Deleted {
        let Target::Version(version) = target else { return Deleted::Yes };
        match self.prepared.session.find_version(version, CALL_TIMEOUT).await {
            Ok(Some(found)) if found.is_active == Some(true) => {
                patch.undeleted.push(target);
                Deleted::Yes
            }
            Ok(_) => Deleted::Yes,
            Err(failed) => Deleted::NotYet(then_of(failed, FailureCode::VimeoRefused, self.now())),
        }
    }

    /// Deletes other placeholders of this job, which an unconfirmed create may have left. One whose bytes are all there is
    /// kept and named: which of the two is in use cannot be known here. Nothing is asked if every create was confirmed.
    pub(super) async fn remove_duplicates(&self, ours: Target, patch: &mut JobPatch) -> Result<(), Then> {
        let Some(since) = self.job.unconfirmed_since else { return Ok(()) };
        let found = self.find_placeholders(Some(ours), since, self.job.updated_at).await;
        for duplicate in found.map_err(|failed| then_of_whole(failed, self.now()))? {
            match self.delete_unless_whole(duplicate, patch).await {
                Deleted::Yes => {}
                Deleted::Whole => patch.warnings.push(format!(
                    "{duplicate} is a second copy of the video; delete it if it is not needed."
                )),
                Deleted::NotYet(then) => return Err(then),
            }
        }
        Ok(())
    }
}
