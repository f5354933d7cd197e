//! A service with connections, a sandbox and a source of videos: new ones for each measurement.

use std::path::PathBuf;

use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::{Binary, Options};
use crate::client::Body;
use crate::error::{BenchError, Context as _};
use crate::limits::postgres::administer;
use crate::open_loop::{self, OpenLoad, Schedule};
use crate::sandbox::{Sandbox, send, text_at};
use crate::service::{Engine, Plan, Service};
use crate::source::Source;

/// The size of every video, in bytes.
pub(super) const VIDEO_BYTES: u64 = 64 * 1024;
/// How many clients queue uploads at the same time.
const CLIENTS: usize = 64;
/// How many uploads are queued before the open loop starts again: it ends after 20 s.
const BATCH: u64 = 2_000;

/// The binaries and directories of a measurement.
pub(super) struct Fixture<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) options: &'a Options<'a>,
    pub(super) engine: Engine,
    pub(super) binary: Binary,
    pub(super) round: u32,
}

/// The processes of one measurement. Ended when dropped.
pub(super) struct Running<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) sandbox: Sandbox<'a>,
    pub(super) source: Source,
    pub(super) service: Service,
    /// The identifiers of the service's connections.
    pub(super) connections: Vec<String>,
    directory: PathBuf,
    program: PathBuf,
    database_url: Option<String>,
    concurrency: Option<u32>,
}

/// Whether the service executes uploads or only accepts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worker {
    On,
    Off,
}

impl<'a> Fixture<'a> {
    /// The name of the measurement, for messages and directories.
    pub(super) fn name(&self) -> String {
        let binary = match self.binary {
            Binary::Current => "current",
            Binary::Older => "older",
        };
        format!("{} {binary}", self.engine)
    }

    /// Starts everything and creates that many connections, all with the credentials of one user of the sandbox.
    pub(super) fn start(
        &self,
        stage: &str,
        worker: Worker,
        connections: u32,
    ) -> Result<Running<'a>, BenchError> {
        let Self { runtime, options, .. } = self;
        let name = format!("jobs_{stage}_{}_{}", self.name().replace(' ', "_"), self.round);
        let directory = options.work.join(&name);
        let sandbox = Sandbox::start(runtime, options.programs, &directory.join("sandbox"), "0")?;
        let database_url = self.create_database(&name)?;
        let program = match (self.binary, options.older) {
            (Binary::Older, Some(older)) => older,
            _ => options.service,
        };
        let (program, concurrency) = (program.to_owned(), options.concurrency);
        let configuration = configuration(&sandbox, worker, concurrency);
        let plan = Plan {
            program: &program,
            directory: directory.join("service"),
            database_url: database_url.clone(),
            configuration: &configuration,
        };
        let service = Service::start(&plan)?;
        let directory = plan.directory;
        let mut running = Running {
            runtime,
            sandbox,
            source: Source::start(runtime)?,
            service,
            connections: Vec::new(),
            directory,
            program,
            database_url,
            concurrency,
        };
        for number in 0..connections {
            running.create_connection(number)?;
        }
        Ok(running)
    }

    fn create_database(&self, name: &str) -> Result<Option<String>, BenchError> {
        let (Engine::Postgres, Some((url, _))) = (self.engine, self.options.postgres) else {
            return Ok(None);
        };
        let name = name.to_ascii_lowercase();
        administer(self.runtime, url, &[&format!("CREATE DATABASE {name}")])?;
        let (server, _) = url.rsplit_once('/').ok_or("the URL of PostgreSQL names no database")?;
        Ok(Some(format!("{server}/{name}")))
    }
}

fn configuration(sandbox: &Sandbox<'_>, worker: Worker, concurrency: Option<u32>) -> String {
    // The node keeps its last free slots for other accounts, so it has more than one account may use.
    let limits = concurrency.map_or_else(String::new, |count| {
        format!(
            "uploads.concurrency = {}\nuploads.per_account = {count}\nuploads.per_connection = {count}\n",
            count * 2
        )
    });
    format!(
        "vimeo.base_url = {:?}\nvimeo.verification = \"required\"\nsources.allow = [\"127.0.0.1/32\"]\n\
         sources.allow_http = true\nsources.ports = \"any\"\nuploads.work = {}\n{limits}",
        sandbox.base_url,
        worker == Worker::On
    )
}

impl Running<'_> {
    fn create_connection(&mut self, number: u32) -> Result<(), BenchError> {
        let body = json!({
            "name": format!("Vimeo {number}"), "enabled": true, "clientIdentifier": self.sandbox.client_id,
            "clientSecret": self.sandbox.client_secret, "accessToken": self.sandbox.access_token,
        });
        let created = self.send("POST", "", &body)?;
        self.connections.push(text_at(&created, "/connectionId")?);
        Ok(())
    }

    /// A request to the service; `path` is below that of its connections.
    pub(super) fn send(&self, method: &str, path: &str, body: &Value) -> Result<Value, BenchError> {
        let request = self.service.template().request(method, path, body.to_string())?;
        send(self.runtime, self.service.address, request).context(format!("{method} {path}"))
    }

    /// Queues uploads through those connections in turn.
    pub(super) fn queue(&self, connections: &[String], uploads: u64) -> Result<(), BenchError> {
        let template = self.service.template();
        let body = json!({"source": {"url": self.source.url(VIDEO_BYTES)}}).to_string();
        let paths: Vec<String> = connections.iter().map(|id| format!("/{id}/uploads")).collect();
        let request = move |number: u64| {
            let path = paths.get(usize::try_from(number)? % paths.len().max(1)).ok_or("no connection")?;
            template.request("POST", path, body.clone())
        };
        let load = OpenLoad {
            address: self.service.address,
            connections: CLIENTS,
            request,
            expected: StatusCode::ACCEPTED,
        };
        let mut left = uploads;
        while left > 0 {
            let requests = left.min(BATCH);
            let outcome = open_loop::run(&load, Schedule { requests, rate: f64::INFINITY })?;
            if let Some(error) = outcome.first_error {
                return Err(format!("{} uploads could not be queued: {error}", outcome.errors).into());
            }
            left -= requests;
        }
        Ok(())
    }

    pub(super) fn is_on_postgres(&self) -> bool {
        self.database_url.is_some()
    }

    /// A page of the account's jobs, newest first.
    pub(super) fn jobs(&self, limit: u32, page_key: Option<&str>) -> Result<Value, BenchError> {
        let key = page_key.map_or_else(String::new, |key| format!("&nextPageKey={key}"));
        let request = Request::get(format!("/pictoryapis/v1/jobs?limit={limit}{key}"))
            .header("Host", self.service.address.to_string())
            .header("Authorization", &self.service.api_key)
            .body(Body::default())?;
        send(self.runtime, self.service.address, request).context("the list of jobs")
    }

    /// Restarts the service, which then executes uploads.
    pub(super) fn restart_with_worker(self) -> Result<Self, BenchError> {
        let configuration = configuration(&self.sandbox, Worker::On, self.concurrency);
        let plan = Plan {
            program: &self.program,
            directory: self.directory.clone(),
            database_url: self.database_url.clone(),
            configuration: &configuration,
        };
        let service = self.service.restart(&plan)?;
        Ok(Self { service, ..self })
    }
}
