//! `connections`.

use std::process::ExitCode;

use app::{App, BrokenSeal};
use clap::Subcommand;
use serde_json::json;

use super::{BoxError, Format, output};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Open every stored connection once and name those that do not open: after a restore, or a doubt
    Check {
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(app: &App, command: Command) -> Result<ExitCode, BoxError> {
    let Command::Check { format } = command;
    let report = app.check_seals().await?;
    let code = if report.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if format.json {
        let broken: Vec<_> = report
            .broken
            .iter()
            .map(|broken| match broken {
                BrokenSeal::AccountKey(account) => json!({ "accountId": account.as_str() }),
                BrokenSeal::Connection(account, connection) => {
                    json!({ "accountId": account.as_str(), "connectionId": connection.as_str() })
                }
            })
            .collect();
        output::say_json(&json!({ "accounts": report.accounts, "opened": report.opened, "broken": broken }))?;
        return Ok(code);
    }
    let mut lines = vec![format!("{} connections of {} accounts open.", report.opened, report.accounts)];
    lines.extend(report.broken.iter().map(|broken| match broken {
        BrokenSeal::AccountKey(account) => {
            format!("The key of the account {account} does not open, and so none of its connections does.")
        }
        BrokenSeal::Connection(account, connection) => {
            format!(
                "The connection {connection} of the account {account} does not open: it was damaged or moved."
            )
        }
    }));
    output::say(&lines.join("\n"))?;
    Ok(code)
}
