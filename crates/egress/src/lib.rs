//! The guarded HTTP client for addresses that users give: it reads sources and posts webhooks.
//! Knows `domain` alone; nothing of jobs, of the store or of Vimeo.
//! Invariant: a connection goes only to an address that was checked just before, again after each redirect, and a blocked
//! address gives the same error as an unreachable one, so that a user learns nothing of what is not public.

mod addresses;
mod connect;
mod content;
mod file_name;
mod gunzip;
mod inspect;
mod policy;
mod probe;
mod ranges;
mod resolver;
mod resume;
mod source_progress;
mod sources;
mod spool;
mod spool_space;
mod stream;
#[cfg(test)]
mod tests;
mod url;
mod validators;
mod webhook_client;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use resolver::Resolver;

pub use content::{Content, Encoding, NotVideo};
pub use file_name::video_name;
pub use policy::{
    AllowHttp, AllowedDestination, AllowedDestinationError, EgressPolicy, OwnAddresses, PortPolicy,
};
pub use source_progress::MinimumRate;
pub use source_progress::SourceProgress;
pub use sources::{OpenedSource, RangeSupport, SourceError, SourceMetadata};
pub use spool::Spooled;
pub use spool_space::SpoolOptions;
pub use spool_space::SpoolSpace;
pub use stream::SourceStream;
pub use url::{EgressUrl, UrlError};
pub use validators::Validators;
pub use webhook_client::PostError;

/// A client for addresses that users give. Cheap to clone. It keeps no connection, so that none is shared.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    policy: EgressPolicy,
    resolver: Resolver,
    tls: Option<rustls::ClientConfig>,
    user_agent: String,
    timeouts: EgressTimeouts,
    minimum_rate: MinimumRate,
}

/// What an [`Egress`] is made of.
#[derive(Debug, Clone)]
pub struct EgressOptions {
    /// Where it may go.
    pub policy: EgressPolicy,
    /// Who is asked for the addresses of names; if empty, whom this machine asks.
    pub dns_servers: Vec<SocketAddr>,
    /// Which root certificates are trusted; without any, no server can be verified.
    pub tls: Option<rustls::ClientConfig>,
    /// What it calls itself.
    pub user_agent: String,
    /// How patient it is.
    pub timeouts: EgressTimeouts,
    /// How slow a source may be.
    pub minimum_rate: MinimumRate,
}

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressTimeouts {
    /// For the addresses of a name, and again for a connection, with its TLS.
    pub connect: Duration,
    /// Between any two pieces of an answer, and for its beginning.
    pub idle: Duration,
    /// For a whole webhook, from the name to the answer.
    pub post: Duration,
}

impl Default for EgressTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), idle: Duration::from_mins(1), post: Duration::from_secs(15) }
    }
}

/// The client could not be built.
#[derive(Debug, Error)]
pub enum EgressSetupError {
    /// TLS could not be set up, or the user agent is no text of a header.
    #[error("the HTTPS client cannot be set up: {0}")]
    Tls(#[source] reqwest::Error),
    /// No source and no receiver of a webhook could be verified.
    #[error(
        "no root certificates were found, and no server can be verified without: install the system's (on Debian `apt install ca-certificates`), or set ca_file"
    )]
    NoRoots,
    /// The configuration of name servers is there, and cannot be used.
    #[error("names cannot be resolved with the configuration of this machine: {0}")]
    Resolver(String),
}

impl Egress {
    /// A client as `options` say.
    pub fn new(options: EgressOptions) -> Result<Self, EgressSetupError> {
        let EgressOptions { policy, dns_servers, tls, user_agent, timeouts, minimum_rate } = options;
        // What would fail for every address is told at once.
        let builder = reqwest::Client::builder().user_agent(&user_agent).no_proxy();
        connect::with_tls(builder, tls.as_ref()).build().map_err(EgressSetupError::Tls)?;
        let resolver =
            Resolver::new(&dns_servers).map_err(|error| EgressSetupError::Resolver(error.to_string()))?;
        Ok(Self(Arc::new(Inner { policy, resolver, tls, user_agent, timeouts, minimum_rate })))
    }

    /// Judges an address by its form alone, without asking anybody: what is refused here is a mistake to be told at once.
    /// Spaces around it are no part of an address, and are refused as well.
    pub fn validate(&self, text: &str) -> Result<EgressUrl, UrlError> {
        url::parse(&self.0.policy, text)
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}
