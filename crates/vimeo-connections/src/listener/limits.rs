//! Limits the number of connections, in total and per peer. Beyond that, a reserve answers health probes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::network;

/// Connections beyond the limit, on which only `/health/…` is answered.
pub(crate) const RESERVE: usize = 32;
/// How many of these one peer may have.
const RESERVE_PER_PEER: usize = 16;
/// Files that the service opens occasionally: temporary files, DNS sockets, rejected connections.
const SPARE_FILES: usize = 64;
/// A source, the upload link, a spool file, and a spare one.
const FILES_PER_UPLOAD: usize = 4;
/// With fewer connections the service is useless; the file limit is too low.
pub(crate) const TOTAL_MIN: usize = 16;

/// The configured limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) total: usize,
    pub(crate) per_peer: usize,
}

impl Limits {
    /// Reduces the limits so that enough files remain for everything else, given the limit of open files and the number
    /// open now.
    pub(super) fn within(self, file_limit: usize, open: usize, uploads: usize) -> Self {
        let others = open + SPARE_FILES + RESERVE + FILES_PER_UPLOAD.saturating_mul(uploads);
        let total = self.total.min(file_limit.saturating_sub(others)).max(TOTAL_MIN);
        // One peer cannot have all connections, unless it is a proxy.
        Self { total, per_peer: self.per_peer.min(total - total / 4) }
    }
}

/// Counts the connections.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: ConnectionCounts,
    peers: HashMap<IpAddr, ConnectionCounts>,
}

#[derive(Debug, Default, Clone, Copy)]
struct ConnectionCounts {
    regular: usize,
    reserve: usize,
}

impl ConnectionCounts {
    fn of(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Regular => &mut self.regular,
            Kind::Reserve => &mut self.reserve,
        }
    }
}

/// What a connection may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Regular,
    /// Only health probes.
    Reserve,
}

/// Permission for one connection. Released on drop.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    peer: IpAddr,
    pub(super) kind: Kind,
}

impl ConnectionLimiter {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// A permit for a connection from this peer; `None` if the limits are reached. A proxy has many clients and no
    /// limit of its own.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr, is_proxy: bool) -> Option<ConnectionPermit> {
        let peer = network::of_client(peer);
        let mut counts = self.counts();
        let all = counts.all;
        let own = if is_proxy {
            ConnectionCounts::default()
        } else {
            counts.peers.get(&peer).copied().unwrap_or_default()
        };
        let kind = if all.regular < self.limits.total && own.regular < self.limits.per_peer {
            Kind::Regular
        } else if all.reserve < RESERVE && own.reserve < RESERVE_PER_PEER {
            Kind::Reserve
        } else {
            return None;
        };
        *counts.all.of(kind) += 1;
        *counts.peers.entry(peer).or_default().of(kind) += 1;
        Some(ConnectionPermit { limiter: self.clone(), peer, kind })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut counts = self.limiter.counts();
        *counts.all.of(self.kind) -= 1;
        if let Some(permits) = counts.peers.get_mut(&self.peer) {
            *permits.of(self.kind) -= 1;
            if permits.regular + permits.reserve == 0 {
                counts.peers.remove(&self.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(limiter: &Arc<ConnectionLimiter>, peer: &str, count: usize) -> Vec<ConnectionPermit> {
        (0..count).filter_map(|_| limiter.admit(peer.parse().unwrap(), false)).collect()
    }

    fn kinds(permits: &[ConnectionPermit]) -> (usize, usize) {
        let regular = permits.iter().filter(|permit| permit.kind == Kind::Regular).count();
        (regular, permits.len() - regular)
    }

    #[test]
    fn the_limit_leaves_files_for_everything_else() {
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
    fn one_peer_cannot_use_all_connections_and_then_uses_the_reserve() {
        let limiter = ConnectionLimiter::new(Limits { total: 8, per_peer: 6 });
        let first = admit(&limiter, "192.0.2.1", 100);
        assert_eq!(kinds(&first), (6, RESERVE_PER_PEER));
        let second = admit(&limiter, "192.0.2.2", 100);
        assert_eq!(kinds(&second), (2, RESERVE - RESERVE_PER_PEER));
        assert!(limiter.admit("192.0.2.3".parse().unwrap(), true).is_none(), "nothing is left");
        drop(first);
        assert_eq!(kinds(&admit(&limiter, "192.0.2.3", 1)), (1, 0));
        drop(second);
        assert!(limiter.counts().peers.is_empty(), "nothing is kept of peers that are gone");
    }

    #[test]
    fn a_proxy_may_use_all_connections() {
        let limiter = ConnectionLimiter::new(Limits { total: 8, per_peer: 2 });
        let proxy = "192.0.2.1".parse().unwrap();
        let permits: Vec<_> = (0..8).filter_map(|_| limiter.admit(proxy, true)).collect();
        assert_eq!(kinds(&permits), (8, 0));
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one_peer() {
        let limiter = ConnectionLimiter::new(Limits { total: 100, per_peer: 1 });
        for (peer, kind) in [
            ("2001:db8::1", Kind::Regular),
            ("2001:db8::ffff:1", Kind::Reserve),
            ("2001:db8:0:1::1", Kind::Regular),
            ("198.51.100.1", Kind::Regular),
            ("::ffff:198.51.100.1", Kind::Reserve),
        ] {
            let permit = limiter.admit(peer.parse().unwrap(), false).unwrap();
            assert_eq!(permit.kind, kind, "{peer}");
            std::mem::forget(permit);
        }
    }
}
