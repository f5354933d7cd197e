//! The states of all uploads of a command, and their progress in one line.

use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::job::{JobId, JobPhase, JobStatus};
use indicatif::{BinaryBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::super::progress::Progress;
use super::decision::WaitReason;
use super::report_file::Status;
use crate::cli::jobs::JobView;
use crate::cli::output;

/// Minimum time between two lines, where there is no terminal.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// Over which the rate is measured at least.
const RATE_SPAN: Duration = Duration::from_secs(2);
/// The phase of a job that waits for the time of its publication.
const SCHEDULED: &str = "scheduled";

/// The state of one upload.
#[derive(Debug, Clone)]
pub(super) enum State {
    /// Not accepted yet.
    Waiting,
    /// A file whose bytes this command sends.
    Sending(JobId, Progress),
    /// Accepted. What is known of the job.
    InProgress(JobId, Stage),
    /// Waits for the time of its publication, which is not waited for.
    Scheduled,
    Ended(Status),
    /// This run could not complete it; another one continues.
    Unfinished,
    /// The same as an earlier line.
    Duplicate,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Queued,
    Uploading {
        sent: u64,
        total: u64,
    },
    Transcoding,
    /// Another phase, or one that this version does not know.
    Other,
    Scheduled,
}

impl Stage {
    pub(super) fn of(job: &JobView) -> Self {
        match job.phase() {
            Some(JobPhase::Queued) => Self::Queued,
            Some(JobPhase::Uploading) => {
                let (sent, total) = job.bytes().unwrap_or_default();
                Self::Uploading { sent, total }
            }
            Some(JobPhase::Transcoding) => Self::Transcoding,
            _ if job.phase_text() == SCHEDULED => Self::Scheduled,
            _ => Self::Other,
        }
    }
}

/// How an ended job ended; `None` if it has not.
pub(super) fn ended(job: &JobView) -> Option<Status> {
    // A failed job may still delete what it created.
    match job.status().filter(|_| job.has_ended())? {
        JobStatus::Completed => Some(Status::Completed),
        JobStatus::Failed => Some(Status::Failed),
        JobStatus::Cancelled => Some(Status::Cancelled),
        JobStatus::InProgress => None,
    }
}

/// How many uploads are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) completed: usize,
    pub(super) failed: usize,
    pub(super) scheduled: usize,
    pub(super) unfinished: usize,
    pub(super) duplicates: usize,
    pub(super) uploading: usize,
    pub(super) transcoding: usize,
    /// Accepted, and neither uploading nor transcoding.
    pub(super) queued: usize,
    pub(super) waiting: usize,
    /// Of those that are uploading.
    sent: u64,
    total: u64,
}

impl Counts {
    fn of(states: &[State]) -> Self {
        let mut counts = Self::default();
        for state in states {
            let count = match state {
                State::Waiting => &mut counts.waiting,
                State::Sending(_, progress) => {
                    let (sent, total) = progress.bytes();
                    counts.sent += sent;
                    counts.total += total;
                    &mut counts.uploading
                }
                State::InProgress(_, Stage::Uploading { sent, total }) => {
                    counts.sent += sent;
                    counts.total += total;
                    &mut counts.uploading
                }
                State::InProgress(_, Stage::Transcoding) => &mut counts.transcoding,
                State::InProgress(..) => &mut counts.queued,
                State::Scheduled => &mut counts.scheduled,
                State::Ended(Status::Completed) => &mut counts.completed,
                State::Ended(_) => &mut counts.failed,
                State::Unfinished => &mut counts.unfinished,
                State::Duplicate => &mut counts.duplicates,
            };
            *count += 1;
        }
        counts
    }

    /// Uploads that have been accepted and have not ended.
    pub(super) fn in_progress(&self) -> usize {
        self.uploading + self.transcoding + self.queued
    }

    /// As it is shown. `rate`: bytes a second.
    pub(super) fn text(&self, rate: Option<u64>, reason: Option<WaitReason>) -> String {
        let mut parts = vec![format!("{} completed", self.completed)];
        let mut add = |count: usize, what: &str| {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        };
        let mut bytes = format!("{} of {}", BinaryBytes(self.sent), BinaryBytes(self.total));
        if let Some(rate) = rate.filter(|rate| *rate > 0) {
            bytes = format!("{bytes}, {} a second", BinaryBytes(rate));
        }
        let uploading = if self.total > 0 { format!("uploading ({bytes})") } else { "uploading".to_owned() };
        add(self.uploading, &uploading);
        add(self.transcoding, "transcoding");
        add(self.queued, "queued");
        add(self.scheduled, "scheduled");
        let waiting = reason.map_or("waiting".to_owned(), |reason| format!("waiting ({})", reason.as_str()));
        add(self.waiting, &waiting);
        add(self.failed, "failed");
        add(self.unfinished, "not finished");
        add(self.duplicates, if self.duplicates == 1 { "duplicate" } else { "duplicates" });
        parts.join(", ")
    }
}

/// The states of all uploads, by the place of their entries.
pub(super) struct Board {
    states: Mutex<Vec<State>>,
    reason: Mutex<Option<WaitReason>>,
    shown: Mutex<Shown>,
    bar: Option<ProgressBar>,
}

struct Shown {
    line: String,
    line_at: Instant,
    /// Bytes sent and the time of the last measurement.
    measured: (u64, Instant),
    rate: Option<u64>,
}

impl Board {
    pub(super) fn new(states: Vec<State>) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            // The template is a constant; an invalid one would fall back to the library's default.
            let style = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}");
            ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
        });
        let now = Instant::now();
        let shown = Shown { line: String::new(), line_at: now, measured: (0, now), rate: None };
        Self { states: Mutex::new(states), reason: Mutex::new(None), shown: Mutex::new(shown), bar }
    }

    pub(super) fn set(&self, place: usize, state: State) {
        if let Some(slot) = locked(&self.states).get_mut(place) {
            *slot = state;
        }
    }

    /// Why lines wait; `None` once one was accepted.
    pub(super) fn set_reason(&self, reason: Option<WaitReason>) {
        *locked(&self.reason) = reason;
    }

    pub(super) fn counts(&self) -> Counts {
        Counts::of(&locked(&self.states))
    }

    /// The jobs that have not ended, with the places of their entries.
    pub(super) fn jobs(&self) -> Vec<(usize, JobId)> {
        let states = locked(&self.states);
        let jobs = states.iter().enumerate().filter_map(|(place, state)| match state {
            State::Sending(id, _) | State::InProgress(id, _) => Some((place, id.clone())),
            _ => None,
        });
        jobs.collect()
    }

    pub(super) fn is_sending(&self, place: usize) -> bool {
        matches!(locked(&self.states).get(place), Some(State::Sending(..)))
    }

    /// Prints a message without disturbing the progress.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| output::status(text)),
            None => output::status(text),
        }
    }

    /// Shows the progress; without a terminal, a line from time to time.
    pub(super) fn show(&self) {
        let counts = self.counts();
        let reason = *locked(&self.reason);
        let mut shown = locked(&self.shown);
        let (before, at) = shown.measured;
        if at.elapsed() >= RATE_SPAN {
            // Fewer bytes than before: uploads have ended meanwhile.
            let more = counts.sent.saturating_sub(before);
            let millis = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
            shown.rate = (counts.sent >= before).then(|| more.saturating_mul(1_000) / millis);
            shown.measured = (counts.sent, Instant::now());
        }
        let line = counts.text(shown.rate, reason);
        if let Some(bar) = &self.bar {
            bar.set_message(line);
            bar.tick();
        } else if line != shown.line && shown.line_at.elapsed() >= LINE_PAUSE {
            output::status(&line);
            (shown.line, shown.line_at) = (line, Instant::now());
        }
    }

    /// Stops the display.
    pub(super) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn job(status: &str, phase: &str) -> JobView {
        let data = json!({
            "status": status, "phase": phase, "progress": 5, "bytesSent": 5, "bytesTotal": 10,
            "connectionId": "c", "createdDate": "2026-01-31T00:00:00Z", "updatedDate": "2026-01-31T00:00:00Z",
        });
        JobView::parse(json!({ "job_id": "019c1234-5678-7abc-8def-0123456789ab", "data": data })).unwrap()
    }

    #[test]
    fn a_phase_that_this_version_does_not_know_is_no_error() {
        for (phase, stage) in [
            ("queued", Stage::Queued),
            ("uploading", Stage::Uploading { sent: 5, total: 10 }),
            ("transcoding", Stage::Transcoding),
            ("publishing", Stage::Other),
            ("dreaming", Stage::Other),
            ("scheduled", Stage::Scheduled),
        ] {
            let job = job("in-progress", phase);
            assert_eq!((Stage::of(&job), ended(&job)), (stage, None), "{phase}");
        }
        assert_eq!(ended(&job("failed", "cleaning_up")), None);
        for (phase, status) in
            [("completed", Status::Completed), ("failed", Status::Failed), ("cancelled", Status::Cancelled)]
        {
            assert_eq!(ended(&job(phase, phase)), Some(status));
        }
    }

    #[test]
    fn the_progress_of_all_is_one_line() {
        let id = JobId::parse("019c1234-5678-7abc-8def-0123456789ab").unwrap();
        let in_progress = |stage| State::InProgress(id.clone(), stage);
        let states = [
            State::Ended(Status::Completed),
            State::Ended(Status::Completed),
            State::Ended(Status::Failed),
            State::Ended(Status::Cancelled),
            in_progress(Stage::Uploading { sent: 1024, total: 2048 }),
            in_progress(Stage::Uploading { sent: 0, total: 1024 }),
            in_progress(Stage::Transcoding),
            in_progress(Stage::Other),
            State::Scheduled,
            State::Waiting,
            State::Unfinished,
            State::Duplicate,
        ];
        let counts = Counts::of(&states);
        assert_eq!(counts.in_progress(), 4);
        assert_eq!(
            counts.text(Some(512), Some(WaitReason::RateLimited)),
            "2 completed, 2 uploading (1.00 KiB of 3.00 KiB, 512 B a second), 1 transcoding, 1 queued, 1 scheduled, \
             1 waiting (the service limits the rate of requests), 2 failed, 1 not finished, 1 duplicate"
        );
        assert_eq!(Counts::of(&[State::Waiting]).text(None, None), "0 completed, 1 waiting");
    }
}
