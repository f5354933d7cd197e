//! A scripted DNS server that can also misbehave like real ones.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::CNAME;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::BAD;

/// A DNS server; stops when dropped.
pub(super) struct Dns {
    pub(super) address: SocketAddr,
    journal: Journal,
    _running: JoinSet<()>,
}

type Journal = Arc<Mutex<Vec<(String, RecordType)>>>;
type Behaviour = Arc<dyn Fn(&Asked) -> Reply + Send + Sync>;

/// A query.
pub(super) struct Asked {
    /// The name as queried, without the trailing dot.
    pub(super) name: String,
    pub(super) kind: RecordType,
    /// Number of earlier queries for this name and record type.
    pub(super) before: usize,
    pub(super) protocol: Protocol,
    pub(super) has_edns: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

/// A reply.
pub(super) enum Reply {
    /// Those that match the queried record type.
    Addresses(Vec<IpAddr>),
    /// This response code.
    Code(ResponseCode),
    /// No reply.
    Silence,
    /// An empty truncated reply: retry by TCP.
    Truncated,
    /// Addresses after a delay.
    Late(Duration, Vec<IpAddr>),
    /// The name is an alias (CNAME); with both records, or the alias only.
    Alias(&'static str, Vec<IpAddr>),
    /// A referral to another server: neither an answer nor an error.
    Referral,
}

impl Dns {
    /// Answers with the addresses that `answer` returns for a name, without its trailing dot, and the number of earlier
    /// queries for that record type. Replies have a TTL of 0. A name without addresses does not exist.
    pub(super) async fn start(answer: impl Fn(&str, usize) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        Self::behaving(move |asked| match answer(&asked.name, asked.before) {
            addresses if addresses.is_empty() => Reply::Code(ResponseCode::NXDomain),
            addresses => Reply::Addresses(addresses),
        })
        .await
    }

    /// Answers by UDP and TCP as `behaviour` says.
    pub(super) async fn behaving(behaviour: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let (socket, listener) = loop {
            let socket = UdpSocket::bind(SocketAddr::new(BAD, 0)).await.unwrap();
            // The same port may be in use for TCP.
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()).await {
                break (Arc::new(socket), listener);
            }
        };
        let address = socket.local_addr().unwrap();
        let (journal, behaviour): (Journal, Behaviour) = (Arc::default(), Arc::new(behaviour));
        let mut running = JoinSet::new();
        running.spawn(serve_udp(socket, Arc::clone(&journal), Arc::clone(&behaviour)));
        running.spawn(serve_tcp(listener, Arc::clone(&journal), behaviour));
        Self { address, journal, _running: running }
    }

    /// How often a name was queried, in all record types.
    pub(super) fn asked_for(&self, name: &str) -> usize {
        self.journal.lock().unwrap().iter().filter(|(asked, _)| asked == name).count()
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, journal: Journal, behaviour: Behaviour) {
    let mut answering = JoinSet::new();
    let mut datagram = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut datagram).await {
        let question = datagram[..length].to_vec();
        let (socket, journal, behaviour) =
            (Arc::clone(&socket), Arc::clone(&journal), Arc::clone(&behaviour));
        answering.spawn(async move {
            if let Some(answer) = respond(&question, Protocol::Udp, &journal, &behaviour).await {
                socket.send_to(&answer, client).await.unwrap();
            }
        });
    }
}

async fn serve_tcp(listener: TcpListener, journal: Journal, behaviour: Behaviour) {
    let mut answering = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (journal, behaviour) = (Arc::clone(&journal), Arc::clone(&behaviour));
        answering.spawn(async move {
            // How the client ends the connection does not matter.
            let _ = converse(stream, &journal, &behaviour).await;
        });
    }
}

async fn converse(mut stream: TcpStream, journal: &Journal, behaviour: &Behaviour) -> std::io::Result<()> {
    loop {
        let mut question = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut question).await?;
        let Some(answer) = respond(&question, Protocol::Tcp, journal, behaviour).await else {
            std::future::pending::<()>().await;
            unreachable!();
        };
        stream.write_u16(u16::try_from(answer.len()).unwrap()).await?;
        stream.write_all(&answer).await?;
    }
}

async fn respond(
    question: &[u8],
    protocol: Protocol,
    journal: &Journal,
    behaviour: &Behaviour,
) -> Option<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let asked = {
        let mut journal = journal.lock().unwrap();
        let labels = query.name().iter().map(|label| String::from_utf8_lossy(label).into_owned());
        let entry = (labels.collect::<Vec<_>>().join("."), query.query_type());
        let before = journal.iter().filter(|earlier| **earlier == entry).count();
        journal.push(entry.clone());
        Asked { name: entry.0, kind: entry.1, before, protocol, has_edns: question.edns.is_some() }
    };
    let mut response = question.into_response();
    let addresses = match behaviour(&asked) {
        Reply::Addresses(addresses) => addresses,
        Reply::Code(code) => {
            response.metadata.response_code = code;
            Vec::new()
        }
        Reply::Silence => return None,
        Reply::Truncated => {
            response.metadata.truncation = true;
            Vec::new()
        }
        Reply::Late(delay, addresses) => {
            tokio::time::sleep(delay).await;
            addresses
        }
        Reply::Alias(canonical, addresses) => {
            let canonical = Name::from_ascii(canonical).unwrap();
            let data = RData::CNAME(CNAME(canonical.clone()));
            response.add_answer(Record::from_rdata(query.name().clone(), 0, data));
            add(&mut response, &canonical, asked.kind, addresses);
            Vec::new()
        }
        Reply::Referral => {
            let server = Name::from_ascii("ns.elsewhere.test.").unwrap();
            let data = RData::NS(hickory_resolver::proto::rr::rdata::NS(server));
            response.add_authority(Record::from_rdata(Name::from_ascii("test.").unwrap(), 0, data));
            Vec::new()
        }
    };
    add(&mut response, query.name(), asked.kind, addresses);
    Some(response.to_vec().unwrap())
}

fn add(response: &mut Message, name: &Name, kind: RecordType, addresses: Vec<IpAddr>) {
    for address in addresses {
        let data = match address {
            IpAddr::V4(address) => RData::A(address.into()),
            IpAddr::V6(address) => RData::AAAA(address.into()),
        };
        if data.record_type() == kind {
            response.add_answer(Record::from_rdata(name.clone(), 0, data));
        }
    }
}
