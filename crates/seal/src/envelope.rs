//! Sealing a connection's two secrets, and opening them, under an account's key.

use std::fmt;

use domain::connection::{AccessToken, ClientSecret, SecretCredentials};
use domain::id::{AccountId, ConnectionId};
use domain::secret::SealedCredentials;
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
