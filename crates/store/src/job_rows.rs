//! A job's row: the columns, which are the same on both engines, and the only mapping between them and the job's states.
//!
//! The source's length and a state's size are one column: they are the same number wherever both are known.

use domain::id::{AccountId, ConnectionId};
use domain::job::{
    Cancelled, CleaningUp, Completed, Configuring, Creating, Ending, Failed, Failure, FailureCode, Fetch,
    Job, JobId, JobState, Publishing, Queued, RetryState, Scheduled, SourceFacts, SourceKind, Target,
    Transcoding, UniqueRequest, Uploading, WaitingFor, Webhook,
};
use domain::time::Timestamp;
use domain::video::VideoNumber;
use serde::Serialize;

use crate::due_class::due_class;
use crate::job_values::{
    counted, kept_as, listed, number, on_one_line, read_kept, read_list, small, without_nul,
};

/// Passes the columns, in the order of the statements, to another macro: first those that never change, then the others.
macro_rules! job_columns {
    ($then:ident $($before:tt)*) => {
        $then! {
            $($before)*
            [account_id: String, job_id: String, connection_id: String, source: String, created_at: i64,
             // Absent from the bytes that the MAC of an earlier version's row covers, as are all columns with this attribute.
             #[serde(skip_serializing_if = "Option::is_none")] retry_of: Option<String>,
             #[serde(skip_serializing_if = "Option::is_none")] replaces: Option<i64>,
             #[serde(skip_serializing_if = "Option::is_none")] request_format: Option<i64>]
            [updated_at: i64, version: i64, state: String, total_bytes: Option<i64>, validator: Option<String>,
             source_marks: Option<String>, fetching: Option<String>, sent_bytes: Option<i64>,
             bytes_per_second: Option<i64>, video_number: Option<i64>, orphan_number: Option<i64>,
             deadline_at: Option<i64>, probes: i64, restarts: i64, ending: Option<String>, kept: Option<String>,
             vimeo_link: Option<String>, player_link: Option<String>, failure_code: Option<String>,
             failure_message: Option<String>, warnings: String, undeleted: String,
             unconfirmed_since: Option<i64>, retry_count: i64, last_progress_at: i64,
             refused_since: Option<i64>, missing_since: Option<i64>, webhook: String, webhook_attempts: i64,
             waiting_for: Option<String>, is_connection_deleted: bool, due_class: i64,
             #[serde(skip_serializing_if = "Option::is_none")] publish_at: Option<i64>,
             #[serde(skip_serializing_if = "is_false")] is_playable: bool,
             #[serde(skip_serializing_if = "is_zero")] parts_done: i64,
             #[serde(skip_serializing_if = "Option::is_none")] unique_request: Option<String>,
             #[serde(skip_serializing_if = "Option::is_none")] newest_picture: Option<i64>]
        }
    };
}
pub(crate) use job_columns;

macro_rules! define_job_row {
    ([$($(#[$attribute:meta])* $fixed:ident: $fixed_kind:ty),+] [$($(#[$other_attribute:meta])* $name:ident: $kind:ty),+]) => {
        /// A job in columns. `None` in `sent_bytes` leaves the stored value as it is.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
        pub(crate) struct JobRow {
            $($(#[$attribute])* pub(crate) $fixed: $fixed_kind,)+
            $($(#[$other_attribute])* pub(crate) $name: $kind,)+
        }
    };
}
job_columns!(define_job_row);

/// A row from an engine's columns, which are taken in their order.
macro_rules! take_job_row {
    ($columns:ident [$($(#[$attribute:meta])* $fixed:ident: $fixed_kind:ty),+] [$($(#[$other_attribute:meta])* $name:ident: $kind:ty),+]) => {
        $crate::job_rows::JobRow {
            $($fixed: $columns.get(stringify!($fixed))?,)+
            $($name: $columns.get(stringify!($name))?,)+
        }
    };
}
pub(crate) use take_job_row;

/// The columns as named parameters of a statement.
macro_rules! named_parameters {
    ($row:ident [$($(#[$attribute:meta])* $fixed:ident: $fixed_kind:ty),+] [$($(#[$other_attribute:meta])* $name:ident: $kind:ty),+]) => {
        [$((concat!(":", stringify!($fixed)), &$row.$fixed),)+ $((concat!(":", stringify!($name)), &$row.$name),)+]
    };
}
pub(crate) use named_parameters;

/// The column whose value the service cannot have written.
type Impossible = &'static str;

impl JobRow {
    /// A job as it is stored.
    pub(crate) fn of(job: &Job) -> Self {
        let (webhook, attempts) = job.webhook.to_stored();
        let mut row = Self {
            account_id: job.account_id.as_str().to_owned(),
            job_id: job.id.as_str().to_owned(),
            connection_id: job.connection_id.as_str().to_owned(),
            source: job.source.as_str().to_owned(),
            created_at: job.created_at.as_micros(),
            retry_of: job.retry_of.as_ref().map(|id| id.as_str().to_owned()),
            replaces: job.replaces.map(VideoNumber::as_i64),
            request_format: Some(job.request_format.into()).filter(|format| *format > 1),
            updated_at: job.updated_at.as_micros(),
            version: number(job.version),
            state: job.state.as_str().to_owned(),
            bytes_per_second: job.bytes_per_second.map(number),
            warnings: job.warnings.iter().map(|warning| on_one_line(warning) + "\n").collect(),
            undeleted: listed(&job.undeleted),
            unconfirmed_since: job.unconfirmed_since.map(Timestamp::as_micros),
            retry_count: job.retry.count.into(),
            last_progress_at: job.retry.last_progress_at.as_micros(),
            refused_since: job.retry.refused_since.map(Timestamp::as_micros),
            missing_since: job.retry.missing_since.map(Timestamp::as_micros),
            webhook: webhook.to_owned(),
            webhook_attempts: attempts.into(),
            waiting_for: job.waiting_for.map(|reason| reason.as_str().to_owned()),
            is_connection_deleted: job.is_connection_deleted,
            due_class: due_class(job),
            publish_at: job.publish_at.map(Timestamp::as_micros),
            is_playable: job.is_playable,
            ..Self::default()
        };
        if let Some(facts) = &job.facts {
            row.total_bytes = Some(number(facts.length));
            row.validator = facts.validator.as_deref().map(without_nul);
            row.source_marks = facts.marks.as_deref().map(without_nul);
            row.fetching = Some(facts.fetch.as_str().to_owned());
        }
        row.put_state(&job.state);
        row
    }

    fn put_state(&mut self, state: &JobState) {
        match state {
            JobState::Queued(queued) => {
                self.sent_bytes = Some(0);
                self.restarts = queued.restarts.into();
                self.orphan_number = queued.orphan.map(Target::number);
            }
            JobState::Creating(creating) => {
                self.sent_bytes = Some(0);
                self.put_creating(creating);
            }
            JobState::Uploading(Uploading { target, size, sent, restarts }) => {
                self.put_target(*target, *size, *sent);
                self.restarts = (*restarts).into();
            }
            JobState::Configuring(Configuring { target, size, parts_done, request }) => {
                self.put_target(*target, *size, *size);
                self.parts_done = (*parts_done).into();
                self.put_unique_request(*request);
            }
            JobState::Transcoding(Transcoding { target, size, request, newest_picture }) => {
                self.put_target(*target, *size, *size);
                self.put_unique_request(*request);
                self.newest_picture = *newest_picture;
            }
            JobState::Scheduled(Scheduled { video, size })
            | JobState::Publishing(Publishing { video, size }) => {
                self.put_target((*video).into(), *size, *size);
            }
            JobState::CleaningUp(CleaningUp { ending, unconfirmed, target, size }) => {
                self.put_end(*target, *size);
                if let Some(creating) = unconfirmed {
                    self.put_creating(creating);
                }
                self.ending = Some(match ending {
                    Ending::Failed(failure) => {
                        self.put_failure(failure);
                        FAILED.to_owned()
                    }
                    Ending::Cancelled => CANCELLED.to_owned(),
                });
            }
            JobState::Completed(Completed { video, size, link, player }) => {
                self.put_target((*video).into(), *size, *size);
                self.vimeo_link = Some(without_nul(link));
                self.player_link = player.as_deref().map(without_nul);
            }
            JobState::Failed(Failed { failure, target, kept, size }) => {
                self.put_end(*target, *size);
                self.put_failure(failure);
                self.kept = kept.map(|kept| kept_as(kept).to_owned());
            }
            JobState::Cancelled(Cancelled { target, size }) => self.put_end(*target, *size),
        }
    }

    fn put_creating(&mut self, creating: &Creating) {
        self.deadline_at = Some(creating.deadline_at.as_micros());
        self.probes = creating.probes.into();
        self.restarts = creating.restarts.into();
        self.orphan_number = creating.orphan.map(Target::number);
    }

    fn put_unique_request(&mut self, request: UniqueRequest) {
        (self.unique_request, self.deadline_at) = match request {
            UniqueRequest::NotSent => (None, None),
            UniqueRequest::Sent => (Some(SENT.to_owned()), None),
            UniqueRequest::Unconfirmed { lookup_at } => {
                (Some(UNCONFIRMED.to_owned()), Some(lookup_at.as_micros()))
            }
        };
    }

    fn put_target(&mut self, target: Target, size: u64, sent: u64) {
        self.video_number = Some(target.number());
        self.total_bytes = Some(number(size));
        self.sent_bytes = Some(number(sent));
    }

    /// How many bytes were sent stays as it was.
    fn put_end(&mut self, target: Option<Target>, size: Option<u64>) {
        self.video_number = target.map(Target::number);
        self.total_bytes = size.map(number).or(self.total_bytes);
    }

    fn put_failure(&mut self, failure: &Failure) {
        self.failure_code = Some(failure.code.as_str().to_owned());
        self.failure_message = Some(without_nul(&failure.message));
    }

    /// The job that is stored so.
    pub(crate) fn into_job(self) -> Result<Job, Impossible> {
        let state = self.read_state()?;
        let replaces = self.replaces.map(VideoNumber::from_stored);
        let facts = match &self.fetching {
            None => None,
            Some(fetch) => Some(SourceFacts {
                length: self.total_bytes.and_then(counted).ok_or("total_bytes")?,
                validator: self.validator,
                marks: self.source_marks,
                fetch: Fetch::from_stored(fetch).ok_or("fetching")?,
            }),
        };
        let bytes_per_second = self.bytes_per_second.map(|rate| counted(rate).ok_or("bytes_per_second"));
        let attempts = small(self.webhook_attempts, "webhook_attempts")?;
        let waiting_for =
            self.waiting_for.as_deref().map(|text| WaitingFor::from_stored(text).ok_or("waiting_for"));
        Ok(Job {
            id: JobId::from_stored(self.job_id),
            account_id: AccountId::from_stored(self.account_id),
            connection_id: ConnectionId::from_stored(self.connection_id),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            version: counted(self.version).ok_or("version")?,
            source: SourceKind::from_stored(&self.source).ok_or("source")?,
            retry_of: self.retry_of.map(JobId::from_stored),
            replaces,
            request_format: self.request_format.map_or(Ok(1), |format| small(format, "request_format"))?,
            publish_at: self.publish_at.map(Timestamp::from_micros),
            is_playable: self.is_playable,
            facts,
            state,
            bytes_per_second: bytes_per_second.transpose()?,
            warnings: self.warnings.split_terminator('\n').map(str::to_owned).collect(),
            undeleted: read_list(replaces, &self.undeleted).ok_or("undeleted")?,
            unconfirmed_since: self.unconfirmed_since.map(Timestamp::from_micros),
            retry: RetryState {
                count: small(self.retry_count, "retry_count")?,
                last_progress_at: Timestamp::from_micros(self.last_progress_at),
                refused_since: self.refused_since.map(Timestamp::from_micros),
                missing_since: self.missing_since.map(Timestamp::from_micros),
            },
            waiting_for: waiting_for.transpose()?,
            webhook: Webhook::from_stored(&self.webhook, attempts).ok_or("webhook")?,
            is_connection_deleted: self.is_connection_deleted,
        })
    }

    fn read_state(&self) -> Result<JobState, Impossible> {
        let target = self.video_number.map(|number| self.read_target(number));
        let (there, size) = (target.ok_or("video_number"), self.read_size()?);
        let known = size.ok_or("total_bytes");
        Ok(match self.state.as_str() {
            "queued" => JobState::Queued(Queued {
                restarts: small(self.restarts, "restarts")?,
                orphan: self.orphan_number.map(|number| self.read_target(number)),
            }),
            "creating" => JobState::Creating(self.read_creating()?.ok_or("deadline_at")?),
            "uploading" => JobState::Uploading(Uploading {
                target: there?,
                size: known?,
                sent: self.sent_bytes.and_then(counted).ok_or("sent_bytes")?,
                restarts: small(self.restarts, "restarts")?,
            }),
            "configuring" => JobState::Configuring(Configuring {
                target: there?,
                size: known?,
                parts_done: small(self.parts_done, "parts_done")?,
                request: self.read_unique_request()?,
            }),
            "transcoding" => JobState::Transcoding(Transcoding {
                target: there?,
                size: known?,
                request: self.read_unique_request()?,
                newest_picture: self.newest_picture,
            }),
            "scheduled" => JobState::Scheduled(Scheduled { video: there?.video(), size: known? }),
            "publishing" => JobState::Publishing(Publishing { video: there?.video(), size: known? }),
            "cleaning_up" => {
                let ending = match self.ending.as_deref() {
                    Some(FAILED) => Ending::Failed(self.read_failure()?),
                    Some(CANCELLED) => Ending::Cancelled,
                    _ => return Err("ending"),
                };
                JobState::CleaningUp(CleaningUp { ending, unconfirmed: self.read_creating()?, target, size })
            }
            "completed" => JobState::Completed(Completed {
                video: there?.video(),
                size: known?,
                link: self.vimeo_link.clone().ok_or("vimeo_link")?,
                player: self.player_link.clone(),
            }),
            FAILED => JobState::Failed(Failed {
                failure: self.read_failure()?,
                target,
                kept: self.kept.as_deref().map(|kept| read_kept(kept).ok_or("kept")).transpose()?,
                size,
            }),
            CANCELLED => JobState::Cancelled(Cancelled { target, size }),
            _ => return Err("state"),
        })
    }

    fn read_target(&self, number: i64) -> Target {
        Target::from_stored(self.replaces.map(VideoNumber::from_stored), number)
    }

    fn read_unique_request(&self) -> Result<UniqueRequest, Impossible> {
        match (self.unique_request.as_deref(), self.deadline_at) {
            (None, _) => Ok(UniqueRequest::NotSent),
            (Some(SENT), _) => Ok(UniqueRequest::Sent),
            (Some(UNCONFIRMED), Some(at)) => {
                Ok(UniqueRequest::Unconfirmed { lookup_at: Timestamp::from_micros(at) })
            }
            _ => Err("unique_request"),
        }
    }

    fn read_size(&self) -> Result<Option<u64>, Impossible> {
        self.total_bytes.map(|bytes| counted(bytes).ok_or("total_bytes")).transpose()
    }

    fn read_creating(&self) -> Result<Option<Creating>, Impossible> {
        let Some(deadline_at) = self.deadline_at else { return Ok(None) };
        Ok(Some(Creating {
            deadline_at: Timestamp::from_micros(deadline_at),
            probes: small(self.probes, "probes")?,
            restarts: small(self.restarts, "restarts")?,
            orphan: self.orphan_number.map(|number| self.read_target(number)),
        }))
    }

    fn read_failure(&self) -> Result<Failure, Impossible> {
        let code = self.failure_code.as_deref().and_then(FailureCode::from_stored).ok_or("failure_code")?;
        Ok(Failure { code, message: self.failure_message.clone().ok_or("failure_message")? })
    }
}

/// The states of a request that must not be repeated.
const SENT: &str = "sent";
const UNCONFIRMED: &str = "unconfirmed";
/// Two states that are also ends.
const FAILED: &str = "failed";
const CANCELLED: &str = "cancelled";

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(value: &i64) -> bool {
    *value == 0
}

/// The bytes of a job that its MAC covers: every column that an upload acts on, in a form that no two different jobs
/// share. The transfer rate, what the job waits for and whether its connection was deleted are for display, or are checked
/// where they matter.
pub fn authenticated_bytes(job: &Job) -> Vec<u8> {
    let row =
        JobRow { bytes_per_second: None, waiting_for: None, is_connection_deleted: false, ..JobRow::of(job) };
    // Names and values of texts, numbers and booleans: always JSON.
    serde_json::to_vec(&row).unwrap_or_default()
}

#[cfg(test)]
#[path = "job_rows_tests.rs"]
mod tests;
