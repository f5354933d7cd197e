//! The operations on API keys in the random sequences.

use domain::api_key::RowMac;
use proptest::prelude::*;

use super::differential::{ACCOUNTS, Run, describe, is_done};
use super::samples;
use crate::{ApiKeyUpdate, Store};

/// An operation.
#[derive(Debug, Clone)]
pub(super) enum KeyOp {
    Insert { account: u8, is_known_hash: bool, expires_in: Option<i64> },
    Revoke { account: u8, key: usize, is_right_proof: bool },
}

pub(super) fn op() -> impl Strategy<Value = KeyOp> {
    let account = 0..ACCOUNTS;
    prop_oneof![
        2 => (account.clone(), prop::bool::weighted(0.1), prop::option::of(1..200_i64)).prop_map(
            |(account, is_known_hash, expires_in)| KeyOp::Insert { account, is_known_hash, expires_in }),
        1 => (account, 0..8_usize, any::<bool>()).prop_map(
            |(account, key, is_right_proof)| KeyOp::Revoke { account, key, is_right_proof }),
    ]
}

pub(super) async fn step(store: &dyn Store, run: &mut Run, op: &KeyOp) -> String {
    match *op {
        KeyOp::Insert { account, is_known_hash, expires_in } => {
            let id = run.account(account);
            let number = run.next();
            let mut row = samples::key_row(&id, 1);
            let mut random = [0; 32];
            random[..4].copy_from_slice(&run.round.to_be_bytes());
            random[4..8].copy_from_slice(&number.to_be_bytes());
            (row.hash.0, row.mac.0) = (random, random);
            row.key.id = domain::id::ApiKeyId::from_stored(format!("key_{}_{number}", run.round));
            row.key.created_at = samples::at(run.second);
            row.key.expires_at = expires_in.map(|seconds| samples::at(run.second + seconds));
            if let Some(known) = run.keys.first().filter(|_| is_known_hash) {
                row.hash = known.hash.clone();
            }
            // Only for an account that exists: the error of a broken reference differs between the engines.
            if store.find_account(&id).await.unwrap().is_none() {
                return "no account".to_owned();
            }
            let answer = describe(store.insert_api_key(&id, &row, &run.event(&id, None)).await);
            if is_done(&answer) {
                run.keys.push(row);
            }
            answer
        }
        KeyOp::Revoke { account, key, is_right_proof } => {
            let id = run.account(account);
            let event = run.event(&id, None);
            let Some(row) = run.keys.get(key % run.keys.len().max(1)).cloned() else {
                return "no key".to_owned();
            };
            let expected = if is_right_proof { row.mac.clone() } else { RowMac([1; 32]) };
            let mut revoked = row;
            revoked.key.revoked_at = Some(samples::at(run.second));
            let update = ApiKeyUpdate { expected, ..samples::key_update(&revoked, revoked.clone()) };
            describe(store.update_api_key(&id, update, &event).await)
        }
    }
}
