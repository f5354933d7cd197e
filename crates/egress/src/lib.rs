//! The HTTP client for URLs that users supply: it reads sources and posts webhooks, and protects internal networks.
//! Knows `domain` only. Knows nothing of jobs, the store or Vimeo.
//! Invariant: it connects only to addresses it has just checked, again after each redirect. Blocked and unreachable
//! addresses give the same error, so that users cannot probe internal networks.

mod addresses;
mod connect;
mod content;
mod fetch;
mod file_name;
mod gunzip;
mod image;
mod inspect;
mod policy;
mod probe;
mod ranges;
mod request_headers;
mod resolver;
mod resume;
mod source_progress;
mod sources;
mod spool;
mod spool_space;
mod stream;
#[cfg(test)]
mod tests;
mod text_track;
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
pub use fetch::Fetched;
pub use file_name::video_name;
pub use image::{ImageFormat, NotImage, image_format};
pub use policy::{
    AllowHttp, AllowedDestination, AllowedDestinationError, EgressPolicy, OwnAddresses, PortPolicy,
};
pub use request_headers::{RequestHeaderError, RequestHeaderProblem, RequestHeaders};
pub use source_progress::MinimumRate;
pub use source_progress::SourceProgress;
pub use sources::{OpenedSource, RangeSupport, SourceError, SourceMetadata};
pub use spool::Spooled;
pub use spool_space::SpoolOptions;
pub use spool_space::SpoolSpace;
pub use stream::SourceStream;
pub use text_track::{NotTextTrack, TextTrackFormat, text_track_format};
pub use url::{EgressUrl, UrlError};
pub use validators::Validators;
pub use webhook_client::{PostError, Posted, RetryAfter};

/// A client for user-supplied URLs. Cheap to clone. Connections are not pooled, so requests never share one.
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

/// Options of an [`Egress`].
#[derive(Debug, Clone)]
pub struct EgressOptions {
    /// Which destinations are allowed.
    pub policy: EgressPolicy,
    /// DNS servers; if empty, those of the system configuration.
    pub dns_servers: Vec<SocketAddr>,
    /// TLS configuration with the trusted root certificates. `None` is an error for https.
    pub tls: Option<rustls::ClientConfig>,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Timeouts of requests.
    pub timeouts: EgressTimeouts,
    /// The minimum rate of a source.
    pub minimum_rate: MinimumRate,
}

/// Timeouts of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressTimeouts {
    /// For resolving a name, and again for connecting, including TLS.
    pub connect: Duration,
    /// Between two chunks of a response, and for its head after connecting.
    pub idle: Duration,
    /// For a whole webhook delivery, from name resolution to the response.
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
    /// TLS setup failed, or the user agent is not a valid header value.
    #[error("the HTTPS client cannot be set up: {0}")]
    Tls(#[source] reqwest::Error),
    /// There are no root certificates to verify a server with.
    #[error(
        "no root certificates found to verify servers with: install the system's (on Debian `apt install ca-certificates`), or set ca_file"
    )]
    NoRoots,
    /// The system's DNS configuration exists but cannot be used.
    #[error("cannot use the DNS configuration of this machine: {0}")]
    Resolver(String),
}

impl Egress {
    /// Creates a client.
    pub fn new(options: EgressOptions) -> Result<Self, EgressSetupError> {
        let EgressOptions { policy, dns_servers, tls, user_agent, timeouts, minimum_rate } = options;
        // Report setup errors now rather than with every request.
        let builder = reqwest::Client::builder().user_agent(&user_agent).no_proxy();
        connect::with_tls(builder, tls.as_ref()).build().map_err(EgressSetupError::Tls)?;
        let resolver =
            Resolver::new(&dns_servers).map_err(|error| EgressSetupError::Resolver(error.to_string()))?;
        Ok(Self(Arc::new(Inner { policy, resolver, tls, user_agent, timeouts, minimum_rate })))
    }

    /// Checks a URL by its syntax and the policy, without network access. Surrounding spaces are an error.
    pub fn validate(&self, text: &str) -> Result<EgressUrl, UrlError> {
        url::parse(&self.0.policy, text)
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Egress").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}
