//! Engine migration with `vimeo-connections move`: complete copies, resumed after any interruption, and never two
//! databases in service.

use crate::support::harness::{COLLECTION, Service, TestEnv, printed, run};
use crate::support::migration::{
    DATABASE_URL, FROM, MANY, RunningMigration, SLOW, SOME, all_in_file, all_on_server, assert_refused,
    copied_connections, create_with_key, insert_connections, migrate_to, run_on, slow_proxy,
};
use crate::support::postgres::{Fault, Part, Postgres, SharedPostgres, Stop, Version};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_of_100_000_connections_survives_repeated_kills() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let mut line = slow_proxy(&database.url()).await;
    let url = line.url().to_owned();
    let mut env = TestEnv::without_verification("").await;
    insert_connections(&env, MANY);
    let created = create_with_key(&env, "kept", "once").await;
    assert_eq!(created.status, 201, "{created:?}");
    let page = env.get(&format!("{COLLECTION}?limit=20")).await.json();
    let all = all_in_file(&env);

    let mut so_far = 0;
    for cut in [20_000, 60_000] {
        let mut moving = RunningMigration::start(&env, &url);
        moving.catch(&mut line, "copied", cut).await;
        // A service on the source answers reads and refuses writes.
        let refused = env.post(&env.valid_body("late")).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "STORE_UNAVAILABLE"));
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(env.get(&format!("{COLLECTION}?limit=20")).await.json(), page);
        moving.kill();
        line.set(SLOW).await;
        let now = copied_connections(&database);
        assert!(so_far < now && now < MANY, "not during the copy: {so_far} {now}");
        so_far = now;
        assert_refused(&run_on(&env, &url, &["serve"]), "unfinished copy of sqlite:/");
        assert_refused(&run_on(&env, &url, &["accounts", "list"]), "unfinished copy of sqlite:/");
        let refused = env.post(&env.valid_body("late")).await;
        assert_eq!(refused.status, 503, "a killed migration keeps the source unchanged");
    }
    // And one kill between the copy and the switch.
    let mut moving = RunningMigration::start(&env, &url);
    moving.catch(&mut line, "compared", 20_000).await;
    moving.kill();
    line.set(Fault::Pass).await;
    assert_eq!(copied_connections(&database), MANY + 1);
    assert_refused(&run_on(&env, &url, &["serve"]), "unfinished copy");
    assert_refused(&run_on(&env, FROM, &["serve"]), "is being moved to postgres://");

    let (is_done, printed) = RunningMigration::start(&env, &url).end();
    let is_counted = |line: &str| line.split_whitespace().take(2).eq(["connections", "100001"]);
    assert!(is_done && printed.lines().any(is_counted), "{printed}");
    assert!(all_on_server(&database) == all, "they differ");
    assert!(all_in_file(&env) == all, "the source has changed");

    assert_eq!(env.service.wait(), Some(70), "a migrated source is not served, not even for reads");
    assert!(env.log().contains("the database was moved to postgres://"));
    assert_refused(&run_on(&env, FROM, &["serve"]), "was moved to postgres://");
    let (is_good, printed) = run_on(&env, &url, &["connections", "check"]);
    assert!(is_good && printed.contains("Connections decrypted: 100001 (accounts: 1)."), "{printed}");

    env.service = Service::start_with(env.path(), &[(DATABASE_URL, &url)]);
    let key = page["nextPageKey"].as_str().unwrap();
    let next = env.get(&format!("{COLLECTION}?limit=20&nextPageKey={key}")).await;
    assert_eq!(next.status, 200, "the page keys of the source stay valid: {next:?}");
    let name = next.json()["Items"][0]["name"].clone();
    assert_eq!(name, "n° 20", "{next:?}");
    let again = create_with_key(&env, "kept", "once").await;
    assert_eq!((again.status, again.text), (created.status, created.text), "stored responses stay valid too");
    assert_eq!(env.post(&env.valid_body("new")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_resumes_after_losing_its_server() {
    let Some(mut server) = Postgres::private(Version::V15) else { return };
    let mut line = slow_proxy(&server.create_database("target")).await;
    let url = line.url().to_owned();
    let env = TestEnv::without_verification("").await;
    insert_connections(&env, SOME);
    let mut moving = RunningMigration::start(&env, &url);
    moving.catch(&mut line, "copied", 5_000).await;
    server.kill();
    line.set(Fault::Pass).await;
    let lost = moving.end();
    assert_refused(&lost, "Rerun the same command to resume");
    assert_refused(&(false, printed(&migrate_to(&env, &url))), "the database server cannot be used");
    server.start();
    let done = migrate_to(&env, &url);
    assert!(done.status.success(), "{}", printed(&done));
    server.stop(Stop::Fast);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_to_a_full_disk_resumes_when_there_is_space() {
    let Some(server) = Postgres::on_a_small_disk(Version::V15, Part::Data, "") else { return };
    let mut line = slow_proxy(&server.create_database("target")).await;
    let url = line.url().to_owned();
    let env = TestEnv::without_verification("").await;
    insert_connections(&env, SOME);
    let mut moving = RunningMigration::start(&env, &url);
    moving.catch(&mut line, "copied", 5_000).await;
    server.fill_disk();
    line.set(Fault::Pass).await;
    let full = moving.end();
    assert_refused(&full, "Rerun the same command to resume");
    assert!(full.1.contains("No space left"), "{}", full.1);
    server.free_disk();
    let done = migrate_to(&env, &url);
    assert!(done.status.success(), "{}", printed(&done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_reopened_on_request() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut env = TestEnv::without_verification("").await;
    let directory = env.path().to_owned();
    let abandon = |arguments: &[&str]| {
        let arguments = [&["move", "--from", FROM, "--abandon"], arguments].concat();
        let output = run(&directory, &[], &arguments);
        (output.status.success(), printed(&output))
    };
    assert_refused(&abandon(&["--yes"]), "not the source of a move");
    insert_connections(&env, SOME);
    let mut line = slow_proxy(&database.url()).await;
    let mut moving = RunningMigration::start(&env, line.url());
    moving.catch(&mut line, "copied", 5_000).await;
    moving.kill();
    assert_eq!(env.post(&env.valid_body("late")).await.status, 503);
    assert_refused(&abandon(&[]), "pass --yes, or run this at a terminal");
    let Some(other) = SharedPostgres::database(Version::V15) else { return };
    assert_refused(
        &abandon(&["--to", &other.url(), "--yes"]),
        "does not have the copy that this migration made",
    );
    let (is_done, printed) = abandon(&["--to", &database.url(), "--yes"]);
    assert!(
        is_done && printed.contains("is writable again") && printed.contains("Nothing was lost"),
        "{printed}"
    );
    assert_eq!(env.post(&env.valid_body("again")).await.status, 201, "the running service continues");
    assert_refused(&run_on(&env, &database.url(), &["serve"]), "unfinished copy");

    let moved = crate::support::harness::printed(&migrate_to(&env, &other.url()));
    let file = env.database_file().canonicalize().unwrap();
    let pasteable = format!("vimeo-connections move --from sqlite:{} --abandon", file.display());
    assert!(moved.contains(&pasteable), "{moved}");
    assert_refused(&abandon(&[]), "from now on the two differ");
    assert_eq!(env.service.wait(), Some(70));
    assert_refused(&run_on(&env, FROM, &["serve"]), &pasteable);
    let (is_done, printed) = abandon(&["--yes"]);
    assert!(is_done && printed.contains("What was written to the other database"), "{printed}");
    env.service = Service::start(env.path());
    assert_eq!(env.post(&env.valid_body("late")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_an_unchecked_database_is_never_suggested() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let mut env = TestEnv::without_verification("").await;
    assert_eq!(env.service.terminate(), Some(0));
    assert!(migrate_to(&env, &database.url()).status.success());
    // The state in a copy of the file that was made during the migration.
    env.database().execute_batch("UPDATE moves SET state = 'running', ended_at = NULL").unwrap();
    let abandon = ["move", "--from", FROM, "--abandon"];
    let unknown = "if this file was restored or copied since, the migration may have finished: check whether postgres://";
    assert_refused(&run_on(&env, FROM, &abandon), unknown);
    let warning =
        "which this file does not record: it was restored or copied since. WARNING: what was written there";
    let url = database.url();
    let with_target = [&abandon[..], &["--to", &url]].concat();
    assert_refused(&run_on(&env, FROM, &with_target), warning);
    assert_refused(&run_on(&env, &url, &abandon), warning);
    let (is_done, printed) = run_on(&env, FROM, &[&abandon[..], &["--yes"]].concat());
    assert!(is_done && printed.contains(unknown) && !printed.contains("Nothing was lost"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_used_by_a_command_is_rejected_with_the_reason() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = TestEnv::without_verification("").await;
    assert!(run_on(&env, &database.url(), &["accounts", "list"]).0);
    let refused = migrate_to(&env, &database.url());
    let why = "the service or one of its commands was run on it";
    assert_refused(&(refused.status.success(), crate::support::harness::printed(&refused)), why);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_migrated_by_one_process_at_a_time() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let env = TestEnv::without_verification("").await;
    insert_connections(&env, SOME);
    let mut line = slow_proxy(&database.url()).await;
    let mut moving = RunningMigration::start(&env, line.url());
    moving.catch(&mut line, "copied", 5_000).await;
    assert_refused(
        &(false, printed(&migrate_to(&env, &database.url()))),
        "another `vimeo-connections move` is running",
    );
    let abandon = run(env.path(), &[], &["move", "--from", FROM, "--abandon", "--yes"]);
    assert_refused(
        &(abandon.status.success(), printed(&abandon)),
        "another `vimeo-connections move` is running",
    );
    line.set(Fault::Pass).await;
    let (is_done, printed) = moving.end();
    assert!(is_done, "{printed}");
    assert_eq!(copied_connections(&database), SOME);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_migration_prints_no_password_and_needs_no_keyring() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut env = TestEnv::without_verification("").await;
    let url = database.url();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(password.len() > 20);
    std::fs::rename(env.path().join("vimeo-connections.keyring"), env.path().join("away")).unwrap();
    let mut all = String::new();
    // Nor are passwords in URLs that cannot be parsed.
    for (from, to) in [
        (FROM, url.replace("postgres:", "postgre:")),
        (FROM, url.replace("127.0.0.1:", "127.0.0.1:x")),
        (&*url, FROM.to_owned()),
        ("sqlite:none.db", url.clone()),
    ] {
        let output = run(env.path(), &[], &["move", "--from", from, "--to", &to]);
        assert!(!output.status.success());
        all += &printed(&output);
    }
    assert!(all.contains("there is no database at none.db"), "{all}");
    assert!(!env.path().join("none.db").exists());
    // Without `--to`, the target is the configured database.
    let (is_done, printed) = run_on(&env, FROM, &["move", "--from", FROM]);
    assert!(!is_done && printed.contains("no target"), "{printed}");
    let (is_done, printed) = run_on(&env, &url, &["move", "--from", FROM]);
    assert!(is_done && printed.contains("Next: set database_url"), "{printed}");
    all += &printed;
    all += &move_text(&env, &url);
    all += &run_on(&env, FROM, &["serve"]).1;
    assert!(!all.contains(password), "{all}");
    std::fs::rename(env.path().join("away"), env.path().join("vimeo-connections.keyring")).unwrap();
    assert_eq!(env.service.wait(), Some(70));
    env.service = Service::start_with(env.path(), &[(DATABASE_URL, &url)]);
    assert_eq!(env.post(&env.valid_body("new")).await.status, 201);
}

fn move_text(env: &TestEnv, to: &str) -> String {
    let output = migrate_to(env, to);
    assert!(
        output.status.success() && printed(&output).contains("nothing left to do"),
        "{}",
        printed(&output)
    );
    printed(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_in_use_is_not_touched() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let env = TestEnv::without_verification("").await;
    let (is_made, printed) = run_on(&env, &database.url(), &["accounts", "create", "other"]);
    assert!(is_made, "{printed}");
    let rows = "SELECT xmin, * FROM accounts; SELECT xmin, * FROM service_secrets; SELECT xmin, * FROM schema_migrations";
    let before = database.sql(rows);
    let refused = migrate_to(&env, &database.url());
    assert_refused(
        &(refused.status.success(), crate::support::harness::printed(&refused)),
        "the target is not empty",
    );
    assert_eq!(database.sql(rows), before);
    assert_eq!(database.sql("SELECT count(*) FROM moves"), "0");
    assert_eq!(env.post(&env.valid_body("still")).await.status, 201, "the source is not touched either");
}
