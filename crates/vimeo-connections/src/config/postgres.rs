//! How a PostgreSQL server is used.

use app::{Coalesce, PostgresOptions};

use super::Reader;

impl Reader<'_> {
    pub(super) fn postgres(&self) -> Option<PostgresOptions> {
        let count = |key| self.number(key).and_then(|count| usize::try_from(count).ok());
        Some(PostgresOptions {
            coalesce: match self.text("store.coalesce")?.as_str() {
                "account" => Coalesce::Account,
                _ => Coalesce::All,
            },
            readers: count("store.readers")?,
            writers: count("store.writers")?,
        })
    }
}
