//! The way out, against real servers and a real name server on loopback. What may be reached is 127.0.0.2, allowed by
//! its number; what may not is 127.0.0.1, where a server counts whoever comes.

mod connect;
mod dns;
mod hostile;
mod inspect;
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

/// Where the tests' good servers are.
const GOOD: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
/// Where nothing may ever be sent.
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

/// Whom to ask when no name is to be asked for: nobody is there.
fn nobody() -> Vec<SocketAddr> {
    vec![SocketAddr::new(BAD, 9)]
}

fn egress() -> Egress {
    Egress::new(options(nobody())).unwrap()
}

fn outbound_asking(dns: &Dns) -> Egress {
    Egress::new(options(vec![dns.address])).unwrap()
}

impl Web {
    /// The address of something on this server, as a user would give it.
    fn url(&self, egress: &Egress, path: &str) -> EgressUrl {
        egress.validate(&format!("http://{}{path}", self.address)).unwrap()
    }
}

/// What a probe finds out.
async fn facts_of(egress: &Egress, url: &EgressUrl, max_bytes: u64) -> Result<SourceMetadata, SourceError> {
    egress.probe(url, max_bytes).await.map(|found| found.metadata)
}

/// A source that answered so, each time.
fn refused(status: u16) -> SourceError {
    SourceError::Refused(super::sources::Statuses::of(status))
}

/// The mark of an answer that has this tag, or this time of change, and is old enough.
fn mark(validator: Option<&str>) -> Validators {
    validator.map(Validators::from_single_validator).unwrap_or_default()
}

async fn all(mut stream: SourceStream) -> (Vec<u8>, Option<SourceError>) {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => bytes.extend_from_slice(&piece),
            Err(error) => return (bytes, Some(error)),
        }
    }
    (bytes, None)
}
