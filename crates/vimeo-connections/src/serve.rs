//! `serve`: runs the service until it receives a signal, then finishes the requests in flight.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use app::{App, Clock, RetentionOptions};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsAcceptor;
use seal::Randomness;
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{CertificateCheck, RequestIds, RequestSpans, Transport};

use crate::activation::Sockets;
use crate::certificates::Tls;
use crate::cli::BoxError;
use crate::config::{Config, VerificationMode};
use crate::exit::{self, ExitStatus};
use crate::keyring_source::WhenUnavailable;
use crate::listener::{self, Guard};
use crate::prepare::{self, InUse, Prepared};
use crate::reload::{LiveSettings, Origin, Reloader};
use crate::{bootstrap, browsers, metrics_server, supervisor, telemetry, wiring};

/// How often repeated failures are reported.
const REPEATS_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is stored which API keys were used, each at most once an hour.
const KEY_USES_INTERVAL: Duration = Duration::from_secs(10);

/// Why the service could not start.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("bootstrap.api_key_file {}: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("bootstrap.api_key_file {}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(config: &Config, sockets: Sockets, origin: Origin) -> Result<(), BoxError> {
    // First: without a handler, the signal would end the process. Preparing may wait for the keyring's holder.
    let hangups = signal(SignalKind::hangup())?;
    let mut signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    supervisor::starting("opening the database");
    let preparing = Box::pin(prepare::prepare(config, InUse::Reject, sockets, WhenUnavailable::Wait));
    let Prepared { listener, metrics_listener, tls, keyring } = tokio::select! {
        prepared = preparing => prepared?,
        () = next_signal(&mut signals) => {
            tracing::info!("stopped before the start");
            return Ok(());
        }
    };
    let listener = listener.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?;
    let address = listener.local_addr()?;
    let tls = tls.zip(config.tls.clone()).map(|(read, files)| Tls::new(read, files));
    let background_tasks = TaskTracker::new();
    let public_url = browsers::public_url(config, Some(address));
    let opened = wiring::open_for_serving(config, keyring, public_url.clone(), background_tasks.clone());
    let app = Arc::new(Box::pin(opened).await?);
    if let Some(bootstrap) = &config.bootstrap {
        bootstrap::create(&app, bootstrap).await?;
    }
    let handle = Handle::new();
    let mut watchers = spawn_watchers(&app, config);
    if let Some(listener) = metrics_listener {
        watchers.spawn(metrics_server::serve(listener, app.clone(), tls.clone(), config.queue));
    }
    let worker_shutdown = CancellationToken::new();
    watchers.spawn(app.clone().run_health_worker(worker_shutdown.clone()));
    if config.uploads.is_working {
        watchers.spawn(app.clone().run_worker(worker_shutdown.clone()));
        watchers.spawn(app.clone().run_webhook_worker(worker_shutdown.clone()));
    }
    let (stop, stopping) = watch::channel(None);
    let streams = CancellationToken::new();
    let stops = ShutdownSignals { handle: handle.clone(), streams: streams.clone(), requested_at: stop };
    watchers.spawn(stop_on_signal(signals, stops, config.shutdown));
    let status = log_start(config, address);
    let live = LiveSettings::of(config);
    let certificate = tls.as_ref().map(Tls::check);
    let settings = web::Settings { public_url, ..settings(config, &live, certificate, streams) };
    let uploads = if config.uploads.is_working { config.uploads.concurrency } else { 0 };
    let guard = Guard::new(&config.listener, live.client_address.clone(), uploads);
    let services = guard.admit(web::make_service(app.clone(), settings, Clock::system()));
    supervisor::ready(&status);
    let (app_reloaded, log_level) = (app.clone(), config.log_level);
    let reloader =
        Reloader { app: app_reloaded, origin, settings: live, tls: tls.clone(), log_level, status };
    watchers.spawn(reloader.run(hangups));
    if let Some(tls) = tls {
        watchers.spawn(tls.clone().watch());
        let acceptor = RustlsAcceptor::new(tls.config).acceptor(guard);
        let server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
        listener::limit(server).serve(services).await?;
    } else {
        let server = axum_server::from_tcp(listener)?.acceptor(guard).handle(handle);
        listener::limit(server).serve(services).await?;
    }
    tracing::info!("stopping: waiting for running requests");
    // Releases running uploads, so that another node, or the next start, resumes them immediately.
    worker_shutdown.cancel();
    background_tasks.close();
    // The time that remains after the requests, so that both together stay within the limit.
    let requested_at = stopping.borrow().unwrap_or_else(Instant::now);
    close(&app, &background_tasks, requested_at + config.shutdown).await;
    tracing::info!("stopped");
    Ok(())
}

/// Waits for background work and closes the database, both until `deadline`.
async fn close(app: &App, background_tasks: &TaskTracker, deadline: Instant) {
    if tokio::time::timeout_at(deadline, background_tasks.wait()).await.is_err() {
        tracing::warn!(
            "background work did not finish in time: tokens that were created to check \
             credentials may not be revoked"
        );
    }
    let closing = async {
        // Failing changes nothing: the next use is stored by the next start.
        let _ = app.store_api_key_uses().await;
        app.close().await;
    };
    if tokio::time::timeout_at(deadline, closing).await.is_err() {
        // The writer may be waiting for another process's lock. Its pending writes are unacknowledged, and a restart
        // recovers them.
        tracing::error!("the database could not be closed in time");
        exit::now(ExitStatus::Interrupted.code());
    }
}

/// Starts the work beside requests. It runs until the set is dropped.
fn spawn_watchers(app: &Arc<App>, config: &Config) -> JoinSet<()> {
    let mut watchers = JoinSet::new();
    watchers.spawn(watch_database(app.clone()));
    watchers.spawn(sweep(app.clone(), config.retention.data));
    watchers.spawn(record_api_key_uses(app.clone()));
    watchers.spawn(app.clone().run_audit_work(config.retention.audit));
    watchers.spawn(app.clone().watch_service_keys());
    watchers.spawn(report_repeats());
    watchers.spawn(supervisor::feed_watchdog(app.clone()));
    watchers
}

/// Logs what an operator needs to know first. Returns what systemd shows.
fn log_start(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{address}{}", config.base_path);
    tracing::info!(
        %address,
        url,
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("SOURCE_COMMIT"),
        commit_date = env!("SOURCE_COMMIT_DATE"),
        // Its `Display` redacts the password.
        database = %config.database_url,
        "listening"
    );
    if config.vimeo.verification == VerificationMode::Off {
        tracing::warn!("vimeo.verification is off: connections are stored without being verified at Vimeo");
    }
    format!("listening on {url}")
}

fn settings(
    config: &Config,
    live: &LiveSettings,
    certificate: Option<CertificateCheck>,
    stopping: CancellationToken,
) -> web::Settings {
    let randomness = Randomness::system();
    web::Settings {
        base_path: config.base_path.clone(),
        public_url: config.public_url.clone(),
        dashboard: browsers::dashboard(config),
        transport: if config.tls.is_some() { Transport::Tls } else { Transport::Plain },
        unknown_fields: config.unknown_fields,
        client_address: live.client_address.clone(),
        concurrency: live.concurrency.clone(),
        cors: config.cors.clone(),
        request_ids: RequestIds::from_fn(move || randomness.identifier_bytes()),
        request_spans: RequestSpans::from_fn(telemetry::traces::request_span),
        certificate,
        stopping,
    }
}

/// If the state of the database is unknown, or it was migrated away, responses could be wrong: the process ends, and a
/// restart recovers it or reports where it is.
async fn watch_database(app: Arc<App>) {
    let cause = app.failed().await;
    tracing::error!(
        cause,
        "stopping immediately: restart the service, which recovers the database or reports what to do"
    );
    exit::now(ExitStatus::DatabaseFailed.code());
}

/// Periodically deletes expired records.
async fn sweep(app: Arc<App>, retention: RetentionOptions) {
    let mut interval = tokio::time::interval(retention.interval);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        app.sweep(&retention).await;
    }
}

/// Periodically stores when API keys were last used.
async fn record_api_key_uses(app: Arc<App>) {
    let mut interval = tokio::time::interval(KEY_USES_INTERVAL);
    loop {
        interval.tick().await;
        if let Err(error) = app.store_api_key_uses().await {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::warn!(
                error,
                "the last uses of API keys could not be stored; they are kept for the next attempt"
            );
        }
    }
}

/// Periodically reports how often failures were repeated.
async fn report_repeats() {
    let mut interval = tokio::time::interval(REPEATS_INTERVAL);
    loop {
        interval.tick().await;
        telemetry::report_repeats();
    }
}

/// What is notified of a shutdown.
struct ShutdownSignals {
    /// Finishes requests in flight and accepts no new ones.
    handle: Handle<SocketAddr>,
    /// Ends event streams immediately, because they would outlast any limit.
    streams: CancellationToken,
    /// When the shutdown was requested.
    requested_at: watch::Sender<Option<Instant>>,
}

/// The first signal starts a graceful shutdown, the second ends the process immediately.
async fn stop_on_signal(mut signals: [Signal; 2], shutdown_signals: ShutdownSignals, shutdown: Duration) {
    next_signal(&mut signals).await;
    supervisor::stopping();
    shutdown_signals.requested_at.send_replace(Some(Instant::now()));
    shutdown_signals.streams.cancel();
    shutdown_signals.handle.graceful_shutdown(Some(shutdown));
    next_signal(&mut signals).await;
    exit::now(ExitStatus::Interrupted.code());
}

async fn next_signal([terminate, interrupt]: &mut [Signal; 2]) {
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
}
