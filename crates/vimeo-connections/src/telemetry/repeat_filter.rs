//! Logs a repeated failure once, then counts it and reports the count once per window.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::Level;

/// How many different lines are tracked; further ones are logged every time.
const LINES_MAX: usize = 1_024;

/// Recently logged lines, identified by everything except their time.
pub(super) struct RepeatFilter {
    window: Duration,
    lines: HashMap<u64, Line>,
}

struct Line {
    since: Instant,
    repeated: u64,
    level: Level,
    message: String,
}

/// A repeated line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repeated {
    pub(super) level: Level,
    pub(super) message: String,
    pub(super) times: u64,
}

impl RepeatFilter {
    /// With a window of zero every line is logged.
    pub(super) fn new(window: Duration) -> Self {
        Self { window, lines: HashMap::new() }
    }

    /// Whether to log a line now rather than only count it.
    pub(super) fn is_first(
        &mut self,
        line: u64,
        level: Level,
        now: Instant,
        message: impl FnOnce() -> String,
    ) -> bool {
        if self.window.is_zero() {
            return true;
        }
        if let Some(known) = self.lines.get_mut(&line) {
            known.repeated += 1;
            return false;
        }
        if self.lines.len() < LINES_MAX {
            self.lines.insert(line, Line { since: now, repeated: 0, level, message: message() });
        }
        true
    }

    /// The repeated lines whose window has ended. Lines that did not repeat are forgotten.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<Repeated> {
        let window = self.window;
        let mut ended = Vec::new();
        self.lines.retain(|_, line| {
            if now.saturating_duration_since(line.since) < window {
                return true;
            }
            let times = std::mem::take(&mut line.repeated);
            line.since = now;
            if times > 0 {
                ended.push(Repeated { level: line.level, message: line.message.clone(), times });
            }
            times > 0
        });
        ended
    }

    /// All repeated lines, at the end of the process.
    pub(super) fn all(&mut self) -> Vec<Repeated> {
        let lines = std::mem::take(&mut self.lines).into_values().filter(|line| line.repeated > 0);
        lines
            .map(|line| Repeated { level: line.level, message: line.message, times: line.repeated })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn repeated(times: u64) -> Vec<Repeated> {
        vec![Repeated { level: Level::WARN, message: "m".to_owned(), times }]
    }

    #[test]
    fn a_repeated_line_is_logged_once_and_then_counted_per_window() {
        let start = Instant::now();
        let mut repeats = RepeatFilter::new(WINDOW);
        let at = |seconds| start + Duration::from_secs(seconds);
        let log = |repeats: &mut RepeatFilter, line, seconds| {
            repeats.is_first(line, Level::WARN, at(seconds), || "m".to_owned())
        };
        assert!(log(&mut repeats, 1, 0));
        assert!(log(&mut repeats, 2, 0), "another line is logged at once");
        assert!(!log(&mut repeats, 1, 1) && !log(&mut repeats, 1, 59));
        assert_eq!(repeats.ended(at(59)), []);
        assert_eq!(
            repeats.ended(at(60)),
            repeated(2),
            "the second line did not come again, and is forgotten"
        );
        assert!(log(&mut repeats, 2, 61));
        assert!(!log(&mut repeats, 1, 61), "a failure that lasts is one line a window");
        assert_eq!(repeats.ended(at(120)), repeated(1));
        assert_eq!(repeats.ended(at(180)), []);
        assert!(log(&mut repeats, 1, 181), "after a quiet window it is news again");
    }

    #[test]
    fn counts_are_reported_at_the_end() {
        let mut repeats = RepeatFilter::new(WINDOW);
        for _ in 0..4 {
            repeats.is_first(1, Level::WARN, Instant::now(), || "m".to_owned());
        }
        assert_eq!(repeats.all(), repeated(3));
        assert_eq!(repeats.all(), []);
    }

    #[test]
    fn without_a_window_and_beyond_the_limit_every_line_is_logged() {
        let now = Instant::now();
        let mut repeats = RepeatFilter::new(Duration::ZERO);
        assert!((0..3).all(|_| repeats.is_first(1, Level::WARN, now, String::new)));
        let mut repeats = RepeatFilter::new(WINDOW);
        for line in 0..2 * LINES_MAX as u64 {
            assert!(repeats.is_first(line, Level::WARN, now, String::new));
        }
        assert!(repeats.is_first(2 * LINES_MAX as u64 - 1, Level::WARN, now, String::new));
        assert!(!repeats.is_first(0, Level::WARN, now, String::new));
    }
}
