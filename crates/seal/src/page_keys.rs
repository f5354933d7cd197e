//! Page keys of lists: opaque positions, each with a MAC that binds it to its list and its account.

use aws_lc_rs::hmac;
use domain::id::{AccountId, ApiKeyId, AuditEventId, AuthorizationId, ConnectionId, DeliveryId, EndpointId};
use domain::job::JobId;
use domain::time::Timestamp;

use crate::cipher::length_prefixed;
use crate::service::{KeyOf, ServiceKeys, is_equal, sign};

/// First byte of a page key: the version of its format.
const PAGE_KEY_FORMAT: u8 = 1;
/// Length of a page key's MAC: half a hash, 128 bits. It protects only a position in the caller's own list.
const PAGE_KEY_MAC_LEN: usize = 16;

impl ServiceKeys {
    /// An opaque page key: the identifier after which the next page of connections starts, with a MAC that binds it to
    /// the account.
    pub fn encode_page_key(&self, account: &AccountId, after: &ConnectionId) -> Vec<u8> {
        self.encode_position(|keys| &keys.page_key, account, after.as_str())
    }

    /// Decodes the result of [`Self::encode_page_key`] for the same account; `None` for anything else.
    pub fn decode_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<ConnectionId> {
        self.decode_position(|keys| &keys.page_key, account, bytes).and_then(ConnectionId::parse)
    }

    /// The same for a position in an account's list of jobs.
    pub fn encode_job_page_key(&self, account: &AccountId, before: &JobId) -> Vec<u8> {
        self.encode_position(|keys| &keys.job_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_job_page_key`] for the same account; `None` for anything else.
    pub fn decode_job_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<JobId> {
        self.decode_position(|keys| &keys.job_page_key, account, bytes).and_then(JobId::parse)
    }

    /// The same for a position in an account's list of API keys: the instant at which a key was created, and its ID.
    pub fn encode_api_key_page_key(
        &self,
        account: &AccountId,
        created_at: Timestamp,
        id: &ApiKeyId,
    ) -> Vec<u8> {
        self.encode_position(
            |keys| &keys.api_key_page_key,
            account,
            &format!("{}.{id}", created_at.as_micros()),
        )
    }

    /// Decodes the result of [`Self::encode_api_key_page_key`] for the same account; `None` for anything else.
    pub fn decode_api_key_page_key(
        &self,
        account: &AccountId,
        bytes: &[u8],
    ) -> Option<(Timestamp, ApiKeyId)> {
        let (created_at, id) =
            self.decode_position(|keys| &keys.api_key_page_key, account, bytes)?.split_once('.')?;
        Some((Timestamp::from_micros(created_at.parse().ok()?), ApiKeyId::from_stored(id.to_owned())))
    }

    /// The same for a position in an account's audit log.
    pub fn encode_audit_page_key(&self, account: &AccountId, before: &AuditEventId) -> Vec<u8> {
        self.encode_position(|keys| &keys.audit_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_audit_page_key`] for the same account; `None` for anything else.
    pub fn decode_audit_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<AuditEventId> {
        self.decode_position(|keys| &keys.audit_page_key, account, bytes).and_then(AuditEventId::parse)
    }

    /// The same for a position in an account's list of webhook endpoints.
    pub fn encode_endpoint_page_key(&self, account: &AccountId, after: &EndpointId) -> Vec<u8> {
        self.encode_position(|keys| &keys.endpoint_page_key, account, after.as_str())
    }

    /// Decodes the result of [`Self::encode_endpoint_page_key`] for the same account; `None` for anything else.
    pub fn decode_endpoint_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<EndpointId> {
        self.decode_position(|keys| &keys.endpoint_page_key, account, bytes).and_then(EndpointId::parse)
    }

    /// The same for a position in an account's list of deliveries.
    pub fn encode_delivery_page_key(&self, account: &AccountId, before: &DeliveryId) -> Vec<u8> {
        self.encode_position(|keys| &keys.delivery_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_delivery_page_key`] for the same account; `None` for anything else.
    pub fn decode_delivery_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<DeliveryId> {
        self.decode_position(|keys| &keys.delivery_page_key, account, bytes).and_then(DeliveryId::parse)
    }

    /// The same for a position in an account's list of authorizations.
    pub fn encode_authorization_page_key(&self, account: &AccountId, before: &AuthorizationId) -> Vec<u8> {
        self.encode_position(|keys| &keys.authorization_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_authorization_page_key`] for the same account; `None` for anything else.
    pub fn decode_authorization_page_key(
        &self,
        account: &AccountId,
        bytes: &[u8],
    ) -> Option<AuthorizationId> {
        self.decode_position(|keys| &keys.authorization_page_key, account, bytes)
            .and_then(AuthorizationId::parse)
    }

    fn encode_position(&self, key: KeyOf, account: &AccountId, position: &str) -> Vec<u8> {
        encode_page_key(key(&self.current), account, position)
    }

    fn decode_position<'a>(&self, key: KeyOf, account: &AccountId, bytes: &'a [u8]) -> Option<&'a str> {
        self.all().find_map(|keys| decode_page_key(key(keys), account, bytes))
    }
}

fn encode_page_key(key: &hmac::Key, account: &AccountId, position: &str) -> Vec<u8> {
    let mut bytes = vec![PAGE_KEY_FORMAT];
    bytes.extend_from_slice(&page_key_mac(key, account, position));
    bytes.extend_from_slice(position.as_bytes());
    bytes
}

fn decode_page_key<'a>(key: &hmac::Key, account: &AccountId, bytes: &'a [u8]) -> Option<&'a str> {
    let rest = bytes.strip_prefix(&[PAGE_KEY_FORMAT])?;
    let (mac, position) = rest.split_first_chunk::<PAGE_KEY_MAC_LEN>()?;
    let position = std::str::from_utf8(position).ok()?;
    is_equal(&page_key_mac(key, account, position), mac).then_some(position)
}

fn page_key_mac(key: &hmac::Key, account: &AccountId, position: &str) -> [u8; PAGE_KEY_MAC_LEN] {
    let tag = sign(key, &length_prefixed(&[account.as_str().as_bytes(), position.as_bytes()]));
    let mut mac = [0; PAGE_KEY_MAC_LEN];
    mac.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
    mac
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Randomness;
    use crate::cipher::Key;

    fn keys(fill: u8) -> ServiceKeys {
        ServiceKeys::new(&Key::random(&Randomness::from_fn(move |bytes| bytes.fill(fill))), None, &[])
    }

    #[test]
    fn a_page_key_is_valid_only_unmodified_and_for_its_account() {
        let (mine, theirs) = (AccountId::from_random([1; 16]), AccountId::from_random([2; 16]));
        let id = ConnectionId::parse("20260131090500042abcdefghijklmno").unwrap();
        let key = keys(1).encode_page_key(&mine, &id);
        assert_eq!(keys(1).decode_page_key(&mine, &key), Some(id));
        assert_eq!(keys(1).decode_page_key(&theirs, &key), None);
        assert_eq!(keys(2).decode_page_key(&mine, &key), None, "another service's");
        for bit in 0..key.len() * 8 {
            let mut altered = key.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(keys(1).decode_page_key(&mine, &altered), None, "bit {bit}");
        }
        for cut in 0..key.len() {
            assert_eq!(keys(1).decode_page_key(&mine, &key[..cut]), None, "{cut} bytes");
        }
        assert_eq!(keys(1).decode_page_key(&mine, &[&key[..], b"x"].concat()), None);
    }

    #[test]
    fn a_page_key_for_jobs_is_invalid_for_connections() {
        let account = AccountId::from_random([1; 16]);
        let job = JobId::make(Timestamp::from_millis(5), [7; 10]);
        let key = keys(1).encode_job_page_key(&account, &job);
        assert_eq!(keys(1).decode_job_page_key(&account, &key), Some(job));
        assert_eq!(keys(1).decode_page_key(&account, &key), None);
        assert_eq!(keys(1).decode_job_page_key(&AccountId::from_random([2; 16]), &key), None);
    }
}
