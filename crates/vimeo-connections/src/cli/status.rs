//! `status`: whether the service works, and what is in it.

use std::process::ExitCode;
use std::time::SystemTime;

use app::{App, Check, CheckResult, Clock};
use clap::Args;
use domain::job::JobPhase;
use domain::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{BoxError, Format, output};
use crate::client::{Answer, ApiClient, Call, Identity};
use crate::config::Config;
use crate::exit::ExitStatus;

/// A difference of the clocks up to this many seconds is not worth a remark.
const SKEW_REMARK_SECONDS: i64 = 5;

#[derive(Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    format: Format,
}

/// A check of the service.
#[derive(Debug, Serialize, Deserialize)]
struct CheckView {
    name: String,
    result: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

impl CheckView {
    fn of(check: &Check) -> Self {
        let (name, result) = (check.name.to_owned(), check.result.as_str().to_owned());
        Self { name, result, message: check.message.clone() }
    }

    fn text(&self) -> String {
        let message = self.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        format!("{} {}{message}", self.name, self.result)
    }
}

/// The state of the database.
pub(super) async fn of_database(
    app: &App,
    config: &Config,
    arguments: &Arguments,
) -> Result<ExitCode, BoxError> {
    let schema = app::inspect(&config.database_url).await?.map(|found| found.schema);
    let checks = app.check_readiness().await;
    let is_ready = checks.iter().all(|check| check.result != CheckResult::Fail);
    let checks: Vec<_> = checks.iter().map(CheckView::of).collect();
    let accounts = app.list_accounts().await?;
    let not_healthy = app.count_not_healthy_connections().await?;
    let mut counts = app.count_unfinished_jobs().await?;
    let mut jobs: Vec<_> = JobPhase::ALL
        .into_iter()
        .filter_map(|phase| Some((phase.as_str(), counts.remove(phase.as_str())?)))
        .collect();
    // A newer version may have states of its own.
    let others: u64 = counts.values().sum();
    if others > 0 {
        jobs.push(("unknown", others));
    }
    if arguments.format.json {
        let jobs: serde_json::Map<_, _> =
            jobs.iter().map(|(phase, count)| ((*phase).to_owned(), json!(count))).collect();
        output::print_json(&json!({
            "database": config.database_url.to_string(),
            "schema": schema,
            "version": env!("CARGO_PKG_VERSION"),
            "ready": is_ready,
            "checks": checks,
            "accounts": accounts.len(),
            "connectionsNotHealthy":
                { "unhealthy": not_healthy.unhealthy, "unverified": not_healthy.unverified },
            "unfinishedJobs": jobs,
        }))?;
        return Ok(code(is_ready));
    }
    let jobs: Vec<_> = jobs.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
    let mut lines = vec![
        ("database", config.database_url.to_string()),
        ("schema", schema.map_or_else(|| "none".to_owned(), |schema| schema.to_string())),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    lines.extend(checks.iter().map(|check| ("check", check.text())));
    lines.push(("accounts", accounts.len().to_string()));
    lines.push(("connections", not_healthy_text(not_healthy)));
    lines.push(("unfinished jobs", if jobs.is_empty() { "none".to_owned() } else { jobs.join(", ") }));
    output::print(&output::to_lines(&lines))?;
    Ok(code(is_ready))
}

fn not_healthy_text(count: metrics::NotHealthy) -> String {
    format!("{} unhealthy, {} unverified", count.unhealthy, count.unverified)
}

/// The response to `/health/ready`.
#[derive(Deserialize)]
struct ReadinessIn {
    #[serde(default)]
    checks: Vec<CheckView>,
}

/// The parts of the API description that are used.
#[derive(Deserialize)]
struct DescriptionIn {
    info: InfoIn,
}

#[derive(Deserialize)]
struct InfoIn {
    version: String,
}

/// The state of a remote service, and who the key is.
pub(super) async fn of_service(client: &ApiClient, arguments: &Arguments) -> Result<ExitCode, BoxError> {
    let clock = Clock::system();
    let sent_at = clock.now();
    let live = client.get_outside("/health/live").await?;
    let skew = date(&live).map_or(0, |date| skew_seconds(date, sent_at, clock.now()));
    if !live.status.is_success() {
        return Err(live.into_error().into());
    }
    let ready = client.get_outside("/health/ready").await?;
    let is_ready = ready.status.is_success();
    let checks = ready.json::<ReadinessIn>().map(|ready| ready.checks).unwrap_or_default();
    let description = client.get_outside("/openapi.json").await?;
    let version = description.json::<DescriptionIn>().map(|description| description.info.version).ok();
    let identity: Value = client.send(Call::get(&["v1", "whoami"])).await?.json()?;
    if arguments.format.json {
        output::print_json(&json!({
            "url": client.url().to_string(),
            "version": version,
            "ready": is_ready,
            "checks": checks,
            "clockDifferenceSeconds": skew,
            "identity": identity,
        }))?;
        return Ok(code(is_ready));
    }
    let Identity { account_id, account_name, key_id, key_name, scopes, expires_date } =
        serde_json::from_value(identity)?;
    let mut lines = vec![
        ("service", client.url().to_string()),
        ("version", version.unwrap_or_else(|| "unknown".to_owned())),
        ("ready", if is_ready { "yes" } else { "no" }.to_owned()),
    ];
    lines.extend(checks.iter().map(|check| ("check", check.text())));
    lines.push(("clock", skew_text(skew)));
    lines.extend([
        ("account", format!("{account_name} ({account_id})")),
        ("key", format!("{key_name} ({key_id})")),
        ("scopes", scopes.join(", ")),
        ("expires", expires_date.unwrap_or_else(|| "never".to_owned())),
    ]);
    output::print(&output::to_lines(&lines))?;
    Ok(code(is_ready))
}

fn code(is_ready: bool) -> ExitCode {
    if is_ready { ExitCode::SUCCESS } else { ExitCode::from(ExitStatus::Unavailable.code()) }
}

/// The time of a response, in whole seconds.
fn date(answer: &Answer) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(answer.header("date")?).ok()?;
    let since = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_millis(i64::try_from(since.as_millis()).ok()?))
}

/// By how many seconds at least the service's clock is ahead of this machine's (negative: behind). The date is rounded
/// down to a second, and was set between sending the request and receiving the response.
fn skew_seconds(date: Timestamp, sent_at: Timestamp, received_at: Timestamp) -> i64 {
    let seconds = |at: Timestamp| at.as_millis() / 1_000;
    let (date, sent, received) = (seconds(date), seconds(sent_at), seconds(received_at));
    if date > received {
        date - received
    } else if date < sent {
        date - sent
    } else {
        0
    }
}

fn skew_text(seconds: i64) -> String {
    match seconds {
        0 => "the same as here".to_owned(),
        _ if seconds.abs() <= SKEW_REMARK_SECONDS => format!("{seconds:+} s"),
        _ => format!("{seconds:+} s: one of the two clocks is wrong"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_only_by_what_the_duration_of_the_request_does_not_explain() {
        let at = Timestamp::from_millis;
        for (date, sent, received, skew) in [
            (10_000, 10_900, 10_950, 0),
            (11_000, 10_900, 11_100, 0),
            (12_000, 10_900, 11_100, 1),
            (40_000, 10_000, 10_100, 30),
            (5_000, 10_900, 11_100, -5),
            (10_000, 10_000, 20_000, 0),
        ] {
            assert_eq!(skew_seconds(at(date), at(sent), at(received)), skew, "{date}");
        }
        assert_eq!(skew_text(-3), "-3 s");
        assert!(skew_text(60).starts_with("+60 s: "));
    }
}
