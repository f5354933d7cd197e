//! The guarded HTTP client for addresses that users give: it reads sources and posts webhooks.
//! Knows `domain` alone; nothing of jobs, of the store or of Vimeo.
//! Invariant: a connection goes only to an address that was checked just before, again after each redirect, and a blocked
//! address gives the same error as an unreachable one, so that a user learns nothing of what is not public.

mod addresses;
mod content;
mod file_name;
mod first_bytes;
mod gunzip;
mod hops;
mod marks;
mod names;
mod policy;
mod posts;
mod probe;
mod ranges;
mod reading;
mod resume;
mod sources;
mod spool;
mod spool_space;
mod stream;
#[cfg(test)]
mod tests;
mod url;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use names::Names;

pub use content::{Content, Encoding, NotVideo};
pub use file_name::video_name;
pub use marks::Marks;
pub use policy::{AllowHttp, AllowedPlace, AllowedPlaceError, OutboundPolicy, OwnAddresses, PortPolicy};
pub use posts::PostError;
pub use reading::LeastRate;
pub use reading::Reading;
pub use sources::{Opened, Ranges, SourceError, SourceFacts};
pub use spool::Spooled;
pub use spool_space::SpoolOptions;
pub use spool_space::SpoolSpace;
pub use stream::SourceStream;
pub use url::{FormFault, OutboundUrl};

/// A client for addresses that users give. Cheap to clone. It keeps no connection, so that none is shared.
#[derive(Clone)]
pub struct Outbound(Arc<Inner>);

struct Inner {
    policy: OutboundPolicy,
    names: Names,
    tls: Option<rustls::ClientConfig>,
    user_agent: String,
    timeouts: OutboundTimeouts,
    least_rate: LeastRate,
}

/// What an [`Outbound`] is made of.
#[derive(Debug, Clone)]
pub struct OutboundOptions {
    /// Where it may go.
    pub policy: OutboundPolicy,
    /// Who is asked for the addresses of names; if empty, whom this machine asks.
    pub dns_servers: Vec<SocketAddr>,
    /// Which root certificates are trusted; without any, no server can be verified.
    pub tls: Option<rustls::ClientConfig>,
    /// What it calls itself.
    pub user_agent: String,
    /// How patient it is.
    pub timeouts: OutboundTimeouts,
    /// How slow a source may be.
    pub least_rate: LeastRate,
}

/// How long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboundTimeouts {
    /// For the addresses of a name, and again for a connection, with its TLS.
    pub connect: Duration,
    /// Between any two pieces of an answer, and for its beginning.
    pub silence: Duration,
    /// For a whole webhook, from the name to the answer.
    pub post: Duration,
}

impl Default for OutboundTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            silence: Duration::from_mins(1),
            post: Duration::from_secs(15),
        }
    }
}

/// The client could not be built.
#[derive(Debug, Error)]
pub enum OutboundSetupError {
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
    Names(String),
}

impl Outbound {
    /// A client as `options` say.
    pub fn new(options: OutboundOptions) -> Result<Self, OutboundSetupError> {
        let OutboundOptions { policy, dns_servers, tls, user_agent, timeouts, least_rate } = options;
        // What would fail for every address is told at once.
        let builder = reqwest::Client::builder().user_agent(&user_agent).no_proxy();
        hops::trusting(builder, tls.as_ref()).build().map_err(OutboundSetupError::Tls)?;
        let names = Names::new(&dns_servers).map_err(|error| OutboundSetupError::Names(error.to_string()))?;
        Ok(Self(Arc::new(Inner { policy, names, tls, user_agent, timeouts, least_rate })))
    }

    /// Judges an address by its form alone, without asking anybody: what is refused here is a mistake to be told at once.
    /// Spaces around it are no part of an address, and are refused as well.
    pub fn check_form(&self, text: &str) -> Result<OutboundUrl, FormFault> {
        url::read(&self.0.policy, text)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound").field("policy", &self.0.policy).finish_non_exhaustive()
    }
}
