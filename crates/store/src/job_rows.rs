//! A job's row: columns that are the same on both engines, and the one mapping between them and the job's states.
//!
//! The source's length and a state's size are one column: they are the same number wherever both are known.

use domain::id::{AccountId, ConnectionId};
use domain::job::{
    Abandoning, Accepted, Cancelled, Completed, Creating, End, Failed, Failure, FailureCode, Fetch,
    Finishing, Job, JobId, JobState, Sending, SourceFacts, SourceKind, Transcoding, Troubles, Webhook,
};
use domain::time::Timestamp;
use domain::video::VideoNumber;

/// Hands the columns, in their order, to another macro: first those that never change, then the others.
macro_rules! job_columns {
    ($then:ident $($before:tt)*) => {
        $then! {
            $($before)*
            [account_id: String, job_id: String, connection_id: String, source: String, created_at: i64]
            [updated_at: i64, version: i64, state: String, total_bytes: Option<i64>, validator: Option<String>,
             fetching: Option<String>, sent_bytes: Option<i64>, bytes_per_second: Option<i64>,
             video_number: Option<i64>, discarded_number: Option<i64>, deadline_at: Option<i64>, looks: i64,
             restarts: i64, end_state: Option<String>, vimeo_link: Option<String>, player_link: Option<String>,
             failure_code: Option<String>, failure_message: Option<String>, warnings: String,
             trouble_count: i64, well_at: i64, webhook: String, webhook_attempts: i64,
             refused_since: Option<i64>, missing_since: Option<i64>, source_marks: Option<String>]
        }
    };
}
pub(crate) use job_columns;

macro_rules! define_job_row {
    ([$($fixed:ident: $fixed_kind:ty),+] [$($name:ident: $kind:ty),+]) => {
        /// A job in columns. Nothing in `sent_bytes` leaves what is stored as it is.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(crate) struct JobRow {
            $(pub(crate) $fixed: $fixed_kind,)+
            $(pub(crate) $name: $kind,)+
        }
    };
}
job_columns!(define_job_row);

/// The names of all columns, for a statement.
macro_rules! job_column_names {
    ([$first:ident: $first_kind:ty $(, $fixed:ident: $fixed_kind:ty)*] [$($name:ident: $kind:ty),+]) => {
        concat!(stringify!($first) $(, ", ", stringify!($fixed))* $(, ", ", stringify!($name))+)
    };
}
pub(crate) use job_column_names;

/// The names of those that change, for a statement.
macro_rules! changing_column_names {
    ([$($fixed:ident: $fixed_kind:ty),+] [$first:ident: $first_kind:ty $(, $name:ident: $kind:ty)+]) => {
        concat!(stringify!($first) $(, ", ", stringify!($name))+)
    };
}
pub(crate) use changing_column_names;

/// A row out of an engine's columns, which are taken in their order.
macro_rules! take_job_row {
    ($columns:ident [$($fixed:ident: $fixed_kind:ty),+] [$($name:ident: $kind:ty),+]) => {
        $crate::job_rows::JobRow { $($fixed: $columns.take()?,)+ $($name: $columns.take()?,)+ }
    };
}
pub(crate) use take_job_row;

/// The columns that never change as parameters of a statement.
macro_rules! fixed_parameters {
    ($row:ident [$($fixed:ident: $fixed_kind:ty),+] [$($name:ident: $kind:ty),+]) => {
        [$(&$row.$fixed),+]
    };
}
pub(crate) use fixed_parameters;

/// Those that change as parameters of a statement.
macro_rules! changing_parameters {
    ($row:ident [$($fixed:ident: $fixed_kind:ty),+] [$($name:ident: $kind:ty),+]) => {
        [$(&$row.$name),+]
    };
}
pub(crate) use changing_parameters;

/// What a job is told when it is cancelled because its connection was deleted, while something of it is at Vimeo.
pub(crate) const LEFT_BEHIND: &str = "the connection was deleted, so that what is left at Vimeo could not be taken away: an unfinished video has the \
     job's identifier in its name\n";

/// The column that the service cannot have written so.
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
            updated_at: job.updated_at.as_micros(),
            version: number(job.version),
            state: job.state.as_str().to_owned(),
            bytes_per_second: job.bytes_per_second.map(number),
            warnings: job.warnings.iter().map(|warning| on_one_line(warning) + "\n").collect(),
            trouble_count: job.troubles.count.into(),
            well_at: job.troubles.well_at.as_micros(),
            refused_since: job.troubles.refused_since.map(Timestamp::as_micros),
            missing_since: job.troubles.missing_since.map(Timestamp::as_micros),
            webhook: webhook.to_owned(),
            webhook_attempts: attempts.into(),
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
            JobState::Accepted(accepted) => {
                self.sent_bytes = Some(0);
                self.restarts = accepted.restarts.into();
                self.discarded_number = accepted.discarded.map(VideoNumber::as_i64);
            }
            JobState::Creating(creating) => {
                self.sent_bytes = Some(0);
                self.put_creating(creating);
            }
            JobState::Sending(Sending { video, size, sent, restarts }) => {
                self.put_video(*video, *size, *sent);
                self.restarts = (*restarts).into();
            }
            JobState::Finishing(Finishing { video, size })
            | JobState::Transcoding(Transcoding { video, size }) => self.put_video(*video, *size, *size),
            JobState::Abandoning(Abandoning { end, doubt, video, size }) => {
                self.put_end(*video, *size);
                if let Some(creating) = doubt {
                    self.put_creating(creating);
                }
                self.end_state = Some(match end {
                    End::Failed(failure) => {
                        self.put_failure(failure);
                        FAILED.to_owned()
                    }
                    End::Cancelled => CANCELLED.to_owned(),
                });
            }
            JobState::Completed(Completed { video, size, link, player }) => {
                self.put_video(*video, *size, *size);
                self.vimeo_link = Some(without_nul(link));
                self.player_link = player.as_deref().map(without_nul);
            }
            JobState::Failed(Failed { failure, video, size }) => {
                self.put_end(*video, *size);
                self.put_failure(failure);
            }
            JobState::Cancelled(Cancelled { video, size }) => self.put_end(*video, *size),
        }
    }

    fn put_creating(&mut self, creating: &Creating) {
        self.deadline_at = Some(creating.deadline_at.as_micros());
        self.looks = creating.looks.into();
        self.restarts = creating.restarts.into();
        self.discarded_number = creating.discarded.map(VideoNumber::as_i64);
    }

    fn put_video(&mut self, video: VideoNumber, size: u64, sent: u64) {
        self.video_number = Some(video.as_i64());
        self.total_bytes = Some(number(size));
        self.sent_bytes = Some(number(sent));
    }

    /// How many bytes were sent stays as it was.
    fn put_end(&mut self, video: Option<VideoNumber>, size: Option<u64>) {
        self.video_number = video.map(VideoNumber::as_i64);
        self.total_bytes = size.map(number).or(self.total_bytes);
    }

    fn put_failure(&mut self, failure: &Failure) {
        self.failure_code = Some(failure.code.as_str().to_owned());
        self.failure_message = Some(without_nul(&failure.message));
    }

    /// The job that is stored so.
    pub(crate) fn into_job(self) -> Result<Job, Impossible> {
        let state = self.read_state()?;
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
        Ok(Job {
            id: JobId::from_stored(self.job_id),
            account_id: AccountId::from_stored(self.account_id),
            connection_id: ConnectionId::from_stored(self.connection_id),
            created_at: Timestamp::from_micros(self.created_at),
            updated_at: Timestamp::from_micros(self.updated_at),
            version: counted(self.version).ok_or("version")?,
            source: SourceKind::from_stored(&self.source).ok_or("source")?,
            facts,
            state,
            bytes_per_second: bytes_per_second.transpose()?,
            warnings: self.warnings.split_terminator('\n').map(str::to_owned).collect(),
            troubles: Troubles {
                count: small(self.trouble_count, "trouble_count")?,
                well_at: Timestamp::from_micros(self.well_at),
                refused_since: self.refused_since.map(Timestamp::from_micros),
                missing_since: self.missing_since.map(Timestamp::from_micros),
            },
            webhook: Webhook::from_stored(&self.webhook, attempts).ok_or("webhook")?,
        })
    }

    fn read_state(&self) -> Result<JobState, Impossible> {
        let video = self.video_number.map(VideoNumber::from_stored);
        let (there, size) = (video.ok_or("video_number"), self.read_size()?);
        let known = size.ok_or("total_bytes");
        Ok(match self.state.as_str() {
            "accepted" => JobState::Accepted(Accepted {
                restarts: small(self.restarts, "restarts")?,
                discarded: self.discarded_number.map(VideoNumber::from_stored),
            }),
            "creating" => JobState::Creating(self.read_creating()?.ok_or("deadline_at")?),
            "sending" => JobState::Sending(Sending {
                video: there?,
                size: known?,
                sent: self.sent_bytes.and_then(counted).ok_or("sent_bytes")?,
                restarts: small(self.restarts, "restarts")?,
            }),
            "finishing" => JobState::Finishing(Finishing { video: there?, size: known? }),
            "transcoding" => JobState::Transcoding(Transcoding { video: there?, size: known? }),
            "abandoning" => {
                let end = match self.end_state.as_deref() {
                    Some(FAILED) => End::Failed(self.read_failure()?),
                    Some(CANCELLED) => End::Cancelled,
                    _ => return Err("end_state"),
                };
                JobState::Abandoning(Abandoning { end, doubt: self.read_creating()?, video, size })
            }
            "completed" => JobState::Completed(Completed {
                video: there?,
                size: known?,
                link: self.vimeo_link.clone().ok_or("vimeo_link")?,
                player: self.player_link.clone(),
            }),
            FAILED => JobState::Failed(Failed { failure: self.read_failure()?, video, size }),
            CANCELLED => JobState::Cancelled(Cancelled { video, size }),
            _ => return Err("state"),
        })
    }

    fn read_size(&self) -> Result<Option<u64>, Impossible> {
        self.total_bytes.map(|bytes| counted(bytes).ok_or("total_bytes")).transpose()
    }

    fn read_creating(&self) -> Result<Option<Creating>, Impossible> {
        let Some(deadline_at) = self.deadline_at else { return Ok(None) };
        Ok(Some(Creating {
            deadline_at: Timestamp::from_micros(deadline_at),
            looks: small(self.looks, "looks")?,
            restarts: small(self.restarts, "restarts")?,
            discarded: self.discarded_number.map(VideoNumber::from_stored),
        }))
    }

    fn read_failure(&self) -> Result<Failure, Impossible> {
        let code = self.failure_code.as_deref().and_then(FailureCode::from_stored).ok_or("failure_code")?;
        Ok(Failure { code, message: self.failure_message.clone().ok_or("failure_message")? })
    }
}

/// Two states that are also ends.
const FAILED: &str = "failed";
const CANCELLED: &str = "cancelled";

/// A number that counts, for a column. What is beyond is nothing that the service makes.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn counted(number: i64) -> Option<u64> {
    u64::try_from(number).ok()
}

fn small(number: i64, column: Impossible) -> Result<u32, Impossible> {
    u32::try_from(number).map_err(|_| column)
}

/// Its lines follow each other in the column.
fn on_one_line(text: &str) -> String {
    text.replace(['\n', '\r', '\0'], " ")
}

/// One engine cannot keep a NUL, and a job that cannot be written would be begun again for ever.
fn without_nul(text: &str) -> String {
    text.replace('\0', " ")
}

/// Whether a row's upload has ended, so that only its webhook can be due.
macro_rules! has_ended {
    ($table:literal) => {
        concat!("(", $table, ".state IN ('completed', 'failed', 'cancelled'))")
    };
}
pub(crate) use has_ended;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::contract::job_samples;

    proptest! {
        #[test]
        fn every_job_is_read_back_as_it_was_written(job in job_samples::any_job()) {
            let mut row = JobRow::of(&job);
            // As the engines keep it.
            row.sent_bytes.get_or_insert(0);
            prop_assert_eq!(row.into_job(), Ok(job));
        }
    }

    #[test]
    fn what_the_service_cannot_have_written_is_named() {
        let account = AccountId::from_random([1; 16]);
        let job = |number| job_samples::job(&account, number, 1);
        let broken = |job: &Job, breaks: fn(&mut JobRow)| {
            let mut row = JobRow::of(job);
            breaks(&mut row);
            row.into_job().unwrap_err()
        };
        let mut failed = job(1);
        let failure = Failure { code: FailureCode::SourceBroken, message: "It broke.".to_owned() };
        failed.state = JobState::Abandoning(Abandoning {
            end: End::Failed(failure),
            doubt: None,
            video: None,
            size: None,
        });
        assert_eq!(broken(&job(1), |row| row.state = "lost".to_owned()), "state");
        assert_eq!(broken(&job(1), |row| row.state = "creating".to_owned()), "deadline_at");
        assert_eq!(broken(&job(1), |row| row.state = "sending".to_owned()), "video_number");
        assert_eq!(broken(&job(1), |row| row.restarts = -1), "restarts");
        assert_eq!(broken(&job(1), |row| row.webhook = "lost".to_owned()), "webhook");
        assert_eq!(broken(&job(1), |row| row.source = String::new()), "source");
        assert_eq!(broken(&failed, |row| row.end_state = None), "end_state");
        assert_eq!(broken(&failed, |row| row.failure_code = Some("X".to_owned())), "failure_code");
        assert_eq!(broken(&failed, |row| row.failure_message = None), "failure_message");
    }

    #[test]
    fn a_text_that_would_break_its_column_is_kept_without_what_would() {
        let account = AccountId::from_random([1; 16]);
        let mut job = job_samples::job(&account, 1, 1);
        job.warnings = vec!["one\r\nstill one\0".to_owned(), String::new(), "two".to_owned()];
        let read = JobRow { sent_bytes: Some(0), ..JobRow::of(&job) }.into_job().unwrap();
        assert_eq!(read.warnings, ["one  still one ", "", "two"]);
    }
}
