//! An engine migration that a test can interrupt, and comparisons of both databases.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use domain::account::AccountKeys;
use domain::connection::Availability;
use domain::connection::{AccessToken, ClientSecret, SecretCredentials};
use domain::id::{AccountId, ConnectionId};
use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};
use reqwest::Method;
use seal::Randomness;
use seal::envelope::AssociatedData;
use seal::keyring_file::{self, GroupAccess};

use crate::support::harness::{ACCOUNT, COLLECTION, Response, TestEnv, binary, finish, printed};
use crate::support::postgres::{Fault, Proxy, SharedPostgres};

pub(crate) const MANY: usize = 100_000;
/// The limit of a command on many rows, on a busy machine.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_mins(10);
/// Enough rows to interrupt their migration.
pub(crate) const SOME: usize = 15_000;
pub(crate) const DATABASE_URL: &str = "VIMEO_CONNECTIONS_DATABASE_URL";
pub(crate) const FROM: &str = "sqlite:data/vimeo-connections.db";

/// Inserts connections, sealed like those of the service.
pub(crate) fn insert_connections(env: &TestEnv, count: usize) {
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
    let key = keyring.open_account_key(&account, &AccountKeys::of(wrapped)).unwrap();
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
            // Older than all that the service creates.
            let id = ConnectionId::from_stored(format!("20200101000000000{number:0>15}"));
            let sealed_for = AssociatedData::of_credentials(&id, 1, Availability::Enabled);
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

/// A slow proxy to a server, so that a migration can be interrupted.
pub(crate) async fn slow_proxy(url: &str) -> Proxy {
    let mut line = Proxy::before(url).await;
    line.set(SLOW).await;
    line
}

pub(crate) const SLOW: Fault = Fault::Delay(Duration::from_millis(2));

/// A running `move`, and its output.
pub(crate) struct RunningMigration {
    child: Child,
    lines: BufReader<std::process::ChildStderr>,
    heard: String,
}

impl RunningMigration {
    pub(crate) fn start(env: &TestEnv, to: &str) -> Self {
        let mut command = binary(env.path());
        command.args(["move", "--from", FROM, "--to", to]).stdin(Stdio::null());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, heard: String::new() }
    }

    /// Waits until this many connections were copied or compared, then blocks its requests to the server.
    pub(crate) async fn catch(&mut self, line: &mut Proxy, action: &str, count: u64) {
        self.listen(action, count);
        line.set(Fault::HoldRequests).await;
    }

    pub(crate) fn listen(&mut self, action: &str, count: u64) {
        let start = format!("{action} connections: ");
        loop {
            let mut line = String::new();
            assert_ne!(self.lines.read_line(&mut line).unwrap(), 0, "the migration ended: {}", self.heard);
            self.heard.push_str(&line);
            let rows = line.strip_prefix(&start).and_then(|rest| rest.split(' ').next());
            if rows.is_some_and(|rows| rows.parse::<u64>().unwrap() >= count) {
                return;
            }
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for the end: whether it succeeded, and its whole output.
    pub(crate) fn end(mut self) -> (bool, String) {
        self.lines.read_to_string(&mut self.heard).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (output.status.success(), self.heard + &printed(&output))
    }
}

pub(crate) fn migrate_to(env: &TestEnv, to: &str) -> Output {
    let mut command = binary(env.path());
    command.args(["move", "--from", FROM, "--to", to]);
    finish(command, WAIT_LIMIT)
}

/// Runs a command on another database than the original one.
pub(crate) fn run_on(env: &TestEnv, url: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = binary(env.path());
    command.env(DATABASE_URL, url).args(arguments);
    let output = finish(command, WAIT_LIMIT);
    (output.status.success(), printed(&output))
}

pub(crate) fn assert_refused(output: &(bool, String), why: &str) {
    assert!(!output.0 && output.1.contains(why), "{}", output.1);
}

pub(crate) async fn create_with_key(env: &TestEnv, name: &str, key: &str) -> Response {
    let headers = [("content-type", "application/json"), ("idempotency-key", key)];
    env.send(Method::POST, COLLECTION, &headers, env.valid_body(name).to_string().into_bytes()).await
}

/// All connections, as one text.
pub(crate) const ALL: &str = "SELECT account_id || '|' || connection_id || '|' || name || '|' || unique_name || '|' ||
    coalesce(description, '-') || '|' || client_identifier || '|' || created_at || '|' || updated_at || '|' || version ||
    '|' || sealed_version || '|' ||";

pub(crate) fn all_in_file(env: &TestEnv) -> String {
    let database = env.database();
    let query = format!(
        "{ALL} is_enabled || lower(hex(wrapped_key)) || lower(hex(envelope)) FROM connections JOIN sealing_keys
         USING (sealing_key_id) ORDER BY account_id, connection_id"
    );
    let mut statement = database.prepare(&query).unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    rows.join("\n")
}

pub(crate) fn all_on_server(database: &SharedPostgres) -> String {
    database.sql(&format!(
        "{ALL} is_enabled::int || encode(wrapped_key, 'hex') || encode(envelope, 'hex') FROM connections
         ORDER BY account_id, connection_id"
    ))
}

pub(crate) fn copied_connections(database: &SharedPostgres) -> usize {
    database.sql("SELECT count(*) FROM connections").parse().unwrap()
}
