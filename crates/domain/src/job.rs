//! An upload as a job: a state machine whose states own their data and whose transitions consume them.
//!
//! queued → creating → uploading → configuring → transcoding → scheduled → publishing → completed; from each of them, through cleaning
//! up, to failed or cancelled. Each state is durable before its work starts, so that a worker that resumes the job after a
//! crash knows what may have happened at Vimeo.

mod ending;
mod failure;
mod phase;
mod progress;
mod resubmission;
mod retry;
mod schedule;
mod source;
mod state;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;

use uuid::Uuid;

use crate::id::{AccountId, ConnectionId};
use crate::time::Timestamp;
use crate::video::VideoNumber;

pub use failure::{Failure, FailureCode};
pub use phase::{JobPhase, JobPhaseError};
pub use progress::{JobStatus, JobStatusError};
pub use resubmission::NotRetryable;
pub use retry::{Refusal, RetryState, Verdict};
pub use schedule::NotReschedulable;
pub use source::{Fetch, SourceFacts};
pub use state::{
    Cancelled, CleaningUp, Completed, Configuring, Creating, Ending, Failed, JobState, Kept,
    OffsetOutOfRange, ProbeMissed, Progress, Publishing, Queued, Scheduled, Transcoding, Uploading,
};
pub use target::{Target, UniqueRequest};

/// How many times an upload may restart with another placeholder.
pub const RESTARTS_MAX: u32 = 3;
/// How many times the newest videos are searched after a create whose outcome is unknown.
pub const PROBES: u32 = 3;

/// Identifies a job: a UUID of version 7, so that newer ones sort after older ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

impl JobId {
    /// A new identifier from the time and 10 random bytes.
    pub fn make(at: Timestamp, random: [u8; 10]) -> Self {
        let millis = u64::try_from(at.as_millis()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// Parses an identifier from a client; `None` if the service cannot have created it.
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = Uuid::try_parse(text).ok()?.to_string();
        (parsed == text).then_some(Self(parsed))
    }

    /// An identifier as stored.
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
    /// The service fetches them from a URL.
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

    /// Parses a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        [Self::Url, Self::Client].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// An upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Its identifier.
    pub id: JobId,
    /// The account that owns it.
    pub account_id: AccountId,
    /// The connection whose Vimeo account receives the video.
    pub connection_id: ConnectionId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its state last changed.
    pub updated_at: Timestamp,
    /// Starts at 1 and increases with every write of the job.
    pub version: u64,
    /// Where the bytes come from.
    pub source: SourceKind,
    /// The failed job that this one repeats.
    pub retry_of: Option<JobId>,
    /// The video whose file it replaces; `None`: it creates a video.
    pub replaces: Option<VideoNumber>,
    /// The format of its sealed request: 1, or a higher one if an earlier version would ignore a part of it. A worker that does
    /// not know the format does not run the job.
    pub request_format: u32,
    /// When the video is opened to its viewers; `None`: as soon as possible.
    pub publish_at: Option<Timestamp>,
    /// Whether Vimeo could play the uploaded file, perhaps not in every size yet.
    pub is_playable: bool,
    /// The metadata of the source, if known; for a client's upload from the start.
    pub facts: Option<SourceFacts>,
    /// Its state.
    pub state: JobState,
    /// The recent transfer rate.
    pub bytes_per_second: Option<u64>,
    /// Messages for people about requested settings that could not be applied. No decision reads them.
    pub warnings: Vec<String>,
    /// What this job created and left at Vimeo because it could not be deleted. It is not searched for again.
    pub undeleted: Vec<Target>,
    /// When the first create with an unknown outcome started: the account may have a second placeholder of this job since
    /// then. `None`: every create was confirmed, and no list of videos is needed.
    pub unconfirmed_since: Option<Timestamp>,
    /// Retries, and since when Vimeo refuses requests.
    pub retry: RetryState,
    /// Why no worker runs the job.
    pub waiting_for: Option<WaitingFor>,
    /// The delivery of its webhook.
    pub webhook: Webhook,
    /// The connection was deleted while the job had not ended: it will end as cancelled.
    pub is_connection_deleted: bool,
}

/// What a job waits for while no worker runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitingFor {
    /// The end of Vimeo's rate limit.
    RateLimit,
    /// Vimeo, which failed or could not be reached.
    Vimeo,
    /// The source, which failed or could not be reached.
    Source,
    /// The connection, which is disabled.
    Connection,
    /// The connection, which is unhealthy.
    Health,
    /// The client, which sends the bytes.
    Client,
    /// Vimeo's transcoding.
    Transcoding,
    /// Certainty whether Vimeo carried out an earlier request.
    Confirmation,
    /// The time at which the video is opened.
    PublishTime,
}

impl WaitingFor {
    /// Every value.
    pub const ALL: [Self; 9] = [
        Self::RateLimit,
        Self::Vimeo,
        Self::Source,
        Self::Connection,
        Self::Health,
        Self::Client,
        Self::Transcoding,
        Self::Confirmation,
        Self::PublishTime,
    ];

    /// Its name in the store and in the contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate-limit",
            Self::Vimeo => "vimeo-unavailable",
            Self::Source => "source-unavailable",
            Self::Connection => "connection-disabled",
            Self::Health => "connection-unhealthy",
            Self::Client => "client",
            Self::Transcoding => "transcoding",
            Self::Confirmation => "confirmation",
            Self::PublishTime => "publish-time",
        }
    }

    /// Parses a stored name.
    pub fn from_stored(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// The delivery of a job's webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Webhook {
    /// Not requested.
    None,
    /// Requested and not delivered yet.
    Waiting {
        /// Attempts that failed.
        attempts: u32,
    },
    /// The receiver accepted it.
    Delivered,
    /// Every attempt failed, or the receiver answered 410.
    Exhausted,
}

impl Webhook {
    /// Its name in the store, and the attempts.
    pub fn to_stored(self) -> (&'static str, u32) {
        match self {
            Self::None => ("none", 0),
            Self::Waiting { attempts } => ("waiting", attempts),
            Self::Delivered => ("delivered", 0),
            Self::Exhausted => ("given-up", 0),
        }
    }

    /// Parses the stored columns.
    pub fn from_stored(name: &str, attempts: u32) -> Option<Self> {
        match name {
            "none" => Some(Self::None),
            "waiting" => Some(Self::Waiting { attempts }),
            "delivered" => Some(Self::Delivered),
            "given-up" => Some(Self::Exhausted),
            _ => None,
        }
    }
}

impl Job {
    /// The size in bytes, if known.
    pub fn size(&self) -> Option<u64> {
        self.facts.as_ref().map(|facts| facts.length)
    }
}
