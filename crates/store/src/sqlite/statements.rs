//! Running the statements of `sql/`, each prepared once and cached by its connection.

use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};

/// The values of a statement's parameters by their names, which begin with a colon.
pub(super) type Parameters<'a> = &'a [(&'a str, &'a dyn ToSql)];

/// Runs a statement that writes. Returns how many rows it wrote.
pub(super) fn execute(
    database: &Connection,
    sql: &'static str,
    parameters: Parameters<'_>,
) -> rusqlite::Result<usize> {
    database.prepare_cached(sql)?.execute(parameters)
}

/// The only row of a query, if there is one.
pub(super) fn find<T>(
    database: &Connection,
    sql: &'static str,
    parameters: Parameters<'_>,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    database.prepare_cached(sql)?.query_row(parameters, read).optional()
}

/// The first column of a query that always has one row.
pub(super) fn value<T: rusqlite::types::FromSql>(
    database: &Connection,
    sql: &'static str,
    parameters: Parameters<'_>,
) -> rusqlite::Result<T> {
    database.prepare_cached(sql)?.query_row(parameters, |row| row.get(0))
}

/// All rows of a query.
pub(super) fn list<T>(
    database: &Connection,
    sql: &'static str,
    parameters: Parameters<'_>,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    database.prepare_cached(sql)?.query_map(parameters, read)?.collect()
}

#[cfg(test)]
mod tests {
    use crate::contract::TestDatabase;
    use crate::sql::statements;

    #[tokio::test]
    async fn every_statement_of_the_files_is_one_that_the_schema_knows() {
        let db = TestDatabase::sqlite();
        db.open().await.close().await;
        let database = rusqlite::Connection::open(db.path()).unwrap();
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sqlite/sql");
        let mut count = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file: &str = std::fs::read_to_string(entry.unwrap().path()).unwrap().leak();
            for (name, sql) in statements(file) {
                database.prepare(sql).unwrap_or_else(|error| panic!("{name}: {error}"));
                count += 1;
            }
        }
        assert!(count > 40, "{count} statements");
    }
}
