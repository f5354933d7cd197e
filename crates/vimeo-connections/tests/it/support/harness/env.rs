//! An environment for one test: a directory, a sandbox, and the service as a process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::service::FLUSH_REQUEST;
use crate::support::harness::{Service, WAIT_LIMIT, cli, make_key};

pub(crate) const COLLECTION: &str = "/pictoryapis/v1/vimeo-connections";
pub(crate) const ACCOUNT: &str = "acme";
const KEYRING: &str = "vimeo-connections.keyring";
const DATABASE: &str = "data/vimeo-connections.db";

/// Options of an environment.
#[derive(Default)]
pub(crate) struct EnvOptions {
    /// Lines of configuration with dotted keys, placed before any section.
    pub(crate) config: String,
    /// The sandbox accepts any credentials.
    pub(crate) open_sandbox: bool,
    /// Credentials are not verified at Vimeo.
    pub(crate) verification_off: bool,
    /// The database, if it is not a file in the directory.
    pub(crate) database_url: Option<String>,
    /// Options of the sandbox, if not the default.
    pub(crate) sandbox: Option<sandbox::Options>,
}

pub(crate) struct TestEnv {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sandbox: sandbox::Running,
    pub(crate) service: Service,
    /// A valid key of the account [`ACCOUNT`].
    pub(crate) api_key: String,
    pub(crate) http: reqwest::Client,
}

/// An HTTP response, read completely.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// A keyring, and a database with one account and one key. Every environment on SQLite starts from the same, because the
/// commands that create them take longer than many tests.
struct Initialized {
    keyring: Vec<u8>,
    database: Vec<u8>,
    api_key: String,
}

static INITIALIZED: LazyLock<Initialized> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let api_key = initialize(directory.path());
    let data: Vec<_> = fs::read_dir(directory.path().join("data")).unwrap().collect();
    assert_eq!(data.len(), 1, "the WAL is in the database file: {data:?}");
    Initialized {
        keyring: fs::read(directory.path().join(KEYRING)).unwrap(),
        database: fs::read(directory.path().join(DATABASE)).unwrap(),
        api_key,
    }
});

impl Initialized {
    /// Writes the files with the modes that the commands give them; the key.
    fn write_to(&self, directory: &Path) -> String {
        fs::DirBuilder::new().mode(0o700).create(directory.join("data")).unwrap();
        for (name, bytes) in [(KEYRING, &self.keyring), (DATABASE, &self.database)] {
            let options = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).to_owned();
            options.open(directory.join(name)).unwrap().write_all(bytes).unwrap();
        }
        self.api_key.clone()
    }
}

/// Creates a keyring, a database, and an account with a key; the key.
fn initialize(directory: &Path) -> String {
    let output = cli(directory, &["init"], "");
    assert!(output.status.success(), "{output:?}");
    make_key(directory, ACCOUNT, &[])
}

impl Response {
    /// The body as JSON; null if it is empty.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The error code.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The invalid fields: name and errors of each.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let fields = self.json()["fields"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        fields.iter().map(|field| (text(&field["name"]), text(&field["errors"]))).collect()
    }
}

impl TestEnv {
    /// The default environment: a strict sandbox, verification required, one account with one key.
    pub(crate) async fn start() -> Self {
        Self::with(EnvOptions::default()).await
    }

    /// Without verification at Vimeo, with these lines of configuration.
    pub(crate) async fn without_verification(config: &str) -> Self {
        Self::with(EnvOptions { config: config.to_owned(), verification_off: true, ..EnvOptions::default() })
            .await
    }

    pub(crate) async fn with(options: EnvOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let sandbox_options =
            sandbox::Options { open: options.open_sandbox, ..options.sandbox.unwrap_or_default() };
        let sandbox = sandbox::start(sandbox_options).await.unwrap();
        let verification = match options.verification_off {
            _ if options.config.contains("vimeo.verification") => "",
            true => "vimeo.verification = \"off\"\n",
            false => "vimeo.verification = \"required\"\n",
        };
        // Tests count requests to Vimeo, unless they are about background checks.
        let checks = if options.config.contains("health.check_interval") {
            ""
        } else {
            "health.check_interval_seconds = 0\n"
        };
        let has_own_storage = options.database_url.is_some() || options.config.contains("keyring");
        let database =
            options.database_url.map_or_else(String::new, |url| format!("database_url = {url:?}\n"));
        // Tests need every line, unless they are about repeated lines.
        let repeats =
            if options.config.contains("log.repeat_seconds") { "" } else { "log.repeat_seconds = 0\n" };
        let config = format!(
            "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nlog.level = \"trace\"\n{repeats}vimeo.base_url = \"{}\"\n\
             {verification}{checks}{database}{}",
            sandbox.base_url, options.config
        );
        fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
        let api_key = if has_own_storage {
            initialize(directory.path())
        } else {
            INITIALIZED.write_to(directory.path())
        };
        let service = Service::start(directory.path());
        Self {
            directory,
            sandbox,
            service,
            api_key,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.service.address)
    }

    /// Runs a command of the binary in this directory.
    pub(crate) fn cli(&self, arguments: &[&str], input: &str) -> Output {
        cli(self.path(), arguments, input)
    }

    /// Creates a key, and its account if it does not exist.
    pub(crate) fn make_key(&self, account: &str, arguments: &[&str]) -> String {
        make_key(self.path(), account, arguments)
    }

    /// Kills the service with SIGKILL and starts it again in the same directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.service.kill();
        self.service = Service::start(self.path());
    }

    /// The log of all starts so far.
    pub(crate) fn log(&self) -> String {
        self.service.flush_log(self.path());
        let log = fs::read_to_string(self.path().join("service.log")).unwrap_or_default();
        // Without the requests that flush the log.
        log.split_inclusive('\n').filter(|line| !line.contains(FLUSH_REQUEST)).collect()
    }

    /// A valid body, with the credentials of the first app of the sandbox.
    pub(crate) fn valid_body(&self, name: &str) -> Value {
        json!({
            "name": name,
            "description": "Testing Vimeo connection via API",
            "enabled": true,
            "clientIdentifier": self.sandbox.client_id,
            "clientSecret": self.sandbox.client_secret,
            "accessToken": self.sandbox.access_token,
        })
    }

    /// Sends a request, with the key of the environment unless the headers have another `authorization`.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Response {
        let mut request = self.http.request(method, self.url(path)).body(body);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("authorization")) {
            request = request.header("authorization", &self.api_key);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Response { status, headers, text: response.text().await.unwrap() }
    }

    pub(crate) async fn post(&self, body: &Value) -> Response {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, COLLECTION, &headers, body.to_string().into_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, &[], Vec::new()).await
    }

    /// A request to the control API of the sandbox.
    pub(crate) async fn control(&self, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}/_sandbox/{path}", self.sandbox.base_url);
        let mut request = self.http.request(method, url);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.unwrap();
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// Injects a fault into the sandbox, as `POST /_sandbox/faults` takes it.
    pub(crate) async fn inject_fault(&self, fault: Value) {
        self.control(Method::POST, "faults", fault).await;
    }

    /// Tokens that verification left at Vimeo without revoking them. Waits a while for their revocation.
    pub(crate) async fn stray_tokens(&self) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let tokens = self.control(Method::GET, "tokens", Value::Null).await;
            let strays: Vec<_> = tokens["tokens"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|token| token["origin"] == "granted" && token["revoked"] == false)
                .cloned()
                .collect();
            if strays.is_empty() || started.elapsed() > WAIT_LIMIT / 3 {
                return strays;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn database_file(&self) -> PathBuf {
        self.path().join(DATABASE)
    }

    /// Opens the database of the service.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.database_file()).unwrap();
        database.busy_timeout(WAIT_LIMIT).unwrap();
        database
    }

    /// The number of stored connections, in all accounts.
    pub(crate) fn connection_count(&self) -> usize {
        self.database().query_row("SELECT count(*) FROM connections", [], |row| row.get(0)).unwrap()
    }

    /// Sends raw bytes, and reads until the service closes the connection or pauses.
    pub(crate) fn raw(&self, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.service.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        stream.write_all(request).unwrap();
        let mut answer = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            answer.extend_from_slice(&buffer[..count]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    }
}
