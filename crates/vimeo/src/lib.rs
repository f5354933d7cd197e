//! What we say to Vimeo and how we read the answer.
//! Knows Vimeo's API. Knows no database, no accounts, and nothing of our own HTTP API.
//! Invariant: credentials go to one origin, the configured one, whatever Vimeo answers; bytes of videos go to the hosts
//! that are configured for them, without credentials; and "Vimeo cannot be asked" never reads as "the credentials are
//! wrong".

mod backoff;
mod base_url;
mod failure;
mod http;
mod oauth;
mod path;
mod proxy;
mod rate_limit;
mod redact;
mod session;
mod tus;
mod verify;
mod wire;

use std::time::Duration;

use thiserror::Error;
use tokio_util::task::TaskTracker;

pub use backoff::Backoff;
pub use base_url::{BaseUrl, BaseUrlError};
pub use failure::{Failure, Parameter, Refused};
pub use http::TransportError;
pub use proxy::{ProxyUrl, ProxyUrlError};
pub use rate_limit::RateLimit;
pub use session::{
    Clock, NewPlaceholder, Placeholder, PlaceholderView, PrivacyChange, Session, TranscodeStatus,
    UploadStatus, VideoChange, VideoPage, VideoState, VideoSummary,
};
pub use tus::{
    Chunk, LinkFailure, LinkRules, RemoteOffset, UploadError, UploadHost, UploadHostError, UploadLink,
    UploadLinkError,
};
pub use verify::{Credential, CredentialProblem, Requirements, VerifyError};

/// How long a TCP and TLS connection to Vimeo may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// What a client is made of.
#[derive(Debug)]
pub struct ClientOptions<'a> {
    /// Where the API is.
    pub base_url: BaseUrl,
    /// The name that the service gives itself.
    pub user_agent: &'a str,
    /// What everything goes through, if there is something. Never one of the environment's.
    pub proxy: Option<&'a ProxyUrl>,
    /// Where bytes of videos may go.
    pub upload_hosts: Vec<UploadHost>,
    /// Which root certificates are trusted; needed for an API, or a proxy, by https.
    pub tls: Option<rustls::ClientConfig>,
    /// Where the time comes from, for rate windows.
    pub clock: Clock,
    /// Where work runs that outlives a call (revoking a stray token).
    pub tasks: TaskTracker,
}

/// A client of one Vimeo API origin. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// For upload links alone, so that nothing that is meant for the API can come there.
    links: reqwest::Client,
    link_rules: LinkRules,
    base_url: BaseUrl,
    clock: Clock,
    tasks: TaskTracker,
}

/// The client could not be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// TLS or the proxy could not be set up.
    #[error("the HTTPS client cannot be set up: {0}")]
    Setup(#[source] reqwest::Error),
    /// No server could be verified.
    #[error(
        "no root certificates were found, and Vimeo's server cannot be verified without: install the system's (on Debian `apt install ca-certificates`), or set ca_file"
    )]
    NoRoots,
}

impl Client {
    /// A client with these options.
    pub fn new(options: ClientOptions<'_>) -> Result<Self, ClientError> {
        let ClientOptions { base_url, user_agent, proxy, upload_hosts, tls, clock, tasks } = options;
        if base_url.is_https() && tls.is_none() {
            return Err(ClientError::NoRoots);
        }
        let build = |https_only: bool| {
            let mut builder = reqwest::Client::builder()
                .user_agent(user_agent)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never())
                .referer(false)
                .no_proxy()
                .http1_only()
                .https_only(https_only)
                .connect_timeout(CONNECT_TIMEOUT)
                .pool_idle_timeout(IDLE_TIMEOUT);
            // Left alone, the library would look for root certificates wherever the environment says.
            builder = match tls.clone() {
                Some(tls) => builder.tls_backend_preconfigured(tls),
                None => builder.tls_certs_only([]),
            };
            if let Some(proxy) = proxy {
                builder = builder.proxy(proxy.to_proxy()?);
            }
            builder.build()
        };
        let http = build(base_url.is_https()).map_err(ClientError::Setup)?;
        let links = build(!base_url.is_loopback()).map_err(ClientError::Setup)?;
        let link_rules = LinkRules::new(upload_hosts, &base_url);
        Ok(Self { http, links, link_rules, base_url, clock, tasks })
    }

    /// Which upload links this client uses: for reading one that was kept.
    pub fn link_rules(&self) -> &LinkRules {
        &self.link_rules
    }
}
