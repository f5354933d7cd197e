//! The client of Vimeo's API: OAuth, videos and what belongs to them, folders, and uploads by tus.
//! Knows Vimeo's API. Knows nothing of the store, of accounts, or of this service's HTTP API.
//! Invariant: credentials are sent only to the configured origin, whatever Vimeo answers; video bytes are sent only to
//! the configured upload hosts, other files also to hosts under vimeo.com, both without credentials; "Vimeo is unavailable" is never reported as "the credentials are
//! wrong".

mod authorize;
mod base_url;
mod check;
mod failure;
mod file_link;
mod http;
mod oauth;
mod path;
mod proxy;
mod rate_limit;
mod redact;
mod scopes;
mod session;
mod tus;
mod verify;
mod wire;

use std::time::Duration;

use thiserror::Error;
use tokio_util::task::TaskTracker;

pub use authorize::{AppCredentials, DeviceFlow, GrantError, GrantedToken, GrantedUser, PermissionRequest};
pub use base_url::{BaseUrl, BaseUrlError};
pub use check::{Answer, CheckReport, QuotaAnswer, QuotaDetails, QuotaLeft, TokenDetails, UserDetails};
pub use failure::{Failure, Parameter, Refused};
pub use file_link::FileLink;
pub use http::TransportError;
pub use proxy::{ProxyUrl, ProxyUrlError};
pub use rate_limit::RateLimit;
pub use scopes::SCOPES;
pub use session::{
    ChapterSummary, Clock, CreatedFile, NewPlaceholder, NewTextTrack, PictureSummary, Placeholder,
    PlaceholderView, PrivacyChange, Session, TextTrackSummary, TranscodeStatus, UploadStatus, Version,
    VersionState, VersionSummary, VideoChange, VideoOwnership, VideoPage, VideoState, VideoSummary,
};
pub use tus::{
    Chunk, LinkFailure, LinkRules, RemoteOffset, UploadError, UploadHost, UploadHostError, UploadLink,
    UploadLinkError,
};
pub use verify::{Credential, CredentialProblem, Requirements, VerifyError};

/// Limit for opening a TCP and TLS connection to Vimeo.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection stays in the pool.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Options of a [`Client`].
#[derive(Debug)]
pub struct ClientOptions<'a> {
    /// The API's base URL.
    pub base_url: BaseUrl,
    /// The `User-Agent` header.
    pub user_agent: &'a str,
    /// The proxy for all requests, if any. Proxies from the environment are ignored.
    pub proxy: Option<&'a ProxyUrl>,
    /// Hosts that may receive video bytes. Text tracks and images may also go to any host under vimeo.com.
    pub upload_hosts: Vec<UploadHost>,
    /// TLS configuration with the trusted root certificates. Required if the API or the proxy uses https.
    pub tls: Option<rustls::ClientConfig>,
    /// The clock for rate limits.
    pub clock: Clock,
    /// Tracks tasks that outlive a call, such as revoking a stray token.
    pub tasks: TaskTracker,
}

/// A client of one Vimeo API origin. Cheap to clone; clones share a connection pool.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Only for links to files, so that API credentials cannot be sent to an upload host.
    links: reqwest::Client,
    link_rules: LinkRules,
    base_url: BaseUrl,
    clock: Clock,
    tasks: TaskTracker,
}

/// The client could not be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// TLS or the proxy setup failed.
    #[error("the HTTPS client cannot be set up: {0}")]
    Setup(#[source] reqwest::Error),
    /// There are no root certificates to verify a server with.
    #[error(
        "no root certificates found to verify Vimeo's server: install the system's (on Debian `apt install ca-certificates`), or set ca_file"
    )]
    NoRoots,
}

impl Client {
    /// Creates a client.
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
            // By default, reqwest takes root certificates from wherever the environment points.
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

    /// Which upload links this client accepts, for parsing a stored link.
    pub fn link_rules(&self) -> &LinkRules {
        &self.link_rules
    }
}
