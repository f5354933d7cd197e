//! Looking whether everything that is stored opens.

use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, Webhook};
use seal::envelope::AccountKey;
use store::JobFilter;

use crate::connections::open_credentials;
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
    /// One connection's secrets. They also fail to decrypt if the connection was enabled by something else than the service.
    Connection(AccountId, ConnectionId),
    /// The row of a job that has something left to do: something else than the service changed it, and it is left alone.
    Job(AccountId, JobId),
}

impl App {
    /// Opens every sealed value once and tells which do not. One that does not open stops nothing.
    pub async fn check_seals(&self) -> Result<SealReport, Error> {
        let mut report = SealReport { accounts: 0, opened: 0, broken: Vec::new() };
        for account in self.store.list_account_ids().await? {
            report.accounts += 1;
            let Some(key) = self.try_account_key(&account).await? else {
                report.broken.push(BrokenSeal::AccountKey(account));
                continue;
            };
            let tampered = self.list_tampered_jobs(&account).await?;
            report.broken.extend(tampered.into_iter().map(|id| BrokenSeal::Job(account.clone(), id)));
            let mut after = None;
            loop {
                let page = self.store.list_connection_ids(&account, after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                for id in page {
                    match self.opens(&key, &account, &id).await? {
                        Some(true) => report.opened += 1,
                        Some(false) => report.broken.push(BrokenSeal::Connection(account.clone(), id)),
                        // Deleted since the page was read.
                        None => {}
                    }
                }
            }
        }
        Ok(report)
    }

    /// The account's jobs whose rows do not verify, among those that have something left to do.
    async fn list_tampered_jobs(&self, account: &AccountId) -> Result<Vec<JobId>, Error> {
        let (mut tampered, mut filter) = (Vec::new(), JobFilter::default());
        loop {
            let page = self.store.list_jobs(account, &filter, PAGE).await?;
            let Some(last) = page.last() else { return Ok(tampered) };
            filter.before = Some(last.id.clone());
            let is_active =
                |job: &Job| !job.state.has_ended() || matches!(job.webhook, Webhook::Waiting { .. });
            for job in page.iter().filter(|job| is_active(job)) {
                let stored = self.store.find_stored_job(account, &job.id).await?;
                if let Some(stored) = stored
                    && crate::uploads::is_tampered(self, &stored).await?
                {
                    tampered.push(job.id.clone());
                }
            }
        }
    }

    /// The account's key; `None` if it, or its row, is damaged.
    async fn try_account_key(&self, id: &AccountId) -> Result<Option<AccountKey>, Error> {
        match self.store.find_account(id).await {
            Ok(account) => {
                Ok(account.and_then(|account| self.keyring.open_account_key(id, &account.key).ok()))
            }
            Err(store::Error::Corrupt(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a connection's secrets open; `None` if it is gone.
    async fn opens(
        &self,
        key: &AccountKey,
        account: &AccountId,
        id: &ConnectionId,
    ) -> Result<Option<bool>, Error> {
        match self.store.find_sealed_connection(account, id).await {
            Ok(found) => {
                Ok(found.map(|(connection, sealed)| open_credentials(key, &connection, &sealed).is_ok()))
            }
            Err(store::Error::Corrupt(_)) => Ok(Some(false)),
            Err(error) => Err(error.into()),
        }
    }
}
