//! Other products that store the same record, under the same load in the same rounds.

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
use crate::error::{BenchError, Context as _};
use crate::load::{Load, Measured};
use crate::open_loop::{self, OpenLoad, Schedule};
use crate::record;
use crate::rounds::{Pace, Spread, subdirectory};
use crate::service::{COLLECTION, Plan, Service};

/// Clients that ask at the same time.
const CONNECTIONS: u32 = 16;
/// How many records each one has before the measurements; gets choose from these.
const BASE: u64 = 2_000;
const OURS: &str = "vimeo-connections";

/// A product that is measured.
struct Peer {
    name: String,
    address: SocketAddr,
    header: (String, String),
    create_path: String,
    /// The body of a creation that is measured.
    body: String,
    /// The body for the base: with a chosen identifier, where the peer accepts one.
    base_body: String,
    created: StatusCode,
    /// The reads, each with the paths to choose from.
    reads: Vec<(String, Vec<String>)>,
    /// The number in the last name that was used.
    named: u64,
    directory: PathBuf,
}

/// The result of one product: medians over all rounds.
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
    /// Why it is void.
    void: Option<String>,
    /// Our rate divided by theirs, median over the rounds.
    ours_over_theirs: Option<f64>,
}

impl Row {
    pub(crate) fn is_good(&self) -> bool {
        self.void.is_none()
    }
}

/// Measures the service, and the peers that `scripts/peers` has started and described in that file.
pub(crate) fn run(
    runtime: &Runtime,
    program: &Path,
    (variables, work): (&Path, &Path),
    pace: Pace,
    progress: impl Fn(&str),
) -> Result<(String, Vec<Row>), BenchError> {
    let variables = fs::read_to_string(variables).context("the output of scripts/peers cannot be read")?;
    let plan = Plan {
        program,
        directory: subdirectory(work, "peers")?.join("ours"),
        database_url: None,
        configuration: "",
    };
    let service = Service::start(&plan)?;
    let mut peers = [our_peer(&service, work)?, openbao(&variables, work)?, pocketbase(&variables, work)?];
    for peer in &mut peers {
        progress(&format!("{}: {BASE} records", peer.name));
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
        // Creates next to creates and gets next to gets; in the opposite order in every other round.
        samples.sort_by_key(|(at, read, _)| (read.is_some(), *at, *read));
        if number % 2 == 1 {
            samples.reverse();
        }
        for (at, read, found) in &mut samples {
            let peer = peers.get_mut(*at).ok_or("a peer is missing")?;
            let measured = peer.measure(*read, pace.seconds)?;
            progress(&format!(
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

fn our_peer(service: &Service, work: &Path) -> Result<Peer, BenchError> {
    Ok(Peer {
        name: OURS.to_owned(),
        address: service.address,
        header: ("Authorization".to_owned(), service.api_key.clone()),
        create_path: COLLECTION.to_owned(),
        body: record::body(),
        base_body: record::body(),
        created: StatusCode::CREATED,
        reads: Vec::new(),
        named: 0,
        directory: subdirectory(work, "peers/load-ours")?,
    })
}

/// `OpenBao` on raft with its key-value store, version 2; a write to an existing key fails.
fn openbao(variables: &str, work: &Path) -> Result<Peer, BenchError> {
    let body = format!(r#"{{"options":{{"cas":0}},"data":{}}}"#, record::body());
    let paths = |kind: &str| numbered(&format!("/v1/secret/{kind}/connections/{}", record::PLACE));
    Ok(Peer {
        name: format!("OpenBao {} (raft)", variable(variables, "OPENBAO_VERSION")?),
        address: address(variables, "OPENBAO_URL")?,
        header: ("X-Vault-Token".to_owned(), variable(variables, "OPENBAO_TOKEN")?),
        create_path: format!("/v1/secret/data/connections/{}", record::PLACE),
        base_body: body.clone(),
        body,
        created: StatusCode::OK,
        reads: vec![
            ("get of the metadata".to_owned(), paths("metadata")),
            ("get of the data".to_owned(), paths("data")),
        ],
        named: 0,
        directory: subdirectory(work, "peers/load-openbao")?,
    })
}

/// `PocketBase` with a collection of the same fields and a unique name in each account.
fn pocketbase(variables: &str, work: &Path) -> Result<Peer, BenchError> {
    let body = record::body().replacen('{', r#"{"account":"bench","#, 1);
    // Its identifiers have fifteen characters.
    let id = format!("bench00{}", record::PLACE);
    let path = "/api/collections/connections/records".to_owned();
    Ok(Peer {
        name: format!("PocketBase {}", variable(variables, "POCKETBASE_VERSION")?),
        address: address(variables, "POCKETBASE_URL")?,
        header: ("Authorization".to_owned(), variable(variables, "POCKETBASE_TOKEN")?),
        base_body: body.replacen('{', &format!(r#"{{"id":"{id}","#), 1),
        body,
        created: StatusCode::OK,
        reads: vec![("get by id".to_owned(), numbered(&format!("{path}/{id}")))],
        create_path: path,
        named: 0,
        directory: subdirectory(work, "peers/load-pocketbase")?,
    })
}

/// The paths of the base.
fn numbered(template: &str) -> Vec<String> {
    (1..=BASE).map(|number| template.replace(record::PLACE, &format!("{number:08}"))).collect()
}

/// A variable in the script's output: `export PEERS_<name>='…'`.
fn variable(variables: &str, name: &str) -> Result<String, BenchError> {
    let start = format!("export PEERS_{name}='");
    let found = variables.lines().find_map(|line| line.strip_prefix(&start)?.strip_suffix('\''));
    Ok(found.ok_or_else(|| format!("scripts/peers did not print PEERS_{name}"))?.to_owned())
}

fn address(variables: &str, name: &str) -> Result<SocketAddr, BenchError> {
    variable(variables, name)?.trim_start_matches("http://").parse().context(name)
}

async fn read_our_ids(service: &Service, peers: &mut [Peer]) -> Result<(), BenchError> {
    let our_peer = peers.first_mut().ok_or("we went missing")?;
    let mut client = Client::connect(our_peer.address).await?;
    let request = service.template().request("GET", "?limit=1000", String::new())?;
    let (status, text) = client.send(request).await?;
    let page: Value = serde_json::from_slice(&text).context(format!("our list ({status})"))?;
    let items = page.get("Items").and_then(Value::as_array).ok_or("our list has no items")?;
    let ids = items.iter().filter_map(|item| item.get("connectionId")?.as_str());
    our_peer.reads = vec![("get by id".to_owned(), ids.map(|id| format!("{COLLECTION}/{id}")).collect())];
    Ok(())
}

impl Peer {
    fn make_base(&mut self) -> Result<(), BenchError> {
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
        let load = OpenLoad { address, connections, request, expected: self.created };
        let made = open_loop::run(&load, Schedule { requests: BASE, rate: f64::INFINITY })?;
        self.named = BASE;
        match made.first_error {
            Some(error) => Err(format!("{}: the base could not be created: {error}", self.name).into()),
            None => Ok(()),
        }
    }

    fn question(&self, read: Option<usize>) -> &str {
        read.and_then(|read| self.reads.get(read)).map_or("create", |(question, _)| question)
    }

    fn measure(&mut self, read: Option<usize>, seconds: u32) -> Result<Measured, BenchError> {
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
            // A name may have been used without a response.
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
        // A void row on either side is not compared.
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
