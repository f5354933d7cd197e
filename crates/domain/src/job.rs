//! An upload as a job: a machine of states that own their data, and transitions that consume them.
//!
//! accepted → creating → sending → finishing → transcoding → completed; from each of them, through abandoning, to failed
//! or cancelled. Each state is durable before the next one begins, so that whoever finds the job after a crash knows
//! what may have happened at Vimeo.

mod ending;
mod failure;
mod progress;
mod source;
#[cfg(test)]
mod tests;
mod troubles;

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

use crate::id::{AccountId, ConnectionId};
use crate::time::Timestamp;
use crate::video::VideoNumber;

pub use failure::{Failure, FailureCode};
pub use progress::JobStatus;
pub use source::{Fetch, SourceFacts};
pub use troubles::{Refusal, Troubles, Verdict};

/// How often a job may begin anew with another placeholder.
pub const RESTARTS_MAX: u32 = 3;
/// How often the newest videos are looked at after a creation whose outcome is unknown.
pub const LOOKS: u32 = 3;

/// Identifies a job: a UUID of version 7, so that later ones sort behind earlier ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// A new one out of the time and 10 random bytes.
    pub fn make(at: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// Reads what a client sent; `None` for what the service cannot have made.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = Uuid::try_parse(text).ok()?.to_string();
        (parsed == text).then_some(Self(parsed))
    }

    /// An identifier as the store keeps it.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The identifier as text: 36 characters, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where the bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// The service fetches them from an address.
    Url,
    /// The client sends them to Vimeo itself.
    Client,
}

impl SourceKind {
    /// Its name in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Client => "client",
        }
    }

    /// Reads a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Url, Self::Client].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its identifier.
    pub id: JobId,
    /// Whose it is.
    pub account_id: AccountId,
    /// Through which connection it goes.
    pub connection_id: ConnectionId,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When its state changed last.
    pub updated_at: Timestamp,
    /// 1 at first, one more with every change of state.
    pub version: u64,
    /// Where the bytes come from.
    pub source: SourceKind,
    /// What is known of them; of a client's source from the beginning.
    pub facts: Option<SourceFacts>,
    /// How far it is.
    pub state: JobState,
    /// Bytes per second that were sent lately.
    pub bytes_per_second: Option<u64>,
    /// What went less well than asked for, in sentences.
    pub warnings: Vec<String>,
    /// What holds it up.
    pub troubles: Troubles,
    /// Who is told of its end.
    pub webhook: Webhook,
}

/// How far the telling of a job's end is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Webhook {
    /// Nobody wants to be told.
    None,
    /// Somebody does; so many attempts were made.
    Waiting {
        /// Attempts that failed.
        attempts: u32,
    },
    /// They were told.
    Delivered,
    /// They could not be told within a day.
    GivenUp,
}

impl Webhook {
    /// Its name in the store, and the attempts.
    pub fn to_stored(self) -> (&'static str, u32) {
        match self {
            Self::None => ("none", 0),
            Self::Waiting { attempts } => ("waiting", attempts),
            Self::Delivered => ("delivered", 0),
            Self::GivenUp => ("given-up", 0),
        }
    }

    /// Reads what is stored.
    pub fn from_stored(name: &str, attempts: u32) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "waiting" => Some(Self::Waiting { attempts }),
            "delivered" => Some(Self::Delivered),
            "given-up" => Some(Self::GivenUp),
            _ => None,
        }
    }
}

/// How far a job is. Each state has its own data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobState {
    /// Nothing was done at Vimeo; or it was undone.
    Accepted(Accepted),
    /// A placeholder is being made, and may be there.
    Creating(Creating),
    /// The placeholder is there, and bytes go to it.
    Sending(Sending),
    /// All bytes are there; settings are made.
    Finishing(Finishing),
    /// Vimeo makes the video playable.
    Transcoding(Transcoding),
    /// It will not be completed; what it made at Vimeo is taken away.
    Abandoning(Abandoning),
    /// The video is there as it was asked for.
    Completed(Completed),
    /// It ended otherwise.
    Failed(Failed),
    /// It was not wanted any more.
    Cancelled(Cancelled),
}

/// Nothing is at Vimeo that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// How often it has begun anew.
    pub restarts: u32,
    /// A placeholder that can no longer be used, and is to be deleted.
    pub discarded: Option<VideoNumber>,
}

/// Vimeo is asked for a placeholder, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Creating {
    /// After this instant Vimeo is not asked any more by this attempt.
    pub deadline_at: Timestamp,
    /// How often the newest videos were looked at in vain.
    pub looks: u32,
    /// How often the job has begun anew.
    pub restarts: u32,
    /// A placeholder that can no longer be used: it is not the one that is looked for.
    pub discarded: Option<VideoNumber>,
}

/// What a look at the newest videos led to that found nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// To another look, later.
    Again(Creating),
    /// To the certainty that there is no placeholder.
    Nothing(Accepted),
}

/// Bytes go to a placeholder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sending {
    /// The placeholder.
    pub video: VideoNumber,
    /// How many bytes there are in all.
    pub size: u64,
    /// How many of them were sent, as far as is known.
    pub sent: u64,
    /// How often the job has begun anew.
    pub restarts: u32,
}

/// Vimeo says that it holds more bytes than there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Vimeo reports {reported} bytes of a file of {size}")]
pub struct OffsetOutOfRange {
    /// What it says.
    pub reported: u64,
    /// What there is.
    pub size: u64,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// There is more to send.
    More(Sending),
    /// Vimeo holds everything.
    Whole(Finishing),
}

/// The settings are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finishing {
    /// The video.
    pub video: VideoNumber,
    /// Its bytes.
    pub size: u64,
}

/// Vimeo makes the video playable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcoding {
    /// The video.
    pub video: VideoNumber,
    /// Its bytes.
    pub size: u64,
}

/// What it made at Vimeo is taken away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Abandoning {
    /// How it will have ended.
    pub end: End,
    /// A creation whose outcome is unknown.
    pub doubt: Option<Creating>,
    /// The placeholder, if it is known.
    pub video: Option<VideoNumber>,
    /// How many bytes there are, if that is known, and how many were sent.
    pub size: Option<u64>,
}

/// How an abandoned job will have ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By a failure.
    Failed(Failure),
    /// By somebody's wish.
    Cancelled,
}

/// The video is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completed {
    /// The video.
    pub video: VideoNumber,
    /// Its bytes.
    pub size: u64,
    /// Its page, exactly as Vimeo gives it.
    pub link: String,
    /// Its player's page, exactly as Vimeo gives it.
    pub player: Option<String>,
}

/// It failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// Why.
    pub failure: Failure,
    /// What is left of it at Vimeo.
    pub video: Option<VideoNumber>,
    /// How many bytes there were, if that was known.
    pub size: Option<u64>,
}

/// It was cancelled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancelled {
    /// What is left of it at Vimeo.
    pub video: Option<VideoNumber>,
    /// How many bytes there were, if that was known.
    pub size: Option<u64>,
}

impl Accepted {
    /// Vimeo will be asked for a placeholder, until `deadline_at`.
    pub fn begin_creating(self, deadline_at: Timestamp) -> Creating {
        Creating { deadline_at, looks: 0, restarts: self.restarts, discarded: self.discarded }
    }

    /// The placeholder that could not be used any more is deleted.
    #[must_use]
    pub fn without_discarded(self) -> Self {
        Self { discarded: None, ..self }
    }
}

impl Creating {
    /// Vimeo made a placeholder, or it was found.
    pub fn created(self, video: VideoNumber, size: u64) -> Sending {
        Sending { video, size, sent: 0, restarts: self.restarts }
    }

    /// Vimeo certainly made none.
    pub fn not_created(self) -> Accepted {
        Accepted { restarts: self.restarts, discarded: self.discarded }
    }

    /// The newest videos were looked at, and the placeholder was not among them.
    pub fn looked_in_vain(self) -> Looked {
        let looks = self.looks + 1;
        if looks >= LOOKS {
            Looked::Nothing(self.not_created())
        } else {
            Looked::Again(Self { looks, ..self })
        }
    }

    /// When the newest videos are looked at next: once the request is over for certain, and a grace behind that; the
    /// looks are spread over `span`.
    pub fn next_look_at(self, grace: Duration, span: Duration) -> Timestamp {
        let pause = span / (LOOKS - 1);
        self.deadline_at.plus(grace).plus(pause * self.looks)
    }
}

impl Sending {
    /// Vimeo says that it now holds `reported` bytes.
    pub fn acknowledge(self, reported: u64) -> Result<Progress, OffsetOutOfRange> {
        match reported.cmp(&self.size) {
            std::cmp::Ordering::Less => Ok(Progress::More(Self { sent: reported, ..self })),
            std::cmp::Ordering::Equal => {
                Ok(Progress::Whole(Finishing { video: self.video, size: self.size }))
            }
            std::cmp::Ordering::Greater => Err(OffsetOutOfRange { reported, size: self.size }),
        }
    }

    /// The placeholder can take no more bytes: another one is needed. `None` when that has happened too often.
    pub fn restart(self) -> Option<Accepted> {
        let restarts = self.restarts + 1;
        (restarts <= RESTARTS_MAX).then_some(Accepted { restarts, discarded: Some(self.video) })
    }
}

impl Finishing {
    /// The settings are made, as far as they can be before the video is playable.
    pub fn finished(self) -> Transcoding {
        Transcoding { video: self.video, size: self.size }
    }
}

impl Transcoding {
    /// The video is playable and open to whom it should be.
    pub fn completed(self, link: String, player: Option<String>) -> Completed {
        Completed { video: self.video, size: self.size, link, player }
    }

    /// The bytes are good, but the video cannot be opened as it should be: it stays where it is, closed.
    pub fn kept_closed(self, failure: Failure) -> Failed {
        Failed { failure, video: Some(self.video), size: Some(self.size) }
    }
}

impl Abandoning {
    /// Nothing of it is left at Vimeo, but for what `left` names.
    pub fn ended(self, left: Option<VideoNumber>) -> JobState {
        match self.end {
            End::Failed(failure) => JobState::Failed(Failed { failure, video: left, size: self.size }),
            End::Cancelled => JobState::Cancelled(Cancelled { video: left, size: self.size }),
        }
    }
}

impl JobState {
    /// Its name in the store.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Creating(_) => "creating",
            Self::Sending(_) => "sending",
            Self::Finishing(_) => "finishing",
            Self::Transcoding(_) => "transcoding",
            Self::Abandoning(_) => "abandoning",
            Self::Completed(_) => "completed",
            Self::Failed(_) => "failed",
            Self::Cancelled(_) => "cancelled",
        }
    }

    /// Whether it will never change again.
    pub fn is_over(&self) -> bool {
        matches!(self, Self::Completed(_) | Self::Failed(_) | Self::Cancelled(_))
    }
}

impl Job {
    /// How many bytes there are, if that is known.
    pub fn size(&self) -> Option<u64> {
        self.facts.as_ref().map(|facts| facts.length)
    }
}
