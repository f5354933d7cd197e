//! Keyed hashes and MACs. Their keys are derived, one per purpose, from the service secret.

use std::fmt::{self, Write as _};

use aws_lc_rs::{constant_time, hmac};
use domain::api_key::{ApiKey, Creator, Grant, HashedKey, PlainKey, RowMac};
use domain::audit::{AuditChain, AuditHead, Link};
use domain::id::{AccountId, ApiKeyId};
use domain::idempotency::{Operation, RequestMac};
use domain::time::Timestamp;

use crate::cipher::{Key, length_prefixed};

/// Length of a hash of an origin: 128 bits, which are enough to tell origins apart.
const ORIGIN_HASH_LEN: usize = 16;

/// The keys that are derived from one service secret, one for each purpose.
pub(crate) struct SecretKeys {
    pub(crate) api_key_hash: hmac::Key,
    pub(crate) api_key_row: hmac::Key,
    pub(crate) page_key: hmac::Key,
    pub(crate) job_page_key: hmac::Key,
    pub(crate) api_key_page_key: hmac::Key,
    pub(crate) request_body: hmac::Key,
    pub(crate) job_row: hmac::Key,
    pub(crate) audit_link: hmac::Key,
    pub(crate) audit_chain_row: hmac::Key,
    pub(crate) audit_head: hmac::Key,
    pub(crate) audit_page_key: hmac::Key,
    pub(crate) webhook_message: hmac::Key,
    pub(crate) webhook_origin: hmac::Key,
    pub(crate) endpoint_page_key: hmac::Key,
    pub(crate) delivery_page_key: hmac::Key,
    pub(crate) session_token: hmac::Key,
    pub(crate) session_row: hmac::Key,
    pub(crate) form_token: hmac::Key,
    pub(crate) form_request: hmac::Key,
    pub(crate) authorization_page_key: hmac::Key,
    pub(crate) browser_token: hmac::Key,
    pub(crate) sign_in_state: hmac::Key,
}

impl SecretKeys {
    pub(crate) fn derive(secret: &Key) -> Self {
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
}

/// Chooses the key of a purpose.
pub(crate) type KeyOf = fn(&SecretKeys) -> &hmac::Key;

/// Keys shared by all nodes of a service. A rotation of the keyring does not change them; replacing the service secret does.
///
/// The current secret signs. While it is replaced, a second one verifies everything too. A retired one verifies no row: it finds
/// API keys, and verifies audit links, exported heads, and what only someone with a random token can present.
pub struct ServiceKeys {
    pub(crate) current: SecretKeys,
    second: Option<SecretKeys>,
    retired: Vec<SecretKeys>,
}

impl ServiceKeys {
    pub(crate) fn new(current: &Key, second: Option<&Key>, retired: &[Key]) -> Self {
        Self {
            current: SecretKeys::derive(current),
            second: second.map(SecretKeys::derive),
            retired: retired.iter().map(SecretKeys::derive).collect(),
        }
    }

    /// Those that verify rows, the current ones first.
    fn of_rows(&self) -> impl Iterator<Item = &SecretKeys> {
        std::iter::once(&self.current).chain(&self.second)
    }

    /// All, the current ones first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &SecretKeys> {
        self.of_rows().chain(&self.retired)
    }

    pub(crate) fn sign(&self, key: KeyOf, message: &[u8]) -> [u8; 32] {
        sign(key(&self.current), message)
    }

    /// What each secret signs the message with, the current one first.
    pub(crate) fn signatures(&self, key: KeyOf, message: &[u8]) -> Vec<[u8; 32]> {
        self.all().map(|keys| sign(key(keys), message)).collect()
    }

    /// Whether this service wrote a row.
    pub(crate) fn verify_row(&self, key: KeyOf, message: &[u8], mac: &[u8]) -> bool {
        self.of_rows().any(|keys| is_equal(&sign(key(keys), message), mac))
    }

    /// Whether this service has ever signed the message.
    pub(crate) fn verify(&self, key: KeyOf, message: &[u8], mac: &[u8]) -> bool {
        self.all().any(|keys| is_equal(&sign(key(keys), message), mac))
    }

    /// The hash that a new key is stored with.
    pub fn hash_api_key(&self, key: &PlainKey) -> HashedKey {
        HashedKey(self.sign(|keys| &keys.api_key_hash, key.expose().as_bytes()))
    }

    /// The hashes that a stored key may have, that of a new one first: an older key keeps the hash that it was created with.
    pub fn hashes_of_api_key(&self, key: &PlainKey) -> Vec<HashedKey> {
        let hashes = self.signatures(|keys| &keys.api_key_hash, key.expose().as_bytes());
        hashes.into_iter().map(HashedKey).collect()
    }

    /// The MAC of a key's row: over the account, the hash, the expiry and all other columns but the last use.
    pub fn mac_api_key(&self, key: &ApiKey, hash: &HashedKey) -> RowMac {
        RowMac(self.sign(|keys| &keys.api_key_row, &api_key_row_bytes(key, hash)))
    }

    /// Whether the MAC matches the row. Without the keyring, no one can create or change a row that passes.
    pub fn verify_api_key(&self, key: &ApiKey, hash: &HashedKey, mac: &RowMac) -> bool {
        self.verify_row(|keys| &keys.api_key_row, &api_key_row_bytes(key, hash), &mac.0)
    }

    /// The MAC of a job's row, over the bytes that the store gives for it: they name the account and the job.
    pub fn mac_job(&self, row: &[u8]) -> [u8; 32] {
        self.sign(|keys| &keys.job_row, row)
    }

    /// Whether this service wrote the row of a job.
    pub fn verify_job(&self, row: &[u8], mac: &[u8]) -> bool {
        self.verify_row(|keys| &keys.job_row, row, mac)
    }

    /// The MAC of an event's message to webhook endpoints: its `webhook-id`, its type and its body.
    pub fn mac_webhook_message(&self, account: &AccountId, message: [&str; 3]) -> [u8; 32] {
        self.sign(|keys| &keys.webhook_message, &webhook_message_bytes(account, message))
    }

    /// Whether this service wrote the message.
    pub fn verify_webhook_message(&self, account: &AccountId, message: [&str; 3], mac: &[u8]) -> bool {
        self.verify_row(|keys| &keys.webhook_message, &webhook_message_bytes(account, message), mac)
    }

    /// A keyed hash of the origin of a job's own webhook, in hexadecimal digits: it groups deliveries and reveals nothing.
    pub fn hash_webhook_origin(&self, account: &AccountId, origin: &str) -> String {
        let message = length_prefixed(&[account.as_str().as_bytes(), origin.as_bytes()]);
        let hash = self.sign(|keys| &keys.webhook_origin, &message);
        hex(hash.get(..ORIGIN_HASH_LEN).unwrap_or(&hash))
    }

    /// The link of the event with these canonical bytes at a position of an account's chain.
    pub fn link_audit_event(
        &self,
        account: &AccountId,
        position: u64,
        previous: &Link,
        event: &[u8],
    ) -> Link {
        Link(self.sign(|keys| &keys.audit_link, &audit_link_bytes(account, position, previous, event)))
    }

    /// Whether this is the link of the event, also from before a replacement of the secret: a chain is not linked again, because
    /// the links after it, and the chain's row, hold it in place.
    pub fn verify_audit_link(
        &self,
        account: &AccountId,
        position: u64,
        (previous, event): (&Link, &[u8]),
        link: &Link,
    ) -> bool {
        self.verify(|keys| &keys.audit_link, &audit_link_bytes(account, position, previous, event), &link.0)
    }

    /// The MAC of a chain's row.
    pub fn mac_audit_chain(&self, chain: &AuditChain) -> [u8; 32] {
        self.sign(|keys| &keys.audit_chain_row, &chain.canonical_bytes())
    }

    /// Whether this service wrote the row of a chain.
    pub fn verify_audit_chain(&self, chain: &AuditChain) -> bool {
        self.verify_row(|keys| &keys.audit_chain_row, &chain.canonical_bytes(), &chain.row_mac)
    }

    /// The signature of an exported head. Only a service with the same service secrets can make or verify it.
    pub fn sign_audit_head(&self, head: &AuditHead) -> [u8; 32] {
        self.sign(|keys| &keys.audit_head, &head.canonical_bytes())
    }

    /// Whether this service signed the head.
    pub fn verify_audit_head(&self, head: &AuditHead, signature: &[u8]) -> bool {
        self.verify(|keys| &keys.audit_head, &head.canonical_bytes(), signature)
    }

    /// The MACs that the body of a repeated request may have, that of a new request first. They recognise it without storing the
    /// body: bodies contain secrets.
    pub fn hash_request_body(
        &self,
        account: &AccountId,
        operation: Operation,
        body: &[u8],
    ) -> Vec<RequestMac> {
        let parts = [account.as_str().as_bytes(), operation.as_str().as_bytes(), body];
        let macs = self.signatures(|keys| &keys.request_body, &length_prefixed(&parts));
        macs.into_iter().map(RequestMac).collect()
    }
}

fn webhook_message_bytes(account: &AccountId, message: [&str; 3]) -> Vec<u8> {
    let [event_id, event_type, body] = message.map(str::as_bytes);
    length_prefixed(&[account.as_str().as_bytes(), event_id, event_type, body])
}

fn audit_link_bytes(account: &AccountId, position: u64, previous: &Link, event: &[u8]) -> Vec<u8> {
    length_prefixed(&[account.as_str().as_bytes(), &position.to_be_bytes(), &previous.0, event])
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

/// In constant time.
pub(crate) fn is_equal(one: &[u8], other: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(one, other).is_ok()
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

    fn secret(fill: u8) -> Key {
        Key::random(&Randomness::from_fn(move |bytes| bytes.fill(fill)))
    }

    fn keys(fill: u8) -> ServiceKeys {
        ServiceKeys::new(&secret(fill), None, &[])
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

    /// Whether each kind of thing that the first keys have signed or hashed is accepted by the others.
    fn accepted(by: &ServiceKeys, from: &ServiceKeys) -> (Vec<bool>, Vec<bool>) {
        let account = AccountId::from_random([1; 16]);
        let message = ["msg_1", "upload.failed", "{}"];
        let chain = AuditChain::empty(account.clone(), Timestamp::from_micros(1));
        let chain = AuditChain { row_mac: from.mac_audit_chain(&chain).to_vec(), ..chain };
        let rows = vec![
            by.verify_job(b"row", &from.mac_job(b"row")),
            by.verify_webhook_message(&account, message, &from.mac_webhook_message(&account, message)),
            by.verify_audit_chain(&chain),
        ];
        let plain = PlainKey::from_random([3; 32]);
        let start = Link([0; 32]);
        let link = from.link_audit_event(&account, 1, &start, b"event");
        let body = |keys: &ServiceKeys| keys.hash_request_body(&account, Operation::CreateConnection, b"{}");
        let others = vec![
            by.hashes_of_api_key(&plain).contains(&from.hash_api_key(&plain)),
            by.verify_audit_link(&account, 1, (&start, b"event"), &link),
            body(by).contains(&body(from)[0]),
            by.verify_form_token("cookie", &from.form_token("cookie")),
            by.verify_sign_in_state("cookie", &from.sign_in_state("cookie")),
        ];
        (rows, others)
    }

    #[test]
    fn the_second_secret_verifies_everything_and_a_retired_one_no_row() {
        let (old, new, both, retired) = (
            keys(1),
            keys(2),
            ServiceKeys::new(&secret(2), Some(&secret(1)), &[]),
            ServiceKeys::new(&secret(2), None, &[secret(1)]),
        );
        let (all_rows, all_others) = (vec![true; 3], vec![true; 5]);
        for (by, from, rows, others) in [
            (&old, &old, true, true),
            (&new, &old, false, false),
            (&both, &old, true, true),
            (&both, &new, true, true),
            (&retired, &old, false, true),
            (&retired, &new, true, true),
            (&new, &both, true, true),
            (&new, &retired, true, true),
        ] {
            let expected = (all_rows.iter().map(|_| rows), all_others.iter().map(|_| others));
            assert_eq!(accepted(by, from), (expected.0.collect(), expected.1.collect()));
        }
    }
}
