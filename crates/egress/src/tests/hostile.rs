//! URLs that lead to internal addresses, in every known spelling: each is rejected before a byte is sent.

use super::*;
use web::Answer;

/// With `http://` and the port of a server that listens on 127.0.0.1 and `[::1]` filled in.
const INSIDE: [&str; 85] = [
    // This machine, by address.
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.0.0.2.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://127.1.:PORT/",
    "http://127.255.255.254:PORT/",
    "http://2130706433:PORT/",
    "http://2130706433.:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0177.0.0.01:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.0x0.0x0.0x1:PORT/",
    "http://0X7F.1:PORT/",
    "http://0x7f.0.0.01:PORT/",
    "http://00000000177.1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    "http://\u{ff11}\u{ff12}\u{ff17}.\u{ff10}.\u{ff10}.\u{ff11}:PORT/",
    "http://\u{2460}\u{2461}\u{2466}.0.0.1:PORT/",
    "http://127\u{3002}0\u{3002}0\u{3002}1:PORT/",
    "http://127\u{ff0e}0\u{ff61}0.1:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://0x0:PORT/",
    // The same, embedded in IPv6.
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[0000:0000:0000:0000:0000:0000:0000:0001]:PORT/",
    "http://[::]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[::7f00:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::FFFF:7F00:0001]:PORT/",
    "http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[64:ff9b:1::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2002:7f00:0001::1]:PORT/",
    "http://[2001:0:808:808::80ff:fffe]:PORT/",
    "http://[2001:0:7f00:1::f7f7:f7f7]:PORT/",
    "http://[2606:4700::5efe:7f00:1]:PORT/",
    "http://[fe80::5efe:127.0.0.1]:PORT/",
    // This machine and its local network, by name.
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://\u{24db}ocalhost:PORT/",
    "http://loc\u{ad}alhost:PORT/",
    "http://%6c%6fcalhost:PORT/",
    "http://any.localhost:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://metadata:PORT/",
    "http://metadata.google.internal:PORT/",
    "http://METADATA.google.INTERNAL.:PORT/",
    "http://printer.local:PORT/",
    "http://router.home.arpa:PORT/",
    "http://wiki.corp:PORT/",
    // Private networks and cloud metadata services.
    "http://10.0.0.1:PORT/",
    "http://10.1:PORT/",
    "http://172.16.0.1:PORT/",
    "http://172.31.255.254:PORT/",
    "http://192.168.0.1:PORT/",
    "http://0xc0a80001:PORT/",
    "http://100.100.100.200:PORT/",
    "http://168.63.129.16:PORT/",
    "http://169.254.169.254:PORT/latest/meta-data/",
    "http://2852039166:PORT/latest/meta-data/",
    "http://0xa9fea9fe:PORT/",
    "http://0251.0376.0251.0376:PORT/",
    "http://[::ffff:a9fe:a9fe]:PORT/",
    "http://[fd00:ec2::254]:PORT/",
    "http://[fe80::1]:PORT/",
    "http://[fec0::1]:PORT/",
    "http://[ff02::1]:PORT/",
    "http://192.0.0.192:PORT/",
    "http://198.18.0.1:PORT/",
    "http://224.0.0.1:PORT/",
    "http://255.255.255.255:PORT/",
    // URLs in which two parsers see different hosts.
    "http://media.test@127.0.0.1:PORT/",
    "http://media.test\\@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\t/",
    "http://127.0.0.1:PORT#@media.test/",
];

/// Names and their addresses at the DNS server.
const NAMES: [(&str, &str); 16] = [
    ("a.inside.test", "127.0.0.1"),
    ("b.inside.test", "::1"),
    ("c.inside.test", "::ffff:127.0.0.1"),
    ("d.inside.test", "64:ff9b::7f00:1"),
    ("e.inside.test", "2002:7f00:1::1"),
    ("f.inside.test", "0.0.0.0"),
    ("g.inside.test", "::"),
    ("h.inside.test", "169.254.169.254"),
    ("i.inside.test", "10.0.0.1"),
    ("j.inside.test", "192.168.1.1"),
    ("k.inside.test", "fd00::1"),
    ("l.inside.test", "fe80::1"),
    ("127.0.0.1.inside.test", "127.0.0.1"),
    ("m.inside.test", "127.0.0.2 127.0.0.1"),
    ("n.inside.test", "127.0.0.2 ::1"),
    ("o.inside.test", "127.0.0.2 10.0.0.1"),
];

/// Servers at the same port of both loopback addresses.
async fn inside() -> (Web, Web) {
    let four = Web::start(BAD, |_| Answer::new(200, &[], "inside")).await;
    let six = SocketAddr::new("::1".parse().unwrap(), four.address.port());
    (four, Web::start_at(six, |_| Answer::new(200, &[], "inside")).await)
}

#[tokio::test]
async fn no_spelling_of_an_internal_address_is_sent_a_byte() {
    let (four, six) = inside().await;
    let egress = egress();
    for spelling in INSIDE {
        let text = spelling.replace("PORT", &four.address.port().to_string());
        let fault = egress.validate(&text).expect_err(&text);
        // The error is constant and contains nothing of the input.
        assert!(!fault.to_string().contains("127") && !format!("{fault:?}").contains("127"), "{text}");
    }
    assert_eq!((four.accepted(), six.accepted()), (0, 0));
}

#[tokio::test]
async fn no_name_of_an_internal_address_is_sent_a_byte() {
    let (four, six) = inside().await;
    let good =
        Web::start_at(SocketAddr::new(GOOD, four.address.port()), |_| Answer::new(200, &[], "good")).await;
    let dns = Dns::start(|name, _| {
        let found = NAMES.iter().find(|(known, _)| *known == name);
        found.iter().flat_map(|(_, all)| all.split(' ')).map(|address| address.parse().unwrap()).collect()
    })
    .await;
    let egress = outbound_asking(&dns);
    for (name, _) in NAMES {
        let url = egress.validate(&format!("http://{name}:{}/", four.address.port())).unwrap();
        assert_eq!(metadata_of(&egress, &url, 100).await, Err(SourceError::Unreachable), "{name}");
        assert_eq!(egress.post(&url, Vec::new(), Vec::new()).await, Err(PostError::Unreachable), "{name}");
        assert!(dns.asked_for(name) > 0, "{name}");
    }
    // A name with one forbidden address is not used at all.
    assert_eq!((four.accepted(), six.accepted(), good.accepted()), (0, 0, 0));
}

#[test]
fn the_spellings_are_many_and_unique() {
    let different: std::collections::BTreeSet<_> = INSIDE.iter().collect();
    assert!(different.len() == INSIDE.len() && INSIDE.len() >= 60);
}
