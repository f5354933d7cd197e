//! A bulk: all uploads are queued at once, and the service executes them as fast as it can.

use std::collections::BTreeMap;
use std::ops::Range;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use super::fixture::{Fixture, Running, Worker};
use super::requests::Requests;
use crate::error::BenchError;
use crate::time_of_day::{TimeOfDay, now};

const CONNECTIONS: u32 = 20;
const STEP: Duration = Duration::from_millis(250);
/// How often the list of jobs is read once the newest has ended.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// How often the newest job is polled.
const NEWEST_EVERY: Duration = Duration::from_millis(500);
const PAGE: u32 = 1_000;
/// How many uploads a figure is the mean of.
const WINDOW: usize = 100;
/// The numbers of videos in the account at which figures are reported, beside the first and the last uploads.
const ACCOUNT_SIZES: [usize; 5] = [1, 100, 400, 1_000, 2_000];

/// The result of a bulk.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Bulk {
    pub(super) uploads: u64,
    pub(super) completed: u64,
    pub(super) failed: u64,
    /// Whether it was stopped because it took too long.
    pub(super) is_cut_off: bool,
    /// From the first upload that was queued to the last that completed.
    pub(super) seconds: f64,
    pub(super) jobs_per_second: f64,
    /// The number of uploads in the means of the first and the last requests: 100, or less in a small bulk.
    pub(super) window: usize,
    pub(super) requests_first: f64,
    pub(super) requests_last: f64,
    pub(super) by_account_size: Vec<AtSize>,
    /// Requests to the API for each video that was created, by route.
    pub(super) requests_by_route: BTreeMap<String, f64>,
    pub(super) link_requests_per_upload: f64,
}

/// Uploads into an account that has this many videos.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct AtSize {
    pub(super) videos: usize,
    /// How many uploads were queued at once.
    pub(super) queued: u64,
    pub(super) api_requests_per_upload: f64,
    pub(super) jobs_per_second: f64,
}

/// A job that was read from the service. Times are in seconds since the bulk began.
#[derive(Clone)]
struct Job {
    status: String,
    created_at: f64,
    updated_at: f64,
    /// The number of its video at Vimeo.
    video: Option<u64>,
}

pub(super) fn run(fixture: &Fixture<'_>, progress: &impl Fn(&str)) -> Result<Bulk, BenchError> {
    let running = fixture.start("bulk", Worker::On, CONNECTIONS)?;
    let (uploads, limit) = (fixture.options.uploads, fixture.options.bulk_limit());
    let (mut requests, started_at) = (Requests::start(&running.sandbox)?, now());
    running.queue(&running.connections, uploads)?;
    let wait_for = |requests: &mut Requests, uploads| {
        wait(&running, requests, started_at, (uploads, limit), |created| {
            progress(&format!("{}: {created} videos created", fixture.name()));
        })
    };
    let jobs = wait_for(&mut requests, uploads)?;
    let mut bulk = Bulk::of(uploads, &jobs, &requests)?;
    if !bulk.is_cut_off {
        // A few more uploads, with nothing else queued.
        let queued = bulk.window as u64;
        running.queue(&running.connections, queued)?;
        let all = wait_for(&mut requests, uploads + queued)?;
        bulk.by_account_size.push(AtSize::of_added(&jobs, &all, &requests));
    }
    progress(&format!(
        "{}: {} of {uploads} uploads completed, {:.1} a second; {:.2} API requests each for the first {}, {:.2} for the last",
        fixture.name(),
        bulk.completed,
        bulk.jobs_per_second,
        bulk.requests_first,
        bulk.window,
        bulk.requests_last,
    ));
    Ok(bulk)
}

/// Waits until that many jobs have ended, or for as long as is allowed. Returns all jobs.
fn wait(
    running: &Running<'_>,
    requests: &mut Requests,
    started_at: TimeOfDay,
    (uploads, limit): (u64, Duration),
    progress: impl Fn(usize),
) -> Result<Vec<Job>, BenchError> {
    let started = Instant::now();
    let (mut newest_at, mut listed_at, mut said) = (started, started, 0);
    loop {
        requests.read(&running.sandbox)?;
        if requests.creations() >= said + 500 {
            said = requests.creations();
            progress(said);
        }
        let is_late = started.elapsed() >= limit;
        if newest_at.elapsed() >= NEWEST_EVERY || is_late {
            newest_at = Instant::now();
            let page = running.jobs(1, None)?;
            let newest = page.pointer("/items/0").map(|item| Job::read(item, started_at)).transpose()?;
            let is_listed = newest.is_some_and(|job| job.has_ended()) && listed_at.elapsed() >= LIST_EVERY;
            if is_listed || is_late {
                listed_at = Instant::now();
                let jobs = all_jobs(running, started_at)?;
                let ended = jobs.iter().filter(|job| job.has_ended()).count() as u64;
                if ended >= uploads || is_late {
                    requests.read(&running.sandbox)?;
                    return Ok(jobs);
                }
            }
        }
        sleep(STEP);
    }
}

fn all_jobs(running: &Running<'_>, started_at: TimeOfDay) -> Result<Vec<Job>, BenchError> {
    let (mut jobs, mut key) = (Vec::new(), None::<String>);
    loop {
        let page = running.jobs(PAGE, key.as_deref())?;
        for item in page.get("items").and_then(Value::as_array).ok_or("the list of jobs has no items")? {
            jobs.push(Job::read(item, started_at)?);
        }
        key = page.get("nextPageKey").and_then(Value::as_str).map(str::to_owned);
        if key.is_none() {
            return Ok(jobs);
        }
    }
}

impl Job {
    fn read(item: &Value, started_at: TimeOfDay) -> Result<Self, BenchError> {
        let text = |name: &str| item.pointer(&format!("/data/{name}")).and_then(Value::as_str);
        let time = |name| {
            let time = text(name).and_then(TimeOfDay::read);
            time.map(|time| time.signed_seconds_since(started_at))
                .ok_or_else(|| format!("a job has no {name}"))
        };
        Ok(Self {
            status: text("status").ok_or("a job has no status")?.to_owned(),
            created_at: time("createdDate")?,
            updated_at: time("updatedDate")?,
            video: text("vimeoUri").and_then(|uri| uri.strip_prefix("/videos/")?.parse().ok()),
        })
    }

    fn has_ended(&self) -> bool {
        self.status != "in-progress"
    }

    fn is_completed(&self) -> bool {
        self.status == "completed"
    }
}

impl Bulk {
    fn of(uploads: u64, jobs: &[Job], requests: &Requests) -> Result<Self, BenchError> {
        let completed = jobs.iter().filter(|job| job.is_completed()).count();
        let failed = jobs.iter().filter(|job| job.has_ended() && !job.is_completed()).count();
        if completed == 0 {
            return Err(format!("not one of {uploads} uploads completed; {failed} failed").into());
        }
        let videos = videos_of(jobs);
        let times = completions(jobs);
        let seconds = times.last().copied().unwrap_or_default();
        let window = window(completed);
        let per_upload =
            |places: Range<usize>| mean(requests.of_uploads(places.clone(), &videos), places.len());
        let sizes = ACCOUNT_SIZES.iter().filter(|size| **size + window <= completed);
        let at_size = |size: &usize| AtSize {
            videos: *size,
            queued: uploads,
            api_requests_per_upload: per_upload(*size..size + window),
            jobs_per_second: rate(window, span(&times, *size..size + window)),
        };
        let created = requests.creations().max(1);
        let by_route = requests.by_route().iter();
        Ok(Self {
            uploads,
            completed: completed as u64,
            failed: failed as u64,
            is_cut_off: ((completed + failed) as u64) < uploads,
            seconds,
            jobs_per_second: rate(completed, seconds),
            window,
            requests_first: per_upload(0..window),
            requests_last: per_upload(completed - window..completed),
            by_account_size: sizes.map(at_size).collect(),
            requests_by_route: by_route
                .map(|(route, count)| (route.clone(), mean(*count, created)))
                .collect(),
            link_requests_per_upload: mean(requests.at_links(), created),
        })
    }
}

impl AtSize {
    /// The durations of the uploads after a bulk.
    fn of_added(bulk: &[Job], all: &[Job], requests: &Requests) -> Self {
        let last = bulk.iter().map(|job| job.created_at).fold(f64::NEG_INFINITY, f64::max);
        let added: Vec<Job> = all.iter().filter(|job| job.created_at > last).cloned().collect();
        let (times, videos) = (completions(&added), videos_of(all));
        let places = videos_of(bulk).len()..videos.len();
        Self {
            videos: places.start,
            queued: added.len() as u64,
            api_requests_per_upload: mean(requests.of_uploads(places.clone(), &videos), places.len()),
            jobs_per_second: rate(times.len(), times.last().copied().unwrap_or_default()),
        }
    }
}

/// How many uploads a figure is the mean of.
fn window(completed: usize) -> usize {
    WINDOW.min(completed.div_ceil(2))
}

/// The numbers of the videos in the order of creation. If the bulk was stopped early, the last ones are incomplete.
fn videos_of(jobs: &[Job]) -> Vec<u64> {
    let mut videos: Vec<u64> = jobs.iter().filter_map(|job| job.video).collect();
    videos.sort_unstable();
    videos
}

/// When each upload completed, in seconds since the first one was queued, ascending.
fn completions(jobs: &[Job]) -> Vec<f64> {
    let first = jobs.iter().map(|job| job.created_at).fold(f64::INFINITY, f64::min);
    let completed = jobs.iter().filter(|job| job.is_completed());
    let mut times: Vec<f64> = completed.map(|job| job.updated_at - first).collect();
    times.sort_by(f64::total_cmp);
    times
}

/// The time between the completions at these positions.
fn span(times: &[f64], places: Range<usize>) -> f64 {
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    let from = if places.start == 0 { 0.0 } else { at(places.start - 1) };
    at(places.end.saturating_sub(1)) - from
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn rate(count: usize, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
fn mean(sum: u64, count: usize) -> f64 {
    sum as f64 / count.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(video: u64, completed_at: f64) -> Job {
        let status = "completed".to_owned();
        Job { status, created_at: 1.0, updated_at: completed_at, video: Some(video) }
    }

    #[test]
    fn the_first_and_the_last_uploads_of_a_bulk_are_counted_apart() {
        let mut requests = Requests::default();
        let journal = [
            ("POST", "/me/videos"),
            ("GET", "/videos/10"),
            ("POST", "/me/videos"),
            ("GET", "/videos/11"),
            ("GET", "/me/videos"),
            ("GET", "/videos/11"),
        ];
        for (number, (method, path)) in (1..).zip(journal) {
            requests.add(number, method, path, path);
        }
        let bulk = Bulk::of(2, &[job(11, 3.0), job(10, 2.0)], &requests).unwrap();
        assert_eq!((bulk.completed, bulk.window, bulk.is_cut_off), (2, 1, false));
        assert!((bulk.requests_first - 2.0).abs() < 1e-9 && (bulk.requests_last - 4.0).abs() < 1e-9);
        assert!((bulk.seconds - 2.0).abs() < 1e-9 && (bulk.jobs_per_second - 1.0).abs() < 1e-9);
        assert!((bulk.requests_by_route["/me/videos"] - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_bulk_that_did_not_end_in_time_is_reported_as_far_as_it_got() {
        let mut waiting = job(0, 9.0);
        (waiting.status, waiting.video) = ("in-progress".to_owned(), None);
        let bulk = Bulk::of(2, &[waiting, job(10, 2.0)], &Requests::default()).unwrap();
        assert_eq!((bulk.completed, bulk.failed, bulk.is_cut_off), (1, 0, true));
        assert!(Bulk::of(2, &[], &Requests::default()).is_err());
    }
}
