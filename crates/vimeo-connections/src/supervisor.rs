//! Reports the state of the service to systemd (`Type=notify`). Without `NOTIFY_SOCKET` nothing is sent.

use std::sync::Arc;
use std::time::Duration;

use app::{App, WriterAnswer};
use sd_notify::NotifyState;
use tokio::time::Instant;

/// How often the queue of writes is looked at while its writer does not answer.
const QUEUE_INTERVAL: Duration = Duration::from_millis(50);
/// A writer whose queue is full is not asked more often than this.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// The service listens.
pub(crate) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload begins; [`ready`] ends it.
pub(crate) fn reloading() {
    let status = NotifyState::Status("reloading the configuration");
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now, status]),
        // systemd refuses RELOADING=1 without the time.
        Err(error) => tracing::warn!(%error, "the time for systemd cannot be read"),
    }
}

/// No new connections are accepted.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping, NotifyState::Status("waiting for running requests")]);
}

/// What the service does before it is ready.
pub(crate) fn starting(status: &str) {
    notify(&[NotifyState::Status(status)]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be notified (NOTIFY_SOCKET)");
    }
}

/// What is known of the writer of the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Vitals {
    answer: WriterAnswer,
    /// Its queue has become shorter.
    has_taken_writes: bool,
}

/// Whether a restart would not help: the writer answers, even if only with an error such as "the database server is
/// unreachable", or it works through its queue. If it is stuck, systemd restarts the service.
fn is_alive(vitals: Vitals) -> bool {
    vitals.answer == WriterAnswer::Answered || vitals.has_taken_writes
}

/// Reports to the watchdog of systemd, if it is enabled, twice in its interval while the service is alive. That this runs
/// at all shows that the runtime works.
pub(crate) async fn feed_watchdog(app: Arc<App>) {
    let Some(interval) = sd_notify::watchdog_enabled().map(|interval| interval / 2) else { return };
    let mut next = Instant::now();
    loop {
        tokio::time::sleep_until(next).await;
        // A late report does not delay the next one.
        next = (next + interval).max(Instant::now());
        let mut queue = Queue { longest: app.queued_writes() };
        while !is_alive(examine(&app, interval, &mut queue).await) {
            tracing::error!(
                "the writer of the database does not respond: unless it does soon, systemd's watchdog restarts the service"
            );
            tokio::time::sleep(RETRY_DELAY).await;
        }
        notify(&[NotifyState::Watchdog]);
    }
}

/// The queue of writes while its writer is watched.
struct Queue {
    longest: usize,
}

impl Queue {
    /// Whether it has become shorter since it was the longest.
    fn is_shorter(&mut self, length: usize) -> bool {
        self.longest = self.longest.max(length);
        length < self.longest
    }
}

/// Asks the writer, and watches its queue until it answers.
async fn examine(app: &App, limit: Duration, queue: &mut Queue) -> Vitals {
    let mut has_taken_writes = false;
    let probe = app.probe_writer(limit);
    tokio::pin!(probe);
    loop {
        let answer = tokio::select! {
            answer = &mut probe => Some(answer),
            () = tokio::time::sleep(QUEUE_INTERVAL) => None,
        };
        has_taken_writes |= queue.is_shorter(app.queued_writes());
        if let Some(answer) = answer {
            return Vitals { answer, has_taken_writes };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_that_answers_or_takes_writes_is_alive() {
        for (answer, has_taken_writes, expected) in [
            (WriterAnswer::Answered, false, true),
            (WriterAnswer::Answered, true, true),
            (WriterAnswer::Silent, true, true),
            (WriterAnswer::Silent, false, false),
        ] {
            assert_eq!(is_alive(Vitals { answer, has_taken_writes }), expected, "{answer:?}");
        }
    }

    #[test]
    fn a_queue_that_only_grows_or_stays_shows_nothing() {
        let mut queue = Queue { longest: 5 };
        let seen = [5, 7, 7, 6, 7, 8].map(|length| queue.is_shorter(length));
        assert_eq!(seen, [false, false, false, true, false, false]);
    }
}
