//! What there is at an address, before it is read: asked for its first bytes, and, unless that gives a sound answer,
//! once without a range and once for the range of the whole. Servers refuse the one and answer the other.

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderValue, RANGE};
use tokio::time::timeout;

use super::Outbound;
use super::hops::NoAnswer;
use super::marks::Marks;
use super::ranges::Brought;
use super::sources::{Ranges, SourceError, SourceFacts, Statuses};
use super::url::OutboundUrl;

/// How many bytes the probe asks for: what decides the kind of a file is among them.
pub(crate) const FIRST_BYTES: usize = 4_096;

/// What a probe found.
#[derive(Debug)]
pub struct Probed {
    /// What is known of the file.
    pub facts: SourceFacts,
    /// The headers of the answer, as they came.
    pub headers: HeaderMap,
    /// The first bytes of the body, at most [`FIRST_BYTES`]; fewer than there are if the connection broke off.
    pub first: Bytes,
}

/// A way to ask. A probe goes through them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// `Range: bytes=0-4095`.
    FirstBytes,
    /// No `Range`.
    Plain,
    /// `Range: bytes=0-`.
    FromStart,
}

impl Way {
    const ALL: [Self; 3] = [Self::FirstBytes, Self::Plain, Self::FromStart];

    fn headers(self) -> HeaderMap {
        let range = match self {
            Self::FirstBytes => "bytes=0-4095",
            Self::Plain => return HeaderMap::new(),
            Self::FromStart => "bytes=0-",
        };
        HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))])
    }

    /// What an answer says about length and ranges, if it begins with the file's first byte.
    fn sound(self, brought: Brought) -> Option<(Option<u64>, Ranges)> {
        match brought {
            Brought::Whole { length } => Some((length, Ranges::Ignored)),
            Brought::Part { start: 0, end, total } => {
                let is_whole = total == Some(end + 1);
                let is_short = end < FIRST_BYTES as u64;
                let ranges = match self {
                    // More than was asked for: such a server answers every range with the whole.
                    Self::FirstBytes if is_short || !is_whole => Ranges::Taken,
                    Self::FromStart => Ranges::Taken,
                    _ => Ranges::Ignored,
                };
                Some((total, ranges))
            }
            _ => None,
        }
    }
}

/// What was seen while no answer was sound.
#[derive(Debug, Default)]
struct Seen {
    statuses: Statuses,
    is_empty: bool,
    passing: Option<SourceError>,
}

impl Seen {
    fn note(&mut self, brought: Brought, status: u16) {
        self.statuses.push(status);
        match brought {
            Brought::OutOfRange { total: Some(0) } => self.is_empty = true,
            Brought::Later { after_seconds } => self.passing = Some(SourceError::Later { after_seconds }),
            _ => {}
        }
    }

    /// Why the source is not read: only when every answer was definite, the upload fails at once.
    fn error(self) -> SourceError {
        match self.passing {
            Some(error) => error,
            None if self.is_empty => SourceError::Empty,
            None => SourceError::Refused(self.statuses),
        }
    }
}

impl Outbound {
    /// What there is at `url`. A source that says that it is longer than `max_bytes` is refused.
    pub async fn probe(&self, url: &OutboundUrl, max_bytes: u64) -> Result<Probed, SourceError> {
        let found = self.first_sound(url).await?;
        match found.facts.length {
            Some(0) => Err(SourceError::Empty),
            Some(length) if length > max_bytes => Err(SourceError::TooLarge),
            _ => Ok(found),
        }
    }

    async fn first_sound(&self, url: &OutboundUrl) -> Result<Probed, SourceError> {
        let mut seen = Seen::default();
        let mut without_length: Option<Probed> = None;
        for way in Way::ALL {
            let response = match self.0.get(url, &way.headers()).await {
                Ok(response) => response,
                // Nothing was sent: another way of asking would not be, either.
                Err(NoAnswer::Unreachable) if way == Way::FirstBytes => return Err(SourceError::Unreachable),
                Err(no_answer) => {
                    seen.passing = Some(no_answer.into());
                    continue;
                }
            };
            let brought = Brought::by(response.status(), response.headers());
            let Some((length, ranges)) = way.sound(brought) else {
                seen.note(brought, response.status().as_u16());
                continue;
            };
            if let (Some(mut known), Some(length)) = (without_length.take(), length) {
                known.facts.length = Some(length);
                return Ok(known);
            }
            let Some(probed) = self.read_first(response, length, ranges).await else {
                seen.passing = Some(SourceError::Broken);
                continue;
            };
            if length.is_some() || way != Way::FirstBytes {
                return Ok(probed);
            }
            if ranges == Ranges::Ignored {
                return Ok(probed);
            }
            // A part of a whole whose length is not said: the answer with the whole may say it.
            without_length = Some(probed);
        }
        without_length.ok_or_else(|| seen.error())
    }

    /// Reads the first bytes of a sound answer, and no more: the connection ends here. `None` if none came that should.
    async fn read_first(
        &self,
        mut response: Response,
        length: Option<u64>,
        ranges: Ranges,
    ) -> Option<Probed> {
        let mut first = BytesMut::new();
        let reading = async {
            while first.len() < FIRST_BYTES {
                match response.chunk().await {
                    Ok(Some(piece)) => first.extend_from_slice(&piece),
                    Ok(None) => return true,
                    Err(_) => return false,
                }
            }
            true
        };
        let is_whole = timeout(self.0.timeouts.silence, reading).await.unwrap_or(false);
        first.truncate(FIRST_BYTES);
        if first.is_empty() && (!is_whole || length.is_some_and(|length| length > 0)) {
            return None;
        }
        let marks = Marks::of(response.headers());
        let marks = if has_all_first(first.len(), length) { marks.with_first_bytes(&first) } else { marks };
        let facts = SourceFacts { length, marks, ranges };
        Some(Probed { facts, headers: response.headers().clone(), first: first.freeze() })
    }
}

/// Whether this number of bytes is all that is compared of a file. A server may send fewer than requested.
fn has_all_first(count: usize, length: Option<u64>) -> bool {
    length.is_some_and(|length| count as u64 == length.min(FIRST_BYTES as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_compared_only_if_all_of_them_came() {
        for (count, length, expected) in [
            (4_096, Some(10_000), true),
            (4_096, Some(4_096), true),
            (10, Some(10), true),
            (4_095, Some(10_000), false),
            (9, Some(10), false),
            (4_096, None, false),
            (10, None, false),
        ] {
            assert_eq!(has_all_first(count, length), expected, "{count} {length:?}");
        }
    }

    fn part(end: u64, total: Option<u64>) -> Brought {
        Brought::Part { start: 0, end, total }
    }

    #[test]
    fn an_answer_is_sound_if_it_begins_with_the_first_byte() {
        use Ranges::{Ignored, Taken};
        use Way::{FirstBytes, FromStart, Plain};
        for (way, brought, expected) in [
            (FirstBytes, part(4_095, Some(10_000)), Some((Some(10_000), Taken))),
            (FirstBytes, part(9, Some(10)), Some((Some(10), Taken))),
            (FirstBytes, part(0, Some(10_000)), Some((Some(10_000), Taken))),
            (FirstBytes, part(4_095, None), Some((None, Taken))),
            // Always the whole, whatever the range.
            (FirstBytes, part(9_999, Some(10_000)), Some((Some(10_000), Ignored))),
            (Plain, part(9_999, Some(10_000)), Some((Some(10_000), Ignored))),
            (FromStart, part(9_999, Some(10_000)), Some((Some(10_000), Taken))),
            (FirstBytes, Brought::Whole { length: Some(10) }, Some((Some(10), Ignored))),
            (Plain, Brought::Whole { length: None }, Some((None, Ignored))),
            (FirstBytes, Brought::Part { start: 1, end: 9, total: Some(10) }, None),
            (FirstBytes, Brought::OutOfRange { total: Some(0) }, None),
            (Plain, Brought::Unmatched, None),
            (Plain, Brought::Refused(403), None),
            (FromStart, Brought::Later { after_seconds: None }, None),
        ] {
            assert_eq!(way.sound(brought), expected, "{way:?} {brought:?}");
        }
    }

    #[test]
    fn what_was_seen_is_final_only_if_every_answer_was() {
        let error = |answers: &[(Brought, u16)]| {
            let mut seen = Seen::default();
            for (brought, status) in answers {
                seen.note(*brought, *status);
            }
            seen.error()
        };
        let (no, later) = (Brought::Refused(403), Brought::Later { after_seconds: Some(3) });
        let gone = [(no, 403), (no, 404), (no, 403)];
        let SourceError::Refused(statuses) = error(&gone) else { panic!() };
        assert_eq!(statuses.to_string(), "403, 404 and 403");
        assert_eq!(
            error(&[(no, 403), (later, 503), (no, 403)]),
            SourceError::Later { after_seconds: Some(3) }
        );
        let nothing = Brought::OutOfRange { total: Some(0) };
        assert_eq!(error(&[(nothing, 416), (no, 403), (nothing, 416)]), SourceError::Empty);
    }
}
