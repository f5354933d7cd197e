//! The audit log of an environment on either engine, as an administrator of the database sees it.

use serde_json::Value;

use crate::support::cluster::env_on_database;
use crate::support::harness::{EnvOptions, TestEnv, printed, until};
use crate::support::postgres::{SharedPostgres, Version};

/// An environment whose database is reached directly.
pub(crate) struct AuditEnv {
    pub(crate) env: TestEnv,
    postgres: Option<SharedPostgres>,
}

impl AuditEnv {
    pub(crate) async fn sqlite(config: &str) -> Self {
        Self { env: TestEnv::without_verification(config).await, postgres: None }
    }

    /// Credentials are verified with the sandbox.
    pub(crate) async fn verifying(config: &str) -> Self {
        let options = EnvOptions { config: config.to_owned(), ..EnvOptions::default() };
        Self { env: TestEnv::with(options).await, postgres: None }
    }

    /// `None`, and reported, if there is no server: the test is skipped.
    pub(crate) async fn postgres(config: &str) -> Option<Self> {
        let postgres = SharedPostgres::database(Version::V18)?;
        let env = env_on_database(&postgres.url(), config).await;
        Some(Self { env, postgres: Some(postgres) })
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.postgres.is_some()
    }

    /// Runs statements in the database.
    pub(crate) fn sql(&self, statements: &str) {
        match &self.postgres {
            Some(postgres) => drop(postgres.sql(statements)),
            None => self.env.database().execute_batch(statements).unwrap(),
        }
    }

    /// The only value of a query, as text.
    pub(crate) fn value(&self, query: &str) -> String {
        if let Some(postgres) = &self.postgres {
            return postgres.sql(query);
        }
        let text = |row: &rusqlite::Row<'_>| {
            Ok(match row.get(0)? {
                rusqlite::types::Value::Integer(number) => number.to_string(),
                rusqlite::types::Value::Text(text) => text,
                other => panic!("{other:?}"),
            })
        };
        self.env.database().query_row(query, [], text).unwrap()
    }

    /// The identifier of the event at a position.
    pub(crate) fn event_at(&self, position: u64) -> String {
        self.value(&format!("SELECT audit_event_id FROM audit_links WHERE position = {position}"))
    }

    /// The findings of `audit verify`: kind, event and position of each. Its exit status must agree.
    pub(crate) fn verify(&self, arguments: &[&str]) -> Vec<String> {
        let output = self.env.cli(&[&["audit", "verify", "--json"], arguments].concat(), "");
        let report: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", printed(&output)));
        let accounts = report["accounts"].as_array().unwrap();
        let findings: Vec<_> =
            accounts.iter().flat_map(|account| account["findings"].as_array().unwrap()).collect();
        assert_eq!(report["findings"], findings.len());
        assert_eq!(output.status.code(), Some(i32::from(!findings.is_empty())), "{report}");
        let shown = |finding: &Value| {
            let event = finding["eventId"].as_str().map(|id| format!(" {id}")).unwrap_or_default();
            let until =
                finding["untilPosition"].as_u64().map(|until| format!("-{until}")).unwrap_or_default();
            let position =
                finding["position"].as_u64().map(|at| format!(" at {at}{until}")).unwrap_or_default();
            format!("{}{event}{position}", finding["kind"].as_str().unwrap())
        };
        findings.into_iter().map(shown).collect()
    }

    /// Waits until every event is linked.
    pub(crate) async fn wait_for_links(&self) {
        let missing = "SELECT count(*) FROM audit_events AS e WHERE NOT EXISTS (
            SELECT 1 FROM audit_links AS l WHERE l.audit_event_id = e.audit_event_id)";
        until("all audit events are linked", async || self.value(missing) == "0").await;
    }
}
