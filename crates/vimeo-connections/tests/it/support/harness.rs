//! A world for one test: a directory, a sandbox, and the service as a process beside it.

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// How long anything is waited for before a test gives up. No test asserts how long something took.
const WAIT_LIMIT: Duration = Duration::from_mins(1);
/// How long the log of a service is waited for, which may be one that does not answer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);
/// How the identifiers of such requests begin.
const FLUSH_REQUEST: &str = "flush-the-log-";
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

/// The service as a process. Killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
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

impl Service {
    /// Starts the service in a directory that has its configuration and keyring; waits until it listens.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_as(binary(directory), directory)
    }

    /// The same with these variables, and no others, in its environment.
    pub(crate) fn start_with(directory: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = binary(directory);
        command.envs(environment.iter().copied());
        Self::start_as(command, directory)
    }

    /// The same with a command of the test's own: the binary, with another environment.
    pub(crate) fn start_as(command: Command, directory: &Path) -> Self {
        Self::try_start(command, directory).unwrap_or_else(|printed| panic!("{printed}"))
    }

    /// The same where it may refuse to start: then what it said.
    pub(crate) fn try_start(mut command: Command, directory: &Path) -> Result<Self, String> {
        let log = directory.join("service.log");
        let before = fs::read_to_string(&log).map_or(0, |text| text.len());
        let file = fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        let mut child = command.arg("serve").stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let started = Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap();
            if let Some(address) = listening(&text[before..]) {
                return Ok(Self { child, address });
            }
            if let Some(status) = child.try_wait().unwrap() {
                let text = fs::read_to_string(&log).unwrap();
                return Err(format!("the service ended with {status}: {}", &text[before..]));
            }
            assert!(started.elapsed() < WAIT_LIMIT, "the service does not listen: {}", &text[before..]);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until what is logged by now is in the file, if the service answers: lines are written by a thread of its own,
    /// in their order.
    pub(crate) fn flush_log(&self, directory: &Path) {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("{FLUSH_REQUEST}{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let request = format!(
            "GET /health/live HTTP/1.1\r\nhost: x\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n"
        );
        let ask = || {
            let mut stream = TcpStream::connect_timeout(&self.address, FLUSH_TIMEOUT).ok()?;
            stream.set_read_timeout(Some(FLUSH_TIMEOUT)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            answer.starts_with("HTTP/1.1 200 ").then_some(())
        };
        let started = Instant::now();
        let is_answered = ask().is_some();
        let is_written = || {
            let log = fs::read_to_string(directory.join("service.log")).unwrap_or_default();
            log.lines().any(|line| line.contains(&id) && line.contains("\"answered\""))
        };
        while is_answered && !is_written() && started.elapsed() < FLUSH_TIMEOUT {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGKILL, and waits for the end.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end; the exit status.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end; the exit status, `None` if a signal ended it.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(started.elapsed() < WAIT_LIMIT, "the service does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The schema of this version: the number of its migrations.
pub(crate) fn schema() -> usize {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/migrations/sqlite");
    fs::read_dir(directory).unwrap().count()
}

/// Waits until something is so; gives up after [`PATIENCE`].
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < WAIT_LIMIT, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn listening(log: &str) -> Option<SocketAddr> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "listening")
        .find_map(|line| line["address"].as_str()?.parse().ok())
}

/// The binary, to be run in a directory, with none of the tests' own environment that could be its configuration.
pub(crate) fn binary(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vimeo-connections"));
    command.current_dir(directory).env_clear();
    command
}

/// Runs a command of the binary.
pub(crate) fn cli(directory: &Path, arguments: &[&str], input: &str) -> Output {
    let pipes = (Stdio::piped(), Stdio::piped(), Stdio::piped());
    let mut child =
        binary(directory).args(arguments).stdin(pipes.0).stdout(pipes.1).stderr(pipes.2).spawn().unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// What a command said on both outputs.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Whether a command failed with one of the documented statuses, which `exit_statuses` tells apart.
pub(crate) fn is_documented_failure(output: &Output) -> bool {
    matches!(output.status.code(), Some(1 | 69 | 78))
}

/// Makes a key, in an account that is made if it is not there.
pub(crate) fn make_key(directory: &Path, account: &str, arguments: &[&str]) -> String {
    let accounts = printed(&cli(directory, &["accounts", "list", "--json"], ""));
    if !accounts.contains(&format!("\"name\": \"{account}\"")) {
        assert!(cli(directory, &["accounts", "create", account], "").status.success());
    }
    let arguments = [&["keys", "create", "--json", "--account", account], arguments].concat();
    let output = cli(directory, &arguments, "");
    assert!(output.status.success(), "{output:?}");
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    made["key"].as_str().unwrap().to_owned()
}

/// Runs the binary with an environment. It must come to its end, even where the test is about `serve`.
pub(crate) fn run(directory: &Path, environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = binary(directory);
    command.envs(environment.iter().copied()).args(arguments);
    finish(command, WAIT_LIMIT)
}

/// Runs a program to its end, for which it has so long.
pub(crate) fn finish(mut command: Command, wait_limit: Duration) -> Output {
    // Files, not pipes: a program that says much would wait for a reader.
    let (out, complaints) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command.stdin(Stdio::null());
    command.stdout(out.try_clone().unwrap()).stderr(complaints.try_clone().unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > wait_limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{} {:?} does not end", command.get_program().display(), command.get_args());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let read = |mut file: fs::File| {
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    };
    Output { status, stdout: read(out), stderr: read(complaints) }
}
