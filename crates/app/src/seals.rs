//! Looking whether everything that is stored opens.

use domain::id::{AccountId, ConnectionId};
use seal::envelope::SealedFor;

use crate::{App, Error};

/// How many connections are looked at in one read.
const PAGE: u32 = 500;

/// What opens and what does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealReport {
    /// Accounts that were looked at.
    pub accounts: u64,
    /// Connections that open.
    pub opened: u64,
    /// What does not open.
    pub broken: Vec<BrokenSeal>,
}

/// Something that does not open: it was damaged or moved since it was sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokenSeal {
    /// An account's key, and with it all the account's connections.
    AccountKey(AccountId),
    /// One connection's secrets.
    Connection(AccountId, ConnectionId),
}

impl App {
    /// Opens every sealed value once and tells which do not. One that does not open stops nothing.
    pub async fn check_seals(&self) -> Result<SealReport, Error> {
        let mut report = SealReport { accounts: 0, opened: 0, broken: Vec::new() };
        for account in self.store.list_accounts().await? {
            report.accounts += 1;
            let Ok(key) = self.keyring.open_account_key(&account.id, &account.key) else {
                report.broken.push(BrokenSeal::AccountKey(account.id));
                continue;
            };
            let mut after = None;
            loop {
                let page = self.store.list_sealed_connections(&account.id, after.as_ref(), PAGE).await?;
                let Some((last, _)) = page.last() else { break };
                after = Some(last.id.clone());
                for (connection, sealed) in page {
                    let sealed_for =
                        SealedFor { connection: &connection.id, sealed_version: connection.sealed_version };
                    match key.open_credentials(sealed_for, &sealed) {
                        Ok(_) => report.opened += 1,
                        Err(seal::DoesNotOpen) => {
                            report.broken.push(BrokenSeal::Connection(account.id.clone(), connection.id));
                        }
                    }
                }
            }
        }
        Ok(report)
    }
}
