//! `accounts`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use app::{App, Caller, LinkOptions, PublicUrl, ShownLimits, SignInLink};
use clap::Subcommand;
use domain::account::Label;
use domain::limits::{LIMIT_MAX, Limit, LimitChange, LimitChanges};
use domain::session::Role;
use serde_json::{Value, json};

use super::backend::UsageError;
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
    /// Each line is an object with a `type` (`account`, `api_key`, `connection`, `job`, `webhook_secret`,
    /// `idempotency_record` or `audit_event`) and the `record`. The last line has the type `summary` and the number of records of each type: an
    /// export without it is incomplete. What is changed meanwhile is exported as it was before or after.
    Export {
        /// The account's name
        #[arg(value_parser = Label::parse)]
        name: Label,
        /// A new file, readable by its owner alone [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Show the limits of an account, or change them; running services apply a change within a second
    Limits {
        /// The account's name
        #[arg(value_parser = Label::parse)]
        name: Label,
        /// Set a limit for this account alone, such as connections=5000; 0 means no limit. The limits are
        /// requests-per-minute, key-requests-per-minute, connections, jobs-in-progress, idempotency-records and
        /// event-streams
        #[arg(long = "set", value_name = "LIMIT=VALUE", value_parser = parse_limit)]
        values: Vec<(Limit, u64)>,
        /// Apply the configured limit again
        #[arg(long, value_name = "LIMIT")]
        reset: Vec<Limit>,
        #[command(flatten)]
        format: Format,
    },
    /// Create a link with which a person signs in to the dashboard, once
    ///
    /// Send it to the person yourself: it signs in the first person who uses it. The settings of the dashboard list links that
    /// were not used, and revoke them.
    SignInLink {
        /// The account's name
        #[arg(value_parser = Label::parse)]
        name: Label,
        /// The person's name, for the dashboard and the audit log
        #[arg(long, value_name = "NAME", value_parser = Label::parse, default_value = "Owner")]
        person: Label,
        /// What the person may do: owner (everything), member (everything but API keys and people) or read-only
        #[arg(long, value_parser = Role::parse, default_value_t = Role::Owner)]
        role: Role,
        /// How long the link can be used
        #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u64).range(1..=168))]
        hours: u64,
        #[command(flatten)]
        format: Format,
    },
    /// List all accounts
    List {
        #[command(flatten)]
        format: Format,
    },
}

pub(super) async fn run(
    app: &App,
    public_url: Option<&PublicUrl>,
    command: Command,
) -> Result<ExitCode, BoxError> {
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
        Command::Limits { name, values, reset, format } => {
            let account = app.find_account(&name).await?;
            let changes = read_changes(&values, &reset)?;
            let limits = match changes {
                Some(changes) => app.update_account_limits(&account, &changes).await?,
                None => app.find_account_limits(&account).await?,
            };
            show_limits(&limits, &format)
        }
        Command::SignInLink { name, person, role, hours, format } => {
            let account = app.find_account(&name).await?;
            let options = LinkOptions { person, role, lasts: Duration::from_hours(hours) };
            let link = app.create_sign_in_link(&Caller::operator_for(&account), options).await?;
            show_link(&link, public_url, &format)
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

fn show_link(
    link: &SignInLink,
    public_url: Option<&PublicUrl>,
    format: &Format,
) -> Result<ExitCode, BoxError> {
    let path = web::sign_in_path(link.token.expose());
    let url = public_url.map(|url| url.join(&path));
    if format.json {
        return output::print_json(&json!({
            "sessionId": link.session.id.as_str(),
            "person": link.session.person.as_str(),
            "role": link.session.role.map(Role::as_str),
            "expiresDate": link.session.expires_at.to_string(),
            "path": path,
            "url": url,
        }));
    }
    if url.is_none() {
        tracing::warn!("public_url is not set: put the address of the service before this path");
    }
    output::print(&url.unwrap_or(path))
}

fn parse_limit(text: &str) -> Result<(Limit, u64), String> {
    let (limit, value) =
        text.split_once('=').ok_or("must be a limit and its value, such as connections=5000")?;
    let limit = limit.parse().map_err(|error| format!("{limit:?} {error}"))?;
    match value.parse() {
        Ok(value @ 0..=LIMIT_MAX) => Ok((limit, value)),
        _ => Err(format!("the value must be a whole number from 0 to {LIMIT_MAX}")),
    }
}

/// The changes that the options ask for; `None` if there are no options.
fn read_changes(values: &[(Limit, u64)], reset: &[Limit]) -> Result<Option<LimitChanges>, UsageError> {
    let mut changes = LimitChanges::default();
    let set = values.iter().map(|(limit, value)| (*limit, LimitChange::Set(*value)));
    for (limit, change) in set.chain(reset.iter().map(|limit| (*limit, LimitChange::Reset))) {
        if changes.set(limit, change) != LimitChange::Keep {
            return Err(UsageError::LimitTwice(limit));
        }
    }
    Ok((changes != LimitChanges::default()).then_some(changes))
}

/// The limits of an account, as JSON.
pub(super) fn limits_json(limits: &ShownLimits) -> Value {
    let limits = Limit::ALL.map(|limit| {
        let value = json!({
            "value": limits.effective.get(limit),
            "source": if limits.overrides.get(limit).is_some() { "account" } else { "configuration" },
        });
        (limit.as_str().to_owned(), value)
    });
    Value::Object(limits.into_iter().collect())
}

fn show_limits(limits: &ShownLimits, format: &Format) -> Result<ExitCode, BoxError> {
    if format.json {
        return output::print_json(&limits_json(limits));
    }
    let rows = Limit::ALL.map(|limit| {
        let value = match limits.effective.get(limit) {
            0 => "none".to_owned(),
            value => value.to_string(),
        };
        let source = if limits.overrides.get(limit).is_some() { "this account" } else { "configuration" };
        vec![limit.to_string(), value, source.to_owned()]
    });
    output::print_table(&["LIMIT", "VALUE", "SET BY"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_and_its_value_are_parsed() {
        assert_eq!(parse_limit("connections=5"), Ok((Limit::Connections, 5)));
        assert_eq!(parse_limit("event-streams=0"), Ok((Limit::EventStreams, 0)));
        for bad in ["connections", "connections=", "connections=-1", "connections=1000000001", "=1", "x=1"] {
            assert!(parse_limit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_changed_once() {
        assert_eq!(read_changes(&[], &[]).unwrap(), None);
        let changes = read_changes(&[(Limit::Connections, 5)], &[Limit::EventStreams]).unwrap().unwrap();
        assert_eq!(*changes.get(Limit::Connections), LimitChange::Set(5));
        assert_eq!(*changes.get(Limit::EventStreams), LimitChange::Reset);
        assert_eq!(*changes.get(Limit::JobsInProgress), LimitChange::Keep);
        assert!(read_changes(&[(Limit::Connections, 5)], &[Limit::Connections]).is_err());
    }
}
