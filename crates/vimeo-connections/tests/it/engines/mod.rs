//! The database engines, and the migration between them.

pub(crate) mod migration;
pub(crate) mod patroni;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod sqlite;
