//! The stored responses of idempotent requests for uploads.

use domain::id::AccountId;
use domain::idempotency::{IdempotencyKey, StoredResponse};
use domain::job::JobId;
use domain::secret::{Sealed, WRAPPED_KEY_LEN, WrappedKey};
use seal::envelope::{AssociatedData, Purpose};

use crate::{App, Error};

impl App {
    /// The answer with an upload link: its job keeps it, so that it is wiped with the link.
    pub(super) async fn seal_link_answer(
        &self,
        account: &AccountId,
        job: &JobId,
        answer: &StoredResponse,
    ) -> Result<Sealed, Error> {
        let sealed_as = AssociatedData { purpose: Purpose::StoredResponse, record: job.as_str(), version: 1 };
        Ok(self.account_key(account).await?.seal(sealed_as, &answer.0, &self.randomness)?)
    }

    async fn open_link_answer(&self, account: &AccountId, job_id: JobId) -> Result<StoredResponse, Error> {
        let Some(sealed) = self.store.find_job_answer(account, &job_id).await? else {
            return Err(Error::UploadOver { job_id });
        };
        let sealed_as =
            AssociatedData { purpose: Purpose::StoredResponse, record: job_id.as_str(), version: 1 };
        Ok(StoredResponse(self.account_key(account).await?.open(sealed_as, &sealed)?.to_vec()))
    }

    /// The answer to an upload that the service does itself: it is kept sealed where the request is remembered.
    pub(crate) async fn seal_answer(
        &self,
        account: &AccountId,
        key: &IdempotencyKey,
        answer: &StoredResponse,
    ) -> Result<StoredResponse, Error> {
        let sealed_as = AssociatedData { purpose: Purpose::StoredResponse, record: key.as_str(), version: 1 };
        let sealed = self.account_key(account).await?.seal(sealed_as, &answer.0, &self.randomness)?;
        Ok(StoredResponse([sealed.sealing_key.0.as_slice(), &sealed.envelope].concat()))
    }

    pub(crate) async fn open_answer(
        &self,
        account: &AccountId,
        key: &IdempotencyKey,
        kept: &StoredResponse,
    ) -> Result<StoredResponse, Error> {
        if let Some(job) = job_of_marker(kept) {
            return self.open_link_answer(account, job).await;
        }
        let (wrapped, envelope) =
            kept.0.split_first_chunk::<WRAPPED_KEY_LEN>().ok_or(seal::CryptoError::Decrypt)?;
        let sealed = Sealed { sealing_key: WrappedKey(*wrapped), envelope: envelope.to_vec() };
        let sealed_as = AssociatedData { purpose: Purpose::StoredResponse, record: key.as_str(), version: 1 };
        Ok(StoredResponse(self.account_key(account).await?.open(sealed_as, &sealed)?.to_vec()))
    }
}

/// The prefix of the job's identifier in the stored response of a request for a link.
const MARKER: &[u8] = b"job:";

/// What is remembered of a request for a link: its job alone, which keeps the answer.
pub(super) fn marker_of(job: &JobId) -> StoredResponse {
    StoredResponse([MARKER, job.as_str().as_bytes()].concat())
}

/// The job that a remembered request for a link names. No sealed answer is one: with its wrapped key it is longer.
fn job_of_marker(kept: &StoredResponse) -> Option<JobId> {
    JobId::parse(std::str::from_utf8(kept.0.strip_prefix(MARKER)?).ok()?)
}
