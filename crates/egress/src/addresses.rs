//! Which IP addresses are globally reachable, according to IANA's special-purpose registries for IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

/// Not globally reachable: listed as such, unlisted, or used by platforms for internal services.
const CLOSED_V4: [Ipv4Net; 17] = [
    // "This network".
    v4([0, 0, 0, 0], 8),
    // Private use.
    v4([10, 0, 0, 0], 8),
    // Carrier-grade NAT; also the metadata service of one cloud.
    v4([100, 64, 0, 0], 10),
    // Loopback.
    v4([127, 0, 0, 0], 8),
    // Azure's platform agent: a public address that is answered by the host.
    v4([168, 63, 129, 16], 32),
    // Link-local; the metadata service of most clouds.
    v4([169, 254, 0, 0], 16),
    // Private use.
    v4([172, 16, 0, 0], 12),
    // Protocol assignments.
    v4([192, 0, 0, 0], 24),
    // Documentation.
    v4([192, 0, 2, 0], 24),
    // Deprecated 6to4 relays.
    v4([192, 88, 99, 0], 24),
    // Private use.
    v4([192, 168, 0, 0], 16),
    // Benchmarking.
    v4([198, 18, 0, 0], 15),
    // Documentation.
    v4([198, 51, 100, 0], 24),
    // Documentation.
    v4([203, 0, 113, 0], 24),
    // Multicast, including multicast documentation.
    v4([224, 0, 0, 0], 4),
    // Reserved.
    v4([240, 0, 0, 0], 4),
    // Limited broadcast.
    v4([255, 255, 255, 255], 32),
];

/// Inside [`CLOSED_V4`], but globally reachable according to the registry: two anycast addresses.
const OPEN_V4: [Ipv4Net; 2] = [v4([192, 0, 0, 9], 32), v4([192, 0, 0, 10], 32)];

/// All global unicast addresses assigned by IANA. All others are refused, except [`NAT64`].
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0], 3);
/// The well-known NAT64 prefix, which embeds an IPv4 address.
const NAT64: Ipv6Net = v6([0x64, 0xff9b, 0, 0], 96);
/// IPv4-compatible addresses, deprecated; some systems still read them as IPv4.
const COMPATIBLE: Ipv6Net = v6([0, 0, 0, 0], 96);
const TEREDO: Ipv6Net = v6([0x2001, 0, 0, 0], 32);
const SIX_TO_FOUR: Ipv6Net = v6([0x2002, 0, 0, 0], 16);

/// Inside [`GLOBAL_UNICAST`], but not globally reachable.
const CLOSED_V6: [Ipv6Net; 3] = [
    // Protocol assignments.
    v6([0x2001, 0, 0, 0], 23),
    // Documentation.
    v6([0x2001, 0xdb8, 0, 0], 32),
    // Documentation.
    v6([0x3fff, 0, 0, 0], 20),
];

/// Inside [`CLOSED_V6`], but globally reachable according to the registry. For Teredo, the embedded addresses are
/// checked too.
const OPEN_V6: [Ipv6Net; 8] = [
    TEREDO,
    // Port Control Protocol, TURN and DNS-SD registration, anycast.
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 1), 128),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 2), 128),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2001, 1, 0, 0, 0, 0, 0, 3), 128),
    // Automatic Multicast Tunneling.
    v6([0x2001, 3, 0, 0], 32),
    // AS112.
    v6([0x2001, 4, 0x112, 0], 48),
    // ORCHIDv2 and Drone Remote ID.
    v6([0x2001, 0x20, 0, 0], 28),
    v6([0x2001, 0x30, 0, 0], 28),
];

const fn v4(octets: [u8; 4], prefix: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(head: [u16; 4], prefix: u8) -> Ipv6Net {
    let [a, b, c, d] = head;
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), prefix)
}

/// Whether an address and all IPv4 addresses embedded in it are globally reachable.
pub(super) fn is_globally_reachable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_global_v4(address),
        IpAddr::V6(address) => is_global_v6(address) && embedded(address).into_iter().all(is_global_v4),
    }
}

/// All addresses that a packet to this address may reach: itself and the embedded ones.
pub(super) fn reachable_through(address: IpAddr) -> Vec<IpAddr> {
    let address = address.to_canonical();
    let mut all = vec![address];
    if let IpAddr::V6(address) = address {
        all.extend(embedded(address).into_iter().map(IpAddr::V4));
    }
    all
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let is_in = |nets: &[Ipv4Net]| nets.iter().any(|net| net.contains(&address));
    !is_in(&CLOSED_V4) || is_in(&OPEN_V4)
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let is_in = |nets: &[Ipv6Net]| nets.iter().any(|net| net.contains(&address));
    NAT64.contains(&address) || (GLOBAL_UNICAST.contains(&address) && (!is_in(&CLOSED_V6) || is_in(&OPEN_V6)))
}

/// The IPv4 addresses that translators, tunnels and old stacks extract from this address.
fn embedded(address: Ipv6Addr) -> Vec<Ipv4Addr> {
    let [.., e, f, g, h] = address.segments();
    let tail = from_halves(g, h);
    let mut found = Vec::new();
    if NAT64.contains(&address) || COMPATIBLE.contains(&address) {
        found.push(tail);
    }
    if SIX_TO_FOUR.contains(&address) {
        let [_, high, low, ..] = address.segments();
        found.push(from_halves(high, low));
    }
    if TEREDO.contains(&address) {
        let [_, _, high, low, ..] = address.segments();
        // The server is stored as it is, the client with inverted bits.
        found.push(from_halves(high, low));
        found.push(from_halves(!g, !h));
    }
    // ISATAP in any network: interface identifier 00-00-5E-FE or 02-00-5E-FE, then the address.
    if e & !0x0200 == 0 && f == 0x5efe {
        found.push(tail);
    }
    found
}

fn from_halves(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_global(text: &str) -> bool {
        is_globally_reachable(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_are_accepted() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "168.63.129.15",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.0.9",
            "192.0.0.10",
            "192.0.1.0",
            "192.31.196.1",
            "192.52.193.1",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "192.175.48.1",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2000::1",
            "2001:200::1",
            "2606:4700:4700::1111",
            "2620:4f:8000::1",
            "2a00:1450:4001::200e",
            "3ffe:ffff::1",
            "3fff:1000::1",
            "2001:1::1",
            "2001:1::2",
            "2001:1::3",
            "2001:3::1",
            "2001:4:112::1",
            "2001:20::1",
            "2001:3f::1",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
            // Teredo: server 8.8.8.8, client 1.1.1.1 with inverted bits.
            "2001:0:808:808:0:0:fefe:fefe",
            "2606:4700::5efe:8.8.8.8",
            "2606:4700::200:5efe:8.8.8.8",
        ] {
            assert!(is_global(text), "{text}");
        }
    }

    #[test]
    fn every_special_ipv4_range_is_rejected_up_to_its_boundaries() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.0",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.8",
            "192.0.0.11",
            "192.0.0.170",
            "192.0.0.171",
            "192.0.0.192",
            "192.0.0.255",
            "192.0.2.0",
            "192.0.2.255",
            "192.88.99.0",
            "192.88.99.2",
            "192.88.99.255",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.0",
            "198.51.100.255",
            "203.0.113.0",
            "203.0.113.255",
            "224.0.0.0",
            "224.0.0.251",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.254",
            "255.255.255.255",
        ] {
            assert!(!is_global(text), "{text}");
            for wrapped in [format!("::ffff:{text}"), format!("64:ff9b::{text}"), format!("::{text}")] {
                assert!(!is_global(&wrapped), "{wrapped}");
            }
            for wrapped in [format!("2606:4700::5efe:{text}"), format!("2606:4700::200:5efe:{text}")] {
                assert!(!is_global(&wrapped), "{wrapped}");
            }
        }
    }

    #[test]
    fn every_special_ipv6_range_is_rejected() {
        for text in [
            "::",
            "::1",
            "::8.8.8.8",
            "64:ff9b:1::",
            "64:ff9b:1:ffff::8.8.8.8",
            "64:ff9b::1:8.8.8.8",
            "100::",
            "100::ffff",
            "100:0:0:1::1",
            "1fff:ffff::1",
            "2001:1::",
            "2001:1::4",
            "2001:2::",
            "2001:2:0:ffff::1",
            "2001:4:111::1",
            "2001:10::",
            "2001:1f::1",
            "2001:40::1",
            "2001:1ff:ffff::1",
            "2001:db8::",
            "2001:db8:ffff::1",
            "3fff::",
            "3fff:fff:ffff::1",
            "4000::1",
            "5f00::1",
            "5f00:ffff::1",
            "8000::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff::1",
            "fe80::1",
            "fe80::5efe:8.8.8.8",
            "febf::1",
            "fec0::1",
            "feff::1",
            "ff00::1",
            "ff02::1",
            "ff0e::1",
            "::ffff:0:8.8.8.8",
        ] {
            assert!(!is_global(text), "{text}");
        }
    }

    #[test]
    fn a_tunnel_address_is_accepted_only_if_all_embedded_ones_are() {
        for text in [
            // 6to4 of 127.0.0.1, 10.0.0.1, 169.254.169.254 and 192.168.1.1.
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::1",
            "2002:c0a8:101::1",
            // Teredo with server 10.0.0.1, and with client 127.0.0.1 or 10.0.0.1.
            "2001:0:a00:1:0:0:fefe:fefe",
            "2001:0:808:808:0:0:80ff:fffe",
            "2001:0:808:808:0:0:f5ff:fffe",
            // ISATAP inside 6to4: the outer one is public, the inner one is not.
            "2002:808:808::5efe:10.0.0.1",
        ] {
            assert!(!is_global(text), "{text}");
        }
    }

    #[test]
    fn an_address_reaches_itself_and_the_embedded_ones() {
        for (text, all) in [
            ("8.8.8.8", vec!["8.8.8.8"]),
            ("::ffff:8.8.8.8", vec!["8.8.8.8"]),
            ("64:ff9b::8.8.8.8", vec!["64:ff9b::808:808", "8.8.8.8"]),
            ("2001:0:808:808:0:0:fefe:fefe", vec!["2001:0:808:808::fefe:fefe", "8.8.8.8", "1.1.1.1"]),
        ] {
            let all: Vec<IpAddr> = all.into_iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(reachable_through(text.parse().unwrap()), all, "{text}");
        }
    }
}
