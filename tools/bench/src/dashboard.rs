//! The list of the dashboard, as a browser requests it, beside that of the API with the same rows: one request at a time, in
//! turn, so that the load of the machine affects both alike.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use hyper::body::Bytes;
use hyper::header::SET_COOKIE;
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use serde::Serialize;
use tokio::runtime::Runtime;

use crate::client::{Body, Client, Page};
use crate::error::{BenchError, Context as _};
use crate::operations::{BASE, PAGE, Subject};
use crate::rounds::{Pace, subdirectory};
use crate::sandbox::Sandbox;
use crate::service::{COLLECTION, Engine, Plan, Service};

const LIST: &str = "/dashboard/connections";
const SIGN_IN: &str = "/dashboard/sign-in";
/// The most that a page may cost, in requests to the API.
const RATIO_MAX: f64 = 3.0;
/// The most that a page may have.
const BYTES_MAX: usize = 100 * 1_024;
/// Pairs of requests for each second of a measurement.
const PAIRS_A_SECOND: u32 = 100;

pub(crate) struct Settings<'a> {
    pub(crate) programs: &'a Path,
    pub(crate) program: &'a Path,
    /// An empty directory.
    pub(crate) work: &'a Path,
}

/// Figures of all rounds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    connections: u64,
    page_bytes: usize,
    rounds: Vec<Round>,
}

/// Median latencies.
#[derive(Debug, Clone, Copy, Serialize)]
#[expect(clippy::struct_field_names, reason = "units come last")]
struct Round {
    api_us: u64,
    page_us: u64,
    search_us: u64,
}

/// A request that is sent again and again: its path, and the headers that authenticate it.
struct Target {
    path: String,
    header: (&'static str, String),
}

/// Measures on SQLite.
pub(crate) fn run(
    runtime: &Runtime,
    settings: &Settings<'_>,
    pace: Pace,
    progress: impl Fn(&str),
) -> Result<Results, BenchError> {
    let sandbox = Sandbox::start(runtime, settings.programs, &subdirectory(settings.work, "vimeo")?, "0")?;
    let configuration = format!(
        "uploads.work = false\nhealth.check_interval_seconds = 0\nvimeo.base_url = {:?}\n",
        sandbox.base_url
    );
    let plan = Plan {
        program: settings.program,
        directory: settings.work.join("dashboard"),
        database_url: None,
        configuration: &configuration,
    };
    progress(&format!("Starting the service on SQLite, and creating {BASE} connections"));
    let subject = Subject::start(runtime, Engine::Sqlite, &plan, None)?;
    runtime.block_on(measure(&subject.service, pace, progress))
}

async fn measure(service: &Service, pace: Pace, progress: impl Fn(&str)) -> Result<Results, BenchError> {
    let mut client = Client::connect(service.address).await?;
    check_first_page(service, &mut client).await?;
    let key = ("Authorization", service.api_key.clone());
    let session = ("Cookie", sign_in(service, &mut client).await?);
    let api = Target { path: format!("{COLLECTION}?limit={PAGE}"), header: key };
    let shown = Target { path: LIST.to_owned(), header: session.clone() };
    // All are searched, and none is found.
    let search = Target { path: format!("{LIST}?search=%25"), header: session };
    let (_, text) = fetch(service, &mut client, &shown).await?;
    let mut found = Results { connections: BASE, page_bytes: text.len(), rounds: Vec::new() };
    for _ in 0..pace.rounds {
        let mut latencies = [const { Vec::new() }; 3];
        for _ in 0..pace.seconds * PAIRS_A_SECOND {
            for (target, latencies) in [&api, &shown].into_iter().zip(&mut latencies) {
                latencies.push(fetch(service, &mut client, target).await?.0);
            }
        }
        for _ in 0..pace.seconds {
            let [.., searches] = &mut latencies;
            searches.push(fetch(service, &mut client, &search).await?.0);
        }
        let [api_us, page_us, search_us] = latencies.map(median);
        progress(&format!("API {api_us} µs, page {page_us} µs, search of all {search_us} µs"));
        found.rounds.push(Round { api_us, page_us, search_us });
    }
    Ok(found)
}

/// Has Vimeo check the connections of the first page, so that their rows have all that a row can have.
async fn check_first_page(service: &Service, client: &mut Client) -> Result<(), BenchError> {
    let template = service.template();
    let (_, text) = client.send(template.request("GET", &format!("?limit={PAGE}"), String::new())?).await?;
    let page: Page = serde_json::from_slice(&text)?;
    for item in page.items {
        let path = format!("/{}/verify", item.connection_id);
        let (status, text) = client.send(template.request("POST", &path, String::new())?).await?;
        if status != StatusCode::OK {
            return Err(format!("a check failed: {status} {}", String::from_utf8_lossy(&text)).into());
        }
    }
    Ok(())
}

/// Signs in with the service's key. Returns the cookie of the session.
async fn sign_in(service: &Service, client: &mut Client) -> Result<String, BenchError> {
    let host = service.address.to_string();
    let open = Request::builder().uri(SIGN_IN).header("Host", &host).body(Body::new(Bytes::new()))?;
    let (head, text) = client.exchange(open).await?;
    let form = cookie(&head, "__Host-form")?;
    let text = String::from_utf8_lossy(&text).into_owned();
    let token = text.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let token = token.ok_or("the page for signing in has no form")?;
    let sent = Request::builder()
        .method("POST")
        .uri(SIGN_IN)
        .header("Host", &host)
        .header("Cookie", form)
        .header("Content-Type", "application/x-www-form-urlencoded")
        .body(Body::from(format!("csrf={token}&key={}", service.api_key)))?;
    let (head, _) = client.exchange(sent).await?;
    cookie(&head, "__Host-session").context("the key was not accepted")
}

/// A cookie that a response sets, as it is sent back.
fn cookie(head: &Parts, name: &str) -> Result<String, BenchError> {
    let lines = head.headers.get_all(SET_COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.filter_map(|line| line.split(';').next());
    let found = pairs.find(|pair| pair.split('=').next() == Some(name));
    Ok(found.ok_or_else(|| format!("{}: no cookie {name}", head.status))?.to_owned())
}

/// The microseconds until a response was read, and its body.
async fn fetch(service: &Service, client: &mut Client, target: &Target) -> Result<(u64, Bytes), BenchError> {
    let (name, value) = &target.header;
    let request = Request::builder()
        .uri(&target.path)
        .header("Host", service.address.to_string())
        .header(*name, value)
        .body(Body::new(Bytes::new()))?;
    let started = Instant::now();
    let (status, text) = client.send(request).await?;
    let elapsed = u64::try_from(started.elapsed().as_micros())?;
    if status != StatusCode::OK {
        return Err(format!("{}: {status} {}", target.path, String::from_utf8_lossy(&text)).into());
    }
    Ok((elapsed, text))
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}

impl Results {
    /// The median of all rounds.
    fn of(&self, pick: impl Fn(&Round) -> u64) -> u64 {
        median(self.rounds.iter().map(pick).collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "microseconds of one request")]
    fn ratio(&self) -> f64 {
        self.of(|round| round.page_us) as f64 / self.of(|round| round.api_us).max(1) as f64
    }

    /// Whether the page is within its limits.
    pub(crate) fn is_good(&self) -> bool {
        self.ratio() <= RATIO_MAX && self.page_bytes <= BYTES_MAX
    }

    pub(crate) fn table(&self) -> String {
        let mut table = format!("| {} connections | median | limit |\n|---|---|---|\n", self.connections);
        let mut row = |what: &str, value: String, limit: String| {
            let _ = writeln!(table, "| {what} | {value} | {limit} |");
        };
        row("the API's list of 50", format!("{} µs", self.of(|round| round.api_us)), String::new());
        row("the page with the same rows", format!("{} µs", self.of(|round| round.page_us)), String::new());
        row("page / API", format!("{:.2}", self.ratio()), format!("{RATIO_MAX:.0}"));
        row("size of the page", format!("{} bytes", self.page_bytes), format!("{BYTES_MAX} bytes"));
        row("a search of all", format!("{} µs", self.of(|round| round.search_us)), String::new());
        table
    }
}
