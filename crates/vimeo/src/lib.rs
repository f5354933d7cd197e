//! What we say to Vimeo and how we read the answer.
//! Knows Vimeo's API. Knows no database, no accounts, and nothing of our own HTTP API.
//! Invariant: it talks to one origin, the configured one, whatever Vimeo answers; and "Vimeo cannot be asked" never
//! reads as "the credentials are wrong".

mod base_url;
mod exchange;
mod oauth;
mod proxy;
mod verify;
mod wire;

use std::time::Duration;

use thiserror::Error;
use tokio_util::task::TaskTracker;

pub use base_url::{BaseUrl, BaseUrlError};
pub use exchange::Trouble;
pub use proxy::{ProxyUrl, ProxyUrlError};
pub use verify::{Credential, Finding, Requirements, Unverified};

/// How long a TCP and TLS connection to Vimeo may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// A client of one Vimeo API origin. Cheap to clone; clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: BaseUrl,
    tasks: TaskTracker,
}

/// The client could not be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// TLS or the proxy could not be set up.
    #[error("the HTTPS client cannot be set up (are the system's root certificates installed?): {0}")]
    Setup(#[source] reqwest::Error),
}

impl Client {
    /// A client for `base_url`, through `proxy` if there is one and never through one of the environment's.
    /// Work that outlives a call (revoking a stray token) runs in `tasks`.
    pub fn new(
        base_url: BaseUrl,
        user_agent: &str,
        proxy: Option<&ProxyUrl>,
        tasks: TaskTracker,
    ) -> Result<Self, ClientError> {
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .https_only(base_url.is_https())
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE_TIMEOUT);
        if !base_url.is_https() {
            // Plain HTTP goes to loopback only, and must not fail on a machine without root certificates.
            builder = builder.tls_certs_only([]);
        }
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy.to_proxy().map_err(ClientError::Setup)?);
        }
        Ok(Self { http: builder.build().map_err(ClientError::Setup)?, base_url, tasks })
    }
}
