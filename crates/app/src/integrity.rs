//! The integrity check: every sealed value is decrypted, and the rows of jobs are verified.

use domain::id::{AccountId, ConnectionId};
use domain::job::{Job, JobId, Webhook};
use seal::envelope::AccountKey;
use store::JobFilter;

use crate::connections::open_credentials;
use crate::{App, Error};

/// Rows in one read.
const PAGE: u32 = 500;

/// The result of an integrity check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntegrityReport {
    /// The number of accounts checked.
    pub accounts: u64,
    /// The number of connections whose secrets were decrypted.
    pub decrypted: u64,
    /// What failed.
    pub failures: Vec<IntegrityFailure>,
}

/// A sealed value that cannot be decrypted, or a row that does not verify: it was damaged or changed by something other
/// than the service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IntegrityFailure {
    /// An account's key, and so all secrets of the account.
    AccountKey(AccountId),
    /// The secrets of a connection. They also fail to decrypt if the connection was enabled directly in the database.
    Connection(AccountId, ConnectionId),
    /// The row of an active job. The worker does not execute it.
    Job(AccountId, JobId),
}

impl App {
    /// Decrypts every sealed value once and reports all failures.
    pub async fn check_integrity(&self) -> Result<IntegrityReport, Error> {
        let mut report = IntegrityReport { accounts: 0, decrypted: 0, failures: Vec::new() };
        for account in self.store.list_account_ids().await? {
            report.accounts += 1;
            let Some(mut key) = self.try_account_key(&account).await? else {
                report.failures.push(IntegrityFailure::AccountKey(account));
                continue;
            };
            let tampered = self.list_tampered_jobs(&account).await?;
            report.failures.extend(tampered.into_iter().map(|id| IntegrityFailure::Job(account.clone(), id)));
            let mut after = None;
            loop {
                let page = self.store.list_connection_ids(&account, after.as_ref(), PAGE).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.clone());
                for id in page {
                    let mut decrypts = self.decrypts(&key, &account, &id).await?;
                    if decrypts == Some(false)
                        && let Some(current) = self.try_account_key(&account).await?
                    {
                        // The key of the account may have been replaced since it was read.
                        key = current;
                        decrypts = self.decrypts(&key, &account, &id).await?;
                    }
                    match decrypts {
                        Some(true) => report.decrypted += 1,
                        Some(false) => {
                            report.failures.push(IntegrityFailure::Connection(account.clone(), id));
                        }
                        // Deleted since the page was read.
                        None => {}
                    }
                }
            }
        }
        Ok(report)
    }

    /// The account's jobs that do not verify, among those with work left: not ended, or with an undelivered webhook.
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
                Ok(account.and_then(|account| self.keyring.get().open_account_key(id, &account.keys).ok()))
            }
            Err(store::Error::Corrupt(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a connection's secrets decrypt; `None` if the connection no longer exists.
    async fn decrypts(
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
