//! Bringing a database to this version's schema, in one transaction. And looking at one without touching it.

use std::sync::Arc;

use domain::time::Timestamp;
use tokio_postgres::error::SqlState;

use super::rows;
use super::service;
use super::sessions::{Connector, Session};
use super::trouble::Trouble;
use crate::error::in_full;
use crate::migrations::{MIGRATIONS, State};
use crate::url::Server;
use crate::{APPLICATION_SCHEMA, Inspection, Migrations, OpenError, PostgresOptions};

/// How often the migrations are begun: whoever begins them at the same time is waited for, and looked at again.
const TRIES: u32 = 20;

/// Which of our tables are there, by the columns that tell them from another program's of the same name.
const COLUMNS: &str = "SELECT table_name::text, string_agg(column_name::text, ',' ORDER BY column_name::text) AS columns
    FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name IN ('schema_migrations', 'accounts', 'api_keys', 'connections')
    GROUP BY table_name ORDER BY table_name";
const APPLIED: &str = "SELECT number, name, lowest_application_schema FROM schema_migrations ORDER BY number";
const MIGRATION_COLUMNS: &str = "applied_at,lowest_application_schema,name,number";
const CREATE: &str = "CREATE TABLE schema_migrations (
    number                    BIGINT NOT NULL PRIMARY KEY,
    name                      TEXT COLLATE \"C\" NOT NULL,
    lowest_application_schema BIGINT NOT NULL,
    applied_at                BIGINT NOT NULL
)";
const RECORD: &str = "INSERT INTO schema_migrations (number, name, lowest_application_schema, applied_at)
    VALUES ($1, $2, $3, $4)";

/// Looks at a database without changing it.
pub(crate) async fn inspect(server: &Server) -> Result<Option<Inspection>, OpenError> {
    let timeout = PostgresOptions::default().timeout;
    let connector = Arc::new(Connector::new(server.clone(), timeout).map_err(OpenError::Server)?);
    let session = connector.connect().await.map_err(OpenError::Server)?;
    let found = look(&session).await;
    connector.close().await;
    found
}

async fn look(session: &Session) -> Result<Option<Inspection>, OpenError> {
    let Some(state) = read_state(session).await? else { return Ok(None) };
    state.refuse_if_too_new()?;
    let keyring_checks =
        if state.schema == 0 { Vec::new() } else { service::list_checks(session).await.map_err(failed)? };
    Ok(Some(Inspection { schema: state.schema, keyring_checks }))
}

/// Brings the database to this version's schema, if the options allow it. Any number of nodes may do so at once.
pub(super) async fn migrate(
    session: &Session,
    migrations: Migrations,
    now: Timestamp,
) -> Result<(), OpenError> {
    let mut tries = 0;
    loop {
        let before = read_state(session).await?;
        if let Some(state) = &before {
            state.refuse_if_too_new()?;
            if state.schema >= APPLICATION_SCHEMA {
                return Ok(());
            }
            if migrations == Migrations::OnlyIfNew {
                return Err(OpenError::MigrationsPending { schema: state.schema });
            }
        }
        match apply(session, before, now).await {
            Ok(()) => return Ok(()),
            Err(trouble) if tries < TRIES && is_beaten(&trouble) => tries += 1,
            Err(trouble) => return Err(failed(trouble)),
        }
    }
}

/// Whether another node was quicker. Its table, the type of that table's rows, or its record of the same migration,
/// was in the way.
fn is_beaten(trouble: &Trouble) -> bool {
    let met = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    matches!(trouble, Trouble::Again(_)) || trouble.refusal().is_some_and(|code| met.contains(code))
}

/// Runs the migrations that were not run, all in one transaction.
async fn apply(session: &Session, before: Option<State>, now: Timestamp) -> Result<(), Trouble> {
    session.batch("BEGIN; SET LOCAL statement_timeout = 0").await?;
    let steps = async {
        if before.is_none() {
            session.batch(CREATE).await?;
        }
        let schema = before.map_or(0, |state| state.schema);
        let due = MIGRATIONS.iter().filter(|migration| migration.number > schema);
        // All are recorded first: the record's key makes every other node wait for this transaction.
        for migration in due.clone() {
            let (number, lowest) =
                (i64::from(migration.number), i64::from(migration.lowest_application_schema));
            session.query(RECORD, &[&number, &migration.name, &lowest, &now.as_micros()]).await?;
        }
        for migration in due {
            session.batch(migration.postgres).await?;
        }
        Ok(())
    };
    let steps = steps.await;
    session.end(steps).await
}

/// How far the database has come; `None` if nothing of ours is in it.
async fn read_state(session: &Session) -> Result<Option<State>, OpenError> {
    let found = session.query(COLUMNS, &[]).await.map_err(failed)?;
    if found.is_empty() {
        return Ok(None);
    }
    let mut is_ours = false;
    for row in &found {
        let (table, columns): (&str, &str) =
            (rows::get(row, "table_name").map_err(failed)?, rows::get(row, "columns").map_err(failed)?);
        is_ours |= table == "schema_migrations" && columns == MIGRATION_COLUMNS;
    }
    if !is_ours {
        return Err(OpenError::ForeignSchema);
    }
    let mut applied = Vec::new();
    for row in session.query(APPLIED, &[]).await.map_err(failed)? {
        let number =
            |column| rows::get::<i64>(&row, column).ok().and_then(|number| u32::try_from(number).ok());
        let (Some(schema), Some(lowest)) = (number("number"), number("lowest_application_schema")) else {
            return Err(OpenError::ForeignSchema);
        };
        applied.push((schema, rows::get(&row, "name").map_err(failed)?, lowest));
    }
    State::read(applied).map(Some)
}

fn failed(trouble: Trouble) -> OpenError {
    let error = trouble.into_error();
    match std::error::Error::source(&error) {
        Some(cause) => OpenError::Server(in_full(cause).into()),
        None => OpenError::Server(Box::new(error)),
    }
}
