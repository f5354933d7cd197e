//! Connection poolers: found out at the start, because one in the wrong mode fails later, in any statement.

use super::connector::{Connector, Purpose};
use super::pg_error::{POOLER_ADVICE, PgError};
use super::rows;
use super::schema::failed;
use super::sessions::{Isolation, Session};
use crate::sql::statement;
use crate::{OpenError, PreparedStatements};

const FIND_BACKEND: &str = statement(include_str!("sql/session.sql"), "find_backend");

/// Fails if the sessions do not keep what `store.prepared_statements` relies on.
pub(super) async fn check(connector: &Connector, session: &Session) -> Result<(), OpenError> {
    match connector.statements() {
        PreparedStatements::Session => {
            // A server that accepts no second connection is not a pooler, and fails where the connection is needed.
            let Ok(other) = connector.connect(Purpose::Write).await else { return Ok(()) };
            let is_kept = keeps_sessions(session, &other).await;
            other.abandon();
            match is_kept {
                Ok(true) => Ok(()),
                Ok(false) => Err(OpenError::ServerConfiguration(POOLER_ADVICE.to_owned())),
                Err(error) => Err(failed(error)),
            }
        }
        PreparedStatements::Transaction => check_schema(connector).await,
    }
}

/// Whether each session has a session of the server for itself. A pooler in transaction mode gives the one that was used
/// last to the next transaction: the same one to both, or another one while that is busy.
async fn keeps_sessions(one: &Session, other: &Session) -> Result<bool, PgError> {
    let before = find_backend(one).await?;
    other.begin(Isolation::ReadCommitted).await?;
    let found = find_backend(other).await;
    let is_shared = found.as_ref().is_ok_and(|found| *found == before);
    let after = if is_shared { Ok(before) } else { find_backend(one).await };
    other.undo(found).await?;
    Ok(!is_shared && after? == before)
}

async fn find_backend(session: &Session) -> Result<i64, PgError> {
    let found = session.query_named(FIND_BACKEND, &[]).await?;
    found.first().map_or_else(|| Err(rows::impossible("backend_pid")), |row| rows::get(row, "backend_pid"))
}

/// Reads have no settings of their own in transaction mode: the role's must be right.
async fn check_schema(connector: &Connector) -> Result<(), OpenError> {
    let session = connector.connect(Purpose::Read).await.map_err(OpenError::Server)?;
    let found = session.query_named(FIND_BACKEND, &[]).await.map_err(failed);
    session.abandon();
    let found = found?;
    let schema: Option<&str> =
        found.first().map_or(Ok(None), |row| rows::get(row, "current_schema")).map_err(failed)?;
    if schema == Some("public") {
        return Ok(());
    }
    let text = format!(
        "names without a schema belong to {}, and must belong to public: run ALTER ROLE … SET search_path = public",
        schema.unwrap_or("none")
    );
    Err(OpenError::ServerConfiguration(text))
}
