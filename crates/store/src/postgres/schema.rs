//! Migrating a database to this version's schema, in one transaction; and inspecting one without changing it.

use std::sync::Arc;
use std::time::Duration;

use domain::account::Label;
use domain::api_key::HashedKey;
use domain::service_secrets::ServiceSecrets;
use domain::time::Timestamp;
use tokio::time::Instant;
use tokio_postgres::error::SqlState;

use super::connector::{Connector, Purpose};
use super::engine_migration::{self, TargetMark};
use super::keyring;
use super::parameters::Parameters;
use super::pg_error::PgError;
use super::pooling;
use super::rows;
use super::sessions::{Isolation, Session};
use super::{accounts, api_keys, service_secrets};
use crate::engine_migration::EngineMigrationState;
use crate::error::in_full;
use crate::migrations::{ENGINE_MIGRATION, MIGRATIONS, SCOPES, SERVICE_SECRETS, State};
use crate::sql::statement;
use crate::url::Server;
use crate::{APPLICATION_SCHEMA, Inspection, KeyInspection, Migrations, OpenError};

/// How long the migrations of another node, or other locks on the tables, are waited for.
const WAITING: Duration = Duration::from_mins(5);
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(100);

const SQL: &str = include_str!("sql/schema.sql");
const FIND_ENCODING: &str = statement(SQL, "find_encoding");
const LIST_TABLES: &str = statement(SQL, "list_tables");
const CHECK_SCHEMA_PRIVILEGES: &str = statement(SQL, "check_schema_privileges");
const CHECK_TABLE_PRIVILEGES: &str = statement(SQL, "check_table_privileges");
const LIST_MIGRATIONS: &str = statement(SQL, "list_migrations");
const CREATE_MIGRATIONS: &str = statement(SQL, "create_schema_migrations");
const INSERT_MIGRATION: &str = statement(SQL, "insert_migration");
const SET_LOWEST_APPLICATION_SCHEMA: &str = statement(SQL, "set_lowest_application_schema");
const TABLE_EXISTS: &str = statement(SQL, "table_exists");

/// The columns of `schema_migrations`, which distinguish our tables from another program's.
const MIGRATION_COLUMNS: &str = "applied_at,lowest_application_schema,name,number";
const PRIVILEGES_ADVICE: &str = ". Make the role the owner of the database, or GRANT it CREATE and USAGE ON SCHEMA public and, \
    where another role made the tables, all rights on them";

/// Inspects a database without changing it.
pub(crate) async fn inspect(server: &Server) -> Result<Option<Inspection>, OpenError> {
    in_a_session(server, async |session, connector| {
        pooling::check(connector, session).await?;
        look(session).await
    })
    .await
}

/// Looks up an account and a key in a database that has a schema, without changing it.
pub(crate) async fn inspect_key(
    server: &Server,
    account: &Label,
    key: Option<&HashedKey>,
) -> Result<KeyInspection, OpenError> {
    let looking = async |session: &Session, schema: u32| {
        let found = session.query_named(accounts::FIND_BY_NAME, &[("name", &account.as_str())]).await?;
        let account = found.first().map(accounts::account_from).transpose()?;
        let Some(key) = key else { return Ok(KeyInspection { account, key: None }) };
        let sql = if schema < SCOPES { api_keys::INSPECT_WITHOUT_SCOPES } else { api_keys::INSPECT_BY_HASH };
        let found = session.query_named(sql, &[("key_hash", &key.0.as_slice())]).await?;
        Ok(KeyInspection { account, key: found.first().map(api_keys::api_key_from).transpose()? })
    };
    in_a_session(server, async |session, _| {
        let schema = read_state(session).await?.map_or(0, |state| state.schema);
        looking(session, schema).await.map_err(failed)
    })
    .await
}

/// Fails if the role may not create tables, as migrations do.
pub(crate) async fn check_rights(server: &Server) -> Result<(), OpenError> {
    check_privilege(server, CHECK_SCHEMA_PRIVILEGES, "schema public").await
}

/// Fails if the role may not write the table of the write probe, which nothing else would show at the start.
pub(crate) async fn check_grants(server: &Server) -> Result<(), OpenError> {
    check_privilege(server, CHECK_TABLE_PRIVILEGES, "table write_probes").await
}

async fn check_privilege(server: &Server, sql: &'static str, of: &str) -> Result<(), OpenError> {
    let asking = async |session: &Session| {
        let found = session.query_named(sql, &[]).await?;
        found.first().map_or(Ok(false), |row| rows::get(row, "is_granted"))
    };
    in_a_session(server, async |session, _| match asking(session).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Server(format!("permission denied for {of}{PRIVILEGES_ADVICE}").into())),
        Err(error) => Err(failed(error)),
    })
    .await
}

async fn in_a_session<T>(
    server: &Server,
    work: impl AsyncFnOnce(&Session, &Connector) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let connector = Arc::new(Connector::new(server.clone()).map_err(OpenError::Server)?);
    let session = connector.connect(Purpose::Write).await.map_err(OpenError::Server)?;
    let found = work(&session, &connector).await;
    connector.close().await;
    found
}

async fn look(session: &Session) -> Result<Option<Inspection>, OpenError> {
    let Some(state) = read_state(session).await? else { return Ok(None) };
    state.refuse_if_too_new()?;
    refuse_unfinished(session, state).await?;
    if state.schema == 0 {
        return Ok(Some(Inspection { schema: 0, keyring_checks: Vec::new(), service_secrets: None }));
    }
    let keyring_checks = keyring::list_checks(session).await.map_err(failed)?;
    let service_secrets = if state.schema < SERVICE_SECRETS {
        keyring::find_secret(session).await.map(|found| found.map(ServiceSecrets::of))
    } else {
        service_secrets::find(session).await
    };
    let service_secrets = service_secrets.map_err(failed)?;
    Ok(Some(Inspection { schema: state.schema, keyring_checks, service_secrets }))
}

/// Migrates the database to this version's schema, if the options allow it. Any number of nodes may do so at once.
pub(super) async fn migrate(
    session: &Session,
    migrations: Migrations,
    now: Timestamp,
) -> Result<(), OpenError> {
    let deadline = Instant::now() + WAITING;
    loop {
        let before = read_state(session).await?;
        if let Some(state) = &before {
            state.refuse_if_too_new()?;
            refuse_unfinished(session, *state).await?;
            if state.schema >= APPLICATION_SCHEMA {
                return Ok(());
            }
            if migrations == Migrations::OnlyIfNew {
                return Err(OpenError::MigrationsPending { schema: state.schema });
            }
        }
        match apply(session, before, now).await {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() < deadline && lost_race(&error) => {
                tracing::info!(
                    "another node migrates the database, or another program locks its tables: waiting"
                );
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(failed(error)),
        }
    }
}

/// Fails for the target of an engine migration that has not completed.
async fn refuse_unfinished(session: &Session, state: State) -> Result<(), OpenError> {
    if state.schema < ENGINE_MIGRATION {
        return Ok(());
    }
    match engine_migration::find_target_mark(session).await.map_err(failed)? {
        Some(TargetMark { state: EngineMigrationState::Running, from, .. }) => {
            Err(OpenError::UnfinishedCopy { from })
        }
        _ => Ok(()),
    }
}

/// Whether another node migrated first: its table, the type of that table's rows, or its record of the same migration
/// conflicts.
fn lost_race(error: &PgError) -> bool {
    let met = [
        SqlState::UNIQUE_VIOLATION,
        SqlState::DUPLICATE_TABLE,
        SqlState::DUPLICATE_OBJECT,
        SqlState::LOCK_NOT_AVAILABLE,
    ];
    matches!(error, PgError::Conflict(_)) || error.rejection().is_some_and(|code| met.contains(code))
}

/// Runs the pending migrations, all in one transaction.
async fn apply(session: &Session, before: Option<State>, now: Timestamp) -> Result<(), PgError> {
    session.begin(Isolation::ReadCommitted).await?;
    let steps = async {
        session.batch("SET LOCAL statement_timeout = 0").await?;
        if before.is_none() {
            session.batch(CREATE_MIGRATIONS).await?;
        }
        let schema = before.map_or(0, |state| state.schema);
        let due = MIGRATIONS.iter().filter(|migration| migration.number > schema);
        // All are recorded first: the key of the record makes every other node wait for this transaction.
        for migration in due.clone() {
            let parameters: Parameters<'_> = &[
                ("number", &i64::from(migration.number)),
                ("name", &migration.name),
                ("lowest_application_schema", &i64::from(migration.lowest_application_schema)),
                ("applied_at", &now.as_micros()),
            ];
            session.query_named(INSERT_MIGRATION, parameters).await?;
        }
        for migration in due {
            // Without a time limit; the network shows whether the server is lost.
            session.batch_without_limit(migration.postgres).await?;
        }
        Ok(())
    };
    let steps = steps.await;
    session.end(steps).await
}

/// Sets the lowest application schema that a migration states.
pub(super) async fn set_lowest_application_schema(
    session: &Session,
    number: u32,
    lowest: u32,
) -> Result<(), PgError> {
    let parameters: Parameters<'_> =
        &[("number", &i64::from(number)), ("lowest_application_schema", &i64::from(lowest))];
    session.query_named(SET_LOWEST_APPLICATION_SCHEMA, parameters).await.map(drop)
}

/// Whether the schema `public` has a table of this name.
pub(super) async fn table_exists(session: &Session, name: &str) -> Result<bool, PgError> {
    let found = session.query_named(TABLE_EXISTS, &[("name", &name)]).await?;
    found.first().map_or(Ok(false), |row| rows::get(row, "is_there"))
}

/// The schema of the database; `None` if it has no table.
pub(super) async fn read_state(session: &Session) -> Result<Option<State>, OpenError> {
    let encoding = session.query_named(FIND_ENCODING, &[]).await.map_err(failed)?;
    let encoding = encoding.first().map_or(Ok("UTF8"), |row| rows::get(row, "encoding")).map_err(failed)?;
    if encoding != "UTF8" {
        let text = format!(
            "the encoding of the database is {encoding}, and names may have any letter: it must be UTF8"
        );
        return Err(OpenError::Server(text.into()));
    }
    let found = session.query_named(LIST_TABLES, &[]).await.map_err(failed)?;
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
    for row in session.query_named(LIST_MIGRATIONS, &[]).await.map_err(failed)? {
        let number =
            |column| rows::get::<i64>(&row, column).ok().and_then(|number| u32::try_from(number).ok());
        let (Some(schema), Some(lowest)) = (number("number"), number("lowest_application_schema")) else {
            return Err(OpenError::ForeignSchema);
        };
        applied.push((schema, rows::get(&row, "name").map_err(failed)?, lowest));
    }
    State::read(applied).map(Some)
}

pub(super) fn failed(error: PgError) -> OpenError {
    let is_pooler_fault = error.is_pooler_fault();
    let may_not = error.rejection() == Some(&SqlState::INSUFFICIENT_PRIVILEGE);
    let error = error.into_error();
    let mut text = std::error::Error::source(&error).map_or_else(|| error.to_string(), in_full);
    if may_not {
        text += PRIVILEGES_ADVICE;
    }
    if is_pooler_fault { OpenError::ServerConfiguration(text) } else { OpenError::Server(text.into()) }
}
