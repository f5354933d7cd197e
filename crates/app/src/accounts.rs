//! Accounts, as the operator makes them.

use domain::account::{Account, Label};
use domain::audit::{Action, Actor};
use domain::id::AccountId;
use store::AccountDeletion;
use thiserror::Error;

use crate::{App, Error};

/// How many connections are deleted in one transaction, which holds up everybody else's writes.
const DELETED_AT_ONCE: u32 = 500;

/// Why an operator's wish about an account was not done.
#[derive(Debug, Error)]
pub enum AccountError {
    /// There is one of this name.
    #[error("an account named {0} already exists")]
    Exists(Label),
    /// There is none of this name.
    #[error("no account is named {0}; `vimeo-connections accounts list` shows them")]
    Unknown(Label),
    /// The service could not do it.
    #[error(transparent)]
    Other(#[from] Error),
}

impl App {
    /// Makes an account with a key of its own.
    pub async fn create_account(&self, name: Label) -> Result<Account, AccountError> {
        let id = AccountId::from_random(self.randomness.bytes());
        let key = self.keyring.new_account_key(&id, &self.randomness).map_err(Error::from)?;
        let account = Account { id, name, created_at: self.clock.now(), key };
        let event =
            self.done(&account.id, Actor::Operator, Action::CreateAccount, Some(account.id.to_string()));
        match self.store.insert_account(&account, &event).await {
            Ok(()) => Ok(account),
            Err(store::Error::NameTaken) => Err(AccountError::Exists(account.name)),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Deletes an account with its keys and connections; what would open their secrets is wiped. What the audit log has
    /// of it stays. Cut off in the middle, it is finished by another call.
    pub async fn delete_account(&self, account: &Account) -> Result<(), AccountError> {
        let subject = Some(account.id.to_string());
        let event = self.done(&account.id, Actor::Operator, Action::DeleteAccount, subject);
        loop {
            let part = self.store.delete_account_part(&account.id, DELETED_AT_ONCE, &event).await;
            match part.map_err(Error::from)? {
                AccountDeletion::More => {}
                AccountDeletion::Done => return Ok(()),
                AccountDeletion::NoAccount => return Err(AccountError::Unknown(account.name.clone())),
            }
        }
    }

    /// All accounts by name.
    pub async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.store.list_accounts().await?)
    }

    /// The account of that name.
    pub async fn find_account(&self, name: &Label) -> Result<Account, AccountError> {
        let found = self.store.find_account_by_name(name).await.map_err(Error::from)?;
        found.ok_or_else(|| AccountError::Unknown(name.clone()))
    }
}
