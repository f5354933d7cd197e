//! The address of a client: the connection's peer, or the address reported by a proxy. Only entries written by trusted
//! proxies count.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How to determine a client's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAddress {
    /// The connection's peer: there is no proxy.
    Peer,
    /// The last entry of `X-Forwarded-For`, whatever the peer: only a proxy can reach the service.
    LastForwardedFor,
    /// The last entry of `X-Forwarded-For` that is not one of these proxies.
    Behind(TrustedProxies),
}

/// The addresses of trusted proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The client's address. Added to each request before routing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientIp(pub(crate) Option<IpAddr>);

impl TrustedProxies {
    /// Addresses and networks (`10.0.0.0/8`). The error names the invalid entry.
    pub fn parse(entries: &[String]) -> Result<Self, String> {
        let parse = |entry: &String| {
            let network = entry.parse().or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("{entry:?} is not an address or a network such as 10.0.0.0/8"))
        };
        entries.iter().map(parse).collect::<Result<_, _>>().map(Self)
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl ClientAddress {
    /// Whether this peer is a proxy, with requests of many clients.
    pub fn is_proxy(&self, peer: IpAddr) -> bool {
        match self {
            Self::Peer => false,
            Self::LastForwardedFor => true,
            Self::Behind(proxies) => proxies.contains(peer.to_canonical()),
        }
    }

    pub(crate) fn of_request(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?.0.ip();
        Some(self.find(peer, request.headers()))
    }

    fn find(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let peer = peer.to_canonical();
        let mut entries = entries(headers);
        match self {
            Self::Peer => peer,
            Self::LastForwardedFor => entries.next().flatten().unwrap_or(peer),
            Self::Behind(proxies) => {
                let mut nearest = peer;
                // An entry that is not an address ends the chain, because it is unknown who wrote it.
                while proxies.contains(nearest)
                    && let Some(Some(address)) = entries.next()
                {
                    nearest = address;
                }
                nearest
            }
        }
    }
}

/// The entries of `X-Forwarded-For` in reverse order; `None` for one that is not an address.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(','))
        .map(|entry| parse_entry(entry.trim()))
}

/// An address, with an optional port, as some proxies write it.
fn parse_entry(entry: &str) -> Option<IpAddr> {
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']')).unwrap_or(entry);
    let address = bare.parse().ok().or_else(|| entry.parse().ok().map(|address: SocketAddr| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn found(source: &ClientAddress, peer: &str, lines: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        source.find(peer.parse().unwrap(), &headers).to_string()
    }

    fn behind(entries: &[&str]) -> ClientAddress {
        let entries: Vec<_> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        ClientAddress::Behind(TrustedProxies::parse(&entries).unwrap())
    }

    #[test]
    fn without_a_proxy_the_peer_is_the_client_whatever_it_sends() {
        assert_eq!(found(&ClientAddress::Peer, "198.51.100.1", &["203.0.113.1"]), "198.51.100.1");
        assert_eq!(found(&ClientAddress::Peer, "::ffff:198.51.100.1", &[]), "198.51.100.1");
    }

    #[test]
    fn behind_any_proxy_the_last_entry_is_the_client() {
        let source = ClientAddress::LastForwardedFor;
        for (lines, expected) in [
            (&[][..], "10.0.0.1"),
            (&["203.0.113.1"], "203.0.113.1"),
            (&["192.0.2.9, 203.0.113.1"], "203.0.113.1"),
            (&["203.0.113.1", "192.0.2.9,203.0.113.2"], "203.0.113.2"),
            (&["203.0.113.1, unknown"], "10.0.0.1"),
        ] {
            assert_eq!(found(&source, "10.0.0.1", lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn the_chain_is_read_backwards_through_trusted_proxies_only() {
        let source = behind(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
        for (peer, lines, expected) in [
            // Only a trusted proxy counts.
            ("198.51.100.1", &["203.0.113.1"][..], "198.51.100.1"),
            ("192.0.2.8", &["203.0.113.1"], "192.0.2.8"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            ("::ffff:10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            // Entries written by the client come first, and are not reached.
            ("10.0.0.1", &["1.1.1.1, 203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["10.9.9.9, 203.0.113.1, 192.0.2.7"], "203.0.113.1"),
            ("10.0.0.1", &["203.0.113.1, 2001:db8::5", "10.0.0.2"], "203.0.113.1"),
            ("2001:db8::1", &["2a00::1"], "2a00::1"),
            // All entries are proxies: the first one counts.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Ports and brackets.
            ("10.0.0.1", &["203.0.113.1:4711"], "203.0.113.1"),
            ("10.0.0.1", &["[2a00::1]:4711"], "2a00::1"),
            ("10.0.0.1", &["[2a00::1]"], "2a00::1"),
            // An invalid entry ends the chain at the address before it.
            ("10.0.0.1", &["203.0.113.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.1, "], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1, caf\u{e9}"], "10.0.0.1"),
        ] {
            assert_eq!(found(&source, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn an_invalid_entry_is_named() {
        for entry in ["proxy", "10.0.0.0/33", "10.0.0", ""] {
            let error = TrustedProxies::parse(&[entry.to_owned()]).unwrap_err();
            assert!(error.contains(&format!("{entry:?}")), "{error}");
        }
    }
}
