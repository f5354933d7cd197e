//! Migrating from SQLite to each version of PostgreSQL: what is copied, and what is compared.

use std::collections::BTreeSet;

use domain::audit::Actor;
use rusqlite::Connection;

use super::engine_migration_samples::{
    filled, insert_account_2, migrate_to, migrations, recreate, refusal, uncomplete,
};
use super::job_samples::{self, terms};
use super::samples::{self, at, event, insert_account, insert_connection};
use super::test_database::TestDatabase;
use crate::tables::{Kind, TABLES};
use crate::{
    EngineMigrationError, EngineMigrationOutcome, EngineMigrationState, Error, JobFilter, Migrations,
    OpenError, Options, Store, find_source_mark, inspect, roll_back_engine_migration,
};

migrations! {
    every_column_of_both_engines_is_copied,
    a_copy_has_the_same_bytes,
    a_marked_source_accepts_no_writes,
    a_row_that_cannot_be_copied_is_named_and_nothing_completes,
    a_row_without_its_sealing_key_is_not_copied,
    a_changed_row_in_the_copy_is_found,
    an_added_row_in_the_copy_is_found,
    a_target_with_rows_is_left_unchanged,
}

/// The columns that the migration of limits adds.
const LIMIT_COLUMNS: [&str; 8] = [
    "max_requests_per_minute",
    "max_key_requests_per_minute",
    "max_connections",
    "max_jobs_in_progress",
    "max_idempotency_records",
    "max_event_streams",
    "max_webhook_endpoints",
    "max_open_authorizations",
];

async fn every_column_of_both_engines_is_copied(source: &TestDatabase, target: &TestDatabase) {
    source.open().await.close().await;
    target.open().await.close().await;
    let file = Connection::open(source.path()).unwrap();
    let mut statement = file
        .prepare(
            "SELECT t.name || '.' || c.name, c.type, c.pk FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT IN ('schema_migrations', 'moves', 'write_probes', 'sweeps', 'sealing_keys')",
        )
        .unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, usize>(2)?));
    let on_sqlite: BTreeSet<(String, String, usize)> =
        statement.query_map([], read).unwrap().map(Result::unwrap).collect();
    let expected = TABLES.iter().flat_map(|table| {
        table.columns.iter().enumerate().map(|(index, column)| {
            let db = if index < table.key().len() { index + 1 } else { 0 };
            match (table.name, column.name, column.kind) {
                (name, "wrapped_key", _) if table.is_sealed() => {
                    (format!("{name}.sealing_key_id"), "INTEGER".to_owned(), db)
                }
                (table, name, kind) => {
                    let kind = match kind {
                        Kind::Text => "TEXT",
                        Kind::Integer | Kind::Boolean => "INTEGER",
                        Kind::Bytes => "BLOB",
                    };
                    (format!("{table}.{name}"), kind.to_owned(), db)
                }
            }
        })
    });
    assert_eq!(on_sqlite, expected.collect());
    let on_postgres = target
        .sql(
            "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT IN ('schema_migrations', 'moves', 'write_probes', 'sweeps')",
        )
        .await;
    let expected = TABLES.iter().flat_map(|table| {
        table.columns.iter().map(|column| {
            let kind = match column.kind {
                Kind::Text => "text",
                Kind::Integer => "bigint",
                Kind::Boolean => "boolean",
                Kind::Bytes => "bytea",
            };
            format!("{}.{} {kind}", table.name, column.name)
        })
    });
    assert_eq!(on_postgres.into_iter().collect::<BTreeSet<_>>(), expected.collect());
}

async fn a_copy_has_the_same_bytes(source: &TestDatabase, target: &TestDatabase) {
    let mut file = filled(source).await;
    let transaction = file.transaction().unwrap();
    // Keys are ordered by their bytes, which is not the order of any language.
    for number in 0..1_201 {
        let start = ["Z", "a", "_", "é", "\u{1f600}", "~", "\u{ffff}", ""][number % 8];
        let values = (format!("{start}{number}"), i64::MIN, start, Some("").filter(|_| number % 3 == 0));
        let insert = "INSERT INTO audit_events (account_id, audit_event_id, at, action, subject)
            VALUES ('gone', ?1, ?2, ?3, ?4)";
        transaction.execute(insert, values).unwrap();
    }
    transaction.commit().unwrap();
    let EngineMigrationOutcome::Done(tables) = migrate_to(source, target).await.unwrap() else {
        panic!("moved before")
    };
    let rows: Vec<_> = tables.iter().map(|table| (table.name, table.rows)).collect();
    let expected = [1, 1, 2, 1, 1, 3, 1_214, 1, 3, 5, 1, 3, 1, 2, 1, 1, 2, 1, 1, 1];
    assert_eq!(rows, TABLES.iter().map(|table| table.name).zip(expected).collect::<Vec<_>>());
    let (before, after) = (source.open_beside().await, target.open().await);
    let account = samples::account(1).id;
    let connections = before.list_connections(&account, None, 9).await.unwrap();
    assert_eq!(connections.len(), 3);
    assert_eq!(after.list_connections(&account, None, 9).await.unwrap(), connections);
    for connection in connections {
        let find = async |store: &dyn Store| store.find_sealed_connection(&account, &connection.id).await;
        assert_eq!(find(&*after).await.unwrap(), find(&*before).await.unwrap());
    }
    let listed = async |store: &dyn Store| {
        let jobs = store.list_jobs(&account, &JobFilter::default(), 9).await.unwrap();
        (jobs, store.list_webhook_secrets(&account, at(6)).await.unwrap())
    };
    assert_eq!(listed(&*after).await, listed(&*before).await);
    // Its lease ends at second 34, and only then it is due again.
    assert_eq!(after.lease_job(&account, &job_samples::job_id(2), &terms(1, 33)).await.unwrap(), None);
    let leased = job_samples::lease(&*after, &account, 2, &terms(1, 34)).await;
    let job = before.find_job(&account, &job_samples::job_id(2)).await.unwrap();
    assert_eq!((leased.fence, Some(leased.job)), (2, job));
    let sealed = [100, 9].map(|fill| Some(job_samples::sealed(fill)));
    assert_eq!([leased.request, leased.link], sealed);
    assert_eq!(migrate_to(source, target).await.unwrap(), EngineMigrationOutcome::WasDone);
    insert_connection(&*after, &account, 9, "new").await.unwrap();
    assert_eq!(
        migrate_to(source, target).await.unwrap(),
        EngineMigrationOutcome::WasDone,
        "a target in use is not compared"
    );
}

async fn a_marked_source_accepts_no_writes(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    let running = source.open().await;
    migrate_to(source, target).await.unwrap();
    let account = samples::account(1).id;
    let write = insert_connection(&*running, &account, 7, "late");
    let event = event(&account, 70, Actor::Operator, "late");
    let also = running.insert_audit_event(&account, &event);
    let (write, also) = tokio::join!(write, also);
    for refused in [write, also] {
        let Err(Error::Unavailable(cause)) = refused else { panic!("{refused:?}") };
        assert!(cause.to_string().contains("it was moved to postgres://"), "{cause}");
    }
    assert_eq!(running.list_connections(&account, None, 9).await.unwrap().len(), 3, "reads continue");
    // A process that opens it later gets the same error.
    let beside = source.open_beside().await;
    assert!(matches!(insert_account_2(&*beside).await, Err(Error::Unavailable(_))));
    assert!(matches!(refusal(source).await, Some(OpenError::MigratedAway { .. })));
    uncomplete(source, target).await;
    assert!(matches!(insert_account_2(&*beside).await, Err(Error::Unavailable(_))));
    assert!(matches!(refusal(source).await, Some(OpenError::EngineMigrationRunning { .. })));
    let Some(OpenError::UnfinishedCopy { from }) = refusal(target).await else { panic!("opened") };
    assert_eq!(from, format!("sqlite:{}", source.path().canonicalize().unwrap().display()));
    assert!(matches!(inspect(&target.database_url()).await, Err(OpenError::UnfinishedCopy { .. })));
    let beside = Options { migrations: Migrations::OnlyIfNew, ..target.options() };
    assert!(matches!(crate::open(beside).await.err(), Some(OpenError::UnfinishedCopy { .. })));
    assert!(matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))));
    assert!(refusal(target).await.is_none());
}

async fn a_row_that_cannot_be_copied_is_named_and_nothing_completes(
    source: &TestDatabase,
    target: &TestDatabase,
) {
    let file = filled(source).await;
    file.execute_batch("UPDATE connections SET description = 'a' || char(0) WHERE name = 'name 2'").unwrap();
    let Err(EngineMigrationError::CannotBeCopied { row, why }) = migrate_to(source, target).await else {
        panic!("moved")
    };
    assert!(why.starts_with("its description has a NUL"), "{why}");
    let expected = samples::connection(&samples::account(1).id, 2, "name 2").0;
    assert_eq!(row, format!("connections ({}, {})", expected.account_id, expected.id));
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedCopy { .. })));
    assert_eq!(find_source_mark(&source.database_url()).unwrap().state, EngineMigrationState::Running);
    // As the message advises.
    roll_back_engine_migration(&source.database_url(), &find_source_mark(&source.database_url()).unwrap())
        .unwrap();
    file.execute_batch("UPDATE connections SET description = 'a' WHERE name = 'name 2'").unwrap();
    recreate(target).await;
    assert!(matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))), "after the fix");
}

async fn a_row_without_its_sealing_key_is_not_copied(source: &TestDatabase, target: &TestDatabase) {
    let file = filled(source).await;
    file.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM sealing_keys WHERE sealing_key_id = 3")
        .unwrap();
    let Err(EngineMigrationError::CannotBeCopied { row, why }) = migrate_to(source, target).await else {
        panic!("moved")
    };
    assert!(
        row.starts_with("connections (") && row.ends_with("3)") && why.contains("wrapped_key"),
        "{row} {why}"
    );
    file.execute_batch("DELETE FROM connections WHERE sealing_key_id = 3; DELETE FROM accounts").unwrap();
    let Err(EngineMigrationError::Differs { at }) = migrate_to(source, target).await else { panic!("moved") };
    assert!(at.starts_with("accounts ("), "a row that the source has lost since: {at}");
}

async fn a_changed_row_in_the_copy_is_found(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    migrate_to(source, target).await.unwrap();
    for (change, change_back) in [
        ("SET envelope = set_byte(envelope, 7, 99)", "SET envelope = set_byte(envelope, 7, 2)"),
        ("SET is_enabled = true", "SET is_enabled = false"),
        ("SET updated_at = updated_at + 1", "SET updated_at = updated_at - 1"),
        ("SET description = NULL", "SET description = (SELECT max(description) FROM connections)"),
    ] {
        uncomplete(source, target).await;
        target.sql(&format!("UPDATE connections {change} WHERE name = 'name 2'")).await;
        let Err(EngineMigrationError::Differs { at }) = migrate_to(source, target).await else {
            panic!("{change}")
        };
        assert!(at.starts_with("connections (") && at.ends_with("2)"), "{at}");
        assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedCopy { .. })));
        target.sql(&format!("UPDATE connections {change_back} WHERE name = 'name 2'")).await;
        assert!(
            matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))),
            "{change_back}"
        );
    }
}

async fn an_added_row_in_the_copy_is_found(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    migrate_to(source, target).await.unwrap();
    for id in ["!", "~"] {
        uncomplete(source, target).await;
        let insert = "INSERT INTO audit_events (account_id, audit_event_id, at, action) VALUES";
        target.sql(&format!("{insert} ('acc', '{id}', 1, 'x')")).await;
        let Err(EngineMigrationError::Differs { at }) = migrate_to(source, target).await else {
            panic!("moved")
        };
        assert!(at.starts_with("audit_events ("), "{at}");
        target.sql("DELETE FROM audit_events WHERE action = 'x'").await;
    }
    target.sql("DELETE FROM idempotency_records").await;
    assert!(
        matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))),
        "what is missing is copied again"
    );
}

async fn a_target_with_rows_is_left_unchanged(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    let store = target.open().await;
    insert_account(&*store, 2).await;
    let refused = migrate_to(source, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::TargetFilled { table: "accounts" })), "{refused:?}");
    assert_eq!(target.sql("SELECT count(*) FROM moves").await, ["0"]);
    insert_account_2(&*source.open().await).await.unwrap();
    target.sql("DELETE FROM accounts; DELETE FROM keyring_checks; DROP TABLE moves").await;
    target
        .sql(
            "DROP TABLE connection_health, jobs, job_secrets, webhook_secrets, write_probes, sweeps, audit_links, audit_chains,
             webhook_endpoints, webhook_deliveries, webhook_delivery_secrets, dashboard_sessions, authorizations,
             authorization_secrets, other_service_secrets;
             ALTER TABLE service_secrets DROP COLUMN number;
             ALTER TABLE audit_events DROP COLUMN actor_kind, DROP COLUMN actor_name",
        )
        .await;
    let scopes =
        "DROP COLUMN scopes, DROP COLUMN created_by, DROP COLUMN rotated_from, DROP COLUMN last_used_at";
    target.sql(&format!("ALTER TABLE api_keys {scopes}")).await;
    for limit in LIMIT_COLUMNS {
        target.sql(&format!("ALTER TABLE accounts DROP COLUMN {limit}")).await;
    }
    for column in ["second_keyring_key_id", "second_wrapped_key", "second_key_role", "second_key_since"] {
        target.sql(&format!("ALTER TABLE accounts DROP COLUMN {column}")).await;
    }
    target.sql("DELETE FROM schema_migrations WHERE number > 3").await;
    let refused = migrate_to(source, target).await;
    assert!(
        matches!(refused, Err(EngineMigrationError::TargetFilled { table: "audit_events" })),
        "{refused:?}"
    );
    let schema = target.sql("SELECT max(number) FROM schema_migrations").await;
    assert_eq!(schema, ["3"], "one of an older version is not even migrated");
    target.sql("DELETE FROM audit_events; INSERT INTO keyring_checks VALUES ('key', decode(repeat('00', 32), 'hex'))").await;
    let refused = migrate_to(source, target).await;
    assert!(
        matches!(refused, Err(EngineMigrationError::TargetOpened { table: "keyring_checks" })),
        "a command was run on it: {refused:?}"
    );
    target.sql("DELETE FROM keyring_checks").await;
    assert!(matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))));
}
