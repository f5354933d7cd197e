//! `Content-Range`: which part of how much an answer is.

use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap};

/// What an answer says of its part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContentRange {
    /// From this byte on, of so many if that is known.
    Part { start: u64, total: Option<u64> },
    /// None of so many: what was asked for is not there.
    Nothing { total: u64 },
}

impl ContentRange {
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.trim_start().split_once('/')?;
        if range == "*" {
            return number(total).map(|total| Self::Nothing { total });
        }
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let is_sound = start <= end && total.is_none_or(|total| end < total);
        is_sound.then_some(Self::Part { start, total })
    }
}

/// `Content-Length`, if there is one.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(number)
}

/// Digits alone.
pub(super) fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_range_is_read_or_it_is_none() {
        let part = |start, total| Some(ContentRange::Part { start, total });
        for (text, expected) in [
            ("bytes 0-0/1", part(0, Some(1))),
            ("bytes 5-9/10", part(5, Some(10))),
            ("bytes 5-9/*", part(5, None)),
            ("bytes */0", Some(ContentRange::Nothing { total: 0 })),
            ("bytes */10", Some(ContentRange::Nothing { total: 10 })),
            ("bytes 0-9/5", None),
            ("bytes 9-0/10", None),
            ("bytes */*", None),
            ("bytes +0-1/2", None),
            ("bytes 0-18446744073709551616/18446744073709551617", None),
            ("items 0-0/1", None),
            ("bytes=0-0/1", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }
}
