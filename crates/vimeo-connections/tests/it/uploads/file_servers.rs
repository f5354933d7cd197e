//! Real file servers as sources. Whatever happens to the file during the read, a completed upload is one whole file.
//! Otherwise the upload fails with its code, and the video stays private.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::file_servers::film::{Film, Place, Written};
use crate::support::file_servers::programs::{Kind, Server};
use crate::support::file_servers::proxy::{Exchange, Proxy};
use crate::support::tools::is_all;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

/// The length at which a response is paused.
const STOP_AT: u64 = 1024 * 1024;
/// All servers concurrently, beyond the usual limits of an account.
const SLOTS: &str = "uploads.concurrency = 64\nuploads.per_account = 64\nuploads.per_connection = 64\n";
/// The number of requests for which the film stays fresh: a probe and the first read.
const FRESH_REQUESTS: usize = 2;

/// What happens to an upload after its first mebibyte.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// The age of the film at the first requests.
    age: Age,
    change: Change,
    /// What happens to the response.
    then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    DayOld,
    /// Written in the second of the first request.
    Fresh,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    RenamedOver(Written),
    OverwrittenInPlace(Written),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Resumes,
    IsCut,
    /// The service is killed and restarted.
    KillsTheService,
}

/// One upload from one server.
struct Trial {
    kind: Kind,
    _server: Server,
    proxy: Proxy,
    place: Place,
    url: String,
}

impl Trial {
    /// `None` if the server is not installed.
    async fn start(kind: Kind, case: Case) -> Option<Self> {
        let server = Server::start(kind).await?;
        let (place, address) = server.place("film.mp4").await;
        place.overwrite(Film::Old, Written::Now).await;
        place.make_old();
        let fresh = (case.age == Age::Fresh).then(|| place.clone());
        let touched = AtomicUsize::new(0);
        let before_request = move |number| {
            let is_early =
                number < FRESH_REQUESTS && touched.fetch_add(1, Ordering::Relaxed) < FRESH_REQUESTS;
            if let Some(place) = fresh.as_ref().filter(|_| is_early) {
                place.make_fresh();
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(listener, server.address, STOP_AT, Box::new(before_request));
        let url = address.url(proxy.address);
        Some(Self { kind, _server: server, proxy, place, url })
    }

    /// Starts the upload and interferes with it; the job ID.
    async fn run(&self, uploads: &UploadEnv, case: Case) -> String {
        let job = uploads.submit_with(json!({"source": {"url": self.url}})).await;
        self.interfere(uploads, case, &job).await;
        job
    }

    /// Waits until the film is being read, changes it, and resumes or cuts the response. Does nothing if the upload
    /// ends first.
    async fn interfere(&self, uploads: &UploadEnv, case: Case, job: &str) {
        tokio::select! {
            () = self.proxy.stopped() => {}
            _ = uploads.wait_for_end(job) => return,
        }
        let is_fresh =
            self.proxy.exchanges().iter().any(|exchange| exchange.was_stopped && exchange.is_fresh());
        let when = |written| match written {
            // A file is not written in a past second.
            Written::HalfSecondLater if case.age == Age::Fresh && !is_fresh => Written::Now,
            written => written,
        };
        match case.change {
            Change::None => {}
            Change::RenamedOver(written) => self.place.rename_over(Film::New, when(written)).await,
            Change::OverwrittenInPlace(written) => self.place.overwrite(Film::New, when(written)).await,
        }
        match case.then {
            Then::Resumes => self.proxy.resume(),
            Then::IsCut => self.proxy.cut(),
            Then::KillsTheService => {}
        }
    }
}

impl Exchange {
    /// Whether the file was written in the second of the request, by the response.
    fn is_fresh(&self) -> bool {
        let header = |name: &str| {
            self.response.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
            })
        };
        header("last-modified").is_some_and(|at| header("date") == Some(at))
    }
}

/// The outcome of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ending {
    Completed(Film),
    Failed(String),
    /// Completed, and the video is neither of the two films.
    Mixed,
    /// It ended before the film was read, so that the case was not exercised.
    NotRead,
}

/// One upload from each installed server; their outcomes.
async fn play(case: Case) -> (UploadEnv, Vec<(Trial, Ending)>) {
    let mut uploads = UploadEnv::with(&format!("{CONFIG}{SLOTS}"), fast_sandbox()).await;
    let mut trials = Vec::new();
    for kind in Kind::ALL {
        trials.extend(Trial::start(kind, case).await);
    }
    // All servers run before the first upload starts, because some cache a file for a second.
    let jobs = join_all(trials.iter().map(|trial| trial.run(&uploads, case))).await;
    if case.then == Then::KillsTheService {
        uploads.env.kill_and_restart();
    }
    let hashes = Film::hashes();
    let (mut ended, mut mixed) = (Vec::new(), Vec::new());
    for (trial, job) in trials.into_iter().zip(jobs) {
        let job = uploads.wait_for_end(&job).await;
        let was_read = trial.proxy.exchanges().iter().any(|exchange| exchange.was_stopped);
        let ending = if was_read { ending(&job, &uploads.videos().await, &hashes) } else { Ending::NotRead };
        if is_all() {
            let line = format!("{:?}, {case:?}: {ending:?}\n", trial.kind);
            std::io::stderr().write_all(line.as_bytes()).unwrap();
        }
        if ending == Ending::Mixed {
            mixed.push(job["data"]["vimeoUri"].clone());
        }
        ended.push((trial, ending));
    }
    assert_nothing_else_is_open(&uploads, &hashes, &mixed).await;
    (uploads, ended)
}

fn ending(job: &Value, videos: &[Value], hashes: &BTreeMap<String, Film>) -> Ending {
    if job["data"]["status"] != "completed" {
        return Ending::Failed(job["data"]["error_code"].as_str().unwrap_or_default().to_owned());
    }
    let video = videos.iter().find(|video| video["uri"] == job["data"]["vimeoUri"]).unwrap();
    let hash = video["versions"][0]["sha256"].as_str().unwrap_or_default();
    hashes.get(hash).map_or(Ending::Mixed, |film| Ending::Completed(*film))
}

/// Every published video, except these, is one of the films, and complete.
async fn assert_nothing_else_is_open(uploads: &UploadEnv, hashes: &BTreeMap<String, Film>, mixed: &[Value]) {
    for video in uploads.videos().await.into_iter().filter(|video| !mixed.contains(&video["uri"])) {
        let view = uploads.see(video["uri"].as_str().unwrap()).await["privacy"]["view"].clone();
        let hash = video["versions"][0]["sha256"].as_str().unwrap_or_default();
        assert!(view == "nobody" || hashes.contains_key(hash), "{view}: {video}");
    }
}

/// Runs a case, and asserts that each outcome is allowed.
async fn assert_each(case: Case, is_allowed: impl Fn(&Ending) -> bool) {
    let (uploads, ended) = play(case).await;
    let mut wrong = String::new();
    for (trial, ending) in ended {
        if is_allowed(&ending) {
            continue;
        }
        writeln!(wrong, "{:?}: {ending:?}", trial.kind).unwrap();
        for Exchange { request, response, bytes, .. } in trial.proxy.exchanges() {
            writeln!(wrong, "{request}{response}{bytes} bytes\n").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}\n{}", uploads.env.log());
}

/// One whole film, or a failure because the source changed.
fn is_safe(ending: &Ending) -> bool {
    matches!(ending, Ending::Completed(_)) || *ending == Ending::Failed("SOURCE_CHANGED".to_owned())
}

const NOW: Change = Change::RenamedOver(Written::Now);
const HALF_SECOND_LATER: Change = Change::RenamedOver(Written::HalfSecondLater);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_completed_after_a_kill() {
    let case = Case { age: Age::DayOld, change: Change::None, then: Then::KillsTheService };
    assert_each(case, |ending| *ending == Ending::Completed(Film::Old)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replaced_during_a_kill_is_not_mixed_with_the_old_one() {
    let case = Case { age: Age::DayOld, change: NOW, then: Then::KillsTheService };
    assert_each(case, is_safe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_second_newer_file_is_not_mixed_in_during_a_kill() {
    let case = Case { age: Age::DayOld, change: HALF_SECOND_LATER, then: Then::KillsTheService };
    assert_each(case, is_safe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freshly_written_file_is_completed_after_a_disconnect() {
    let case = Case { age: Age::Fresh, change: Change::None, then: Then::IsCut };
    assert_each(case, |ending| *ending == Ending::Completed(Film::Old)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replaced_at_a_disconnect_is_not_mixed_with_the_old_one() {
    let case = Case { age: Age::DayOld, change: NOW, then: Then::IsCut };
    assert_each(case, is_safe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_second_newer_file_is_not_mixed_in_at_a_disconnect() {
    let case = Case { age: Age::DayOld, change: HALF_SECOND_LATER, then: Then::IsCut };
    assert_each(case, is_safe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_file_replaced_at_a_disconnect_is_not_mixed() {
    let case = Case { age: Age::Fresh, change: HALF_SECOND_LATER, then: Then::IsCut };
    assert_each(case, is_safe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_overwritten_during_the_read_is_not_mixed() {
    let change = Change::OverwrittenInPlace(Written::Now);
    let case = Case { age: Age::DayOld, change, then: Then::Resumes };
    assert_each(case, is_safe).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_overwritten_within_the_same_second_is_not_mixed() {
    let change = Change::OverwrittenInPlace(Written::HalfSecondLater);
    let case = Case { age: Age::Fresh, change, then: Then::Resumes };
    assert_each(case, is_safe).await;
}
