//! A new database on a server that all tests share.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::postgres::{HOW_TO_HAVE_IT, Version, sql};
use crate::support::tools::skip;

/// Dropped with all its sessions and data.
pub(crate) struct SharedPostgres {
    /// The URL without the database, up to its slash.
    server: String,
    name: String,
}

impl SharedPostgres {
    /// An empty database. `None`, and reported, if there is no such server: the test is skipped. In CI this is a
    /// failure.
    pub(crate) fn database(version: Version) -> Option<Self> {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let Some(url) = version.variable("URL") else {
            skip(&format!("there is no shared PostgreSQL {version:?}; {HOW_TO_HAVE_IT}"));
            return None;
        };
        let server = url.strip_suffix("postgres").unwrap().to_owned();
        let name = format!("test_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        sql(&url, &format!("CREATE DATABASE {name}")).unwrap();
        Some(Self { server, name })
    }

    pub(crate) fn url(&self) -> String {
        format!("{}{}", self.server, self.name)
    }

    /// Runs statements, which must succeed: the rows, with columns separated by `|`.
    pub(crate) fn sql(&self, statements: &str) -> String {
        sql(&self.url(), statements).unwrap()
    }
}

impl Drop for SharedPostgres {
    fn drop(&mut self) {
        // A panic here would hide the failure of the test.
        let _ = sql(
            &format!("{}postgres", self.server),
            &format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name),
        );
    }
}
