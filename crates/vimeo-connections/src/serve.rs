//! `serve`: runs the service until it receives a signal, then finishes the requests in flight.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::{AccountError, App, Clock, ImportError, KeyOptions, RetentionOptions};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use domain::account::{Account, Label};
use domain::api_key::{KeyStatus, PlainKey};
use domain::scope::Scopes;
use seal::{Randomness, secret_file};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{CertificateCheck, RequestIds, RequestSpans, Transport};
use zeroize::Zeroizing;

use crate::certificates::{self, Validity};
use crate::cli::BoxError;
use crate::config::{Bootstrap, Config, TlsFiles, VerificationMode};
use crate::exit::{self, ExitStatus};
use crate::listener::{self, Guard};
use crate::prepare::{self, InUse, Prepared};
use crate::{browsers, metrics_server, telemetry, wiring};

/// How often repeated failures are reported.
const REPEATS_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is stored which API keys were used, each at most once an hour.
const KEY_USES_INTERVAL: Duration = Duration::from_secs(10);
/// How often the dates of the certificate are checked.
const CERTIFICATE_INTERVAL: Duration = Duration::from_hours(24);
/// The name of a bootstrapped key.
const BOOTSTRAP_KEY_NAME: &str = "bootstrap";

/// Why the service could not start.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("bootstrap.api_key_file {}: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("bootstrap.api_key_file {}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
}

/// Runs until SIGTERM or SIGINT.
pub(crate) async fn run(config: &Config) -> Result<(), BoxError> {
    let Prepared { listener, metrics_listener, tls } =
        Box::pin(prepare::prepare(config, InUse::Reject)).await?;
    let listener = listener.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?;
    let address = listener.local_addr()?;
    let tls = tls.zip(config.tls.clone()).map(|((tls, validity), files)| Tls {
        config: RustlsConfig::from_config(tls),
        validity: Arc::new(Mutex::new(validity)),
        files,
    });
    let background_tasks = TaskTracker::new();
    let public_url = browsers::public_url(config, Some(address));
    let opened = wiring::open_for_serving(config, public_url.clone(), background_tasks.clone());
    let app = Arc::new(Box::pin(opened).await?);
    if let Some(bootstrap) = &config.bootstrap {
        create_bootstrap(&app, bootstrap).await?;
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
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let stops = ShutdownSignals { handle: handle.clone(), streams: streams.clone(), requested_at: stop };
    watchers.spawn(stop_on_signal(signals, stops, config.shutdown));
    log_start(config, address);
    let hangups = signal(SignalKind::hangup())?;
    let settings = web::Settings { public_url, ..settings(config, tls.as_ref().map(Tls::check), streams) };
    let uploads = if config.uploads.is_working { config.uploads.concurrency } else { 0 };
    let guard = Guard::new(&config.listener, config.client_address.clone(), uploads);
    let services = guard.admit(web::make_service(app.clone(), settings, Clock::system()));
    if let Some(tls) = tls {
        watchers.spawn(watch_certificate(tls.clone()));
        watchers.spawn(reload_on_hangup(hangups, Some(tls.clone())));
        let acceptor = RustlsAcceptor::new(tls.config).acceptor(guard);
        let server = axum_server::from_tcp(listener)?.acceptor(acceptor).handle(handle);
        listener::limit(server).serve(services).await?;
    } else {
        watchers.spawn(reload_on_hangup(hangups, None));
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
    watchers.spawn(report_repeats());
    watchers
}

/// Logs what an operator needs to know first.
fn log_start(config: &Config, address: SocketAddr) {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    tracing::info!(
        %address,
        url = format!("{scheme}://{address}{}", config.base_path),
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
}

fn settings(
    config: &Config,
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
        client_address: config.client_address.clone(),
        concurrency: config.concurrency,
        cors: config.cors.clone(),
        request_ids: RequestIds::from_fn(move || randomness.identifier_bytes()),
        request_spans: RequestSpans::from_fn(telemetry::traces::request_span),
        certificate,
        stopping,
    }
}

/// The current certificate.
#[derive(Clone)]
pub(crate) struct Tls {
    config: RustlsConfig,
    validity: Arc<Mutex<Validity>>,
    files: TlsFiles,
}

impl Tls {
    pub(crate) fn validity(&self) -> Validity {
        *self.validity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The readiness check, for the certificate in use at that time.
    fn check(&self) -> CertificateCheck {
        let tls = self.clone();
        CertificateCheck::from_fn(move || tls.validity().check(Clock::system().now()))
    }
}

/// Warns every day about an expired certificate until it is renewed.
async fn watch_certificate(tls: Tls) {
    daily(|| tls.validity().warn(Clock::system().now(), &tls.files.certificate)).await;
}

/// Calls `check` every day, first after one day: the startup has checked already.
async fn daily(mut check: impl FnMut()) {
    let mut interval = tokio::time::interval(CERTIFICATE_INTERVAL);
    interval.tick().await;
    loop {
        interval.tick().await;
        check();
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
async fn stop_on_signal(signals: [Signal; 2], shutdown_signals: ShutdownSignals, shutdown: Duration) {
    let [mut terminate, mut interrupt] = signals;
    let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
    next().await;
    shutdown_signals.requested_at.send_replace(Some(Instant::now()));
    shutdown_signals.streams.cancel();
    shutdown_signals.handle.graceful_shutdown(Some(shutdown));
    next().await;
    exit::now(ExitStatus::Interrupted.code());
}

/// Reloads the certificate without a restart. If it cannot be read, the old one stays in use. Without TLS the signal is
/// ignored, so that it can be sent to all nodes.
async fn reload_on_hangup(mut signals: Signal, tls: Option<Tls>) {
    while signals.recv().await.is_some() {
        let Some(tls) = &tls else {
            tracing::info!("SIGHUP ignored: no certificate is configured");
            continue;
        };
        match certificates::read(&tls.files) {
            Ok((config, validity)) => {
                tls.config.reload_from_config(config);
                *tls.validity.lock().unwrap_or_else(PoisonError::into_inner) = validity;
                validity.warn(Clock::system().now(), &tls.files.certificate);
                tracing::info!("the certificate was reloaded");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate cannot be read; the old one remains in use");
            }
        }
    }
}

/// Creates the configured account and key, unless they exist.
async fn create_bootstrap(app: &App, bootstrap: &Bootstrap) -> Result<(), BoxError> {
    let account = find_or_create_account(app, &bootstrap.account).await?;
    let Some(path) = &bootstrap.api_key_file else { return Ok(()) };
    let plain = read_or_create_key(path)?;
    let options =
        KeyOptions { name: Label::parse(BOOTSTRAP_KEY_NAME)?, scopes: Scopes::ALL, expires_in_days: None };
    if app.find_api_key(&plain).await?.is_none() {
        match app.import_api_key(&account, &plain, options).await {
            Ok(key) => tracing::info!(api_key = %key.id, "the bootstrap key was imported"),
            // Another node was first.
            Err(ImportError::Exists { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let known = app.find_api_key(&plain).await?;
    let Some(key) = known.filter(|key| key.account_id == account.id) else {
        let reason = "the key in it belongs to another account".to_owned();
        return Err(ServeError::Key { path: path.clone(), reason }.into());
    };
    let status = key.status(Clock::system().now());
    if status != KeyStatus::Active {
        tracing::warn!(api_key = %key.id, ?status, "the bootstrap key is not active and was left unchanged");
    }
    Ok(())
}

async fn find_or_create_account(app: &App, name: &Label) -> Result<Account, AccountError> {
    match app.find_account(name).await {
        Err(AccountError::Unknown(_)) => {}
        found => return found,
    }
    match app.create_account(name.clone()).await {
        Ok(account) => {
            tracing::info!(account = %account.id, "the bootstrap account was created");
            Ok(account)
        }
        // Another node was first.
        Err(AccountError::Exists(_)) => app.find_account(name).await,
        Err(error) => Err(error),
    }
}

/// The key in the file. If the file does not exist, a new key is written there before it becomes valid, so that the
/// next start finds it after any interruption.
fn read_or_create_key(path: &Path) -> Result<PlainKey, BoxError> {
    if let Some(plain) = prepare::read_key_file(path)? {
        return Ok(plain);
    }
    let randomness = Randomness::system();
    let plain = PlainKey::from_random(randomness.bytes());
    let line = Zeroizing::new(format!("{}\n", plain.expose()));
    match secret_file::create(path, line.as_bytes(), &randomness) {
        Ok(()) => Ok(plain),
        // Another node was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_or_create_key(path),
        Err(source) => Err(ServeError::KeyFile { path: path.to_owned(), source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_checked_once_a_day_and_not_at_startup() {
        let checks = Mutex::new(0);
        let after = async |hours| {
            let watching = daily(|| *checks.lock().unwrap() += 1);
            let ended = tokio::time::timeout(Duration::from_hours(hours), watching).await;
            assert!(ended.is_err(), "it never ends");
            std::mem::take(&mut *checks.lock().unwrap())
        };
        for (hours, expected) in [(23, 0), (25, 1), (47, 1), (49, 2), (24 * 7 + 1, 7)] {
            assert_eq!(after(hours).await, expected, "after {hours} hours");
        }
    }
}
