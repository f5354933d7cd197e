//! Decides how a source is read from an offset, and whether a response can be used. No I/O.

use super::ranges::RangeResponse;
use super::sources::{RangeRequest, RangeSupport, SourceError, SourceMetadata, Statuses};
use super::validators::Validators;

/// How a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// From offset 0. Nothing is compared.
    Start,
    /// A range from this offset, verified by validators.
    Part { from: u64 },
    /// From offset 0 again, discarding the bytes up to this offset, verified by validators or by a digest of those
    /// bytes.
    Reread { from: u64, proof: Proof },
}

/// How to verify that the bytes before the offset are the same as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Validators,
    Digest,
}

/// How an accepted response is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    /// The offset of its first byte.
    pub(super) start: u64,
    /// The length of the whole file.
    pub(super) length: Option<u64>,
}

/// The decision about a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Accept(Accepted),
    /// Not usable: try the next request.
    Next,
    Fail(SourceError),
}

impl Plan {
    /// The best plan; `None` if there is nothing to verify the file with. `seen` is the number of bytes covered by the
    /// digest.
    pub(super) fn for_reading(from: u64, known: &SourceMetadata, seen: u64) -> Option<Self> {
        if from == 0 {
            return Some(Self::Start);
        }
        let is_marked = known.validators.validator().is_some();
        match known.ranges {
            RangeSupport::Yes if is_marked => Some(Self::Part { from }),
            _ if seen >= from => Some(Self::Reread { from, proof: Proof::Digest }),
            RangeSupport::No if is_marked => Some(Self::Reread { from, proof: Proof::Validators }),
            _ => None,
        }
    }

    /// The plan to use if this one fails.
    pub(super) fn fallback(self, from: u64, seen: u64) -> Option<Self> {
        let is_digested = seen >= from && matches!(self, Self::Part { .. });
        is_digested.then_some(Self::Reread { from, proof: Proof::Digest })
    }

    pub(super) fn from(self) -> u64 {
        match self {
            Self::Start => 0,
            Self::Part { from } | Self::Reread { from, .. } => from,
        }
    }

    /// The requests of this plan, in order. If the source is stuck, the conditional request is skipped: such a server
    /// accepted the conditions and then sent nothing.
    pub(super) fn requests(self, is_stuck: bool) -> Vec<RangeRequest> {
        match self {
            Self::Part { from } if is_stuck => vec![RangeRequest::Range(from)],
            Self::Part { from } => vec![RangeRequest::ConditionalRange(from), RangeRequest::Range(from)],
            Self::Start | Self::Reread { .. } => vec![RangeRequest::Whole, RangeRequest::Range(0)],
        }
    }
}

/// The unusable responses to one plan so far.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    statuses: Statuses,
    /// The server reported a different file or fewer bytes; the next response shows whether that is true.
    may_have_changed: bool,
}

impl Attempts {
    /// Decides about a response.
    pub(super) fn evaluate(
        &mut self,
        plan: Plan,
        request: RangeRequest,
        known: &SourceMetadata,
        (response_range, validators): (RangeResponse, &Validators),
    ) -> Verdict {
        let total = match response_range {
            RangeResponse::Whole { length: total }
            | RangeResponse::Part { total, .. }
            | RangeResponse::Unsatisfiable { total } => total,
            RangeResponse::RetryLater { after_seconds } => {
                return Verdict::Fail(SourceError::RetryLater { after_seconds });
            }
            RangeResponse::PreconditionFailed => {
                self.may_have_changed = true;
                return Verdict::Next;
            }
            RangeResponse::Refused(status) => {
                self.statuses.push(status);
                return Verdict::Next;
            }
        };
        let start = match response_range {
            RangeResponse::Part { start, .. } => start,
            _ => 0,
        };
        if plan == Plan::Start {
            return match response_range {
                RangeResponse::Unsatisfiable { .. } => {
                    self.statuses.push(416);
                    Verdict::Next
                }
                _ if start > 0 => Verdict::Next,
                _ => Verdict::Accept(Accepted { start, length: total.or(known.length) }),
            };
        }
        if total.is_some_and(|total| Some(total) != known.length) || known.validators.differs_from(validators)
        {
            return Verdict::Fail(SourceError::Changed);
        }
        match response_range {
            RangeResponse::Unsatisfiable { .. } => {
                self.may_have_changed = true;
                Verdict::Next
            }
            _ if is_proven(plan, request, known, validators) && fits(plan, response_range) => {
                Verdict::Accept(Accepted { start, length: known.length })
            }
            _ => Verdict::Next,
        }
    }

    /// The error if no response was usable.
    pub(super) fn error(self) -> SourceError {
        if self.may_have_changed {
            SourceError::Changed
        } else if self.statuses.is_empty() {
            SourceError::CannotResume
        } else {
            SourceError::Refused(self.statuses)
        }
    }
}

/// Whether a response contains the byte at the plan's offset and everything that must be digested before it.
fn fits(plan: Plan, response_range: RangeResponse) -> bool {
    let RangeResponse::Part { start, end, .. } = response_range else { return true };
    match plan {
        Plan::Start => start == 0,
        Plan::Part { from } => start <= from && from <= end,
        Plan::Reread { from, .. } => start == 0 && from <= end,
    }
}

/// Whether a response is verified to be for the same file. Differing validators were ruled out before.
fn is_proven(plan: Plan, request: RangeRequest, known: &SourceMetadata, validators: &Validators) -> bool {
    match plan {
        Plan::Start | Plan::Reread { proof: Proof::Digest, .. } => true,
        // A server may omit `Last-Modified` in a response to `If-Range` with a date. That it sent a range means that
        // the date matches.
        Plan::Part { .. }
            if matches!(request, RangeRequest::ConditionalRange(_))
                && known.validators.strong_etag().is_none() =>
        {
            true
        }
        Plan::Part { .. } | Plan::Reread { .. } => known.validators.shares_any_with(validators),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

    use super::*;

    const OLD: [(reqwest::header::HeaderName, &str); 2] =
        [(LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"), (DATE, "Mon, 07 Nov 1994 08:49:37 GMT")];

    fn validators(tag: &'static str) -> Validators {
        Validators::from_headers(&HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]))
    }

    fn dated() -> Validators {
        let lines = OLD.map(|(name, value)| (name, HeaderValue::from_static(value)));
        Validators::from_headers(&lines.into_iter().collect())
    }

    fn known(validators: Validators, ranges: RangeSupport) -> SourceMetadata {
        SourceMetadata { length: Some(10), validators, ranges }
    }

    #[test]
    fn a_plan_needs_validators_or_a_digest() {
        let (part, again) = (Plan::Part { from: 5 }, |proof| Some(Plan::Reread { from: 5, proof }));
        for (validators, ranges, seen, expected) in [
            (validators("\"a\""), RangeSupport::Yes, 0, Some(part)),
            (validators("\"a\""), RangeSupport::Yes, 9, Some(part)),
            (validators("\"a\""), RangeSupport::No, 0, again(Proof::Validators)),
            (validators("\"a\""), RangeSupport::No, 4, again(Proof::Validators)),
            (validators("\"a\""), RangeSupport::No, 5, again(Proof::Digest)),
            (validators("W/\"a\""), RangeSupport::Yes, 5, again(Proof::Digest)),
            (validators("W/\"a\""), RangeSupport::Yes, 4, None),
            (Validators::default(), RangeSupport::No, 5, again(Proof::Digest)),
            (Validators::default(), RangeSupport::No, 0, None),
            (dated(), RangeSupport::Yes, 0, Some(part)),
        ] {
            assert_eq!(
                Plan::for_reading(5, &known(validators.clone(), ranges), seen),
                expected,
                "{validators:?} {seen}"
            );
            assert_eq!(Plan::for_reading(0, &known(validators, ranges), seen), Some(Plan::Start));
        }
        assert_eq!(part.fallback(5, 5), again(Proof::Digest));
        assert_eq!(part.fallback(5, 4), None);
        assert_eq!(again(Proof::Digest).unwrap().fallback(5, 5), None);
    }

    #[test]
    fn a_stuck_source_is_requested_without_conditions() {
        assert_eq!(
            Plan::Part { from: 5 }.requests(false),
            [RangeRequest::ConditionalRange(5), RangeRequest::Range(5)]
        );
        assert_eq!(Plan::Part { from: 5 }.requests(true), [RangeRequest::Range(5)]);
        assert_eq!(Plan::Start.requests(true), [RangeRequest::Whole, RangeRequest::Range(0)]);
    }

    fn evaluate(
        plan: Plan,
        request: RangeRequest,
        known: &SourceMetadata,
        response_range: RangeResponse,
        validators: &Validators,
    ) -> Verdict {
        Attempts::default().evaluate(plan, request, known, (response_range, validators))
    }

    fn part(start: u64, end: u64, total: Option<u64>) -> RangeResponse {
        RangeResponse::Part { start, end, total }
    }

    #[test]
    fn a_range_is_checked_by_its_own_validators() {
        let (plan, request) = (Plan::Part { from: 5 }, RangeRequest::ConditionalRange(5));
        let known = known(validators("\"a\""), RangeSupport::Yes);
        let take = |start| Verdict::Accept(Accepted { start, length: Some(10) });
        let changed = Verdict::Fail(SourceError::Changed);
        for (response_range, tag, expected) in [
            (part(5, 9, Some(10)), "\"a\"", take(5)),
            (part(5, 9, None), "\"a\"", take(5)),
            // Fewer bytes than requested, and more.
            (part(5, 6, Some(10)), "\"a\"", take(5)),
            (part(0, 9, Some(10)), "\"a\"", take(0)),
            (part(3, 9, Some(10)), "\"a\"", take(3)),
            (part(0, 4, Some(10)), "\"a\"", Verdict::Next),
            (part(6, 9, Some(10)), "\"a\"", Verdict::Next),
            (part(5, 9, Some(10)), "\"b\"", changed),
            (part(5, 10, Some(11)), "\"a\"", changed),
            (RangeResponse::Whole { length: Some(10) }, "\"a\"", take(0)),
            (RangeResponse::Whole { length: None }, "\"a\"", take(0)),
            (RangeResponse::Whole { length: Some(10) }, "\"b\"", changed),
            (RangeResponse::Whole { length: Some(11) }, "\"a\"", changed),
            (RangeResponse::Unsatisfiable { total: Some(4) }, "\"a\"", changed),
            (RangeResponse::Unsatisfiable { total: Some(10) }, "\"a\"", Verdict::Next),
            (RangeResponse::PreconditionFailed, "\"a\"", Verdict::Next),
            (RangeResponse::Refused(403), "\"a\"", Verdict::Next),
        ] {
            assert_eq!(
                evaluate(plan, request, &known, response_range, &validators(tag)),
                expected,
                "{response_range:?} {tag}"
            );
        }
        let none = Validators::default();
        assert_eq!(
            evaluate(plan, request, &known, part(5, 9, Some(10)), &none),
            Verdict::Next,
            "no mark, no proof"
        );
    }

    #[test]
    fn a_range_conditional_on_a_date_may_omit_the_date() {
        let (plan, none) = (Plan::Part { from: 5 }, Validators::default());
        let known = known(dated(), RangeSupport::Yes);
        let taken = Verdict::Accept(Accepted { start: 5, length: Some(10) });
        assert_eq!(
            evaluate(plan, RangeRequest::ConditionalRange(5), &known, part(5, 9, Some(10)), &none),
            taken
        );
        assert_eq!(
            evaluate(plan, RangeRequest::Range(5), &known, part(5, 9, Some(10)), &none),
            Verdict::Next
        );
    }

    #[test]
    fn nothing_is_compared_at_offset_zero() {
        let known = known(validators("\"a\""), RangeSupport::Yes);
        for (response_range, length) in [
            (RangeResponse::Whole { length: Some(12) }, Some(12)),
            (RangeResponse::Whole { length: None }, Some(10)),
            (part(0, 11, Some(12)), Some(12)),
            (part(0, 5, None), Some(10)),
        ] {
            let verdict =
                evaluate(Plan::Start, RangeRequest::Whole, &known, response_range, &validators("\"b\""));
            assert_eq!(verdict, Verdict::Accept(Accepted { start: 0, length }), "{response_range:?}");
        }
        assert_eq!(
            evaluate(Plan::Start, RangeRequest::Whole, &known, part(1, 9, Some(10)), &known.validators),
            Verdict::Next
        );
    }

    #[test]
    fn a_reread_file_is_verified_by_validators_or_by_its_bytes() {
        let again = |proof| Plan::Reread { from: 5, proof };
        let whole = RangeResponse::Whole { length: Some(10) };
        let taken = Verdict::Accept(Accepted { start: 0, length: Some(10) });
        let changed = Verdict::Fail(SourceError::Changed);
        let (tagged, bare) =
            (known(validators("\"a\""), RangeSupport::No), known(Validators::default(), RangeSupport::No));
        let none = Validators::default();
        assert_eq!(
            evaluate(again(Proof::Validators), RangeRequest::Whole, &tagged, whole, &validators("\"a\"")),
            taken
        );
        assert_eq!(
            evaluate(again(Proof::Validators), RangeRequest::Whole, &tagged, whole, &none),
            Verdict::Next
        );
        assert_eq!(evaluate(again(Proof::Digest), RangeRequest::Whole, &bare, whole, &none), taken);
        assert_eq!(
            evaluate(again(Proof::Digest), RangeRequest::Whole, &tagged, whole, &validators("\"b\"")),
            changed
        );
        let shifted = part(5, 9, Some(10));
        assert_eq!(
            evaluate(again(Proof::Digest), RangeRequest::Range(0), &bare, shifted, &none),
            Verdict::Next
        );
    }

    #[test]
    fn the_error_follows_from_the_unusable_responses() {
        let after = |answers: &[RangeResponse]| {
            let mut attempts = Attempts::default();
            for response_range in answers {
                let known = known(validators("\"a\""), RangeSupport::Yes);
                attempts.evaluate(
                    Plan::Part { from: 5 },
                    RangeRequest::Range(5),
                    &known,
                    (*response_range, &Validators::default()),
                );
            }
            attempts.error()
        };
        assert_eq!(after(&[RangeResponse::PreconditionFailed, part(5, 9, Some(10))]), SourceError::Changed);
        assert_eq!(after(&[RangeResponse::Unsatisfiable { total: None }; 2]), SourceError::Changed);
        assert_eq!(after(&[part(6, 9, None); 2]), SourceError::CannotResume);
        assert_eq!(
            after(&[RangeResponse::Refused(403); 2]).to_string(),
            "the source answered with status 403"
        );
    }
}
