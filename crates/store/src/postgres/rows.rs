//! From PostgreSQL's values to domain values.

use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};
use domain::time::Timestamp;
use tokio_postgres::types::FromSql;
use tokio_postgres::{Column, Row};

use super::trouble::Trouble;

/// A row's columns in the order of the statement. By name, each would be searched for among all of them in every row.
pub(super) struct Columns<'a> {
    row: &'a Row,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, next: 0 }
    }

    /// The next one's value.
    pub(super) fn take<T: FromSql<'a>>(&mut self) -> Result<T, Trouble> {
        let at = self.next;
        self.next += 1;
        self.row.try_get(at).map_err(|_| self.impossible(at))
    }

    /// The next one, of microseconds.
    pub(super) fn take_instant(&mut self) -> Result<Timestamp, Trouble> {
        self.take().map(Timestamp::from_micros)
    }

    /// The next one, of a number that counts up.
    pub(super) fn take_count(&mut self) -> Result<u64, Trouble> {
        let at = self.next;
        self.take::<i64>()?.try_into().map_err(|_| self.impossible(at))
    }

    fn impossible(&self, at: usize) -> Trouble {
        impossible(self.row.columns().get(at).map_or("of too short a row", Column::name))
    }
}

/// A column's value.
pub(super) fn get<'a, T: FromSql<'a>>(row: &'a Row, column: &str) -> Result<T, Trouble> {
    row.try_get(column).map_err(|_| impossible(column))
}

/// A column of exactly `N` bytes.
pub(super) fn bytes<const N: usize>(row: &Row, column: &str) -> Result<[u8; N], Trouble> {
    get::<&[u8]>(row, column)?.try_into().map_err(|_| impossible(column))
}

/// A column of a wrapped key.
pub(super) fn wrapped_key(row: &Row, column: &str) -> Result<WrappedKey, Trouble> {
    bytes(row, column).map(WrappedKey)
}

/// The two columns of a key that the keyring wraps.
pub(super) fn keyring_wrapped(row: &Row) -> Result<KeyringWrapped, Trouble> {
    Ok(KeyringWrapped {
        keyring_key: KeyringKeyId(get(row, "keyring_key_id")?),
        wrapped: wrapped_key(row, "wrapped_key")?,
    })
}

/// A column of microseconds.
pub(super) fn instant(row: &Row, column: &str) -> Result<Timestamp, Trouble> {
    get(row, column).map(Timestamp::from_micros)
}

/// A column of microseconds or nothing.
pub(super) fn optional_instant(row: &Row, column: &str) -> Result<Option<Timestamp>, Trouble> {
    Ok(get::<Option<i64>>(row, column)?.map(Timestamp::from_micros))
}

/// A column of a number that counts up.
pub(super) fn count(row: &Row, column: &str) -> Result<u64, Trouble> {
    get::<i64>(row, column)?.try_into().map_err(|_| impossible(column))
}

/// A number that counts up, for a column. What is beyond is nothing that the service makes, and no row has it.
pub(super) fn stored_count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The error for a row that the service cannot have written.
pub(super) fn impossible(column: &str) -> Trouble {
    Trouble::Corrupt(format!("column {column}"))
}
