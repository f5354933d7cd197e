//! What a run does with a line, by what the report says of it.

use domain::job::JobId;

use super::board::{Stage, State};
use super::entries::{Entry, EntrySource};
use super::report_file::{Record, Status};

/// What is uploaded once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    Nothing,
    /// Lines that failed.
    Failed,
    /// All lines, whatever the report says.
    Everything,
}

/// How a run starts with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Start {
    /// It is submitted.
    Submit,
    /// Its job was accepted by an earlier run.
    Follow(JobId),
    /// The same, and its bytes may not have been sent.
    Resume(JobId),
    /// It has ended in an earlier run.
    Done(Box<Record>),
    /// The entry at this place is the same.
    Duplicate(usize),
}

impl Start {
    /// The state with which the run starts.
    pub(super) fn state(&self) -> State {
        match self {
            // The job of a file is followed once it has the bytes.
            Self::Submit | Self::Resume(_) => State::Waiting,
            Self::Follow(id) => State::InProgress(id.clone(), Stage::Queued),
            Self::Done(record) => State::Ended(record.status),
            Self::Duplicate(_) => State::Duplicate,
        }
    }

    /// Whether there is more to do than to follow its job.
    pub(super) fn needs_work(&self) -> bool {
        matches!(self, Self::Submit | Self::Resume(_))
    }
}

/// `record`: the newest one of the entry's digest.
pub(super) fn start_of(entry: &Entry, record: Option<&Record>, repeat: Repeat) -> Start {
    if let Some(first) = entry.duplicate_of {
        return Start::Duplicate(first);
    }
    let Some(record) = record.filter(|_| repeat != Repeat::Everything) else { return Start::Submit };
    match (record.status, record.job_id.as_deref().and_then(JobId::parse)) {
        (Status::Failed | Status::Cancelled, _) if repeat == Repeat::Failed => Start::Submit,
        (Status::Completed | Status::Failed | Status::Cancelled, _) => Start::Done(Box::new(record.clone())),
        (Status::Accepted | Status::Scheduled, Some(id)) => match entry.source {
            EntrySource::Url => Start::Follow(id),
            EntrySource::File { .. } => Start::Resume(id),
        },
        (Status::Accepted | Status::Scheduled, None) => Start::Submit,
    }
}

#[cfg(test)]
mod tests {
    use app::{RequestedSource, UploadRequest};
    use domain::upload::UploadSettings;
    use zeroize::Zeroizing;

    use super::super::submitting::record_of;
    use super::*;

    const JOB: &str = "019c1234-5678-7abc-8def-0123456789ab";

    fn entry(source: EntrySource) -> Entry {
        Entry {
            line: 1,
            connection: "c".to_owned(),
            digest: "d".to_owned(),
            source,
            body: Zeroizing::new(Vec::new()),
            request: UploadRequest::new(RequestedSource::Client { size: 1 }, UploadSettings::default()),
            duplicate_of: None,
        }
    }

    #[test]
    fn what_has_ended_is_not_submitted_again_unasked() {
        use Repeat::{Everything, Failed, Nothing};
        let url = entry(EntrySource::Url);
        let id = JobId::parse(JOB).unwrap();
        let of = |status| Record { job_id: Some(JOB.to_owned()), ..record_of(&url, status) };
        let done = |status| Start::Done(Box::new(of(status)));
        for (status, repeat, expected) in [
            (Status::Completed, Nothing, done(Status::Completed)),
            (Status::Completed, Failed, done(Status::Completed)),
            (Status::Completed, Everything, Start::Submit),
            (Status::Failed, Nothing, done(Status::Failed)),
            (Status::Failed, Failed, Start::Submit),
            (Status::Cancelled, Nothing, done(Status::Cancelled)),
            (Status::Cancelled, Failed, Start::Submit),
            (Status::Accepted, Nothing, Start::Follow(id.clone())),
            (Status::Accepted, Failed, Start::Follow(id.clone())),
            (Status::Scheduled, Nothing, Start::Follow(id.clone())),
            (Status::Accepted, Everything, Start::Submit),
        ] {
            assert_eq!(start_of(&url, Some(&of(status)), repeat), expected, "{status:?} {repeat:?}");
        }
        assert_eq!(start_of(&url, None, Nothing), Start::Submit);
        let file = entry(EntrySource::File { path: "x".into(), identity: "i".to_owned() });
        assert_eq!(start_of(&file, Some(&of(Status::Accepted)), Nothing), Start::Resume(id));
        let duplicate = Entry { duplicate_of: Some(3), ..url };
        assert_eq!(start_of(&duplicate, None, Everything), Start::Duplicate(3));
    }
}
