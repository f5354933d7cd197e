//! Checks a chain while its links are read in the order of their events, which is that of their positions except for late
//! events. Memory grows with what is out of order, not with the chain.

use std::collections::{BTreeMap, HashMap};

use domain::audit::{AuditChain, Link};
use store::AuditLinkRow;

/// Links that do not match are compared with each other to find exchanged ones; at most this many.
const COMPARED_MAX: usize = 40;

/// Something that was not written by the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The event, if it is known.
    pub event_id: Option<String>,
    /// Its position, or the first of several.
    pub position: Option<u64>,
    /// The last of several positions.
    pub until: Option<u64>,
}

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// An event, or its link, is not what was linked.
    Changed,
    /// A linked event is missing.
    Removed,
    /// An event is there that was never linked, and whose time is too long ago for it, or in the future.
    Inserted,
    /// An event is linked at another position than it was.
    Reordered,
    /// The state of the chain is not what the service wrote.
    ChainChanged,
    /// There is no chain, though there are old events of clients.
    ChainMissing,
    /// Events are missing at the end: the chain is shorter than an exported head.
    CutOff,
    /// The chain is another one than that of the exported head.
    Replaced,
    /// The exported head was not signed by this service, or was changed.
    HeadInvalid,
}

impl FindingKind {
    /// The name in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::ChainChanged => "chain_changed",
            Self::ChainMissing => "chain_missing",
            Self::CutOff => "cut_off",
            Self::Replaced => "replaced",
            Self::HeadInvalid => "head_invalid",
        }
    }
}

impl Finding {
    pub(super) fn of_event(kind: FindingKind, event_id: &str, position: Option<u64>) -> Self {
        Self { kind, event_id: Some(event_id.to_owned()), position, until: None }
    }

    pub(super) fn of_positions(kind: FindingKind, first: u64, last: u64) -> Self {
        let until = (last > first).then_some(last);
        Self { kind, event_id: None, position: Some(first), until }
    }

    pub(super) fn of_chain(kind: FindingKind) -> Self {
        Self { kind, event_id: None, position: None, until: None }
    }
}

/// Whether a link is that of an event: position, link before it, canonical bytes, link.
pub(super) trait LinkVerifier {
    fn verify(&self, position: u64, previous: &Link, event: &[u8], link: &Link) -> bool;
}

impl<F: Fn(u64, &Link, &[u8], &Link) -> bool> LinkVerifier for F {
    fn verify(&self, position: u64, previous: &Link, event: &[u8], link: &Link) -> bool {
        self(position, previous, event, link)
    }
}

/// A linked event that is there.
struct Linked {
    event_id: String,
    bytes: Vec<u8>,
    link: Link,
}

/// An event whose link does not match.
struct Mismatch {
    position: u64,
    previous: Link,
    linked: Linked,
}

/// The check of one chain.
pub(super) struct ChainCheck<L> {
    verifier: L,
    /// The last position that the chain's row names.
    last: u64,
    first: u64,
    /// Links whose successor has not been read.
    ends: HashMap<u64, Link>,
    /// Events whose predecessor has not been read; `None` for a removed one.
    starts: HashMap<u64, Option<Linked>>,
    /// The positions that have been read, as the first and last of each run.
    seen: BTreeMap<u64, u64>,
    mismatches: Vec<Mismatch>,
    findings: Vec<Finding>,
    verified: u64,
    /// Links after the last position: another node may have added them meanwhile.
    later: Vec<(String, u64)>,
}

impl<L: LinkVerifier> ChainCheck<L> {
    pub(super) fn new(verifier: L, chain: &AuditChain) -> Self {
        Self {
            verifier,
            last: chain.position,
            first: chain.deleted_position + 1,
            ends: HashMap::from([(chain.deleted_position, chain.deleted_link)]),
            starts: HashMap::new(),
            seen: BTreeMap::from([(chain.deleted_position, chain.deleted_position)]),
            mismatches: Vec::new(),
            findings: Vec::new(),
            verified: 0,
            later: Vec::new(),
        }
    }

    /// The next link in the order of events.
    pub(super) fn add(&mut self, row: AuditLinkRow) {
        let AuditLinkRow { link: stored, event } = row;
        let (position, event_id) = (stored.position, stored.event_id.to_string());
        if position > self.last {
            return self.later.push((event_id, position));
        }
        if position < self.first || !self.see(position) {
            return self.findings.push(Finding::of_event(FindingKind::Inserted, &event_id, Some(position)));
        }
        let linked = event.map(|event| Linked {
            event_id: event_id.clone(),
            bytes: event.canonical_bytes(),
            link: stored.link,
        });
        if linked.is_none() {
            self.findings.push(Finding::of_event(FindingKind::Removed, &event_id, Some(position)));
        }
        match self.ends.remove(&(position - 1)) {
            Some(previous) => self.compare(position, previous, linked),
            None => {
                self.starts.insert(position, linked);
            }
        }
        if let Some(next) = self.starts.remove(&(position + 1)) {
            self.compare(position + 1, stored.link, next);
        } else {
            self.ends.insert(position, stored.link);
        }
    }

    fn compare(&mut self, position: u64, previous: Link, linked: Option<Linked>) {
        let Some(linked) = linked else { return };
        if self.verifier.verify(position, &previous, &linked.bytes, &linked.link) {
            self.verified += 1;
        } else {
            self.mismatches.push(Mismatch { position, previous, linked });
        }
    }

    /// How many events matched, and what was found. `position_now` is the last position by now.
    pub(super) fn finish(mut self, position_now: u64) -> (u64, Vec<Finding>) {
        self.find_gaps();
        let exchanged = self.classify();
        self.findings.extend(exchanged);
        let inserted = self.later.iter().filter(|(_, position)| *position > position_now);
        self.findings.extend(
            inserted.map(|(id, position)| Finding::of_event(FindingKind::Inserted, id, Some(*position))),
        );
        self.findings.sort_by(|a, b| (a.position, &a.event_id).cmp(&(b.position, &b.event_id)));
        (self.verified, self.findings)
    }

    /// Notes that a position was read; whether it is the first time.
    fn see(&mut self, position: u64) -> bool {
        let before = self.seen.range(..=position).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| last >= position) {
            return false;
        }
        let first = before.filter(|(_, last)| last + 1 == position).map_or(position, |(first, _)| first);
        let last = self.seen.remove(&(position + 1)).unwrap_or(position);
        self.seen.insert(first, last);
        true
    }

    /// Positions without a link: their events were removed with it.
    fn find_gaps(&mut self) {
        let nexts = self.seen.keys().skip(1).copied().chain([self.last + 1]);
        for (last, next) in self.seen.values().copied().zip(nexts) {
            if last + 1 < next {
                self.findings.push(Finding::of_positions(FindingKind::Removed, last + 1, next - 1));
            }
        }
    }

    /// Which of the events that do not match were exchanged, and which were changed.
    fn classify(&self) -> Vec<Finding> {
        let compared = self.mismatches.get(..COMPARED_MAX).unwrap_or(&self.mismatches);
        let mut previous: Vec<Link> =
            compared.iter().flat_map(|one| [one.previous, one.linked.link]).collect();
        previous.dedup();
        let fits = |one: &Mismatch, position: u64, link: Link| {
            previous.iter().any(|previous| self.verifier.verify(position, previous, &one.linked.bytes, &link))
        };
        let mut findings = Vec::new();
        for (number, one) in self.mismatches.iter().enumerate() {
            // It is in its place, and only the link before it is another one.
            if number < COMPARED_MAX && fits(one, one.position, one.linked.link) {
                continue;
            }
            let is_moved = number < COMPARED_MAX
                && compared.iter().any(|other| {
                    let is_row_moved = fits(one, other.position, one.linked.link);
                    is_row_moved
                        || other.position != one.position && fits(one, other.position, other.linked.link)
                });
            let kind = if is_moved { FindingKind::Reordered } else { FindingKind::Changed };
            findings.push(Finding::of_event(kind, &one.linked.event_id, Some(one.position)));
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use domain::audit::{AuditLink, AuditRecord};
    use domain::id::{AccountId, AuditEventId};
    use domain::time::Timestamp;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn linker(position: u64, previous: &Link, event: &[u8]) -> Link {
        let mut hash = Sha256::new();
        hash.update(position.to_be_bytes());
        hash.update(previous.0);
        hash.update(event);
        Link(hash.finalize().into())
    }

    fn verifier(position: u64, previous: &Link, event: &[u8], link: &Link) -> bool {
        linker(position, previous, event) == *link
    }

    fn record(number: u64) -> AuditRecord {
        AuditRecord {
            id: AuditEventId::from_stored(format!("{number:0>32}")),
            account_id: AccountId::from_random([1; 16]),
            at: Timestamp::from_millis(5),
            actor_kind: Some("operator".to_owned()),
            api_key_id: None,
            actor_name: None,
            remote: None,
            action: "create_connection".to_owned(),
            subject: Some(number.to_string()),
            refusal: None,
        }
    }

    /// A chain of events in this order of positions, its rows ordered by event.
    fn chain(order: &[u64]) -> (AuditChain, Vec<AuditLinkRow>) {
        let mut chain = AuditChain::empty(AccountId::from_random([1; 16]), Timestamp::from_millis(1));
        let mut rows = Vec::new();
        for number in order {
            let event = record(*number);
            chain.position += 1;
            chain.link = linker(chain.position, &chain.link, &event.canonical_bytes());
            let link = AuditLink { event_id: event.id.clone(), position: chain.position, link: chain.link };
            rows.push(AuditLinkRow { link, event: Some(event) });
        }
        rows.sort_by(|a, b| a.link.event_id.cmp(&b.link.event_id));
        (chain, rows)
    }

    fn check(chain: &AuditChain, rows: Vec<AuditLinkRow>) -> (u64, Vec<String>) {
        let mut check = ChainCheck::new(verifier, chain);
        for row in rows {
            check.add(row);
        }
        let (verified, findings) = check.finish(chain.position);
        let shown = |finding: Finding| {
            let event = finding.event_id.map(|id| format!(" {}", id.trim_start_matches('0')));
            let until = finding.until.map(|until| format!("-{until}"));
            let position = finding.position.map(|position| format!(" at {position}"));
            [Some(finding.kind.as_str().to_owned()), event, position, until].into_iter().flatten().collect()
        };
        (verified, findings.into_iter().map(shown).collect())
    }

    const ORDER: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

    #[test]
    fn an_untouched_chain_verifies_also_with_late_events() {
        let shuffled: [&[u64]; 5] =
            [&[], &ORDER, &[1, 2, 5, 6, 3, 7, 8, 4], &[8, 7, 6, 5, 4, 3, 2, 1], &[2, 1]];
        for order in shuffled {
            let (chain, rows) = chain(order);
            assert_eq!(check(&chain, rows), (order.len() as u64, Vec::new()), "{order:?}");
        }
    }

    #[test]
    fn a_changed_event_or_link_is_named() {
        for at in 0..8 {
            let (chain, mut rows) = chain(&ORDER);
            rows[at].event.as_mut().unwrap().subject = Some("x".to_owned());
            assert_eq!(check(&chain, rows), (7, vec![format!("changed {} at {}", at + 1, at + 1)]));
        }
        let (chain, mut rows) = chain(&ORDER);
        rows[3].link.link.0[0] ^= 1;
        let (_, findings) = check(&chain, rows);
        assert_eq!(findings[0], "changed 4 at 4", "{findings:?}");
    }

    #[test]
    fn a_removed_event_is_named_with_or_without_its_link() {
        for at in 0..8 {
            let (chain, mut rows) = chain(&ORDER);
            rows[at].event = None;
            assert_eq!(check(&chain, rows).1, [format!("removed {} at {}", at + 1, at + 1)]);
        }
        for at in 0..8 {
            let (chain, mut rows) = chain(&ORDER);
            rows.remove(at);
            assert_eq!(check(&chain, rows).1, [format!("removed at {}", at + 1)]);
        }
        let (chain, mut rows) = chain(&[1, 2, 6, 3, 4, 5, 7, 8]);
        rows.drain(1..4);
        assert_eq!(check(&chain, rows).1, ["removed at 2", "removed at 4-5"]);
    }

    #[test]
    fn events_that_exchanged_their_places_are_named() {
        let (chain, mut rows) = chain(&ORDER);
        (rows[2].link.position, rows[5].link.position) = (rows[5].link.position, rows[2].link.position);
        assert_eq!(check(&chain, rows).1, ["reordered 6 at 3", "reordered 3 at 6"], "whole links");
        let (chain, mut rows) = self::chain(&ORDER);
        let (third, sixth) = (rows[2].link.clone(), rows[5].link.clone());
        (rows[2].link.position, rows[2].link.link) = (sixth.position, sixth.link);
        (rows[5].link.position, rows[5].link.link) = (third.position, third.link);
        assert_eq!(check(&chain, rows).1, ["reordered 6 at 3", "reordered 3 at 6"], "only the events");
    }

    #[test]
    fn a_second_link_at_a_position_or_before_the_first_is_an_insertion() {
        let (mut chain, mut rows) = chain(&ORDER);
        let mut copy = rows[4].clone();
        copy.link.event_id = AuditEventId::from_stored("x".to_owned());
        rows.push(copy);
        assert_eq!(check(&chain, rows.clone()).1, ["inserted x at 5"]);
        rows.pop();
        (chain.deleted_position, chain.deleted_link) = (2, rows[1].link.link);
        assert_eq!(check(&chain, rows.clone()).1, ["inserted 1 at 1", "inserted 2 at 2"]);
        assert_eq!(check(&chain, rows.split_off(2)), (6, Vec::new()), "from the checkpoint");
    }

    #[test]
    fn links_after_the_end_were_inserted_unless_the_chain_has_grown() {
        let (long, rows) = chain(&ORDER);
        let (short, _) = chain(&ORDER[..6]);
        let check = || {
            let mut check = ChainCheck::new(verifier, &short);
            for row in &rows {
                check.add(row.clone());
            }
            check
        };
        assert_eq!(check().finish(long.position), (6, Vec::new()));
        let (_, findings) = check().finish(7);
        assert_eq!(
            findings,
            [Finding::of_event(FindingKind::Inserted, rows[7].link.event_id.as_str(), Some(8))]
        );
    }
}
