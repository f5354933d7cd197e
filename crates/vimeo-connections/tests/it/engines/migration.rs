//! `vimeo-connections move`: everything goes from SQLite to PostgreSQL, wherever it is cut off, and nobody is served from
//! the wrong side.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use domain::connection::{AccessToken, ClientSecret, SecretCredentials};
use domain::id::{AccountId, ConnectionId};
use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};
use reqwest::Method;
use seal::Randomness;
use seal::envelope::SealedFor;
use seal::keyring_file::{self, GroupAccess};

use crate::support::harness::{
    ACCOUNT, COLLECTION, EnvOptions, Response, Service, TestEnv, binary, finish, printed, run,
};
use crate::support::postgres::{Fault, Part, Postgres, Proxy, SharedPostgres, Stop, Version};

const MANY: usize = 100_000;
/// How long a command on so many may take before it is given up, on a machine that has much else to do.
const WAIT_LIMIT: Duration = Duration::from_mins(10);
/// Enough that a move of them can be caught in the middle.
const SOME: usize = 15_000;
const DATABASE_URL: &str = "VIMEO_CONNECTIONS_DATABASE_URL";
const FROM: &str = "sqlite:data/vimeo-connections.db";

async fn env() -> TestEnv {
    TestEnv::with(EnvOptions { verification_off: true, ..EnvOptions::default() }).await
}

/// Puts connections into the file, sealed as the service seals them.
fn fill(env: &TestEnv, count: usize) {
    let keyring =
        keyring_file::read(&env.path().join("vimeo-connections.keyring"), GroupAccess::Forbidden).unwrap();
    let mut database = env.database();
    let query = "SELECT account_id, keyring_key_id, wrapped_key FROM accounts WHERE name = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        let wrapped = KeyringWrapped {
            keyring_key: KeyringKeyId(row.get(1)?),
            wrapped: WrappedKey(row.get::<_, Vec<u8>>(2)?.try_into().unwrap()),
        };
        Ok((AccountId::from_stored(row.get(0)?), wrapped))
    };
    let (account, wrapped) = database.query_row(query, [ACCOUNT], read).unwrap();
    let key = keyring.open_account_key(&account, &wrapped).unwrap();
    let secrets = SecretCredentials {
        client_secret: ClientSecret::parse("aclientsecret").unwrap(),
        access_token: AccessToken::parse("anaccesstoken").unwrap(),
    };
    let randomness = Randomness::system();
    let transaction = database.transaction().unwrap();
    {
        let sealing_key = "INSERT INTO sealing_keys (wrapped_key) VALUES (?1)";
        let mut sealing_key = transaction.prepare(sealing_key).unwrap();
        let connection =
            "INSERT INTO connections (account_id, connection_id, name, unique_name, description, is_enabled,
                client_identifier, created_at, updated_at, version, sealed_version, sealing_key_id, envelope)
            VALUES (?1, ?2, ?3, ?3, ?4, ?5, 'client', 1, 2, 1, 1, ?6, ?7)";
        let mut connection = transaction.prepare(connection).unwrap();
        for number in 0..count {
            // Older than all that the service makes.
            let id = ConnectionId::from_stored(format!("20200101000000000{number:0>15}"));
            let sealed_for = SealedFor { connection: &id, sealed_version: 1 };
            let sealed = key.seal_credentials(sealed_for, &secrets, &randomness).unwrap();
            let sealing_key = sealing_key.insert([sealed.sealing_key.0]).unwrap();
            let description = Some("über Umwege").filter(|_| number % 2 == 0);
            let row = (
                account.as_str(),
                id.as_str(),
                format!("n° {number}"),
                description,
                number % 3 == 0,
                sealing_key,
                sealed.envelope,
            );
            connection.execute(row).unwrap();
        }
    }
    transaction.commit().unwrap();
}

/// A slow line to a server: whoever moves something over it can be caught in the middle.
async fn slow_line(url: &str) -> Proxy {
    let mut line = Proxy::before(url).await;
    line.set(SLOW).await;
    line
}

const SLOW: Fault = Fault::Delay(Duration::from_millis(2));

/// A `move` that runs, and what it says.
struct Moving {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl Moving {
    fn start(env: &TestEnv, to: &str) -> Self {
        let mut command = binary(env.path());
        command.args(["move", "--from", FROM, "--to", to]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, heard: String::new() }
    }

    /// Catches it when it has copied, or compared, so many connections: it waits for the server from then on.
    async fn catch(&mut self, line: &mut Proxy, verb: &str, count: u64) {
        self.listen(verb, count);
        line.set(Fault::HoldRequests).await;
    }

    fn listen(&mut self, verb: &str, count: u64) {
        let start = format!("{verb} connections: ");
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "it ended: {}", self.heard);
            self.heard.push_str(&line);
            let rows = line.strip_prefix(&start).and_then(|rest| rest.split(' ').next());
            if rows.is_some_and(|rows| rows.parse::<u64>().unwrap() >= count) {
                return;
            }
        }
    }

    /// SIGKILL, and waits for the end.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end: whether it was done, and all that it said.
    fn end(mut self) -> (bool, String) {
        self.lines.read_to_string(&mut self.heard).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.success(), self.heard + &printed(&output))
    }
}

fn move_to(env: &TestEnv, to: &str) -> Output {
    let mut command = binary(env.path());
    command.args(["move", "--from", FROM, "--to", to]);
    finish(command, WAIT_LIMIT)
}

/// Runs a command on another database than the one that the world began with.
fn on(env: &TestEnv, url: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = binary(env.path());
    command.env(DATABASE_URL, url).args(arguments);
    let output = finish(command, WAIT_LIMIT);
    (output.status.success(), printed(&output))
}

fn refuses(output: &(bool, String), why: &str) {
    assert!(!output.0 && output.1.contains(why), "{}", output.1);
}

async fn create_once(env: &TestEnv, name: &str, key: &str) -> Response {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    env.send(Method::POST, COLLECTION, &headers, env.valid_body(name).to_string().into_bytes()).await
}

/// All connections, in one text.
const ALL: &str = "SELECT account_id || '|' || connection_id || '|' || name || '|' || unique_name || '|' ||
    coalesce(description, '-') || '|' || client_identifier || '|' || created_at || '|' || updated_at || '|' || version ||
    '|' || sealed_version || '|' ||";

fn all_in_file(env: &TestEnv) -> String {
    let database = env.database();
    let query = format!(
        "{ALL} is_enabled || lower(hex(wrapped_key)) || lower(hex(envelope)) FROM connections JOIN sealing_keys
         USING (sealing_key_id) ORDER BY account_id, connection_id"
    );
    let mut statement = database.prepare(&query).unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    rows.join("\n")
}

fn all_on_server(database: &SharedPostgres) -> String {
    database.sql(&format!(
        "{ALL} is_enabled::int || encode(wrapped_key, 'hex') || encode(envelope, 'hex') FROM connections
         ORDER BY account_id, connection_id"
    ))
}

fn copied(database: &SharedPostgres) -> usize {
    database.sql("SELECT count(*) FROM connections").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_connections_arrive_however_often_their_move_is_killed() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let mut line = slow_line(&database.url()).await;
    let url = line.url().to_owned();
    let mut env = env().await;
    fill(&env, MANY);
    let created = create_once(&env, "kept", "once").await;
    assert_eq!(created.status, 201, "{created:?}");
    let page = env.get(&format!("{COLLECTION}?limit=20")).await.json();
    let all = all_in_file(&env);

    let mut so_far = 0;
    for cut in [20_000, 60_000] {
        let mut moving = Moving::start(&env, &url);
        moving.catch(&mut line, "copied", cut).await;
        // A service that runs on the source answers reads, and turns every write away.
        let refused = env.post(&env.valid_body("late")).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (503, "STORE_UNAVAILABLE"));
        assert!(!refused.header("retry-after").is_empty());
        assert_eq!(env.get(&format!("{COLLECTION}?limit=20")).await.json(), page);
        moving.kill();
        line.set(SLOW).await;
        let now = copied(&database);
        assert!(so_far < now && now < MANY, "not in the middle of copying: {so_far} {now}");
        so_far = now;
        refuses(&on(&env, &url, &["serve"]), "unfinished copy of sqlite:/");
        refuses(&on(&env, &url, &["accounts", "list"]), "unfinished copy of sqlite:/");
        let refused = env.post(&env.valid_body("late")).await;
        assert_eq!(refused.status, 503, "killed, the move keeps the source as it is");
    }
    // And once between the copy and the end.
    let mut moving = Moving::start(&env, &url);
    moving.catch(&mut line, "compared", 20_000).await;
    moving.kill();
    line.set(Fault::Pass).await;
    assert_eq!(copied(&database), MANY + 1);
    refuses(&on(&env, &url, &["serve"]), "unfinished copy");
    refuses(&on(&env, FROM, &["serve"]), "is being moved to postgres://");

    let (is_done, printed) = Moving::start(&env, &url).end();
    assert!(is_done && printed.contains("connections          100001  "), "{printed}");
    assert!(all_on_server(&database) == all, "they differ");
    assert!(all_in_file(&env) == all, "the source has changed");

    assert_eq!(env.service.wait(), Some(70), "moved, the source is not served any more, not even to readers");
    assert!(env.log().contains("the database was moved to postgres://"));
    refuses(&on(&env, FROM, &["serve"]), "was moved to postgres://");
    let (is_good, printed) = on(&env, &url, &["connections", "check"]);
    assert!(is_good && printed.contains("100001 connections of 1 accounts open."), "{printed}");

    env.service = Service::start_with(env.path(), &[(DATABASE_URL, &url)]);
    let key = page["nextPageKey"].as_str().unwrap();
    let next = env.get(&format!("{COLLECTION}?limit=20&nextPageKey={key}")).await;
    assert_eq!(next.status, 200, "the page keys of the source go on: {next:?}");
    let name = next.json()["Items"][0]["name"].clone();
    assert_eq!(name, "n° 20", "{next:?}");
    let again = create_once(&env, "kept", "once").await;
    assert_eq!(
        (again.status, again.text),
        (created.status, created.text),
        "and so do the answers it has kept"
    );
    assert_eq!(env.post(&env.valid_body("new")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_that_loses_its_server_is_taken_up_again() {
    let Some(mut server) = Postgres::private(Version::V15) else { return };
    let mut line = slow_line(&server.create_database("target")).await;
    let url = line.url().to_owned();
    let env = env().await;
    fill(&env, SOME);
    let mut moving = Moving::start(&env, &url);
    moving.catch(&mut line, "copied", 5_000).await;
    server.kill();
    line.set(Fault::Pass).await;
    let lost = moving.end();
    refuses(&lost, "Rerun the same command to resume");
    refuses(&(false, printed(&move_to(&env, &url))), "the database server cannot be used");
    server.start();
    let done = move_to(&env, &url);
    assert!(done.status.success(), "{}", printed(&done));
    server.stop(Stop::Fast);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_onto_a_full_disk_goes_on_when_there_is_room() {
    let Some(server) = Postgres::on_a_small_disk(Version::V15, Part::Data, "") else { return };
    let mut line = slow_line(&server.create_database("target")).await;
    let url = line.url().to_owned();
    let env = env().await;
    fill(&env, SOME);
    let mut moving = Moving::start(&env, &url);
    moving.catch(&mut line, "copied", 5_000).await;
    server.fill_disk();
    line.set(Fault::Pass).await;
    let full = moving.end();
    refuses(&full, "Rerun the same command to resume");
    assert!(full.1.contains("No space left"), "{}", full.1);
    server.free_disk();
    let done = move_to(&env, &url);
    assert!(done.status.success(), "{}", printed(&done));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_given_back_when_somebody_says_so() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut env = env().await;
    let directory = env.path().to_owned();
    let abandon = |arguments: &[&str]| {
        let arguments = [&["move", "--from", FROM, "--abandon"], arguments].concat();
        let output = run(&directory, &[], &arguments);
        (output.status.success(), printed(&output))
    };
    refuses(&abandon(&["--yes"]), "not the source of a move");
    fill(&env, SOME);
    let mut line = slow_line(&database.url()).await;
    let mut moving = Moving::start(&env, line.url());
    moving.catch(&mut line, "copied", 5_000).await;
    moving.kill();
    assert_eq!(env.post(&env.valid_body("late")).await.status, 503);
    refuses(&abandon(&[]), "pass --yes, or run this at a terminal");
    let Some(other) = SharedPostgres::database(Version::V15) else { return };
    refuses(&abandon(&["--to", &other.url(), "--yes"]), "does not have the copy that this move made");
    let (is_done, printed) = abandon(&["--to", &database.url(), "--yes"]);
    assert!(
        is_done && printed.contains("is writable again") && printed.contains("Nothing was lost"),
        "{printed}"
    );
    assert_eq!(env.post(&env.valid_body("again")).await.status, 201, "the running service goes on");
    refuses(&on(&env, &database.url(), &["serve"]), "unfinished copy");

    let moved = crate::support::harness::printed(&move_to(&env, &other.url()));
    let file = env.database_file().canonicalize().unwrap();
    let pasteable = format!("vimeo-connections move --from sqlite:{} --abandon", file.display());
    assert!(moved.contains(&pasteable), "{moved}");
    refuses(&abandon(&[]), "from now on the two differ");
    assert_eq!(env.service.wait(), Some(70));
    refuses(&on(&env, FROM, &["serve"]), &pasteable);
    let (is_done, printed) = abandon(&["--yes"]);
    assert!(is_done && printed.contains("What was written to the other database"), "{printed}");
    env.service = Service::start(env.path());
    assert_eq!(env.post(&env.valid_body("late")).await.status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_to_drop_a_database_that_was_not_looked_at() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let mut env = env().await;
    assert_eq!(env.service.terminate(), Some(0));
    assert!(move_to(&env, &database.url()).status.success());
    // As a copy says that was made of the file while it moved.
    env.database().execute_batch("UPDATE moves SET state = 'running', ended_at = NULL").unwrap();
    let abandon = ["move", "--from", FROM, "--abandon"];
    let unknown =
        "if this file was restored or copied since, the move may have ended: check whether postgres://";
    refuses(&on(&env, FROM, &abandon), unknown);
    let warning =
        "which this file does not record: it was restored or copied since. WARNING: what was written there";
    let url = database.url();
    let with_target = [&abandon[..], &["--to", &url]].concat();
    refuses(&on(&env, FROM, &with_target), warning);
    refuses(&on(&env, &url, &abandon), warning);
    let (is_done, printed) = on(&env, FROM, &[&abandon[..], &["--yes"]].concat());
    assert!(is_done && printed.contains(unknown) && !printed.contains("Nothing was lost"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_on_which_a_command_was_run_is_refused_with_the_reason() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let env = env().await;
    assert!(on(&env, &database.url(), &["accounts", "list"]).0);
    let refused = move_to(&env, &database.url());
    let why = "the service or one of its commands was run on it";
    refuses(&(refused.status.success(), crate::support::harness::printed(&refused)), why);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_moved_by_one_process_at_a_time() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let env = env().await;
    fill(&env, SOME);
    let mut line = slow_line(&database.url()).await;
    let mut moving = Moving::start(&env, line.url());
    moving.catch(&mut line, "copied", 5_000).await;
    refuses(
        &(false, printed(&move_to(&env, &database.url()))),
        "another `vimeo-connections move` is running",
    );
    let abandon = run(env.path(), &[], &["move", "--from", FROM, "--abandon", "--yes"]);
    refuses(&(abandon.status.success(), printed(&abandon)), "another `vimeo-connections move` is running");
    line.set(Fault::Pass).await;
    let (is_done, printed) = moving.end();
    assert!(is_done, "{printed}");
    assert_eq!(copied(&database), SOME);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_shows_no_password_and_needs_no_keyring() {
    let Some(database) = SharedPostgres::database(Version::V15) else { return };
    let mut env = env().await;
    let url = database.url();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert!(password.len() > 20);
    std::fs::rename(env.path().join("vimeo-connections.keyring"), env.path().join("away")).unwrap();
    let mut all = String::new();
    // Of URLs that cannot be read, too.
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
    // Without `--to`, the configuration says where to.
    let (is_done, printed) = on(&env, FROM, &["move", "--from", FROM]);
    assert!(!is_done && printed.contains("no target"), "{printed}");
    let (is_done, printed) = on(&env, &url, &["move", "--from", FROM]);
    assert!(is_done && printed.contains("Next: set database_url"), "{printed}");
    all += &printed;
    all += &move_text(&env, &url);
    all += &on(&env, FROM, &["serve"]).1;
    assert!(!all.contains(password), "{all}");
    std::fs::rename(env.path().join("away"), env.path().join("vimeo-connections.keyring")).unwrap();
    assert_eq!(env.service.wait(), Some(70));
    env.service = Service::start_with(env.path(), &[(DATABASE_URL, &url)]);
    assert_eq!(env.post(&env.valid_body("new")).await.status, 201);
}

fn move_text(env: &TestEnv, to: &str) -> String {
    let output = move_to(env, to);
    assert!(
        output.status.success() && printed(&output).contains("nothing left to do"),
        "{}",
        printed(&output)
    );
    printed(&output)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_is_in_use_is_left_alone() {
    let Some(database) = SharedPostgres::database(Version::V18) else { return };
    let env = env().await;
    let (is_made, printed) = on(&env, &database.url(), &["accounts", "create", "other"]);
    assert!(is_made, "{printed}");
    let rows = "SELECT xmin, * FROM accounts; SELECT xmin, * FROM service_secrets; SELECT xmin, * FROM schema_migrations";
    let before = database.sql(rows);
    let refused = move_to(&env, &database.url());
    refuses(
        &(refused.status.success(), crate::support::harness::printed(&refused)),
        "the target is not empty",
    );
    assert_eq!(database.sql(rows), before);
    assert_eq!(database.sql("SELECT count(*) FROM moves"), "0");
    assert_eq!(env.post(&env.valid_body("still")).await.status, 201, "and so is the source");
}
