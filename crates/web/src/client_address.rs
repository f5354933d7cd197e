//! The address of a client: that of the connection's peer, or the one that a proxy in front reports. A report is
//! believed only as far as trusted proxies wrote it.

use std::net::{IpAddr, SocketAddr};

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a client's address is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAddress {
    /// From the connection: there is no proxy in front.
    Peer,
    /// From the last entry of `X-Forwarded-For`, whatever the peer is: only a proxy can reach the service.
    LastForwardedFor,
    /// From `X-Forwarded-For`, read from its end up to the first address that is not one of these proxies.
    Behind(TrustedProxies),
}

/// The addresses of proxies whose reports are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// The client's address, put into each request before it is routed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientIp(pub(crate) Option<IpAddr>);

impl TrustedProxies {
    /// Addresses and networks (`10.0.0.0/8`); the error names the entry.
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
    /// Whether a peer with this address speaks for many clients.
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
                // An entry that is not an address ends the chain: who wrote it is not known.
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

/// The entries of `X-Forwarded-For`, from the last one on; `None` for one that is not an address.
fn entries(headers: &HeaderMap) -> impl Iterator<Item = Option<IpAddr>> {
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    lines
        .flat_map(|line| line.to_str().unwrap_or_default().rsplit(','))
        .map(|entry| parse_entry(entry.trim()))
}

/// An address, with a port perhaps, as some proxies write it.
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
    fn without_a_proxy_the_peer_is_the_client_whatever_it_writes() {
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
    fn the_chain_is_walked_from_its_end_through_trusted_proxies_only() {
        let source = behind(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
        for (peer, lines, expected) in [
            // Only a trusted proxy is believed.
            ("198.51.100.1", &["203.0.113.1"][..], "198.51.100.1"),
            ("192.0.2.8", &["203.0.113.1"], "192.0.2.8"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            ("::ffff:10.0.0.1", &["203.0.113.1"], "203.0.113.1"),
            // What the client wrote itself is in front, and is not reached.
            ("10.0.0.1", &["1.1.1.1, 203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["1.1.1.1", "203.0.113.1"], "203.0.113.1"),
            ("10.0.0.1", &["10.9.9.9, 203.0.113.1, 192.0.2.7"], "203.0.113.1"),
            ("10.0.0.1", &["203.0.113.1, 2001:db8::5", "10.0.0.2"], "203.0.113.1"),
            ("2001:db8::1", &["2a00::1"], "2a00::1"),
            // All are proxies: the farthest one.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Ports and brackets.
            ("10.0.0.1", &["203.0.113.1:4711"], "203.0.113.1"),
            ("10.0.0.1", &["[2a00::1]:4711"], "2a00::1"),
            ("10.0.0.1", &["[2a00::1]"], "2a00::1"),
            // What is not an address ends the chain at the one before it.
            ("10.0.0.1", &["203.0.113.1, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["203.0.113.1, "], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.1, caf\u{e9}"], "10.0.0.1"),
        ] {
            assert_eq!(found(&source, peer, lines), expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn an_entry_that_is_no_address_or_network_is_named() {
        for entry in ["proxy", "10.0.0.0/33", "10.0.0", ""] {
            let error = TrustedProxies::parse(&[entry.to_owned()]).unwrap_err();
            assert!(error.contains(&format!("{entry:?}")), "{error}");
        }
    }
}
