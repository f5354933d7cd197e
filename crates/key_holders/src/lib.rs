//! Holders of the keyring's keys: OpenBao or Vault transit, AWS KMS, and PKCS #11 tokens.
//! Knows their protocols. Knows nothing of databases, the HTTP API or Vimeo, and never keeps a key.
//! Invariant: what a holder encrypted for one key of the keyring is decrypted only for that key, because its identifier
//! and a fixed purpose are associated data.
//!
//! A holder encrypts each key of the keyring. It is asked once when the service starts: while it is away, running nodes
//! work, and starting ones wait. `encrypt` and `decrypt` never retry; [`wait_before`] is the schedule of a caller that does.

mod address;
mod error;
#[cfg(feature = "kms")]
mod kms;
#[cfg(feature = "pkcs11")]
mod pkcs11;
mod retry;
mod secret_file;
mod transit;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use rustls::ClientConfig;
use zeroize::{Zeroize as _, Zeroizing};

pub use address::{TransitAddress, parse_path, parse_segment};
pub use error::{FailureKind, HolderError};
pub use retry::wait_before;

use error::Failure;

/// The length of a key of the keyring.
pub const KEY_LEN: usize = 32;

/// What every ciphertext is bound to, besides the identifier of the key. A change of the format needs another value.
const PURPOSE: &str = "vimeo-connections/keyring-key/1";

/// The kinds of holders. Each ciphertext starts with the name of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HolderKind {
    /// The transit engine of OpenBao or Vault.
    Transit,
    /// AWS KMS.
    Kms,
    /// A token with a PKCS #11 module.
    Pkcs11,
}

impl HolderKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Transit, Self::Kms, Self::Pkcs11];

    /// The name in configurations and ciphertexts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transit => "transit",
            Self::Kms => "kms",
            Self::Pkcs11 => "pkcs11",
        }
    }

    /// The kind that encrypted this text; `None` if the text is not a ciphertext of any.
    pub fn of_text(text: &str) -> Option<Self> {
        let (prefix, _) = text.split_once(':')?;
        Self::ALL.into_iter().find(|kind| kind.as_str() == prefix)
    }

    /// Whether this build can use such a holder.
    pub const fn is_built_in(self) -> bool {
        match self {
            Self::Transit => true,
            Self::Kms => cfg!(feature = "kms"),
            Self::Pkcs11 => cfg!(feature = "pkcs11"),
        }
    }
}

impl fmt::Display for HolderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Time limits of one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the whole call, whatever it does.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(5) }
    }
}

/// Which holder, and how it is reached. Contains no secrets, only the files that have them.
#[derive(Debug, Clone)]
pub enum HolderConfig {
    /// The transit engine of OpenBao or Vault.
    Transit(Box<TransitConfig>),
    /// AWS KMS.
    Kms(KmsConfig),
    /// A token with a PKCS #11 module.
    Pkcs11(Pkcs11Config),
}

/// A key of the transit engine.
#[derive(Debug, Clone)]
pub struct TransitConfig {
    /// The server.
    pub address: TransitAddress,
    /// Where the engine is mounted, for example `transit`.
    pub mount: String,
    /// The key's name. Its type must take associated data.
    pub key: String,
    /// Has the token. Read at each call, so that an agent can renew it.
    pub token_file: PathBuf,
    /// The namespace, if there is one.
    pub namespace: Option<String>,
    /// Which authorities are trusted; `None` only for http.
    pub tls: Option<ClientConfig>,
}

/// A symmetric key of AWS KMS. Credentials are found as in every AWS SDK: environment, profile, or the machine's role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KmsConfig {
    /// Identifier, ARN or alias.
    pub key: String,
    /// The key's region.
    pub region: String,
    /// Another address than the region's, for tests and private endpoints.
    pub endpoint: Option<String>,
}

/// An AES key on a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pkcs11Config {
    /// The shared library of the token's manufacturer.
    pub module: PathBuf,
    /// The token's label.
    pub token: String,
    /// The key's label.
    pub key: String,
    /// Has the PIN of the token's user. Read at each call.
    pub pin_file: PathBuf,
}

impl HolderConfig {
    /// The kind of this holder.
    pub const fn kind(&self) -> HolderKind {
        match self {
            Self::Transit(_) => HolderKind::Transit,
            Self::Kms(_) => HolderKind::Kms,
            Self::Pkcs11(_) => HolderKind::Pkcs11,
        }
    }

    /// The holder and its key, for logs and errors. Has no secrets.
    pub fn describe(&self) -> String {
        match self {
            Self::Transit(transit) => {
                format!("the transit key {}/{} at {}", transit.mount, transit.key, transit.address)
            }
            Self::Kms(kms) => match &kms.endpoint {
                None => format!("the AWS KMS key {} in {}", kms.key, kms.region),
                Some(endpoint) => format!("the AWS KMS key {} at {endpoint}", kms.key),
            },
            Self::Pkcs11(token) => {
                format!(
                    "the key {} of the token {} (module {})",
                    token.key,
                    token.token,
                    token.module.display()
                )
            }
        }
    }
}

/// Encrypts and decrypts keys of the keyring.
#[derive(Debug)]
pub struct Holder {
    kind: HolderKind,
    description: String,
    client: Client,
    total: Duration,
}

#[derive(Debug)]
enum Client {
    Transit(Box<transit::Transit>),
    #[cfg(feature = "kms")]
    Kms(kms::Kms),
    #[cfg(feature = "pkcs11")]
    Pkcs11(pkcs11::Token),
}

impl Holder {
    /// Prepares a client. Sends nothing.
    pub fn new(config: HolderConfig, timeouts: Timeouts) -> Result<Self, HolderError> {
        let (kind, description) = (config.kind(), config.describe());
        let client = match config {
            HolderConfig::Transit(config) => {
                transit::Transit::new(*config, timeouts).map(Box::new).map(Client::Transit)
            }
            #[cfg(feature = "kms")]
            HolderConfig::Kms(config) => Ok(Client::Kms(kms::Kms::new(config, timeouts))),
            #[cfg(feature = "pkcs11")]
            HolderConfig::Pkcs11(config) => Ok(Client::Pkcs11(pkcs11::Token::new(config))),
            #[cfg(not(all(feature = "kms", feature = "pkcs11")))]
            _ => Err(Failure::misconfigured(format!(
                "this build has no support for it: build the service with `--features {kind}`"
            ))),
        };
        let client = client.map_err(|failure| failure.of(&description))?;
        Ok(Self { kind, description, client, total: timeouts.total })
    }

    /// The kind of this holder.
    pub const fn kind(&self) -> HolderKind {
        self.kind
    }

    /// The holder and its key, for logs and errors. Has no secrets.
    pub fn describe(&self) -> &str {
        &self.description
    }

    /// Encrypts the key with this identifier. The result has no character that a TOML string would have to escape.
    pub async fn encrypt(&self, key_id: &str, key: &[u8; KEY_LEN]) -> Result<String, HolderError> {
        let encrypting = async {
            match &self.client {
                Client::Transit(client) => client.encrypt(key_id, key).await,
                #[cfg(feature = "kms")]
                Client::Kms(client) => Box::pin(client.encrypt(key_id, key)).await,
                #[cfg(feature = "pkcs11")]
                Client::Pkcs11(client) => client.encrypt(key_id, key).await,
            }
        };
        let text = self.within_limit(encrypting).await?;
        Ok(format!("{}:{text}", self.kind))
    }

    /// Decrypts the result of [`Self::encrypt`] for the same identifier.
    pub async fn decrypt(&self, key_id: &str, text: &str) -> Result<Zeroizing<[u8; KEY_LEN]>, HolderError> {
        let decrypting = async {
            let inner = text.strip_prefix(self.kind.as_str()).and_then(|rest| rest.strip_prefix(':'));
            let inner = inner.ok_or_else(|| Failure::wrong_context(key_id))?;
            match &self.client {
                Client::Transit(client) => client.decrypt(key_id, inner).await,
                #[cfg(feature = "kms")]
                Client::Kms(client) => Box::pin(client.decrypt(key_id, inner)).await,
                #[cfg(feature = "pkcs11")]
                Client::Pkcs11(client) => client.decrypt(key_id, inner).await,
            }
        };
        let plain = self.within_limit(decrypting).await?;
        key_of(&plain).ok_or_else(|| Failure::wrong_context(key_id).of(&self.description))
    }

    async fn within_limit<T>(
        &self,
        call: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, HolderError> {
        let timed_out =
            || Failure::unavailable(format!("it did not answer within {} s", self.total.as_secs_f32()));
        let result = tokio::time::timeout(self.total, call).await.unwrap_or_else(|_| Err(timed_out()));
        result.map_err(|failure| failure.of(&self.description))
    }
}

/// The associated data of a key of the keyring.
fn associated_data(key_id: &str) -> String {
    format!("{PURPOSE}/{key_id}")
}

fn key_of(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_LEN]>> {
    let mut array: [u8; KEY_LEN] = bytes.try_into().ok()?;
    let key = Zeroizing::new(array);
    array.zeroize();
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ciphertext_names_the_kind_of_its_holder() {
        for (text, expected) in [
            ("transit:vault:v1:AA", Some(HolderKind::Transit)),
            ("kms:AA==", Some(HolderKind::Kms)),
            ("pkcs11:AA==", Some(HolderKind::Pkcs11)),
            ("AA==", None),
            ("vault:v1:AA", None),
            ("", None),
        ] {
            assert_eq!(HolderKind::of_text(text), expected, "{text}");
        }
    }

    #[cfg(not(feature = "kms"))]
    #[test]
    fn a_build_without_a_feature_names_it() {
        let config = KmsConfig { key: "k".to_owned(), region: "eu-west-1".to_owned(), endpoint: None };
        let error = Holder::new(HolderConfig::Kms(config), Timeouts::default()).unwrap_err();
        assert_eq!(error.kind(), FailureKind::Misconfigured);
        assert!(error.to_string().contains("--features kms"), "{error}");
    }
}
