//! Everything that `serve` needs before it opens its database. `config check` runs the same function and discards the
//! result, so that both accept the same configurations. Creates nothing.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use app::{BootstrapError, BootstrapKey, BootstrapKeyError, Clock};
use domain::api_key::{MalformedKey, PlainKey};
use rustls::ServerConfig;
use seal::keyring::Keyring;
use seal::service::ServiceKeys;
use thiserror::Error;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use crate::activation::Sockets;
use crate::certificates::{self, CertificateError, Validity};
use crate::config::{Bootstrap, Config, ExposedListener, ListenerConfig};
use crate::keyring_source::WhenUnavailable;
use crate::permissions::{self, ExposedFile, require_writable};
use crate::wiring::{self, WiringError};
use crate::{listener, metrics_server};

/// The prepared resources of `serve`.
pub(crate) struct Prepared {
    /// `None` if the address was in use and that was accepted.
    pub(crate) listener: Option<TcpListener>,
    /// `None` if metrics are not served, or the address was in use and that was accepted.
    pub(crate) metrics_listener: Option<TcpListener>,
    pub(crate) tls: Option<(Arc<ServerConfig>, Validity)>,
    pub(crate) keyring: Keyring,
}

/// Whether the listen address may be in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InUse {
    Reject,
    /// By the running service, whose new configuration is being checked.
    Accept,
}

/// Why `serve` cannot start.
#[derive(Debug, Error)]
pub(crate) enum PrepareError {
    #[error("cannot listen on {address}: {}", listening(key, .source))]
    Listen { key: &'static str, address: SocketAddr, source: io::Error },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("sources.spool_directory {} cannot be used: {source}. It must be a directory that the service can write, or can create", path.display())]
    Spool { path: PathBuf, source: io::Error },
    #[error("bootstrap.api_key_file {} cannot be used: {source}", path.display())]
    KeyFile { path: PathBuf, source: io::Error },
    #[error("bootstrap.api_key_file {}: {reason}", path.display())]
    Key { path: PathBuf, reason: String },
    #[error("bootstrap.api_key_file {}: {source}", path.display())]
    BootstrapKey { path: PathBuf, source: BootstrapKeyError },
    #[error(transparent)]
    Exposed(#[from] ExposedFile),
    #[error("a socket from the supervisor cannot be used")]
    Socket(#[source] io::Error),
    #[error("the socket from the supervisor: {0}")]
    ExposedSocket(#[source] ExposedListener),
    #[error(transparent)]
    Wiring(#[from] WiringError),
}

fn listening(key: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "the address is in use: stop the program that listens there, or change `{key}`. To check the \
                 configuration of a running service, add --beside-running"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine does not have that address: change `{key}`")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{error} (`{key}`): ports below 1024 need CAP_NET_BIND_SERVICE")
        }
        _ => format!("{error} (`{key}`)"),
    }
}

/// Prepares everything, or returns the first error. May wait for the holder of the keyring, before anything listens.
pub(crate) async fn prepare(
    config: &Config,
    in_use: InUse,
    sockets: Sockets,
    when: WhenUnavailable,
) -> Result<Prepared, PrepareError> {
    let tls = match &config.tls {
        Some(files) => {
            let (tls, validity) = certificates::read(files)?;
            validity.warn(Clock::system().now(), &files.certificate);
            Some((tls, validity))
        }
        None => None,
    };
    let (keyring, keys) = wiring::check(config, when, TaskTracker::new()).await?;
    permissions::check(config)?;
    // After the database, whose directory contains the spool by default, so that its errors are reported first.
    if config.uploads.is_working && config.uploads.spool.file_max_bytes > 0 {
        let path = &config.uploads.spool.directory;
        // The directory is created when it is first needed.
        require_writable(nearest_existing(path))
            .map_err(|source| PrepareError::Spool { path: path.clone(), source })?;
    }
    if let Some(bootstrap) = &config.bootstrap {
        check_bootstrap(config, bootstrap, keys.as_ref()).await?;
    }
    let listener = match sockets.api {
        Some(socket) => {
            let address = socket.local_addr().map_err(PrepareError::Socket)?;
            config.check_exposure(address).map_err(PrepareError::ExposedSocket)?;
            Some(listener::adopt(socket, &config.listener).map_err(PrepareError::Socket)?)
        }
        None => listen("listen", (config.listen, &config.listener), in_use)?,
    };
    let options = metrics_server::listener_config();
    let metrics_listener = match (sockets.metrics, config.metrics_listen) {
        (Some(socket), _) => Some(listener::adopt(socket, &options).map_err(PrepareError::Socket)?),
        (None, Some(address)) => listen("metrics.listen", (address, &options), in_use)?,
        (None, None) => None,
    };
    Ok(Prepared { listener, metrics_listener, tls, keyring })
}

/// Opens a listening socket; `None` if the address is in use and that is accepted.
fn listen(
    key: &'static str,
    (address, options): (SocketAddr, &ListenerConfig),
    in_use: InUse,
) -> Result<Option<TcpListener>, PrepareError> {
    match listener::listen(address, options) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if in_use == InUse::Accept && error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        Err(source) => Err(PrepareError::Listen { key, address, source }),
    }
}

/// A path, or its nearest existing ancestor.
fn nearest_existing(path: &Path) -> &Path {
    let above = path.ancestors().map(|path| if path.as_os_str().is_empty() { Path::new(".") } else { path });
    let mut existing = above.filter(|path| path.symlink_metadata().is_ok());
    existing.next().unwrap_or(Path::new("."))
}

/// Checks that the configured account and key exist or can be created.
async fn check_bootstrap(
    config: &Config,
    bootstrap: &Bootstrap,
    keys: Option<&ServiceKeys>,
) -> Result<(), PrepareError> {
    let read = bootstrap.api_key_file.as_deref().map(check_key_file).transpose()?;
    let key = match &read {
        None => BootstrapKey::NotConfigured,
        Some(None) => BootstrapKey::ToBeCreated,
        Some(Some(key)) => BootstrapKey::InFile(key),
    };
    let check = app::check_bootstrap(&config.database_url, keys, &bootstrap.account, key, config.weak_keys);
    check.await.map_err(|error| match error {
        BootstrapError::Key(source) => {
            let path = bootstrap.api_key_file.clone().unwrap_or_default();
            PrepareError::BootstrapKey { path, source }
        }
        BootstrapError::Open(error) => WiringError::from(error).into(),
    })
}

/// The key in the bootstrap file; `None` if it has yet to be created.
fn check_key_file(path: &Path) -> Result<Option<PlainKey>, PrepareError> {
    let failed = |source| PrepareError::KeyFile { path: path.to_owned(), source };
    if let Some(key) = read_key_file(path)? {
        return Ok(Some(key));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    require_writable(parent.unwrap_or(Path::new("."))).map_err(failed)?;
    Ok(None)
}

/// Reads the bootstrap file; `None` if it does not exist.
pub(crate) fn read_key_file(path: &Path) -> Result<Option<PlainKey>, PrepareError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => Zeroizing::new(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(PrepareError::KeyFile { path: path.to_owned(), source }),
    };
    parse_key(&text)
        .map(Some)
        .map_err(|error| PrepareError::Key { path: path.to_owned(), reason: error.to_string() })
}

/// A key from a file or pipe. A byte order mark and surrounding whitespace are ignored.
pub(crate) fn parse_key(text: &str) -> Result<PlainKey, MalformedKey> {
    PlainKey::parse(text.trim_start_matches('\u{feff}').trim())
}
