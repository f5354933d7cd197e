//! The service with its default configuration, as a process with an account and a key, on one engine.

use std::fmt;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Request;
use hyper::body::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::client::Body;
use crate::error::{BenchError, Context as _};
use crate::process::{Memory, Process, cpu_us};

/// The path of connections.
pub(crate) const COLLECTION: &str = "/pictoryapis/v1/vimeo-connections";
const TIMEOUT: Duration = Duration::from_mins(1);
const UNLIMITED: &str = "limits.requests_per_minute = 0\nlimits.key_requests_per_minute = 0\n\
    limits.connections = 0\nlimits.jobs_in_progress = 0\nlimits.idempotency_records = 0\n\
    limits.concurrent_reads = 0\nlimits.concurrent_writes = 0\nlimits.account_concurrent_writes = 0\n";

/// The service's database engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// How to start a service.
pub(crate) struct Plan<'a> {
    /// The binary.
    pub(crate) program: &'a Path,
    /// Its directory, which is created.
    pub(crate) directory: PathBuf,
    /// An empty database; a file in the directory if absent.
    pub(crate) database_url: Option<String>,
    /// Additional configuration, such as the address of Vimeo; verification is off unless this sets it.
    pub(crate) configuration: &'a str,
}

/// A running service. Killed when dropped.
pub(crate) struct Service {
    process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) api_key: String,
}

/// Creates a keyring, an account and its key on an empty database, in its own directory. Returns the key. Also creates
/// the service's tables without starting it.
pub(crate) fn prepare(plan: &Plan<'_>) -> Result<String, BenchError> {
    let directory = &plan.directory;
    fs::create_dir_all(directory).context(format!("{} cannot be made", directory.display()))?;
    write_configuration(plan)?;
    command(plan, &["init"])?;
    command(plan, &["accounts", "create", "bench"])?;
    let said = command(plan, &["keys", "create", "--json", "--account", "bench", "--name", "bench"])?;
    made_key(&said)
}

/// Creates an account with this many keys in a prepared directory whose service does not run. Returns the keys.
pub(crate) fn create_keys(plan: &Plan<'_>, account: &str, count: u64) -> Result<Vec<String>, BenchError> {
    command(plan, &["accounts", "create", account])?;
    let create = |number: u64| {
        let name = format!("{account}-{number}");
        made_key(&command(plan, &["keys", "create", "--json", "--account", account, "--name", &name])?)
    };
    (0..count).map(create).collect()
}

/// Removes the rate limits of an account in a prepared directory whose service does not run.
pub(crate) fn remove_rate_limits(plan: &Plan<'_>, account: &str) -> Result<(), BenchError> {
    let limits = ["--set", "requests-per-minute=0", "--set", "key-requests-per-minute=0"];
    command(plan, &[&["accounts", "limits", account], &limits[..]].concat()).map(drop)
}

/// Writes the configuration file into the directory, which exists.
fn write_configuration(plan: &Plan<'_>) -> Result<(), BenchError> {
    let database =
        plan.database_url.as_ref().map_or_else(String::new, |url| format!("database_url = {url:?}\n"));
    let verification = "vimeo.verification";
    let unverified =
        if plan.configuration.contains(verification) { "" } else { "vimeo.verification = \"off\"\n" };
    let unlimited = if plan.configuration.contains("limits.") { "" } else { unlimited(plan.program)? };
    let configuration = format!(
        "listen = \"127.0.0.1:0\"\nlog.format = \"json\"\n{database}{unverified}{unlimited}{}",
        plan.configuration
    );
    Ok(fs::write(plan.directory.join("vimeo-connections.toml"), configuration)?)
}

/// Configuration that turns off the limits of one client, which a load exceeds; empty for an older binary, which has none.
pub(crate) fn unlimited(program: &Path) -> Result<&'static str, BenchError> {
    let said = std::process::Command::new(program).args(["accounts", "limits", "--help"]).output()?;
    Ok(if said.status.success() { UNLIMITED } else { "" })
}

/// Runs one command of the service. Returns its output.
fn command(plan: &Plan<'_>, arguments: &[&str]) -> Result<String, BenchError> {
    let process = Process::start(plan.program, arguments, &plan.directory)?;
    outcome(process, &plan.directory, TIMEOUT)
}

/// Waits for a command of the service that was started in that directory. Returns its output.
pub(crate) fn outcome(
    mut process: Process,
    directory: &Path,
    timeout: Duration,
) -> Result<String, BenchError> {
    let status = process.wait(timeout)?;
    let read = |kind| fs::read_to_string(directory.join(format!("vimeo-connections.{kind}")));
    if !status.success() {
        return Err(format!("vimeo-connections failed ({status}): {}", read("log")?).into());
    }
    Ok(read("out")?)
}

/// Waits until a service that was started in that directory reports its address.
pub(crate) fn listening(process: &mut Process, directory: &Path) -> Result<SocketAddr, BenchError> {
    process.wait_for(&directory.join("vimeo-connections.log"), TIMEOUT, |line| {
        let line: Value = serde_json::from_str(line).ok()?;
        let text = |name| line.get(name).and_then(Value::as_str);
        text("message").filter(|message| *message == "listening").and(text("address")?.parse().ok())
    })
}

/// The key in the output of `keys create --json`.
pub(crate) fn made_key(said: &str) -> Result<String, BenchError> {
    let said: Value = serde_json::from_str(said).context("the new API key cannot be read")?;
    Ok(said.get("key").and_then(Value::as_str).ok_or("the service made no API key")?.to_owned())
}

impl Service {
    pub(crate) fn start(plan: &Plan<'_>) -> Result<Self, BenchError> {
        let api_key = prepare(plan)?;
        Self::serve(plan, api_key)
    }

    /// Stops it and starts it again on the same data, with the configuration of `plan`.
    pub(crate) fn restart(self, plan: &Plan<'_>) -> Result<Self, BenchError> {
        self.process.terminate(TIMEOUT)?;
        write_configuration(plan)?;
        Self::serve(plan, self.api_key)
    }

    /// Starts it in a prepared directory; the key is what [`prepare`] returned.
    pub(crate) fn serve(plan: &Plan<'_>, api_key: String) -> Result<Self, BenchError> {
        let mut process = Process::start(plan.program, &["serve"], &plan.directory)?;
        let address = listening(&mut process, &plan.directory)?;
        Ok(Self { process, address, api_key })
    }

    /// Starts a further node on the database of another one, whose configuration names the keyring.
    pub(crate) fn join(plan: &Plan<'_>, api_key: String) -> Result<Self, BenchError> {
        fs::create_dir_all(&plan.directory)?;
        write_configuration(plan)?;
        Self::serve(plan, api_key)
    }

    pub(crate) fn cpu_us(&self) -> Result<u64, BenchError> {
        cpu_us(self.process.id())
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn memory(&self) -> Result<Memory, BenchError> {
        Memory::of(self.process.id())
    }

    /// The template of requests to the service.
    pub(crate) fn template(&self) -> Template {
        Template::of(self.address, &self.api_key)
    }
}

/// The host and the key of requests to the service.
#[derive(Clone)]
pub(crate) struct Template {
    host: String,
    api_key: String,
}

impl Template {
    /// A request without a key.
    pub(crate) fn plain(address: SocketAddr, path: &str) -> Result<Request<Body>, BenchError> {
        let host = address.to_string();
        Ok(Request::builder().uri(path).header("Host", host).body(Body::new(Bytes::new()))?)
    }

    pub(crate) fn of(address: SocketAddr, api_key: &str) -> Self {
        Self { host: address.to_string(), api_key: api_key.to_owned() }
    }

    /// A request with the service's key; `path` is relative to the collection.
    pub(crate) fn request(
        &self,
        method: &str,
        path: &str,
        body: String,
    ) -> Result<Request<Body>, BenchError> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{COLLECTION}{path}"))
            .header("Host", &self.host)
            .header("Authorization", &self.api_key);
        if !body.is_empty() {
            request = request.header("Content-Type", "application/json");
        }
        Ok(request.body(Body::new(Bytes::from(body)))?)
    }
}
