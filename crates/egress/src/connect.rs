//! Resolves the host of a URL, checks all its addresses, and connects only to those. One connection per request.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Client, ClientBuilder, Method, Request, Response, StatusCode, redirect, retry};
use tokio::time::timeout;
use url::{Host, Url};

use super::Inner;
use super::policy::Forbidden;
use super::resolver::NameLookup;
use super::url::{EgressUrl, normalize};

/// Limit for redirects.
const REDIRECTS_MAX: usize = 5;

/// Why there is no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestError {
    /// Nothing was sent: the address is blocked or unreachable. Which of both is not disclosed.
    Unreachable,
    /// The server accepted a connection but sent no HTTP response in time, or the connection broke.
    NoResponse,
}

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Reading a source. Its host is logged, so that the operator sees why it failed.
    Source,
    /// Delivering a webhook. Nothing of its URL is logged at any level, because all of it may be secret.
    Webhook,
}

impl Purpose {
    /// Logs the reason for the operator; it is not returned to the client. Lines with a `cause` are logged once per
    /// job, then counted.
    fn log(self, host: Option<&str>, cause: &dyn std::fmt::Display) {
        match self {
            Self::Source => tracing::info!(host, %cause, "a source cannot be reached"),
            Self::Webhook => tracing::debug!("the receiver of a webhook cannot be reached"),
        }
    }
}

/// Resolves every name to the addresses that were checked.
struct PinnedAddresses(Vec<SocketAddr>);

impl Resolve for PinnedAddresses {
    fn resolve(&self, _: Name) -> Resolving {
        let addresses: Addrs = Box::new(self.0.clone().into_iter());
        Box::pin(std::future::ready(Ok(addresses)))
    }
}

impl Inner {
    /// Sends a GET request and follows redirects. Each target is checked like a URL from the user. The user's headers are
    /// sent until a redirect leaves the first origin, even if another leads back: only the first URL is one that the user
    /// chose to send them to.
    pub(super) async fn get(&self, url: &EgressUrl, headers: &HeaderMap) -> Result<Response, RequestError> {
        let mut user_headers = Some(url.headers());
        let mut first_origin = None;
        let mut url = url.to_url().map_err(|_| {
            Purpose::Source.log(None, &"its address is not a URL");
            RequestError::Unreachable
        })?;
        for _ in 0..=REDIRECTS_MAX {
            let (client, target) = self.connect(url, Purpose::Source).await?;
            let first_origin = first_origin.get_or_insert_with(|| target.origin());
            user_headers = user_headers.filter(|_| target.origin() == *first_origin);
            let mut request = Request::new(Method::GET, target.clone());
            *request.headers_mut() = headers.clone();
            if let Some(user_headers) = user_headers {
                user_headers.add_to(request.headers_mut());
            }
            let response = self.send(&client, request, Purpose::Source).await?;
            let next = redirect_target(&target, &response).inspect_err(|_| {
                Purpose::Source.log(target.host_str(), &"it redirects to an invalid URL");
            })?;
            let Some(next) = next else { return Ok(response) };
            url = next;
        }
        Purpose::Source.log(url.host_str(), &format_args!("it redirects more than {REDIRECTS_MAX} times"));
        Err(RequestError::Unreachable)
    }

    /// A client that can connect only to the checked addresses of `url`, and the normalised URL to request.
    pub(super) async fn connect(&self, url: Url, purpose: Purpose) -> Result<(Client, Url), RequestError> {
        let host = url.host_str().map(str::to_owned);
        let url = normalize(&self.policy, url).map_err(|fault| {
            purpose
                .log(host.as_deref(), &format_args!("policy: its address, or that of a redirect, {fault}"));
            RequestError::Unreachable
        })?;
        let addresses = self.addresses(&url, purpose).await?;
        let is_https = url.scheme() == "https";
        let builder = Client::builder()
            .user_agent(self.user_agent.clone())
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .https_only(is_https)
            .pool_max_idle_per_host(0)
            .connect_timeout(self.timeouts.connect)
            .read_timeout(self.timeouts.idle)
            .dns_resolver(Arc::new(PinnedAddresses(addresses)));
        match with_tls(builder, self.tls.as_ref()).build() {
            Ok(client) => Ok((client, url)),
            Err(error) => {
                tracing::warn!(%error, "an HTTPS client could not be set up");
                Err(RequestError::Unreachable)
            }
        }
    }

    /// All addresses of a URL's host. An error if any of them is not allowed.
    async fn addresses(&self, url: &Url, purpose: Purpose) -> Result<Vec<SocketAddr>, RequestError> {
        let (found, is_allowed) = match url.host() {
            Some(Host::Ipv4(address)) => (vec![address.into()], false),
            Some(Host::Ipv6(address)) => (vec![address.into()], false),
            Some(Host::Domain(name)) => {
                let is_allowed = self.policy.allows_host(name);
                let lookup = if is_allowed { NameLookup::SearchList } else { NameLookup::Absolute };
                let lookup = timeout(self.timeouts.connect, self.resolver.addresses(name, lookup));
                let Ok(found) = lookup.await else {
                    purpose.log(url.host_str(), &"DNS: its name was not resolved in time");
                    return Err(RequestError::Unreachable);
                };
                (found, is_allowed)
            }
            None => (Vec::new(), false),
        };
        if found.is_empty() {
            purpose.log(url.host_str(), &"DNS: its name has no address");
            return Err(RequestError::Unreachable);
        }
        if !is_allowed {
            let checked = found.iter().try_for_each(|address| self.policy.check(*address));
            checked.map_err(|forbidden: Forbidden| {
                purpose.log(url.host_str(), &format_args!("policy: {forbidden}"));
                RequestError::Unreachable
            })?;
        }
        // Port 0 makes the HTTP client use the port of the URL.
        Ok(found.into_iter().map(|address| SocketAddr::new(address.to_canonical(), 0)).collect())
    }

    /// Sends one request and waits for the head of the response.
    pub(super) async fn send(
        &self,
        client: &Client,
        mut request: Request,
        purpose: Purpose,
    ) -> Result<Response, RequestError> {
        let host = request.url().host_str().map(str::to_owned);
        request.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let limit = self.timeouts.connect + self.timeouts.idle;
        match timeout(limit, client.execute(request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => {
                let is_unreachable = error.is_connect() || error.is_builder();
                // The error's text contains the full URL.
                let error = error.without_url();
                let layer = if is_tls_error(&error) { "TLS: " } else { "" };
                purpose.log(host.as_deref(), &format_args!("{layer}{}", with_causes(&error)));
                Err(if is_unreachable { RequestError::Unreachable } else { RequestError::NoResponse })
            }
            Err(_) => {
                purpose.log(host.as_deref(), &format_args!("no answer within {} seconds", limit.as_secs()));
                Err(RequestError::NoResponse)
            }
        }
    }
}

/// Trusts the configured root certificates only. By default, reqwest takes them from wherever the environment points.
pub(super) fn with_tls(builder: ClientBuilder, tls: Option<&rustls::ClientConfig>) -> ClientBuilder {
    match tls {
        Some(tls) => builder.tls_backend_preconfigured(tls.clone()),
        None => builder.tls_certs_only([]),
    }
}

/// An error with all its causes.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whether an error was caused by TLS, by an untrusted certificate for example.
fn is_tls_error(error: &(dyn std::error::Error + 'static)) -> bool {
    // An `io::Error` does not return its inner error as its source.
    let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || held.is_some_and(|held| is_tls_error(held))
        || error.source().is_some_and(is_tls_error)
}

/// The target of a redirect; `None` if the response is not a redirect or has no `Location`.
fn redirect_target(from: &Url, response: &Response) -> Result<Option<Url>, RequestError> {
    let is_redirect = matches!(
        response.status(),
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    );
    let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else { return Ok(None) };
    let next = std::str::from_utf8(location.as_bytes()).ok().and_then(|text| from.join(text).ok());
    next.map(Some).ok_or(RequestError::Unreachable)
}
