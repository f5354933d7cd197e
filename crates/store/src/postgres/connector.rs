//! Opening sessions: which server, how it is verified, and the settings that every session starts with.

use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::text::without_byte_order_mark;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_tokio_postgres::MakeRustlsConnect;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::pg_error::{is_commit_warning, redacted};
use super::servers::Servers;
use super::sessions::{Context, Session, SettingsScope};
use crate::error::in_full;
use crate::url::{Server, Tls};
use crate::{BoxError, PreparedStatements};

/// When a server that sends nothing is considered lost.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long a statement waits for a lock. Whether the acting API key is active is checked before that wait, and a revoked
/// key must not write a second later.
const LOCK_TIMEOUT: Duration = Duration::from_millis(800);
/// Why a server cannot be verified.
const NO_ROOTS: &str = "no root certificates were found, and the database server cannot be verified without: install the system's (on Debian \
     `apt install ca-certificates`), or set ca_file";
/// How much longer than the server's own limit a statement is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// What a session is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Statements of many callers at the same time.
    Read,
    /// One transaction at a time.
    Write,
}

/// How sessions are opened.
pub(super) struct Connector {
    /// One for each server of the URL; one of them accepts writes.
    configs: Vec<tokio_postgres::Config>,
    servers: Arc<Servers>,
    tls: Option<MakeRustlsConnect>,
    statements: PreparedStatements,
    timeout: Duration,
    pub(super) tasks: TaskTracker,
    pub(super) closing: CancellationToken,
}

impl Connector {
    pub(super) fn new(server: Server) -> Result<Self, BoxError> {
        let Server { mut configs, tls, system_roots, prepared_statements: statements, timeout } = server;
        let tls = match tls {
            Tls::Off => None,
            Tls::SystemRoots => Some(MakeRustlsConnect::new(system_roots.ok_or(NO_ROOTS)?)),
            Tls::Roots(path) => {
                let roots = read_roots(&path)
                    .map_err(|error| format!("sslrootcert={}: {}", path.display(), in_full(&*error)))?;
                Some(MakeRustlsConnect::new(roots))
            }
        };
        for config in &mut configs {
            config
                .connect_timeout(timeout)
                .tcp_user_timeout(timeout + GRACE)
                .keepalives_idle(KEEPALIVE_IDLE)
                .keepalives_interval(KEEPALIVE_INTERVAL)
                .keepalives_retries(KEEPALIVE_RETRIES);
            if config.get_application_name().is_none() {
                config.application_name("vimeo-connections");
            }
        }
        let (tasks, closing) = (TaskTracker::new(), CancellationToken::new());
        let servers = Arc::new(Servers::new(configs.len()));
        Ok(Self { configs, servers, tls, statements, timeout, tasks, closing })
    }

    /// How long one statement may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How long prepared statements are used.
    pub(super) fn statements(&self) -> PreparedStatements {
        self.statements
    }

    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Ends all sessions, and opens no more.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.closing.cancel();
        self.tasks.wait().await;
    }

    /// Opens a session, on the server that accepts writes if the URL names several. Each has its own timeout, so that one
    /// which accepts connections but does not answer does not hide the others.
    pub(super) async fn connect(&self, purpose: Purpose) -> Result<Arc<Session>, BoxError> {
        let (mut first, mut causes) = (None, Vec::new());
        for number in self.servers.in_order() {
            let first = *first.get_or_insert(number);
            match self.connect_to(number, purpose).await {
                Ok(session) => {
                    self.servers.replace(first, number);
                    return Ok(session);
                }
                Err(cause) => causes.push(cause),
            }
        }
        Err(causes.join("; ").into())
    }

    /// The same on one of the servers; or why not.
    pub(super) async fn connect_to(&self, number: usize, purpose: Purpose) -> Result<Arc<Session>, String> {
        let Some(config) = self.configs.get(number) else { return Err("there is no such server".to_owned()) };
        let opening = async {
            match &self.tls {
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    self.start(client, connection, (number, purpose)).await
                }
                Some(tls) => {
                    let (client, connection) = config.connect(tls.clone()).await?;
                    self.start(client, connection, (number, purpose)).await
                }
            }
        };
        match tokio::time::timeout(self.timeout + GRACE, opening).await {
            Ok(opened) => opened.map_err(|error| redacted(&error)),
            Err(_) => Err("the server does not answer".to_owned()),
        }
    }

    async fn start<S, T>(
        &self,
        client: Client,
        connection: Connection<S, T>,
        (number, purpose): (usize, Purpose),
    ) -> Result<Arc<Session>, tokio_postgres::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let end = self.closing.child_token();
        let context = Context {
            tls: self.tls.clone(),
            tasks: self.tasks.clone(),
            scope: self.scope(purpose),
            end: end.clone(),
            limit: self.timeout + GRACE,
            server: (self.servers.clone(), number),
        };
        let session = Session::new(client, context);
        let has_commit_warning = session.commit_warning();
        self.tasks.spawn(async move {
            tokio::select! {
                () = drive(connection, &has_commit_warning) => {}
                // Dropping the connection closes the socket, whatever it waits for.
                () = end.cancelled() => {}
            }
            end.cancel();
        });
        if self.statements == PreparedStatements::Session {
            session.set(&settings(self.timeout)).await?;
        }
        Ok(Arc::new(session))
    }

    fn scope(&self, purpose: Purpose) -> SettingsScope {
        match (self.statements, purpose) {
            (PreparedStatements::Session, _) => SettingsScope::Session,
            (PreparedStatements::Transaction, Purpose::Read) => SettingsScope::Nothing,
            (PreparedStatements::Transaction, Purpose::Write) => {
                SettingsScope::Transaction(transaction_settings(self.timeout))
            }
        }
    }
}

/// The authorities in a PEM file.
fn read_roots(path: &Path) -> Result<rustls::ClientConfig, BoxError> {
    let text = std::fs::read(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(without_byte_order_mark(&text)) {
        roots.add(certificate?)?;
    }
    if roots.is_empty() {
        return Err("it has no certificate: it must be PEM, with BEGIN CERTIFICATE in it".into());
    }
    Ok(rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// Moves bytes until the connection ends, and reads the server's notices.
async fn drive<S, T>(mut connection: Connection<S, T>, has_commit_warning: &AtomicBool)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if is_commit_warning(&notice) => {
                has_commit_warning.store(true, Ordering::Release);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = redacted(&error), "a connection to the database ended");
                return;
            }
            None => return,
        }
    }
}

/// The settings of every session. The server itself cancels a statement that takes too long. What is committed is on the
/// server's disk, and on the standby's if the server waits for one. Every statement here can search an index by a whole key: a
/// plan that was made while a table was small must not remain a scan of it, nor of all rows of an account.
pub(super) fn settings(timeout: Duration) -> String {
    let millis = timeout.as_millis();
    let lock_millis = LOCK_TIMEOUT.min(timeout).as_millis();
    format!(
        "SET search_path = public;
         SET statement_timeout = {millis};
         SET lock_timeout = {lock_millis};
         SET idle_in_transaction_session_timeout = {millis};
         SET default_transaction_isolation = 'read committed';
         SET client_min_messages = 'warning';
         SET enable_seqscan = off;
         SET enable_bitmapscan = off;
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');"
    )
}

/// The same for one transaction that writes, in a session that others use too. Its statements are planned each time, by the
/// tables as they are then.
fn transaction_settings(timeout: Duration) -> String {
    let millis = timeout.as_millis();
    let lock_millis = LOCK_TIMEOUT.min(timeout).as_millis();
    format!(
        "SET LOCAL search_path = public;
         SET LOCAL statement_timeout = {millis};
         SET LOCAL lock_timeout = {lock_millis};
         SET LOCAL idle_in_transaction_session_timeout = {millis};
         SET LOCAL client_min_messages = 'warning';
         SELECT set_config('synchronous_commit', 'on', true)
         WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');"
    )
}
