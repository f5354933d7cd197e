//! Sessions with the server: each opened when first needed, and opened again whenever it is lost.

use std::collections::HashMap;
use std::future::poll_fn;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::text::without_byte_order_mark;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_tokio_postgres::MakeRustlsConnect;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Notify, watch};
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::trouble::{Trouble, is_replication_doubt, told};
use crate::error::in_full;
use crate::url::{Server, Tls};
use crate::{BoxError, Error};

/// How long a request waits for a session that is being opened, before it is told to come back.
const PATIENCE: Duration = Duration::from_secs(1);
/// The first pause between two tries to connect; doubled with each.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// When a silent server counts as gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_RETRIES: u32 = 3;
/// How long a statement waits for somebody else's lock. Whether a key may act is looked at before that wait, and a revoked
/// one must not write a second later.
const LOCK_TIMEOUT: Duration = Duration::from_millis(800);
/// Why a server cannot be verified.
const NO_ROOTS: &str = "no root certificates were found, and the database server cannot be verified without: install the system's (on Debian \
     `apt install ca-certificates`), or set ca_file";
/// How much longer than the server's own limit a statement is waited for.
const GRACE: Duration = Duration::from_secs(1);

/// How sessions are opened.
pub(super) struct Connector {
    /// One for each server that there is; one of them can write.
    configs: Vec<tokio_postgres::Config>,
    /// Which of them was the one at the last time.
    last: AtomicUsize,
    tls: Option<MakeRustlsConnect>,
    timeout: Duration,
    tasks: TaskTracker,
    closing: CancellationToken,
}

impl Connector {
    pub(super) fn new(server: Server, timeout: Duration) -> Result<Self, BoxError> {
        let Server { mut configs, tls, system_roots } = server;
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
        Ok(Self { configs, last: AtomicUsize::new(0), tls, timeout, tasks, closing })
    }

    /// How long one statement may take.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Ends all sessions, and the opening of new ones.
    pub(super) async fn close(&self) {
        self.tasks.close();
        self.closing.cancel();
        self.tasks.wait().await;
    }

    /// Opens a session; on the server that can write, if the URL names several. Each has its own time to answer, so that
    /// one which takes connections and is silent does not hide the others.
    pub(super) async fn connect(&self) -> Result<Arc<Session>, BoxError> {
        let first = self.last.load(Ordering::Relaxed);
        let mut causes = Vec::new();
        for number in (0..self.configs.len()).map(|at| (first + at) % self.configs.len()) {
            let Some(config) = self.configs.get(number) else { continue };
            let opening = tokio::time::timeout(self.timeout + GRACE, self.connect_to(config));
            match opening.await {
                Ok(Ok(session)) => {
                    self.last.store(number, Ordering::Relaxed);
                    return Ok(session);
                }
                Ok(Err(error)) => causes.push(told(&error)),
                Err(_) => causes.push("the server does not answer".to_owned()),
            }
        }
        Err(causes.join("; ").into())
    }

    async fn connect_to(
        &self,
        config: &tokio_postgres::Config,
    ) -> Result<Arc<Session>, tokio_postgres::Error> {
        match &self.tls {
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                self.begin(client, connection).await
            }
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                self.begin(client, connection).await
            }
        }
    }

    async fn begin<S, T>(
        &self,
        client: Client,
        connection: Connection<S, T>,
    ) -> Result<Arc<Session>, tokio_postgres::Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = Arc::new(Session {
            tls: self.tls.clone(),
            tasks: self.tasks.clone(),
            client,
            statements: Mutex::new(HashMap::new()),
            is_in_doubt: Arc::new(AtomicBool::new(false)),
            end: self.closing.child_token(),
            limit: self.timeout + GRACE,
        });
        let (end, is_in_doubt) = (session.end.clone(), session.is_in_doubt.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                () = drive(connection, &is_in_doubt) => {}
                // Dropping the connection closes the socket, whatever it waits for.
                () = end.cancelled() => {}
            }
            end.cancel();
        });
        session.client.batch_execute(&settings(self.timeout)).await?;
        Ok(session)
    }
}

/// How a server is verified by the authorities in a PEM file.
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

/// Moves bytes until the connection ends, and listens to what the server says beside its answers.
async fn drive<S, T>(mut connection: Connection<S, T>, is_in_doubt: &AtomicBool)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notice(notice))) if is_replication_doubt(&notice) => {
                is_in_doubt.store(true, Ordering::Release);
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(error = told(&error), "a connection to the database ended");
                return;
            }
            None => return,
        }
    }
}

/// What every session says first. A statement that takes too long is undone by the server itself; and what is committed
/// is on its disk, and on the standby's if the server waits for one. Every statement here is one for an index: a plan that
/// was made while a table was small must not be a scan of it for ever.
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
         SELECT set_config('synchronous_commit', 'on', false)
         WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');"
    )
}

/// One connection to the server, with the statements that were prepared on it.
pub(super) struct Session {
    client: Client,
    /// For the request to give up, which goes another way.
    tls: Option<MakeRustlsConnect>,
    tasks: TaskTracker,
    statements: Mutex<HashMap<String, Statement>>,
    is_in_doubt: Arc<AtomicBool>,
    end: CancellationToken,
    limit: Duration,
}

/// A statement's parameters.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    /// Runs a statement, prepared once.
    pub(super) async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(sql).await?;
        self.within(async { Ok(self.client.query(&statement, parameters).await?) }).await
    }

    /// The same without a limit of time, for what may take long and is not in anybody's way.
    pub(super) async fn query_patiently(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Trouble> {
        let statement = self.prepare(sql).await?;
        Ok(self.client.query(&statement, parameters).await?)
    }

    /// The same for statements that have no parameters.
    pub(super) async fn batch_patiently(&self, sql: &str) -> Result<(), Trouble> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Runs statements that have no parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Trouble> {
        self.within(async { Ok(self.client.batch_execute(sql).await?) }).await
    }

    /// Ends a transaction: commits it if its steps succeeded, else undoes it.
    pub(super) async fn end<T>(&self, steps: Result<T, Trouble>) -> Result<T, Trouble> {
        match steps {
            Ok(value) => self.batch("COMMIT").await.map(|()| value),
            Err(trouble) => self.undo(Err(trouble)).await,
        }
    }

    /// Ends a transaction that was only to look.
    pub(super) async fn undo<T>(&self, steps: Result<T, Trouble>) -> Result<T, Trouble> {
        if self.batch("ROLLBACK").await.is_err() {
            self.abandon();
        }
        steps
    }

    async fn prepare(&self, sql: &str) -> Result<Statement, Trouble> {
        let kept = self.statements.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(statement) = kept {
            return Ok(statement);
        }
        let preparing = async { self.client.prepare(sql).await.map_err(Trouble::before) };
        let statement = match self.within(preparing).await {
            // Too slow to be prepared: it was not run.
            Err(Trouble::Lost(cause)) => return Err(Trouble::Gone(cause)),
            prepared => prepared?,
        };
        let mut statements = self.statements.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(statements.entry(sql.to_owned()).or_insert(statement).clone())
    }

    /// Waits for the server, but not longer than it should need to give up by itself.
    async fn within<T>(&self, work: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        let Ok(result) = tokio::time::timeout(self.limit, work).await else {
            self.give_up();
            return Err(Trouble::Lost("the server does not answer".into()));
        };
        if let Err(Trouble::Gone(_) | Trouble::Lost(_)) = &result {
            self.abandon();
        }
        result
    }

    /// Tells the server to stop what it does for this session, and closes the connection. One that waits for its standby
    /// would not see by itself that nobody waits for it any more, and keep its place.
    fn give_up(&self) {
        let (cancel, tls, limit) = (self.client.cancel_token(), self.tls.clone(), self.limit);
        self.tasks.spawn(async move {
            let cancelling = async {
                match tls {
                    None => cancel.cancel_query(NoTls).await,
                    Some(tls) => cancel.cancel_query(tls).await,
                }
            };
            // A server that does not hear this either has no place to keep.
            let _ = tokio::time::timeout(limit, cancelling).await;
        });
        self.abandon();
    }

    /// Closes the connection, whatever state it is in.
    pub(super) fn abandon(&self) {
        self.end.cancel();
    }

    /// Whether a commit since the last question may be missing on the standby.
    pub(super) fn take_doubt(&self) -> bool {
        self.is_in_doubt.swap(false, Ordering::Acquire)
    }

    async fn ended(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

/// What a slot holds.
#[derive(Clone, Default)]
struct Held {
    session: Option<Arc<Session>>,
    /// Why there is none, as far as that is known.
    cause: Option<String>,
}

impl Held {
    /// The session, if it has not ended.
    fn usable(&self) -> Option<Arc<Session>> {
        self.session.as_ref().filter(|session| !session.end.is_cancelled()).cloned()
    }
}

/// A place for one session, which is opened at the first demand and kept open from then on.
pub(super) struct Slot {
    held: watch::Receiver<Held>,
    demand: Arc<Notify>,
}

impl Slot {
    pub(super) fn new(connector: &Arc<Connector>) -> Self {
        let (sender, held) = watch::channel(Held::default());
        let demand = Arc::new(Notify::new());
        connector.tasks.spawn(keep(connector.clone(), sender, demand.clone()));
        Self { held, demand }
    }

    /// Has the session opened, if it is not.
    pub(super) fn demand(&self) {
        self.demand.notify_one();
    }

    /// The session; waited for a moment if it is being opened.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.held.borrow().usable() {
            return Ok(session);
        }
        self.demand();
        let mut held = self.held.clone();
        // A slot that could not be filled at the last try is given up at once: everybody would wait in vain.
        let settled = held.wait_for(|held| held.usable().is_some() || held.cause.is_some());
        let settled = tokio::time::timeout(PATIENCE, settled).await;
        let now = match settled {
            Ok(Ok(now)) => now.clone(),
            Ok(Err(_)) => return Err(Error::Unavailable("the store is closed".into())),
            Err(_) => Held::default(),
        };
        now.session.ok_or_else(|| {
            let cause = now.cause.unwrap_or_else(|| "the server does not answer".to_owned());
            Error::Unavailable(cause.into())
        })
    }
}

/// Keeps a slot filled, from the first demand on.
async fn keep(connector: Arc<Connector>, slot: watch::Sender<Held>, demand: Arc<Notify>) {
    let closing = connector.closing.clone();
    let keeping = async {
        demand.notified().await;
        let mut pause = FIRST_PAUSE;
        loop {
            match connector.connect().await {
                Ok(session) => {
                    if pause > FIRST_PAUSE {
                        tracing::info!("the database answers again");
                    }
                    pause = FIRST_PAUSE;
                    slot.send_replace(Held { session: Some(session.clone()), cause: None });
                    session.ended().await;
                    slot.send_replace(Held::default());
                }
                Err(error) => {
                    let cause = in_full(&*error);
                    if pause == FIRST_PAUSE {
                        tracing::warn!(cause, "the database cannot be reached; retrying");
                    }
                    slot.send_replace(Held { session: None, cause: Some(cause) });
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    };
    tokio::select! {
        () = keeping => {}
        () = closing.cancelled() => {}
    }
}
