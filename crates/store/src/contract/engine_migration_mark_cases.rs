//! Migrating from SQLite to each version of PostgreSQL: the marks of the two databases.

use super::engine_migration_samples::{
    filled, insert_account_2, migrate_to, migrations, recreate, refusal, target_of, uncomplete,
};
use super::samples::{self, at};
use super::test_database::{self, TestDatabase};
use crate::{
    EngineMigrationError, EngineMigrationOutcome, EngineMigrationProgress, EngineMigrationRequest,
    EngineMigrationState, OpenError, find_source_mark, find_target_state, migrate_engine,
    roll_back_engine_migration,
};

migrations! {
    a_source_has_one_target,
    an_older_version_cannot_open_marked_databases_and_no_others,
    a_newer_schema_is_not_migrated,
    two_processes_do_not_migrate_one_source,
    a_reopened_source_is_unchanged,
    a_source_that_is_reopened_during_a_migration_keeps_its_target_closed,
    only_the_migration_that_marked_a_database_completes_it,
    a_store_on_a_migrated_file_fails_and_during_the_migration_does_not,
    a_difference_between_the_last_two_marks_needs_a_new_migration,
    a_target_shows_whether_the_migration_has_completed,
}

async fn a_source_has_one_target(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    migrate_to(source, target).await.unwrap();
    uncomplete(source, target).await;
    let other = TestDatabase::sqlite();
    filled(&other).await;
    let refused = migrate_to(&other, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::TargetOfAnother { .. })), "half moved: {refused:?}");
    assert!(matches!(find_source_mark(&other.database_url()), Err(EngineMigrationError::NotMigrating)));
    let Some(elsewhere) = test_database::postgres_15().await else { return };
    let refused = migrate_to(source, &elsewhere).await;
    assert!(matches!(refused, Err(EngineMigrationError::OtherTarget { .. })), "{refused:?}");
    // A target with another host name is the same one, and an empty one of the same name may replace a lost one.
    let by_name = target.url().replace("127.0.0.1", "localhost");
    let by_name = TestDatabase::of_url(by_name);
    assert!(matches!(migrate_to(source, &by_name).await, Ok(EngineMigrationOutcome::Done(_))));
    let refused = migrate_to(source, &elsewhere).await;
    assert!(matches!(refused, Err(EngineMigrationError::AlreadyMigrated { .. })), "{refused:?}");
    assert!(matches!(migrate_to(&other, target).await, Err(EngineMigrationError::TargetOfAnother { .. })));
    assert!(elsewhere.sql("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").await.is_empty());
    for (from, to) in [(target, source), (source, &other), (target, &elsewhere)] {
        assert!(matches!(migrate_to(from, to).await, Err(EngineMigrationError::Direction)));
    }
}

async fn an_older_version_cannot_open_marked_databases_and_no_others(
    source: &TestDatabase,
    target: &TestDatabase,
) {
    let file = filled(source).await;
    let lowest = "SELECT lowest_application_schema FROM schema_migrations WHERE number = 4";
    let of_source = || file.query_row(lowest, [], |row| row.get::<_, u32>(0)).unwrap();
    assert_eq!(of_source(), 1);
    migrate_to(source, target).await.unwrap();
    assert_eq!((of_source(), target.sql(lowest).await), (4, vec!["1".to_owned()]));
    roll_back_engine_migration(&source.database_url(), &find_source_mark(&source.database_url()).unwrap())
        .unwrap();
    assert_eq!(of_source(), 1);
    let refused = migrate_to(source, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::TargetOfAnother { .. })), "an old copy: {refused:?}");
    // An incomplete copy.
    file.execute_batch("UPDATE accounts SET name = char(0)").unwrap();
    let Some(other) = test_database::postgres_15().await else { return };
    assert!(matches!(migrate_to(source, &other).await, Err(EngineMigrationError::CannotBeCopied { .. })));
    assert_eq!((of_source(), other.sql(lowest).await), (4, vec!["4".to_owned()]));
}

async fn a_newer_schema_is_not_migrated(source: &TestDatabase, target: &TestDatabase) {
    let file = filled(source).await;
    target.open().await.close().await;
    let newer = "INSERT INTO schema_migrations VALUES (900, 'future', 1, 1)";
    target.sql(newer).await;
    let refused = migrate_to(source, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::NewerSchema { schema: 900 })), "{refused:?}");
    file.execute_batch(newer).unwrap();
    let refused = migrate_to(source, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::NewerSchema { schema: 900 })), "{refused:?}");
    file.execute_batch("DELETE FROM schema_migrations WHERE number > 3; DROP TABLE moves").unwrap();
    let refused = migrate_to(source, target).await;
    assert!(
        matches!(refused, Err(EngineMigrationError::Open(OpenError::MigrationsPending { schema: 3 }))),
        "an older service may run on it: {refused:?}"
    );
}

async fn two_processes_do_not_migrate_one_source(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    let first = crate::sqlite::Source::open(&source.path()).unwrap();
    assert!(matches!(migrate_to(source, target).await, Err(EngineMigrationError::Busy)));
    assert!(matches!(find_source_mark(&source.database_url()), Err(EngineMigrationError::Busy)));
    drop(first);
    assert!(matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))));
    let mut lock = source.path().into_os_string();
    lock.push("-move");
    assert!(!std::path::Path::new(&lock).exists(), "nothing is left over");
}

async fn a_reopened_source_is_unchanged(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    let url = source.database_url();
    assert!(matches!(find_source_mark(&url), Err(EngineMigrationError::NotMigrating)));
    let running = source.open().await;
    migrate_to(source, target).await.unwrap();
    let done = find_source_mark(&url).unwrap();
    uncomplete(source, target).await;
    assert!(matches!(roll_back_engine_migration(&url, &done), Err(EngineMigrationError::Continued)));
    roll_back_engine_migration(&url, &find_source_mark(&url).unwrap()).unwrap();
    insert_account_2(&*running).await.unwrap();
    assert!(refusal(source).await.is_none());
    assert!(matches!(find_source_mark(&url), Err(EngineMigrationError::NotMigrating)));
    // The rest of the copy cannot be opened.
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedCopy { .. })));
    assert!(matches!(migrate_to(source, target).await, Err(EngineMigrationError::TargetOfAnother { .. })));
}

async fn a_source_that_is_reopened_during_a_migration_keeps_its_target_closed(
    source: &TestDatabase,
    target: &TestDatabase,
) {
    filled(source).await;
    let (from, to) = (source.database_url(), target.database_url());
    let mut lock = source.path().into_os_string();
    lock.push("-move");
    let roll_back = |progress| {
        if matches!(progress, EngineMigrationProgress::Compared { table: "accounts", rows: 0, .. }) {
            // An operator who believes that no migration runs.
            std::fs::remove_file(&lock).unwrap();
            roll_back_engine_migration(&from, &find_source_mark(&from).unwrap()).unwrap();
        }
    };
    let random = samples::operation_id().0;
    let request =
        EngineMigrationRequest { from: &from, to: &to, random, now: &|| at(50), progress: &roll_back };
    let ended = migrate_engine(request).await;
    assert!(matches!(ended, Err(EngineMigrationError::MarkLost { side: "the source" })), "{ended:?}");
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedCopy { .. })));
    assert!(refusal(source).await.is_none(), "one of them is served");
    recreate(target).await;
    assert!(
        matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))),
        "as the message says"
    );
}

async fn only_the_migration_that_marked_a_database_completes_it(
    source: &TestDatabase,
    target: &TestDatabase,
) {
    filled(source).await;
    migrate_to(source, target).await.unwrap();
    uncomplete(source, target).await;
    let id = find_source_mark(&source.database_url()).unwrap().id;
    let (mut file, server) = (crate::sqlite::Source::open(&source.path()).unwrap(), target_of(target).await);
    for other in ["", "another"] {
        assert!(matches!(
            file.mark_done(other, at(1)),
            Err(EngineMigrationError::MarkLost { side: "the source" })
        ));
        let refused = server.mark_done(other, at(1)).await;
        assert!(matches!(refused, Err(EngineMigrationError::MarkLost { side: "the target" })), "{refused:?}");
    }
    assert!(matches!(refusal(target).await, Some(OpenError::UnfinishedCopy { .. })));
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

async fn a_store_on_a_migrated_file_fails_and_during_the_migration_does_not(
    source: &TestDatabase,
    target: &TestDatabase,
) {
    filled(source).await;
    let running = source.open().await;
    migrate_to(source, target).await.unwrap();
    uncomplete(source, target).await;
    let never = tokio::time::timeout(std::time::Duration::from_secs(3), running.failed()).await;
    assert!(never.is_err(), "reads continue during the migration: {never:?}");
    migrate_to(source, target).await.unwrap();
    let cause = running.failed().await;
    assert!(cause.starts_with("the database was moved to postgres://"), "{cause}");
}

async fn a_difference_between_the_last_two_marks_needs_a_new_migration(
    source: &TestDatabase,
    target: &TestDatabase,
) {
    filled(source).await;
    migrate_to(source, target).await.unwrap();
    target
        .sql("UPDATE moves SET state = 'running', ended_at = NULL; UPDATE connections SET version = 9")
        .await;
    let refused = migrate_to(source, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::Differs { .. })), "{refused:?}");
    recreate(target).await;
    let refused = migrate_to(source, target).await;
    assert!(matches!(refused, Err(EngineMigrationError::AlreadyMigrated { .. })), "{refused:?}");
    roll_back_engine_migration(&source.database_url(), &find_source_mark(&source.database_url()).unwrap())
        .unwrap();
    assert!(
        matches!(migrate_to(source, target).await, Ok(EngineMigrationOutcome::Done(_))),
        "as both messages say"
    );
}

async fn a_target_shows_whether_the_migration_has_completed(source: &TestDatabase, target: &TestDatabase) {
    filled(source).await;
    migrate_to(source, target).await.unwrap();
    let (url, found) = (target.database_url(), find_source_mark(&source.database_url()).unwrap());
    assert_eq!(find_target_state(&url, &found).await.unwrap(), Some(EngineMigrationState::Done));
    uncomplete(source, target).await;
    assert_eq!(find_target_state(&url, &found).await.unwrap(), Some(EngineMigrationState::Running));
    target.sql("UPDATE moves SET move_id = 'another'").await;
    assert_eq!(find_target_state(&url, &found).await.unwrap(), None);
    recreate(target).await;
    assert_eq!(find_target_state(&url, &found).await.unwrap(), None);
}
