//! An open loop: requests are due at fixed times, whether or not the server keeps up, and latency counts from the time
//! when a request was due. A stall therefore delays all requests that were due meanwhile, which a closed loop hides.

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
use crate::error::BenchError;
use crate::limits::per_second;
use crate::process::cpu_us;

/// How long to wait for responses after the last request was due.
const GRACE: Duration = Duration::from_secs(20);

/// When requests are due. The first one is due at once.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) requests: u64,
    /// Requests per second; infinite means all at once.
    pub(crate) rate: f64,
}

impl Schedule {
    /// The requests of this rate in this time.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number of requests"
    )]
    pub(crate) fn of(rate: f64, seconds: u32) -> Self {
        Self { requests: (rate * f64::from(seconds)).max(1.0) as u64, rate }
    }

    /// How long after the start this request is due, the first being 0.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are far below 2^52")]
    pub(crate) fn due(self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }
}

/// The requests and their server.
#[derive(Clone)]
pub(crate) struct OpenLoad<F> {
    pub(crate) address: SocketAddr,
    pub(crate) connections: usize,
    /// The request of that number.
    pub(crate) request: F,
    pub(crate) expected: StatusCode,
}

/// The result.
pub(crate) struct Outcome {
    /// In microseconds, of the expected responses.
    pub(crate) latencies: Histogram<u64>,
    /// Requests with another response or none.
    pub(crate) errors: u64,
    /// The first of them.
    pub(crate) first_error: Option<String>,
    /// Expected responses per second, from the start to the last of them.
    pub(crate) per_second: f64,
    /// The CPU time of the client side, which the service did not get.
    pub(crate) own_cpu_us: u64,
}

/// Sends requests on schedule. Each free connection takes the request that has been due longest.
pub(crate) fn run<F>(load: &OpenLoad<F>, schedule: Schedule) -> Result<Outcome, BenchError>
where
    F: Fn(u64) -> Result<Request<Body>, BenchError> + Clone + Send + Sync + 'static,
{
    // One thread: passing work between threads costs more than the requests.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let own_cpu_before = cpu_us(std::process::id())?;
    let (due, waiting) = mpsc::unbounded_channel();
    let waiting = Arc::new(Mutex::new(waiting));
    let mut clients = Vec::new();
    for _ in 0..load.connections {
        clients.push(runtime.block_on(Client::connect(load.address))?);
    }
    let started = Instant::now();
    let end = started + schedule.due(schedule.requests) + GRACE;
    let clock = thread::spawn(move || send_when_due(&due, started, schedule));
    let outcome = runtime.block_on(async {
        let mut workers = JoinSet::new();
        for client in clients {
            let (waiting, load) = (Arc::clone(&waiting), load.clone());
            workers.spawn(async move { work(client, &waiting, &load, end).await });
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

/// Sends the number and the time of each request when it is due, until there is no receiver. In a thread of its own: the
/// runtime's timers are a millisecond late.
pub(crate) fn send_when_due(
    due: &mpsc::UnboundedSender<(u64, Instant)>,
    started: Instant,
    schedule: Schedule,
) {
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
    load: &OpenLoad<F>,
    end: Instant,
) -> Result<Worked, BenchError>
where
    F: Fn(u64) -> Result<Request<Body>, BenchError>,
{
    let mut worked = Worked { latencies: new_histogram()?, last: None, first_error: None };
    loop {
        let next = async { waiting.lock().await.recv().await };
        let Ok(Some((number, due))) = timeout_at(end.into(), next).await else { return Ok(worked) };
        let request = (load.request)(number)?;
        let Ok(answer) = timeout_at(end.into(), client.send(request)).await else { return Ok(worked) };
        let now = Instant::now();
        match answer {
            Ok((status, _)) if status == load.expected => {
                let latency = u64::try_from((now - due).as_micros())?;
                worked.latencies.saturating_record(latency);
                worked.last = Some(now);
            }
            Ok((status, text)) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                worked.first_error.get_or_insert(format!("{status}: {text}"));
            }
            Err(error) => {
                worked.first_error.get_or_insert(error.to_string());
                match timeout_at(end.into(), Client::connect(load.address)).await {
                    Ok(Ok(again)) => client = again,
                    _ => return Ok(worked),
                }
            }
        }
    }
}

/// From a microsecond to a minute, with a precision of 0.1 %.
pub(crate) fn new_histogram() -> Result<Histogram<u64>, BenchError> {
    Ok(Histogram::new_with_bounds(1, 60_000_000, 3)?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::Router;
    use axum::routing::get;
    use tokio::runtime::Runtime;

    use super::*;

    /// A server that delays its first response.
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

    fn send(_: u64) -> Result<Request<Body>, BenchError> {
        Ok(Request::get("/").header("Host", "here").body(Body::default())?)
    }

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn a_stall_delays_all_requests_that_were_due() {
        let runtime = runtime();
        let address = stalling_server(&runtime, Duration::from_millis(300));
        let load = OpenLoad { address, connections: 1, request: send, expected: StatusCode::OK };
        // The last request is due after 100 ms, and the first response comes after 300 ms: at least 200 ms for each.
        let outcome = run(&load, Schedule { requests: 101, rate: 1000.0 }).unwrap();
        assert_eq!((outcome.errors, outcome.latencies.len()), (0, 101));
        assert!(outcome.latencies.min() >= 199_000, "{}", outcome.latencies.min());
        assert!(outcome.latencies.max() >= 299_000, "{}", outcome.latencies.max());
    }

    #[test]
    fn an_unexpected_response_is_an_error() {
        let runtime = runtime();
        let address = stalling_server(&runtime, Duration::ZERO);
        let load = OpenLoad { address, connections: 2, request: send, expected: StatusCode::CREATED };
        let outcome = run(&load, Schedule { requests: 10, rate: f64::INFINITY }).unwrap();
        assert_eq!((outcome.errors, outcome.latencies.len()), (10, 0));
        assert_eq!(outcome.first_error.unwrap(), "200 OK: good");
    }

    #[test]
    fn requests_are_due_at_equal_intervals() {
        let schedule = Schedule::of(200.0, 3);
        assert_eq!(schedule.requests, 600);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(400), Duration::from_secs(2));
        assert_eq!(Schedule { requests: 9, rate: f64::INFINITY }.due(8), Duration::ZERO);
    }
}
