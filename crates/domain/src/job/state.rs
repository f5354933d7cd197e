//! The states of a job and the transitions between them.

use std::cmp::Ordering;
use std::time::Duration;

use thiserror::Error;

use super::{Failure, PROBES, RESTARTS_MAX, Target, UniqueRequest};
use crate::time::Timestamp;
use crate::video::VideoNumber;

/// The state of a job, with its data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Nothing of it exists at Vimeo, except perhaps an orphan that is deleted next.
    Queued(Queued),
    /// A placeholder is requested, and may exist.
    Creating(Creating),
    /// The placeholder exists, and bytes are sent to it.
    Uploading(Uploading),
    /// All bytes are at Vimeo, and the settings are applied.
    Configuring(Configuring),
    /// Vimeo transcodes the video.
    Transcoding(Transcoding),
    /// Everything is done, and the video stays closed until its time.
    Scheduled(Scheduled),
    /// The video can be played, and its privacy is applied.
    Publishing(Publishing),
    /// The upload will not complete; what it created at Vimeo is deleted.
    CleaningUp(CleaningUp),
    /// The video is at Vimeo as requested.
    Completed(Completed),
    /// The upload failed.
    Failed(Failed),
    /// The upload was cancelled.
    Cancelled(Cancelled),
}

/// Waits for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queued {
    /// How many times the upload restarted.
    pub restarts: u32,
    /// A placeholder that can no longer be used and is deleted next.
    pub orphan: Option<Target>,
}

/// A placeholder is requested, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Creating {
    /// The request to Vimeo ends before this instant.
    pub deadline_at: Timestamp,
    /// How many times the newest videos were searched without finding the placeholder.
    pub probes: u32,
    /// How many times the upload restarted.
    pub restarts: u32,
    /// An earlier placeholder that can no longer be used: not the one that is searched for.
    pub orphan: Option<Target>,
}

/// The next state after a search that did not find the placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeMissed {
    /// Another search, later.
    Again(Creating),
    /// There is no placeholder.
    Absent(Queued),
}

/// Bytes are sent to a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uploading {
    /// The placeholder.
    pub target: Target,
    /// The size in bytes.
    pub size: u64,
    /// Bytes that were sent, as far as is known.
    pub sent: u64,
    /// How many times the upload restarted.
    pub restarts: u32,
}

/// Vimeo reports more bytes than the file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Vimeo reports {reported} bytes of a file of {size}")]
pub struct OffsetOutOfRange {
    /// The reported offset.
    pub reported: u64,
    /// The size in bytes.
    pub size: u64,
}

/// The progress of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes have to be sent.
    More(Uploading),
    /// Vimeo has all bytes.
    Whole(Configuring),
}

/// The settings are applied, and then text tracks and chapters are created, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Configuring {
    /// The video, or the version.
    pub target: Target,
    /// Its size in bytes.
    pub size: u64,
    /// How many parts are done: the settings are the first, then each text track is one, and all chapters are one.
    pub parts_done: u32,
    /// The request that creates the current part.
    pub request: UniqueRequest,
}

/// Vimeo transcodes the video. Once it can be played, its thumbnail is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcoding {
    /// The video, or the version.
    pub target: Target,
    /// Its size in bytes.
    pub size: u64,
    /// The request that creates the thumbnail.
    pub request: UniqueRequest,
    /// The highest number of a picture that the video had before that request.
    pub newest_picture: Option<i64>,
}

/// Everything is done but opening the video to its viewers, which is due at the time that the job names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheduled {
    /// The video.
    pub video: VideoNumber,
    /// Its size in bytes.
    pub size: u64,
}

/// The video's privacy is applied, which opens it to its viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publishing {
    /// The video.
    pub video: VideoNumber,
    /// Its size in bytes.
    pub size: u64,
}

/// Deletes what the upload created at Vimeo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CleaningUp {
    /// How the job ends afterwards.
    pub ending: Ending,
    /// A create whose outcome is unknown.
    pub unconfirmed: Option<Creating>,
    /// The placeholder, if known.
    pub target: Option<Target>,
    /// The size in bytes, if known.
    pub size: Option<u64>,
}

/// How a job ends without completing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// With a failure.
    Failed(Failure),
    /// Cancelled.
    Cancelled,
}

/// The video is at Vimeo as requested.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The video.
    pub video: VideoNumber,
    /// Its size in bytes.
    pub size: u64,
    /// Its page, exactly as Vimeo returned it.
    pub link: String,
    /// Its player's page, exactly as Vimeo returned it.
    pub player: Option<String>,
}

/// The upload failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// The video, or the version, that is left at Vimeo.
    pub target: Option<Target>,
    /// Why that was kept; `None`: it was to be deleted.
    pub kept: Option<Kept>,
    /// The size in bytes, if known.
    pub size: Option<u64>,
}

/// How the video of a failed upload is kept at Vimeo, because all of its bytes may be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Closed: only its owner can watch it.
    Closed,
    /// Perhaps open already.
    AsIs,
}

/// The upload was cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// The video, or the version, that is left at Vimeo.
    pub target: Option<Target>,
    /// The size in bytes, if known.
    pub size: Option<u64>,
}

impl Queued {
    /// A placeholder will be requested until `deadline_at`.
    pub fn begin_creating(self, deadline_at: Timestamp) -> Creating {
        Creating { deadline_at, probes: 0, restarts: self.restarts, orphan: self.orphan }
    }

    /// The orphan is deleted.
    #[must_use]
    pub fn without_orphan(self) -> Self {
        Self { orphan: None, ..self }
    }
}

impl Creating {
    /// Vimeo created a placeholder, or it was found.
    pub fn created(self, target: impl Into<Target>, size: u64) -> Uploading {
        Uploading { target: target.into(), size, sent: 0, restarts: self.restarts }
    }

    /// Vimeo certainly created no placeholder.
    pub fn not_created(self) -> Queued {
        Queued { restarts: self.restarts, orphan: self.orphan }
    }

    /// The newest videos were searched, and the placeholder was not among them.
    pub fn probe_missed(self) -> ProbeMissed {
        let probes = self.probes + 1;
        if probes >= PROBES {
            ProbeMissed::Absent(self.not_created())
        } else {
            ProbeMissed::Again(Self { probes, ..self })
        }
    }

    /// When the newest videos are searched next: `delay` after the request has certainly ended; the searches are spread
    /// over `span`.
    pub fn next_probe_at(self, delay: Duration, span: Duration) -> Timestamp {
        let pause = span / (PROBES - 1);
        self.deadline_at.plus(delay).plus(pause * self.probes)
    }
}

impl Uploading {
    /// Vimeo reports that it has `reported` bytes.
    pub fn acknowledge(self, reported: u64) -> Result<Progress, OffsetOutOfRange> {
        match reported.cmp(&self.size) {
            Ordering::Less => Ok(Progress::More(Self { sent: reported, ..self })),
            Ordering::Equal => Ok(Progress::Whole(self.all_sent())),
            Ordering::Greater => Err(OffsetOutOfRange { reported, size: self.size }),
        }
    }

    /// Vimeo has all bytes.
    pub fn all_sent(self) -> Configuring {
        Configuring::new(self.target, self.size)
    }

    /// The placeholder takes no more bytes, and another one is needed. `None` after too many restarts.
    pub fn restart(self) -> Option<Queued> {
        let restarts = self.restarts + 1;
        (restarts <= RESTARTS_MAX).then_some(Queued { restarts, orphan: Some(self.target) })
    }

    /// Whether every byte was sent, so that Vimeo may have all of them, whatever it answers next.
    pub fn may_be_whole(&self) -> bool {
        self.sent >= self.size
    }
}

impl Configuring {
    /// Nothing is set yet.
    pub fn new(target: Target, size: u64) -> Self {
        Self { target, size, parts_done: 0, request: UniqueRequest::NotSent }
    }

    /// The current part is done.
    #[must_use]
    pub fn part_done(self) -> Self {
        Self { parts_done: self.parts_done + 1, request: UniqueRequest::NotSent, ..self }
    }

    /// The settings and parts that do not need a playable video are done.
    pub fn configured(self) -> Transcoding {
        let Self { target, size, .. } = self;
        Transcoding { target, size, request: UniqueRequest::NotSent, newest_picture: None }
    }

    /// A setting or part without which the video must not be opened was refused: it is kept, closed.
    pub fn kept_closed(self, failure: Failure) -> Failed {
        kept(self.target, self.size, Kept::Closed, failure)
    }
}

impl Transcoding {
    /// The video can be played, and may be opened now.
    pub fn transcoded(self, video: VideoNumber) -> Publishing {
        Publishing { video, size: self.size }
    }

    /// The video can be played, and is opened later.
    pub fn scheduled(self, video: VideoNumber) -> Scheduled {
        Scheduled { video, size: self.size }
    }

    /// The version is what the video plays now.
    pub fn replaced(self, link: String, player: Option<String>) -> Completed {
        Completed { video: self.target.video(), size: self.size, link, player }
    }

    /// The video never became playable: it is kept, closed.
    pub fn kept_closed(self, failure: Failure) -> Failed {
        kept(self.target, self.size, Kept::Closed, failure)
    }
}

impl Scheduled {
    /// Its time has come.
    pub fn due(self) -> Publishing {
        Publishing { video: self.video, size: self.size }
    }
}

impl Publishing {
    /// The video can be played by its viewers.
    pub fn published(self, link: String, player: Option<String>) -> Completed {
        Completed { video: self.video, size: self.size, link, player }
    }

    /// The video cannot be opened as requested: it is kept, closed.
    pub fn kept_closed(self, failure: Failure) -> Failed {
        kept(self.video.into(), self.size, Kept::Closed, failure)
    }

    /// The video was opened, but not as requested.
    pub fn kept_as_is(self, failure: Failure) -> Failed {
        kept(self.video.into(), self.size, Kept::AsIs, failure)
    }
}

fn kept(target: Target, size: u64, kept: Kept, failure: Failure) -> Failed {
    Failed { failure, target: Some(target), kept: Some(kept), size: Some(size) }
}

impl CleaningUp {
    /// Nothing of the upload is left at Vimeo, except `left`.
    pub fn ended(self, left: Option<Target>) -> JobState {
        match self.ending {
            Ending::Failed(failure) => {
                JobState::Failed(Failed { failure, target: left, kept: None, size: self.size })
            }
            Ending::Cancelled => JobState::Cancelled(Cancelled { target: left, size: self.size }),
        }
    }
}

impl JobState {
    /// Its name in the store and in the contract.
    pub fn as_str(&self) -> &'static str {
        self.phase().as_str()
    }

    /// Whether it will never change again.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Failed(_) | Self::Cancelled(_))
    }
}
