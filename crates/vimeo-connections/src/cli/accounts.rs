//! `accounts`.

use std::path::PathBuf;
use std::process::ExitCode;

use app::App;
use clap::Subcommand;
use domain::account::Label;
use serde_json::json;

use super::confirmation::Confirmation;
use super::{BoxError, Format, exports, output};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Create an account; its connections are encrypted with a key of its own
    Create {
        /// A name for operators, unique in the service
        #[arg(value_parser = Label::parse)]
        name: Label,
        #[command(flatten)]
        format: Format,
    },
    /// Delete an account with its API keys and connections, and wipe the keys of their secrets; `accounts export` exports
    /// what it has before
    Delete {
        /// The account's name
        #[arg(value_parser = Label::parse)]
        name: Label,
        #[command(flatten)]
        confirmation: Confirmation,
        #[command(flatten)]
        format: Format,
    },
    /// Export everything that an account has as JSON lines, without secrets
    ///
    /// Each line is an object with a `type` (`account`, `api_key`, `connection`, `job`, `webhook_secret` or
    /// `idempotency_record`) and the `record`. The last line has the type `summary` and the number of records of each type: an
    /// export without it is incomplete. What is changed meanwhile is exported as it was before or after.
    Export {
        /// The account's name
        #[arg(value_parser = Label::parse)]
        name: Label,
        /// A new file, readable by its owner alone [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// List all accounts
    List {
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(app: &App, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::Create { name, format } => {
            let account = app.create_account(name).await?;
            if format.json {
                return output::print_json(
                    &json!({ "accountId": account.id.as_str(), "name": account.name.as_str() }),
                );
            }
            output::print(&format!("Created the account {} ({}).", account.name, account.id))
        }
        Command::Delete { name, confirmation, format } => {
            let account = app.find_account(&name).await?;
            let what = format!("deleting the account {name} with all its API keys and connections");
            confirmation.ask(&what, name.as_str())?;
            app.delete_account(&account).await?;
            if format.json {
                return output::print_json(&json!({ "accountId": account.id.as_str(), "status": "deleted" }));
            }
            output::print(&format!(
                "Deleted the account {name} ({}) with all its API keys and connections. Its audit log \
                 entries are kept.",
                account.id
            ))
        }
        Command::Export { name, output } => {
            let account = app.find_account(&name).await?;
            exports::export(app, &account, output).await
        }
        Command::List { format } => {
            let accounts = app.list_accounts().await?;
            if format.json {
                let items: Vec<_> = accounts
                    .iter()
                    .map(|account| {
                        json!({
                            "accountId": account.id.as_str(),
                            "name": account.name.as_str(),
                            "createdDate": account.created_at.to_string(),
                        })
                    })
                    .collect();
                return output::print_json(&json!(items));
            }
            let rows: Vec<_> = accounts
                .iter()
                .map(|account| {
                    vec![account.name.to_string(), account.id.to_string(), account.created_at.to_string()]
                })
                .collect();
            output::print_table(&["NAME", "ACCOUNT", "CREATED"], &rows)
        }
    }
}
