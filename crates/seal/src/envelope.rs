//! Sealing a connection's two secrets, and opening them, under an account's key.

use std::fmt;

use domain::connection::{AccessToken, ClientSecret, SecretCredentials};
use domain::id::{AccountId, ConnectionId};
use domain::secret::{Sealed, SealedCredentials};
use zeroize::Zeroizing;

use crate::cipher::{Binding, Key, length_prefixed};
use crate::{DoesNotOpen, Randomness};

/// First byte of an envelope: which rules its bytes follow.
const ENVELOPE_FORMAT: u8 = 1;

/// The key of one account. It wraps the keys of that account's sealings and nothing else.
pub struct AccountKey {
    account: AccountId,
    key: Key,
}

/// Which record's secrets, and at which of its versions they were sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealedFor<'a> {
    /// The connection.
    pub connection: &'a ConnectionId,
    /// Its version when these secrets were sealed.
    pub sealed_version: u64,
}

impl AccountKey {
    pub(crate) fn new(account: AccountId, key: Key) -> Self {
        Self { account, key }
    }

    fn binding<'a>(&'a self, purpose: &'static str, sealed_for: SealedFor<'a>) -> Binding<'a> {
        Binding {
            purpose,
            account: self.account.as_str(),
            record: sealed_for.connection.as_str(),
            version: sealed_for.sealed_version,
        }
    }

    /// Seals both secrets in one envelope, under a fresh key that is then wrapped by this one.
    pub fn seal_credentials(
        &self,
        sealed_for: SealedFor<'_>,
        secrets: &SecretCredentials,
        randomness: &Randomness,
    ) -> Result<SealedCredentials, DoesNotOpen> {
        let sealing_key = Key::random(randomness);
        let plaintext = Zeroizing::new(length_prefixed(&[
            secrets.client_secret.expose().as_bytes(),
            secrets.access_token.expose().as_bytes(),
        ]));
        let mut envelope = vec![ENVELOPE_FORMAT];
        envelope.extend(sealing_key.seal(self.binding("credentials", sealed_for), &plaintext, randomness)?);
        let sealing_key = self.key.wrap(self.binding("sealing-key", sealed_for), &sealing_key, randomness)?;
        Ok(SealedCredentials { envelope, sealing_key })
    }

    /// Opens what [`Self::seal_credentials`] gave for the same account, connection and version.
    pub fn open_credentials(
        &self,
        sealed_for: SealedFor<'_>,
        sealed: &SealedCredentials,
    ) -> Result<SecretCredentials, DoesNotOpen> {
        let (format, body) = sealed.envelope.split_first().ok_or(DoesNotOpen)?;
        if *format != ENVELOPE_FORMAT {
            return Err(DoesNotOpen);
        }
        let sealing_key =
            self.key.unwrap_key(self.binding("sealing-key", sealed_for), &sealed.sealing_key)?;
        let plaintext = sealing_key.open(self.binding("credentials", sealed_for), body)?;
        let (client_secret, rest) = read_part(&plaintext)?;
        let (access_token, rest) = read_part(rest)?;
        if !rest.is_empty() {
            return Err(DoesNotOpen);
        }
        Ok(SecretCredentials {
            client_secret: ClientSecret::parse(client_secret).map_err(|_| DoesNotOpen)?,
            access_token: AccessToken::parse(access_token).map_err(|_| DoesNotOpen)?,
        })
    }
}

/// What sealed bytes are, beside a connection's secrets: they open as nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// What a job was asked for: the record is the job.
    JobRequest,
    /// The upload link of a job: the record is the job, the version counts its placeholders.
    JobLink,
    /// An answer that is kept for repetitions: the record is the idempotency key.
    KeptAnswer,
    /// The secret that webhooks are signed with: the record is its identifier.
    WebhookSecret,
}

impl Purpose {
    /// The names that the bytes, and the key around them, are bound to. They never change.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::JobRequest => ("job-request", "job-request-key"),
            Self::JobLink => ("job-link", "job-link-key"),
            Self::KeptAnswer => ("kept-answer", "kept-answer-key"),
            Self::WebhookSecret => ("webhook-secret", "webhook-secret-key"),
        }
    }
}

/// Which bytes are sealed or opened.
#[derive(Debug, Clone, Copy)]
pub struct SealedAs<'a> {
    /// What they are.
    pub purpose: Purpose,
    /// The record that they belong to.
    pub record: &'a str,
    /// Which edition of that record's bytes they are.
    pub version: u64,
}

impl AccountKey {
    fn bindings<'a>(&'a self, sealed_as: SealedAs<'a>) -> (Binding<'a>, Binding<'a>) {
        let binding = |purpose| Binding {
            purpose,
            account: self.account.as_str(),
            record: sealed_as.record,
            version: sealed_as.version,
        };
        let (bytes, key) = sealed_as.purpose.names();
        (binding(bytes), binding(key))
    }

    /// Seals bytes under a fresh key that is then wrapped by this one.
    pub fn seal(
        &self,
        sealed_as: SealedAs<'_>,
        plaintext: &[u8],
        randomness: &Randomness,
    ) -> Result<Sealed, DoesNotOpen> {
        let (for_bytes, for_key) = self.bindings(sealed_as);
        let sealing_key = Key::random(randomness);
        let mut envelope = vec![ENVELOPE_FORMAT];
        envelope.extend(sealing_key.seal(for_bytes, plaintext, randomness)?);
        Ok(Sealed { envelope, sealing_key: self.key.wrap(for_key, &sealing_key, randomness)? })
    }

    /// Opens what [`Self::seal`] gave for the same account, purpose, record and version.
    pub fn open(&self, sealed_as: SealedAs<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (for_bytes, for_key) = self.bindings(sealed_as);
        let (format, body) = sealed.envelope.split_first().ok_or(DoesNotOpen)?;
        if *format != ENVELOPE_FORMAT {
            return Err(DoesNotOpen);
        }
        self.key.unwrap_key(for_key, &sealed.sealing_key)?.open(for_bytes, body)
    }
}

/// One length-prefixed text, and what stands behind it.
fn read_part(bytes: &[u8]) -> Result<(&str, &[u8]), DoesNotOpen> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(DoesNotOpen)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| DoesNotOpen)?;
    let (part, rest) = rest.split_at_checked(length).ok_or(DoesNotOpen)?;
    Ok((std::str::from_utf8(part).map_err(|_| DoesNotOpen)?, rest))
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountKey").field("account", &self.account).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::Keyring;

    #[test]
    fn sealed_bytes_open_as_what_they_were_sealed_as_and_as_nothing_else() {
        let keyring = Keyring::generate(&Randomness::system());
        let key = |fill| {
            let account = AccountId::from_random([fill; 16]);
            let wrapped = keyring.new_account_key(&account, &Randomness::system()).unwrap();
            keyring.open_account_key(&account, &wrapped).unwrap()
        };
        let (mine, other) = (key(1), key(2));
        let right = SealedAs { purpose: Purpose::JobRequest, record: "a", version: 1 };
        let sealed = mine.seal(right, b"plain", &Randomness::system()).unwrap();
        assert_eq!(mine.open(right, &sealed).unwrap().as_slice(), b"plain");
        assert_eq!(other.open(right, &sealed), Err(DoesNotOpen));
        let wrong = [
            SealedAs { purpose: Purpose::JobLink, ..right },
            SealedAs { purpose: Purpose::KeptAnswer, ..right },
            SealedAs { purpose: Purpose::WebhookSecret, ..right },
            SealedAs { record: "b", ..right },
            SealedAs { version: 2, ..right },
        ];
        for wrong in wrong {
            assert_eq!(mine.open(wrong, &sealed), Err(DoesNotOpen), "{wrong:?}");
        }
        for bit in 0..sealed.envelope.len() * 8 {
            let mut altered = sealed.clone();
            altered.envelope[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(mine.open(right, &altered), Err(DoesNotOpen), "bit {bit}");
        }
        let mut wiped = sealed;
        wiped.sealing_key.0.fill(0);
        assert_eq!(mine.open(right, &wiped), Err(DoesNotOpen));
    }
}
