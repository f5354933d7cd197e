//! Shows the progress of an upload on standard error: a bar on a terminal, else a line from time to time.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::job::JobPhase;
use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::cli::jobs::JobView;
use crate::cli::output;

/// Minimum time between two lines.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// How often the bar is redrawn.
const TICK: Duration = Duration::from_millis(200);
const BAR: &str = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left";
/// Of a job that is not run because of a limit.
const LIMITED: &str =
    "waiting for other uploads to end: the limit of the account or the connection is reached";
const SPINNER: &str = "{spinner} {msg} {elapsed}";

/// The progress display. Clones share it.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Progress(Arc<Shown>);

#[derive(Debug)]
struct Shown {
    bar: ProgressBar,
    is_bar: bool,
    said: Mutex<Said>,
}

#[derive(Debug)]
struct Said {
    phase: &'static str,
    is_sending: bool,
    /// This command sends the bytes itself and has newer numbers than the job.
    is_own: bool,
    /// The limits of the account and the connection do not allow another upload.
    is_limited: bool,
    /// The last line, and when it was printed.
    line: String,
    line_at: Instant,
}

impl Progress {
    pub(in crate::cli) fn new() -> Self {
        let is_bar = io::stderr().is_terminal();
        let target = if is_bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(style(SPINNER));
        if is_bar {
            bar.enable_steady_tick(TICK);
        }
        Self::with(bar, is_bar)
    }

    /// Shows nothing: one of many, of which the sum is shown.
    pub(in crate::cli) fn silent() -> Self {
        Self::with(ProgressBar::hidden(), true)
    }

    fn with(bar: ProgressBar, is_bar: bool) -> Self {
        let said = Said {
            phase: "",
            is_sending: false,
            is_own: false,
            is_limited: false,
            line: String::new(),
            line_at: Instant::now(),
        };
        Self(Arc::new(Shown { bar, is_bar, said: Mutex::new(said) }))
    }

    /// A step without a measurable progress.
    pub(in crate::cli) fn phase(&self, phase: &'static str) {
        self.change(phase, None);
    }

    /// Bytes are sent from this offset on. Earlier bytes do not count for the rate.
    pub(in crate::cli) fn sending_from(&self, offset: u64, total: u64) {
        {
            let mut said = self.said();
            (said.is_own, said.is_limited) = (true, false);
        }
        self.measure_from(offset, total);
    }

    /// Whether other uploads of the account or the connection have to end first.
    pub(in crate::cli) fn set_limited(&self, is_limited: bool) {
        self.said().is_limited = is_limited;
    }

    fn measure_from(&self, offset: u64, total: u64) {
        self.0.bar.set_position(offset);
        self.change("sending", Some(total));
        self.0.bar.reset_eta();
    }

    /// The bytes up to `offset` have been sent.
    pub(in crate::cli) fn sent(&self, offset: u64) {
        self.0.bar.set_position(offset);
        self.say_line();
    }

    /// Shows the state of the job.
    pub(in crate::cli) fn show(&self, job: &JobView) {
        let waiting_for_vimeo = job.is_waiting_for_vimeo();
        match job.phase() {
            Some(phase) => self.show_phase(phase, job.bytes(), waiting_for_vimeo),
            None => self.phase("working"),
        }
    }

    fn show_phase(&self, phase: JobPhase, bytes: Option<(u64, u64)>, is_waiting_for_vimeo: bool) {
        match (phase, bytes) {
            (JobPhase::Queued, _) => self.phase("waiting for its turn"),
            (JobPhase::Scheduled, _) => self.phase("scheduled: the video opens at its time"),
            (JobPhase::Creating, _) => self.phase("creating the video at Vimeo"),
            (JobPhase::Uploading, _) if self.said().is_limited => self.phase(LIMITED),
            // The job is updated later than this command's own numbers.
            (JobPhase::Uploading, Some((_, size))) if self.is_own() => {
                if self.0.bar.position() >= size {
                    self.phase("waiting for Vimeo to confirm the last byte");
                } else if is_waiting_for_vimeo {
                    self.phase("waiting to resume: the connection to Vimeo was lost");
                }
            }
            (JobPhase::Uploading, Some((sent, size))) => {
                if self.is_sending() {
                    self.sent(sent);
                } else {
                    self.measure_from(sent, size);
                }
            }
            (JobPhase::Uploading, None) => self.phase("sending"),
            (JobPhase::Configuring, _) => self.phase("making the settings"),
            (JobPhase::Transcoding, _) => self.phase("waiting for Vimeo to make it playable"),
            (JobPhase::Publishing, _) => self.phase("opening the video to its viewers"),
            (JobPhase::CleaningUp, _) => self.phase("deleting what is at Vimeo"),
            (JobPhase::Completed | JobPhase::Failed | JobPhase::Cancelled, _) => self.end(),
        }
    }

    /// The bytes that have been sent, and all; zero before the first one is sent.
    pub(in crate::cli) fn bytes(&self) -> (u64, u64) {
        (self.0.bar.position(), self.0.bar.length().unwrap_or_default())
    }

    /// Stops the display.
    pub(in crate::cli) fn end(&self) {
        self.0.bar.finish_and_clear();
    }

    fn change(&self, phase: &'static str, total: Option<u64>) {
        let bar = &self.0.bar;
        // Before the bar is drawn with it.
        match total {
            Some(total) => bar.set_length(total),
            None => bar.unset_length(),
        }
        {
            let mut said = self.said();
            if (said.phase, said.is_sending) != (phase, total.is_some()) {
                (said.phase, said.is_sending) = (phase, total.is_some());
                bar.set_style(style(if total.is_some() { BAR } else { SPINNER }));
                bar.set_message(phase);
                bar.reset_elapsed();
            }
        }
        self.say_line();
    }

    fn say_line(&self) {
        if self.0.is_bar {
            return;
        }
        let mut said = self.said();
        if said.line_at.elapsed() < LINE_PAUSE {
            return;
        }
        let line = match self.0.bar.length() {
            Some(total) if said.is_sending => {
                let bar = &self.0.bar;
                let (sent, total, rate) = (BinaryBytes(bar.position()), BinaryBytes(total), per_second(bar));
                // Without a rate there is no estimate.
                let speed = if rate == 0 {
                    String::new()
                } else {
                    format!(", {} a second, {} left", BinaryBytes(rate), HumanDuration(bar.eta()))
                };
                format!("{}: {sent} of {total}{speed}", said.phase)
            }
            _ => said.phase.to_owned(),
        };
        if line != said.line {
            output::status(&line);
            said.line = line;
            said.line_at = Instant::now();
        }
    }

    fn is_own(&self) -> bool {
        self.said().is_own
    }

    fn is_sending(&self) -> bool {
        self.said().is_sending
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.said.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a speed that is shown to a person, and is never negative"
)]
fn per_second(bar: &ProgressBar) -> u64 {
    bar.per_sec() as u64
}

fn style(template: &'static str) -> ProgressStyle {
    // The templates are constants; an invalid one would fall back to the library's default.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(progress: &Progress, sent: u64) {
        progress.show_phase(JobPhase::Uploading, Some((sent, 1_000)), false);
    }

    #[tokio::test]
    async fn nothing_falls_back_after_the_last_byte_that_this_command_has_sent() {
        let progress = Progress::new();
        progress.sending_from(0, 1_000);
        progress.sent(1_000);
        for sent in [0, 500] {
            show(&progress, sent);
            assert_eq!(progress.0.bar.position(), 1_000);
            assert!(!progress.is_sending(), "a phase without a measure is shown");
        }
    }

    #[tokio::test]
    async fn what_a_service_sends_is_shown_as_its_job_says() {
        let progress = Progress::new();
        for sent in [0, 500, 1_000, 0] {
            show(&progress, sent);
            assert_eq!((progress.0.bar.position(), progress.is_sending()), (sent, true));
        }
    }
}
