//! From SQLite's values to domain values and errors.

use domain::secret::WrappedKey;
use domain::time::Timestamp;
use rusqlite::types::{FromSql, Type};
use rusqlite::{ErrorCode, Row};

use crate::Error;

/// A row's columns in the order of the statement: a lookup by name would compare names for every column of every row.
pub(super) struct Columns<'a, 'row> {
    row: &'a Row<'row>,
    next: usize,
}

impl<'a, 'row> Columns<'a, 'row> {
    pub(super) fn of(row: &'a Row<'row>) -> Self {
        Self { row, next: 0 }
    }

    /// The value of the next column, which has this name.
    pub(super) fn get<T: FromSql>(&mut self, name: &str) -> rusqlite::Result<T> {
        debug_assert_eq!(self.row.as_ref().column_name(self.next), Ok(name));
        let value = self.row.get(self.next);
        self.next += 1;
        value
    }

    /// The next column, in microseconds.
    pub(super) fn get_instant(&mut self, name: &str) -> rusqlite::Result<Timestamp> {
        self.get(name).map(Timestamp::from_micros)
    }
}

/// A column of exactly `N` bytes.
pub(super) fn bytes<const N: usize>(row: &Row<'_>, column: &str) -> rusqlite::Result<[u8; N]> {
    let blob: Vec<u8> = row.get(column)?;
    blob.try_into().map_err(|_| impossible(column, Type::Blob))
}

/// A column of a wrapped key.
pub(super) fn wrapped_key(row: &Row<'_>, column: &str) -> rusqlite::Result<WrappedKey> {
    bytes(row, column).map(WrappedKey)
}

/// A column of microseconds.
pub(super) fn instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

/// A column of microseconds or nothing.
pub(super) fn optional_instant(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp::from_micros))
}

/// A column with one of a set of names.
pub(super) fn parsed<T>(
    row: &Row<'_>,
    column: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text).ok_or_else(|| impossible(column, Type::Text))
}

/// The error for a row that the service cannot have written.
pub(super) fn impossible(column: &str, kind: Type) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(0, kind, format!("column {column}").into())
}

/// A read's error, sorted by what the caller does next.
pub(super) fn read_error(error: rusqlite::Error) -> Error {
    match error {
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::Utf8Error(..) => Error::Corrupt(error.to_string()),
        rusqlite::Error::SqliteFailure(code, _) if code.code == ErrorCode::DatabaseCorrupt => {
            Error::Corrupt(error.to_string())
        }
        _ => Error::Unavailable(Box::new(error)),
    }
}
