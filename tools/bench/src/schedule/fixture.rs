//! Two nodes on one PostgreSQL database, with a sandbox and a source of videos.

use std::collections::HashMap;

use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::Options;
use super::database::{Database, Job};
use crate::client::Body;
use crate::error::{BenchError, Context as _};
use crate::limits::postgres::administer;
use crate::open_loop::{self, OpenLoad, Schedule};
use crate::sandbox::{Sandbox, send, text_at};
use crate::service::{Plan, Service};
use crate::source::Source;
use crate::time_of_day::{TimeOfDay, now};

/// The size of every video, in bytes.
const VIDEO_BYTES: u64 = 1024;
/// Connections of the service, all with the credentials of one user of the sandbox.
const CONNECTIONS: u32 = 20;
/// How many clients send requests at the same time.
const CLIENTS: usize = 32;
/// How many requests are sent before the open loop starts again: it ends after 20 s.
const BATCH: usize = 1_000;
/// Only the preparation has uploads, and it is not measured.
const UPLOADS: &str = "uploads.concurrency = 64\nuploads.per_account = 96\nuploads.per_connection = 96\n";

/// The processes. Ended when dropped.
pub(super) struct Cluster<'a> {
    runtime: &'a Runtime,
    pub(super) sandbox: Sandbox<'a>,
    source: Source,
    pub(super) database: Database<'a>,
    pub(super) postgres_pid: u32,
    /// The node that is killed; `None`: it was.
    first: Option<Service>,
    second: Service,
    connections: Vec<String>,
}

impl<'a> Cluster<'a> {
    pub(super) fn start(runtime: &'a Runtime, options: &Options<'_>) -> Result<Self, BenchError> {
        let (url, postgres_pid) = options.postgres;
        administer(runtime, url, &["CREATE DATABASE schedule"])?;
        let (server, _) = url.rsplit_once('/').ok_or("the URL of PostgreSQL names no database")?;
        let database_url = format!("{server}/schedule");
        let sandbox = Sandbox::start(runtime, options.programs, &options.work.join("sandbox"), "0")?;
        let directory = options.work.join("first");
        // Both nodes have the keyring of the first.
        let configuration = format!(
            "vimeo.base_url = {:?}\nvimeo.verification = \"required\"\nsources.allow = [\"127.0.0.1/32\"]\n\
             sources.allow_http = true\nsources.ports = \"any\"\nkeyring.file = {:?}\n{UPLOADS}",
            sandbox.base_url,
            directory.join("vimeo-connections.keyring").to_string_lossy(),
        );
        let plan = |directory| Plan {
            program: options.service,
            directory,
            database_url: Some(database_url.clone()),
            configuration: &configuration,
        };
        let first = Service::start(&plan(directory))?;
        let second = Service::join(&plan(options.work.join("second")), first.api_key.clone())?;
        let mut cluster = Self {
            runtime,
            sandbox,
            source: Source::start(runtime)?,
            database: Database::open(runtime, &database_url)?,
            postgres_pid,
            first: Some(first),
            second,
            connections: Vec::new(),
        };
        for number in 0..CONNECTIONS {
            cluster.create_connection(number)?;
        }
        Ok(cluster)
    }

    fn create_connection(&mut self, number: u32) -> Result<(), BenchError> {
        let body = json!({
            "name": format!("Vimeo {number}"), "enabled": true, "clientIdentifier": self.sandbox.client_id,
            "clientSecret": self.sandbox.client_secret, "accessToken": self.sandbox.access_token,
        });
        let request = self.second.template().request("POST", "", body.to_string())?;
        let created =
            send(self.runtime, self.second.address, request).context("a connection was not created")?;
        self.connections.push(text_at(&created, "/connectionId")?);
        Ok(())
    }

    /// Queues uploads through all connections in turn, to be published tomorrow.
    pub(super) fn queue(&self, uploads: u64) -> Result<(), BenchError> {
        let body = json!({
            "source": {"url": self.source.url(VIDEO_BYTES)}, "publishAt": self.database.tomorrow()?,
            "privacy": {"view": "anybody"},
        });
        let (template, body) = (self.second.template(), body.to_string());
        let connections = self.connections.iter().cycle().take(usize::try_from(uploads)?);
        let paths = connections.map(|connection| (format!("/{connection}/uploads"), body.clone())).collect();
        let request = move |(path, body): &(String, String)| template.request("POST", path, body.clone());
        self.send_all(paths, StatusCode::ACCEPTED, request)
    }

    /// Sets the times of all jobs.
    pub(super) fn reschedule(&self, jobs: &HashMap<String, Job>, times: &[String]) -> Result<(), BenchError> {
        let mut ids: Vec<&String> = jobs.keys().collect();
        ids.sort_unstable();
        let changes = ids.into_iter().zip(times);
        let changes = changes.map(|(id, at)| (id.clone(), json!({"publishAt": at}).to_string())).collect();
        let (host, key) = (self.second.address.to_string(), self.second.api_key.clone());
        let request = move |(id, body): &(String, String)| {
            Ok(Request::patch(format!("/pictoryapis/v1/jobs/{id}"))
                .header("Host", &host)
                .header("Authorization", &key)
                .header("Content-Type", "application/json")
                .body(Body::from(body.clone()))?)
        };
        self.send_all(changes, StatusCode::OK, request)
    }

    /// Sends a request for each of these to the second node.
    fn send_all<F>(
        &self,
        mut left: Vec<(String, String)>,
        expected: StatusCode,
        request: F,
    ) -> Result<(), BenchError>
    where
        F: Fn(&(String, String)) -> Result<Request<Body>, BenchError> + Clone + Send + Sync + 'static,
    {
        while !left.is_empty() {
            let batch: Vec<_> = left.drain(..left.len().min(BATCH)).collect();
            let (requests, request) = (batch.len() as u64, request.clone());
            let of = move |number: u64| request(batch.get(usize::try_from(number)?).ok_or("no request")?);
            let load = OpenLoad { address: self.second.address, connections: CLIENTS, request: of, expected };
            let outcome = open_loop::run(&load, Schedule { requests, rate: f64::INFINITY })?;
            if let Some(error) = outcome.first_error {
                return Err(format!("{} requests failed: {error}", outcome.errors).into());
            }
        }
        Ok(())
    }

    /// From now on, the sandbox delays each response.
    pub(super) fn delay_vimeo(&self, millis: u64) -> Result<(), BenchError> {
        let fault = json!({"route": "*", "kind": "delay", "millis": millis, "times": 0});
        self.sandbox.send("POST", "/_sandbox/faults", &fault).map(drop)
    }

    /// How many requests the sandbox has received.
    pub(super) fn vimeo_requests(&self) -> Result<u64, BenchError> {
        let journal = self.sandbox.send("GET", "/_sandbox/journal?limit=1", &Value::Null)?;
        let last = journal.pointer("/requests/0/number").and_then(Value::as_u64);
        Ok(last.ok_or("the sandbox's journal is empty")?)
    }

    /// The CPU time of both nodes.
    pub(super) fn cpu_us(&self) -> Result<u64, BenchError> {
        Ok(self.cpu_us_each()?.iter().sum())
    }

    /// The CPU time of each node; 0 for one that was killed.
    pub(super) fn cpu_us_each(&self) -> Result<[u64; 2], BenchError> {
        Ok([self.first.as_ref().map_or(Ok(0), Service::cpu_us)?, self.second.cpu_us()?])
    }

    /// Kills the first node. Returns when.
    pub(super) fn kill(&mut self) -> Result<TimeOfDay, BenchError> {
        let first = self.first.take().ok_or("the node was already killed")?;
        let at = now();
        drop(first);
        Ok(at)
    }
}
