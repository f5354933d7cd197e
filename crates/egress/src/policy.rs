//! Which destinations the operator allows for user-supplied URLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use ipnet::IpNet;
use thiserror::Error;
use url::Host;

use super::addresses::{is_globally_reachable, reachable_through};

/// Which destinations user-supplied URLs may have.
#[derive(Debug, Clone)]
pub struct EgressPolicy {
    /// Destinations that may be private or on this machine. Scheme and port are checked as usual.
    pub allow: Vec<AllowedDestination>,
    /// Whether `http://` is allowed besides `https://`.
    pub insecure: AllowHttp,
    /// Which ports are allowed.
    pub ports: PortPolicy,
    /// The addresses of this service.
    pub own: OwnAddresses,
}

/// A destination that the operator allows explicitly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowedDestination {
    /// This host, whatever its addresses; lower case, without a trailing dot.
    Host(String),
    /// All addresses of this network.
    Network(IpNet),
}

/// The text is not a valid [`AllowedDestination`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a host name, an IP address, or a network such as 10.0.0.0/8")]
pub struct AllowedDestinationError;

/// Whether plain HTTP is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AllowHttp {
    /// `http://` is refused.
    No,
    /// `http://` is allowed, also as the target of a redirect.
    Yes,
}

/// Which ports are allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortPolicy {
    /// 443 and 80.
    Standard,
    /// All ports.
    Any,
    /// Only these.
    Listed(Vec<u16>),
}

/// How to recognise the addresses of this service.
#[derive(Debug, Clone)]
pub struct OwnAddresses {
    listed: Vec<IpAddr>,
    is_own: fn(IpAddr) -> bool,
}

/// Why an address is not allowed. Only logged, not returned to the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(super) enum Forbidden {
    #[error("an address is not globally reachable")]
    NotGlobal,
    #[error("an address belongs to this service")]
    OwnAddress,
}

impl AllowedDestination {
    /// Parses the operator's setting: an exact host name, an address, or a network with its prefix length.
    pub fn parse(text: &str) -> Result<Self, AllowedDestinationError> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network.trunc()));
        }
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address.to_canonical())));
        }
        // An address in an unusual notation is probably a mistake, and is not accepted as a name.
        let Ok(Host::Domain(name)) = Host::parse(text) else { return Err(AllowedDestinationError) };
        let name = name.strip_suffix('.').unwrap_or(&name);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        if name.split('.').all(is_label) {
            Ok(Self::Host(name.to_owned()))
        } else {
            Err(AllowedDestinationError)
        }
    }
}

impl PortPolicy {
    pub(super) fn allows(&self, port: u16) -> bool {
        match self {
            Self::Standard => matches!(port, 443 | 80),
            Self::Any => port != 0,
            Self::Listed(ports) => ports.contains(&port),
        }
    }
}

impl OwnAddresses {
    /// The current addresses of this machine, and `listed`, its external addresses.
    pub fn of_this_machine(listed: Vec<IpAddr>) -> Self {
        // With `ip_nonlocal_bind`, sockets bind to any address, and every address would count as this machine's.
        let is_conclusive = !is_bindable(UNASSIGNED);
        Self { listed, is_own: if is_conclusive { is_bindable } else { is_own_source } }
    }

    /// The addresses for which `is_own` returns true, and `listed`.
    pub fn from_check(is_own: fn(IpAddr) -> bool, listed: Vec<IpAddr>) -> Self {
        Self { listed, is_own }
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.listed.iter().any(|own| own.to_canonical() == address) || (self.is_own)(address)
    }
}

/// From a documentation network, so that no machine has it.
const UNASSIGNED: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 177));

/// A socket binds only to the machine's own addresses. This asks the kernel and covers all interfaces.
fn is_bindable(address: IpAddr) -> bool {
    UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

/// The source address for a packet to one of the machine's own addresses is that address. Nothing is sent.
fn is_own_source(address: IpAddr) -> bool {
    let any =
        if address.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    let source = UdpSocket::bind(SocketAddr::new(any, 0)).and_then(|socket| {
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

impl EgressPolicy {
    /// Whether a host is allowed by name, whatever its addresses.
    pub(super) fn allows_host(&self, name: &str) -> bool {
        self.allow.iter().any(|place| matches!(place, AllowedDestination::Host(host) if host == name))
    }

    /// Whether an address may be used literally in a URL.
    pub(super) fn allows_literal(&self, address: IpAddr) -> bool {
        self.allows_address(address) || is_globally_reachable(address)
    }

    /// Whether connecting to an address is allowed.
    pub(super) fn check(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.allows_address(address) {
            Ok(())
        } else if !is_globally_reachable(address) {
            Err(Forbidden::NotGlobal)
        } else if reachable_through(address).into_iter().any(|address| self.own.contain(address)) {
            Err(Forbidden::OwnAddress)
        } else {
            Ok(())
        }
    }

    fn allows_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.allow
            .iter()
            .any(|place| matches!(place, AllowedDestination::Network(net) if net.contains(&address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], own: OwnAddresses) -> EgressPolicy {
        let allow = allow.iter().map(|text| AllowedDestination::parse(text).unwrap()).collect();
        EgressPolicy { allow, insecure: AllowHttp::No, ports: PortPolicy::Standard, own }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_destination_is_a_name_an_address_or_a_network() {
        for (text, name) in [
            ("minio", "minio"),
            ("Media.Example.", "media.example"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(
                AllowedDestination::parse(text),
                Ok(AllowedDestination::Host(name.to_owned())),
                "{text}"
            );
        }
        for (text, net) in [
            ("127.0.0.1/32", "127.0.0.1/32"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.0.0.5", "10.0.0.5/32"),
            ("::1", "::1/128"),
            ("[fd00::1]", "fd00::1/128"),
            ("fd00::/8", "fd00::/8"),
            ("::ffff:10.0.0.5", "10.0.0.5/32"),
        ] {
            assert_eq!(
                AllowedDestination::parse(text),
                Ok(AllowedDestination::Network(net.parse().unwrap())),
                "{text}"
            );
        }
        for text in [
            "",
            ".",
            "*.example",
            "a..b",
            "https://media.example",
            "media.example:80",
            "10.1",
            "0x7f.1",
            "10.0.0.0/33",
            "a b",
        ] {
            assert_eq!(AllowedDestination::parse(text), Err(AllowedDestinationError), "{text}");
        }
    }

    #[test]
    fn an_allowed_network_allows_only_its_addresses() {
        let policy = policy(&["127.0.0.2/32"], OwnAddresses::of_this_machine(Vec::new()));
        assert_eq!(policy.check(address("127.0.0.2")), Ok(()));
        assert_eq!(policy.check(address("::ffff:127.0.0.2")), Ok(()));
        assert_eq!(policy.check(address("127.0.0.1")), Err(Forbidden::NotGlobal));
        assert_eq!(policy.check(address("64:ff9b::127.0.0.2")), Err(Forbidden::NotGlobal));
    }

    #[test]
    fn an_own_public_address_is_rejected_in_every_embedding_unless_allowed() {
        let own =
            || OwnAddresses::from_check(|found| found == address("8.8.8.8"), vec![address("::ffff:9.9.9.9")]);
        let closed = policy(&[], own());
        for ours in ["8.8.8.8", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1", "9.9.9.9"] {
            assert_eq!(closed.check(address(ours)), Err(Forbidden::OwnAddress), "{ours}");
        }
        assert_eq!(closed.check(address("1.1.1.1")), Ok(()));
        assert_eq!(policy(&["8.8.8.8"], own()).check(address("8.8.8.8")), Ok(()));
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        for ask in [is_bindable, is_own_source] {
            assert!(ask(address("127.0.0.1")));
            assert!(!ask(UNASSIGNED));
        }
    }

    #[test]
    fn only_standard_ports_are_allowed_by_default() {
        for (policy, good, bad) in [
            (PortPolicy::Standard, vec![443, 80], vec![22, 8080, 0]),
            (PortPolicy::Any, vec![1, 22, 65535], vec![0]),
            (PortPolicy::Listed(vec![9000]), vec![9000], vec![443, 80]),
        ] {
            assert!(good.iter().all(|port| policy.allows(*port)), "{policy:?}");
            assert!(!bad.iter().any(|port| policy.allows(*port)), "{policy:?}");
        }
    }
}
