//! `audit`.

mod events;
mod heads;

use std::path::PathBuf;
use std::process::ExitCode;

use app::{App, Finding, FindingKind, SignedHead, VerifiedChain};
use clap::{Args, Subcommand};
use domain::account::Label;
use domain::audit::{Action, FilterActor};
use domain::id::AccountId;
use domain::page::PageLimit;
use domain::time::Timestamp;
use serde_json::json;

use super::backend::Place;
use super::{BoxError, Format, output};
use crate::exit::ExitStatus;

/// What the ID of an account starts with. A deleted account has no name.
const ACCOUNT_ID_PREFIX: &str = "acc_";

#[derive(Subcommand)]
pub(super) enum Command {
    /// List the latest audit events of an account, newest first
    List {
        #[command(flatten)]
        selection: Selection,
        /// How many events
        #[arg(long, value_name = "EVENTS", default_value = "50", value_parser = PageLimit::parse)]
        limit: PageLimit,
        #[command(flatten)]
        format: Format,
    },
    /// Export audit events of an account as JSON lines, newest first
    Export {
        #[command(flatten)]
        selection: Selection,
    },
    /// Verify that no audit event was changed, removed, inserted or reordered; exit status 1 if one was
    Verify {
        /// Only this account: its name, or its ID
        #[arg(long)]
        account: Option<String>,
        /// A file with heads that `audit head export` printed earlier; shows what was cut off since
        #[arg(long, value_name = "FILE")]
        head: Option<PathBuf>,
        #[command(flatten)]
        format: Format,
    },
    /// Work with the heads of the audit chains
    #[command(subcommand)]
    Head(HeadCommand),
}

#[derive(Subcommand)]
pub(super) enum HeadCommand {
    /// Print the signed head of each account's chain, one JSON object per line; keep them outside the service
    Export {
        /// Only this account: its name, or its ID
        #[arg(long)]
        account: Option<String>,
    },
}

#[derive(Args)]
pub(super) struct Selection {
    /// The account's name, or its ID, also of a deleted account; required for the database, and not for a remote service
    #[arg(long)]
    account: Option<String>,
    /// Only events after this instant, such as 2026-01-31T09:05:00Z
    #[arg(long, value_parser = Timestamp::parse)]
    after: Option<Timestamp>,
    /// Only events before this instant
    #[arg(long, value_parser = Timestamp::parse)]
    before: Option<Timestamp>,
    /// Only this action, such as `create_connection`
    #[arg(long, value_parser = parse_action)]
    action: Option<Action>,
    /// Only events about the record with this ID
    #[arg(long)]
    subject: Option<String>,
    /// Only events of this actor: an API key's ID, or `api_key`, session, guest, operator or worker
    #[arg(long)]
    actor: Option<FilterActor>,
}

fn parse_action(text: &str) -> Result<Action, String> {
    Action::parse(text)
        .ok_or_else(|| format!("must be one of: {}", Action::ALL.map(Action::as_str).join(", ")))
}

/// The account with this name or ID, which may have been deleted.
async fn find_account(app: &App, text: &str) -> Result<AccountId, BoxError> {
    if !text.starts_with(ACCOUNT_ID_PREFIX) {
        return Ok(app.find_account(&Label::parse(text)?).await?.id);
    }
    let account = AccountId::from_stored(text.to_owned());
    if app.has_audit_events(&account).await? {
        return Ok(account);
    }
    Err(format!("no account has the ID {text}, and there are no audit events of it; `vimeo-connections accounts list` shows the IDs")
        .into())
}

/// The account, unless all are meant. An exported head may be all that is left of one.
async fn find_optional(
    app: &App,
    text: Option<&str>,
    heads: &[SignedHead],
) -> Result<Option<AccountId>, BoxError> {
    let Some(text) = text else { return Ok(None) };
    let named = heads.iter().map(|signed| &signed.head.account_id).find(|account| account.as_str() == text);
    match named {
        Some(account) => Ok(Some(account.clone())),
        None => find_account(app, text).await.map(Some),
    }
}

pub(super) async fn run(place: Place<'_>, command: Command) -> Result<ExitCode, BoxError> {
    match command {
        Command::List { selection, limit, format } => {
            let events = selection.open(place).await?.list(limit).await?;
            events::print(&events, &format)
        }
        Command::Export { selection } => selection.open(place).await?.export().await,
        Command::Verify { account, head, format } => {
            let app = place.database()?;
            let heads = head.as_deref().map(heads::read).transpose()?.unwrap_or_default();
            let account = find_optional(app, account.as_deref(), &heads).await?;
            let verified = app.verify_audit(account.as_ref(), &heads).await?;
            report(&verified, &format)
        }
        Command::Head(HeadCommand::Export { account }) => {
            let app = place.database()?;
            let account = find_optional(app, account.as_deref(), &[]).await?;
            let heads = app.export_audit_heads(account.as_ref()).await?;
            let lines: Vec<_> = heads.iter().map(|head| heads::show(head).to_string()).collect();
            if lines.is_empty() {
                output::status("No audit events have been linked yet.");
                return Ok(ExitCode::SUCCESS);
            }
            output::print(&lines.join("\n"))
        }
    }
}

/// Prints the result of a verification.
fn report(verified: &[VerifiedChain], format: &Format) -> Result<ExitCode, BoxError> {
    let findings: usize = verified.iter().map(|chain| chain.findings.len()).sum();
    let sum = |count: fn(&VerifiedChain) -> u64| verified.iter().map(count).sum::<u64>();
    if format.json {
        let accounts: Vec<_> = verified.iter().map(shown).collect();
        output::print_json(&json!({ "accounts": accounts, "findings": findings }))?;
    } else {
        for chain in verified {
            for finding in &chain.findings {
                output::print(&format!("{}: {}", chain.account_id, sentence(finding)))?;
            }
        }
        output::print(&format!(
            "Verified audit events: {}. Accounts: {}. Too new to be linked: {}. Deleted because of their age: {}. \
             Findings: {findings}.",
            sum(|chain| chain.verified),
            verified.len(),
            sum(|chain| chain.unlinked),
            sum(|chain| chain.deleted),
        ))?;
    }
    Ok(if findings == 0 { ExitCode::SUCCESS } else { ExitStatus::Failure.code().into() })
}

fn shown(chain: &VerifiedChain) -> serde_json::Value {
    let finding = |finding: &Finding| {
        json!({
            "kind": finding.kind.as_str(),
            "eventId": finding.event_id,
            "position": finding.position,
            "untilPosition": finding.until,
            "message": sentence(finding),
        })
    };
    json!({
        "accountId": chain.account_id.as_str(),
        "verified": chain.verified,
        "notLinkedYet": chain.unlinked,
        "deleted": chain.deleted,
        "findings": chain.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

/// What a finding means.
fn sentence(finding: &Finding) -> String {
    let position = finding.position.unwrap_or_default();
    let place = match finding.until {
        Some(until) => format!("positions {position} to {until}"),
        None => format!("position {position}"),
    };
    let event = finding.event_id.as_deref();
    match (finding.kind, event) {
        (FindingKind::Changed, id) => {
            format!("the event {} at {place}, or its link, was changed", id.unwrap_or("?"))
        }
        (FindingKind::Removed, Some(id)) => format!("the event {id} at {place} was removed"),
        (FindingKind::Removed, None) => {
            format!("what was at {place} was removed with its links; an event after it cannot be verified")
        }
        (FindingKind::Inserted, id) => format!("the event {} was inserted", id.unwrap_or("?")),
        (FindingKind::Reordered, id) => {
            format!("the event {} at {place} was at another position", id.unwrap_or("?"))
        }
        (FindingKind::ChainChanged, _) => "the state of the chain was changed".to_owned(),
        (FindingKind::ChainMissing, _) => {
            "the chain is missing: there are old events, and none is linked".to_owned()
        }
        (FindingKind::CutOff, _) => format!("what was at {place} when the head was exported was cut off"),
        (FindingKind::Replaced, _) => {
            format!("the chain up to {place} is another one than when the head was exported")
        }
        (FindingKind::HeadInvalid, _) => {
            format!("the exported head at {place} was not signed by this service, or was changed")
        }
    }
}
