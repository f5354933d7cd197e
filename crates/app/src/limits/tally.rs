//! How many things of one kind an account has, as far as this node knows: a count from the database, and what this node
//! has added since. Whether that suffices to admit or refuse another one is a pure function.

use std::time::Duration;

/// Up to this limit, a refusal always relies on a count that was started after the request arrived.
const SMALL: u64 = 10_000;
/// The maximum age of a count that admits, while less than a tenth of the limit is left or the limit is small.
const AGE_NEAR_LIMIT: Duration = Duration::from_secs(1);
/// The same, while more is left. Meanwhile other nodes may add what this one does not count.
const AGE_FAR_FROM_LIMIT: Duration = Duration::from_mins(1);
/// The maximum age of a count that refuses, for limits that are not small.
const AGE_OF_REFUSAL: Duration = Duration::from_secs(1);

/// What is known about the number of things.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// The last count; at most the limit of that time.
    counted: u64,
    /// How many this node has ever added.
    added: u64,
    /// The same when the last count started. What was added since may be in the count or not.
    added_before_count: u64,
    /// How many this node is adding now.
    pending: u64,
}

/// The last count, seen from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountAge {
    /// There is none.
    Never,
    /// It started this long before the request.
    Before(Duration),
    /// It started after the request arrived.
    After,
}

/// Whether another one may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Admit,
    Refuse,
    /// Count again, then decide again.
    Count,
}

impl Tally {
    /// At least the number of things, as far as this node can know.
    fn upper_bound(&self) -> u64 {
        self.counted + (self.added - self.added_before_count) + self.pending
    }

    pub(crate) fn decide(&self, limit: u64, age: CountAge) -> Verdict {
        let bound = self.upper_bound();
        let is_exact = self.added == self.added_before_count;
        match age {
            CountAge::After if bound < limit => Verdict::Admit,
            CountAge::After if is_exact || self.counted >= limit => Verdict::Refuse,
            CountAge::Before(age) if bound < limit && age <= admission_age(limit, limit - bound) => {
                Verdict::Admit
            }
            CountAge::Before(age) if bound >= limit && limit > SMALL && age <= AGE_OF_REFUSAL => {
                Verdict::Refuse
            }
            CountAge::Never | CountAge::Before(_) | CountAge::After => Verdict::Count,
        }
    }

    /// One is being added.
    pub(crate) fn begin(&mut self) {
        self.pending += 1;
    }

    /// It was added, or may have been.
    pub(crate) fn complete(&mut self) {
        self.pending = self.pending.saturating_sub(1);
        self.added += 1;
    }

    /// It was not added.
    pub(crate) fn withdraw(&mut self) {
        self.pending = self.pending.saturating_sub(1);
    }

    /// How many were added before a count that starts now.
    pub(crate) fn added(&self) -> u64 {
        self.added
    }

    /// Stores a count.
    pub(crate) fn set(&mut self, counted: u64, added_before_count: u64) {
        self.counted = counted;
        self.added_before_count = added_before_count;
    }
}

fn admission_age(limit: u64, left: u64) -> Duration {
    if limit > SMALL && left > limit / 10 { AGE_FAR_FROM_LIMIT } else { AGE_NEAR_LIMIT }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: CountAge = CountAge::Before(Duration::ZERO);
    const OLD: CountAge = CountAge::Before(Duration::from_secs(30));
    const VERY_OLD: CountAge = CountAge::Before(Duration::from_secs(61));

    fn counted(counted: u64) -> Tally {
        Tally { counted, ..Tally::default() }
    }

    #[test]
    fn a_verdict_depends_on_what_is_left_and_on_the_age_of_the_count() {
        use Verdict::{Admit, Count, Refuse};
        for (tally, limit, age, expected) in [
            (counted(0), 5, CountAge::Never, Count),
            // A small limit.
            (counted(4), 5, NOW, Admit),
            (counted(4), 5, OLD, Count),
            (counted(4), 5, CountAge::After, Admit),
            (counted(5), 5, NOW, Count),
            (counted(5), 5, CountAge::After, Refuse),
            (counted(9), 5, CountAge::After, Refuse),
            // A large one.
            (counted(100_000), 1_000_000, OLD, Admit),
            (counted(100_000), 1_000_000, VERY_OLD, Count),
            (counted(950_000), 1_000_000, NOW, Admit),
            (counted(950_000), 1_000_000, OLD, Count),
            (counted(1_000_000), 1_000_000, NOW, Refuse),
            (counted(1_000_000), 1_000_000, OLD, Count),
        ] {
            assert_eq!(tally.decide(limit, age), expected, "{tally:?} {limit} {age:?}");
        }
    }

    #[test]
    fn what_this_node_adds_is_counted_at_once() {
        let mut tally = counted(3);
        tally.begin();
        assert_eq!(tally.decide(5, NOW), Verdict::Admit);
        tally.begin();
        assert_eq!(tally.decide(5, NOW), Verdict::Count, "two are pending");
        assert_eq!(tally.decide(5, CountAge::After), Verdict::Refuse);
        tally.withdraw();
        assert_eq!(tally.decide(5, NOW), Verdict::Admit);
        tally.complete();
        assert_eq!(tally.decide(5, NOW), Verdict::Admit);
        assert_eq!(tally.pending, 0);
    }

    #[test]
    fn a_count_during_which_one_was_added_refuses_only_if_it_reached_the_limit() {
        let mut tally = Tally::default();
        tally.begin();
        let before = tally.added();
        tally.complete();
        tally.set(4, before);
        assert_eq!(tally.decide(5, CountAge::After), Verdict::Count, "it may be one of the four");
        tally.set(5, before);
        assert_eq!(tally.decide(5, CountAge::After), Verdict::Refuse);
        tally.set(4, tally.added());
        assert_eq!(tally.decide(5, CountAge::After), Verdict::Admit);
    }
}
