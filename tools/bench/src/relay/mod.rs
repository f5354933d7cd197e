//! The relay: how fast a video goes through the service, beside curl piping the same bytes between the same two servers,
//! and beside another program that is made for it; and what memory and disk a long one takes.
//! All are measured alike: from the moment when the source is asked for the bytes to the moment when Vimeo has taken the
//! last, as these two servers saw it. What comes before and after belongs to Vimeo's own pace, and is told beside it.

mod companion;
mod curl;
mod long;
mod ours;
mod table;
mod watch;

use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::runtime::Runtime;

use self::companion::Companion;
use self::long::Long;
use self::ours::Ours;
use self::watch::Seen;
use crate::sandbox::{Sandbox, Taken};
use crate::source::Source;
use crate::trouble::Trouble;

const GIB: u64 = 1 << 30;
/// Of each run of a round, and of the long one.
const USUAL_BYTES: u64 = 2 * GIB;
const LONG_BYTES: u64 = 20 * GIB;

/// What is to be measured.
pub(crate) struct Wish<'a> {
    pub(crate) programs: &'a Path,
    /// Where the other program is installed, if it is.
    pub(crate) companion: Option<&'a Path>,
    /// An empty directory.
    pub(crate) work: &'a Path,
    pub(crate) rounds: u32,
    /// Another size than the usual one.
    pub(crate) bytes: Option<u64>,
}

/// How one file went.
#[derive(Debug, Clone, Serialize)]
struct Passage {
    /// From when the source was asked for the bytes until Vimeo had taken the last.
    seconds: f64,
    mib_per_second: f64,
    /// The requests that Vimeo took them in.
    requests: usize,
    /// Of the program in between, from before it was asked until the end was seen; of curl it is not known.
    cpu_seconds: Option<f64>,
    /// What Vimeo says of the bytes.
    sha256: String,
}

/// A round: curl, the service, curl again, and the other program.
#[derive(Debug, Serialize)]
struct Round {
    curl: [Passage; 2],
    ours: Ride,
    companion: Option<Passage>,
    /// Rates over the middle of both of curl's.
    ours_over_curl: f64,
    companion_over_curl: Option<f64>,
}

/// An upload through the service, and what is around it.
#[derive(Debug, Serialize)]
struct Ride {
    passage: Passage,
    /// From when it was accepted until the source was asked for the bytes.
    before_seconds: f64,
    /// From when Vimeo had taken the last byte until the job was shown as completed.
    after_seconds: f64,
    memory: Seen,
}

/// Figures of all rounds.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    bytes: u64,
    rounds: Vec<Round>,
}

/// The two servers, and the service between them.
struct Scene<'a> {
    runtime: &'a Runtime,
    source: Source,
    vimeo: Sandbox<'a>,
    ours: Ours,
    work: PathBuf,
}

impl<'a> Scene<'a> {
    fn set(runtime: &'a Runtime, wish: &Wish<'_>) -> Result<Self, Trouble> {
        let source = Source::start(runtime)?;
        let vimeo = Sandbox::start(runtime, wish.programs, &wish.work.join("relay-vimeo"), "0.1")?;
        let ours = Ours::start(&vimeo, wish.programs, wish.work)?;
        Ok(Self { runtime, source, vimeo, ours, work: wish.work.to_owned() })
    }
}

/// Measures in rounds.
pub(crate) fn run(runtime: &Runtime, wish: &Wish<'_>, say: impl Fn(&str)) -> Result<Found, Trouble> {
    let bytes = wish.bytes.unwrap_or(USUAL_BYTES);
    let scene = Scene::set(runtime, wish)?;
    let companion = wish.companion.map(|directory| Companion::start(directory, &scene.work)).transpose()?;
    let mut found = Found { bytes, rounds: Vec::new() };
    for number in 0..wish.rounds {
        let first = scene.by_curl(bytes)?;
        let ours = scene.by_us(bytes)?;
        let second = scene.by_curl(bytes)?;
        let companion = companion.as_ref().map(|other| scene.by_companion(other, bytes)).transpose()?;
        let curls = f64::midpoint(first.mib_per_second, second.mib_per_second);
        let round = Round {
            ours_over_curl: ours.passage.mib_per_second / curls,
            companion_over_curl: companion.as_ref().map(|passage| passage.mib_per_second / curls),
            curl: [first, second],
            ours,
            companion,
        };
        round.check()?;
        say(&format!(
            "round {} of {}: curl {curls:.0} MiB/s, ours {:.0} MiB/s, {:.2} of it",
            number + 1,
            wish.rounds,
            round.ours.passage.mib_per_second,
            round.ours_over_curl,
        ));
        found.rounds.push(round);
    }
    Ok(found)
}

/// One long upload.
pub(crate) fn run_long(runtime: &Runtime, wish: &Wish<'_>, say: impl Fn(&str)) -> Result<Long, Trouble> {
    Scene::set(runtime, wish)?.long(wish.bytes.unwrap_or(LONG_BYTES), say)
}

impl Round {
    /// All must have brought the same bytes.
    fn check(&self) -> Result<(), Trouble> {
        let [first, second] = &self.curl;
        let all = [first, second, &self.ours.passage].into_iter().chain(&self.companion);
        let mut hashes: Vec<&str> = all.map(|passage| passage.sha256.as_str()).collect();
        hashes.dedup();
        if hashes.len() == 1 { Ok(()) } else { Err(format!("not the same bytes: {hashes:?}").into()) }
    }
}

impl Passage {
    fn new(bytes: u64, seconds: f64, taken: &Taken, cpu_seconds: Option<f64>) -> Self {
        Self {
            seconds,
            mib_per_second: mib(bytes) / seconds,
            requests: taken.requests,
            cpu_seconds,
            sha256: taken.sha256.clone(),
        }
    }
}

/// In MiB, to show.
fn mib(bytes: u64) -> f64 {
    // Whole KiB are far below what a float holds exactly.
    f64::from(u32::try_from(bytes / 1024).unwrap_or(u32::MAX)) / 1024.0
}
