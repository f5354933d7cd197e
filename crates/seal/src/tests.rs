//! The properties of sealing, and the frozen vectors: old bytes must stay readable.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::account::AccountKeys;
use domain::account::Label;
use domain::api_key::{ApiKey, Creator, Grant, PlainKey};
use domain::audit::{AuditChain, AuditHead, AuditRecord, Link};
use domain::connection::{AccessToken, Availability, ClientSecret, SecretCredentials};
use domain::id::{AccountId, ApiKeyId, AuditEventId, ConnectionId};
use domain::scope::{Scope, Scopes};
use domain::secret::{KeyringWrapped, Sealed, SealedCredentials, WRAPPED_KEY_LEN, WrappedKey};
use domain::service_secrets::ServiceSecrets;
use domain::time::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::envelope::{AccountKey, AssociatedData, Purpose};
use crate::keyring::Keyring;
use crate::service::ServiceKeys;
use crate::{CryptoError, Randomness};

const VECTORS: &str = include_str!("../tests/vectors.json");

fn secrets(client_secret: &str, access_token: &str) -> SecretCredentials {
    SecretCredentials {
        client_secret: ClientSecret::parse(client_secret).unwrap(),
        access_token: AccessToken::parse(access_token).unwrap(),
    }
}

fn connection(tail: &str) -> ConnectionId {
    ConnectionId::from_stored(format!("20260131090500042{tail:0>15}"))
}

fn account_key(keyring: &Keyring, account: &AccountId) -> AccountKey {
    let wrapped = keyring.new_account_key(account, keyring.primary_id(), &Randomness::system()).unwrap();
    keyring.open_account_key(account, &AccountKeys::of(wrapped)).unwrap()
}

fn open(
    key: &AccountKey,
    id: &ConnectionId,
    version: u64,
    sealed: &SealedCredentials,
) -> Result<(String, String), CryptoError> {
    let opened =
        key.open_credentials(AssociatedData::of_credentials(id, version, Availability::Enabled), sealed)?;
    Ok((opened.client_secret.expose().to_owned(), opened.access_token.expose().to_owned()))
}

fn seal_one() -> (AccountKey, AccountKey, ConnectionId, SealedCredentials) {
    let keyring = Keyring::generate(&Randomness::system());
    let account = AccountId::from_random([1; 16]);
    let mine = account_key(&keyring, &account);
    let (other, id) = (account_key(&keyring, &AccountId::from_random([2; 16])), connection("a"));
    let sealed = mine
        .seal_credentials(
            AssociatedData::of_credentials(&id, 3, Availability::Enabled),
            &secrets("s3cret+/=", "t0ken"),
            &Randomness::system(),
        )
        .unwrap();
    (mine, other, id, sealed)
}

fn service_keys(keyring: &Keyring) -> ServiceKeys {
    let secret = keyring.new_service_secret(keyring.primary_id(), &Randomness::system()).unwrap();
    keyring.open_service_secrets(&ServiceSecrets::of(secret)).unwrap()
}

#[test]
fn an_envelope_can_be_decrypted_only_where_it_was_sealed() {
    let (mine, other, id, sealed) = seal_one();
    assert_eq!(open(&mine, &id, 3, &sealed), Ok(("s3cret+/=".to_owned(), "t0ken".to_owned())));
    assert_eq!(open(&mine, &connection("b"), 3, &sealed), Err(CryptoError::Decrypt), "another row");
    assert_eq!(open(&mine, &id, 4, &sealed), Err(CryptoError::Decrypt), "another version");
    assert_eq!(open(&other, &id, 3, &sealed), Err(CryptoError::Decrypt), "another account");
    let (_, _, _, stranger) = seal_one();
    let mixed = SealedCredentials { sealing_key: stranger.sealing_key, ..sealed };
    assert_eq!(open(&mine, &id, 3, &mixed), Err(CryptoError::Decrypt), "another sealing's key");
}

#[test]
fn a_flipped_bit_of_an_envelope_or_its_key_is_detected() {
    let (mine, _, id, sealed) = seal_one();
    for bit in 0..sealed.envelope.len() * 8 {
        let mut flipped = sealed.clone();
        flipped.envelope[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&mine, &id, 3, &flipped), Err(CryptoError::Decrypt), "bit {bit} of the envelope");
    }
    for bit in 0..WRAPPED_KEY_LEN * 8 {
        let mut flipped = sealed.clone();
        flipped.sealing_key.0[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(open(&mine, &id, 3, &flipped), Err(CryptoError::Decrypt), "bit {bit} of the sealing key");
    }
    for length in 0..sealed.envelope.len() {
        let mut cut = sealed.clone();
        cut.envelope.truncate(length);
        assert_eq!(open(&mine, &id, 3, &cut), Err(CryptoError::Decrypt), "cut to {length} bytes");
    }
    let wiped = SealedCredentials { sealing_key: WrappedKey([0; WRAPPED_KEY_LEN]), ..sealed };
    assert_eq!(open(&mine, &id, 3, &wiped), Err(CryptoError::Decrypt), "a wiped sealing key");
}

#[test]
fn two_sealings_of_the_same_secrets_share_no_bytes() {
    let (_, _, _, one) = seal_one();
    let (_, _, _, two) = seal_one();
    assert_ne!(one.envelope, two.envelope);
    assert_ne!(one.sealing_key, two.sealing_key);
}

proptest! {
    #[test]
    fn sealed_credentials_can_be_decrypted(secret in "[!-~]{1,500}", token in "[!-~]{1,500}", version in 1..u64::MAX) {
        let keyring = Keyring::generate(&Randomness::system());
        let key = account_key(&keyring, &AccountId::from_random([1; 16]));
        let id = connection("p");
        let data = AssociatedData::of_credentials(&id, version, Availability::Enabled);
        let sealed = key.seal_credentials(data, &secrets(&secret, &token), &Randomness::system()).unwrap();
        prop_assert!(!sealed.envelope.windows(secret.len().max(8)).any(|w| w == secret.as_bytes()));
        prop_assert_eq!(open(&key, &id, version, &sealed), Ok((secret, token)));
    }

    #[test]
    fn random_bytes_are_rejected_without_a_panic(envelope in proptest::collection::vec(any::<u8>(), 0..300), key: [u8; 30]) {
        let (mine, _, id, _) = seal_one();
        let sealing_key = WrappedKey([key, key].concat().try_into().unwrap());
        prop_assert_eq!(open(&mine, &id, 1, &SealedCredentials { envelope, sealing_key }), Err(CryptoError::Decrypt));
    }
}

/// Counts up, so that every byte of a vector is reproducible.
fn counting() -> Randomness {
    let counter = std::sync::atomic::AtomicU8::new(1);
    Randomness::from_fn(move |bytes| {
        for byte in bytes {
            *byte = counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    })
}

fn vector_key() -> (ApiKey, PlainKey) {
    let plain = PlainKey::from_random([0x5a; 32]);
    let key = ApiKey {
        id: ApiKeyId::from_random([3; 16]),
        account_id: AccountId::from_random([1; 16]),
        name: Label::parse("vector").unwrap(),
        last_four: plain.last_four(),
        created_at: Timestamp::from_micros(1_769_850_300_042_000),
        expires_at: Some(Timestamp::from_micros(1_869_850_300_042_000)),
        revoked_at: None,
        grant: None,
        last_used_at: None,
    };
    (key, plain)
}

/// The key with scopes, created by another key and by a rotation.
fn granted(key: ApiKey) -> ApiKey {
    let scopes = [Scope::ConnectionsRead, Scope::KeysManage].into_iter().collect();
    let creator = Creator::ApiKey(ApiKeyId::from_random([4; 16]));
    let rotated_from = Some(ApiKeyId::from_random([5; 16]));
    ApiKey { grant: Some(Grant { scopes, creator, rotated_from }), ..key }
}

const PURPOSES: [(&str, Purpose); 7] = [
    ("job_request", Purpose::JobRequest),
    ("job_link", Purpose::JobLink),
    ("kept_answer", Purpose::StoredResponse),
    ("webhook_secret", Purpose::WebhookSecret),
    ("webhook_endpoint", Purpose::WebhookEndpoint),
    ("webhook_delivery", Purpose::WebhookDelivery),
    ("authorization", Purpose::Authorization),
];

fn make_vectors() -> Value {
    let randomness = counting();
    let keyring = Keyring::from_value(&STANDARD.encode([0x42; 32])).unwrap();
    let check = keyring.primary_check().unwrap();
    let account = AccountId::from_random([1; 16]);
    let account_key = keyring.new_account_key(&account, keyring.primary_id(), &randomness).unwrap();
    let id = connection("vector");
    let data = AssociatedData::of_credentials(&id, 7, Availability::Enabled);
    let opened = keyring.open_account_key(&account, &AccountKeys::of(account_key.clone())).unwrap();
    let sealed = opened
        .seal_credentials(data, &secrets("vector-client-secret", "vector-access-token"), &randomness)
        .unwrap();
    let service = keyring.new_service_secret(keyring.primary_id(), &randomness).unwrap();
    let keys = keyring.open_service_secrets(&ServiceSecrets::of(service.clone())).unwrap();
    let (key, plain) = vector_key();
    let hash = keys.hash_api_key(&plain);
    let sealed_bytes = PURPOSES.map(|(name, purpose)| {
        let data = AssociatedData { purpose, record: "vector", version: 3 };
        let sealed = opened.seal(data, b"vector-bytes", &randomness).unwrap();
        let sealed = json!([STANDARD.encode(&sealed.envelope), STANDARD.encode(sealed.sealing_key.0)]);
        (name.to_owned(), sealed)
    });
    json!({
        "format": "vimeo-connections/seal/1",
        "keyring_value": STANDARD.encode([0x42; 32]),
        "keyring_key_id": check.keyring_key.0,
        "keyring_check": STANDARD.encode(check.value),
        "account_id": account.as_str(),
        "wrapped_account_key": STANDARD.encode(account_key.wrapped.0),
        "connection_id": id.as_str(),
        "sealed_version": 7,
        "envelope": STANDARD.encode(&sealed.envelope),
        "wrapped_sealing_key": STANDARD.encode(sealed.sealing_key.0),
        "client_secret": "vector-client-secret",
        "access_token": "vector-access-token",
        "wrapped_service_secret": STANDARD.encode(service.wrapped.0),
        "api_key": plain.expose(),
        "api_key_hash": STANDARD.encode(hash.0),
        "api_key_row_mac": STANDARD.encode(keys.mac_api_key(&key, &hash).0),
        "granted_api_key_row_mac": STANDARD.encode(keys.mac_api_key(&granted(key), &hash).0),
        "sealed_bytes": serde_json::Map::from_iter(sealed_bytes),
        "audit": audit_vectors(&keys, &account),
    })
}

/// A link, the MAC of a chain's row, and the signature of a head.
fn audit_vectors(keys: &ServiceKeys, account: &AccountId) -> Value {
    let at = Timestamp::from_micros(1_769_850_300_042_000);
    let id = AuditEventId::from_stored("20260131090500042000000000vector".to_owned());
    let record = AuditRecord {
        id: id.clone(),
        account_id: account.clone(),
        at,
        actor_kind: Some("api_key".to_owned()),
        api_key_id: Some("key_vector".to_owned()),
        actor_name: Some("vector".to_owned()),
        remote: None,
        action: "update_connection".to_owned(),
        subject: Some("vector".to_owned()),
        refusal: Some("VERSION_CONFLICT".to_owned()),
    };
    let link = keys.link_audit_event(account, 1, &Link::START, &record.canonical_bytes());
    let chain = AuditChain {
        version: 2,
        position: 1,
        link,
        linked_event_id: id.clone(),
        checked_event_id: AuditEventId::first_at(at),
        ..AuditChain::empty(account.clone(), at)
    };
    let signature = keys.sign_audit_head(&chain.head(at));
    json!({
        "link": STANDARD.encode(link.0),
        "chain_row_mac": STANDARD.encode(keys.mac_audit_chain(&chain)),
        "head_signature": STANDARD.encode(signature),
    })
}

#[test]
fn a_link_depends_on_its_event_position_predecessor_account_and_service() {
    let keys = || {
        let keyring = Keyring::generate(&Randomness::system());
        service_keys(&keyring)
    };
    let (one, two) = (AccountId::from_random([1; 16]), AccountId::from_random([2; 16]));
    let (ours, previous) = (keys(), Link([1; 32]));
    let link = ours.link_audit_event(&one, 1, &previous, b"event");
    assert_eq!(link, ours.link_audit_event(&one, 1, &previous, b"event"));
    for other in [
        ours.link_audit_event(&two, 1, &previous, b"event"),
        ours.link_audit_event(&one, 2, &previous, b"event"),
        ours.link_audit_event(&one, 1, &Link::START, b"event"),
        ours.link_audit_event(&one, 1, &previous, b"Event"),
        keys().link_audit_event(&one, 1, &previous, b"event"),
    ] {
        assert_ne!(link, other);
    }
}

#[test]
fn a_modified_chain_row_or_head_does_not_verify() {
    let keyring = Keyring::generate(&Randomness::system());
    let keys = service_keys(&keyring);
    let at = Timestamp::from_micros(1_769_850_300_042_000);
    let mut chain = AuditChain { version: 1, ..AuditChain::empty(AccountId::from_random([1; 16]), at) };
    chain.row_mac = keys.mac_audit_chain(&chain).to_vec();
    assert!(keys.verify_audit_chain(&chain));
    let changes: [fn(&mut AuditChain); 10] = [
        |c| c.account_id = AccountId::from_random([2; 16]),
        |c| c.version += 1,
        |c| c.position += 1,
        |c| c.link.0[31] ^= 1,
        |c| c.linked_event_id = AuditEventId::greatest(),
        |c| c.checked_event_id = AuditEventId::greatest(),
        |c| c.deleted_position += 1,
        |c| c.deleted_link.0[0] ^= 1,
        |c| c.updated_at = c.updated_at.plus_seconds(1),
        |c| c.row_mac.truncate(31),
    ];
    for (number, change) in changes.iter().enumerate() {
        let mut forged = chain.clone();
        change(&mut forged);
        assert!(!keys.verify_audit_chain(&forged), "change {number}");
    }
    let head = chain.head(at);
    let signature = keys.sign_audit_head(&head);
    assert!(keys.verify_audit_head(&head, &signature));
    for forged in [
        AuditHead { account_id: AccountId::from_random([2; 16]), ..head.clone() },
        AuditHead { position: 1, ..head.clone() },
        AuditHead { link: Link([1; 32]), ..head.clone() },
        AuditHead { at: at.plus_seconds(1), ..head.clone() },
    ] {
        assert!(!keys.verify_audit_head(&forged, &signature), "{forged:?}");
    }
    assert!(!keys.verify_audit_head(&head, &signature[..31]));
}

#[test]
fn the_same_randomness_produces_the_frozen_bytes() {
    let made = make_vectors();
    assert_eq!(made, serde_json::from_str::<Value>(VECTORS).unwrap(), "{made:#}");
}

#[test]
fn the_frozen_bytes_can_be_decrypted() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let text = |name: &str| vectors[name].as_str().unwrap().to_owned();
    let bytes = |name: &str| STANDARD.decode(text(name)).unwrap();
    let keyring = Keyring::from_value(&text("keyring_value")).unwrap();
    assert_eq!(keyring.primary_id().0, text("keyring_key_id"));
    let wrapped = |name: &str| KeyringWrapped {
        keyring_key: keyring.primary_id().clone(),
        wrapped: WrappedKey(bytes(name).try_into().unwrap()),
    };
    let account = AccountId::from_stored(text("account_id"));
    let key = keyring.open_account_key(&account, &AccountKeys::of(wrapped("wrapped_account_key"))).unwrap();
    let sealed = SealedCredentials {
        envelope: bytes("envelope"),
        sealing_key: WrappedKey(bytes("wrapped_sealing_key").try_into().unwrap()),
    };
    let id = ConnectionId::from_stored(text("connection_id"));
    let version = vectors["sealed_version"].as_u64().unwrap();
    assert_eq!(open(&key, &id, version, &sealed), Ok((text("client_secret"), text("access_token"))));
    for (name, purpose) in PURPOSES {
        let part =
            |place: usize| STANDARD.decode(vectors["sealed_bytes"][name][place].as_str().unwrap()).unwrap();
        let sealed = Sealed { envelope: part(0), sealing_key: WrappedKey(part(1).try_into().unwrap()) };
        let data = AssociatedData { purpose, record: "vector", version: 3 };
        assert_eq!(key.open(data, &sealed).unwrap().as_slice(), b"vector-bytes", "{name}");
    }
    let service = ServiceSecrets::of(wrapped("wrapped_service_secret"));
    let service = keyring.open_service_secrets(&service).unwrap();
    let plain = PlainKey::parse(&text("api_key")).unwrap();
    assert_eq!(service.hash_api_key(&plain).0.to_vec(), bytes("api_key_hash"));
}

#[test]
fn a_modified_api_key_row_does_not_verify() {
    let keyring = Keyring::generate(&Randomness::system());
    let service = service_keys(&keyring);
    let (key, plain) = vector_key();
    let hash = service.hash_api_key(&plain);
    let other = service.hash_api_key(&PlainKey::from_random([1; 32]));
    let changes: [fn(&mut ApiKey); 9] = [
        |k| k.account_id = AccountId::from_random([9; 16]),
        |k| k.expires_at = None,
        |k| k.revoked_at = Some(Timestamp::from_micros(1)),
        |k| k.name = Label::parse("other").unwrap(),
        |k| k.id = ApiKeyId::from_random([9; 16]),
        |k| {
            let (scopes, creator) = (Scopes::ALL, Creator::Operator);
            k.grant = Some(Grant { scopes, creator, rotated_from: None });
        },
        |k| k.grant = k.grant.take().map(|grant| Grant { scopes: Scopes::ALL, ..grant }),
        |k| k.grant = k.grant.take().map(|grant| Grant { creator: Creator::Operator, ..grant }),
        |k| k.grant = k.grant.take().map(|grant| Grant { rotated_from: None, ..grant }),
    ];
    for key in [granted(key.clone()), key] {
        let mac = service.mac_api_key(&key, &hash);
        assert!(service.verify_api_key(&key, &hash, &mac));
        assert!(!service.verify_api_key(&key, &other, &mac), "another key's hash");
        for (number, change) in changes.iter().enumerate() {
            let mut forged = key.clone();
            change(&mut forged);
            assert_eq!(service.verify_api_key(&forged, &hash, &mac), forged == key, "change {number}");
        }
        let ungranted = ApiKey { grant: None, ..key.clone() };
        assert_eq!(
            service.verify_api_key(&ungranted, &hash, &mac),
            key.grant.is_none(),
            "without its scopes"
        );
        let used = ApiKey { last_used_at: Some(Timestamp::from_micros(1)), ..key };
        assert!(service.verify_api_key(&used, &hash, &mac), "the last use is not covered");
    }
}
