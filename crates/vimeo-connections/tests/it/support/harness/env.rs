//! An environment for one test: a directory, a sandbox, and the service as a process.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::service::FLUSH_REQUEST;
use crate::support::harness::{Service, WAIT_LIMIT, cli, make_key};

pub(crate) const COLLECTION: &str = "/pictoryapis/v1/vimeo-connections";
pub(crate) const ACCOUNT: &str = "acme";

/// What a world may differ in.
#[derive(Default)]
pub(crate) struct EnvOptions {
    /// Lines of configuration, put before the world's own sections: keys with dots.
    pub(crate) config: String,
    /// The sandbox takes any credentials.
    pub(crate) open_sandbox: bool,
    /// No sandbox is asked at all.
    pub(crate) verification_off: bool,
    /// Where the database is, if it is not a file in the world's directory.
    pub(crate) database_url: Option<String>,
    /// Another sandbox than the usual one.
    pub(crate) sandbox: Option<sandbox::Options>,
}

pub(crate) struct TestEnv {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) sandbox: sandbox::Running,
    pub(crate) service: Service,
    /// A good key of the account [`ACCOUNT`].
    pub(crate) api_key: String,
    pub(crate) http: reqwest::Client,
}

/// An HTTP answer, read to its end.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Response {
    /// The body as JSON; null if it is empty or none.
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

    /// The faulty fields: name and text of each.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        let fields = self.json()["fields"].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        fields.iter().map(|field| (text(&field["name"]), text(&field["errors"]))).collect()
    }
}

impl TestEnv {
    /// The usual world: a strict sandbox, verification required, one account with one key.
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
        let verification = if options.verification_off { "off" } else { "required" };
        let database =
            options.database_url.map_or_else(String::new, |url| format!("database_url = {url:?}\n"));
        // Every line is wanted, unless the test is about the counting of lines.
        let repeats =
            if options.config.contains("log.repeat_seconds") { "" } else { "log.repeat_seconds = 0\n" };
        let config = format!(
            "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\nlog.level = \"trace\"\n{repeats}vimeo.base_url = \"{}\"\n\
             vimeo.verification = \"{verification}\"\n{database}{}",
            sandbox.base_url, options.config
        );
        fs::write(directory.path().join("vimeo-connections.toml"), config).unwrap();
        let printed = cli(directory.path(), &["init"], "");
        assert!(printed.status.success(), "{printed:?}");
        let printed = cli(directory.path(), &["accounts", "create", ACCOUNT], "");
        assert!(printed.status.success(), "{printed:?}");
        let api_key = make_key(directory.path(), ACCOUNT, &[]);
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

    /// Runs a command of the binary in this world's directory.
    pub(crate) fn cli(&self, arguments: &[&str], input: &str) -> Output {
        cli(self.path(), arguments, input)
    }

    /// A new key; of another account, if there is such an account.
    pub(crate) fn make_key(&self, account: &str, arguments: &[&str]) -> String {
        make_key(self.path(), account, arguments)
    }

    /// Kills the service without a word (SIGKILL) and starts it again on the same directory.
    pub(crate) fn kill_and_restart(&mut self) {
        self.service.kill();
        self.service = Service::start(self.path());
    }

    /// What the service has logged so far, over all its starts.
    pub(crate) fn log(&self) -> String {
        self.service.flush_log(self.path());
        let log = fs::read_to_string(self.path().join("service.log")).unwrap_or_default();
        // Without the requests that only asked whether all was written.
        log.split_inclusive('\n').filter(|line| !line.contains(FLUSH_REQUEST)).collect()
    }

    /// A body that the sandbox's first app makes good.
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

    /// Any request, with the world's key unless the headers bring another `authorization`.
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

    /// A request to the sandbox's controls.
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

    /// Makes the sandbox misbehave: `fault` as `POST /_sandbox/faults` takes it.
    pub(crate) async fn inject_fault(&self, fault: Value) {
        self.control(Method::POST, "faults", fault).await;
    }

    /// Tokens that a check of credentials left at Vimeo and nobody revoked; waits a while for them to go.
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
        self.path().join("data/vimeo-connections.db")
    }

    /// The database, opened beside the service.
    pub(crate) fn database(&self) -> rusqlite::Connection {
        let database = rusqlite::Connection::open(self.database_file()).unwrap();
        database.busy_timeout(WAIT_LIMIT).unwrap();
        database
    }

    /// How many connections are stored, in all accounts.
    pub(crate) fn connection_count(&self) -> usize {
        self.database().query_row("SELECT count(*) FROM connections", [], |row| row.get(0)).unwrap()
    }

    /// Sends bytes as they are and reads until the service closes or falls silent.
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
