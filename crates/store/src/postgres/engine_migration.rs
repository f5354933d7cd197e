//! The target of an engine migration: its mark, which keeps it closed until the copy is compared, and its rows.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Timestamp;

use super::connector::{Connector, Purpose};
use super::parameters::{Parameter, Parameters};
use super::pg_error::PgError;
use super::rows;
use super::schema;
use super::sessions::{Isolation, Positional, Session};
use crate::engine_migration::EngineMigrationState;
use crate::migrations::{ENGINE_MIGRATION, lowest_without_engine_migration};
use crate::sql::statement;
use crate::tables::{Column, Kind, Row, TABLES, Table, Value};
use crate::url::Server;
use crate::{APPLICATION_SCHEMA, EngineMigrationError, Migrations, OpenError};

/// How long connecting, and one statement except a count, may take at least: no caller waits for the answer.
const LEAST_TIMEOUT: Duration = Duration::from_secs(30);

const SQL: &str = include_str!("sql/engine_migration.sql");
const FIND_MARK: &str = statement(SQL, "find_target_mark");
const INSERT_MARK: &str = statement(SQL, "insert_target_mark");
const COMPLETE_MARK: &str = statement(SQL, "complete_target_mark");

/// The mark of a target.
pub(crate) struct TargetMark {
    pub(crate) id: String,
    pub(crate) from: String,
    pub(crate) state: EngineMigrationState,
}

pub(super) async fn find_target_mark(session: &Session) -> Result<Option<TargetMark>, PgError> {
    let found = session.query_named(FIND_MARK, &[]).await?;
    let Some(row) = found.first() else { return Ok(None) };
    let state = if rows::get::<&str>(row, "state")? == "done" {
        EngineMigrationState::Done
    } else {
        EngineMigrationState::Running
    };
    Ok(Some(TargetMark { id: rows::get(row, "move_id")?, from: rows::get(row, "other_side")?, state }))
}

/// A target, in one session: if that is lost, the migration ends and can be resumed.
pub(crate) struct Target {
    connector: Connector,
    session: Arc<Session>,
}

impl Target {
    /// Connects, without changing anything.
    pub(crate) async fn open(server: Server) -> Result<Self, EngineMigrationError> {
        let timeout = server.timeout.max(LEAST_TIMEOUT);
        Self::open_with(Server { timeout, ..server }).await
    }

    async fn open_with(server: Server) -> Result<Self, EngineMigrationError> {
        let connector = Connector::new(server).map_err(OpenError::Server)?;
        match connector.connect(Purpose::Write).await {
            Ok(session) => Ok(Self { connector, session }),
            Err(error) => {
                connector.close().await;
                Err(OpenError::Server(error).into())
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.session.abandon();
        self.connector.close().await;
    }

    /// Its mark. Fails for a database whose schema is not this version's.
    pub(crate) async fn find_mark(&self) -> Result<Option<TargetMark>, EngineMigrationError> {
        let Some(state) = schema::read_state(&self.session).await? else { return Ok(None) };
        state.refuse_if_too_new()?;
        if state.schema > APPLICATION_SCHEMA {
            return Err(EngineMigrationError::NewerSchema { schema: state.schema });
        }
        if state.schema < ENGINE_MIGRATION {
            return Ok(None);
        }
        let found = find_target_mark(&self.session).await.map_err(failed)?;
        if found.is_some() && state.schema < APPLICATION_SCHEMA {
            return Err(OpenError::MigrationsPending { schema: state.schema }.into());
        }
        Ok(found)
    }

    /// The tables that have rows.
    pub(crate) async fn list_non_empty(&self) -> Result<Vec<&'static str>, EngineMigrationError> {
        let mut non_empty = Vec::new();
        for table in &TABLES {
            if schema::table_exists(&self.session, table.name).await.map_err(failed)?
                && !self.query(&format!("SELECT 1 FROM {} LIMIT 1", table.name), &[]).await?.is_empty()
            {
                non_empty.push(table.name);
            }
        }
        Ok(non_empty)
    }

    /// Brings an empty database to this version's schema.
    pub(crate) async fn migrate(&self, now: Timestamp) -> Result<(), EngineMigrationError> {
        Ok(schema::migrate(&self.session, Migrations::Apply, now).await?)
    }

    /// Marks it: from the commit on it cannot be opened.
    pub(crate) async fn mark(
        &self,
        id: &str,
        from: &str,
        now: Timestamp,
    ) -> Result<(), EngineMigrationError> {
        self.transact(async {
            let parameters: Parameters<'_> =
                &[("move_id", &id), ("other_side", &from), ("started_at", &now.as_micros())];
            self.session.query_named(INSERT_MARK, parameters).await?;
            schema::set_lowest_application_schema(&self.session, ENGINE_MIGRATION, ENGINE_MIGRATION).await
        })
        .await
    }

    /// Completes the mark, so that the database can be opened, if it is still the one of this migration. [`EngineMigrationError::MarkLost`].
    pub(crate) async fn mark_done(&self, id: &str, now: Timestamp) -> Result<(), EngineMigrationError> {
        let marking = self.transact(async {
            let parameters: Parameters<'_> = &[("move_id", &id), ("ended_at", &now.as_micros())];
            if self.session.query_named(COMPLETE_MARK, parameters).await?.is_empty() {
                return Ok(false);
            }
            schema::set_lowest_application_schema(
                &self.session,
                ENGINE_MIGRATION,
                lowest_without_engine_migration(),
            )
            .await?;
            Ok(true)
        });
        if marking.await? { Ok(()) } else { Err(EngineMigrationError::MarkLost { side: "the target" }) }
    }

    async fn transact<T>(
        &self,
        steps: impl Future<Output = Result<T, PgError>>,
    ) -> Result<T, EngineMigrationError> {
        self.session.begin(Isolation::ReadCommitted).await.map_err(failed)?;
        let steps = steps.await;
        self.session.end(steps).await.map_err(failed)
    }

    /// Without a time limit: a table may have any number of rows.
    pub(crate) async fn count(&self, table: &Table) -> Result<u64, EngineMigrationError> {
        let sql = format!("SELECT count(*) AS rows FROM {}", table.name);
        let counting = self.transact(async {
            self.session.batch("SET LOCAL statement_timeout = 0").await?;
            self.session.query_without_limit(&sql).await
        });
        let found = counting.await?;
        found.first().map_or(Ok(0), |row| rows::count(row, "rows")).map_err(failed)
    }

    /// The key of the last row.
    pub(crate) async fn find_last_key(
        &self,
        table: &Table,
    ) -> Result<Option<Vec<Value>>, EngineMigrationError> {
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {} LIMIT 1",
            table.key_list(""),
            table.name,
            table.key_list(" DESC")
        );
        let found = self.query(&sql, &[]).await?;
        found.first().map(|row| read(table.key(), row).map(|row| row.0)).transpose().map_err(failed)
    }

    /// The rows after a key, in the order of their keys, at most `limit`.
    pub(crate) async fn list(
        &self,
        table: &Table,
        after: Option<&[Value]>,
        limit: usize,
    ) -> Result<Vec<Row>, EngineMigrationError> {
        let (columns, name, order) = (table.column_list(), table.name, table.key_list(""));
        let after = after.unwrap_or_default();
        let beyond = match after {
            [] => String::new(),
            key => {
                let places: Vec<_> = (1..=key.len()).map(|place| format!("${place}")).collect();
                format!("WHERE ({order}) > ({})", places.join(", "))
            }
        };
        let sql = format!("SELECT {columns} FROM {name} {beyond} ORDER BY {order} LIMIT {limit}");
        let columns: Vec<_> =
            table.key().iter().zip(after).map(|(column, value)| one(column, value)).collect();
        let parameters: Vec<_> = columns.iter().map(|value| &**value as &dyn Parameter).collect();
        let found = self.query(&sql, &parameters).await?;
        found.iter().map(|row| read(table.columns, row)).collect::<Result<_, _>>().map_err(failed)
    }

    /// Adds rows in one transaction. Rows that exist already are left unchanged: the comparison reads them.
    pub(crate) async fn insert(&self, table: &Table, rows: &[Row]) -> Result<(), EngineMigrationError> {
        let sql = insertion(table);
        match self.insert_by(&sql, table, rows).await {
            Err(error) if error.rejected_data().is_some() => {}
            result => return result.map_err(failed),
        }
        // Find the row that was rejected.
        for row in rows {
            match self.insert_by(&sql, table, std::slice::from_ref(row)).await {
                Ok(()) => {}
                Err(error) => {
                    return Err(match error.rejected_data() {
                        Some(said) => {
                            let why = table.column_with_nul(row).map_or_else(
                                || said.to_owned(),
                                |column| format!("its {column} has a NUL, which PostgreSQL does not take"),
                            );
                            EngineMigrationError::CannotBeCopied { row: table.name_of(row), why }
                        }
                        None => failed(error),
                    });
                }
            }
        }
        Ok(())
    }

    async fn insert_by(&self, sql: &str, table: &Table, rows: &[Row]) -> Result<(), PgError> {
        let columns = table.columns.iter().enumerate();
        let columns: Vec<_> = columns.map(|(index, column)| array(column, index, rows)).collect();
        let parameters: Vec<_> = columns.iter().map(|values| &**values as &dyn Parameter).collect();
        self.session.query(sql, &parameters).await.map(drop)
    }

    async fn query(
        &self,
        sql: &str,
        parameters: Positional<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, EngineMigrationError> {
        self.session.query(sql, parameters).await.map_err(failed)
    }
}

/// The statement that adds rows, with an array for each column.
fn insertion(table: &Table) -> String {
    let places = (1..).zip(table.columns);
    let arrays: Vec<_> = places.map(|(place, column)| format!("${place}::{}[]", type_of(column))).collect();
    format!(
        "INSERT INTO {} ({}) SELECT * FROM unnest({}) ON CONFLICT ({}) DO NOTHING",
        table.name,
        table.column_list(),
        arrays.join(", "),
        table.key_list("")
    )
}

fn type_of(column: &Column) -> &'static str {
    match column.kind {
        Kind::Text => "text",
        Kind::Integer => "bigint",
        Kind::Boolean => "boolean",
        Kind::Bytes => "bytea",
    }
}

type BoxedParameter<'a> = Box<dyn Parameter + Send + 'a>;

/// A value as a parameter.
fn one<'a>(column: &Column, value: &'a Value) -> BoxedParameter<'a> {
    match column.kind {
        Kind::Text => Box::new(text(value)),
        Kind::Integer => Box::new(integer(value)),
        Kind::Boolean => Box::new(boolean(value)),
        Kind::Bytes => Box::new(bytes(value)),
    }
}

/// One column of many rows as a parameter.
fn array<'a>(column: &Column, index: usize, rows: &'a [Row]) -> BoxedParameter<'a> {
    let values = rows.iter().map(|row| row.0.get(index).unwrap_or(&Value::Nothing));
    match column.kind {
        Kind::Text => Box::new(values.map(text).collect::<Vec<_>>()),
        Kind::Integer => Box::new(values.map(integer).collect::<Vec<_>>()),
        Kind::Boolean => Box::new(values.map(boolean).collect::<Vec<_>>()),
        Kind::Bytes => Box::new(values.map(bytes).collect::<Vec<_>>()),
    }
}

fn text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn integer(value: &Value) -> Option<i64> {
    if let Value::Integer(number) = value { Some(*number) } else { None }
}

fn boolean(value: &Value) -> Option<bool> {
    if let Value::Boolean(is_so) = value { Some(*is_so) } else { None }
}

fn bytes(value: &Value) -> Option<&[u8]> {
    if let Value::Bytes(bytes) = value { Some(bytes) } else { None }
}

fn read(columns: &[Column], row: &tokio_postgres::Row) -> Result<Row, PgError> {
    let value = |column: &Column| {
        let name = column.name;
        let found = match column.kind {
            Kind::Text => rows::get::<Option<String>>(row, name)?.map(Value::Text),
            Kind::Integer => rows::get::<Option<i64>>(row, name)?.map(Value::Integer),
            Kind::Boolean => rows::get::<Option<bool>>(row, name)?.map(Value::Boolean),
            Kind::Bytes => rows::get::<Option<Vec<u8>>>(row, name)?.map(Value::Bytes),
        };
        Ok(found.unwrap_or(Value::Nothing))
    };
    columns.iter().map(value).collect::<Result<_, PgError>>().map(Row)
}

fn failed(error: PgError) -> EngineMigrationError {
    match schema::failed(error) {
        OpenError::Server(cause) => EngineMigrationError::Target(cause),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::test_database;
    use crate::url::Location;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_count_may_take_longer_than_any_other_statement() {
        let Some(db) = test_database::postgres_15().await else { return };
        let slow = "CREATE VIEW accounts AS SELECT 1 AS account_id FROM pg_sleep(3)";
        db.sql(slow).await;
        let Location::Postgres(server) = db.database_url().location else { panic!() };
        let target = Target::open_with(Server { timeout: Duration::from_secs(1), ..*server }).await.unwrap();
        let table = TABLES.iter().find(|table| table.name == "accounts").unwrap();
        assert_eq!(target.count(table).await.unwrap(), 1);
        let other = target.query("SELECT account_id FROM accounts", &[]).await;
        assert!(matches!(other, Err(EngineMigrationError::Target(_))), "no other statement may");
        target.close().await;
    }
}
