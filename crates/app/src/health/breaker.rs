//! Pauses background checks while Vimeo does not answer, so that not every connection has to find that out.

use std::time::Duration;

use tokio::time::Instant;

/// Unanswered checks in a row after which others wait.
const THRESHOLD: u32 = 3;
/// The first pause.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Counts the checks that Vimeo did not answer.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    unanswered: u32,
    paused_until: Option<Instant>,
}

/// How many checks may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowance {
    /// As many as there are slots.
    All,
    /// One, to see whether Vimeo answers again.
    One,
    /// None until then.
    None(Instant),
}

impl Breaker {
    /// A check has ended.
    pub(super) fn record(&mut self, is_answered: bool, now: Instant) {
        if is_answered {
            *self = Self::default();
            return;
        }
        self.unanswered = self.unanswered.saturating_add(1);
        if let Some(more) = self.unanswered.checked_sub(THRESHOLD) {
            let pause = PAUSE.saturating_mul(1 << more.min(5)).min(PAUSE_MAX);
            self.paused_until = Some(now + pause);
        }
    }

    /// How many checks may run now.
    pub(super) fn allowance(&self, now: Instant) -> Allowance {
        match self.paused_until {
            Some(until) if now < until => Allowance::None(until),
            Some(_) => Allowance::One,
            None => Allowance::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_pause_after_three_without_an_answer_and_one_tries() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut breaker = Breaker::default();
        for _ in 0..2 {
            breaker.record(false, at(0));
            assert_eq!(breaker.allowance(at(0)), Allowance::All);
        }
        breaker.record(false, at(0));
        assert_eq!(breaker.allowance(at(0)), Allowance::None(at(1)));
        assert_eq!(breaker.allowance(at(1)), Allowance::One);
        breaker.record(false, at(1));
        assert_eq!(breaker.allowance(at(2)), Allowance::None(at(3)));
        for _ in 0..100 {
            breaker.record(false, at(3));
        }
        assert_eq!(breaker.allowance(at(3)), Allowance::None(at(33)), "no longer than half a minute");
        breaker.record(true, at(4));
        assert_eq!(breaker.allowance(at(4)), Allowance::All);
    }
}
