//! From PostgreSQL's values to domain values.

use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};
use domain::time::Timestamp;
use tokio_postgres::types::FromSql;
use tokio_postgres::{Column, Row};

use super::pg_error::PgError;

/// A row's columns in the order of the statement: a lookup by name would compare names for every column of every row.
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    /// The value of the next column, which has this name.
    pub(super) fn get<T: FromSql<'a>>(&mut self, name: &str) -> Result<T, PgError> {
        debug_assert_eq!(self.row.columns().get(self.next).map(Column::name), Some(name));
        let at = self.next;
        self.next += 1;
        self.row.try_get(at).map_err(|_| impossible(name))
    }

    /// The next column, in microseconds.
    pub(super) fn get_instant(&mut self, name: &str) -> Result<Timestamp, PgError> {
        self.get(name).map(Timestamp::from_micros)
    }

    /// The next column, a number that counts up.
    pub(super) fn get_count(&mut self, name: &str) -> Result<u64, PgError> {
        self.get::<i64>(name)?.try_into().map_err(|_| impossible(name))
    }
}

/// A column's value.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, PgError> {
    row.try_get(column).map_err(|_| impossible(column))
}

/// A column of exactly `N` bytes.
pub(super) fn bytes<const N: usize>(row: &Row, column: &str) -> Result<[u8; N], PgError> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| impossible(column))
}

/// A column of a wrapped key.
pub(super) fn wrapped_key(row: &Row, column: &str) -> Result<WrappedKey, PgError> {
    bytes(row, column).map(WrappedKey)
}

/// The two columns of a key that is wrapped by the keyring.
pub(super) fn keyring_wrapped(row: &Row) -> Result<KeyringWrapped, PgError> {
    Ok(KeyringWrapped {
        keyring_key: KeyringKeyId(get(row, "keyring_key_id")?),
        wrapped: wrapped_key(row, "wrapped_key")?,
    })
}

/// A column in microseconds.
pub(super) fn instant(row: &Row, column: &str) -> Result<Timestamp, PgError> {
    get(row, column).map(Timestamp::from_micros)
}

/// A nullable column in microseconds.
pub(super) fn optional_instant(row: &Row, column: &str) -> Result<Option<Timestamp>, PgError> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

/// A column of a number that counts up.
pub(super) fn count(row: &Row, column: &str) -> Result<u64, PgError> {
    get::<i64>(row, column)?.try_into().map_err(|_| impossible(column))
}

/// A number that counts up, for a column. No row has one beyond the column's range.
pub(super) fn stored_count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The error for a row that the service cannot have written: the column that shows it.
pub(super) fn impossible(column: &str) -> PgError {
    PgError::Corrupt(format!("column {column}"))
}
