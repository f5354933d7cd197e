//! A session with the server: one connection, and the statements that were prepared on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls_tokio_postgres::MakeRustlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, NoTls, Row, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parameters::{Numbered, Parameter, Parameters};
use super::pg_error::{PgError, redacted};
use super::servers::Servers;

/// One connection to the server.
pub(super) struct Session {
    client: Client,
    context: Context,
    prepared: Mutex<HashMap<String, Arc<Prepared>>>,
    /// Whether a transaction was started with [`Session::begin`].
    is_in_transaction: AtomicBool,
    has_commit_warning: Arc<AtomicBool>,
}

/// What a session needs beside its connection.
pub(super) struct Context {
    /// For cancel requests, which need a connection of their own.
    pub(super) tls: Option<MakeRustlsConnect>,
    pub(super) tasks: TaskTracker,
    pub(super) scope: SettingsScope,
    /// Cancelled when the connection is closed, or to close it.
    pub(super) end: CancellationToken,
    /// How long a statement is waited for.
    pub(super) limit: Duration,
    /// The server, by its number.
    pub(super) server: (Arc<Servers>, usize),
}

/// How long the settings of the service last.
pub(super) enum SettingsScope {
    /// As long as the session, and so do its prepared statements.
    Session,
    /// For one transaction: a pooler may give the next one another session. With the settings.
    Transaction(String),
    /// Nothing is set, because only reads run in it, each alone.
    Nothing,
}

/// The isolation level of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Isolation {
    ReadCommitted,
    Serializable,
}

struct Prepared {
    numbered: Numbered,
    /// `None` where statements have no name and are sent with each use.
    statement: Option<Statement>,
}

/// The values of a statement's parameters in the order of their numbers.
pub(super) type Positional<'a> = &'a [&'a dyn Parameter];

/// The values of a statement's parameters.
#[derive(Clone, Copy)]
pub(super) enum Values<'a> {
    Named(Parameters<'a>),
    Positional(Positional<'a>),
}

impl Session {
    pub(super) fn new(client: Client, context: Context) -> Self {
        let (prepared, is_in_transaction) = (Mutex::default(), AtomicBool::new(false));
        Self { client, context, prepared, is_in_transaction, has_commit_warning: Arc::default() }
    }

    /// Runs the statements that a session starts with.
    pub(super) async fn set(&self, settings: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(settings).await
    }

    /// Runs a statement, which is prepared once.
    pub(super) async fn query_named(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, PgError> {
        self.query_with(sql, Values::Named(parameters)).await
    }

    /// The same for a statement whose parameters have numbers.
    pub(super) async fn query(&self, sql: &str, parameters: Positional<'_>) -> Result<Vec<Row>, PgError> {
        self.query_with(sql, Values::Positional(parameters)).await
    }

    /// The same for either.
    pub(super) async fn query_with(&self, sql: &str, values: Values<'_>) -> Result<Vec<Row>, PgError> {
        let known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        let prepared = match known {
            Some(prepared) => prepared,
            None => self.prepare(sql, values).await?,
        };
        let values = prepared.numbered.in_order(values)?;
        let is_alone = !self.is_in_transaction.load(Ordering::Relaxed);
        self.within(async {
            match (&prepared.statement, &self.context.scope) {
                (Some(statement), _) => Ok(self.client.query(statement, &untyped(&values)).await?),
                (None, SettingsScope::Transaction(_)) if is_alone => {
                    self.query_in_transaction(&prepared.numbered.sql, &values).await
                }
                (None, _) => Ok(self.client.query_typed(&prepared.numbered.sql, &typed(&values)).await?),
            }
        })
        .await
    }

    /// Runs a statement in a transaction of its own that has the settings, without waiting in between: all three parts are
    /// sent at once, in this order. If the statement fails, the server turns the commit into a rollback.
    async fn query_in_transaction(&self, sql: &str, values: Positional<'_>) -> Result<Vec<Row>, PgError> {
        let (start, values) = (self.start_of_transaction(Isolation::ReadCommitted), typed(values));
        let (started, found, committed) = tokio::join!(
            biased;
            self.client.batch_execute(&start),
            self.client.query_typed(sql, &values),
            self.client.batch_execute("COMMIT"),
        );
        match (started, found, committed) {
            (Ok(()), Ok(found), Ok(())) => Ok(found),
            // Without a transaction around it, the statement was committed alone.
            (Err(error), Ok(_), _) => Err(PgError::OutcomeUnknown(redacted(&error).into())),
            (Err(error), Err(_), _) | (Ok(()), Err(error), _) | (_, _, Err(error)) => Err(error.into()),
        }
    }

    /// The same without a time limit, for a statement without parameters that may take long and blocks nothing.
    pub(super) async fn query_without_limit(&self, sql: &str) -> Result<Vec<Row>, PgError> {
        Ok(self.client.query_typed(sql, &[]).await?)
    }

    /// Runs statements without parameters.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), PgError> {
        self.within(async { Ok(self.client.batch_execute(sql).await?) }).await
    }

    /// The same without a time limit.
    pub(super) async fn batch_without_limit(&self, sql: &str) -> Result<(), PgError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Starts a transaction.
    pub(super) async fn begin(&self, isolation: Isolation) -> Result<(), PgError> {
        self.is_in_transaction.store(true, Ordering::Relaxed);
        let started = self.batch(&self.start_of_transaction(isolation)).await;
        if started.is_err() {
            // It may have started.
            self.abandon();
        }
        started
    }

    fn start_of_transaction(&self, isolation: Isolation) -> String {
        let start = match isolation {
            Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        };
        match &self.context.scope {
            SettingsScope::Transaction(settings) => format!("{start}; {settings}"),
            SettingsScope::Session | SettingsScope::Nothing => start.to_owned(),
        }
    }

    /// Ends a transaction: commits it if its steps succeeded, else rolls it back.
    pub(super) async fn end<T>(&self, steps: Result<T, PgError>) -> Result<T, PgError> {
        match steps {
            Ok(value) => {
                self.is_in_transaction.store(false, Ordering::Relaxed);
                self.batch("COMMIT").await.map(|()| value)
            }
            Err(error) => self.undo(Err(error)).await,
        }
    }

    /// Rolls a transaction back, whatever its steps returned.
    pub(super) async fn undo<T>(&self, steps: Result<T, PgError>) -> Result<T, PgError> {
        self.is_in_transaction.store(false, Ordering::Relaxed);
        if self.batch("ROLLBACK").await.is_err() {
            self.abandon();
        }
        steps
    }

    async fn prepare(&self, sql: &str, values: Values<'_>) -> Result<Arc<Prepared>, PgError> {
        let numbered = Numbered::of(sql);
        let types: Vec<_> = numbered.in_order(values)?.iter().map(|value| value.sent_type()).collect();
        let statement = match &self.context.scope {
            SettingsScope::Transaction(_) | SettingsScope::Nothing => None,
            SettingsScope::Session => {
                let preparing = async {
                    let preparing = self.client.prepare_typed(&numbered.sql, &types);
                    preparing.await.map_err(PgError::before_execution)
                };
                match self.within(preparing).await {
                    // Preparing it took too long: it was not run.
                    Err(PgError::OutcomeUnknown(cause)) => return Err(PgError::NotExecuted(cause)),
                    prepared => Some(prepared?),
                }
            }
        };
        let prepared = Arc::new(Prepared { numbered, statement });
        let mut known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(sql.to_owned()).or_insert(prepared).clone())
    }

    /// Waits for the server, a little longer than the server itself allows a statement to take.
    async fn within<T>(&self, work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
        let Ok(result) = tokio::time::timeout(self.context.limit, work).await else {
            self.cancel_and_abandon();
            return Err(PgError::OutcomeUnknown("the server does not answer".into()));
        };
        if let Err(PgError::NotExecuted(_) | PgError::OutcomeUnknown(_)) = &result {
            self.abandon();
        }
        result
    }

    /// Asks the server to cancel the session's statement, and closes the connection. A session that waits for its standby
    /// would not notice the closed connection, and would keep its place among the server's connections.
    fn cancel_and_abandon(&self) {
        self.doubt_server();
        let (cancel, tls, limit) = (self.client.cancel_token(), self.context.tls.clone(), self.context.limit);
        self.context.tasks.spawn(async move {
            let cancelling = async {
                match tls {
                    None => cancel.cancel_query(NoTls).await,
                    Some(tls) => cancel.cancel_query(tls).await,
                }
            };
            // A server that does not answer this either has no session to keep.
            let _ = tokio::time::timeout(limit, cancelling).await;
        });
        self.abandon();
    }

    /// Closes the connection, whatever state it is in.
    pub(super) fn abandon(&self) {
        self.context.end.cancel();
    }

    /// Where the server's warning about a commit is recorded.
    pub(super) fn commit_warning(&self) -> Arc<AtomicBool> {
        self.has_commit_warning.clone()
    }

    /// Whether a commit since the last call may be missing on the standby.
    pub(super) fn take_commit_warning(&self) -> bool {
        let has_warning = self.has_commit_warning.swap(false, Ordering::Acquire);
        if has_warning {
            self.doubt_server();
        }
        has_warning
    }

    /// The server may be a former primary that still runs.
    fn doubt_server(&self) {
        let (servers, number) = &self.context.server;
        servers.doubt(*number);
    }

    /// Resolves when [`Self::has_ended`].
    pub(super) async fn ended(&self) {
        let (servers, number) = &self.context.server;
        tokio::select! {
            () = self.context.end.cancelled() => {}
            () = servers.replaced(*number) => {}
        }
    }

    /// Whether the connection is closed, or sessions belong on another server: what that one acknowledged, this one may lack.
    pub(super) fn has_ended(&self) -> bool {
        let (servers, number) = &self.context.server;
        self.context.end.is_cancelled() || servers.is_replaced(*number)
    }
}

impl Numbered {
    fn in_order<'a>(&self, values: Values<'a>) -> Result<Vec<&'a dyn Parameter>, PgError> {
        match values {
            Values::Positional(values) => Ok(values.to_vec()),
            Values::Named(parameters) => self.values(parameters).map_err(|name| {
                PgError::Corrupt(format!("the statement has no value for its parameter {name}"))
            }),
        }
    }
}

fn untyped(values: Positional<'_>) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| *value as &(dyn ToSql + Sync)).collect()
}

fn typed(values: Positional<'_>) -> Vec<(&(dyn ToSql + Sync), Type)> {
    values.iter().map(|value| (*value as &(dyn ToSql + Sync), value.sent_type())).collect()
}

impl Drop for Session {
    fn drop(&mut self) {
        self.context.end.cancel();
    }
}
