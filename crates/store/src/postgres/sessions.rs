//! A session with the server: one connection, and the statements that were prepared on it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls_tokio_postgres::MakeRustlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row, Statement};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::parameters::{Numbered, Parameter, Parameters};
use super::pg_error::PgError;

/// One connection to the server.
pub(super) struct Session {
    client: Client,
    /// For cancel requests, which need a connection of their own.
    tls: Option<MakeRustlsConnect>,
    tasks: TaskTracker,
    prepared: Mutex<HashMap<String, Arc<Prepared>>>,
    has_commit_warning: Arc<AtomicBool>,
    end: CancellationToken,
    /// How long a statement is waited for.
    limit: Duration,
}

struct Prepared {
    numbered: Arc<Numbered>,
    statement: Statement,
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
    pub(super) fn new(
        client: Client,
        tls: Option<MakeRustlsConnect>,
        tasks: TaskTracker,
        end: CancellationToken,
        limit: Duration,
    ) -> Self {
        let (prepared, has_commit_warning) = (Mutex::default(), Arc::default());
        Self { client, tls, tasks, prepared, has_commit_warning, end, limit }
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
        let known = self.find_prepared(sql);
        let numbered =
            known.as_ref().map_or_else(|| Arc::new(Numbered::of(sql)), |known| known.numbered.clone());
        let values = match values {
            Values::Positional(values) => values.to_vec(),
            Values::Named(parameters) => numbered.values(parameters).map_err(|name| {
                PgError::Corrupt(format!("the statement has no value for its parameter {name}"))
            })?,
        };
        let prepared = match known {
            Some(prepared) => prepared,
            None => self.prepare(sql, numbered.clone(), &values).await?,
        };
        self.within(self.run(&prepared, &values)).await
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

    /// Ends a transaction: commits it if its steps succeeded, else rolls it back.
    pub(super) async fn end<T>(&self, steps: Result<T, PgError>) -> Result<T, PgError> {
        match steps {
            Ok(value) => self.batch("COMMIT").await.map(|()| value),
            Err(error) => self.undo(Err(error)).await,
        }
    }

    /// Rolls a transaction back, whatever its steps returned.
    pub(super) async fn undo<T>(&self, steps: Result<T, PgError>) -> Result<T, PgError> {
        if self.batch("ROLLBACK").await.is_err() {
            self.abandon();
        }
        steps
    }

    async fn run(&self, prepared: &Prepared, values: Positional<'_>) -> Result<Vec<Row>, PgError> {
        let values: Vec<_> = values.iter().map(|value| *value as &(dyn ToSql + Sync)).collect();
        Ok(self.client.query(&prepared.statement, &values).await?)
    }

    fn find_prepared(&self, sql: &str) -> Option<Arc<Prepared>> {
        self.prepared.lock().unwrap_or_else(PoisonError::into_inner).get(sql).cloned()
    }

    async fn prepare(
        &self,
        sql: &str,
        numbered: Arc<Numbered>,
        values: Positional<'_>,
    ) -> Result<Arc<Prepared>, PgError> {
        let types: Vec<_> = values.iter().map(|value| value.sent_type()).collect();
        let preparing = async {
            self.client.prepare_typed(&numbered.sql, &types).await.map_err(PgError::before_execution)
        };
        let statement = match self.within(preparing).await {
            // Preparing it took too long: it was not run.
            Err(PgError::OutcomeUnknown(cause)) => return Err(PgError::NotExecuted(cause)),
            prepared => prepared?,
        };
        let prepared = Arc::new(Prepared { numbered, statement });
        let mut known = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(sql.to_owned()).or_insert(prepared).clone())
    }

    /// Waits for the server, a little longer than the server itself allows a statement to take.
    async fn within<T>(&self, work: impl Future<Output = Result<T, PgError>>) -> Result<T, PgError> {
        let Ok(result) = tokio::time::timeout(self.limit, work).await else {
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
        let (cancel, tls, limit) = (self.client.cancel_token(), self.tls.clone(), self.limit);
        self.tasks.spawn(async move {
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
        self.end.cancel();
    }

    /// Where the server's warning about a commit is recorded.
    pub(super) fn commit_warning(&self) -> Arc<AtomicBool> {
        self.has_commit_warning.clone()
    }

    /// Whether a commit since the last call may be missing on the standby.
    pub(super) fn take_commit_warning(&self) -> bool {
        self.has_commit_warning.swap(false, Ordering::Acquire)
    }

    /// Whether the connection is closed.
    pub(super) fn has_ended(&self) -> bool {
        self.end.is_cancelled()
    }

    /// Resolves when the connection is closed.
    pub(super) async fn ended(&self) {
        self.end.cancelled().await;
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end.cancel();
    }
}
