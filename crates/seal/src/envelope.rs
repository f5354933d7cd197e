//! Encrypts and decrypts a record's secrets with an account's key.

use std::fmt;

use domain::connection::{AccessToken, Availability, ClientSecret, SecretCredentials};
use domain::id::{AccountId, ConnectionId};
use domain::secret::{Sealed, SealedCredentials, WrappedKey};
use zeroize::Zeroizing;

use crate::cipher::{Context, Key, length_prefixed};
use crate::{CryptoError, Randomness};

/// First byte of an envelope: the version of its format.
const ENVELOPE_FORMAT: u8 = 1;

/// The key of one account. It only wraps the keys of that account's envelopes. While it is being replaced there are two:
/// one seals, and both decrypt.
pub struct AccountKey {
    account: AccountId,
    key: Key,
    second: Option<Key>,
}

/// What a sealing key is wrapped with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rewrapped {
    /// The key that seals: nothing is to be done.
    Current,
    /// The account's other key: this is the same key, wrapped with the one that seals.
    New(WrappedKey),
}

/// What sealed bytes are. Bytes sealed for one purpose cannot be decrypted for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The secrets of an enabled connection: the record is the connection.
    Credentials,
    /// The secrets of a disabled connection. Enabling it in the database alone does not make them decrypt.
    DisabledCredentials,
    /// The request of a job: the record is the job.
    JobRequest,
    /// The upload link of a job: the record is the job, the version counts its placeholders.
    JobLink,
    /// A response stored for replay: the record is the idempotency key.
    StoredResponse,
    /// A secret that signs webhooks: the record is its identifier.
    WebhookSecret,
    /// The URL, the description and the secrets of a webhook endpoint: the record is the endpoint.
    WebhookEndpoint,
    /// The URL and the body of a job's own webhook: the record is the delivery.
    WebhookDelivery,
    /// The client secret and the device code of an authorization: the record is the authorization.
    Authorization,
}

impl Purpose {
    /// The names that bind the bytes, and their key. Part of the format: they never change.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Credentials => ("credentials", "sealing-key"),
            Self::DisabledCredentials => ("disabled-credentials", "disabled-sealing-key"),
            Self::JobRequest => ("job-request", "job-request-key"),
            Self::JobLink => ("job-link", "job-link-key"),
            Self::StoredResponse => ("kept-answer", "kept-answer-key"),
            Self::WebhookSecret => ("webhook-secret", "webhook-secret-key"),
            Self::WebhookEndpoint => ("webhook-endpoint", "webhook-endpoint-key"),
            Self::WebhookDelivery => ("webhook-delivery", "webhook-delivery-key"),
            Self::Authorization => ("authorization", "authorization-key"),
        }
    }
}

/// The data that sealed bytes are bound to, besides the account: they can be decrypted only with the same.
#[derive(Debug, Clone, Copy)]
pub struct AssociatedData<'a> {
    /// What the bytes are.
    pub purpose: Purpose,
    /// The record that they belong to.
    pub record: &'a str,
    /// The version of that record's bytes.
    pub version: u64,
}

impl<'a> AssociatedData<'a> {
    /// For the secrets of a connection, at the version of the connection at which they were sealed.
    pub fn of_credentials(
        connection: &'a ConnectionId,
        sealed_version: u64,
        availability: Availability,
    ) -> Self {
        let purpose = match availability {
            Availability::Enabled => Purpose::Credentials,
            Availability::Disabled => Purpose::DisabledCredentials,
        };
        Self { purpose, record: connection.as_str(), version: sealed_version }
    }
}

impl AccountKey {
    pub(crate) fn new(account: AccountId, key: Key, second: Option<Key>) -> Self {
        Self { account, key, second }
    }

    /// Encrypts bytes with a new key, and wraps that key with this one.
    pub fn seal(
        &self,
        data: AssociatedData<'_>,
        plaintext: &[u8],
        randomness: &Randomness,
    ) -> Result<Sealed, CryptoError> {
        let (for_bytes, for_key) = self.contexts(data);
        let sealing_key = Key::random(randomness);
        let mut envelope = vec![ENVELOPE_FORMAT];
        envelope.extend(sealing_key.seal(for_bytes, plaintext, randomness)?);
        Ok(Sealed { envelope, sealing_key: self.key.wrap(for_key, &sealing_key, randomness)? })
    }

    /// Decrypts the result of [`Self::seal`] for the same account and associated data.
    pub fn open(&self, data: AssociatedData<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        self.open_envelope(data, &sealed.envelope, &sealed.sealing_key)
    }

    /// Encrypts both secrets of a connection in one envelope.
    pub fn seal_credentials(
        &self,
        data: AssociatedData<'_>,
        secrets: &SecretCredentials,
        randomness: &Randomness,
    ) -> Result<SealedCredentials, CryptoError> {
        let plaintext = Zeroizing::new(length_prefixed(&[
            secrets.client_secret.expose().as_bytes(),
            secrets.access_token.expose().as_bytes(),
        ]));
        let Sealed { envelope, sealing_key } = self.seal(data, &plaintext, randomness)?;
        Ok(SealedCredentials { envelope, sealing_key })
    }

    /// Decrypts the result of [`Self::seal_credentials`] for the same account and associated data.
    pub fn open_credentials(
        &self,
        data: AssociatedData<'_>,
        sealed: &SealedCredentials,
    ) -> Result<SecretCredentials, CryptoError> {
        let plaintext = self.open_envelope(data, &sealed.envelope, &sealed.sealing_key)?;
        let (client_secret, rest) = split_part(&plaintext)?;
        let (access_token, rest) = split_part(rest)?;
        if !rest.is_empty() {
            return Err(CryptoError::Decrypt);
        }
        Ok(SecretCredentials {
            client_secret: ClientSecret::parse(client_secret).map_err(|_| CryptoError::Decrypt)?,
            access_token: AccessToken::parse(access_token).map_err(|_| CryptoError::Decrypt)?,
        })
    }

    fn open_envelope(
        &self,
        data: AssociatedData<'_>,
        envelope: &[u8],
        sealing_key: &WrappedKey,
    ) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let (for_bytes, for_key) = self.contexts(data);
        let (format, body) = envelope.split_first().ok_or(CryptoError::Decrypt)?;
        if *format != ENVELOPE_FORMAT {
            return Err(CryptoError::Decrypt);
        }
        self.unwrap(for_key, sealing_key)?.open(for_bytes, body)
    }

    fn unwrap(&self, for_key: Context<'_>, sealing_key: &WrappedKey) -> Result<Key, CryptoError> {
        let unwrapped = self.key.unwrap_key(for_key, sealing_key);
        match &self.second {
            Some(second) => unwrapped.or_else(|_| second.unwrap_key(for_key, sealing_key)),
            None => unwrapped,
        }
    }

    /// Wraps the key of sealed bytes with the account key that seals, unless it is.
    pub fn rewrap(
        &self,
        data: AssociatedData<'_>,
        sealing_key: &WrappedKey,
        randomness: &Randomness,
    ) -> Result<Rewrapped, CryptoError> {
        let (_, for_key) = self.contexts(data);
        if self.key.unwrap_key(for_key, sealing_key).is_ok() {
            return Ok(Rewrapped::Current);
        }
        let key = self.unwrap(for_key, sealing_key)?;
        Ok(Rewrapped::New(self.key.wrap(for_key, &key, randomness)?))
    }

    /// The contexts of the bytes and of their key.
    fn contexts<'a>(&'a self, data: AssociatedData<'a>) -> (Context<'a>, Context<'a>) {
        let context = |purpose| Context {
            purpose,
            account: self.account.as_str(),
            record: data.record,
            version: data.version,
        };
        let (bytes, key) = data.purpose.names();
        (context(bytes), context(key))
    }
}

/// One length-prefixed text, and the bytes after it.
fn split_part(bytes: &[u8]) -> Result<(&str, &[u8]), CryptoError> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(CryptoError::Decrypt)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| CryptoError::Decrypt)?;
    let (part, rest) = rest.split_at_checked(length).ok_or(CryptoError::Decrypt)?;
    Ok((std::str::from_utf8(part).map_err(|_| CryptoError::Decrypt)?, rest))
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("account", &self.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use domain::account::{AccountKeys, SecondKey, SecondKeyRole};
    use domain::time::Timestamp;

    use super::*;
    use crate::keyring::Keyring;

    #[test]
    fn during_a_replacement_both_keys_decrypt_and_one_seals() {
        let (keyring, randomness) = (Keyring::generate(&Randomness::system()), Randomness::system());
        let account = AccountId::from_random([1; 16]);
        let wrapped = || keyring.new_account_key(&account, keyring.primary_id(), &randomness).unwrap();
        let (old, new) = (wrapped(), wrapped());
        let open = |current: &_, second: Option<&_>| {
            let second = second.map(|key: &domain::secret::KeyringWrapped| SecondKey {
                key: key.clone(),
                role: SecondKeyRole::Former,
                since: Timestamp::from_millis(1),
            });
            keyring
                .open_account_key(&account, &AccountKeys { current: Clone::clone(current), second })
                .unwrap()
        };
        let data = AssociatedData { purpose: Purpose::JobLink, record: "a", version: 3 };
        let mut sealed = open(&old, None).seal(data, b"plain", &randomness).unwrap();
        let (only_new, both) = (open(&new, None), open(&new, Some(&old)));
        assert_eq!(only_new.open(data, &sealed), Err(CryptoError::Decrypt));
        assert_eq!(both.open(data, &sealed).unwrap().as_slice(), b"plain");
        let wrong = AssociatedData { version: 4, ..data };
        assert_eq!(both.rewrap(wrong, &sealed.sealing_key, &randomness), Err(CryptoError::Decrypt));
        let Rewrapped::New(rewrapped) = both.rewrap(data, &sealed.sealing_key, &randomness).unwrap() else {
            panic!("it was wrapped with the old key");
        };
        sealed.sealing_key = rewrapped;
        assert_eq!(only_new.open(data, &sealed).unwrap().as_slice(), b"plain");
        let again = both.rewrap(data, &sealed.sealing_key, &randomness).unwrap();
        assert_eq!(again, Rewrapped::Current);
        let by_both = both.seal(data, b"plain", &randomness).unwrap();
        assert_eq!(only_new.open(data, &by_both).unwrap().as_slice(), b"plain");
    }

    #[test]
    fn sealed_bytes_can_be_decrypted_only_with_the_same_associated_data() {
        let keyring = Keyring::generate(&Randomness::system());
        let key = |fill| {
            let account = AccountId::from_random([fill; 16]);
            let wrapped =
                keyring.new_account_key(&account, keyring.primary_id(), &Randomness::system()).unwrap();
            keyring.open_account_key(&account, &AccountKeys::of(wrapped)).unwrap()
        };
        let (mine, other) = (key(1), key(2));
        let right = AssociatedData { purpose: Purpose::JobRequest, record: "a", version: 1 };
        let sealed = mine.seal(right, b"plain", &Randomness::system()).unwrap();
        assert_eq!(mine.open(right, &sealed).unwrap().as_slice(), b"plain");
        assert_eq!(other.open(right, &sealed), Err(CryptoError::Decrypt));
        let wrong = [
            AssociatedData { purpose: Purpose::Credentials, ..right },
            AssociatedData { purpose: Purpose::JobLink, ..right },
            AssociatedData { purpose: Purpose::StoredResponse, ..right },
            AssociatedData { purpose: Purpose::WebhookSecret, ..right },
            AssociatedData { record: "b", ..right },
            AssociatedData { version: 2, ..right },
        ];
        for wrong in wrong {
            assert_eq!(mine.open(wrong, &sealed), Err(CryptoError::Decrypt), "{wrong:?}");
        }
        for bit in 0..sealed.envelope.len() * 8 {
            let mut altered = sealed.clone();
            altered.envelope[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(mine.open(right, &altered), Err(CryptoError::Decrypt), "bit {bit}");
        }
        let mut wiped = sealed;
        wiped.sealing_key.0.fill(0);
        assert_eq!(mine.open(right, &wiped), Err(CryptoError::Decrypt));
    }
}
