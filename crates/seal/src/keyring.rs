//! The operator's keyring: the keys that wrap all others. It is stored apart from the data.

use std::collections::BTreeMap;
use std::fmt;

use domain::account::AccountKeys;
use domain::id::AccountId;
use domain::secret::{KeyringCheck, KeyringKeyId, KeyringWrapped};
use domain::service_secrets::{ServiceSecret, ServiceSecrets};

use crate::cipher::{Context, Key};
use crate::envelope::AccountKey;
use crate::service::ServiceKeys;
use crate::{CryptoError, Randomness};

pub use crate::keyring_text::KeyringError;

/// What a wrapped key is, which binds it.
#[derive(Debug, Clone, Copy)]
struct Wrapped<'a> {
    purpose: &'static str,
    account: &'a str,
}

const SERVICE_SECRET: Wrapped<'static> = Wrapped { purpose: "service-secret", account: "" };
/// Not the same, so that no one can put a retired secret back in the place of the current one.
const RETIRED_SERVICE_SECRET: Wrapped<'static> = Wrapped { purpose: "retired-service-secret", account: "" };

fn account_key(account: &AccountId) -> Wrapped<'_> {
    Wrapped { purpose: "account-key", account: account.as_str() }
}

impl<'a> Wrapped<'a> {
    fn context(self, keyring_key: &'a KeyringKeyId) -> Context<'a> {
        Context { purpose: self.purpose, account: self.account, record: &keyring_key.0, version: 0 }
    }
}

/// Keys by identifier; the primary one is used for wrapping.
#[derive(Clone)]
pub struct Keyring {
    primary: KeyringKeyId,
    keys: BTreeMap<KeyringKeyId, Key>,
    /// Derived once, because deriving takes as long as the unwrapping that each creation does.
    wrapping_keys: BTreeMap<KeyringKeyId, Key>,
}

impl Keyring {
    /// A keyring with one new key.
    pub fn generate(randomness: &Randomness) -> Self {
        Self::of_one(Key::random(randomness))
    }

    pub(crate) fn new(primary: KeyringKeyId, keys: BTreeMap<KeyringKeyId, Key>) -> Self {
        let wrapping_keys = keys.iter().map(|(id, key)| (id.clone(), key.derive("keyring-wrap/1"))).collect();
        Self { primary, keys, wrapping_keys }
    }

    pub(crate) fn of_one(key: Key) -> Self {
        let primary = key_id(&key);
        Self::new(primary.clone(), BTreeMap::from([(primary, key)]))
    }

    /// A keyring of these keys, each of which must match its identifier.
    pub(crate) fn from_keys(
        primary: KeyringKeyId,
        keys: BTreeMap<KeyringKeyId, Key>,
    ) -> Result<Self, KeyringError> {
        if let Some((name, key)) = keys.iter().find(|(id, key)| key_id(key) != **id) {
            return Err(KeyringError::Mismatch { name: name.clone(), actual: key_id(key) });
        }
        if !keys.contains_key(&primary) {
            return Err(KeyringError::NoPrimary { primary: primary.0, keys: keys.into_keys().collect() });
        }
        Ok(Self::new(primary, keys))
    }

    /// All keys, by identifier.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&KeyringKeyId, &Key)> {
        self.keys.iter()
    }

    /// The identifier of the key that is used for wrapping.
    pub fn primary_id(&self) -> &KeyringKeyId {
        &self.primary
    }

    /// The check value of the primary key. The database stores it before anything is wrapped with the key.
    pub fn primary_check(&self) -> Result<KeyringCheck, CryptoError> {
        let key = self.key(&self.primary)?;
        Ok(KeyringCheck { keyring_key: self.primary.clone(), value: check_value(key) })
    }

    /// The keys that a database was sealed with and that this keyring does not contain.
    pub fn missing<'a>(&self, checks: &'a [KeyringCheck]) -> Vec<&'a KeyringKeyId> {
        let holds = |check: &KeyringCheck| {
            self.keys.get(&check.keyring_key).is_some_and(|key| check_value(key) == check.value)
        };
        checks.iter().filter(|check| !holds(check)).map(|check| &check.keyring_key).collect()
    }

    /// Whether it contains the key.
    pub fn contains(&self, key: &KeyringKeyId) -> bool {
        self.keys.contains_key(key)
    }

    /// The identifiers of its keys, in their order.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyringKeyId> {
        self.keys.keys()
    }

    /// The same keyring with one new key, which is the primary one.
    #[must_use]
    pub fn rotated(&self, randomness: &Randomness) -> Self {
        let mut keys = self.keys.clone();
        let key = Key::random(randomness);
        let primary = key_id(&key);
        keys.insert(primary.clone(), key);
        Self::new(primary, keys)
    }

    /// The same keyring without a key; `None` if it is the primary one, or absent.
    pub fn without(&self, key: &KeyringKeyId) -> Option<Self> {
        let mut keys = self.keys.clone();
        if *key == self.primary || keys.remove(key).is_none() {
            return None;
        }
        Some(Self::new(self.primary.clone(), keys))
    }

    /// A new account key, wrapped with a key of this keyring.
    pub fn new_account_key(
        &self,
        account: &AccountId,
        with: &KeyringKeyId,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        self.wrap(account_key(account), with, &Key::random(randomness), randomness)
    }

    /// Unwraps the keys of an account.
    pub fn open_account_key(
        &self,
        account: &AccountId,
        keys: &AccountKeys,
    ) -> Result<AccountKey, CryptoError> {
        let unwrap = |wrapped: &KeyringWrapped| self.unwrap(account_key(account), wrapped);
        let second = keys.second.as_ref().map(|second| unwrap(&second.key)).transpose()?;
        Ok(AccountKey::new(account.clone(), unwrap(&keys.current)?, second))
    }

    /// The same account key, wrapped with another key of this keyring.
    pub fn rewrap_account_key(
        &self,
        account: &AccountId,
        wrapped: &KeyringWrapped,
        with: &KeyringKeyId,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        let key = self.unwrap(account_key(account), wrapped)?;
        self.wrap(account_key(account), with, &key, randomness)
    }

    /// A new service secret, wrapped with a key of this keyring.
    pub fn new_service_secret(
        &self,
        with: &KeyringKeyId,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        self.wrap(SERVICE_SECRET, with, &Key::random(randomness), randomness)
    }

    /// The same service secrets, wrapped with the primary key.
    pub fn rewrap_service_secrets(
        &self,
        secrets: &ServiceSecrets,
        randomness: &Randomness,
    ) -> Result<ServiceSecrets, CryptoError> {
        let rewrap = |what: Wrapped<'_>, wrapped: &mut KeyringWrapped| {
            *wrapped = self.wrap(what, &self.primary, &self.unwrap(what, wrapped)?, randomness)?;
            Ok(())
        };
        let mut rewrapped = secrets.clone();
        rewrap(SERVICE_SECRET, &mut rewrapped.current.wrapped)?;
        if let Some(second) = &mut rewrapped.second {
            rewrap(SERVICE_SECRET, &mut second.secret.wrapped)?;
        }
        for retired in &mut rewrapped.retired {
            rewrap(RETIRED_SERVICE_SECRET, &mut retired.secret.wrapped)?;
        }
        Ok(rewrapped)
    }

    /// A service secret that does not sign any more, wrapped as a retired one.
    pub fn retire_service_secret(
        &self,
        secret: &KeyringWrapped,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        let key = self.unwrap(SERVICE_SECRET, secret)?;
        self.wrap(RETIRED_SERVICE_SECRET, &secret.keyring_key, &key, randomness)
    }

    /// Unwraps the service secrets and derives the service's keys.
    pub fn open_service_secrets(&self, secrets: &ServiceSecrets) -> Result<ServiceKeys, CryptoError> {
        let unwrap = |secret: &ServiceSecret| self.unwrap(SERVICE_SECRET, &secret.wrapped);
        let second = secrets.second.as_ref().map(|second| unwrap(&second.secret)).transpose()?;
        let retired = secrets.retired.iter();
        let retired = retired.map(|retired| self.unwrap(RETIRED_SERVICE_SECRET, &retired.secret.wrapped));
        let retired = retired.collect::<Result<Vec<_>, _>>()?;
        Ok(ServiceKeys::new(&unwrap(&secrets.current)?, second.as_ref(), &retired))
    }

    fn wrap(
        &self,
        what: Wrapped<'_>,
        with: &KeyringKeyId,
        key: &Key,
        randomness: &Randomness,
    ) -> Result<KeyringWrapped, CryptoError> {
        let wrapped = self.wrapping_key(with)?.wrap(what.context(with), key, randomness)?;
        Ok(KeyringWrapped { keyring_key: with.clone(), wrapped })
    }

    fn unwrap(&self, what: Wrapped<'_>, wrapped: &KeyringWrapped) -> Result<Key, CryptoError> {
        let context = what.context(&wrapped.keyring_key);
        self.wrapping_key(&wrapped.keyring_key)?.unwrap_key(context, &wrapped.wrapped)
    }

    fn wrapping_key(&self, id: &KeyringKeyId) -> Result<&Key, CryptoError> {
        self.wrapping_keys.get(id).ok_or(CryptoError::Decrypt)
    }

    fn key(&self, id: &KeyringKeyId) -> Result<&Key, CryptoError> {
        self.keys.get(id).ok_or(CryptoError::Decrypt)
    }
}

/// Derived from the key, so that a damaged or swapped key is detected.
pub(crate) fn key_id(key: &Key) -> KeyringKeyId {
    use fmt::Write as _;
    let derived = key.derive("keyring-key-id/1");
    derived.0.iter().take(8).fold(KeyringKeyId("k_".to_owned()), |mut id, byte| {
        // Writing to a `String` does not fail.
        let _ = write!(id.0, "{byte:02x}");
        id
    })
}

fn check_value(key: &Key) -> [u8; 32] {
    key.derive("keyring-check/1").0
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("primary", &self.primary).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use domain::time::Timestamp;

    use super::*;
    use crate::envelope::{AssociatedData, Purpose};

    fn keyring() -> Keyring {
        Keyring::generate(&Randomness::system())
    }

    #[test]
    fn another_keyring_lacks_the_key_and_decrypts_nothing() {
        let (right, wrong) = (keyring(), keyring());
        let checks = [right.primary_check().unwrap()];
        assert_eq!(wrong.missing(&checks), [right.primary_id()]);
        let account = AccountId::from_random([1; 16]);
        let wrapped = right.new_account_key(&account, right.primary_id(), &Randomness::system()).unwrap();
        let keys = AccountKeys::of(wrapped);
        assert!(right.open_account_key(&account, &keys).is_ok());
        assert_eq!(wrong.open_account_key(&account, &keys).err(), Some(CryptoError::Decrypt));
        let other = AccountId::from_random([2; 16]);
        assert_eq!(right.open_account_key(&other, &keys).err(), Some(CryptoError::Decrypt));
    }

    #[test]
    fn a_rotated_keyring_has_all_keys_and_a_new_primary_one() {
        let before = keyring();
        let after = before.rotated(&Randomness::system());
        assert_ne!(after.primary_id(), before.primary_id());
        assert_eq!(after.key_ids().count(), 2);
        assert!(after.missing(&[before.primary_check().unwrap(), after.primary_check().unwrap()]).is_empty());
        assert!(after.without(after.primary_id()).is_none(), "the primary key stays");
        let retired = after.without(before.primary_id()).unwrap();
        assert_eq!(retired.key_ids().collect::<Vec<_>>(), [after.primary_id()]);
        assert!(retired.without(before.primary_id()).is_none(), "it is gone");
    }

    #[test]
    fn service_secrets_of_every_role_are_rewrapped_and_a_retired_one_stays_retired() {
        let (randomness, now) = (Randomness::system(), Timestamp::from_micros(1));
        let before = keyring();
        let both = before.rotated(&randomness);
        let only_new = both.without(before.primary_id()).unwrap();
        let new = || before.new_service_secret(before.primary_id(), &randomness).unwrap();
        let secrets = ServiceSecrets::of(new()).with_next(new(), now).switched(now).unwrap();
        let former = secrets.second.as_ref().unwrap().secret.wrapped.clone();
        let retired = before.retire_service_secret(&former, &randomness).unwrap();
        let secrets = secrets.with_former_retired(retired.clone(), now).unwrap().with_next(new(), now);
        assert!(before.open_service_secrets(&secrets).is_ok());
        assert!(only_new.open_service_secrets(&secrets).is_err());
        let rewrapped = both.rewrap_service_secrets(&secrets, &randomness).unwrap();
        assert!(rewrapped.is_same(&secrets));
        let new_keys = only_new.open_service_secrets(&rewrapped).unwrap();
        let old_keys = before.open_service_secrets(&secrets).unwrap();
        assert_eq!(new_keys.mac_job(b"row"), old_keys.mac_job(b"row"));
        let mut put_back = secrets.clone();
        put_back.current.wrapped = retired;
        assert!(before.open_service_secrets(&put_back).is_err(), "a retired secret in another place");
        let mut put_back = secrets;
        put_back.retired[0].secret.wrapped = former;
        assert!(before.open_service_secrets(&put_back).is_err());
    }

    #[test]
    fn a_rewrapped_account_key_is_the_same_key_under_another() {
        let randomness = Randomness::system();
        let before = keyring();
        let both = before.rotated(&randomness);
        let only_new = both.without(before.primary_id()).unwrap();
        let account = AccountId::from_random([1; 16]);
        let data = AssociatedData { purpose: Purpose::JobRequest, record: "a", version: 1 };
        let old = before.new_account_key(&account, before.primary_id(), &randomness).unwrap();
        let key = before.open_account_key(&account, &AccountKeys::of(old.clone())).unwrap();
        let sealed = key.seal(data, b"plain", &randomness).unwrap();
        let new = both.rewrap_account_key(&account, &old, both.primary_id(), &randomness).unwrap();
        assert_eq!(new.keyring_key, *both.primary_id());
        let again = only_new.open_account_key(&account, &AccountKeys::of(new.clone())).unwrap();
        assert_eq!(again.open(data, &sealed).unwrap().as_slice(), b"plain");
        assert!(before.open_account_key(&account, &AccountKeys::of(new.clone())).is_err());
        let renamed = KeyringWrapped { keyring_key: before.primary_id().clone(), ..new };
        assert!(both.open_account_key(&account, &AccountKeys::of(renamed)).is_err(), "bound to its key");
        let other = AccountId::from_random([2; 16]);
        assert!(both.rewrap_account_key(&other, &old, both.primary_id(), &randomness).is_err());
    }
}
