//! The relay: how fast a video passes through the service, compared with curl piping the same bytes between the same
//! two servers and with another program for that purpose; and the memory and disk that a long upload takes.
//! All are measured alike: from the first request to the source until Vimeo has received the last byte, by the clocks
//! of these two servers. The time before and after depends on Vimeo and is reported separately.

mod companion;
mod curl;
mod long;
mod process_stats;
mod service_upload;
mod table;

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::runtime::Runtime;

use self::companion::Companion;
use self::long::Long;
use self::process_stats::MemorySamples;
use self::service_upload::TestedService;
use crate::error::BenchError;
use crate::sandbox::{ReceivedUpload, Sandbox};
use crate::source::Source;

const GIB: u64 = 1 << 30;
/// The sizes of each upload of a round, and of the long one.
const USUAL_BYTES: u64 = 2 * GIB;
const LONG_BYTES: u64 = 20 * GIB;

/// What is to be measured.
pub(crate) struct Settings<'a> {
    pub(crate) programs: &'a Path,
    /// The installation of companion, if there is one.
    pub(crate) companion: Option<&'a Path>,
    /// An empty directory.
    pub(crate) work: &'a Path,
    pub(crate) rounds: u32,
    /// The size, unless it is the default.
    pub(crate) bytes: Option<u64>,
}

/// The transfer of one file.
#[derive(Debug, Clone, Serialize)]
struct Transfer {
    /// From the first request to the source until Vimeo had received the last byte.
    seconds: f64,
    mib_per_second: f64,
    /// The number of requests that carried the bytes to Vimeo.
    requests: usize,
    /// CPU time of the relaying program, from before its request until the end was seen; unknown for curl.
    cpu_seconds: Option<f64>,
    /// The hash that Vimeo reports.
    sha256: String,
}

/// A round: curl, the service, curl again, and companion.
#[derive(Debug, Serialize)]
struct Round {
    curl: [Transfer; 2],
    ours: ServiceTransfer,
    companion: Option<Transfer>,
    /// Rates divided by the mean of both of curl's.
    ours_over_curl: f64,
    companion_over_curl: Option<f64>,
}

/// An upload through the service, with the times before and after the transfer.
#[derive(Debug, Serialize)]
struct ServiceTransfer {
    passage: Transfer,
    /// From the request until the source was asked for the bytes.
    before_seconds: f64,
    /// From the last byte at Vimeo until the job was completed.
    after_seconds: f64,
    memory: MemorySamples,
}

/// Figures of all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Results {
    bytes: u64,
    rounds: Vec<Round>,
}

/// The two servers, and the service between them.
struct TestBed<'a> {
    runtime: &'a Runtime,
    source: Source,
    vimeo: Sandbox<'a>,
    ours: TestedService,
    work: PathBuf,
}

impl<'a> TestBed<'a> {
    fn set(runtime: &'a Runtime, settings: &Settings<'_>) -> Result<Self, BenchError> {
        let source = Source::start(runtime)?;
        let vimeo = Sandbox::start(runtime, settings.programs, &settings.work.join("relay-vimeo"), "0.1")?;
        let ours = TestedService::start(&vimeo, settings.programs, settings.work)?;
        Ok(Self { runtime, source, vimeo, ours, work: settings.work.to_owned() })
    }
}

/// Measures in rounds.
pub(crate) fn run(
    runtime: &Runtime,
    settings: &Settings<'_>,
    progress: impl Fn(&str),
) -> Result<Results, BenchError> {
    let bytes = settings.bytes.unwrap_or(USUAL_BYTES);
    let test_bed = TestBed::set(runtime, settings)?;
    let companion =
        settings.companion.map(|directory| Companion::start(directory, &test_bed.work)).transpose()?;
    let mut found = Results { bytes, rounds: Vec::new() };
    for number in 0..settings.rounds {
        let first = test_bed.by_curl(bytes)?;
        let ours = test_bed.by_service(bytes)?;
        let second = test_bed.by_curl(bytes)?;
        let companion = companion.as_ref().map(|other| test_bed.by_companion(other, bytes)).transpose()?;
        let curls = f64::midpoint(first.mib_per_second, second.mib_per_second);
        let round = Round {
            ours_over_curl: ours.passage.mib_per_second / curls,
            companion_over_curl: companion.as_ref().map(|passage| passage.mib_per_second / curls),
            curl: [first, second],
            ours,
            companion,
        };
        round.check()?;
        progress(&format!(
            "round {} of {}: curl {curls:.0} MiB/s, ours {:.0} MiB/s, {:.2} of it",
            number + 1,
            settings.rounds,
            round.ours.passage.mib_per_second,
            round.ours_over_curl,
        ));
        found.rounds.push(round);
    }
    Ok(found)
}

/// One long upload.
pub(crate) fn run_long(
    runtime: &Runtime,
    settings: &Settings<'_>,
    progress: impl Fn(&str),
) -> Result<Long, BenchError> {
    TestBed::set(runtime, settings)?.long(settings.bytes.unwrap_or(LONG_BYTES), progress)
}

impl Round {
    /// Checks that all transfers had the same bytes.
    fn check(&self) -> Result<(), BenchError> {
        let [first, second] = &self.curl;
        let all = [first, second, &self.ours.passage].into_iter().chain(&self.companion);
        let mut hashes: Vec<&str> = all.map(|passage| passage.sha256.as_str()).collect();
        hashes.dedup();
        if hashes.len() == 1 { Ok(()) } else { Err(format!("not the same bytes: {hashes:?}").into()) }
    }
}

impl Transfer {
    fn new(bytes: u64, seconds: f64, received: &ReceivedUpload, cpu_seconds: Option<f64>) -> Self {
        Self {
            seconds,
            mib_per_second: mib(bytes) / seconds,
            requests: received.requests,
            cpu_seconds,
            sha256: received.sha256.clone(),
        }
    }
}

/// A size in MiB.
fn mib(bytes: u64) -> f64 {
    // Whole KiB are far below what a float holds exactly.
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
