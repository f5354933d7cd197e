//! Limits for connections, and how a client's address is determined.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;
use web::{ClientAddress, TrustedProxies};

use super::{Config, Reader, keys};

/// Limits for client connections.
#[derive(Debug, Clone)]
pub(crate) struct ListenerConfig {
    pub(crate) max_connections: usize,
    pub(crate) max_connections_per_peer: usize,
    /// How long a client may stop reading.
    pub(crate) write_timeout: Duration,
}

/// Why a listener there would expose what clients send.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0} can be reached from other machines, and keys and credentials would be sent unencrypted; set \
     tls.certificate_file and tls.key_file, or behind_tls_proxy = true if a proxy in front speaks TLS"
)]
pub(crate) struct ExposedListener(SocketAddr);

/// API keys and Vimeo credentials must not be sent over a network unencrypted.
pub(super) fn exposure(listen: SocketAddr, is_protected: bool) -> Result<(), ExposedListener> {
    if listen.ip().is_loopback() || is_protected { Ok(()) } else { Err(ExposedListener(listen)) }
}

impl Config {
    /// The same for a socket that the service did not open itself.
    pub(crate) fn check_exposure(&self, listen: SocketAddr) -> Result<(), ExposedListener> {
        exposure(listen, self.tls.is_some() || self.is_behind_tls_proxy)
    }
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
