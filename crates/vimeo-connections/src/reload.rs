//! SIGHUP: reads the configuration again and applies what can be applied while requests are served. Everything that can
//! fail is done before anything is applied: an invalid configuration or certificate changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use app::App;
use key_holders::FailureKind;
use tokio::signal::unix::Signal;
use tracing_subscriber::filter::LevelFilter;
use web::{ClientAddress, ConcurrencyLimits, Live};

use crate::certificates::{self, Tls};
use crate::cli::BoxError;
use crate::cli::output::with_causes;
use crate::config::{Changes, Config, Environment, Layers, Snapshot};
use crate::keyring_source::{self, KeyringSourceError, WhenUnavailable};
use crate::{permissions, supervisor, telemetry};

/// Where the configuration was read, and what was in it.
pub(crate) struct Origin {
    /// `--config`.
    file: Option<PathBuf>,
    running: Snapshot,
}

/// The settings that a reload replaces, besides those of the process and of the application.
#[derive(Clone)]
pub(crate) struct LiveSettings {
    pub(crate) client_address: Live<ClientAddress>,
    pub(crate) concurrency: Live<ConcurrencyLimits>,
}

/// Reloads the configuration.
pub(crate) struct Reloader {
    pub(crate) app: Arc<App>,
    pub(crate) origin: Origin,
    pub(crate) settings: LiveSettings,
    pub(crate) tls: Option<Tls>,
    pub(crate) log_level: LevelFilter,
    /// What systemd shows while the service runs.
    pub(crate) status: String,
}

impl Origin {
    pub(crate) fn new(file: Option<PathBuf>, layers: &Layers) -> Self {
        Self { file, running: Snapshot::of(layers) }
    }
}

impl LiveSettings {
    pub(crate) fn of(config: &Config) -> Self {
        Self {
            client_address: Live::new(config.client_address.clone()),
            concurrency: Live::new(config.concurrency),
        }
    }

    fn replace(&self, config: &Config) {
        self.client_address.replace(config.client_address.clone());
        self.concurrency.replace(config.concurrency);
    }
}

impl Reloader {
    /// Reloads on every signal. Signals that arrive meanwhile cause one more reload.
    pub(crate) async fn run(mut self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            supervisor::reloading();
            if let Err(error) = self.reload().await {
                let error = with_causes(&*error);
                tracing::error!(error, "the configuration was not reloaded: everything remains as it was");
            }
            supervisor::ready(&self.status);
        }
    }

    async fn reload(&mut self) -> Result<(), BoxError> {
        // Reading files and root certificates takes a while; requests continue on other threads.
        let (config, layers) = tokio::task::block_in_place(|| {
            let (environment, _) = Environment::from_process();
            Config::load(self.origin.file.as_deref(), environment)
        })?;
        permissions::check(&config)?;
        let tls = self.tls.as_ref().map(|tls| {
            // Also if no key has changed: the files may have. Turning TLS off needs a restart.
            let files = config.tls.clone().unwrap_or_else(|| tls.files());
            certificates::read(&files).map(|read| (tls, read, files))
        });
        let tls = tls.transpose()?;
        let loaded = Snapshot::of(&layers);
        let changes = self.origin.running.changes(&loaded);
        reload_keyring(&self.app, &config).await?;
        // Nothing fails from here on.
        if let Some((tls, read, files)) = tls {
            tls.replace(read, files);
            tracing::info!("the certificate was reloaded");
        }
        self.settings.replace(&config);
        self.app.replace_limits(config.limits);
        self.origin.running.apply(&loaded, &changes);
        let before = std::mem::replace(&mut self.log_level, config.log_level);
        // The summary is logged if either level shows it.
        if config.log_level > before {
            telemetry::replace_level(config.log_level);
            report(&changes);
        } else {
            report(&changes);
            telemetry::replace_level(config.log_level);
        }
        Ok(())
    }
}

/// Names what was applied and what was not, never a value.
fn report(changes: &Changes) {
    for key in &changes.need_restart {
        tracing::warn!("`{key}` changed: restart to apply");
    }
    let Changes { applied, need_restart } = changes;
    tracing::info!(
        applied = applied.join(", "),
        need_restart = need_restart.join(", "),
        "the configuration was reloaded"
    );
}

/// Uses the keyring that the configuration names now.
async fn reload_keyring(app: &App, config: &Config) -> Result<(), BoxError> {
    let keyring = match keyring_source::read(config, WhenUnavailable::Fail).await {
        Ok(keyring) => keyring,
        // A renewed certificate must not wait for the holder.
        Err(KeyringSourceError::Holder(error)) if error.kind() == FailureKind::Unavailable => {
            tracing::error!(%error, "the keyring was not reloaded, because its holder cannot be used now; everything else is");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let keys = app.reload_keyring(keyring, keyring_source::reader(config)).await?;
    tracing::info!(keys, "the keyring was reloaded");
    Ok(())
}
