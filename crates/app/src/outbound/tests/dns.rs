//! A name server that says exactly what it is told to.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::BAD;

/// A name server; it ends when it is dropped.
pub(super) struct Dns {
    pub(super) address: SocketAddr,
    asked: Arc<Mutex<Vec<(String, RecordType)>>>,
    _running: JoinSet<()>,
}

impl Dns {
    /// Answers with the addresses that `answer` has for a name, without its last dot, and how often it was asked for
    /// addresses of that kind before. No answer may be kept. A name without addresses does not exist.
    pub(super) async fn start(answer: impl Fn(&str, usize) -> Vec<IpAddr> + Send + Sync + 'static) -> Self {
        let socket = UdpSocket::bind(SocketAddr::new(BAD, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let journal = Arc::clone(&asked);
        let mut running = JoinSet::new();
        running.spawn(async move {
            let mut datagram = [0; 4096];
            while let Ok((length, client)) = socket.recv_from(&mut datagram).await {
                let question = Message::from_vec(&datagram[..length]).unwrap();
                let response = respond(question, &journal, &answer);
                socket.send_to(&response.to_vec().unwrap(), client).await.unwrap();
            }
        });
        Self { address, asked, _running: running }
    }

    /// How often a name was asked for, in any of its kinds.
    pub(super) fn asked_for(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|(asked, _)| asked == name).count()
    }
}

fn respond(
    question: Message,
    journal: &Mutex<Vec<(String, RecordType)>>,
    answer: &(dyn Fn(&str, usize) -> Vec<IpAddr> + Send + Sync),
) -> Message {
    let query = question.queries[0].clone();
    let asked = (query.name().to_string().trim_end_matches('.').to_owned(), query.query_type());
    let mut journal = journal.lock().unwrap();
    let addresses = answer(&asked.0, journal.iter().filter(|earlier| **earlier == asked).count());
    journal.push(asked);
    let mut response = question.into_response();
    if addresses.is_empty() {
        response.metadata.response_code = ResponseCode::NXDomain;
    }
    let records = addresses.into_iter().map(|address| match address {
        IpAddr::V4(address) => (RecordType::A, RData::A(address.into())),
        IpAddr::V6(address) => (RecordType::AAAA, RData::AAAA(address.into())),
    });
    for (kind, data) in records.filter(|(kind, _)| *kind == query.query_type()) {
        debug_assert_eq!(data.record_type(), kind);
        response.add_answer(Record::from_rdata(query.name().clone(), 0, data));
    }
    response
}
