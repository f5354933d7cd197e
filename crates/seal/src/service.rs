//! Keyed hashes and MACs. Their keys are derived, one per purpose, from the service secret.

use std::fmt::{self, Write as _};

use aws_lc_rs::{constant_time, hmac};
use domain::api_key::{ApiKey, Creator, Grant, HashedKey, PlainKey, RowMac};
use domain::audit::{AuditChain, AuditHead, Link};
use domain::id::{AccountId, ApiKeyId, AuditEventId, AuthorizationId, ConnectionId, DeliveryId, EndpointId};
use domain::idempotency::{Operation, RequestMac};
use domain::job::JobId;
use domain::time::Timestamp;

use crate::cipher::{Key, length_prefixed};

/// First byte of a page key: the version of its format.
const PAGE_KEY_FORMAT: u8 = 1;
/// Length of a page key's MAC: half a hash, 128 bits. It protects only a position in the caller's own list.
const PAGE_KEY_MAC_LEN: usize = 16;

/// Keys shared by all nodes of a service. A rotation of the keyring does not change them.
pub struct ServiceKeys {
    api_key_hash: hmac::Key,
    api_key_row: hmac::Key,
    page_key: hmac::Key,
    job_page_key: hmac::Key,
    api_key_page_key: hmac::Key,
    request_body: hmac::Key,
    job_row: hmac::Key,
    audit_link: hmac::Key,
    audit_chain_row: hmac::Key,
    audit_head: hmac::Key,
    audit_page_key: hmac::Key,
    webhook_message: hmac::Key,
    webhook_origin: hmac::Key,
    endpoint_page_key: hmac::Key,
    delivery_page_key: hmac::Key,
    pub(crate) session_token: hmac::Key,
    pub(crate) session_row: hmac::Key,
    pub(crate) form_token: hmac::Key,
    pub(crate) form_request: hmac::Key,
    authorization_page_key: hmac::Key,
    pub(crate) browser_token: hmac::Key,
    pub(crate) sign_in_state: hmac::Key,
}

impl ServiceKeys {
    pub(crate) fn from_secret(secret: &Key) -> Self {
        let hmac_key = |purpose| hmac::Key::new(hmac::HMAC_SHA256, &secret.derive(purpose).0);
        Self {
            api_key_hash: hmac_key("api-key-hash/1"),
            api_key_row: hmac_key("api-key-row/1"),
            page_key: hmac_key("page-key/1"),
            job_page_key: hmac_key("job-page-key/1"),
            api_key_page_key: hmac_key("api-key-page-key/1"),
            request_body: hmac_key("request-body/1"),
            job_row: hmac_key("job-row/1"),
            audit_link: hmac_key("audit-link/1"),
            audit_chain_row: hmac_key("audit-chain-row/1"),
            audit_head: hmac_key("audit-head/1"),
            audit_page_key: hmac_key("audit-page-key/1"),
            webhook_message: hmac_key("webhook-message/1"),
            webhook_origin: hmac_key("webhook-origin/1"),
            endpoint_page_key: hmac_key("webhook-endpoint-page-key/1"),
            delivery_page_key: hmac_key("webhook-delivery-page-key/1"),
            session_token: hmac_key("session-token/1"),
            session_row: hmac_key("session-row/1"),
            form_token: hmac_key("form-token/1"),
            form_request: hmac_key("form-request/1"),
            authorization_page_key: hmac_key("authorization-page-key/1"),
            browser_token: hmac_key("browser-token/1"),
            sign_in_state: hmac_key("sign-in-state/1"),
        }
    }

    /// The hash that a key is stored and found by.
    pub fn hash_api_key(&self, key: &PlainKey) -> HashedKey {
        HashedKey(sign(&self.api_key_hash, key.expose().as_bytes()))
    }

    /// The MAC of a key's row: over the account, the hash, the expiry and all other columns but the last use.
    pub fn mac_api_key(&self, key: &ApiKey, hash: &HashedKey) -> RowMac {
        RowMac(sign(&self.api_key_row, &api_key_row_bytes(key, hash)))
    }

    /// Whether the MAC matches the row. Without the keyring, no one can create or change a row that passes.
    pub fn verify_api_key(&self, key: &ApiKey, hash: &HashedKey, mac: &RowMac) -> bool {
        constant_time::verify_slices_are_equal(&self.mac_api_key(key, hash).0, &mac.0).is_ok()
    }

    /// The MAC of a job's row, over the bytes that the store gives for it: they name the account and the job.
    pub fn mac_job(&self, row: &[u8]) -> [u8; 32] {
        sign(&self.job_row, row)
    }

    /// Whether this service wrote the row of a job.
    pub fn verify_job(&self, row: &[u8], mac: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.mac_job(row), mac).is_ok()
    }

    /// An opaque page key: the identifier after which the next page of connections starts, with a MAC that binds it to
    /// the account.
    pub fn encode_page_key(&self, account: &AccountId, after: &ConnectionId) -> Vec<u8> {
        encode_page_key(&self.page_key, account, after.as_str())
    }

    /// Decodes the result of [`Self::encode_page_key`] for the same account; `None` for anything else.
    pub fn decode_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<ConnectionId> {
        decode_page_key(&self.page_key, account, bytes).and_then(ConnectionId::parse)
    }

    /// The same for a position in an account's list of jobs.
    pub fn encode_job_page_key(&self, account: &AccountId, before: &JobId) -> Vec<u8> {
        encode_page_key(&self.job_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_job_page_key`] for the same account; `None` for anything else.
    pub fn decode_job_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<JobId> {
        decode_page_key(&self.job_page_key, account, bytes).and_then(JobId::parse)
    }

    /// The same for a position in an account's list of API keys: the instant at which a key was created, and its ID.
    pub fn encode_api_key_page_key(
        &self,
        account: &AccountId,
        created_at: Timestamp,
        id: &ApiKeyId,
    ) -> Vec<u8> {
        encode_page_key(&self.api_key_page_key, account, &format!("{}.{id}", created_at.as_micros()))
    }

    /// Decodes the result of [`Self::encode_api_key_page_key`] for the same account; `None` for anything else.
    pub fn decode_api_key_page_key(
        &self,
        account: &AccountId,
        bytes: &[u8],
    ) -> Option<(Timestamp, ApiKeyId)> {
        let (created_at, id) = decode_page_key(&self.api_key_page_key, account, bytes)?.split_once('.')?;
        Some((Timestamp::from_micros(created_at.parse().ok()?), ApiKeyId::from_stored(id.to_owned())))
    }

    /// The same for a position in an account's audit log.
    pub fn encode_audit_page_key(&self, account: &AccountId, before: &AuditEventId) -> Vec<u8> {
        encode_page_key(&self.audit_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_audit_page_key`] for the same account; `None` for anything else.
    pub fn decode_audit_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<AuditEventId> {
        decode_page_key(&self.audit_page_key, account, bytes).and_then(AuditEventId::parse)
    }

    /// The same for a position in an account's list of webhook endpoints.
    pub fn encode_endpoint_page_key(&self, account: &AccountId, after: &EndpointId) -> Vec<u8> {
        encode_page_key(&self.endpoint_page_key, account, after.as_str())
    }

    /// Decodes the result of [`Self::encode_endpoint_page_key`] for the same account; `None` for anything else.
    pub fn decode_endpoint_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<EndpointId> {
        decode_page_key(&self.endpoint_page_key, account, bytes).and_then(EndpointId::parse)
    }

    /// The same for a position in an account's list of deliveries.
    pub fn encode_delivery_page_key(&self, account: &AccountId, before: &DeliveryId) -> Vec<u8> {
        encode_page_key(&self.delivery_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_delivery_page_key`] for the same account; `None` for anything else.
    pub fn decode_delivery_page_key(&self, account: &AccountId, bytes: &[u8]) -> Option<DeliveryId> {
        decode_page_key(&self.delivery_page_key, account, bytes).and_then(DeliveryId::parse)
    }

    /// The same for a position in an account's list of authorizations.
    pub fn encode_authorization_page_key(&self, account: &AccountId, before: &AuthorizationId) -> Vec<u8> {
        encode_page_key(&self.authorization_page_key, account, before.as_str())
    }

    /// Decodes the result of [`Self::encode_authorization_page_key`] for the same account; `None` for anything else.
    pub fn decode_authorization_page_key(
        &self,
        account: &AccountId,
        bytes: &[u8],
    ) -> Option<AuthorizationId> {
        decode_page_key(&self.authorization_page_key, account, bytes).and_then(AuthorizationId::parse)
    }

    /// The MAC of an event's message to webhook endpoints: its `webhook-id`, its type and its body.
    pub fn mac_webhook_message(&self, account: &AccountId, message: [&str; 3]) -> [u8; 32] {
        let [event_id, event_type, body] = message.map(str::as_bytes);
        sign(
            &self.webhook_message,
            &length_prefixed(&[account.as_str().as_bytes(), event_id, event_type, body]),
        )
    }

    /// Whether this service wrote the message.
    pub fn verify_webhook_message(&self, account: &AccountId, message: [&str; 3], mac: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.mac_webhook_message(account, message), mac).is_ok()
    }

    /// A keyed hash of the origin of a job's own webhook, in hexadecimal digits: it groups deliveries and reveals nothing.
    pub fn hash_webhook_origin(&self, account: &AccountId, origin: &str) -> String {
        let hash =
            sign(&self.webhook_origin, &length_prefixed(&[account.as_str().as_bytes(), origin.as_bytes()]));
        hex(hash.get(..PAGE_KEY_MAC_LEN).unwrap_or(&hash))
    }

    /// The link of the event with these canonical bytes at a position of an account's chain.
    pub fn link_audit_event(
        &self,
        account: &AccountId,
        position: u64,
        previous: &Link,
        event: &[u8],
    ) -> Link {
        let parts = [account.as_str().as_bytes(), &position.to_be_bytes(), &previous.0, event];
        Link(sign(&self.audit_link, &length_prefixed(&parts)))
    }

    /// The MAC of a chain's row.
    pub fn mac_audit_chain(&self, chain: &AuditChain) -> [u8; 32] {
        sign(&self.audit_chain_row, &chain.canonical_bytes())
    }

    /// Whether this service wrote the row of a chain.
    pub fn verify_audit_chain(&self, chain: &AuditChain) -> bool {
        constant_time::verify_slices_are_equal(&self.mac_audit_chain(chain), &chain.row_mac).is_ok()
    }

    /// The signature of an exported head. Only a service with the same service secret can make or verify it.
    pub fn sign_audit_head(&self, head: &AuditHead) -> [u8; 32] {
        sign(&self.audit_head, &head.canonical_bytes())
    }

    /// Whether this service signed the head.
    pub fn verify_audit_head(&self, head: &AuditHead, signature: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.sign_audit_head(head), signature).is_ok()
    }

    /// The MAC of a request body, which recognises a repeated request without storing the body: bodies contain secrets.
    pub fn hash_request_body(&self, account: &AccountId, operation: Operation, body: &[u8]) -> RequestMac {
        let parts = [account.as_str().as_bytes(), operation.as_str().as_bytes(), body];
        RequestMac(sign(&self.request_body, &length_prefixed(&parts)))
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
    constant_time::verify_slices_are_equal(&page_key_mac(key, account, position), mac).ok()?;
    Some(position)
}

fn page_key_mac(key: &hmac::Key, account: &AccountId, position: &str) -> [u8; PAGE_KEY_MAC_LEN] {
    let tag = sign(key, &length_prefixed(&[account.as_str().as_bytes(), position.as_bytes()]));
    let mut mac = [0; PAGE_KEY_MAC_LEN];
    mac.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
    mac
}

fn api_key_row_bytes(key: &ApiKey, hash: &HashedKey) -> Vec<u8> {
    let instant =
        |at: Option<Timestamp>| at.map_or_else(Vec::new, |at| at.as_micros().to_be_bytes().to_vec());
    let mut bytes = length_prefixed(&[
        key.id.as_str().as_bytes(),
        key.account_id.as_str().as_bytes(),
        key.name.as_str().as_bytes(),
        key.last_four.as_bytes(),
        &instant(Some(key.created_at)),
        &instant(key.expires_at),
        &instant(key.revoked_at),
        &hash.0,
    ]);
    // A key from before scopes existed has only the parts above.
    if let Some(Grant { scopes, creator, rotated_from }) = &key.grant {
        let creator = match creator {
            Creator::Operator => String::new(),
            Creator::ApiKey(id) => id.to_string(),
            // No identifier of a key contains a colon.
            Creator::Person(name) => format!("person:{name}"),
        };
        let rotated_from = rotated_from.as_ref().map_or("", ApiKeyId::as_str);
        bytes.extend(length_prefixed(&[
            scopes.to_stored().as_bytes(),
            creator.as_bytes(),
            rotated_from.as_bytes(),
        ]));
    }
    bytes
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

pub(crate) fn sign(key: &hmac::Key, message: &[u8]) -> [u8; 32] {
    let tag = hmac::sign(key, message);
    let mut bytes = [0; 32];
    // HMAC-SHA-256 returns exactly 32 bytes.
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

impl fmt::Debug for ServiceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKeys")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Randomness;

    fn keys(fill: u8) -> ServiceKeys {
        ServiceKeys::from_secret(&Key::random(&Randomness::from_fn(move |bytes| bytes.fill(fill))))
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

    #[test]
    fn a_jobs_row_verifies_unaltered_and_for_its_service() {
        let mac = keys(1).mac_job(b"a row");
        assert!(keys(1).verify_job(b"a row", &mac));
        assert!(!keys(1).verify_job(b"b row", &mac));
        assert!(!keys(2).verify_job(b"a row", &mac), "of another service");
        assert!(!keys(1).verify_job(b"a row", &mac[..31]));
        assert!(!keys(1).verify_job(b"a row", &[]));
    }

    #[test]
    fn a_webhook_message_verifies_unaltered_and_for_its_account() {
        let (mine, theirs) = (AccountId::from_random([1; 16]), AccountId::from_random([2; 16]));
        let message = ["msg_1", "upload.failed", "{}"];
        let mac = keys(1).mac_webhook_message(&mine, message);
        assert!(keys(1).verify_webhook_message(&mine, message, &mac));
        assert!(!keys(1).verify_webhook_message(&theirs, message, &mac));
        assert!(!keys(2).verify_webhook_message(&mine, message, &mac));
        for altered in
            [["msg_2", "upload.failed", "{}"], ["msg_1", "upload.x", "{}"], ["msg_1", "upload.failed", "[]"]]
        {
            assert!(!keys(1).verify_webhook_message(&mine, altered, &mac), "{altered:?}");
        }
        let hash = |account, origin| keys(1).hash_webhook_origin(account, origin);
        assert_eq!(hash(&mine, "https://a.example"), hash(&mine, "https://a.example"));
        assert_ne!(hash(&mine, "https://a.example"), hash(&theirs, "https://a.example"));
        assert_eq!(hash(&mine, "https://a.example").len(), 32);
    }

    #[test]
    fn the_mac_of_a_body_depends_on_account_and_key() {
        let (mine, theirs) = (AccountId::from_random([1; 16]), AccountId::from_random([2; 16]));
        let hash =
            |fill, account, body| keys(fill).hash_request_body(account, Operation::CreateConnection, body);
        assert_eq!(hash(1, &mine, b"{}"), hash(1, &mine, b"{}"));
        for other in [hash(1, &mine, b"{} "), hash(1, &theirs, b"{}"), hash(2, &mine, b"{}")] {
            assert_ne!(hash(1, &mine, b"{}"), other);
        }
    }
}
