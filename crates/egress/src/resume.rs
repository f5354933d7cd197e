//! How a source is read from an offset on, and what an answer is worth there: decisions alone.

use super::marks::Marks;
use super::ranges::Brought;
use super::sources::{Ask, Ranges, SourceError, SourceFacts, Statuses};

/// How a source is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plan {
    /// From its first byte. Nothing is compared.
    Start,
    /// A range from this offset on, proven by the marks.
    Part { from: u64 },
    /// From the first byte again, up to this offset without use, proven by marks or by the digest of those bytes.
    Again { from: u64, proof: Proof },
}

/// What proves that the bytes before an offset are those that were read before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Marks,
    Digest,
}

/// What is taken of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Take {
    /// The offset of its first byte.
    pub(super) start: u64,
    /// How long the whole file is.
    pub(super) length: Option<u64>,
}

/// What an answer is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Take(Take),
    /// Nothing: ask in the next way.
    Next,
    Fail(SourceError),
}

impl Plan {
    /// The best plan; `None` if there is no proof at all. `seen` bytes from the first one on have a digest.
    pub(super) fn for_reading(from: u64, known: &SourceFacts, seen: u64) -> Option<Self> {
        if from == 0 {
            return Some(Self::Start);
        }
        let is_marked = known.marks.validator().is_some();
        match known.ranges {
            Ranges::Taken if is_marked => Some(Self::Part { from }),
            _ if seen >= from => Some(Self::Again { from, proof: Proof::Digest }),
            Ranges::Ignored if is_marked => Some(Self::Again { from, proof: Proof::Marks }),
            _ => None,
        }
    }

    /// The plan after this one, if this one cannot be followed.
    pub(super) fn otherwise(self, from: u64, seen: u64) -> Option<Self> {
        let is_digested = seen >= from && matches!(self, Self::Part { .. });
        is_digested.then_some(Self::Again { from, proof: Proof::Digest })
    }

    pub(super) fn from(self) -> u64 {
        match self {
            Self::Start => 0,
            Self::Part { from } | Self::Again { from, .. } => from,
        }
    }

    /// The ways to ask, in their order. A server that accepted the conditions and then gave nothing is asked without
    /// them: what it says of the range then may be of another file.
    pub(super) fn ways(self, is_stuck: bool) -> Vec<Ask> {
        match self {
            Self::Part { from } if is_stuck => vec![Ask::Range(from)],
            Self::Part { from } => vec![Ask::RangeIfSame(from), Ask::Range(from)],
            Self::Start | Self::Again { .. } => vec![Ask::Whole, Ask::Range(0)],
        }
    }
}

/// The answers to one plan so far that were worth nothing.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    statuses: Statuses,
    /// The server said that the file is another one, or has fewer bytes; whether that is so, the next answer shows.
    is_doubted: bool,
}

impl Attempts {
    /// What an answer is worth.
    pub(super) fn judge(
        &mut self,
        plan: Plan,
        ask: Ask,
        known: &SourceFacts,
        (brought, marks): (Brought, &Marks),
    ) -> Verdict {
        let total = match brought {
            Brought::Whole { length: total }
            | Brought::Part { total, .. }
            | Brought::OutOfRange { total } => total,
            Brought::Later { after_seconds } => return Verdict::Fail(SourceError::Later { after_seconds }),
            Brought::Unmatched => {
                self.is_doubted = true;
                return Verdict::Next;
            }
            Brought::Refused(status) => {
                self.statuses.push(status);
                return Verdict::Next;
            }
        };
        let start = match brought {
            Brought::Part { start, .. } => start,
            _ => 0,
        };
        if plan == Plan::Start {
            return match brought {
                Brought::OutOfRange { .. } => {
                    self.statuses.push(416);
                    Verdict::Next
                }
                _ if start > 0 => Verdict::Next,
                _ => Verdict::Take(Take { start, length: total.or(known.length) }),
            };
        }
        if total.is_some_and(|total| Some(total) != known.length) || known.marks.differs_from(marks) {
            return Verdict::Fail(SourceError::Changed);
        }
        match brought {
            Brought::OutOfRange { .. } => {
                self.is_doubted = true;
                Verdict::Next
            }
            _ if is_proven(plan, ask, known, marks) && fits(plan, brought) => {
                Verdict::Take(Take { start, length: known.length })
            }
            _ => Verdict::Next,
        }
    }

    /// What follows when no answer was worth anything.
    pub(super) fn error(self) -> SourceError {
        if self.is_doubted {
            SourceError::Changed
        } else if self.statuses.is_empty() {
            SourceError::CannotResume
        } else {
            SourceError::Refused(self.statuses)
        }
    }
}

/// Whether an answer has the byte at the plan's offset, and what must be digested before it.
fn fits(plan: Plan, brought: Brought) -> bool {
    let Brought::Part { start, end, .. } = brought else { return true };
    match plan {
        Plan::Start => start == 0,
        Plan::Part { from } => start <= from && from <= end,
        Plan::Again { from, .. } => start == 0 && from <= end,
    }
}

/// Whether an answer is proven to be of the same file. That it does not differ is known already.
fn is_proven(plan: Plan, ask: Ask, known: &SourceFacts, marks: &Marks) -> bool {
    match plan {
        Plan::Start | Plan::Again { proof: Proof::Digest, .. } => true,
        // To `If-Range` with a time, a server may leave that time out: that it sent a part says that it holds.
        Plan::Part { .. } if matches!(ask, Ask::RangeIfSame(_)) && known.marks.strong_tag().is_none() => true,
        Plan::Part { .. } | Plan::Again { .. } => known.marks.shares_one_with(marks),
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::{DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};

    use super::*;

    const OLD: [(reqwest::header::HeaderName, &str); 2] =
        [(LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"), (DATE, "Mon, 07 Nov 1994 08:49:37 GMT")];

    fn marks(tag: &'static str) -> Marks {
        Marks::of(&HeaderMap::from_iter([(ETAG, HeaderValue::from_static(tag))]))
    }

    fn dated() -> Marks {
        let lines = OLD.map(|(name, value)| (name, HeaderValue::from_static(value)));
        Marks::of(&lines.into_iter().collect())
    }

    fn known(marks: Marks, ranges: Ranges) -> SourceFacts {
        SourceFacts { length: Some(10), marks, ranges }
    }

    #[test]
    fn a_plan_needs_a_proof() {
        let (part, again) = (Plan::Part { from: 5 }, |proof| Some(Plan::Again { from: 5, proof }));
        for (marks, ranges, seen, expected) in [
            (marks("\"a\""), Ranges::Taken, 0, Some(part)),
            (marks("\"a\""), Ranges::Taken, 9, Some(part)),
            (marks("\"a\""), Ranges::Ignored, 0, again(Proof::Marks)),
            (marks("\"a\""), Ranges::Ignored, 4, again(Proof::Marks)),
            (marks("\"a\""), Ranges::Ignored, 5, again(Proof::Digest)),
            (marks("W/\"a\""), Ranges::Taken, 5, again(Proof::Digest)),
            (marks("W/\"a\""), Ranges::Taken, 4, None),
            (Marks::default(), Ranges::Ignored, 5, again(Proof::Digest)),
            (Marks::default(), Ranges::Ignored, 0, None),
            (dated(), Ranges::Taken, 0, Some(part)),
        ] {
            assert_eq!(
                Plan::for_reading(5, &known(marks.clone(), ranges), seen),
                expected,
                "{marks:?} {seen}"
            );
            assert_eq!(Plan::for_reading(0, &known(marks, ranges), seen), Some(Plan::Start));
        }
        assert_eq!(part.otherwise(5, 5), again(Proof::Digest));
        assert_eq!(part.otherwise(5, 4), None);
        assert_eq!(again(Proof::Digest).unwrap().otherwise(5, 5), None);
    }

    #[test]
    fn a_server_that_gave_nothing_is_asked_without_conditions() {
        assert_eq!(Plan::Part { from: 5 }.ways(false), [Ask::RangeIfSame(5), Ask::Range(5)]);
        assert_eq!(Plan::Part { from: 5 }.ways(true), [Ask::Range(5)]);
        assert_eq!(Plan::Start.ways(true), [Ask::Whole, Ask::Range(0)]);
    }

    fn judge(plan: Plan, ask: Ask, known: &SourceFacts, brought: Brought, marks: &Marks) -> Verdict {
        Attempts::default().judge(plan, ask, known, (brought, marks))
    }

    fn part(start: u64, end: u64, total: Option<u64>) -> Brought {
        Brought::Part { start, end, total }
    }

    #[test]
    fn a_part_counts_by_its_own_marks() {
        let (plan, ask) = (Plan::Part { from: 5 }, Ask::RangeIfSame(5));
        let known = known(marks("\"a\""), Ranges::Taken);
        let take = |start| Verdict::Take(Take { start, length: Some(10) });
        let changed = Verdict::Fail(SourceError::Changed);
        for (brought, tag, expected) in [
            (part(5, 9, Some(10)), "\"a\"", take(5)),
            (part(5, 9, None), "\"a\"", take(5)),
            // Fewer bytes than were asked for, and more.
            (part(5, 6, Some(10)), "\"a\"", take(5)),
            (part(0, 9, Some(10)), "\"a\"", take(0)),
            (part(3, 9, Some(10)), "\"a\"", take(3)),
            (part(0, 4, Some(10)), "\"a\"", Verdict::Next),
            (part(6, 9, Some(10)), "\"a\"", Verdict::Next),
            (part(5, 9, Some(10)), "\"b\"", changed),
            (part(5, 10, Some(11)), "\"a\"", changed),
            (Brought::Whole { length: Some(10) }, "\"a\"", take(0)),
            (Brought::Whole { length: None }, "\"a\"", take(0)),
            (Brought::Whole { length: Some(10) }, "\"b\"", changed),
            (Brought::Whole { length: Some(11) }, "\"a\"", changed),
            (Brought::OutOfRange { total: Some(4) }, "\"a\"", changed),
            (Brought::OutOfRange { total: Some(10) }, "\"a\"", Verdict::Next),
            (Brought::Unmatched, "\"a\"", Verdict::Next),
            (Brought::Refused(403), "\"a\"", Verdict::Next),
        ] {
            assert_eq!(judge(plan, ask, &known, brought, &marks(tag)), expected, "{brought:?} {tag}");
        }
        let none = Marks::default();
        assert_eq!(judge(plan, ask, &known, part(5, 9, Some(10)), &none), Verdict::Next, "no mark, no proof");
    }

    #[test]
    fn a_part_to_a_time_of_change_need_not_repeat_it() {
        let (plan, none) = (Plan::Part { from: 5 }, Marks::default());
        let known = known(dated(), Ranges::Taken);
        let taken = Verdict::Take(Take { start: 5, length: Some(10) });
        assert_eq!(judge(plan, Ask::RangeIfSame(5), &known, part(5, 9, Some(10)), &none), taken);
        assert_eq!(judge(plan, Ask::Range(5), &known, part(5, 9, Some(10)), &none), Verdict::Next);
    }

    #[test]
    fn at_the_first_byte_nothing_is_compared() {
        let known = known(marks("\"a\""), Ranges::Taken);
        for (brought, length) in [
            (Brought::Whole { length: Some(12) }, Some(12)),
            (Brought::Whole { length: None }, Some(10)),
            (part(0, 11, Some(12)), Some(12)),
            (part(0, 5, None), Some(10)),
        ] {
            let verdict = judge(Plan::Start, Ask::Whole, &known, brought, &marks("\"b\""));
            assert_eq!(verdict, Verdict::Take(Take { start: 0, length }), "{brought:?}");
        }
        assert_eq!(judge(Plan::Start, Ask::Whole, &known, part(1, 9, Some(10)), &known.marks), Verdict::Next);
    }

    #[test]
    fn a_file_that_is_read_again_is_proven_by_marks_or_by_its_bytes() {
        let again = |proof| Plan::Again { from: 5, proof };
        let whole = Brought::Whole { length: Some(10) };
        let taken = Verdict::Take(Take { start: 0, length: Some(10) });
        let changed = Verdict::Fail(SourceError::Changed);
        let (tagged, bare) =
            (known(marks("\"a\""), Ranges::Ignored), known(Marks::default(), Ranges::Ignored));
        let none = Marks::default();
        assert_eq!(judge(again(Proof::Marks), Ask::Whole, &tagged, whole, &marks("\"a\"")), taken);
        assert_eq!(judge(again(Proof::Marks), Ask::Whole, &tagged, whole, &none), Verdict::Next);
        assert_eq!(judge(again(Proof::Digest), Ask::Whole, &bare, whole, &none), taken);
        assert_eq!(judge(again(Proof::Digest), Ask::Whole, &tagged, whole, &marks("\"b\"")), changed);
        let shifted = part(5, 9, Some(10));
        assert_eq!(judge(again(Proof::Digest), Ask::Range(0), &bare, shifted, &none), Verdict::Next);
    }

    #[test]
    fn when_no_answer_helps_the_reason_is_what_was_seen() {
        let after = |answers: &[Brought]| {
            let mut attempts = Attempts::default();
            for brought in answers {
                let known = known(marks("\"a\""), Ranges::Taken);
                attempts.judge(Plan::Part { from: 5 }, Ask::Range(5), &known, (*brought, &Marks::default()));
            }
            attempts.error()
        };
        assert_eq!(after(&[Brought::Unmatched, part(5, 9, Some(10))]), SourceError::Changed);
        assert_eq!(after(&[Brought::OutOfRange { total: None }; 2]), SourceError::Changed);
        assert_eq!(after(&[part(6, 9, None); 2]), SourceError::CannotResume);
        assert_eq!(after(&[Brought::Refused(403); 2]).to_string(), "the source answered with status 403");
    }
}
