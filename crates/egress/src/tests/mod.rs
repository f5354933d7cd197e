//! The client against real HTTP servers and a real DNS server on loopback. 127.0.0.2 is allowed explicitly. 127.0.0.1
//! is forbidden; a server there counts connections.

mod connect;
mod dns;
mod fetch;
mod hostile;
mod inspect;
mod request_headers;
mod resolver;
mod resuming;
mod sources;
mod spool;
mod tls;
mod web;
mod webhook_client;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::*;
use dns::Dns;
use web::Web;

/// The address of the allowed servers.
const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// The forbidden address.
const BAD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn options(dns_servers: Vec<SocketAddr>) -> EgressOptions {
    EgressOptions {
        policy: EgressPolicy {
            allow: vec![AllowedDestination::parse("127.0.0.2/32").unwrap()],
            insecure: AllowHttp::Yes,
            ports: PortPolicy::Any,
            own: OwnAddresses::from_check(|_| false, Vec::new()),
        },
        dns_servers,
        tls: None,
        user_agent: "egress-tests".to_owned(),
        timeouts: EgressTimeouts {
            connect: Duration::from_secs(5),
            idle: Duration::from_secs(20),
            post: Duration::from_secs(20),
        },
        minimum_rate: MinimumRate::default(),
    }
}

/// A DNS server address where nothing listens, for tests without names.
fn no_dns() -> Vec<SocketAddr> {
    vec![SocketAddr::new(BAD, 9)]
}

fn egress() -> Egress {
    Egress::new(options(no_dns())).unwrap()
}

fn outbound_asking(dns: &Dns) -> Egress {
    Egress::new(options(vec![dns.address])).unwrap()
}

impl Web {
    /// A URL on this server, as a user would supply it.
    fn url(&self, egress: &Egress, path: &str) -> EgressUrl {
        egress.validate(&format!("http://{}{path}", self.address)).unwrap()
    }
}

/// The metadata found by a probe.
async fn metadata_of(
    egress: &Egress,
    url: &EgressUrl,
    max_bytes: u64,
) -> Result<SourceMetadata, SourceError> {
    egress.probe(url, max_bytes).await.map(|found| found.metadata)
}

/// The error of a source that returned this status to every request.
fn refused(status: u16) -> SourceError {
    SourceError::Refused(super::sources::Statuses::of(status))
}

/// The validators of a response with this `ETag` or modification time, old enough to count.
fn mark(validator: Option<&str>) -> Validators {
    validator.map(Validators::from_single_validator).unwrap_or_default()
}

async fn all(mut stream: SourceStream) -> (Vec<u8>, Option<SourceError>) {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}
