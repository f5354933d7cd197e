//! Accounts: creating, listing, deleting them.

use domain::account::{Account, AccountKeys, Label};
use domain::audit::{Action, Actor};
use domain::id::AccountId;
use store::AccountDeletion;
use thiserror::Error;

use crate::{App, Error};

/// Connections deleted in one transaction. Other writes wait meanwhile.
const DELETE_BATCH: u32 = 500;

/// Why an operation on an account failed.
#[derive(Debug, Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("an account named {0} already exists")]
    Exists(Label),
    /// No account has this name.
    #[error("no account is named {0}; `vimeo-connections accounts list` shows them")]
    Unknown(Label),
    /// Any other error.
    #[error(transparent)]
    Other(#[from] Error),
}

impl App {
    /// Creates an account with its own key.
    pub async fn create_account(&self, name: Label) -> Result<Account, AccountError> {
        let id = AccountId::from_random(self.randomness.bytes());
        let active = self.active_keyring_key().await?;
        let key = self.keyring.get().new_account_key(&id, &active, &self.randomness).map_err(Error::from)?;
        let account = Account { id, name, created_at: self.clock.now(), keys: AccountKeys::of(key) };
        let event = self.audit_event(
            &account.id,
            Actor::Operator,
            Action::CreateAccount,
            Some(account.id.to_string()),
        );
        match self.store.insert_account(&account, &event).await {
            Ok(()) => Ok(account),
            Err(store::Error::NameTaken) => Err(AccountError::Exists(account.name)),
            Err(error) => Err(Error::from(error).into()),
        }
    }

    /// Deletes an account with its API keys and connections, and wipes their sealing keys. Its audit events remain. If it is
    /// interrupted, another call completes it.
    pub async fn delete_account(&self, account: &Account) -> Result<(), AccountError> {
        // Nothing is deleted unless this can be written: the event of the deletion itself is written with its last part.
        let subject = Some(account.id.to_string());
        let start =
            self.audit_event(&account.id, Actor::Operator, Action::StartAccountDeletion, subject.clone());
        self.store.insert_audit_event(&account.id, &start).await.map_err(Error::from)?;
        let event = self.audit_event(&account.id, Actor::Operator, Action::DeleteAccount, subject);
        loop {
            let part = self.store.delete_account_part(&account.id, DELETE_BATCH, &event).await;
            match part.map_err(Error::from)? {
                AccountDeletion::More => {}
                AccountDeletion::Done => {
                    // An account whose events were never linked is not found any more. If this fails, `audit verify` shows
                    // its events as not linked.
                    if let Err(error) = self.close_audit_chain(&account.id).await {
                        let error: &(dyn std::error::Error + 'static) = &error;
                        tracing::warn!(error, account = %account.id, "the last audit events were not linked");
                    }
                    return Ok(());
                }
                AccountDeletion::NoAccount => return Err(AccountError::Unknown(account.name.clone())),
            }
        }
    }

    /// All accounts, sorted by name.
    pub async fn list_accounts(&self) -> Result<Vec<Account>, Error> {
        Ok(self.store.list_accounts().await?)
    }

    /// Finds an account by its name.
    pub async fn find_account(&self, name: &Label) -> Result<Account, AccountError> {
        let found = self.store.find_account_by_name(name).await.map_err(Error::from)?;
        found.ok_or_else(|| AccountError::Unknown(name.clone()))
    }
}
