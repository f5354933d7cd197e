//! The configuration of uploads and sources.

use std::net::SocketAddr;
use std::time::Duration;

use app::{AllowHttp, AllowedDestination, MinimumRate, PortPolicy, SpoolOptions};

use super::{Reader, keys};

const MEBIBYTE: u64 = 1024 * 1024;

/// Settings for uploads and sources.
#[derive(Debug)]
pub(crate) struct UploadsConfig {
    pub(crate) is_working: bool,
    pub(crate) allow: Vec<AllowedDestination>,
    pub(crate) insecure: AllowHttp,
    pub(crate) ports: PortPolicy,
    pub(crate) dns_servers: Vec<SocketAddr>,
    pub(crate) source_max_bytes: u64,
    pub(crate) source_attempts: u32,
    pub(crate) minimum_rate: MinimumRate,
    pub(crate) spool: SpoolOptions,
    pub(crate) concurrency: usize,
    pub(crate) webhook_concurrency: usize,
    pub(crate) per_account: u32,
    pub(crate) per_connection: u32,
    pub(crate) chunk_bytes: u64,
    pub(crate) create_timeout: Duration,
    pub(crate) look_grace: Duration,
    pub(crate) look_span: Duration,
    pub(crate) retry_deadline: Duration,
    pub(crate) confirm: Duration,
    pub(crate) client_deadline: Duration,
}

impl Reader<'_> {
    pub(super) fn uploads(&mut self) -> Option<UploadsConfig> {
        let allow = self.parsed("sources.allow", |text| {
            let places = keys::split_list(text).into_iter().map(|place| AllowedDestination::parse(&place));
            places.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())
        });
        let ports = self.parsed("sources.ports", parse_ports);
        let dns_servers = self.parsed("sources.dns_servers", |text| {
            let servers = keys::split_list(text).into_iter().map(|server| server.parse());
            servers
                .collect::<Result<Vec<SocketAddr>, _>>()
                .map_err(|_| "must be addresses with ports, such as 10.0.0.2:53".to_owned())
        });
        let seconds = |key| self.number(key).map(Duration::from_secs);
        let hours = |key| self.number(key).map(Duration::from_hours);
        let count = |key| self.number(key).and_then(|count| u32::try_from(count).ok());
        Some(UploadsConfig {
            is_working: self.flag("uploads.work"),
            allow: allow?,
            insecure: if self.flag("sources.allow_http") { AllowHttp::Yes } else { AllowHttp::No },
            ports: ports?,
            dns_servers: dns_servers?,
            source_max_bytes: self.number("sources.max_bytes")?,
            source_attempts: count("sources.attempts")?,
            minimum_rate: MinimumRate {
                bytes_per_second: self.number("sources.min_bytes_per_second")?,
                window: seconds("sources.min_rate_window_seconds")?,
            },
            spool: SpoolOptions {
                directory: self
                    .text("sources.spool_directory")
                    .unwrap_or_else(|| keys::DEFAULT_SPOOL_DIRECTORY.to_owned())
                    .into(),
                file_max_bytes: self.number("sources.spool_max_bytes")?,
                total_max_bytes: self.number("sources.spool_total_bytes")?,
                time_limit: Duration::from_mins(self.number("sources.spool_minutes")?),
            },
            concurrency: usize::try_from(self.number("uploads.concurrency")?).ok()?,
            webhook_concurrency: usize::try_from(self.number("uploads.webhook_concurrency")?).ok()?,
            per_account: count("uploads.per_account")?,
            per_connection: count("uploads.per_connection")?,
            chunk_bytes: self.number("uploads.chunk_mebibytes")? * MEBIBYTE,
            create_timeout: seconds("uploads.create_seconds")?,
            look_grace: seconds("uploads.grace_seconds")?,
            look_span: seconds("uploads.look_seconds")?,
            retry_deadline: hours("uploads.patience_hours")?,
            confirm: seconds("uploads.confirm_seconds")?,
            client_deadline: hours("uploads.link_hours")?,
        })
    }
}

fn parse_ports(text: &str) -> Result<PortPolicy, String> {
    let error = || "must be standard, any, or comma-separated port numbers".to_owned();
    match text {
        "standard" => Ok(PortPolicy::Standard),
        "any" => Ok(PortPolicy::Any),
        list => {
            let ports: Result<Vec<u16>, _> = keys::split_list(list).iter().map(|port| port.parse()).collect();
            match ports {
                Ok(ports) if !ports.is_empty() && !ports.contains(&0) => Ok(PortPolicy::Listed(ports)),
                _ => Err(error()),
            }
        }
    }
}
