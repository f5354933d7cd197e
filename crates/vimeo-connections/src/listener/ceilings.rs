//! How many connections there may be, in all and from one peer. Beyond that, a reserve answers probes of health.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections beyond the ceiling, on which only `/health/…` is answered.
pub(crate) const RESERVE: usize = 32;
/// How many of these one peer may have.
const RESERVE_PER_PEER: usize = 16;
/// Files that the service opens now and then: temporary ones, name servers, a refused connection.
const SPARE_FILES: usize = 64;
/// A source, the link at Vimeo, a spool file, and one more in passing.
const FILES_PER_UPLOAD: usize = 4;
/// Fewer connections than these are useless: then the file limit is too low.
pub(crate) const TOTAL_MIN: usize = 16;

/// What is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_peer: usize,
}

impl Limits {
    /// The limits that leave files for everything else, if the process may have `file_limit` of them open and has `open`.
    pub(super) fn within(self, file_limit: usize, open: usize, uploads: usize) -> Self {
        let others = open + SPARE_FILES + RESERVE + FILES_PER_UPLOAD.saturating_mul(uploads);
        let total = self.total.min(file_limit.saturating_sub(others)).max(TOTAL_MIN);
        // One peer cannot have all, unless it is a proxy.
        Self { total, per_peer: self.per_peer.min(total - total / 4) }
    }
}

/// The connections that there are.
#[derive(Debug)]
pub(super) struct Ceilings {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: Places,
    peers: HashMap<IpAddr, Places>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Places {
    regular: usize,
    reserve: usize,
}

impl Places {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Regular => &mut self.regular,
            Kind::Reserve => &mut self.reserve,
        }
    }
}

/// What a connection is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    /// For probes of health.
    Reserve,
}

/// One connection's place, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    ceilings: Arc<Ceilings>,
    peer: IpAddr,
    pub(super) kind: Kind,
}

impl Ceilings {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// A place for a connection from this peer, `None` if there is none left. A proxy speaks for many clients, and has no
    /// ceiling of its own.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Option<Place> {
        let peer = network(peer);
        let mut counts = self.counts();
        let all = counts.all;
        let own =
            if is_proxy { Places::default() } else { counts.peers.get(&peer).copied().unwrap_or_default() };
        let kind = if all.regular < self.limits.total && own.regular < self.limits.per_peer {
            Kind::Regular
        } else if all.reserve < RESERVE && own.reserve < RESERVE_PER_PEER {
            Kind::Reserve
        } else {
            return None;
        };
        *counts.all.of(kind) += 1;
        *counts.peers.entry(peer).or_default().of(kind) += 1;
        Some(Place { ceilings: self.clone(), peer, kind })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.ceilings.counts();
        *counts.all.of(self.kind) -= 1;
        if let Some(places) = counts.peers.get_mut(&self.peer) {
            *places.of(self.kind) -= 1;
            if places.regular + places.reserve == 0 {
                counts.peers.remove(&self.peer);
            }
        }
    }
}

/// Who a peer is: of IPv6 the network of 64 bits, all of whose addresses are one client's.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(ceilings: &Arc<Ceilings>, peer: &str, count: usize) -> Vec<Place> {
        (0..count).filter_map(|_| ceilings.admit(peer.parse().unwrap(), false)).collect()
    }

    fn kinds(places: &[Place]) -> (usize, usize) {
        let regular = places.iter().filter(|place| place.kind == Kind::Regular).count();
        (regular, places.len() - regular)
    }

    #[test]
    fn the_ceiling_leaves_files_for_everything_else() {
        let limits = Limits { total: 10_000, per_peer: 2_000 };
        let within = |limit| limits.within(limit, 40, 16);
        assert_eq!(within(1_048_576), limits);
        assert_eq!(within(1_024), Limits { total: 824, per_peer: 618 });
        assert_eq!(within(256), Limits { total: 56, per_peer: 42 });
        assert_eq!(within(64), Limits { total: TOTAL_MIN, per_peer: 12 });
        let small = Limits { total: 100, per_peer: 10 };
        assert_eq!(small.within(1_024, 40, 16), small);
    }

    #[test]
    fn one_peer_cannot_have_all_and_beyond_its_share_has_the_reserve() {
        let ceilings = Ceilings::new(Limits { total: 8, per_peer: 6 });
        let first = admit(&ceilings, "192.0.2.1", 100);
        assert_eq!(kinds(&first), (6, RESERVE_PER_PEER));
        let second = admit(&ceilings, "192.0.2.2", 100);
        assert_eq!(kinds(&second), (2, RESERVE - RESERVE_PER_PEER));
        assert!(ceilings.admit("192.0.2.3".parse().unwrap(), true).is_none(), "nothing is left");
        drop(first);
        assert_eq!(kinds(&admit(&ceilings, "192.0.2.3", 1)), (1, 0));
        drop(second);
        assert!(ceilings.counts().peers.is_empty(), "nothing is kept of peers that are gone");
    }

    #[test]
    fn a_proxy_may_have_all() {
        let ceilings = Ceilings::new(Limits { total: 8, per_peer: 2 });
        let proxy = "192.0.2.1".parse().unwrap();
        let places: Vec<_> = (0..8).filter_map(|_| ceilings.admit(proxy, true)).collect();
        assert_eq!(kinds(&places), (8, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_peer() {
        let ceilings = Ceilings::new(Limits { total: 100, per_peer: 1 });
        for (peer, kind) in [
            ("2001:db8::1", Kind::Regular),
            ("2001:db8::ffff:1", Kind::Reserve),
            ("2001:db8:0:1::1", Kind::Regular),
            ("198.51.100.1", Kind::Regular),
            ("::ffff:198.51.100.1", Kind::Reserve),
        ] {
            let place = ceilings.admit(peer.parse().unwrap(), false).unwrap();
            assert_eq!(place.kind, kind, "{peer}");
            std::mem::forget(place);
        }
    }
}
