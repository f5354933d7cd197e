//! Replacing the service secret, while the service runs.
//!
//! First there is a next secret, which signs nothing yet, until every node has read it. Then it becomes the current one, and the
//! former one only verifies. Then all rows are signed again. The former secret is retired an hour later, after one more pass:
//! by then no request that has read it is in flight.

use std::time::Duration;

use domain::account::SecondKeyRole;
use domain::service_secrets::ServiceSecrets;
use domain::time::Timestamp;
use store::Changed;
use tokio::time::sleep;

use super::account_keys::BACKGROUND_PACE;
use super::rewrap::{Pace, RewrapError, WorkLease};
use super::signed_rows::SigningPass;
use super::steps::{Settled, Step, Terms, next_step};
use crate::{App, Error};

/// The next secret settles for longer than nodes cache the secrets, with time for requests in flight.
const TERMS: Terms = Terms { next_settles: Duration::from_secs(10), former_kept: Duration::from_hours(1) };

/// How far the replacement of the service secret is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    /// One secret verifies rows.
    Complete,
    /// The next one is there, and does not sign yet.
    Started,
    /// Another one signs. The former one still verifies rows; a running service retires it after this instant.
    Switched {
        /// The instant.
        former_until: Timestamp,
    },
}

/// The service secret of the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSecretStatus {
    /// The number of the secret that signs: the first is 1, and each replacement counts one up.
    pub number: u64,
    /// How far a replacement is.
    pub state: SecretState,
    /// The numbers of the retired secrets, the latest first, and when each was retired.
    pub retired: Vec<(u64, Timestamp)>,
}

/// What a command has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSecretReport {
    /// Whether a replacement that had started earlier was continued, instead of another one.
    pub is_resumed: bool,
    /// The number of rows that were signed again.
    pub signed: u64,
    /// The number of rows that no secret has signed.
    pub foreign: u64,
    /// How it is now.
    pub status: ServiceSecretStatus,
}

fn status_of(secrets: &ServiceSecrets) -> ServiceSecretStatus {
    let state = match secrets.second.as_ref().map(|second| (second.role, second.since)) {
        None => SecretState::Complete,
        Some((SecondKeyRole::Next, _)) => SecretState::Started,
        Some((SecondKeyRole::Former, since)) => {
            SecretState::Switched { former_until: since.plus(TERMS.former_kept) }
        }
    };
    let retired = secrets.retired.iter().map(|retired| (retired.secret.number, retired.since)).collect();
    ServiceSecretStatus { number: secrets.current.number, state, retired }
}

fn step_of(secrets: &ServiceSecrets, settled: Settled, now: Timestamp) -> Step {
    next_step(secrets.second.as_ref().map(|second| (second.role, second.since)), TERMS, settled, now)
}

impl App {
    /// The service secret of the database.
    pub async fn find_service_secret_status(&self) -> Result<ServiceSecretStatus, Error> {
        self.read_secrets().await.map(|secrets| status_of(&secrets))
    }

    /// Replaces the service secret, or continues a replacement that was interrupted. Requests are served meanwhile.
    pub async fn replace_service_secret(
        &self,
        pace: Pace,
        mut progress: impl FnMut(u64) + Send,
    ) -> Result<ServiceSecretReport, RewrapError> {
        let lease = WorkLease::take(self).await?;
        let is_resumed = self.read_secrets().await?.second.is_some();
        let replaced = self.replace_secret_under(&lease, pace, &mut progress).await;
        lease.release().await;
        let pass = replaced?;
        let status = self.find_service_secret_status().await?;
        Ok(ServiceSecretReport { is_resumed, signed: pass.signed, foreign: pass.foreign, status })
    }

    async fn replace_secret_under(
        &self,
        lease: &WorkLease<'_>,
        pace: Pace,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<SigningPass, RewrapError> {
        let mut settled = Settled::Unknown;
        loop {
            let secrets = self.read_secrets().await?;
            match step_of(&secrets, settled, self.clock.now()) {
                Step::Rewrite { .. } => return self.sign_all_again(&secrets, (lease, pace), progress).await,
                Step::Wait(left) => {
                    sleep(left).await;
                    settled = Settled::Waited;
                }
                step => self.take_secret_step(&secrets, step).await?,
            }
            lease.renew_after(Duration::ZERO).await?;
        }
    }

    /// Continues a replacement that was interrupted, and retires a former secret whose hour has ended; whether it did.
    pub(crate) async fn finish_service_secret(&self) -> Result<bool, Error> {
        let secrets = self.read_secrets().await?;
        match step_of(&secrets, Settled::Unknown, self.clock.now()) {
            Step::Switch => match self.take_secret_step(&secrets, Step::Switch).await {
                Ok(()) | Err(RewrapError::Leased | RewrapError::LeaseLost) => Ok(false),
                Err(RewrapError::Other(error)) => Err(error),
                Err(error) => Err(Error::Internal(Box::new(error))),
            },
            Step::Rewrite { may_end: true } => self.retire_former_secret(&secrets).await,
            // A row signed by the former secret is accepted until then.
            Step::Rewrite { may_end: false } | Step::AddNext | Step::Wait(_) => Ok(false),
        }
    }

    async fn retire_former_secret(&self, secrets: &ServiceSecrets) -> Result<bool, Error> {
        let lease = match WorkLease::take(self).await {
            Ok(lease) => lease,
            Err(RewrapError::Other(error)) => return Err(error),
            // A command is doing it.
            Err(_) => return Ok(false),
        };
        let signed = self.sign_all_again(secrets, (&lease, BACKGROUND_PACE), &mut |_| {}).await;
        let retired = match signed {
            Ok(_) => self.retire(secrets).await,
            Err(RewrapError::Other(error)) => Err(error),
            // Another process continues.
            Err(_) => Ok(false),
        };
        lease.release().await;
        retired
    }

    async fn retire(&self, secrets: &ServiceSecrets) -> Result<bool, Error> {
        let Some(second) = &secrets.second else { return Ok(false) };
        let wrapped = self.keyring.get().retire_service_secret(&second.secret.wrapped, &self.randomness)?;
        let Some(retired) = secrets.with_former_retired(wrapped, self.clock.now()) else { return Ok(false) };
        let changed = self.store.change_service_secrets(secrets, &retired, None).await?;
        if changed == Changed::Yes {
            tracing::info!(number = second.secret.number, "the former service secret was retired");
        }
        Ok(changed == Changed::Yes)
    }

    /// Signs all rows again, until nothing is left; returns the sum, with the foreign rows of the last pass.
    async fn sign_all_again(
        &self,
        secrets: &ServiceSecrets,
        terms: (&WorkLease<'_>, Pace),
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<SigningPass, RewrapError> {
        // They are large.
        let keys = self.keyring.get().open_service_secrets(secrets).map(Box::new).map_err(Error::from)?;
        let mut total = 0;
        loop {
            let before = total;
            let pass = self.sign_rows_again(&keys, terms, &mut |done| progress(before + done)).await?;
            total += pass.signed;
            if pass.signed + pass.changed == 0 {
                return Ok(SigningPass { signed: total, ..pass });
            }
        }
    }

    async fn take_secret_step(&self, secrets: &ServiceSecrets, step: Step) -> Result<(), RewrapError> {
        let now = self.clock.now();
        let changed = match step {
            Step::AddNext => {
                // The key that wraps the current one: every node has it.
                let with = &secrets.current.wrapped.keyring_key;
                let next = self.keyring.get().new_service_secret(with, &self.randomness);
                Some(secrets.with_next(next.map_err(Error::from)?, now))
            }
            Step::Switch => secrets.switched(now),
            Step::Wait(_) | Step::Rewrite { .. } => None,
        };
        let Some(changed) = changed else { return Ok(()) };
        // If they have changed meanwhile, they are read again, and the step is taken again.
        let written = self.store.change_service_secrets(secrets, &changed, None).await;
        if written.map_err(Error::from)? == Changed::Yes {
            tracing::info!(number = changed.current.number, ?step, "the service secret is being replaced");
        }
        Ok(())
    }

    async fn read_secrets(&self) -> Result<ServiceSecrets, Error> {
        let found = self.store.find_service_secrets().await?;
        // Opening the database has created the first.
        found.ok_or_else(|| Error::Internal("the database has no service secret".into()))
    }
}

#[cfg(test)]
mod tests {
    use domain::secret::{KeyringKeyId, KeyringWrapped, WrappedKey};

    use super::*;

    #[test]
    fn the_secrets_decide_the_step_and_what_is_shown() {
        let wrapped = |fill| KeyringWrapped {
            keyring_key: KeyringKeyId("k_0000000000000000".into()),
            wrapped: WrappedKey([fill; 60]),
        };
        let at = |second| Timestamp::from_millis(1_000_000).plus_seconds(second);
        let step = |secrets: &ServiceSecrets, now| step_of(secrets, Settled::Unknown, now);
        let first = ServiceSecrets::of(wrapped(1));
        assert_eq!(step(&first, at(0)), Step::AddNext);
        assert_eq!(status_of(&first).state, SecretState::Complete);
        let next = first.with_next(wrapped(2), at(0));
        assert_eq!(step(&next, at(0)), Step::Wait(Duration::from_secs(10)));
        assert_eq!(step(&next, at(10)), Step::Switch);
        assert_eq!((status_of(&next).number, status_of(&next).state), (1, SecretState::Started));
        let switched = next.switched(at(10)).unwrap();
        assert_eq!(step(&switched, at(10 + 3_599)), Step::Rewrite { may_end: false });
        assert_eq!(step(&switched, at(10 + 3_600)), Step::Rewrite { may_end: true });
        assert_eq!(status_of(&switched).state, SecretState::Switched { former_until: at(10 + 3_600) });
        let retired = switched.with_former_retired(wrapped(3), at(20)).unwrap();
        assert_eq!(
            status_of(&retired),
            ServiceSecretStatus { number: 2, state: SecretState::Complete, retired: vec![(1, at(20))] }
        );
    }
}
