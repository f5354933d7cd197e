//! The cost of a body with unknown fields: as many names as fit into the largest accepted body, each similar to a known
//! one, so that each is compared; beside a body of the same length with one long text.

use std::fmt::Write as _;
use std::path::Path;

use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::client::Client;
use crate::error::BenchError;
use crate::rounds::{Pace, subdirectory};
use crate::service::{Plan, Service};

/// The largest body that the service reads, less the characters around the names.
const BODY_BYTES: usize = 65_000;
/// Enough for the resolution of the kernel's clock, 10 ms.
const REQUESTS_A_SECOND: u32 = 300;
/// The most CPU time that a body may cost.
const CPU_MAX_US: u64 = 1_000;

/// Figures of all rounds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Results {
    rows: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    body: &'static str,
    route: &'static str,
    names: usize,
    /// CPU time of the whole process per request, in each round.
    cpu_us: Vec<u64>,
}

/// A body: its description, its number of names, and its text.
type Body = (&'static str, usize, String);

/// Measures; `work` is an empty directory.
pub(crate) fn run(
    runtime: &Runtime,
    program: &Path,
    work: &Path,
    pace: Pace,
    progress: impl Fn(&str),
) -> Result<Results, BenchError> {
    let directory = subdirectory(work, "near-misses")?;
    let configuration = "uploads.work = false\n";
    let service = Service::start(&Plan { program, directory, database_url: None, configuration })?;
    let made = post(runtime, &service, "", &good(), 1)?;
    let made: Value = serde_json::from_slice(&made)?;
    let id = made.get("connectionId").and_then(Value::as_str).ok_or("nothing was created")?;
    let uploads = format!("/{id}/uploads");
    let mut found = Results::default();
    for (route, path) in [("create a connection", ""), ("upload", uploads.as_str())] {
        for (body, names, text) in bodies() {
            let mut cpu_us = Vec::new();
            for _ in 0..pace.rounds {
                let requests = pace.seconds * REQUESTS_A_SECOND;
                let before = service.cpu_us()?;
                post(runtime, &service, path, &text, requests)?;
                cpu_us.push((service.cpu_us()? - before) / u64::from(requests));
            }
            progress(&format!("{route}, {body}: {cpu_us:?} µs of CPU a body"));
            found.rows.push(Row { body, route, names, cpu_us });
        }
    }
    Ok(found)
}

fn good() -> String {
    r#"{"name":"bench","enabled":true,"clientIdentifier":"a","clientSecret":"b","accessToken":"c"}"#
        .to_owned()
}

fn bodies() -> [Body; 5] {
    // Three letters differ from a known name, one too many for a suggestion.
    let long = |number: usize| format!("clientSec{number:05}");
    let short = |number: usize| format!("na{number:04}");
    let folded = |number: usize| format!("p-r_i-v_a-c_y-.{number:04}");
    [
        ("one long text", 1, format!(r#"{{"description":"{}"}}"#, "x".repeat(BODY_BYTES))),
        names_like("names like clientSecret", long),
        names_like("names like name", short),
        names_like("names like privacy", folded),
        // The same inside an object, which only uploads have.
        nested("names like view, in privacy", |number| format!("vi{number:04}")),
    ]
}

fn names_like(what: &'static str, name: impl Fn(usize) -> String) -> Body {
    let (mut text, mut count) = ("{\"name\":1".to_owned(), 0);
    while text.len() < BODY_BYTES {
        // Writing to a String cannot fail.
        let _ = write!(text, ",\"{}\":1", name(count));
        count += 1;
    }
    text.push('}');
    (what, count, text)
}

fn nested(what: &'static str, name: impl Fn(usize) -> String) -> Body {
    let (_, count, text) = names_like(what, name);
    (what, count, format!("{{\"privacy\":{text}}}"))
}

/// Sends a body several times in sequence. Returns the last response, which is an error or a creation.
fn post(
    runtime: &Runtime,
    service: &Service,
    path: &str,
    body: &str,
    times: u32,
) -> Result<hyper::body::Bytes, BenchError> {
    runtime.block_on(async {
        let mut client = Client::connect(service.address).await?;
        let mut last = hyper::body::Bytes::new();
        for _ in 0..times {
            let (status, text) =
                client.send(service.template().request("POST", path, body.to_owned())?).await?;
            if !matches!(status, StatusCode::CREATED | StatusCode::BAD_REQUEST) {
                return Err(format!("unexpected: {status} {}", String::from_utf8_lossy(&text)).into());
            }
            last = text;
        }
        Ok(last)
    })
}

impl Row {
    fn median_us(&self) -> u64 {
        let mut sorted = self.cpu_us.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }
}

impl Results {
    /// Whether every body is within the limit.
    pub(crate) fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.median_us() <= CPU_MAX_US)
    }

    pub(crate) fn table(&self) -> String {
        let mut table =
            String::from("| route | body of 64 KiB | names | CPU a body (µs) |\n|---|---|---|---|\n");
        for row in &self.rows {
            let _ = writeln!(table, "| {} | {} | {} | {} |", row.route, row.body, row.names, row.median_us());
        }
        table
    }
}
