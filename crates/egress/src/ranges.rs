//! Classifies a response by its status and `Content-Range`.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, RETRY_AFTER};

/// What a response to a GET request contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RangeResponse {
    /// 200: the whole file.
    Whole {
        /// Its length, if known.
        length: Option<u64>,
    },
    /// 206: the bytes from `start` to `end`, inclusive.
    Part {
        start: u64,
        end: u64,
        /// The length of the whole file, if known.
        total: Option<u64>,
    },
    /// 416: the range does not exist.
    Unsatisfiable {
        /// The length of the whole file, if known.
        total: Option<u64>,
    },
    /// 412: the file is not the one requested.
    PreconditionFailed,
    /// Temporarily unavailable: 408, 425, 429 and all 5xx.
    RetryLater {
        /// Minimum delay, if given in seconds. An HTTP date is ignored, because it depends on two clocks.
        after_seconds: Option<u64>,
    },
    /// Any other status.
    Refused(u16),
}

impl RangeResponse {
    pub(super) fn parse(status: StatusCode, headers: &HeaderMap) -> Self {
        let refused = Self::Refused(status.as_u16());
        match status {
            StatusCode::OK => Self::Whole { length: content_length(headers) },
            StatusCode::PARTIAL_CONTENT => match ContentRange::of(headers) {
                Some(ContentRange::Part { start, end, total })
                    if content_length(headers)
                        .is_none_or(|length| length.checked_sub(1) == Some(end - start)) =>
                {
                    Self::Part { start, end, total }
                }
                _ => refused,
            },
            StatusCode::RANGE_NOT_SATISFIABLE => Self::Unsatisfiable {
                total: match ContentRange::of(headers) {
                    Some(ContentRange::Nothing { total }) => Some(total),
                    _ => None,
                },
            },
            StatusCode::PRECONDITION_FAILED => Self::PreconditionFailed,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Self::RetryLater { after_seconds: retry_after(headers) }
            }
            status if status.is_server_error() => Self::RetryLater { after_seconds: retry_after(headers) },
            _ => refused,
        }
    }
}

/// A parsed `Content-Range` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ContentRange {
    /// From `start` to `end`, inclusive, of `total` bytes if known.
    Part { start: u64, end: u64, total: Option<u64> },
    /// `*/total`: the requested range does not exist.
    Nothing { total: u64 },
}

impl ContentRange {
    fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once([' ', '\t'])?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (range, total) = rest.trim_start().split_once('/')?;
        if range == "*" {
            return number(total).map(|total| Self::Nothing { total });
        }
        let (start, end) = range.split_once('-')?;
        let (start, end) = (number(start)?, number(end)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let is_sound = start <= end && end < total.unwrap_or(u64::MAX);
        is_sound.then_some(Self::Part { start, end, total })
    }
}

/// The `Content-Length` header.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(number)
}

fn retry_after(headers: &HeaderMap) -> Option<u64> {
    headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(|text| number(text.trim()))
}

/// Decimal digits only.
fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn a_content_range_is_parsed_or_rejected() {
        let part = |start, end, total| Some(ContentRange::Part { start, end, total });
        for (text, expected) in [
            ("bytes 0-0/1", part(0, 0, Some(1))),
            ("bytes 5-9/10", part(5, 9, Some(10))),
            ("bytes 5-9/*", part(5, 9, None)),
            ("Bytes 5-9/10", part(5, 9, Some(10))),
            ("BYTES  5-9/10 ", part(5, 9, Some(10))),
            ("bytes */0", Some(ContentRange::Nothing { total: 0 })),
            ("bytes */10", Some(ContentRange::Nothing { total: 10 })),
            ("bytes 0-9/5", None),
            ("bytes 9-0/10", None),
            ("bytes */*", None),
            ("bytes +0-1/2", None),
            ("bytes 0-18446744073709551616/18446744073709551617", None),
            ("bytes 0-18446744073709551615/*", None),
            ("items 0-0/1", None),
            ("bytes=0-0/1", None),
            ("bytes", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
    }

    fn response_range(status: u16, lines: &[(HeaderName, &'static str)]) -> RangeResponse {
        let headers = lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value)));
        RangeResponse::parse(StatusCode::from_u16(status).unwrap(), &headers.collect())
    }

    #[test]
    fn a_response_is_classified_by_status_and_range() {
        let later = |after_seconds| RangeResponse::RetryLater { after_seconds };
        for (status, lines, expected) in [
            (200, vec![(CONTENT_LENGTH, "10")], RangeResponse::Whole { length: Some(10) }),
            (200, vec![], RangeResponse::Whole { length: None }),
            (
                206,
                vec![(CONTENT_RANGE, "bytes 0-4/9")],
                RangeResponse::Part { start: 0, end: 4, total: Some(9) },
            ),
            (206, vec![(CONTENT_RANGE, "lines 0-4/9")], RangeResponse::Refused(206)),
            (206, vec![], RangeResponse::Refused(206)),
            (206, vec![(CONTENT_RANGE, "bytes 0-4/9"), (CONTENT_LENGTH, "9")], RangeResponse::Refused(206)),
            (206, vec![(CONTENT_RANGE, "bytes 0-4/9"), (CONTENT_LENGTH, "0")], RangeResponse::Refused(206)),
            (416, vec![(CONTENT_RANGE, "bytes */9")], RangeResponse::Unsatisfiable { total: Some(9) }),
            (416, vec![], RangeResponse::Unsatisfiable { total: None }),
            (412, vec![], RangeResponse::PreconditionFailed),
            (429, vec![(RETRY_AFTER, " 120")], later(Some(120))),
            (503, vec![(RETRY_AFTER, "Sun, 06 Nov 1994 08:49:37 GMT")], later(None)),
            (408, vec![(RETRY_AFTER, "-1")], later(None)),
        ] {
            assert_eq!(response_range(status, &lines), expected, "{status} {lines:?}");
        }
    }

    #[test]
    fn every_other_status_is_permanent_or_retryable() {
        for status in (100..600).filter(|status| ![200, 206, 416, 412].contains(status)) {
            let is_later = matches!(status, 408 | 425 | 429 | 500..);
            let expected = if is_later {
                RangeResponse::RetryLater { after_seconds: None }
            } else {
                RangeResponse::Refused(status)
            };
            assert_eq!(response_range(status, &[]), expected);
        }
    }
}
