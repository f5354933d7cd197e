//! Where the data of an account is: in the database of this machine, or at a remote service.

use app::{App, Caller};
use clap::Args;
use domain::account::Label;
use domain::limits::Limit;
use thiserror::Error;

use super::BoxError;
use crate::client::ApiClient;
use crate::exit::{ExitStatus, HasExitStatus};

/// What commands work on.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Database(&'a App),
    Service(&'a ApiClient),
}

/// The data of one account.
#[expect(clippy::large_enum_variant, reason = "a command has one")]
pub(super) enum Backend<'a> {
    Database {
        app: &'a App,
        account: Label,
        caller: Caller,
    },
    /// The account is that of the API key.
    Service(&'a ApiClient),
}

/// The command line is not valid for the place that it selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum UsageError {
    #[error(
        "--account NAME is missing. Without --url or --profile, which select a remote service, this works on the database"
    )]
    AccountMissing,
    #[error("--account is for the database: at a remote service the API key decides the account")]
    AccountUnused,
    #[error("this works on the database: run it without --url and --profile on the machine of the service")]
    NeedsDatabase,
    #[error("the limit {0} is given twice")]
    LimitTwice(Limit),
}

impl HasExitStatus for UsageError {
    fn exit_status(&self) -> ExitStatus {
        ExitStatus::Usage
    }
}

/// The account.
#[derive(Args)]
pub(super) struct AccountArg {
    /// The account's name; required for the database, and not for a remote service
    #[arg(long, value_parser = Label::parse)]
    account: Option<Label>,
}

impl AccountArg {
    /// The data of the account.
    pub(super) async fn open<'a>(&self, place: Place<'a>) -> Result<Backend<'a>, BoxError> {
        match place {
            Place::Database(app) => {
                let account = self.account.clone().ok_or(UsageError::AccountMissing)?;
                let caller = Caller::operator_for(&app.find_account(&account).await?);
                Ok(Backend::Database { app, account, caller })
            }
            Place::Service(client) => {
                self.reject()?;
                Ok(Backend::Service(client))
            }
        }
    }

    /// The data of the account; without one, of every account of the database.
    pub(super) async fn open_all<'a>(&self, place: Place<'a>) -> Result<Vec<Backend<'a>>, BoxError> {
        match (place, &self.account) {
            (Place::Database(app), None) => {
                let accounts = app.list_accounts().await?.into_iter().map(|account| {
                    let caller = Caller::operator_for(&account);
                    Backend::Database { app, account: account.name, caller }
                });
                Ok(accounts.collect())
            }
            _ => Ok(vec![self.open(place).await?]),
        }
    }

    /// An error if an account is named, for a remote service.
    pub(super) fn reject(&self) -> Result<(), UsageError> {
        if self.account.is_some() { Err(UsageError::AccountUnused) } else { Ok(()) }
    }
}

impl Backend<'_> {
    /// The arguments that select it, for a command to run next.
    pub(super) fn selection(&self) -> String {
        match self {
            Self::Database { account, .. } => format!(" --account {account}"),
            Self::Service(_) => String::new(),
        }
    }

    /// The name of the account. That of an API key is not known.
    pub(super) fn account_name(&self) -> Option<&str> {
        match self {
            Self::Database { account, .. } => Some(account.as_str()),
            Self::Service(_) => None,
        }
    }

    /// The account, at the beginning of a sentence.
    pub(super) fn subject(&self) -> String {
        match self {
            Self::Database { account, .. } => format!("the account {account}"),
            Self::Service(_) => "the account".to_owned(),
        }
    }
}

impl<'a> Place<'a> {
    /// The database, for a command that needs it.
    pub(super) fn database(self) -> Result<&'a App, UsageError> {
        match self {
            Self::Database(app) => Ok(app),
            Self::Service(_) => Err(UsageError::NeedsDatabase),
        }
    }
}
