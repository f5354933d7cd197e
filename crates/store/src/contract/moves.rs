//! What is true of a move from SQLite to PostgreSQL, of whichever version.

use std::collections::BTreeSet;

use domain::audit::Actor;
use rusqlite::Connection;

use super::job_samples::{self, terms};
use super::move_samples::{filled, make_anew, move_to, refusal, target_of, uncomplete};
use super::place::{self, Place};
use super::samples::{self, at, event, insert_account, insert_connection};
use crate::tables::{Kind, TABLES};
use crate::{
    Error, JobFilter, Migrations, MoveError, MoveOutcome, MoveProgress, MoveRequest, MoveState, OpenError,
    Options, Store, abandon_move, find_copy, find_move, inspect, move_database,
};

/// Each case on its file, and an empty database of each version.
macro_rules! moves {
    ($($case:ident,)+) => {
        mod to_postgres_15 {
            $(moves! { @case $case postgres_15 })+
        }
        mod to_postgres_18 {
            $(moves! { @case $case postgres_18 })+
        }
    };
    (@case $case:ident $target:ident) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if let Some(target) = super::place::$target().await {
                super::$case(&super::Place::sqlite(), &target).await;
            }
        }
    };
}

moves! {
    every_column_of_both_engines_travels,
    what_arrives_is_the_same_whatever_its_bytes_are,
    a_source_takes_no_writes_from_its_mark_on,
    a_row_that_cannot_travel_is_named_and_nothing_is_done,
    a_row_without_its_sealing_key_does_not_travel,
    what_was_changed_in_the_copy_is_found,
    what_was_added_to_the_copy_is_found,
    a_target_with_rows_is_left_as_it_is,
    a_source_goes_to_one_target,
    an_older_version_is_kept_out_of_what_is_marked_and_of_nothing_else,
    a_newer_schema_is_not_moved,
    two_processes_do_not_move_one_source,
    an_abandoned_source_is_as_it_was,
    a_source_that_is_given_back_while_it_moves_keeps_its_target_closed,
    only_the_move_that_marked_a_database_ends_it,
    a_store_on_a_file_that_was_moved_fails_and_on_one_that_moves_does_not,
    what_differs_between_the_last_two_marks_is_moved_anew,
    a_target_tells_whether_the_move_has_ended,
}

async fn every_column_of_both_engines_travels(source: &Place, target: &Place) {
    source.open().await.close().await;
    target.open().await.close().await;
    let file = Connection::open(source.path()).unwrap();
    let mut statement = file
        .prepare(
            "SELECT t.name || '.' || c.name, c.type, c.pk FROM sqlite_schema t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.name NOT IN ('schema_migrations', 'moves', 'write_probes', 'sealing_keys')",
        )
        .unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get::<_, usize>(2)?));
    let on_sqlite: BTreeSet<(String, String, usize)> =
        statement.query_map([], read).unwrap().map(Result::unwrap).collect();
    let expected = TABLES.iter().flat_map(|table| {
        table.columns.iter().enumerate().map(|(index, column)| {
            let place = if index < table.key().len() { index + 1 } else { 0 };
            match (table.name, column.name, column.kind) {
                (name, "wrapped_key", _) if table.is_sealed() => {
                    (format!("{name}.sealing_key_id"), "INTEGER".to_owned(), place)
                }
                (table, name, kind) => {
                    let kind = match kind {
                        Kind::Text => "TEXT",
                        Kind::Integer | Kind::Boolean => "INTEGER",
                        Kind::Bytes => "BLOB",
                    };
                    (format!("{table}.{name}"), kind.to_owned(), place)
                }
            }
        })
    });
    assert_eq!(on_sqlite, expected.collect());
    let on_postgres = target
        .sql(
            "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
             WHERE table_schema = 'public' AND table_name NOT IN ('schema_migrations', 'moves', 'write_probes')",
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

async fn what_arrives_is_the_same_whatever_its_bytes_are(source: &Place, target: &Place) {
    let mut file = filled(source).await;
    let transaction = file.transaction().unwrap();
    // The order of the keys is that of their bytes, which no language's order is.
    for number in 0..1_201 {
        let start = ["Z", "a", "_", "é", "\u{1f600}", "~", "\u{ffff}", ""][number % 8];
        let values = (format!("{start}{number}"), i64::MIN, start, Some("").filter(|_| number % 3 == 0));
        let insert = "INSERT INTO audit_events (account_id, audit_event_id, at, action, subject)
            VALUES ('gone', ?1, ?2, ?3, ?4)";
        transaction.execute(insert, values).unwrap();
    }
    transaction.commit().unwrap();
    let MoveOutcome::Done(tables) = move_to(source, target).await.unwrap() else { panic!("moved before") };
    let rows: Vec<_> = tables.iter().map(|table| (table.name, table.rows)).collect();
    let expected = [1, 1, 1, 1, 3, 1_209, 1, 2, 4, 1];
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
    // Held until second 34, and due again only then.
    assert_eq!(after.lease_job(&account, &job_samples::job_id(2), &terms(1, 33)).await.unwrap(), None);
    let leased = job_samples::lease(&*after, &account, 2, &terms(1, 34)).await;
    assert_eq!((leased.fence, leased.job), (2, listed(&*before).await.0.remove(0)));
    let sealed = [100, 9].map(|fill| Some(job_samples::sealed(fill)));
    assert_eq!([leased.request, leased.link], sealed);
    assert_eq!(move_to(source, target).await.unwrap(), MoveOutcome::WasDone);
    insert_connection(&*after, &account, 9, "new").await.unwrap();
    assert_eq!(
        move_to(source, target).await.unwrap(),
        MoveOutcome::WasDone,
        "a target in use is not compared"
    );
}

async fn a_source_takes_no_writes_from_its_mark_on(source: &Place, target: &Place) {
    filled(source).await;
    let running = source.open().await;
    move_to(source, target).await.unwrap();
    let account = samples::account(1).id;
    let write = insert_connection(&*running, &account, 7, "late");
    let event = event(&account, 70, Actor::Operator, "late");
    let also = running.insert_audit_event(&account, &event);
    let (write, also) = tokio::join!(write, also);
    for refused in [write, also] {
        let Err(Error::Unavailable(cause)) = refused else { panic!("{refused:?}") };
        assert!(cause.to_string().contains("it was moved to postgres://"), "{cause}");
    }
    assert_eq!(running.list_connections(&account, None, 9).await.unwrap().len(), 3, "reads go on");
    // Whoever comes later meets the same.
    let beside = source.open_beside().await;
    assert!(matches!(insert_account_2(&*beside).await, Err(Error::Unavailable(_))));
    assert!(matches!(refusal(source).await, Some(OpenError::Moved { .. })));
    uncomplete(source, target).await;
    assert!(matches!(insert_account_2(&*beside).await, Err(Error::Unavailable(_))));
    assert!(matches!(refusal(source).await, Some(OpenError::Moving { .. })));
    let Some(OpenError::UnfinishedMove { from }) = refusal(target).await else { panic!("opened") };
    assert_eq!(from, format!("sqlite:{}", source.path().canonicalize().unwrap().display()));
    assert!(matches!(inspect(&target.database_url()).await, Err(OpenError::UnfinishedMove { .. })));
    let beside = Options { migrations: Migrations::OnlyIfNew, ..target.options() };
    assert!(matches!(crate::open(beside).await.err(), Some(OpenError::UnfinishedMove { .. })));
    assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))));
    assert!(refusal(target).await.is_none());
}

async fn insert_account_2(store: &dyn Store) -> Result<(), Error> {
    let account = samples::account(2);
    store.insert_account(&account, &event(&account.id, 999_998, Actor::Operator, "account")).await
}

async fn a_row_that_cannot_travel_is_named_and_nothing_is_done(source: &Place, target: &Place) {
    let file = filled(source).await;
    file.execute_batch("UPDATE connections SET description = 'a' || char(0) WHERE name = 'name 2'").unwrap();
    let Err(MoveError::CannotTravel { row, why }) = move_to(source, target).await else { panic!("moved") };
    assert!(why.starts_with("its description has a NUL"), "{why}");
    let expected = samples::connection(&samples::account(1).id, 2, "name 2").0;
    assert_eq!(row, format!("connections ({}, {})", expected.account_id, expected.id));
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedMove { .. })));
    assert_eq!(find_move(&source.database_url()).unwrap().state, MoveState::Running);
    // As the message says.
    abandon_move(&source.database_url(), &find_move(&source.database_url()).unwrap()).unwrap();
    file.execute_batch("UPDATE connections SET description = 'a' WHERE name = 'name 2'").unwrap();
    make_anew(target).await;
    assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))), "mended");
}

async fn a_row_without_its_sealing_key_does_not_travel(source: &Place, target: &Place) {
    let file = filled(source).await;
    file.execute_batch("PRAGMA foreign_keys = OFF; DELETE FROM sealing_keys WHERE sealing_key_id = 3")
        .unwrap();
    let Err(MoveError::CannotTravel { row, why }) = move_to(source, target).await else { panic!("moved") };
    assert!(
        row.starts_with("connections (") && row.ends_with("3)") && why.contains("wrapped_key"),
        "{row} {why}"
    );
    file.execute_batch("DELETE FROM connections WHERE sealing_key_id = 3; DELETE FROM accounts").unwrap();
    let Err(MoveError::Differs { at }) = move_to(source, target).await else { panic!("moved") };
    assert!(at.starts_with("accounts ("), "a row that the source has lost since: {at}");
}

async fn what_was_changed_in_the_copy_is_found(source: &Place, target: &Place) {
    filled(source).await;
    move_to(source, target).await.unwrap();
    for (change, change_back) in [
        ("SET envelope = set_byte(envelope, 7, 99)", "SET envelope = set_byte(envelope, 7, 2)"),
        ("SET is_enabled = true", "SET is_enabled = false"),
        ("SET updated_at = updated_at + 1", "SET updated_at = updated_at - 1"),
        ("SET description = NULL", "SET description = (SELECT max(description) FROM connections)"),
    ] {
        uncomplete(source, target).await;
        target.sql(&format!("UPDATE connections {change} WHERE name = 'name 2'")).await;
        let Err(MoveError::Differs { at }) = move_to(source, target).await else { panic!("{change}") };
        assert!(at.starts_with("connections (") && at.ends_with("2)"), "{at}");
        assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedMove { .. })));
        target.sql(&format!("UPDATE connections {change_back} WHERE name = 'name 2'")).await;
        assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))), "{change_back}");
    }
}

async fn what_was_added_to_the_copy_is_found(source: &Place, target: &Place) {
    filled(source).await;
    move_to(source, target).await.unwrap();
    for id in ["!", "~"] {
        uncomplete(source, target).await;
        let insert = "INSERT INTO audit_events (account_id, audit_event_id, at, action) VALUES";
        target.sql(&format!("{insert} ('acc', '{id}', 1, 'x')")).await;
        let Err(MoveError::Differs { at }) = move_to(source, target).await else { panic!("moved") };
        assert!(at.starts_with("audit_events ("), "{at}");
        target.sql("DELETE FROM audit_events WHERE action = 'x'").await;
    }
    target.sql("DELETE FROM idempotency_records").await;
    assert!(
        matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))),
        "what is missing is copied again"
    );
}

async fn a_target_with_rows_is_left_as_it_is(source: &Place, target: &Place) {
    filled(source).await;
    let store = target.open().await;
    insert_account(&*store, 2).await;
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::TargetFilled { table: "accounts" })), "{refused:?}");
    assert_eq!(target.sql("SELECT count(*) FROM moves").await, ["0"]);
    insert_account_2(&*source.open().await).await.unwrap();
    target.sql("DELETE FROM accounts; DELETE FROM keyring_checks; DROP TABLE moves").await;
    target.sql("DROP TABLE jobs, job_secrets, webhook_secrets, write_probes").await;
    target.sql("DELETE FROM schema_migrations WHERE number > 3").await;
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::TargetFilled { table: "audit_events" })), "{refused:?}");
    let schema = target.sql("SELECT max(number) FROM schema_migrations").await;
    assert_eq!(schema, ["3"], "one of an older version is not even migrated");
    target.sql("DELETE FROM audit_events; INSERT INTO keyring_checks VALUES ('key', decode(repeat('00', 32), 'hex'))").await;
    let refused = move_to(source, target).await;
    assert!(
        matches!(refused, Err(MoveError::TargetOpened { table: "keyring_checks" })),
        "a command was run on it: {refused:?}"
    );
    target.sql("DELETE FROM keyring_checks").await;
    assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))));
}

async fn a_source_goes_to_one_target(source: &Place, target: &Place) {
    filled(source).await;
    move_to(source, target).await.unwrap();
    uncomplete(source, target).await;
    let other = Place::sqlite();
    filled(&other).await;
    let refused = move_to(&other, target).await;
    assert!(matches!(refused, Err(MoveError::TargetOfAnother { .. })), "half moved: {refused:?}");
    assert!(matches!(find_move(&other.database_url()), Err(MoveError::NotMoving)));
    let Some(elsewhere) = place::postgres_15().await else { return };
    let refused = move_to(source, &elsewhere).await;
    assert!(matches!(refused, Err(MoveError::OtherTarget { .. })), "{refused:?}");
    // The target by another name is the same one, and an empty one of the same name may stand in for a lost one.
    let by_name = target.url().replace("127.0.0.1", "localhost");
    let by_name = Place::of_url(by_name);
    assert!(matches!(move_to(source, &by_name).await, Ok(MoveOutcome::Done(_))));
    let refused = move_to(source, &elsewhere).await;
    assert!(matches!(refused, Err(MoveError::Moved { .. })), "{refused:?}");
    assert!(matches!(move_to(&other, target).await, Err(MoveError::TargetOfAnother { .. })));
    assert!(elsewhere.sql("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").await.is_empty());
    for (from, to) in [(target, source), (source, &other), (target, &elsewhere)] {
        assert!(matches!(move_to(from, to).await, Err(MoveError::Direction)));
    }
}

async fn an_older_version_is_kept_out_of_what_is_marked_and_of_nothing_else(source: &Place, target: &Place) {
    let file = filled(source).await;
    let lowest = "SELECT lowest_application_schema FROM schema_migrations WHERE number = 4";
    let of_source = || file.query_row(lowest, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(of_source(), 1);
    move_to(source, target).await.unwrap();
    assert_eq!((of_source(), target.sql(lowest).await), (4, vec!["1".to_owned()]));
    abandon_move(&source.database_url(), &find_move(&source.database_url()).unwrap()).unwrap();
    assert_eq!(of_source(), 1);
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::TargetOfAnother { .. })), "an old copy: {refused:?}");
    // A copy that is not complete.
    file.execute_batch("UPDATE accounts SET name = char(0)").unwrap();
    let Some(other) = place::postgres_15().await else { return };
    assert!(matches!(move_to(source, &other).await, Err(MoveError::CannotTravel { .. })));
    assert_eq!((of_source(), other.sql(lowest).await), (4, vec!["4".to_owned()]));
}

async fn a_newer_schema_is_not_moved(source: &Place, target: &Place) {
    let file = filled(source).await;
    target.open().await.close().await;
    let newer = "INSERT INTO schema_migrations VALUES (900, 'future', 1, 1)";
    target.sql(newer).await;
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::NewerSchema { schema: 900 })), "{refused:?}");
    file.execute_batch(newer).unwrap();
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::NewerSchema { schema: 900 })), "{refused:?}");
    file.execute_batch("DELETE FROM schema_migrations WHERE number > 3; DROP TABLE moves").unwrap();
    let refused = move_to(source, target).await;
    assert!(
        matches!(refused, Err(MoveError::Open(OpenError::MigrationsPending { schema: 3 }))),
        "an older service may run on it: {refused:?}"
    );
}

async fn two_processes_do_not_move_one_source(source: &Place, target: &Place) {
    filled(source).await;
    let first = crate::sqlite::Source::open(&source.path()).unwrap();
    assert!(matches!(move_to(source, target).await, Err(MoveError::Busy)));
    assert!(matches!(find_move(&source.database_url()), Err(MoveError::Busy)));
    drop(first);
    assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))));
    let mut lock = source.path().into_os_string();
    lock.push("-move");
    assert!(!std::path::Path::new(&lock).exists(), "nothing is left over");
}

async fn an_abandoned_source_is_as_it_was(source: &Place, target: &Place) {
    filled(source).await;
    let url = source.database_url();
    assert!(matches!(find_move(&url), Err(MoveError::NotMoving)));
    let running = source.open().await;
    move_to(source, target).await.unwrap();
    let done = find_move(&url).unwrap();
    uncomplete(source, target).await;
    assert!(matches!(abandon_move(&url, &done), Err(MoveError::WentOn)));
    abandon_move(&url, &find_move(&url).unwrap()).unwrap();
    insert_account_2(&*running).await.unwrap();
    assert!(refusal(source).await.is_none());
    assert!(matches!(find_move(&url), Err(MoveError::NotMoving)));
    // What is left of the copy is for nobody.
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedMove { .. })));
    assert!(matches!(move_to(source, target).await, Err(MoveError::TargetOfAnother { .. })));
}

async fn a_source_that_is_given_back_while_it_moves_keeps_its_target_closed(source: &Place, target: &Place) {
    filled(source).await;
    let (from, to) = (source.database_url(), target.database_url());
    let mut lock = source.path().into_os_string();
    lock.push("-move");
    let give_back = |progress| {
        if matches!(progress, MoveProgress::Compared { table: "accounts", rows: 0, .. }) {
            // Somebody thinks that no move runs.
            std::fs::remove_file(&lock).unwrap();
            abandon_move(&from, &find_move(&from).unwrap()).unwrap();
        }
    };
    let random = samples::operation_id().0;
    let request = MoveRequest { from: &from, to: &to, random, now: &|| at(50), progress: &give_back };
    let ended = move_database(request).await;
    assert!(matches!(ended, Err(MoveError::MarkLost { side: "the source" })), "{ended:?}");
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedMove { .. })));
    assert!(refusal(source).await.is_none(), "one of them is served");
    make_anew(target).await;
    assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))), "as the message says");
}

async fn only_the_move_that_marked_a_database_ends_it(source: &Place, target: &Place) {
    filled(source).await;
    move_to(source, target).await.unwrap();
    uncomplete(source, target).await;
    let id = find_move(&source.database_url()).unwrap().id;
    let (mut file, server) = (crate::sqlite::Source::open(&source.path()).unwrap(), target_of(target).await);
    for other in ["", "another"] {
        assert!(matches!(file.mark_done(other, at(1)), Err(MoveError::MarkLost { side: "the source" })));
        let refused = server.mark_done(other, at(1)).await;
        assert!(matches!(refused, Err(MoveError::MarkLost { side: "the target" })), "{refused:?}");
    }
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedMove { .. })));
    for at in [at(1), at(2)] {
        file.mark_done(&id, at).unwrap();
        server.mark_done(&id, at).await.unwrap();
    }
    server.close().await;
    assert!(refusal(target).await.is_none());
    assert_eq!(
        target.sql("SELECT ended_at FROM moves").await,
        [at(1).as_micros().to_string()],
        "a second time changes nothing"
    );
}

async fn a_store_on_a_file_that_was_moved_fails_and_on_one_that_moves_does_not(
    source: &Place,
    target: &Place,
) {
    filled(source).await;
    let running = source.open().await;
    move_to(source, target).await.unwrap();
    uncomplete(source, target).await;
    let never = tokio::time::timeout(std::time::Duration::from_secs(3), running.failed()).await;
    assert!(never.is_err(), "reads go on while it moves: {never:?}");
    move_to(source, target).await.unwrap();
    let cause = running.failed().await;
    assert!(cause.starts_with("the database was moved to postgres://"), "{cause}");
}

async fn what_differs_between_the_last_two_marks_is_moved_anew(source: &Place, target: &Place) {
    filled(source).await;
    move_to(source, target).await.unwrap();
    target
        .sql("UPDATE moves SET state = 'running', ended_at = NULL; UPDATE connections SET version = 9")
        .await;
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::Differs { .. })), "{refused:?}");
    make_anew(target).await;
    let refused = move_to(source, target).await;
    assert!(matches!(refused, Err(MoveError::Moved { .. })), "{refused:?}");
    abandon_move(&source.database_url(), &find_move(&source.database_url()).unwrap()).unwrap();
    assert!(matches!(move_to(source, target).await, Ok(MoveOutcome::Done(_))), "as both messages say");
}

async fn a_target_tells_whether_the_move_has_ended(source: &Place, target: &Place) {
    filled(source).await;
    move_to(source, target).await.unwrap();
    let (url, found) = (target.database_url(), find_move(&source.database_url()).unwrap());
    assert_eq!(find_copy(&url, &found).await.unwrap(), Some(MoveState::Done));
    uncomplete(source, target).await;
    assert_eq!(find_copy(&url, &found).await.unwrap(), Some(MoveState::Running));
    target.sql("UPDATE moves SET move_id = 'another'").await;
    assert_eq!(find_copy(&url, &found).await.unwrap(), None);
    make_anew(target).await;
    assert_eq!(find_copy(&url, &found).await.unwrap(), None);
}
