//! Resolves names to addresses, once per connection. The HTTP client never resolves names.
//!
//! Behaves like the C library, which `curl` uses: no EDNS, A and AAAA in parallel, the next server after an
//! inconclusive response, TCP after a truncated response. In addition, servers that answer only by TCP are asked by
//! TCP, and one record type does not wait long for the other.

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

/// Limit for one query to one server; the caller's own limit is shorter.
const QUERY_TIMEOUT: Duration = Duration::from_secs(30);
/// After this time without a response, the next server or protocol is queried as well.
const HEDGE: Duration = Duration::from_millis(1_500);
/// Once there are addresses of one type, how long to wait for the other type.
const GRACE: Duration = Duration::from_secs(2);
/// Limit for a name, without the trailing dot (RFC 1035, section 2.3.4).
const NAME_MAX_BYTES: usize = 253;

/// How a name is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NameLookup {
    /// Exactly as given.
    Absolute,
    /// With the system's search domains, for names from the operator's configuration.
    SearchList,
}

/// Queries the configured DNS servers.
pub(super) struct Resolver {
    /// In query order; empty if the system has no DNS configuration.
    ipv4: Vec<TokioResolver>,
    ipv6: Vec<TokioResolver>,
}

impl Resolver {
    /// Queries `servers`; if empty, uses the system configuration and its hosts file.
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let (config, mut options) = if servers.is_empty() {
            match hickory_resolver::system_conf::read_system_conf() {
                Ok(read) => read,
                Err(error) => {
                    tracing::warn!(%error, "no DNS servers are configured: URLs of users can contain IP addresses only");
                    return Ok(Self { ipv4: Vec::new(), ipv6: Vec::new() });
                }
            }
        } else {
            let servers = servers.iter().copied().map(name_server).collect();
            let mut options = ResolverOpts::default();
            options.use_hosts_file = ResolveHosts::Never;
            (ResolverConfig::from_name_servers(servers), options)
        };
        // No caching: a response is valid for one connection.
        options.cache_size = 0;
        // Old servers and middleboxes answer EDNS queries with an error, or not at all.
        options.edns0 = false;
        options.timeout = QUERY_TIMEOUT;
        options.attempts = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4Only;
        let ipv4 = build(&config, &options)?;
        options.ip_strategy = LookupIpStrategy::Ipv6Only;
        Ok(Self { ipv4, ipv6: build(&config, &options)? })
    }

    /// All IPv4 and IPv6 addresses of a name; empty if it cannot be resolved.
    pub(super) async fn addresses(&self, name: &str, lookup: NameLookup) -> Vec<IpAddr> {
        let Ok(name) = parse_name(name, lookup) else { return Vec::new() };
        let ipv4 = first_conclusive(&self.ipv4, |resolver| query(resolver, name.clone()).boxed());
        let ipv6 = first_conclusive(&self.ipv6, |resolver| query(resolver, name.clone()).boxed());
        merge(ipv4, ipv6).await
    }
}

/// Converts a name byte for byte. Accepts everything that a URL allows as a host, including `my_bucket` and `r3---sn`,
/// which are not valid host names according to RFC 952.
fn parse_name(text: &str, lookup: NameLookup) -> Result<Name, ProtoError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() || text.len() > NAME_MAX_BYTES {
        return Err("empty or too long".into());
    }
    let mut name = Name::from_labels(text.split('.').map(str::as_bytes))?;
    name.set_fqdn(lookup == NameLookup::Absolute);
    Ok(name)
}

/// One resolver per server and protocol, so that one server's response does not count for all.
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

/// One server's addresses of one type; `None` if its response is inconclusive and another server should be asked.
async fn query(resolver: &TokioResolver, name: Name) -> Option<Vec<IpAddr>> {
    match resolver.lookup_ip(name).await {
        Ok(found) => Some(found.iter().collect()),
        Err(error) => is_negative(&error).then(Vec::new),
    }
}

/// Whether a response says that there is no such address. Server errors and referrals are inconclusive.
fn is_negative(error: &NetError) -> bool {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(NoRecords { response_code, soa, ns, .. })) => {
            *response_code == ResponseCode::NXDomain
                || (*response_code == ResponseCode::NoError && (soa.is_some() || ns.is_none()))
        }
        _ => false,
    }
}

/// The first conclusive response. The next server is queried when one fails or is slow; the response of a slow one
/// still counts.
async fn first_conclusive<'a, S>(
    servers: &'a [S],
    query: impl Fn(&'a S) -> BoxFuture<'a, Option<Vec<IpAddr>>>,
) -> Vec<IpAddr> {
    let mut next = servers.iter();
    let mut running = FuturesUnordered::new();
    loop {
        let is_last = match next.next() {
            Some(server) => {
                running.push(query(server));
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

/// The addresses of both types, without waiting longer than needed.
async fn merge(
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
