//! Determines the metadata of a source before it is read. Requests the first bytes; if that fails, the whole file
//! without a range, then with an open range, because some servers accept only one of these.

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

/// How many bytes a probe requests; enough to determine the kind of file.
pub(crate) const FIRST_BYTES: usize = 4_096;

/// The result of a probe.
#[derive(Debug)]
pub struct ProbeResult {
    /// The metadata of the file.
    pub metadata: SourceMetadata,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// The first bytes of the body, at most [`FIRST_BYTES`]; fewer if the connection broke.
    pub first: Bytes,
}

/// The requests of a probe, in this order.
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

    /// Length and range support according to a response, if it starts at offset 0.
    fn accept(self, response_range: RangeResponse) -> Option<(Option<u64>, RangeSupport)> {
        match response_range {
            RangeResponse::Whole { length } => Some((length, RangeSupport::No)),
            RangeResponse::Part { start: 0, end, total } => {
                let is_whole = total == Some(end + 1);
                let is_short = end < FIRST_BYTES as u64;
                let ranges = match self {
                    // The server returned more than requested: it answers every range with the whole file.
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

/// The unsuccessful responses of a probe.
#[derive(Debug, Default)]
struct ProbeFailures {
    statuses: Statuses,
    is_empty: bool,
    temporary: Option<SourceError>,
}

impl ProbeFailures {
    fn record(&mut self, response_range: RangeResponse, status: u16) {
        self.statuses.push(status);
        match response_range {
            RangeResponse::Unsatisfiable { total: Some(0) } => self.is_empty = true,
            RangeResponse::RetryLater { after_seconds } => {
                self.temporary = Some(SourceError::RetryLater { after_seconds });
            }
            _ => {}
        }
    }

    /// The error of a probe. It is permanent only if every response was.
    fn error(self) -> SourceError {
        match self.temporary {
            Some(error) => error,
            None if self.is_empty => SourceError::Empty,
            None => SourceError::Refused(self.statuses),
        }
    }
}

impl Egress {
    /// The metadata of the source at `url`. A declared length above `max_bytes` is an error.
    pub async fn probe(&self, url: &EgressUrl, max_bytes: u64) -> Result<ProbeResult, SourceError> {
        let found = self.first_usable(url).await?;
        match found.metadata.length {
            Some(0) => Err(SourceError::Empty),
            Some(length) if length > max_bytes => Err(SourceError::TooLarge),
            _ => Ok(found),
        }
    }

    async fn first_usable(&self, url: &EgressUrl) -> Result<ProbeResult, SourceError> {
        let mut failures = ProbeFailures::default();
        let mut without_length: Option<ProbeResult> = None;
        for request in ProbeRequest::ALL {
            let response = match self.0.get(url, &request.headers()).await {
                Ok(response) => response,
                // Nothing was sent, and the other requests would fail as well.
                Err(RequestError::Unreachable) if request == ProbeRequest::FirstBytes => {
                    return Err(SourceError::Unreachable);
                }
                Err(error) => {
                    failures.temporary = Some(error.into());
                    continue;
                }
            };
            let response_range = RangeResponse::parse(response.status(), response.headers());
            let Some((length, ranges)) = request.accept(response_range) else {
                failures.record(response_range, response.status().as_u16());
                continue;
            };
            if let (Some(mut known), Some(length)) = (without_length.take(), length) {
                known.metadata.length = Some(length);
                return Ok(known);
            }
            let Some(found) = self.read_first(response, length, ranges).await else {
                failures.temporary = Some(SourceError::EndedEarly);
                continue;
            };
            if length.is_some() || request != ProbeRequest::FirstBytes {
                return Ok(found);
            }
            if ranges == RangeSupport::No {
                return Ok(found);
            }
            // A range without a total length: the response to a request without a range may have it.
            without_length = Some(found);
        }
        without_length.ok_or_else(|| failures.error())
    }

    /// Reads the first bytes of a response and closes the connection. `None` if expected bytes did not arrive.
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
                    Ok(Some(chunk)) => first.extend_from_slice(&chunk),
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
        let validators = if has_all_first_bytes(first.len(), length) {
            validators.with_first_bytes(&first)
        } else {
            validators
        };
        let metadata = SourceMetadata { length, validators, ranges };
        Some(ProbeResult { metadata, headers: response.headers().clone(), first: first.freeze() })
    }
}

/// Whether these are all the bytes that are compared. A server may return fewer than requested.
fn has_all_first_bytes(count: usize, length: Option<u64>) -> bool {
    length.is_some_and(|length| count as u64 == length.min(FIRST_BYTES as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_compared_only_if_all_arrived() {
        for (count, length, expected) in [
            (4_096, Some(10_000), true),
            (4_096, Some(4_096), true),
            (10, Some(10), true),
            (4_095, Some(10_000), false),
            (9, Some(10), false),
            (4_096, None, false),
            (10, None, false),
        ] {
            assert_eq!(has_all_first_bytes(count, length), expected, "{count} {length:?}");
        }
    }

    fn part(end: u64, total: Option<u64>) -> RangeResponse {
        RangeResponse::Part { start: 0, end, total }
    }

    #[test]
    fn a_response_is_accepted_if_it_starts_at_offset_zero() {
        use ProbeRequest::{FirstBytes, FromStart, Plain};
        use RangeSupport::{No, Yes};
        for (request, response_range, expected) in [
            (FirstBytes, part(4_095, Some(10_000)), Some((Some(10_000), Yes))),
            (FirstBytes, part(9, Some(10)), Some((Some(10), Yes))),
            (FirstBytes, part(0, Some(10_000)), Some((Some(10_000), Yes))),
            (FirstBytes, part(4_095, None), Some((None, Yes))),
            // Always the whole file, whatever the range.
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
    fn a_probe_error_is_permanent_only_if_every_response_was() {
        let error = |answers: &[(RangeResponse, u16)]| {
            let mut failures = ProbeFailures::default();
            for (response_range, status) in answers {
                failures.record(*response_range, *status);
            }
            failures.error()
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
