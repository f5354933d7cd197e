//! How long a starting service waits between two attempts.

use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(30);

/// The delay after this failed attempt (the first is 0): 1 s, 2 s, 4 s … at most 30 s, made shorter by up to a quarter, so
/// that nodes that were started together do not ask together. `jitter` is random.
pub fn wait_before(attempt: u32, jitter: u16) -> Duration {
    let seconds = 1_u64.checked_shl(attempt).filter(|seconds| *seconds > 0);
    let delay = Duration::from_secs(seconds.unwrap_or(u64::MAX)).min(LONGEST);
    let shortened = delay / 4 * u32::from(jitter) / u32::from(u16::MAX);
    delay.saturating_sub(shortened)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_half_a_minute() {
        let delays: Vec<_> = (0..8).map(|attempt| wait_before(attempt, 0).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 30, 30, 30]);
        for attempt in [31, 63, 64, 65, u32::MAX] {
            assert_eq!(wait_before(attempt, 0), LONGEST, "{attempt}");
        }
    }

    #[test]
    fn jitter_shortens_a_delay_by_at_most_a_quarter() {
        assert_eq!(wait_before(2, u16::MAX), Duration::from_secs(3));
        let between = wait_before(2, u16::MAX / 2);
        assert!(between > Duration::from_secs(3) && between < Duration::from_secs(4), "{between:?}");
    }
}
