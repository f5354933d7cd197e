//! `healthcheck`: asks the running service whether it is healthy, for containers without an HTTP client. It needs the
//! configuration only: neither the keyring nor the database.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use thiserror::Error;

use super::{BoxError, output};
use crate::config::Config;
use crate::exit::ExitStatus;
use crate::wiring::USER_AGENT;

/// Limit for the whole check: longer than the service's own check of its database.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Only the result and the name of a check decide; a longer answer is not the service's.
const ANSWER_MAX_BYTES: usize = 64 * 1024;

#[derive(Args)]
pub(super) struct Arguments {
    /// Only ask whether the process responds, not whether it can write to its database
    #[arg(long)]
    live: bool,
}

/// Why the service is not healthy.
#[derive(Debug, Error)]
enum Unhealthy {
    #[error("`listen` has port 0, which the system replaces: set a port, so that it is known here")]
    UnknownPort,
    #[error("the service at {0} cannot be asked")]
    NoAnswer(SocketAddr, #[source] reqwest::Error),
    #[error("the service at {0} answered {1}")]
    Status(SocketAddr, reqwest::StatusCode),
}

/// The part of an answer that counts.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    #[serde(default)]
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    name: String,
    result: String,
    message: Option<String>,
}

/// Asks the service at its own address. Exit status 1 whatever is wrong: container platforms know only healthy or not.
pub(super) async fn run(
    config: Result<Config, BoxError>,
    arguments: &Arguments,
) -> Result<ExitCode, BoxError> {
    let result = match config {
        Ok(config) => ask(&config, arguments).await,
        Err(error) => Err(error),
    };
    match result {
        Ok(text) => output::print(text),
        Err(error) => {
            output::report_error(&*error);
            Ok(ExitCode::from(ExitStatus::Failure.code()))
        }
    }
}

async fn ask(config: &Config, arguments: &Arguments) -> Result<&'static str, BoxError> {
    let address = reachable(config.listen).ok_or(Unhealthy::UnknownPort)?;
    let scheme = if config.tls.is_some() { "https" } else { "http" };
    let (path, healthy) =
        if arguments.live { ("live", "The service is live.") } else { ("ready", "The service is ready.") };
    let client = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .timeout(TIMEOUT)
        // The certificate names the service, not the address of this machine, and no secret is sent. The connection ends at
        // this machine: its own address is routed to itself.
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    let failed = |error: reqwest::Error| Unhealthy::NoAnswer(address, error.without_url());
    let response = client.get(format!("{scheme}://{address}/health/{path}")).send().await.map_err(failed)?;
    let status = response.status();
    if status.is_success() {
        return Ok(healthy);
    }
    let is_short = response.content_length().is_some_and(|length| length <= ANSWER_MAX_BYTES as u64);
    let body = if is_short { response.bytes().await.map_err(failed)? } else { bytes::Bytes::new() };
    let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
    match describe(&answer.checks) {
        failing if failing.is_empty() => Err(Unhealthy::Status(address, status).into()),
        failing => Err(format!("the service is not ready: {failing}").into()),
    }
}

/// The address at which a process of this machine reaches a listener; `None` if its port is not known.
fn reachable(listen: SocketAddr) -> Option<SocketAddr> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    (listen.port() != 0).then(|| SocketAddr::new(ip, listen.port()))
}

/// The checks that fail, with what is wrong.
fn describe(checks: &[Check]) -> String {
    let failing = checks.iter().filter(|check| check.result == "fail");
    let texts: Vec<_> = failing
        .map(|check| match &check.message {
            Some(message) => format!("{}: {message}", check.name),
            None => check.name.clone(),
        })
        .collect();
    output::on_one_line(&texts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_at_its_own_address() {
        for (listen, expected) in [
            ("127.0.0.1:8080", Some("127.0.0.1:8080")),
            ("0.0.0.0:8443", Some("127.0.0.1:8443")),
            ("[::]:8443", Some("[::1]:8443")),
            ("192.0.2.1:80", Some("192.0.2.1:80")),
            ("127.0.0.1:0", None),
        ] {
            let found = reachable(listen.parse().unwrap());
            assert_eq!(found.map(|address| address.to_string()).as_deref(), expected, "{listen}");
        }
    }

    #[test]
    fn only_failing_checks_are_named() {
        let answer = r#"{"checks":[{"name":"database","result":"fail","message":"cannot be written"},
            {"name":"disk","result":"warn","message":"almost full"},{"name":"keyring","result":"fail"}]}"#;
        let answer: Answer = serde_json::from_str(answer).unwrap();
        assert_eq!(describe(&answer.checks), "database: cannot be written; keyring");
        assert_eq!(describe(&[]), "");
    }
}
