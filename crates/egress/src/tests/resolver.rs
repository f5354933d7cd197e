//! Names in every form in use, and DNS servers with every behaviour in use, resolved as `curl` does.

use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;

use super::super::resolver::{NameLookup, Resolver};
use super::*;
use dns::{Asked, Protocol, Reply};
use web::Answer;

type Habit = fn(&Asked) -> Reply;

const V6: &str = "2001:db8::1";

async fn query(dns: &Dns, name: &str) -> Vec<IpAddr> {
    Resolver::new(&[dns.address]).unwrap().addresses(name, NameLookup::Absolute).await
}

/// The addresses of `film.test` from a server with this behaviour.
async fn with(behaviour: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Vec<IpAddr> {
    let dns = Dns::behaving(behaviour).await;
    query(&dns, "film.test").await
}

fn good(_: &Asked) -> Reply {
    Reply::Addresses(vec![GOOD])
}

/// The name that is queried for a URL's host.
async fn asked_for(host: &str) -> Option<String> {
    let web = Web::start(GOOD, |_| Answer::new(200, &["Content-Length: 3"], "abc")).await;
    let asked = Arc::new(std::sync::Mutex::new(None));
    let journal = Arc::clone(&asked);
    let dns = Dns::behaving(move |question| {
        *journal.lock().unwrap() = Some(question.name.clone());
        Reply::Addresses(vec![GOOD])
    })
    .await;
    let mut options = options(vec![dns.address]);
    options.policy.allow.push(AllowedDestination::parse("media").unwrap());
    let egress = Egress::new(options).unwrap();
    let url = egress.validate(&format!("http://{host}:{}/film.mp4", web.address.port())).ok()?;
    let reached = metadata_of(&egress, &url, 100).await.is_ok();
    let name = asked.lock().unwrap().clone();
    name.filter(|_| reached)
}

#[tokio::test]
async fn an_underscore_in_a_label_is_looked_up() {
    for name in ["my_bucket.test", "_first.test", "last_.test", "a_b.c_d.test", "_.test", "__.test"] {
        assert_eq!(asked_for(name).await.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn a_hyphen_anywhere_in_a_label_is_looked_up() {
    for name in ["a-b.test", "a--b.test", "r3---sn-4g5e6n7z.test", "-a.test", "a-.test", "a.te-st"] {
        assert_eq!(asked_for(name).await.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn labels_of_digits_are_looked_up() {
    for name in ["1.test", "3com.test", "0x1f.test", "2024-11-29.media.test", "1.2.3.4.in-addr.test"] {
        assert_eq!(asked_for(name).await.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn the_longest_labels_and_names_are_looked_up_and_longer_ones_are_not() {
    let label = "a".repeat(63);
    let long_label = format!("{label}.test");
    let longest = format!("{label}.{label}.{label}.{}.test", "b".repeat(253 - 3 * 64 - 5));
    assert_eq!(longest.len(), 253);
    for name in [long_label, longest.clone()] {
        assert_eq!(asked_for(&name).await, Some(name));
    }
    assert_eq!(asked_for(&format!("a{label}.test")).await, None);
    assert_eq!(asked_for(&format!("b{longest}")).await, None);
}

#[tokio::test]
async fn an_internationalised_name_is_looked_up_in_its_ascii_form() {
    for (host, asked) in [
        ("b\u{fc}cher.test", "xn--bcher-kva.test"),
        ("B\u{dc}CHER.test", "xn--bcher-kva.test"),
        ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ("\u{4f8b}\u{3048}.test", "xn--r8jz45g.test"),
        ("fa\u{df}.test", "xn--fa-hia.test"),
        ("\u{1f3ac}.test", "xn--dl8h.test"),
        ("FILM.Test", "film.test"),
        ("film%2Etest", "film.test"),
        ("film\u{3002}test", "film.test"),
    ] {
        assert_eq!(asked_for(host).await.as_deref(), Some(asked), "{host}");
    }
}

#[tokio::test]
async fn the_trailing_dot_of_a_name_is_ignored() {
    assert_eq!(asked_for("film.test.").await.as_deref(), Some("film.test"));
    assert_eq!(asked_for("film.test..").await, None);
}

#[tokio::test]
async fn a_single_label_is_looked_up_if_it_is_allowed() {
    assert_eq!(asked_for("media").await.as_deref(), Some("media"));
    assert_eq!(asked_for("other").await, None);
}

#[tokio::test]
async fn a_server_that_ignores_one_record_type_is_used() {
    let v6: IpAddr = V6.parse().unwrap();
    for (silent, found) in [(RecordType::AAAA, GOOD), (RecordType::A, v6)] {
        let addresses = with(move |asked| match asked.kind {
            kind if kind == silent => Reply::Silence,
            _ => Reply::Addresses(vec![GOOD, v6]),
        });
        assert_eq!(addresses.await, [found], "{silent}");
    }
}

#[tokio::test]
async fn a_server_that_fails_for_one_record_type_is_used() {
    for code in [
        ResponseCode::ServFail,
        ResponseCode::NotImp,
        ResponseCode::Refused,
        ResponseCode::FormErr,
        ResponseCode::NXDomain,
        ResponseCode::NoError,
    ] {
        let addresses = with(move |asked| match asked.kind {
            RecordType::AAAA => Reply::Code(code),
            _ => Reply::Addresses(vec![GOOD]),
        });
        assert_eq!(addresses.await, [GOOD], "{code}");
    }
}

#[tokio::test]
async fn a_server_that_refuses_edns_is_used() {
    for code in [Some(ResponseCode::FormErr), Some(ResponseCode::NotImp), Some(ResponseCode::BADVERS), None] {
        let addresses = with(move |asked| match (asked.has_edns, code) {
            (true, Some(code)) => Reply::Code(code),
            (true, None) => Reply::Silence,
            (false, _) => Reply::Addresses(vec![GOOD]),
        });
        assert_eq!(addresses.await, [GOOD], "{code:?}");
    }
}

#[tokio::test]
async fn a_truncated_response_is_retried_by_tcp() {
    let many: Vec<IpAddr> = (0..200).map(|last| Ipv4Addr::new(192, 0, 2, last).into()).collect();
    let all = many.clone();
    let addresses = with(move |asked| match asked.protocol {
        Protocol::Udp => Reply::Truncated,
        Protocol::Tcp => Reply::Addresses(all.clone()),
    });
    assert_eq!(addresses.await, many);
}

#[tokio::test]
async fn a_server_that_answers_only_by_tcp_is_used() {
    let addresses = with(|asked| match asked.protocol {
        Protocol::Udp => Reply::Silence,
        Protocol::Tcp => Reply::Addresses(vec![GOOD]),
    });
    assert_eq!(addresses.await, [GOOD]);
}

#[tokio::test]
async fn a_slow_response_is_awaited_and_a_slow_second_type_only_briefly() {
    let v6: IpAddr = V6.parse().unwrap();
    let late = |seconds| Reply::Late(Duration::from_secs(seconds), vec![GOOD]);
    assert_eq!(with(move |_| late(3)).await, [GOOD]);
    let second = with(move |asked| match asked.kind {
        RecordType::AAAA => Reply::Late(Duration::from_secs(1), vec![v6]),
        _ => Reply::Addresses(vec![GOOD]),
    });
    assert_eq!(second.await, [GOOD, v6]);
    let slow = with(move |asked| match asked.kind {
        RecordType::AAAA => Reply::Late(Duration::from_mins(5), vec![v6]),
        _ => Reply::Addresses(vec![GOOD]),
    });
    assert_eq!(slow.await, [GOOD]);
}

#[tokio::test]
async fn the_next_server_is_queried_after_an_inconclusive_response() {
    for first in 0..6 {
        let lame = Dns::behaving(move |_| match first {
            0 => Reply::Code(ResponseCode::ServFail),
            1 => Reply::Code(ResponseCode::Refused),
            2 => Reply::Code(ResponseCode::NotImp),
            3 => Reply::Code(ResponseCode::FormErr),
            4 => Reply::Silence,
            _ => Reply::Referral,
        })
        .await;
        let honest = Dns::behaving(good).await;
        let resolver = Resolver::new(&[lame.address, honest.address]).unwrap();
        assert_eq!(resolver.addresses("film.test", NameLookup::Absolute).await, [GOOD], "{first}");
    }
    // Nothing listens at the first address.
    let honest = Dns::behaving(good).await;
    let resolver = Resolver::new(&[SocketAddr::new(BAD, 9), honest.address]).unwrap();
    assert_eq!(resolver.addresses("film.test", NameLookup::Absolute).await, [GOOD]);
}

#[tokio::test]
async fn a_negative_response_is_final_and_no_other_server_is_queried() {
    let first = Dns::start(|_, _| Vec::new()).await;
    let second = Dns::behaving(good).await;
    let resolver = Resolver::new(&[first.address, second.address]).unwrap();
    assert!(resolver.addresses("film.test", NameLookup::Absolute).await.is_empty());
    assert_eq!(second.asked_for("film.test"), 0);
}

#[tokio::test]
async fn an_alias_is_followed_with_or_without_its_target() {
    assert_eq!(with(|_| Reply::Alias("target.test.", vec![GOOD])).await, [GOOD]);
    let chain = with(|asked| match asked.name.as_str() {
        "film.test" => Reply::Alias("one.test.", Vec::new()),
        "one.test" => Reply::Alias("two_b.test.", Vec::new()),
        "two_b.test" => Reply::Alias("three.test.", vec![GOOD]),
        "three.test" => Reply::Addresses(vec![GOOD]),
        _ => Reply::Code(ResponseCode::NXDomain),
    });
    assert_eq!(chain.await, [GOOD]);
    // An alias loop ends.
    assert!(with(|_| Reply::Alias("film.test.", Vec::new())).await.is_empty());
}

#[tokio::test]
async fn a_forbidden_address_is_rejected_however_its_server_behaves() {
    let web = Web::start(BAD, |_| Answer::new(200, &["Content-Length: 3"], "abc")).await;
    let habits: [Habit; 6] = [
        |_| Reply::Addresses(vec![GOOD, BAD]),
        |asked| if asked.kind == RecordType::A { Reply::Addresses(vec![BAD]) } else { Reply::Silence },
        |asked| match asked.protocol {
            Protocol::Udp => Reply::Truncated,
            Protocol::Tcp => Reply::Addresses(vec![BAD]),
        },
        |_| Reply::Alias("target.test.", vec![BAD]),
        |_| Reply::Late(Duration::from_secs(1), vec![BAD]),
        |asked| match asked.kind {
            RecordType::A => Reply::Addresses(vec![GOOD]),
            _ => Reply::Late(Duration::from_millis(500), vec!["::1".parse().unwrap()]),
        },
    ];
    for (number, habit) in habits.into_iter().enumerate() {
        let dns = Dns::behaving(habit).await;
        let egress = outbound_asking(&dns);
        for host in ["film.test", "my_bucket.test"] {
            let url = egress.validate(&format!("http://{host}:{}/", web.address.port())).unwrap();
            let refused = metadata_of(&egress, &url, 100).await;
            assert_eq!(refused, Err(SourceError::Unreachable), "{number} {host}");
        }
    }
    assert_eq!(web.accepted(), 0);
}
