//! Others that keep the same record, under the same load in the same rounds: what they do each second, beside us.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::client::{Body, Client};
use crate::load::{Load, Measured};
use crate::open_loop::{self, Questions, Schedule};
use crate::record;
use crate::rounds::{Pace, Spread, room};
use crate::service::{COLLECTION, Plan, Service};
use crate::trouble::{Trouble, While as _};

/// Clients that ask at the same time.
const CONNECTIONS: u32 = 16;
/// How many records each has before anything is measured; gets choose from these.
const BASE: u64 = 2_000;
const US: &str = "vimeo-connections";

/// One who is measured.
struct Peer {
    name: String,
    address: SocketAddr,
    header: (String, String),
    create_path: String,
    /// The body of a creation that is measured.
    body: String,
    /// That of one before: with an identifier of our own, where the peer takes one.
    base_body: String,
    created: StatusCode,
    /// What is read, each with the paths to choose from.
    reads: Vec<(String, Vec<String>)>,
    /// The number in the last name that was given.
    named: u64,
    directory: PathBuf,
}

/// What one does, over all rounds. Medians.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    operation: &'static str,
    peer: String,
    question: String,
    requests_per_second: f64,
    least_per_second: f64,
    most_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    errors: u64,
    /// Why it counts for nothing.
    void: Option<String>,
    /// How many times as much we do, in the middle of the rounds.
    ours_over_theirs: Option<f64>,
}

impl Row {
    pub(crate) fn is_good(&self) -> bool {
        self.void.is_none()
    }
}

/// Measures the service, and the peers that `scripts/peers` has started and told of in that file.
pub(crate) fn run(
    runtime: &Runtime,
    program: &Path,
    (told, work): (&Path, &Path),
    pace: Pace,
    say: impl Fn(&str),
) -> Result<(String, Vec<Row>), Trouble> {
    let told = fs::read_to_string(told).while_doing("scripts/peers has told of no peers")?;
    let plan =
        Plan { program, directory: room(work, "peers")?.join("ours"), database_url: None, configuration: "" };
    let service = Service::start(&plan)?;
    let mut peers = [us(&service, work)?, openbao(&told, work)?, pocketbase(&told, work)?];
    for peer in &mut peers {
        say(&format!("{}: {BASE} records", peer.name));
        peer.make_base()?;
    }
    runtime.block_on(read_our_ids(&service, &mut peers))?;
    for peer in &peers {
        for (at, (_, paths)) in peer.reads.iter().enumerate() {
            fs::write(peer.directory.join(format!("paths-{at}")), paths.join("\n"))?;
        }
    }
    let mut samples: Vec<(usize, Option<usize>, Vec<Measured>)> = Vec::new();
    for (at, peer) in peers.iter().enumerate() {
        samples.push((at, None, Vec::new()));
        samples.extend((0..peer.reads.len()).map(|read| (at, Some(read), Vec::new())));
    }
    for number in 0..pace.rounds {
        // Creates beside creates and gets beside gets; in the opposite order in every other round.
        samples.sort_by_key(|(at, read, _)| (read.is_some(), *at, *read));
        if number % 2 == 1 {
            samples.reverse();
        }
        for (at, read, found) in &mut samples {
            let peer = peers.get_mut(*at).ok_or("a peer went missing")?;
            let measured = peer.measure(*read, pace.seconds)?;
            say(&format!(
                "round {} of {}: {:<28} {:>8.0}/s",
                number + 1,
                pace.rounds,
                format!("{} {}", peer.name, peer.question(*read)),
                measured.requests_per_second()
            ));
            found.push(measured);
        }
    }
    samples.sort_by_key(|(at, read, _)| (read.is_some(), *at, *read));
    let rows = rows(&peers, &samples);
    Ok((table(&rows), rows))
}

fn us(service: &Service, work: &Path) -> Result<Peer, Trouble> {
    Ok(Peer {
        name: US.to_owned(),
        address: service.address,
        header: ("Authorization".to_owned(), service.api_key.clone()),
        create_path: COLLECTION.to_owned(),
        body: record::body(),
        base_body: record::body(),
        created: StatusCode::CREATED,
        reads: Vec::new(),
        named: 0,
        directory: room(work, "peers/load-ours")?,
    })
}

/// `OpenBao` on raft with its key-value store, version 2; a write fails where there is one already.
fn openbao(told: &str, work: &Path) -> Result<Peer, Trouble> {
    let body = format!(r#"{{"options":{{"cas":0}},"data":{}}}"#, record::body());
    let paths = |kind: &str| numbered(&format!("/v1/secret/{kind}/connections/{}", record::PLACE));
    Ok(Peer {
        name: format!("OpenBao {} (raft)", told_of(told, "OPENBAO_VERSION")?),
        address: address(told, "OPENBAO_URL")?,
        header: ("X-Vault-Token".to_owned(), told_of(told, "OPENBAO_TOKEN")?),
        create_path: format!("/v1/secret/data/connections/{}", record::PLACE),
        base_body: body.clone(),
        body,
        created: StatusCode::OK,
        reads: vec![
            ("get of the metadata".to_owned(), paths("metadata")),
            ("get of the data".to_owned(), paths("data")),
        ],
        named: 0,
        directory: room(work, "peers/load-openbao")?,
    })
}

/// `PocketBase` with a collection of the same members and a unique name in each account.
fn pocketbase(told: &str, work: &Path) -> Result<Peer, Trouble> {
    let body = record::body().replacen('{', r#"{"account":"bench","#, 1);
    // It takes identifiers of fifteen characters.
    let id = format!("bench00{}", record::PLACE);
    let path = "/api/collections/connections/records".to_owned();
    Ok(Peer {
        name: format!("PocketBase {}", told_of(told, "POCKETBASE_VERSION")?),
        address: address(told, "POCKETBASE_URL")?,
        header: ("Authorization".to_owned(), told_of(told, "POCKETBASE_TOKEN")?),
        base_body: body.replacen('{', &format!(r#"{{"id":"{id}","#), 1),
        body,
        created: StatusCode::OK,
        reads: vec![("get by id".to_owned(), numbered(&format!("{path}/{id}")))],
        create_path: path,
        named: 0,
        directory: room(work, "peers/load-pocketbase")?,
    })
}

/// The base's paths.
fn numbered(template: &str) -> Vec<String> {
    (1..=BASE).map(|number| template.replace(record::PLACE, &format!("{number:08}"))).collect()
}

/// What the script said of a name: `export PEERS_<name>='…'`.
fn told_of(told: &str, name: &str) -> Result<String, Trouble> {
    let start = format!("export PEERS_{name}='");
    let found = told.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix('\''));
    Ok(found.ok_or_else(|| format!("scripts/peers did not tell PEERS_{name}"))?.to_owned())
}

fn address(told: &str, name: &str) -> Result<SocketAddr, Trouble> {
    told_of(told, name)?.trim_start_matches("http://").parse().while_doing(name)
}

async fn read_our_ids(service: &Service, peers: &mut [Peer]) -> Result<(), Trouble> {
    let us = peers.first_mut().ok_or("we went missing")?;
    let mut client = Client::connect(us.address).await?;
    let request = service.template().request("GET", "?limit=1000", String::new())?;
    let (status, text) = client.ask(request).await?;
    let page: Value = serde_json::from_slice(&text).while_doing(format!("our list ({status})"))?;
    let items = page.get("Items").and_then(Value::as_array).ok_or("our list has no items")?;
    let ids = items.iter().filter_map(|item| item.get("connectionId")?.as_str());
    us.reads = vec![("get by id".to_owned(), ids.map(|id| format!("{COLLECTION}/{id}")).collect())];
    Ok(())
}

impl Peer {
    fn make_base(&mut self) -> Result<(), Trouble> {
        fs::write(self.directory.join("body.json"), &self.body)?;
        let (address, path, body) = (self.address, self.create_path.clone(), self.base_body.clone());
        let (name, value) = self.header.clone();
        let request = move |number: u64| {
            let number = format!("{:08}", number + 1);
            let body = body.replace(record::PLACE, &number);
            let request = Request::post(path.replace(record::PLACE, &number))
                .header("Host", address.to_string())
                .header(&name, &value)
                .header("Content-Type", "application/json");
            Ok(request.body(Body::new(Bytes::from(body)))?)
        };
        let connections = usize::try_from(CONNECTIONS)?;
        let questions = Questions { address, connections, request, expected: self.created };
        let made = open_loop::run(&questions, Schedule { requests: BASE, rate: f64::INFINITY })?;
        self.named = BASE;
        match made.first_error {
            Some(error) => Err(format!("{}: the base could not be made: {error}", self.name).into()),
            None => Ok(()),
        }
    }

    fn question(&self, read: Option<usize>) -> &str {
        read.and_then(|read| self.reads.get(read)).map_or("create", |(question, _)| question)
    }

    fn measure(&mut self, read: Option<usize>, seconds: u32) -> Result<Measured, Trouble> {
        let file = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        let (body, paths) = (file("body.json"), file(&format!("paths-{}", read.unwrap_or_default())));
        let first = self.named.to_string();
        let (name, value) = (self.header.0.as_str(), self.header.1.as_str());
        let (script, arguments) = if read.is_some() {
            (include_str!("../lua/peer_get.lua"), vec![paths.as_str(), name, value])
        } else {
            let arguments = vec![self.create_path.as_str(), &body, &first, name, value];
            (include_str!("../lua/peer_create.lua"), arguments)
        };
        let load =
            Load { address: self.address, script, arguments: &arguments, connections: CONNECTIONS, seconds };
        let measured = load.run(&self.directory)?;
        if read.is_none() {
            // A name may have been sent that no answer came back for.
            self.named += measured.requests + u64::from(CONNECTIONS);
        }
        Ok(measured)
    }
}

fn rows(peers: &[Peer], samples: &[(usize, Option<usize>, Vec<Measured>)]) -> Vec<Row> {
    let of_us = |is_read: bool| {
        samples.iter().find(|(at, read, _)| *at == 0 && read.is_some() == is_read).map(|(_, _, found)| found)
    };
    let mut rows = Vec::new();
    for (at, read, found) in samples {
        let Some(peer) = peers.get(*at) else { continue };
        let Some(rate) = Spread::of(found.iter().map(Measured::requests_per_second)) else { continue };
        let ours = of_us(read.is_some()).into_iter().flatten();
        // A row that is void on either side is beside nothing.
        let is_sound = |one: &Measured| one.fault().is_none();
        let is_comparable = *at > 0
            && found.iter().all(is_sound)
            && of_us(read.is_some()).is_some_and(|ours| ours.iter().all(is_sound));
        let pairs = ours.zip(found).filter(|_| is_comparable);
        let ratios = pairs.map(|(ours, theirs)| ours.requests_per_second() / theirs.requests_per_second());
        let middle = |value: fn(&Measured) -> u64| {
            Spread::of(found.iter().map(|one| f64::from(u32::try_from(value(one)).unwrap_or(u32::MAX))))
                .map_or(0.0, |spread| spread.median)
        };
        rows.push(Row {
            operation: if read.is_some() { "get" } else { "create" },
            peer: peer.name.clone(),
            question: peer.question(*read).to_owned(),
            requests_per_second: rate.median,
            least_per_second: rate.least,
            most_per_second: rate.most,
            p50_us: middle(|one| one.p50_us),
            p99_us: middle(|one| one.p99_us),
            errors: found.iter().map(|one| one.errors.count()).sum(),
            void: found.iter().find_map(Measured::fault),
            ours_over_theirs: Spread::of(ratios).map(|spread| spread.median),
        });
    }
    rows
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<24} {:<20} {:>10} {:>17}  {:>8} {:>9}  {:>6}  {:>11}\n",
        "peer", "question", "requests/s", "least–most", "p50 µs", "p99 µs", "errors", "ours/theirs"
    );
    for row in rows {
        let spread = format!("{:.0}–{:.0}", row.least_per_second, row.most_per_second);
        let _ = writeln!(
            text,
            "{:<24} {:<20} {:>10.0} {spread:>17}  {:>8.0} {:>9.0}  {:>6}  {:>11} {}",
            row.peer,
            row.question,
            row.requests_per_second,
            row.p50_us,
            row.p99_us,
            row.errors,
            row.ours_over_theirs.map_or_else(String::new, |ratio| format!("{ratio:.1}")),
            row.void.as_ref().map_or_else(String::new, |void| format!("VOID: {void}")),
        );
    }
    text
}
