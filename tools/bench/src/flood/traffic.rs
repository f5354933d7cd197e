//! The loads: one at a fixed rate, one without pauses, health probes, and requests until the service has recovered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use hyper::{Request, StatusCode};
use serde::Serialize;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout, timeout_at};

use super::answers::{Answer, Answers, Expected, Tally};
use super::exchange::{Failure, exchange};
use crate::client::{Body, Client};
use crate::error::{BenchError, Context as _};
use crate::open_loop::{Schedule, send_when_due};
use crate::service::Template;

/// How long to wait for responses after the last request of a fixed rate was due.
const GRACE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// Between health probes.
const PROBE_INTERVAL: Duration = Duration::from_millis(50);
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a recovery is waited for, and the pause between its requests.
const RECOVERY_TIMEOUT: Duration = Duration::from_secs(10);
const RECOVERY_INTERVAL: Duration = Duration::from_millis(5);
/// The pause after a request without an answer.
const FAILURE_INTERVAL: Duration = Duration::from_millis(100);
const HEALTH: [&str; 2] = ["/health/live", "/health/ready"];

/// The request of that number.
pub(super) type MakeRequest = Arc<dyn Fn(u64) -> Result<Request<Body>, BenchError> + Send + Sync>;

/// Open connections, and the thread's runtime that drives them.
pub(super) struct Connections {
    runtime: Runtime,
    clients: Vec<Client>,
    address: SocketAddr,
}

impl Connections {
    pub(super) fn open(address: SocketAddr, count: usize) -> Result<Self, BenchError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let clients = runtime.block_on(async {
            let all = async {
                let mut clients = Vec::with_capacity(count);
                for _ in 0..count {
                    clients.push(Client::connect(address).await?);
                }
                Ok::<_, BenchError>(clients)
            };
            timeout(CONNECT_TIMEOUT, all).await.context("the service does not accept connections")?
        })?;
        Ok(Self { runtime, clients, address })
    }

    /// Requests at a fixed rate, each on the connection that is free first. Latency counts from when a request was due.
    pub(super) fn send_at_rate(
        self,
        make: &MakeRequest,
        expected: Expected,
        schedule: Schedule,
    ) -> Result<Tally, BenchError> {
        let (due, waiting) = mpsc::unbounded_channel();
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let started = Instant::now();
        let load = Arc::new(Load {
            make: Arc::clone(make),
            expected,
            address: self.address,
            started,
            end: started + schedule.due(schedule.requests) + GRACE,
            tally: Mutex::new(Tally::new()?),
            is_closed_loop: false,
        });
        let clock = thread::spawn(move || send_when_due(&due, started, schedule));
        let done = self.runtime.block_on(async {
            let mut workers = JoinSet::new();
            for client in self.clients {
                let mut connection = Connection::of(client);
                let (waiting, load) = (Arc::clone(&waiting), Arc::clone(&load));
                workers.spawn(async move {
                    loop {
                        let next = async { waiting.lock().await.recv().await };
                        let Ok(Some((number, due))) = timeout_at(load.end.into(), next).await else {
                            return Ok(());
                        };
                        if load.send(&mut connection, number, due).await? == Progress::Ended {
                            return Ok(());
                        }
                    }
                });
            }
            join(workers).await
        });
        // Without receivers the clock stops.
        drop(waiting);
        clock.join().map_err(|_| "the clock of a load panicked")?;
        done?;
        let mut tally = load.take()?;
        tally.unanswered(schedule.requests - tally.count(), "there was no answer in time");
        Ok(tally)
    }

    /// A closed loop until then: each connection sends its next request as soon as it has an answer. Then all
    /// connections are closed, without waiting for answers.
    pub(super) fn send_without_pauses(
        self,
        make: &MakeRequest,
        expected: Expected,
        end: Instant,
    ) -> Result<Tally, BenchError> {
        let load = Arc::new(Load {
            make: Arc::clone(make),
            expected,
            address: self.address,
            started: Instant::now(),
            end,
            tally: Mutex::new(Tally::new()?),
            is_closed_loop: true,
        });
        let numbers = Arc::new(AtomicU64::new(0));
        self.runtime.block_on(async {
            let mut workers = JoinSet::new();
            for client in self.clients {
                let mut connection = Connection::of(client);
                let (load, numbers) = (Arc::clone(&load), Arc::clone(&numbers));
                workers.spawn(async move {
                    loop {
                        let (number, now) = (numbers.fetch_add(1, Ordering::Relaxed), Instant::now());
                        if now >= load.end
                            || load.send(&mut connection, number, now).await? == Progress::Ended
                        {
                            return Ok(());
                        }
                    }
                });
            }
            join(workers).await
        })?;
        load.take()
    }

    /// Probes until then, of both kinds in turn, on one connection.
    pub(super) fn probe_health(mut self, end: Instant) -> Result<Tally, BenchError> {
        let (mut tally, started) = (Tally::new()?, Instant::now());
        let mut client = self.clients.pop();
        self.runtime.block_on(async {
            for path in HEALTH.iter().cycle() {
                let sent = Instant::now();
                if sent >= end {
                    break;
                }
                let request = Template::plain(self.address, path)?;
                match exchange(&mut client, self.address, request, sent + PROBE_TIMEOUT).await {
                    Ok((status, body)) => {
                        note(
                            &mut tally,
                            Answer::of(Expected::Health, status, &body),
                            (sent, started),
                            || format!("{path}: {}", described(status, &body)),
                        );
                    }
                    Err(failure) => tally.unanswered(1, &format!("{path}: {failure}")),
                }
                sleep(PROBE_INTERVAL.saturating_sub(sent.elapsed())).await;
            }
            Ok(tally)
        })
    }

    /// Sends one request of each kind in turn, until all kinds in sequence are admitted within their times.
    pub(super) fn wait_for_recovery(
        mut self,
        kinds: &[(MakeRequest, Duration)],
        since: Instant,
    ) -> Result<Recovery, BenchError> {
        let (mut tally, end) = (Tally::new()?, since + RECOVERY_TIMEOUT);
        let mut client = self.clients.pop();
        let recovered_ms = self.runtime.block_on(async {
            for number in 0.. {
                let mut is_recovered = true;
                for (make, most) in kinds {
                    let sent = Instant::now();
                    match exchange(&mut client, self.address, make(number)?, end).await {
                        Ok((status, body)) => {
                            let answer = Answer::of(Expected::Admission, status, &body);
                            is_recovered &= answer == Answer::Admitted && sent.elapsed() <= *most;
                            note(&mut tally, answer, (sent, since), || described(status, &body));
                        }
                        Err(Failure::TooLate) => return Ok(None),
                        Err(failure) => {
                            is_recovered = false;
                            tally.unanswered(1, &failure.to_string());
                        }
                    }
                }
                if is_recovered {
                    return Ok::<_, BenchError>(Some(u64::try_from(since.elapsed().as_millis())?));
                }
                sleep(RECOVERY_INTERVAL).await;
            }
            Ok(None)
        })?;
        Ok(Recovery { recovered_ms, answers: tally.answers() })
    }
}

/// How long after the end of a flood requests were again as fast as required.
#[derive(Debug, Serialize)]
pub(super) struct Recovery {
    /// Absent if it took longer than ten seconds.
    pub(super) recovered_ms: Option<u64>,
    pub(super) answers: Answers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    Continues,
    /// The time has ended.
    Ended,
}

/// A connection of a load.
struct Connection {
    client: Option<Client>,
    /// Its last request was refused.
    was_refused: bool,
}

impl Connection {
    fn of(client: Client) -> Self {
        Self { client: Some(client), was_refused: false }
    }
}

/// What the connections of a load share.
struct Load {
    make: MakeRequest,
    expected: Expected,
    address: SocketAddr,
    started: Instant,
    end: Instant,
    tally: Mutex<Tally>,
    /// Whether a connection's next request follows its last response at once.
    is_closed_loop: bool,
}

impl Load {
    /// Sends one request; latency counts from `due`. A request without an answer at the end is not counted.
    async fn send(
        &self,
        connection: &mut Connection,
        number: u64,
        due: Instant,
    ) -> Result<Progress, BenchError> {
        match exchange(&mut connection.client, self.address, (self.make)(number)?, self.end).await {
            Ok((status, body)) => {
                let answer = Answer::of(self.expected, status, &body);
                let times = (due, self.started);
                if connection.was_refused && !matches!(answer, Answer::Unavailable | Answer::Unexpected) {
                    self.lock().record_after_refusal(answer, due.elapsed(), self.started.elapsed());
                } else {
                    note(&mut self.lock(), answer, times, || described(status, &body));
                }
                connection.was_refused = self.is_closed_loop && answer.is_refusal();
                Ok(Progress::Continues)
            }
            Err(Failure::TooLate) => Ok(Progress::Ended),
            Err(failure) => {
                connection.was_refused = false;
                self.lock().unanswered(1, &failure.to_string());
                // Not at once again, or a service that has ended would be asked without a pause.
                sleep(FAILURE_INTERVAL).await;
                Ok(Progress::Continues)
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Result<Tally, BenchError> {
        Ok(std::mem::replace(&mut *self.lock(), Tally::new()?))
    }
}

fn described(status: StatusCode, body: &[u8]) -> String {
    format!("{status}: {}", String::from_utf8_lossy(body))
}

/// Records an answer now, of a request of the first time in a load of the second.
fn note(tally: &mut Tally, answer: Answer, times: (Instant, Instant), text: impl FnOnce() -> String) {
    tally.record(answer, times.0.elapsed(), times.1.elapsed());
    if answer == Answer::Unexpected {
        tally.explain(text);
    }
}

async fn join(mut workers: JoinSet<Result<(), BenchError>>) -> Result<(), BenchError> {
    while let Some(worked) = workers.join_next().await {
        worked??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;

    /// A server that answers with these statuses in turn, and with 200 to health probes.
    fn server(runtime: &Runtime, statuses: &'static [u16]) -> SocketAddr {
        let count = Arc::new(AtomicU64::new(0));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let answer = async move || {
            let at = usize::try_from(count.fetch_add(1, Ordering::SeqCst)).unwrap() % statuses.len();
            StatusCode::from_u16(statuses[at]).unwrap()
        };
        let router = Router::new()
            .route("/", get(answer))
            .route("/health/live", get("good"))
            .route("/health/ready", get("good"));
        runtime.spawn(async { axum::serve(listener, router).await });
        address
    }

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    fn make() -> MakeRequest {
        Arc::new(|_| Ok(Request::get("/").header("Host", "here").body(Body::default())?))
    }

    #[test]
    fn every_request_of_a_fixed_rate_is_counted_by_its_answer() {
        let runtime = runtime();
        let connections = Connections::open(server(&runtime, &[200, 429, 200, 503, 404]), 1).unwrap();
        let schedule = Schedule { requests: 50, rate: f64::INFINITY };
        let answers = connections.send_at_rate(&make(), Expected::Admission, schedule).unwrap().answers();
        let limited = answers.rate_limited.count;
        assert_eq!(
            (answers.admitted.count, limited, answers.unavailable, answers.unexpected),
            (20, 10, 10, 10)
        );
        assert_eq!(answers.after_refusal.count, 0, "each was sent when it was due");
        assert_eq!(answers.first_unexpected.as_deref(), Some("404 Not Found: "));
    }

    #[test]
    fn a_closed_loop_and_health_probes_stop_at_the_end() {
        let runtime = runtime();
        let address = server(&runtime, &[401, 429]);
        let end = Instant::now() + Duration::from_millis(500);
        let connections = Connections::open(address, 3).unwrap();
        let flood = connections.send_without_pauses(&make(), Expected::Refusal, end).unwrap().answers();
        assert!(flood.key_refused.count > 0 && flood.rate_limited.count > 0 && flood.after_refusal.count > 0);
        assert_eq!((flood.admitted.count, flood.admitted_after_refusal, flood.unexpected), (0, 0, 0));
        let end = Instant::now() + Duration::from_millis(500);
        let health = Connections::open(address, 1).unwrap().probe_health(end).unwrap().answers();
        assert!(health.admitted.count > 0);
        assert_eq!(health.unexpected, 0);
    }

    #[test]
    fn the_service_has_recovered_when_all_kinds_are_admitted_in_sequence() {
        let runtime = runtime();
        // The kinds alternate: the first two pairs have a refusal.
        let connections = Connections::open(server(&runtime, &[503, 429, 200, 503, 200, 200]), 1).unwrap();
        let kinds = [(make(), Duration::MAX), (make(), Duration::MAX)];
        let recovery = connections.wait_for_recovery(&kinds, Instant::now()).unwrap();
        assert!(recovery.recovered_ms.is_some());
        assert_eq!((recovery.answers.count(), recovery.answers.admitted.count), (6, 3));
    }

    #[test]
    fn a_connection_that_the_server_closes_is_an_unexpected_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let closing = thread::spawn(move || drop(listener.accept().unwrap()));
        let connections = Connections::open(address, 1).unwrap();
        closing.join().unwrap();
        let schedule = Schedule { requests: 2, rate: f64::INFINITY };
        let answers = connections.send_at_rate(&make(), Expected::Admission, schedule).unwrap().answers();
        assert_eq!(answers.unexpected, 2);
        assert!(answers.first_unexpected.is_some());
    }
}
