//! What there is at an address, before it is read: asked for its first bytes, and, unless that gives a sound answer,
//! once without a range and once for the range of the whole. Servers refuse the one and answer the other.

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use reqwest::header::{HeaderMap, HeaderValue, RANGE};
use tokio::time::timeout;

use super::Egress;
use super::connect::RequestError;
use super::ranges::RangeResponse;
use super::sources::{RangeSupport, SourceError, SourceMetadata, Statuses};
use super::url::EgressUrl;
use super::validators::Validators;

/// How many bytes the probe asks for: what decides the kind of a file is among them.
pub(crate) const FIRST_BYTES: usize = 4_096;

/// What a probe found.
#[derive(Debug)]
pub struct ProbeResult {
    /// What is known of the file.
    pub metadata: SourceMetadata,
    /// The headers of the answer, as they came.
    pub headers: HeaderMap,
    /// The first bytes of the body, at most [`FIRST_BYTES`]; fewer than there are if the connection broke off.
    pub first: Bytes,
}

/// A way to ask. A probe goes through them in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeRequest {
    /// `Range: bytes=0-4095`.
    FirstBytes,
    /// No `Range`.
    Plain,
    /// `Range: bytes=0-`.
    FromStart,
}

impl ProbeRequest {
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
    fn accept(self, response_range: RangeResponse) -> Option<(Option<u64>, RangeSupport)> {
        match response_range {
            RangeResponse::Whole { length } => Some((length, RangeSupport::No)),
            RangeResponse::Part { start: 0, end, total } => {
                let is_whole = total == Some(end + 1);
                let is_short = end < FIRST_BYTES as u64;
                let ranges = match self {
                    // More than was asked for: such a server answers every range with the whole.
                    Self::FirstBytes if is_short || !is_whole => RangeSupport::Yes,
                    Self::FromStart => RangeSupport::Yes,
                    _ => RangeSupport::No,
                };
                Some((total, ranges))
            }
            _ => None,
        }
    }
}

/// What was seen while no answer was sound.
#[derive(Debug, Default)]
struct ProbeFailures {
    statuses: Statuses,
    is_empty: bool,
    passing: Option<SourceError>,
}

impl ProbeFailures {
    fn record(&mut self, response_range: RangeResponse, status: u16) {
        self.statuses.push(status);
        match response_range {
            RangeResponse::Unsatisfiable { total: Some(0) } => self.is_empty = true,
            RangeResponse::RetryLater { after_seconds } => {
                self.passing = Some(SourceError::RetryLater { after_seconds })
            }
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

impl Egress {
    /// What there is at `url`. A source that says that it is longer than `max_bytes` is refused.
    pub async fn probe(&self, url: &EgressUrl, max_bytes: u64) -> Result<ProbeResult, SourceError> {
        let found = self.first_accepted(url).await?;
        match found.metadata.length {
            Some(0) => Err(SourceError::Empty),
            Some(length) if length > max_bytes => Err(SourceError::TooLarge),
            _ => Ok(found),
        }
    }

    async fn first_accepted(&self, url: &EgressUrl) -> Result<ProbeResult, SourceError> {
        let mut seen = ProbeFailures::default();
        let mut without_length: Option<ProbeResult> = None;
        for request in ProbeRequest::ALL {
            let response = match self.0.get(url, &request.headers()).await {
                Ok(response) => response,
                // Nothing was sent: another way of asking would not be, either.
                Err(RequestError::Unreachable) if request == ProbeRequest::FirstBytes => {
                    return Err(SourceError::Unreachable);
                }
                Err(error) => {
                    seen.passing = Some(error.into());
                    continue;
                }
            };
            let response_range = RangeResponse::parse(response.status(), response.headers());
            let Some((length, ranges)) = request.accept(response_range) else {
                seen.record(response_range, response.status().as_u16());
                continue;
            };
            if let (Some(mut known), Some(length)) = (without_length.take(), length) {
                known.metadata.length = Some(length);
                return Ok(known);
            }
            let Some(found) = self.read_first(response, length, ranges).await else {
                seen.passing = Some(SourceError::EndedEarly);
                continue;
            };
            if length.is_some() || request != ProbeRequest::FirstBytes {
                return Ok(found);
            }
            if ranges == RangeSupport::No {
                return Ok(found);
            }
            // A part of a whole whose length is not said: the answer with the whole may say it.
            without_length = Some(found);
        }
        without_length.ok_or_else(|| seen.error())
    }

    /// Reads the first bytes of a sound answer, and no more: the connection ends here. `None` if none came that should.
    async fn read_first(
        &self,
        mut response: Response,
        length: Option<u64>,
        ranges: RangeSupport,
    ) -> Option<ProbeResult> {
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
        let is_whole = timeout(self.0.timeouts.idle, reading).await.unwrap_or(false);
        first.truncate(FIRST_BYTES);
        if first.is_empty() && (!is_whole || length.is_some_and(|length| length > 0)) {
            return None;
        }
        let validators = Validators::from_headers(response.headers());
        let validators =
            if has_all_first(first.len(), length) { validators.with_first_bytes(&first) } else { validators };
        let metadata = SourceMetadata { length, validators, ranges };
        Some(ProbeResult { metadata, headers: response.headers().clone(), first: first.freeze() })
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

    fn part(end: u64, total: Option<u64>) -> RangeResponse {
        RangeResponse::Part { start: 0, end, total }
    }

    #[test]
    fn an_answer_is_sound_if_it_begins_with_the_first_byte() {
        use ProbeRequest::{FirstBytes, FromStart, Plain};
        use RangeSupport::{No, Yes};
        for (request, response_range, expected) in [
            (FirstBytes, part(4_095, Some(10_000)), Some((Some(10_000), Yes))),
            (FirstBytes, part(9, Some(10)), Some((Some(10), Yes))),
            (FirstBytes, part(0, Some(10_000)), Some((Some(10_000), Yes))),
            (FirstBytes, part(4_095, None), Some((None, Yes))),
            // Always the whole, whatever the range.
            (FirstBytes, part(9_999, Some(10_000)), Some((Some(10_000), No))),
            (Plain, part(9_999, Some(10_000)), Some((Some(10_000), No))),
            (FromStart, part(9_999, Some(10_000)), Some((Some(10_000), Yes))),
            (FirstBytes, RangeResponse::Whole { length: Some(10) }, Some((Some(10), No))),
            (Plain, RangeResponse::Whole { length: None }, Some((None, No))),
            (FirstBytes, RangeResponse::Part { start: 1, end: 9, total: Some(10) }, None),
            (FirstBytes, RangeResponse::Unsatisfiable { total: Some(0) }, None),
            (Plain, RangeResponse::PreconditionFailed, None),
            (Plain, RangeResponse::Refused(403), None),
            (FromStart, RangeResponse::RetryLater { after_seconds: None }, None),
        ] {
            assert_eq!(request.accept(response_range), expected, "{request:?} {response_range:?}");
        }
    }

    #[test]
    fn what_was_seen_is_final_only_if_every_answer_was() {
        let error = |answers: &[(RangeResponse, u16)]| {
            let mut seen = ProbeFailures::default();
            for (response_range, status) in answers {
                seen.record(*response_range, *status);
            }
            seen.error()
        };
        let (no, later) = (RangeResponse::Refused(403), RangeResponse::RetryLater { after_seconds: Some(3) });
        let gone = [(no, 403), (no, 404), (no, 403)];
        let SourceError::Refused(statuses) = error(&gone) else { panic!() };
        assert_eq!(statuses.to_string(), "403, 404 and 403");
        assert_eq!(
            error(&[(no, 403), (later, 503), (no, 403)]),
            SourceError::RetryLater { after_seconds: Some(3) }
        );
        let nothing = RangeResponse::Unsatisfiable { total: Some(0) };
        assert_eq!(error(&[(nothing, 416), (no, 403), (nothing, 416)]), SourceError::Empty);
    }
}
