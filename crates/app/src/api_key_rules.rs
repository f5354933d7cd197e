//! The rules of changes to API keys.

use std::time::Duration;

use domain::api_key::{Creator, GrantError, KeyStatus, check_grant};
use domain::audit::Actor;
use domain::scope::{Scope, Scopes};
use domain::time::Timestamp;
use store::OtherManager;

use crate::{Caller, Error};

/// The expiry of a key that the caller may create.
pub(crate) fn granted_expiry(
    caller: &Caller,
    scopes: Scopes,
    expires_at: Option<Timestamp>,
) -> Result<Option<Timestamp>, Error> {
    check_grant((caller.scopes, caller.expires_at), scopes, expires_at).map_err(|error| match error {
        GrantError::Scope(missing) => Error::Forbidden { missing },
        GrantError::Expiry => Error::ExpiryBeyondCreator,
    })
}

/// Who created a key.
pub(crate) fn creator(caller: &Caller) -> Creator {
    match &caller.actor {
        Actor::ApiKey { key_id, .. } | Actor::Session { key_id: Some(key_id), .. } => {
            Creator::ApiKey(key_id.clone())
        }
        Actor::Session { key_id: None, name, .. } => Creator::Person(name.clone()),
        // A guest creates no key.
        Actor::Guest { .. } | Actor::Operator | Actor::Service => Creator::Operator,
    }
}

/// When a rotated key expires: after the overlap, or earlier if it would have.
pub(crate) fn overlap_end(expires_at: Option<Timestamp>, now: Timestamp, overlap: Duration) -> Timestamp {
    let end = now.plus(overlap);
    expires_at.map_or(end, |at| at.min(end))
}

/// Whether a key may be revoked only if another one can manage keys: a client must not lock its account out.
pub(crate) fn other_manager(actor: &Actor, scopes: Scopes, status: KeyStatus) -> OtherManager {
    match actor {
        Actor::ApiKey { .. } | Actor::Session { .. }
            if scopes.has(Scope::KeysManage) && status == KeyStatus::Active =>
        {
            OtherManager::Required
        }
        _ => OtherManager::NotRequired,
    }
}

#[cfg(test)]
mod tests {
    use domain::account::Label;
    use domain::id::ApiKeyId;

    use super::*;

    #[test]
    fn a_rotated_key_expires_after_the_overlap_or_earlier() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        for (expires_at, overlap, expected) in [
            (None, 60, 70),
            (Some(at(500)), 60, 70),
            (Some(at(30)), 60, 30),
            (Some(at(30)), 0, 10),
            (None, 0, 10),
        ] {
            let end = overlap_end(expires_at, at(10), Duration::from_secs(overlap));
            assert_eq!(end, at(expected), "{expires_at:?} {overlap}");
        }
    }

    #[test]
    fn only_a_client_that_revokes_an_active_managing_key_needs_another() {
        let (key_id, name) = (ApiKeyId::from_random([1; 16]), Label::from_stored("client".to_owned()));
        let client = Actor::ApiKey { key_id, name, remote: None };
        let reads: Scopes = [Scope::ConnectionsRead].into_iter().collect();
        for (actor, scopes, status, expected) in [
            (&client, Scopes::ALL, KeyStatus::Active, OtherManager::Required),
            (&client, Scopes::ALL, KeyStatus::Expired, OtherManager::NotRequired),
            (&client, Scopes::ALL, KeyStatus::Tampered, OtherManager::NotRequired),
            (&client, reads, KeyStatus::Active, OtherManager::NotRequired),
            (&Actor::Operator, Scopes::ALL, KeyStatus::Active, OtherManager::NotRequired),
        ] {
            assert_eq!(other_manager(actor, scopes, status), expected, "{actor:?} {scopes:?} {status:?}");
        }
    }
}
