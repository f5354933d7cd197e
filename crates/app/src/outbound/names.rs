//! Names to addresses: asked for once a connection, and never by the HTTP library.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// How a name is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As it stands.
    Whole,
    /// As the system does, perhaps with one of its domains behind it: for names that the operator wrote.
    Searched,
}

/// Who is asked for addresses.
pub(super) struct Names {
    /// Missing if this machine has no configuration of name servers: then no name has an address.
    resolver: Option<TokioResolver>,
}

impl Names {
    /// Asks `servers` alone, or, if there are none, as this machine is configured (with its file of hosts).
    pub(super) fn new(servers: &[SocketAddr]) -> Result<Self, NetError> {
        let builder = if servers.is_empty() {
            TokioResolver::builder_tokio()
        } else {
            let config =
                ResolverConfig::from_name_servers(servers.iter().copied().map(name_server).collect());
            Ok(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
        };
        let mut builder = match builder {
            Ok(builder) => builder,
            Err(error) => {
                tracing::warn!(%error, "no name servers are configured here: addresses that users give can be numbers only");
                return Ok(Self { resolver: None });
            }
        };
        let options = builder.options_mut();
        // An answer is used for the one connection that it was asked for.
        options.cache_size = 0;
        // Both kinds always, so that nothing that a name means escapes the look.
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        if !servers.is_empty() {
            options.use_hosts_file = ResolveHosts::Never;
        }
        Ok(Self { resolver: Some(builder.build()?) })
    }

    /// Every address that the name has, of both kinds; none if it could not be found.
    pub(super) async fn addresses(&self, name: &str, reading: Reading) -> Vec<IpAddr> {
        let Some(resolver) = &self.resolver else { return Vec::new() };
        let name = match reading {
            Reading::Whole => format!("{name}."),
            Reading::Searched => name.to_owned(),
        };
        resolver.lookup_ip(name).await.map(|found| found.iter().collect()).unwrap_or_default()
    }
}

fn name_server(server: SocketAddr) -> NameServerConfig {
    let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
        let mut connection = ConnectionConfig::new(protocol);
        connection.port = server.port();
        connection
    });
    NameServerConfig::new(server.ip(), true, connections.to_vec())
}
