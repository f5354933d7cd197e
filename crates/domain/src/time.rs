//! Instants as integer microseconds of UTC since 1970.

use std::fmt;
use std::time::Duration;

use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use thiserror::Error;

/// An instant: microseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_MILLI: i64 = 1_000;
const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// 9999-12-30T21:59:59.999999Z: the last instant with a four-digit year in every UTC offset.
const LATEST_MICROS: i64 = 253_402_207_199_999_999;

const ISO_8601: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

/// The text is not a date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a date and time with its offset from UTC, such as 2026-01-31T09:05:00.042Z")]
pub struct TimestampError;

impl Timestamp {
    /// A date and time in ISO 8601 with its offset from UTC (`Z` or such as `+02:00`), clamped like
    /// [`Self::from_micros`].
    pub fn parse(text: &str) -> Result<Self, TimestampError> {
        // Annotations such as `[Europe/Berlin]` are not part of ISO 8601.
        let parsed = text.parse::<jiff::Timestamp>().ok().filter(|_| !text.contains('['));
        Ok(Self::from_micros(parsed.ok_or(TimestampError)?.as_microsecond()))
    }

    /// Microseconds since 1970, clamped to the range from 1970 to 9999-12-30.
    pub fn from_micros(micros: i64) -> Self {
        Self(micros.clamp(0, LATEST_MICROS))
    }

    /// Milliseconds since 1970, clamped like [`Self::from_micros`].
    pub fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(MICROS_PER_MILLI))
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Whole milliseconds since 1970.
    pub fn as_millis(self) -> i64 {
        self.0 / MICROS_PER_MILLI
    }

    /// Rounded down to whole milliseconds.
    #[must_use]
    pub fn floor_to_millis(self) -> Self {
        Self::from_millis(self.as_millis())
    }

    /// The start of the next millisecond.
    #[must_use]
    pub fn next_milli(self) -> Self {
        Self::from_millis(self.as_millis() + 1)
    }

    /// `duration` later, in whole microseconds.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// `duration` earlier, in whole microseconds; not before 1970.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self::from_micros(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// `seconds` later.
    #[must_use]
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self::from_micros(self.0.saturating_add(seconds.saturating_mul(MICROS_PER_SECOND)))
    }

    /// `days` days of 86,400 seconds later.
    #[must_use]
    pub fn plus_days(self, days: u32) -> Self {
        self.plus_seconds(i64::from(days) * SECONDS_PER_DAY)
    }

    /// Whole seconds from `earlier` to this instant, rounded up; 0 if it is not later.
    pub fn seconds_after(self, earlier: Self) -> u64 {
        let micros = u64::try_from(self.0 - earlier.0).unwrap_or(0);
        micros.div_ceil(MICROS_PER_SECOND.unsigned_abs())
    }

    /// `YYYYMMDDHHmmssSSS` in UTC: 17 digits in chronological text order.
    pub fn to_compact_millis(self) -> String {
        let mut text = self.to_string();
        text.retain(|character| character.is_ascii_digit());
        text
    }
}

/// ISO 8601 in UTC with milliseconds: `2026-01-31T09:05:00.042Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every value is within jiff's range by construction, so the fallback is never used.
        let instant = jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        // Several times as fast as a format string, and a page of connections has many timestamps.
        ISO_8601.print_timestamp(&instant, StdFmtWrite(f)).map_err(|_| fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_and_time_is_parsed_with_any_offset_and_not_without() {
        for (text, millis) in [
            ("2026-01-31T09:05:00.042Z", 1_769_850_300_042),
            ("2026-01-31T09:05:00Z", 1_769_850_300_000),
            ("2026-01-31T11:05:00+02:00", 1_769_850_300_000),
            ("1969-12-31T23:59:59Z", 0),
        ] {
            assert_eq!(Timestamp::parse(text), Ok(Timestamp::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "2026-01-31",
            "2026-01-31T09:05:00",
            "1769850300",
            "2026-13-01T00:00:00Z",
            "2026-01-31T09:05:00Z[UTC]",
        ] {
            assert_eq!(Timestamp::parse(text), Err(TimestampError), "{text}");
        }
    }

    #[test]
    fn a_timestamp_is_displayed_in_iso_8601_with_milliseconds() {
        let instant = Timestamp::from_micros(1_769_850_300_042_999);
        assert_eq!(instant.to_string(), "2026-01-31T09:05:00.042Z");
        assert_eq!(instant.to_compact_millis(), "20260131090500042");
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_micros(i64::MAX).to_string(), "9999-12-30T21:59:59.999Z");
        assert_eq!(Timestamp::from_micros(i64::MIN).as_micros(), 0);
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_seconds() {
        let start = Timestamp::from_millis(1_000);
        assert_eq!(Timestamp::from_millis(2_001).seconds_after(start), 2);
        assert_eq!(Timestamp::from_millis(2_000).seconds_after(start), 1);
        assert_eq!(Timestamp::from_millis(500).seconds_after(start), 0);
        assert_eq!(start.plus_days(1).seconds_after(start), 86_400);
    }
}
