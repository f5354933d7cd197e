//! An open loop: requests are due at fixed times, whether or not the server keeps up, and a request's latency counts from
//! when it was due. So a stall is seen by all who would have come meanwhile, which a closed loop hides.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use hyper::{Request, StatusCode};
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::client::{Body, Client};
use crate::limits::per_second;
use crate::process::cpu_us;
use crate::trouble::Trouble;

/// How long is waited for the answers after the last request was due.
const GRACE: Duration = Duration::from_secs(20);

/// When requests are due: the first at once.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) requests: u64,
    /// How many a second; infinite: all at once.
    pub(crate) rate: f64,
}

impl Schedule {
    /// As many as there are at that rate in that time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of requests"
    )]
    pub(crate) fn of(rate: f64, seconds: u32) -> Self {
        Self { requests: (rate * f64::from(seconds)).max(1.0) as u64, rate }
    }

    /// How long after the start the request of that number is due, the first being 0.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    fn due(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// What is asked, and of whom.
#[derive(Clone)]
pub(crate) struct Questions<F> {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// The request of that number.
    pub(crate) request: F,
    pub(crate) expected: StatusCode,
}

/// What came of it.
pub(crate) struct Outcome {
    /// In microseconds, of the answers that were as expected.
    pub(crate) latencies: Histogram<u64>,
    /// Requests with another answer or none.
    pub(crate) errors: u64,
    /// The first of them.
    pub(crate) first_error: Option<String>,
    /// Good answers, from the start to the last of them.
    pub(crate) per_second: f64,
    /// CPU time that the asking itself took, which the service did not get.
    pub(crate) own_cpu_us: u64,
}

/// Asks on schedule. Each connection takes the request that was due first of those that wait.
pub(crate) fn run<F>(questions: &Questions<F>, schedule: Schedule) -> Result<Outcome, Trouble>
where
    F: Fn(u64) -> Result<Request<Body>, Trouble> + Clone + Send + Sync + 'static,
{
    // One thread: work that is handed from one to another costs more than the asking.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let own_cpu_before = cpu_us(std::process::id())?;
    let (due, waiting) = mpsc::unbounded_channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let mut clients = Vec::new();
    for _ in 0..questions.connections {
        clients.push(runtime.block_on(Client::connect(questions.address))?);
    }
    let started = Instant::now();
    let end = started + schedule.due(schedule.requests) + GRACE;
    let clock = thread::spawn(move || tell_when_due(&due, started, schedule));
    let outcome = runtime.block_on(async {
        let mut workers = JoinSet::new();
        for client in clients {
            let (waiting, questions) = (Arc::clone(&waiting), questions.clone());
            workers.spawn(async move { work(client, &waiting, &questions, end).await });
        }
        let mut latencies = new_histogram()?;
        let (mut last, mut first_error) = (started, None);
        while let Some(worked) = workers.join_next().await {
            let worked = worked??;
            latencies.add(worked.latencies)?;
            last = last.max(worked.last.unwrap_or(started));
            first_error = first_error.or(worked.first_error);
        }
        let good = latencies.len();
        let errors = schedule.requests - good;
        if errors > 0 && first_error.is_none() {
            first_error = Some("there was no answer in time".to_owned());
        }
        let own_cpu_us = cpu_us(std::process::id())? - own_cpu_before;
        Ok(Outcome {
            latencies,
            errors,
            first_error,
            per_second: per_second(good, last - started),
            own_cpu_us,
        })
    });
    clock.join().map_err(|_| "the clock of the open loop panicked")?;
    outcome
}

/// In a thread of its own: a timer of the runtime is a millisecond late.
fn tell_when_due(due: &mpsc::UnboundedSender<(u64, Instant)>, started: Instant, schedule: Schedule) {
    for number in 0..schedule.requests {
        let at = started + schedule.due(number);
        thread::sleep(at.saturating_duration_since(Instant::now()));
        if due.send((number, at)).is_err() {
            return;
        }
    }
}

struct Worked {
    latencies: Histogram<u64>,
    last: Option<Instant>,
    first_error: Option<String>,
}

async fn work<F>(
    mut client: Client,
    waiting: &Mutex<mpsc::UnboundedReceiver<(u64, Instant)>>,
    questions: &Questions<F>,
    end: Instant,
) -> Result<Worked, Trouble>
where
    F: Fn(u64) -> Result<Request<Body>, Trouble>,
{
    let mut worked = Worked { latencies: new_histogram()?, last: None, first_error: None };
    loop {
        let next = async { waiting.lock().await.recv().await };
        let Ok(Some((number, due))) = timeout_at(end.into(), next).await else { return Ok(worked) };
        let request = (questions.request)(number)?;
        let Ok(answer) = timeout_at(end.into(), client.ask(request)).await else { return Ok(worked) };
        let now = Instant::now();
        match answer {
            Ok((status, _)) if status == questions.expected => {
                let latency = u64::try_from((now - due).as_micros())?;
                worked.latencies.saturating_record(latency);
                worked.last = Some(now);
            }
            Ok((status, text)) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                worked.first_error.get_or_insert(format!("{status}: {text}"));
            }
            Err(trouble) => {
                worked.first_error.get_or_insert(trouble.to_string());
                match timeout_at(end.into(), Client::connect(questions.address)).await {
                    Ok(Ok(again)) => client = again,
                    _ => return Ok(worked),
                }
            }
        }
    }
}

/// From a microsecond to a minute, to a thousandth.
fn new_histogram() -> Result<Histogram<u64>, Trouble> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::Router;
    use axum::routing::get;
    use tokio::runtime::Runtime;

    use super::*;

    /// A server that lets its first request wait for that long.
    fn stalling_server(runtime: &Runtime, stall: Duration) -> SocketAddr {
        let count = Arc::new(AtomicU64::new(0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async move || {
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                tokio::time::sleep(stall).await;
            }
            "good"
        };
        let router = Router::new().route("/", get(answer));
        runtime.spawn(async { axum::serve(listener, router).await });
        address
    }

    fn ask(_: u64) -> Result<Request<Body>, Trouble> {
        Ok(Request::get("/").header("Host", "here").body(Body::default())?)
    }

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn a_stall_is_seen_by_all_who_would_have_come_meanwhile() {
        let runtime = runtime();
        let address = stalling_server(&runtime, Duration::from_millis(300));
        let questions = Questions { address, connections: 1, request: ask, expected: StatusCode::OK };
        // The last is due after 100 ms, and nothing is answered before 300 ms: at least 200 ms for each.
        let outcome = run(&questions, Schedule { requests: 101, rate: 1000.0 }).unwrap();
        assert_eq!((outcome.errors, outcome.latencies.len()), (0, 101));
        assert!(outcome.latencies.min() >= 199_000, "{}", outcome.latencies.min());
        assert!(outcome.latencies.max() >= 299_000, "{}", outcome.latencies.max());
    }

    #[test]
    fn another_answer_than_expected_is_an_error() {
        let runtime = runtime();
        let address = stalling_server(&runtime, Duration::ZERO);
        let questions = Questions { address, connections: 2, request: ask, expected: StatusCode::CREATED };
        let outcome = run(&questions, Schedule { requests: 10, rate: f64::INFINITY }).unwrap();
        assert_eq!((outcome.errors, outcome.latencies.len()), (10, 0));
        assert_eq!(outcome.first_error.unwrap(), "200 OK: good");
    }

    #[test]
    fn requests_are_due_at_equal_distances() {
        let schedule = Schedule::of(200.0, 3);
        assert_eq!(schedule.requests, 600);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(400), Duration::from_secs(2));
        assert_eq!(Schedule { requests: 9, rate: f64::INFINITY }.due(8), Duration::ZERO);
    }
}
