//! `serve`: listens until it is told to stop, then finishes what is in flight.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use app::{AccountError, ApiKeyError, App, Clock, KeyOptions};
use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use domain::account::{Account, Label};
use domain::api_key::{KeyStatus, PlainKey};
use seal::{Randomness, secret_file};
use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use web::{CertificateCheck, RequestIds, Transport};
use zeroize::Zeroizing;

use crate::certificates::{self, Validity};
use crate::cli::BoxError;
use crate::config::{Bootstrap, Config, TlsFiles};
use crate::exit::{self, ExitStatus};
use crate::listener::{self, Guard};
use crate::prepare::{self, InUse, Prepared};
use crate::{telemetry, wiring};

/// How often it is looked whether failures were repeated.
const REPEATS_INTERVAL: Duration = Duration::from_secs(5);
/// How often what was kept for long enough is forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_mins(10);
/// How often a certificate's dates are looked at.
const CERTIFICATE_INTERVAL: Duration = Duration::from_hours(24);
/// What a bootstrapped key is called.
const BOOTSTRAP_KEY_NAME: &str = "bootstrap";

/// Why the service could not begin to serve.
#[derive(Debug, Error)]
pub(crate) enum ServeError {
    #[error("bootstrap.api_key_file {}: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("bootstrap.api_key_file {}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
}

/// Serves until SIGTERM or SIGINT.
pub(crate) async fn run(config: &Config) -> Result<(), BoxError> {
    let Prepared { listener, tls } = prepare::prepare(config, InUse::Refuse).await?;
    let listener = listener.ok_or_else(|| io::Error::from(io::ErrorKind::AddrInUse))?;
    let address = listener.local_addr()?;
    let tls = tls.zip(config.tls.clone()).map(|((tls, validity), files)| Tls {
        config: RustlsConfig::from_config(tls),
        validity: Arc::new(Mutex::new(validity)),
        files,
    });
    let leftovers = TaskTracker::new();
    let app = Arc::new(wiring::open_for_serving(config, leftovers.clone()).await?);
    if let Some(bootstrap) = &config.bootstrap {
        make_bootstrap(&app, bootstrap).await?;
    }
    let handle = Handle::new();
    // These never end by themselves; they go when this set goes.
    let mut watchers = JoinSet::new();
    watchers.spawn(watch_database(app.clone()));
    watchers.spawn(sweep(app.clone()));
    watchers.spawn(report_repeats());
    let resting = CancellationToken::new();
    if config.uploads.is_working {
        watchers.spawn(app.clone().run_worker(resting.clone()));
    }
    let (stop, stopping) = watch::channel(None);
    let streams = CancellationToken::new();
    let signals = [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?];
    let stops = Stops { handle: handle.clone(), streams: streams.clone(), asked_at: stop };
    watchers.spawn(stop_on_signal(signals, stops, config.shutdown));
    log_start(config, address);
    let hangups = signal(SignalKind::hangup())?;
    let certificate = tls.as_ref().map(Tls::check);
    let settings = settings(config, certificate, streams);
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
    // Uploads are given back, so that another node, or the next start, goes on with them at once.
    resting.cancel();
    leftovers.close();
    // What the requests left of the time, so that both together keep to it.
    let asked_at = stopping.borrow().unwrap_or_else(Instant::now);
    if tokio::time::timeout_at(asked_at + config.shutdown, leftovers.wait()).await.is_err() {
        tracing::warn!(
            "the work that remains after requests did not finish in time: tokens that were created to check \
             credentials may not be revoked"
        );
    }
    if tokio::time::timeout_at(asked_at + config.shutdown, app.close()).await.is_err() {
        // The writer waits for somebody else's lock, perhaps. What it was asked to write has no answer yet, and a
        // restart recovers whatever became of it.
        tracing::error!("the database could not be closed in time");
        exit::now(ExitStatus::Interrupted.code());
    }
    tracing::info!("stopped");
    Ok(())
}

/// What an operator wants to know first.
fn log_start(config: &Config, address: SocketAddr) {
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    tracing::info!(
        %address,
        url = format!("{scheme}://{address}{}", config.base_path),
        version = env!("CARGO_PKG_VERSION"),
        commit = env!("SOURCE_COMMIT"),
        // Shown without its password.
        database = %config.database_url,
        "listening"
    );
    if !config.vimeo.verify {
        tracing::warn!(
            "vimeo.verification is off: connections are stored without asking Vimeo whether they work"
        );
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
        transport: if config.tls.is_some() { Transport::Tls } else { Transport::Plain },
        unknown_fields: config.unknown_fields,
        client_address: config.client_address.clone(),
        cors: config.cors.clone(),
        request_ids: RequestIds::from_fn(move || randomness.identifier_bytes()),
        certificate,
        stopping,
    }
}

/// The certificate in use.
#[derive(Clone)]
struct Tls {
    config: RustlsConfig,
    validity: Arc<Mutex<Validity>>,
    files: TlsFiles,
}

impl Tls {
    fn validity(&self) -> Validity {
        *self.validity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The check of readiness: of whichever certificate is in use then.
    fn check(&self) -> CertificateCheck {
        let tls = self.clone();
        CertificateCheck::from_fn(move || tls.validity().check(Clock::system().now()))
    }
}

/// A certificate that has expired is a line in the log each day, until it is renewed.
async fn watch_certificate(tls: Tls) {
    daily(|| tls.validity().warn(Clock::system().now(), &tls.files.certificate)).await;
}

/// Calls `check` each day, the first time in a day: the start has checked already.
async fn daily(mut check: impl FnMut()) {
    let mut interval = tokio::time::interval(CERTIFICATE_INTERVAL);
    interval.tick().await;
    loop {
        interval.tick().await;
        check();
    }
}

/// When the state of the database is unknown, or it was moved away, an answer could be wrong: the process ends, and a restart
/// recovers, or says where the database is now.
async fn watch_database(app: Arc<App>) {
    let cause = app.failed().await;
    tracing::error!(
        cause,
        "the service stops at once: start it again, and it recovers what is on the disk or says what to do"
    );
    exit::now(ExitStatus::DatabaseFailed.code());
}

/// Forgets, now and then, what has been kept for long enough.
async fn sweep(app: Arc<App>) {
    let mut interval = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        interval.tick().await;
        match app.forget_answers().await {
            Ok(0) => {}
            Ok(forgotten) => {
                tracing::debug!(forgotten, "expired stored responses were deleted");
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(
                    error,
                    "expired stored responses could not be deleted; the next sweep retries"
                );
            }
        }
    }
}

/// Failures that lasted are reported with how often they came.
async fn report_repeats() {
    let mut interval = tokio::time::interval(REPEATS_INTERVAL);
    loop {
        interval.tick().await;
        telemetry::report_repeats();
    }
}

/// What is told that the service stops.
struct Stops {
    /// Requests in flight are finished, and none begun.
    handle: Handle<SocketAddr>,
    /// Streams of events end at once: they would outlast any patience.
    streams: CancellationToken,
    /// When that was.
    asked_at: watch::Sender<Option<Instant>>,
}

/// The first signal ends the service in good order, the second at once, whichever of the two kinds each is.
async fn stop_on_signal(signals: [Signal; 2], stops: Stops, shutdown: Duration) {
    let [mut terminate, mut interrupt] = signals;
    let mut next = async || tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} };
    next().await;
    stops.asked_at.send_replace(Some(Instant::now()));
    stops.streams.cancel();
    stops.handle.graceful_shutdown(Some(shutdown));
    next().await;
    exit::now(ExitStatus::Interrupted.code());
}

/// A renewed certificate is taken without a restart; one that cannot be read leaves the old in place. Without TLS
/// the signal changes nothing: whoever sends it to every node must not end the ones behind a proxy.
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

/// Makes the account and the key that the configuration names, if they are not there.
async fn make_bootstrap(app: &App, bootstrap: &Bootstrap) -> Result<(), BoxError> {
    let account = find_or_create_account(app, &bootstrap.account).await?;
    let Some(path) = &bootstrap.api_key_file else { return Ok(()) };
    let plain = read_or_make_key(path)?;
    let options = KeyOptions { name: Label::parse(BOOTSTRAP_KEY_NAME)?, expires_in_days: None };
    if app.find_api_key(&plain).await?.is_none() {
        match app.import_api_key(&account, &plain, options).await {
            Ok(key) => tracing::info!(api_key = %key.id, "the bootstrap key was imported"),
            // Another node was first.
            Err(ApiKeyError::Exists { .. }) => {}
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

/// The key in the file. If there is no file, a new key, written there before it is good for anything: whatever
/// interrupts us, the next start finds it.
fn read_or_make_key(path: &Path) -> Result<PlainKey, BoxError> {
    if let Some(plain) = prepare::read_key_file(path)? {
        return Ok(plain);
    }
    let randomness = Randomness::system();
    let plain = PlainKey::from_random(randomness.bytes());
    let line = Zeroizing::new(format!("{}\n", plain.expose()));
    match secret_file::create(path, line.as_bytes(), &randomness) {
        Ok(()) => Ok(plain),
        // Another node was first.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => read_or_make_key(path),
        Err(source) => Err(ServeError::KeyFile { path: path.to_owned(), source }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_checked_once_a_day_and_not_at_the_start() {
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
