//! The newest videos of a connection's account, listed once for all jobs that need them at the same time.

use std::sync::{Arc, MutexGuard, PoisonError};

use domain::time::Timestamp;
use tokio::sync::Mutex;
use vimeo::VideoSummary;

use super::steps::{CALL_TIMEOUT, StepContext};

/// How much the clocks of Vimeo and of the nodes may differ, when videos are listed back to an instant.
const CLOCK_TOLERANCE_SECONDS: i64 = 600;
/// The most pages of a hundred videos that are read.
const PAGES_MAX: u32 = 50;

/// A list of videos, the newest first.
#[derive(Debug, Clone)]
struct Listing {
    /// When it was asked for.
    started_at: Timestamp,
    /// It has every video that was created since.
    since: Timestamp,
    videos: Arc<Vec<VideoSummary>>,
}

/// The last listing of a connection. It is locked while one is read, so that jobs that ask meanwhile wait for it and share
/// it.
#[derive(Debug, Default)]
pub(super) struct Listings {
    last: Mutex<Option<Listing>>,
    /// How far back the jobs need it that wait for it.
    wanted: std::sync::Mutex<Vec<Timestamp>>,
}

impl Listings {
    /// The videos that were created since then, as Vimeo listed them at `not_before` or later.
    pub(super) async fn newest(
        &self,
        context: &StepContext<'_>,
        since: Timestamp,
        not_before: Timestamp,
    ) -> Result<Arc<Vec<VideoSummary>>, vimeo::Failure> {
        let _wanted = Wanted::new(&self.wanted, since);
        let mut last = self.last.lock().await;
        if let Some(listing) = last.as_ref().filter(|listing| listing.covers(since, not_before)) {
            return Ok(listing.videos.clone());
        }
        let started_at = context.now();
        let since = lock(&self.wanted).iter().copied().min().unwrap_or(since);
        let oldest = since.plus_seconds(-CLOCK_TOLERANCE_SECONDS);
        let mut videos = Vec::new();
        for page in 1..=PAGES_MAX {
            let listed = context.prepared.session.list_newest_videos(page, CALL_TIMEOUT).await?;
            let is_past = is_past(&listed.videos, oldest);
            videos.extend(listed.videos);
            if is_past || listed.is_last {
                break;
            }
        }
        let videos = Arc::new(videos);
        *last = Some(Listing { started_at, since, videos: videos.clone() });
        Ok(videos)
    }
}

/// A job that waits for a listing, until it is dropped.
struct Wanted<'a> {
    wanted: &'a std::sync::Mutex<Vec<Timestamp>>,
    since: Timestamp,
}

impl<'a> Wanted<'a> {
    fn new(wanted: &'a std::sync::Mutex<Vec<Timestamp>>, since: Timestamp) -> Self {
        lock(wanted).push(since);
        Self { wanted, since }
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        let mut wanted = lock(self.wanted);
        if let Some(place) = wanted.iter().position(|since| *since == self.since) {
            wanted.swap_remove(place);
        }
    }
}

fn lock(wanted: &std::sync::Mutex<Vec<Timestamp>>) -> MutexGuard<'_, Vec<Timestamp>> {
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Listing {
    fn covers(&self, since: Timestamp, not_before: Timestamp) -> bool {
        self.started_at >= not_before && self.since <= since
    }
}

/// Whether a list of the newest videos has reached those that are older than this.
fn is_past(videos: &[VideoSummary], oldest: Timestamp) -> bool {
    videos.iter().any(|video| video.created_at.is_some_and(|created_at| created_at < oldest))
}

#[cfg(test)]
mod tests {
    use domain::video::VideoNumber;
    use vimeo::UploadStatus;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn a_listing_is_shared_by_those_that_it_is_new_and_long_enough_for() {
        let listing = Listing { started_at: at(100), since: at(50), videos: Arc::default() };
        assert!(listing.covers(at(50), at(100)));
        assert!(listing.covers(at(70), at(90)));
        assert!(!listing.covers(at(49), at(90)), "it does not go back far enough");
        assert!(!listing.covers(at(50), at(101)), "it was asked for too early");
    }

    #[test]
    fn a_listing_goes_back_as_far_as_any_waiting_job_needs() {
        let wanted = std::sync::Mutex::default();
        let first = Wanted::new(&wanted, at(7));
        let second = Wanted::new(&wanted, at(5));
        let same = Wanted::new(&wanted, at(5));
        drop(second);
        assert_eq!(lock(&wanted).iter().min(), Some(&at(5)));
        drop(same);
        assert_eq!(lock(&wanted).as_slice(), [at(7)]);
        drop(first);
        assert!(lock(&wanted).is_empty());
    }

    #[test]
    fn a_list_ends_behind_the_first_older_video() {
        let video = |created_at| VideoSummary {
            video: VideoNumber::from_stored(1),
            name: String::new(),
            created_at,
            upload: UploadStatus::Complete,
        };
        assert!(!is_past(&[], at(10)));
        assert!(!is_past(&[video(Some(at(10))), video(None)], at(10)));
        assert!(is_past(&[video(Some(at(11))), video(Some(at(9)))], at(10)));
    }
}
