//! The service secrets of a database: the one that signs, and the others, which only verify.

use crate::account::SecondKeyRole;
use crate::secret::{KeyringKeyId, KeyringWrapped};
use crate::time::Timestamp;

/// A stored service secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSecret {
    /// Its number: the first one is 1, and each replacement counts one up.
    pub number: u64,
    /// The secret, wrapped with a keyring key.
    pub wrapped: KeyringWrapped,
}

/// A service secret that verifies everything and signs nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecondServiceSecret {
    /// The secret.
    pub secret: ServiceSecret,
    /// Why it is there.
    pub role: SecondKeyRole,
    /// Since when.
    pub since: Timestamp,
}

/// A service secret that verifies no row. It finds API keys by their hashes, and verifies what was linked or exported before it was
/// retired, and what only someone with a random token can present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetiredServiceSecret {
    /// The secret. It is wrapped as a retired one, so that it cannot be put back in the place of another.
    pub secret: ServiceSecret,
    /// Since when.
    pub since: Timestamp,
}

/// All service secrets of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceSecrets {
    /// The one that signs.
    pub current: ServiceSecret,
    /// While a replacement lasts, the one that follows or preceded it.
    pub second: Option<SecondServiceSecret>,
    /// The retired ones, the latest first.
    pub retired: Vec<RetiredServiceSecret>,
}

impl ServiceSecrets {
    /// The first secret of a database.
    pub fn of(first: KeyringWrapped) -> Self {
        Self { current: ServiceSecret { number: 1, wrapped: first }, second: None, retired: Vec::new() }
    }

    /// All secrets, the one that signs first.
    pub fn all(&self) -> impl Iterator<Item = &ServiceSecret> {
        let second = self.second.iter().map(|second| &second.secret);
        let retired = self.retired.iter().map(|retired| &retired.secret);
        std::iter::once(&self.current).chain(second).chain(retired)
    }

    /// The keyring keys that wrap them.
    pub fn keyring_keys(&self) -> impl Iterator<Item = &KeyringKeyId> {
        self.all().map(|secret| &secret.wrapped.keyring_key)
    }

    /// Whether these are the same secrets in the same roles, however they are wrapped.
    pub fn is_same(&self, other: &Self) -> bool {
        let of = |secrets: &Self| {
            let second = secrets.second.as_ref().map(|second| (second.secret.number, second.role));
            let retired: Vec<_> = secrets.retired.iter().map(|retired| retired.secret.number).collect();
            (secrets.current.number, second, retired)
        };
        of(self) == of(other)
    }

    /// The first step of a replacement: the secret `next` is there, but does not sign yet.
    #[must_use]
    pub fn with_next(&self, next: KeyringWrapped, now: Timestamp) -> Self {
        let number = self.all().map(|secret| secret.number).max().unwrap_or_default() + 1;
        let secret = ServiceSecret { number, wrapped: next };
        Self {
            second: Some(SecondServiceSecret { secret, role: SecondKeyRole::Next, since: now }),
            ..self.clone()
        }
    }

    /// The second step: the next secret signs, and the former one only verifies. `None` if there is no next one.
    pub fn switched(&self, now: Timestamp) -> Option<Self> {
        let second = self.second.as_ref().filter(|second| second.role == SecondKeyRole::Next)?;
        let former = self.current.clone();
        Some(Self {
            current: second.secret.clone(),
            second: Some(SecondServiceSecret { secret: former, role: SecondKeyRole::Former, since: now }),
            retired: self.retired.clone(),
        })
    }

    /// The last step: the former secret is retired, under this wrapping. `None` if there is none.
    pub fn with_former_retired(&self, wrapped: KeyringWrapped, now: Timestamp) -> Option<Self> {
        let second = self.second.as_ref().filter(|second| second.role == SecondKeyRole::Former)?;
        let secret = ServiceSecret { number: second.secret.number, wrapped };
        let retired = std::iter::once(RetiredServiceSecret { secret, since: now })
            .chain(self.retired.iter().cloned())
            .collect();
        Some(Self { current: self.current.clone(), second: None, retired })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::WrappedKey;

    fn wrapped(fill: u8) -> KeyringWrapped {
        KeyringWrapped {
            keyring_key: KeyringKeyId("k_0000000000000000".into()),
            wrapped: WrappedKey([fill; 60]),
        }
    }

    fn numbers(secrets: &ServiceSecrets) -> Vec<u64> {
        secrets.all().map(|secret| secret.number).collect()
    }

    #[test]
    fn a_replacement_adds_a_secret_switches_and_retires_the_former_one() {
        let at = Timestamp::from_micros;
        let first = ServiceSecrets::of(wrapped(1));
        assert_eq!(numbers(&first), [1]);
        assert_eq!(first.switched(at(1)), None);
        assert_eq!(first.with_former_retired(wrapped(9), at(1)), None);
        let next = first.with_next(wrapped(2), at(1));
        assert_eq!(numbers(&next), [1, 2]);
        assert_eq!(next.with_former_retired(wrapped(9), at(1)), None, "it has not signed");
        let switched = next.switched(at(2)).unwrap();
        assert_eq!(numbers(&switched), [2, 1]);
        assert_eq!(switched.current.wrapped, wrapped(2));
        assert_eq!(switched.switched(at(3)), None, "once");
        let retired = switched.with_former_retired(wrapped(9), at(3)).unwrap();
        assert_eq!(numbers(&retired), [2, 1]);
        assert_eq!(retired.retired[0].secret.wrapped, wrapped(9));
        let again = retired.with_next(wrapped(3), at(4)).switched(at(5)).unwrap();
        let again = again.with_former_retired(wrapped(8), at(6)).unwrap();
        assert_eq!(numbers(&again), [3, 2, 1], "the latest first");
    }

    #[test]
    fn the_same_secrets_may_be_wrapped_otherwise_but_not_have_other_roles() {
        let at = Timestamp::from_micros;
        let first = ServiceSecrets::of(wrapped(1));
        assert!(first.is_same(&ServiceSecrets::of(wrapped(7))));
        let next = first.with_next(wrapped(2), at(1));
        let switched = next.switched(at(2)).unwrap();
        let retired = switched.with_former_retired(wrapped(1), at(3)).unwrap();
        let all = [&first, &next, &switched, &retired];
        for (at, one) in all.iter().enumerate() {
            for (other_at, other) in all.iter().enumerate() {
                assert_eq!(one.is_same(other), at == other_at, "{at} {other_at}");
            }
        }
    }
}
