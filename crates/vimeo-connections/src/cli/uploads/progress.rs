//! How far an upload is, on standard error: a bar at a terminal, elsewhere a plain line now and then.

use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::job::{Job, JobState};
use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::cli::output;

/// How often a plain line is written, at the most.
const LINE_PAUSE: Duration = Duration::from_secs(10);
/// How often the bar shows that it lives.
const TICK: Duration = Duration::from_millis(200);
const BAR: &str = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec}, {eta} left";
const SPINNER: &str = "{spinner} {msg} {elapsed}";

/// What is shown. Clones show the same.
#[derive(Debug, Clone)]
pub(super) struct Progress(Arc<Shown>);

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
    /// The last plain line, and when it was written.
    line: String,
    line_at: Instant,
}

impl Progress {
    pub(super) fn new() -> Self {
        let is_bar = io::stderr().is_terminal();
        let target = if is_bar { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(style(SPINNER));
        if is_bar {
            bar.enable_steady_tick(TICK);
        }
        let said = Said { phase: "", is_sending: false, line: String::new(), line_at: Instant::now() };
        Self(Arc::new(Shown { bar, is_bar, said: Mutex::new(said) }))
    }

    /// What is being done that has no measure.
    pub(super) fn phase(&self, phase: &'static str) {
        self.change(phase, None);
    }

    /// Nothing has been sent.
    fn begin(&self, phase: &'static str) {
        self.0.bar.set_position(0);
        self.phase(phase);
    }

    /// Bytes are sent from this offset on; those before it were sent earlier, and say nothing of the speed.
    pub(super) fn sending_from(&self, offset: u64, total: u64) {
        self.0.bar.set_position(offset);
        self.change("sending", Some(total));
        self.0.bar.reset_eta();
    }

    /// So many bytes are sent.
    pub(super) fn sent(&self, offset: u64) {
        self.0.bar.set_position(offset);
        self.say_line();
    }

    /// What the job says of itself.
    pub(super) fn show(&self, job: &Job) {
        match &job.state {
            JobState::Accepted(_) => self.begin("waiting for its turn"),
            JobState::Creating(_) => self.begin("making a place for the video"),
            JobState::Sending(sending) => {
                // The job learns later than this command what has left: the bar does not go back.
                let sent = sending.sent.max(self.0.bar.position()).min(sending.size);
                if self.said().is_sending {
                    self.sent(sent);
                } else {
                    self.sending_from(sent, sending.size);
                }
            }
            JobState::Finishing(_) => self.phase("making the settings"),
            JobState::Transcoding(_) => self.phase("waiting for Vimeo to make it playable"),
            JobState::Abandoning(_) => self.phase("taking away what is at Vimeo"),
            JobState::Completed(_) | JobState::Failed(_) | JobState::Cancelled(_) => self.end(),
        }
    }

    /// Nothing more is shown.
    pub(super) fn end(&self) {
        self.0.bar.finish_and_clear();
    }

    fn change(&self, phase: &'static str, total: Option<u64>) {
        let bar = &self.0.bar;
        // Before the bar is drawn that shows it.
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
                // Without a speed there is nothing to reckon with.
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
            output::remark(&line);
            said.line = line;
            said.line_at = Instant::now();
        }
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
    // The templates are our own: a faulty one would show the library's instead.
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

#[cfg(test)]
mod tests {
    use domain::id::{AccountId, ConnectionId};
    use domain::job::{Accepted, JobId, Sending, SourceKind, Troubles, Webhook};
    use domain::time::Timestamp;
    use domain::video::VideoNumber;

    use super::*;

    fn job(state: JobState) -> Job {
        let at = Timestamp::from_millis(1_000);
        Job {
            id: JobId::make(at, [7; 10]),
            account_id: AccountId::from_random([1; 16]),
            connection_id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
            created_at: at,
            updated_at: at,
            version: 1,
            source: SourceKind::Client,
            facts: None,
            state,
            bytes_per_second: None,
            warnings: Vec::new(),
            troubles: Troubles::none(at),
            webhook: Webhook::None,
        }
    }

    #[test]
    fn behind_the_last_byte_the_bar_does_not_go_back_to_what_the_job_knows() {
        let sending = |sent| {
            let video = VideoNumber::from_stored(1);
            job(JobState::Sending(Sending { video, size: 1_000, sent, restarts: 0 }))
        };
        let progress = Progress::new();
        progress.sending_from(0, 1_000);
        progress.sent(1_000);
        for sent in [0, 400, 0] {
            progress.show(&sending(sent));
            assert_eq!(progress.0.bar.position(), 1_000);
        }
        // Another placeholder is another beginning.
        progress.show(&job(JobState::Accepted(Accepted::default())));
        progress.show(&sending(300));
        assert_eq!(progress.0.bar.position(), 300);
    }
}
