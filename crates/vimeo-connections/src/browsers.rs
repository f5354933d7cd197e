//! What the service knows of browsers: the origin at which they reach it, and what its pages may do.

use std::net::SocketAddr;

use app::{ListenerScheme, PublicUrl};
use web::DashboardSettings;

use crate::config::Config;

/// What the pages may do, and where they may send bytes.
pub(crate) fn dashboard(config: &Config) -> DashboardSettings {
    let hosts = config.vimeo.upload_hosts.iter().flat_map(|host| {
        let name = host.name();
        [format!("https://{name}"), format!("https://*.{name}")]
    });
    // A sandbox sends its clients to itself.
    let sandbox = config.vimeo.base_url.is_loopback().then(|| config.vimeo.base_url.origin());
    let is_enabled = config.dashboard.is_enabled;
    DashboardSettings { is_enabled, upload_sources: hosts.chain(sandbox).collect() }
}

/// The configured origin for browsers, or that of a listener on loopback.
pub(crate) fn public_url(config: &Config, address: Option<SocketAddr>) -> Option<PublicUrl> {
    let scheme = if config.tls.is_some() { ListenerScheme::Https } else { ListenerScheme::Http };
    config.public_url.clone().or_else(|| PublicUrl::of_listener(address?, scheme))
}
