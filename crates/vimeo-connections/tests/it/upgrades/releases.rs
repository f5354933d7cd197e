//! The data of releases that `scripts/fixture` recorded, restored into new directories.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use reqwest::Method;
use serde_json::Value;

use crate::support::harness::{Response, Service, TestEnv, binary, finish, printed, run};
use crate::support::postgres::{SharedPostgres, Version, psql};
use crate::support::tools::tests_folder;
use crate::support::uploads::{CONFIG, WAIT_LIMIT, fast_sandbox};

const KEYRING: &str = "vimeo-connections.keyring";
pub(super) const BACKUP: &str = "data.backup";
/// Sweeps that would delete what the release has left, because it is old. `audit_links` is none of them.
const HOLD_SWEEPS: &str = "UPDATE sweeps SET lease_until = 9000000000000000 WHERE name <> 'audit_links'";

/// Where the data of a release is restored to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Engine {
    Sqlite,
    Postgres(Version),
}

/// A directory with the data of a release, on which no process works yet.
pub(super) struct RestoredRelease {
    pub(super) directory: tempfile::TempDir,
    pub(super) contents: Value,
    pub(super) postgres: Option<SharedPostgres>,
    sandbox: sandbox::Running,
}

/// The names of all recorded releases, oldest first.
pub(super) fn releases() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort_by_key(|name| name.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>());
    names
}

/// The newest recorded release, which one can go back to.
pub(super) fn last_release() -> String {
    releases().pop().unwrap()
}

/// What a release has recorded about its data.
pub(super) fn contents(release: &str, engine: &str) -> Value {
    let file = folder().join(release).join(engine).join("contents.json");
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

pub(super) fn schema_of(contents: &Value) -> usize {
    contents["schema"].as_u64().unwrap().try_into().unwrap()
}

fn folder() -> PathBuf {
    tests_folder().join("fixtures/releases")
}

impl Engine {
    fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl RestoredRelease {
    /// The data of a release in a new directory, or in a new database. `None`, and reported, if there is no server: the test is
    /// skipped.
    pub(super) async fn new(release: &str, engine: Engine) -> Option<Self> {
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres(version) => Some(SharedPostgres::database(version)?),
        };
        let source = folder().join(release).join(engine.name());
        let sandbox = sandbox::start(sandbox::Options { open: true, ..fast_sandbox() }).await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        fs::copy(source.join("keyring"), directory.path().join(KEYRING)).unwrap();
        let owner_only = fs::Permissions::from_mode(0o600);
        fs::set_permissions(directory.path().join(KEYRING), owner_only).unwrap();
        let contents = contents(release, engine.name());
        let restored = Self { directory, contents, postgres, sandbox };
        restored.configure("uploads.work = false\n");
        if let Some(postgres) = &restored.postgres {
            let mut load = psql(&postgres.url(), "SELECT 1");
            load.arg("--file").arg(source.join("data.sql"));
            let loaded = finish(load, WAIT_LIMIT);
            assert!(loaded.status.success(), "{}", printed(&loaded));
        } else {
            fs::copy(source.join(BACKUP), restored.path().join(BACKUP)).unwrap();
            restored.run_successfully(&["restore", "--check", BACKUP]);
            restored.run_successfully(&["restore", BACKUP]);
        }
        restored.sql(HOLD_SWEEPS);
        Some(restored)
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes the configuration, with these lines in addition. Without work, nothing changes unless it is requested.
    pub(super) fn configure(&self, more: &str) {
        let database =
            self.postgres.as_ref().map_or_else(String::new, |it| format!("database_url = {:?}\n", it.url()));
        let config = format!(
            "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nlog.level = \"debug\"\nlog.repeat_seconds = 0\n\
             vimeo.base_url = \"{}\"\nvimeo.verification = \"off\"\nhealth.check_interval_seconds = 0\n\
             dashboard.idle_minutes = 1\n{database}{CONFIG}{more}",
            self.sandbox.base_url
        );
        fs::write(self.path().join("vimeo-connections.toml"), config).unwrap();
    }

    /// Runs a command of this build.
    pub(super) fn run(&self, arguments: &[&str]) -> Output {
        run(self.path(), &[], arguments)
    }

    /// Runs a command that must succeed; its output.
    pub(super) fn run_successfully(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", printed(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs statements in the database.
    pub(super) fn sql(&self, statements: &str) {
        match &self.postgres {
            Some(postgres) => drop(postgres.sql(statements)),
            None => self.file().execute_batch(statements).unwrap(),
        }
    }

    /// The number of rows, or the number that the query returns.
    pub(super) fn number(&self, query: &str) -> usize {
        match &self.postgres {
            Some(postgres) => postgres.sql(query).parse().unwrap(),
            None => self.file().query_row(query, [], |row| row.get(0)).unwrap(),
        }
    }

    fn file(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.path().join("data/vimeo-connections.db")).unwrap()
    }

    /// Starts the service of this build.
    pub(super) async fn start(&self) -> Service {
        self.start_as(binary(self.path())).await
    }

    /// Starts the service of a program.
    pub(super) async fn start_as(&self, command: Command) -> Service {
        let path = self.path().to_owned();
        tokio::task::spawn_blocking(move || Service::start_as(command, &path)).await.unwrap()
    }

    /// The key of an account that has all scopes.
    pub(super) fn owner_key(&self, account: &str) -> String {
        self.contents["keys"][format!("{account} owner")]["key"].as_str().unwrap().to_owned()
    }

    /// The environment of a running service, with the key of the first account.
    pub(super) fn into_env(self, service: Service) -> (TestEnv, Option<SharedPostgres>) {
        let account = self.contents["accounts"][0].as_str().unwrap().to_owned();
        let api_key = self.owner_key(&account);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let env = TestEnv { directory: self.directory, sandbox: self.sandbox, service, api_key, http };
        (env, self.postgres)
    }
}

/// A request without cookies, whose redirects are not followed.
pub(super) async fn request(
    service: &Service,
    (method, path): (Method, &str),
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let none = reqwest::redirect::Policy::none();
    let http = reqwest::Client::builder().no_proxy().redirect(none).build().unwrap();
    let mut request = http.request(method, format!("http://{}{path}", service.address)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    Response { status, headers, text: response.text().await.unwrap() }
}
