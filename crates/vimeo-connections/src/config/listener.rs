//! Limits for connections, and how a client's address is determined.

use std::net::SocketAddr;
use std::time::Duration;

use web::{ClientAddress, TrustedProxies};

use super::{Reader, keys};

/// Limits for client connections.
#[derive(Debug, Clone)]
pub(crate) struct ListenerConfig {
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_peer: usize,
    /// How long a client may stop reading.
    pub(crate) write_timeout: Duration,
}

impl Reader<'_> {
    /// Where metrics are served, if they are.
    pub(super) fn metrics_listen(&mut self) -> Option<SocketAddr> {
        self.text("metrics.listen")?;
        self.address("metrics.listen", "127.0.0.1:9464")
    }

    /// An address and a port, such as `example`.
    pub(super) fn address(&mut self, key: &'static str, example: &str) -> Option<SocketAddr> {
        let parse = |text: &str| {
            text.parse().map_err(|_| format!("must be an address and a port, such as {example}"))
        };
        self.parsed(key, parse)
    }

    pub(super) fn listener(&self) -> Option<ListenerConfig> {
        let count = |key| self.number(key).and_then(|count| usize::try_from(count).ok());
        Some(ListenerConfig {
            max_connections: count("listener.max_connections")?,
            max_connections_per_peer: count("listener.max_connections_per_peer")?,
            write_timeout: self.number("listener.write_timeout_seconds").map(Duration::from_secs)?,
        })
    }

    pub(super) fn client_address(&mut self) -> Option<ClientAddress> {
        let proxies = self.text("trusted_proxies").map(|text| keys::split_list(&text)).unwrap_or_default();
        if proxies.is_empty() {
            let is_behind_proxy = self.flag("behind_tls_proxy");
            return Some(if is_behind_proxy { ClientAddress::LastForwardedFor } else { ClientAddress::Peer });
        }
        match TrustedProxies::parse(&proxies) {
            Ok(proxies) => Some(ClientAddress::Behind(proxies)),
            Err(error) => self.error("trusted_proxies", &error),
        }
    }
}
