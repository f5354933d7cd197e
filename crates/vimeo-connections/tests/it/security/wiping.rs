//! Deleted secrets are gone: every file is searched, byte by byte, for what could decrypt them.

use std::fs;
use std::path::Path;
use std::time::Instant;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

use crate::support::bulk_fixtures::{create_all, secret, send_all};
use crate::support::canaries::files;
use crate::support::create_load::CreateLoad;
use crate::support::harness::{COLLECTION, Service, TestEnv, until};
use crate::support::tools::print_numbers;

/// This many equal bytes in a row are not a coincidence.
const PIECE: usize = 16;
/// The bytes of a wrapped key before its tag: the nonce and the encrypted key.
const NONCE_AND_KEY: usize = 12 + 32;
/// Without trace lines of ten thousand requests, but with the line that reports the address.
const QUIET: [(&str, &str); 1] = [("VIMEO_CONNECTIONS_LOG__LEVEL", "info")];

/// The needles of the search: every fragment of every secret, by kind of secret.
struct Needles {
    /// Whether any fragment starts with these three bytes, which excludes most positions.
    heads: Vec<bool>,
    pieces: HashMap<[u8; PIECE], (&'static str, usize)>,
}

impl Needles {
    fn new() -> Self {
        Self { heads: vec![false; 1 << 24], pieces: HashMap::new() }
    }

    fn add(&mut self, kind: &'static str, number: usize, secret: &[u8]) {
        for piece in secret.windows(PIECE) {
            self.heads[head(piece)] = true;
            self.pieces.insert(piece.try_into().unwrap(), (kind, number));
        }
    }

    /// For each kind, how many secrets have a fragment in these bytes.
    fn in_bytes(&self, bytes: &[u8]) -> BTreeMap<&'static str, usize> {
        let mut found = std::collections::BTreeSet::new();
        for piece in bytes.windows(PIECE) {
            if self.heads[head(piece)]
                && let Some(secret) = self.pieces.get(piece)
            {
                found.insert(*secret);
            }
        }
        found.into_iter().fold(BTreeMap::new(), |mut counts, (kind, _)| {
            *counts.entry(kind).or_default() += 1;
            counts
        })
    }

    /// The same over all files of a directory.
    fn in_files(&self, directory: &Path) -> BTreeMap<&'static str, usize> {
        // A file may disappear meanwhile: the WAL, when the service ends.
        let bytes: Vec<u8> =
            files(directory).iter().flat_map(|file| fs::read(file).unwrap_or_default()).collect();
        self.in_bytes(&bytes)
    }
}

fn head(piece: &[u8]) -> usize {
    usize::from(piece[0]) << 16 | usize::from(piece[1]) << 8 | usize::from(piece[2])
}

/// A key in the sealed format, decrypted here by an independent implementation.
struct Key([u8; 32]);

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

impl Key {
    fn derive(&self, purpose: &str) -> Self {
        let info = format!("vimeo-connections/seal/1/{purpose}");
        let prk = Salt::new(HKDF_SHA256, &[]).extract(&self.0);
        let mut derived = [0; 32];
        prk.expand(&[info.as_bytes()], Length).unwrap().fill(&mut derived).unwrap();
        Self(derived)
    }

    fn unwrap(&self, parts: [&str; 3], version: u64, wrapped: &[u8]) -> Self {
        let parts = ["vimeo-connections/seal/1"].into_iter().chain(parts).map(str::as_bytes);
        let version = version.to_be_bytes();
        let bound: Vec<u8> = parts
            .chain([version.as_slice()])
            .flat_map(|part| [&u32::try_from(part.len()).unwrap().to_be_bytes(), part].concat())
            .collect();
        let (nonce, body) = wrapped.split_at(12);
        let nonce = Nonce::try_assume_unique_for_key(nonce).unwrap();
        let mut body = body.to_vec();
        let cipher = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.0).unwrap());
        Self(cipher.open_in_place(nonce, Aad::from(bound), &mut body).unwrap().try_into().unwrap())
    }
}

/// The key of the only account, decrypted with the keyring file.
fn account_key(env: &TestEnv, database: &Connection) -> (String, Key) {
    let keyring: toml::Table =
        fs::read_to_string(env.path().join("vimeo-connections.keyring")).unwrap().parse().unwrap();
    let query = "SELECT account_id, keyring_key_id, wrapped_key FROM accounts";
    let (account, keyring_key, wrapped): (String, String, Vec<u8>) =
        database.query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
    let key = STANDARD.decode(keyring["keys"][&keyring_key].as_str().unwrap()).unwrap();
    let wrapping = Key(key.try_into().unwrap()).derive("keyring-wrap/1");
    let key = wrapping.unwrap(["account-key", &account, &keyring_key], 0, &wrapped);
    (account, key)
}

/// The secrets of these connections, and everything that could decrypt them.
fn needles(env: &TestEnv, affected: &[(usize, String)]) -> Needles {
    let database = env.database();
    let (account, account_key) = account_key(env, &database);
    let query = "SELECT sealed_version, wrapped_key FROM connections JOIN sealing_keys USING (sealing_key_id)
                 WHERE connection_id = ?1";
    let mut statement = database.prepare(query).unwrap();
    let mut needles = Needles::new();
    for (number, id) in affected {
        let (version, wrapped): (u64, Vec<u8>) =
            statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(wrapped.len(), 60);
        needles.add("wrapped", *number, &wrapped[..NONCE_AND_KEY]);
        needles.add(
            "unwrapped",
            *number,
            &account_key.unwrap(["sealing-key", &account, id], version, &wrapped).0,
        );
        for kind in ["cs", "at"] {
            needles.add("plain", *number, secret(kind, *number).as_bytes());
        }
    }
    needles
}

/// An environment with a quiet log and this many connections.
async fn env_with_accounts(count: usize) -> (TestEnv, Vec<String>) {
    let mut env = TestEnv::without_verification("").await;
    assert_eq!(env.service.terminate(), Some(0));
    env.service = Service::start_with(env.path(), &QUIET);
    let ids = create_all(&env, count).await;
    (env, ids)
}

/// The number of connections that decrypt, which must be all.
fn opened(env: &TestEnv) -> u64 {
    let checked = env.cli(&["connections", "check", "--json"], "");
    let report: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(report["broken"], json!([]));
    report["opened"].as_u64().unwrap()
}

/// Deletes some connections, and replaces the credentials of others.
async fn delete_and_replace(env: &TestEnv, deleted: &[(usize, String)], replaced: &[(usize, String)]) {
    let (gone, changed) = (deleted.to_vec(), replaced.to_vec());
    let deletions = send_all(env, deleted.len(), 204, move |at| {
        (Method::DELETE, format!("{COLLECTION}/{}", gone[at].1), Value::Null)
    });
    let replacements = send_all(env, replaced.len(), 200, move |at| {
        let (number, id) = &changed[at];
        let body = json!({
            "version": 1,
            "clientSecret": secret("new-cs", *number),
            "accessToken": secret("new-at", *number),
        });
        (Method::PUT, format!("{COLLECTION}/{id}"), body)
    });
    tokio::join!(deletions, replacements);
}

#[test]
fn the_search_finds_every_fragment() {
    let (one, other) = (secret("cs", 1), secret("cs", 2));
    let mut needles = Needles::new();
    needles.add("plain", 1, one.as_bytes());
    needles.add("plain", 2, other.as_bytes());
    for at in 0..=one.len() - PIECE {
        let planted = ["some bytes", &one[at..at + PIECE], "and more"].concat();
        assert_eq!(needles.in_bytes(planted.as_bytes()), BTreeMap::from([("plain", 1)]), "{at}");
    }
    let both = [one.as_str(), &other].concat();
    assert_eq!(needles.in_bytes(both.as_bytes()), BTreeMap::from([("plain", 2)]));
    assert!(needles.in_bytes(&one.as_bytes()[..PIECE - 1]).is_empty());
    assert!(needles.in_bytes(secret("cs", 3).as_bytes()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_and_replaced_secrets_disappear_from_all_files() {
    const COUNT: usize = 10_000;
    let started = Instant::now();
    let (mut env, ids) = env_with_accounts(COUNT).await;
    print_numbers(&format!("created {COUNT} after {:?}", started.elapsed()));
    let numbered: Vec<(usize, String)> = ids.into_iter().enumerate().collect();
    let every = |rest: usize, most: usize| -> Vec<_> {
        numbered.iter().filter(|(number, _)| number % 4 == rest).take(most).cloned().collect()
    };
    let (deleted, replaced) = (every(0, COUNT), every(1, 300));
    let affected = [deleted.clone(), replaced.clone()].concat();
    let mut needles = needles(&env, &affected);
    for (number, _) in &replaced {
        for kind in ["new-cs", "new-at"] {
            needles.add("plain", *number, secret(kind, *number).as_bytes());
        }
    }
    let data = env.path().join("data");
    let before = needles.in_files(&data);
    assert_eq!(before, BTreeMap::from([("wrapped", affected.len())]), "exactly the stored secrets are found");

    let others = CreateLoad::start(&env, "more", 4, usize::MAX);
    delete_and_replace(&env, &deleted, &replaced).await;
    let acknowledged = Instant::now();
    print_numbers(&format!(
        "deleted {} and replaced {} after {:?}",
        deleted.len(),
        replaced.len(),
        started.elapsed()
    ));
    // No more writes: the WAL must be truncated, not merely overwritten.
    let (made, refused) = others.finish().await;
    assert!(!made.is_empty() && refused.is_empty(), "{refused:?}");
    until("no file has a fragment of them", async || needles.in_files(&data).is_empty()).await;
    print_numbers(&format!(
        "in no file {:?} after the last response, including the search",
        acknowledged.elapsed()
    ));
    assert!(needles.in_files(&data).is_empty());
    env.service.kill();
    assert!(needles.in_files(&data).is_empty(), "nor after the shutdown");
    assert!(needles.in_bytes(env.log().as_bytes()).is_empty());

    env.service = Service::start_with(env.path(), &QUIET);
    assert_eq!(opened(&env), (COUNT - deleted.len() + made.len()) as u64);
    assert!(needles.in_files(&data).is_empty(), "nor after another start");
    print_numbers(&format!(
        "{} others were created meanwhile; all after {:?}",
        made.len(),
        started.elapsed()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_start_wipes_the_wal_that_a_kill_left() {
    let (mut env, ids) = env_with_accounts(400).await;
    let affected: Vec<(usize, String)> = ids.into_iter().enumerate().step_by(2).collect();
    let (deleted, replaced) = affected.split_at(150);
    let needles = needles(&env, &affected);
    let data = env.path().join("data");
    // A reader prevents the truncation of the WAL, and keeps it after the service has ended.
    let reader = env.database();
    reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM connections").unwrap();
    delete_and_replace(&env, deleted, replaced).await;
    env.service.kill();
    drop(reader);
    assert_eq!(needles.in_files(&data), BTreeMap::from([("wrapped", affected.len())]), "the WAL has them");

    env.service = Service::start_with(env.path(), &QUIET);
    until("no file has a fragment of them", async || needles.in_files(&data).is_empty()).await;
    assert_eq!(opened(&env), 400 - 150);
    // Without a reader: a kill right away, whatever the WAL holds then.
    let rest = send_all(&env, 20, 201, {
        let good = env.valid_body("x");
        move |number| {
            let mut body = good.clone();
            body["name"] = json!(format!("late {number}"));
            (Method::POST, COLLECTION.to_owned(), body)
        }
    });
    let rest: Vec<_> =
        rest.await.iter().map(|made| (0, made["connectionId"].as_str().unwrap().to_owned())).collect();
    let needles = self::needles(&env, &rest);
    delete_and_replace(&env, &rest, &[]).await;
    env.service.kill();
    env.service = Service::start_with(env.path(), &QUIET);
    until("no file has a fragment of them", async || needles.in_files(&data).is_empty()).await;
    assert_eq!(opened(&env), 400 - 150);
}

/// After a command that was killed between its commit and its truncation, or that a reader prevented from truncating.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_truncates_a_wal_left_by_another_process() {
    let (env, ids) = env_with_accounts(20).await;
    let affected: Vec<_> = ids.into_iter().enumerate().collect();
    let needles = needles(&env, &affected);
    assert_eq!(needles.in_files(&env.path().join("data"))["wrapped"], 20);
    let beside = env.database();
    beside.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
    beside
        .execute_batch(
            "BEGIN; UPDATE sealing_keys SET wrapped_key = zeroblob(60); DELETE FROM connections; COMMIT",
        )
        .unwrap();
    until("no file has them", async || needles.in_files(&env.path().join("data")).is_empty()).await;
}
