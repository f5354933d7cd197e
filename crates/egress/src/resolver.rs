//! Resolver to addresses: looked up once a connection, and never by the HTTP library.
//!
//! Lookups behave as those of a C library, which `curl` uses: no EDNS, both kinds of address at once, the next name
//! server after an answer that settles nothing, TCP after a truncated answer. Beyond that, a server that answers TCP
//! alone is asked by TCP, and a record type that gets no answer does not hold up the other for long.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::ProtoError;
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;
use tokio::time::{sleep, timeout};

/// One question to one server takes no longer; the caller's own limit is shorter.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long without an answer the next server, or the next protocol, is asked as well.
const HEDGE: Duration = Duration::from_millis(1_500);
/// Once there are addresses of one kind, this long is waited for those of the other.
const GRACE: Duration = Duration::from_secs(2);
/// The longest name on the wire, without its last dot (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 253;

/// How a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameLookup {
    /// As it stands.
    Absolute,
    /// As the system does, perhaps with one of its domains behind it: for names that the operator wrote.
    SearchList,
}

/// Name servers to look addresses up with.
pub(super) struct Resolver {
    /// In the order in which they are asked; none if this machine has no configuration of name servers.
    ipv4: Vec<TokioResolver>,
    ipv6: Vec<TokioResolver>,
}

impl Resolver {
    /// Asks `servers` alone, or, if there are none, as this machine is configured (with its file of hosts).
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let (config, mut options) = if servers.is_empty() {
            match hickory_resolver::system_conf::read_system_conf() {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(%error, "no name servers are configured here: addresses that users give can be numbers only");
                    return Ok(Self { ipv4: Vec::new(), ipv6: Vec::new() });
                }
            }
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            let mut options = ResolverOpts::default();
            options.use_hosts_file = ResolveHosts::Never;
            (ResolverConfig::from_name_servers(servers), options)
        };
        // An answer is used for the one connection that it was asked for.
        options.cache_size = 0;
        // Old servers and middleboxes answer EDNS with an error, or not at all.
        options.edns0 = false;
        options.timeout = QUESTION_TIMEOUT;
        options.attempts = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4Only;
        let ipv4 = build(&config, &options)?;
        options.ip_strategy = LookupIpStrategy::Ipv6Only;
        Ok(Self { ipv4, ipv6: build(&config, &options)? })
    }

    /// The addresses of a name, of both kinds; none if it could not be found.
    pub(super) async fn addresses(&self, name: &str, lookup: NameLookup) -> Vec<IpAddr> {
        let Ok(name) = to_name(name, lookup) else { return Vec::new() };
        let ipv4 = first_settled(&self.ipv4, |resolver| look_up(resolver, name.clone()).boxed());
        let ipv6 = first_settled(&self.ipv6, |resolver| look_up(resolver, name.clone()).boxed());
        both(ipv4, ipv6).await
    }
}

/// A name as it is, octet for octet: what a URL may hold as a host is looked up, also `my_bucket` and `r3---sn`, which
/// are no host names by the letter of RFC 952.
fn to_name(text: &str, lookup: NameLookup) -> Result<Name, ProtoError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > NAME_MAX_BYTES {
        return Err("a name of no bytes or more than are allowed".into());
    }
    let mut name = Name::from_labels(text.split('.').map(str::as_bytes))?;
    name.set_fqdn(lookup == NameLookup::Absolute);
    Ok(name)
}

/// One resolver for each server and protocol, so that the answer of one is not taken for that of all.
fn build(config: &ResolverConfig, options: &ResolverOpts) -> Result<Vec<TokioResolver>, NetError> {
    let (domain, search, servers) = config.clone().into_parts();
    let by_tcp = servers.iter().cloned().map(|mut server| {
        server.connections.retain(|connection| matches!(connection.protocol, ProtocolConfig::Tcp));
        server
    });
    servers
        .iter()
        .cloned()
        .chain(by_tcp)
        .filter(|server| !server.connections.is_empty())
        .map(|server| {
            let config = ResolverConfig::from_parts(domain.clone(), search.clone(), vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options.clone())
                .build()
        })
        .collect()
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.to_vec())
}

/// What one server says of one kind of address: `None` if its answer settles nothing, and another one may know.
async fn look_up(resolver: &TokioResolver, name: Name) -> Option<Vec<IpAddr>> {
    match resolver.lookup_ip(name).await {
        Ok(found) => Some(found.iter().collect()),
        Err(error) => says_none(&error).then(Vec::new),
    }
}

/// Whether an answer says that there is no such address. An error of the server, and a referral, say nothing.
fn says_none(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, soa, ns, .. })) => {
            *response_code == ResponseCode::NXDomain
                || (*response_code == ResponseCode::NoError && (soa.is_some() || ns.is_none()))
        }
        _ => false,
    }
}

/// The first answer that settles the question. The next server is asked when one fails, and when one is slow, which may
/// still answer then.
async fn first_settled<'a, S>(
    servers: &'a [S],
    ask: impl Fn(&'a S) -> BoxFuture<'a, Option<Vec<IpAddr>>>,
) -> Vec<IpAddr> {
    let mut next = servers.iter();
    let mut running = FuturesUnordered::new();
    loop {
        let is_last = match next.next() {
            Some(server) => {
                running.push(ask(server));
                next.len() == 0
            }
            None if running.is_empty() => return Vec::new(),
            None => true,
        };
        let answered = if is_last {
            running.next().await.flatten()
        } else {
            timeout(HEDGE, running.next()).await.ok().flatten().flatten()
        };
        if let Some(addresses) = answered {
            return addresses;
        }
    }
}

/// The addresses of both kinds, as soon as neither is worth waiting for.
async fn both(
    ipv4: impl Future<Output = Vec<IpAddr>>,
    ipv6: impl Future<Output = Vec<IpAddr>>,
) -> Vec<IpAddr> {
    let (mut ipv4, mut ipv6) = (Box::pin(ipv4).fuse(), Box::pin(ipv6).fuse());
    let mut found = [None, None];
    while found.iter().any(Option::is_none) {
        let is_enough = found.iter().flatten().any(|addresses: &Vec<_>| !addresses.is_empty());
        tokio::select! {
            addresses = &mut ipv4, if found[0].is_none() => found[0] = Some(addresses),
            addresses = &mut ipv6, if found[1].is_none() => found[1] = Some(addresses),
            () = sleep(GRACE), if is_enough => break,
        }
    }
    found.into_iter().flatten().flatten().collect()
}
