//! The service as a relay: one upload from a URL.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use hyper::Request;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::process_stats::MemorySamples;
use super::{ServiceTransfer, TestBed, Transfer};
use crate::client::Body;
use crate::error::{BenchError, Context as _};
use crate::process::cpu_us;
use crate::sandbox::{Sandbox, send, text_at};
use crate::service::{Plan, Service};
use crate::time_of_day::{TimeOfDay, now};

/// How often the job and the service's memory are read.
const STEP: Duration = Duration::from_millis(50);

/// The service with a connection. Killed when dropped.
pub(super) struct TestedService {
    pub(super) service: Service,
    /// The identifier of the connection.
    connection: String,
}

/// A job, and when it was requested.
pub(super) struct Accepted {
    id: String,
    pub(super) at: TimeOfDay,
}

impl TestedService {
    pub(super) fn start(vimeo: &Sandbox<'_>, programs: &Path, work: &Path) -> Result<Self, BenchError> {
        let program = programs.join("vimeo-connections").canonicalize().context("it is not built")?;
        let configuration = format!(
            "vimeo.base_url = {:?}\nvimeo.verification = \"required\"\nsources.allow = [\"127.0.0.1/32\"]\n\
             sources.allow_http = true\nsources.ports = \"any\"\n",
            vimeo.base_url
        );
        let plan = Plan {
            program: &program,
            directory: work.join("relay-ours"),
            database_url: None,
            configuration: &configuration,
        };
        let mut ours = Self { service: Service::start(&plan)?, connection: String::new() };
        let body = json!({
            "name": "Vimeo", "enabled": true, "clientIdentifier": vimeo.client_id,
            "clientSecret": vimeo.client_secret, "accessToken": vimeo.access_token,
        });
        let request = ours.service.template().request("POST", "", body.to_string())?;
        ours.connection = text_at(&send(vimeo.runtime(), ours.service.address, request)?, "/connectionId")?;
        Ok(ours)
    }

    pub(super) fn start_upload(&self, runtime: &Runtime, url: &str) -> Result<Accepted, BenchError> {
        let (path, body) = (format!("/{}/uploads", self.connection), json!({"source": {"url": url}}));
        let request = self.service.template().request("POST", &path, body.to_string())?;
        let at = now();
        let accepted = send(runtime, self.service.address, request)?;
        Ok(Accepted { id: text_at(&accepted, "/data/jobId")?, at })
    }

    /// The job's `data`; an error if it failed.
    pub(super) fn job(&self, runtime: &Runtime, accepted: &Accepted) -> Result<Value, BenchError> {
        let request = Request::get(format!("/pictoryapis/v1/jobs/{}", accepted.id))
            .header("Host", self.service.address.to_string())
            .header("Authorization", &self.service.api_key)
            .body(Body::default())?;
        let mut job = send(runtime, self.service.address, request)?;
        if job.get("success") != Some(&Value::Bool(true)) {
            return Err(format!("an upload failed: {job}").into());
        }
        Ok(job.get_mut("data").map(Value::take).ok_or("a job without data")?)
    }
}

/// Whether a job is completed.
pub(super) fn is_completed(data: &Value) -> bool {
    data.get("status").and_then(Value::as_str) == Some("completed")
}

impl TestBed<'_> {
    pub(super) fn by_service(&self, bytes: u64) -> Result<ServiceTransfer, BenchError> {
        let pid = self.ours.service.id();
        let before = cpu_us(pid)?;
        let accepted = self.ours.start_upload(self.runtime, &self.source.url(bytes))?;
        let mut memory = MemorySamples::default();
        let (data, completed_at) = loop {
            let data = self.ours.job(self.runtime, &accepted)?;
            if is_completed(&data) {
                break (data, now());
            }
            memory.look(pid)?;
            sleep(STEP);
        };
        let cpu = Duration::from_micros(cpu_us(pid)?.saturating_sub(before)).as_secs_f64();
        let uri = text_at(&data, "/vimeoUri")?;
        let (received, started_at) = (self.vimeo.received(&uri, bytes)?, self.source.started_at()?);
        let passage = Transfer::new(bytes, received.at.seconds_since(started_at), &received, Some(cpu));
        self.source.forget();
        self.vimeo.forget(&uri)?;
        Ok(ServiceTransfer {
            passage,
            before_seconds: started_at.seconds_since(accepted.at),
            after_seconds: completed_at.seconds_since(received.at),
            memory,
        })
    }
}
