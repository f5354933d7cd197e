//! The report of a bulk upload: JSON lines beside the input, one for each upload that was accepted or has ended. The
//! newest line of a digest is its state. A command holds a lock on the file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::cli::BoxError;

/// It names videos that may not be public.
const MODE: u32 = 0o600;
/// How many records one sync covers at most.
const BATCH: usize = 256;

/// The state of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Accepted,
    Scheduled,
    Completed,
    Failed,
    Cancelled,
}

/// One line of the report. Contains no URL of a source, and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    /// Identifies the upload by its content.
    pub(super) digest: String,
    /// The line of the input.
    pub(super) line: u64,
    pub(super) status: Status,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) job_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vimeo_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error_code: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) error_message: Option<String>,
}

/// A line to write, and where its result is reported.
struct Append {
    line: Vec<u8>,
    written: oneshot::Sender<io::Result<()>>,
}

/// The open report.
pub(super) struct Report {
    path: PathBuf,
    sender: mpsc::UnboundedSender<Append>,
}

impl Report {
    /// Opens or creates the report and locks it; also the newest record of each digest. Writes run in `tasks`.
    pub(super) fn open(
        path: &Path,
        tasks: &TaskTracker,
    ) -> Result<(Self, HashMap<String, Record>), BoxError> {
        let shown = path.display();
        let unusable = |error: io::Error| format!("the report {shown} cannot be used: {error}");
        let options = OpenOptions::new().read(true).append(true).create(true).mode(MODE).to_owned();
        let mut file = options.open(path).map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(format!(
                    "another command uses the report {shown}: wait for its end, or name another one with --report"
                )
                .into());
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error).into()),
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).map_err(unusable)?;
        let (records, whole) = read(&bytes).map_err(|line| {
            format!(
                "line {line} of the report {shown} is damaged: correct or remove it, or name another report"
            )
        })?;
        // What an interrupted write has left would damage the next line.
        file.set_len(whole as u64).and_then(|()| file.sync_all()).map_err(unusable)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        tasks.spawn_blocking(move || write(file, receiver));
        Ok((Self { path: path.to_owned(), sender }, records))
    }

    /// Returns when the record is on the disk.
    pub(super) async fn append(&self, record: &Record) -> Result<(), BoxError> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        let (written, result) = oneshot::channel();
        let failed = |error: io::Error| {
            format!("the report {} cannot be written: {error}", self.path.display()).into()
        };
        let closed = || io::Error::other("its writer has ended");
        self.sender.send(Append { line, written }).map_err(|_| failed(closed()))?;
        result.await.map_err(|_| failed(closed()))?.map_err(failed)
    }
}

/// The newest record of each digest, and the length of all whole lines in bytes. The error is the number of a damaged line.
fn read(bytes: &[u8]) -> Result<(HashMap<String, Record>, usize), usize> {
    let (mut records, mut whole) = (HashMap::new(), 0);
    for (place, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        // A line without its end was being written when the command was killed.
        if !line.ends_with(b"\n") {
            break;
        }
        whole += line.len();
        if line.trim_ascii().is_empty() {
            continue;
        }
        match serde_json::from_slice::<Record>(line) {
            Ok(record) => {
                records.insert(record.digest.clone(), record);
            }
            // After a crash of the machine, the end of a file may have other bytes than those that were written.
            Err(_) if whole == bytes.len() => {
                whole -= line.len();
                break;
            }
            Err(_) => return Err(place + 1),
        }
    }
    Ok((records, whole))
}

/// Writes waiting records together, with one sync.
fn write(mut file: File, mut receiver: mpsc::UnboundedReceiver<Append>) {
    let mut batch = Vec::new();
    while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
        let lines: Vec<u8> = batch.iter().flat_map(|append| append.line.iter().copied()).collect();
        let result = file.write_all(&lines).and_then(|()| file.sync_data());
        for Append { written, .. } in batch.drain(..) {
            let result = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(io::Error::from(error.kind())),
            };
            // The command no longer waits for it.
            let _ = written.send(result);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(digest: &str, line: u64, status: Status) -> Record {
        Record {
            digest: digest.to_owned(),
            line,
            status,
            job_id: Some("019c1234-5678-7abc-8def-0123456789ab".to_owned()),
            vimeo_uri: None,
            link: None,
            error_code: None,
            error_message: None,
        }
    }

    fn text_of(record: &Record) -> String {
        serde_json::to_string(record).unwrap() + "\n"
    }

    #[test]
    fn the_newest_record_of_a_digest_counts() {
        let accepted = record("a", 1, Status::Accepted);
        let completed =
            Record { vimeo_uri: Some("/videos/1".to_owned()), ..record("a", 1, Status::Completed) };
        let other = record("b", 2, Status::Failed);
        let text = [text_of(&accepted), text_of(&other), "\n".to_owned(), text_of(&completed)].concat();
        let (records, whole) = read(text.as_bytes()).unwrap();
        assert_eq!((records.len(), &records["a"], &records["b"]), (2, &completed, &other));
        assert_eq!(whole, text.len());
    }

    #[test]
    fn a_damaged_last_line_is_ignored_and_one_before_it_is_not() {
        let first = text_of(&record("a", 1, Status::Completed));
        let second = text_of(&record("b", 2, Status::Completed));
        for cut in 0..second.len() {
            let (records, whole) = read([&first, &second[..cut]].concat().as_bytes()).unwrap();
            assert_eq!((records.len(), whole), (1, first.len()), "{cut}");
        }
        let (records, whole) = read([&first, "\0\0\0\n"].concat().as_bytes()).unwrap();
        assert_eq!((records.len(), whole), (1, first.len()));
        assert_eq!(read([&first, "{}\n", &second].concat().as_bytes()).unwrap_err(), 2);
    }

    #[tokio::test]
    async fn a_report_is_locked_and_continues_after_its_last_whole_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report");
        let first = text_of(&record("a", 1, Status::Completed));
        std::fs::write(&path, format!("{first}{{\"dig")).unwrap();
        let tasks = TaskTracker::new();
        let (report, records) = Report::open(&path, &tasks).unwrap();
        assert_eq!(records.len(), 1);
        let refused = Report::open(&path, &tasks).err().unwrap().to_string();
        assert!(refused.contains("another command uses the report"), "{refused}");
        let second = record("b", 2, Status::Accepted);
        report.append(&second).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{first}{}", text_of(&second)));
        drop(report);
        tasks.close();
        tasks.wait().await;
        assert_eq!(Report::open(&path, &TaskTracker::new()).unwrap().1.len(), 2, "the lock is released");
    }
}
