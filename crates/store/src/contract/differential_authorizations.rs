//! The operations on authorizations in the random sequences.

use std::time::Duration;

use domain::authorization::{AuthorizationState, FailureReason};
use proptest::prelude::*;

use super::authorization_samples::{browser, connection_id, hash, new, step as step_of};
use super::differential::{ACCOUNTS, Run, describe};
use super::samples;
use crate::{AuthorizationKey, AuthorizationUpdate, Expired, Store};

/// An operation.
#[derive(Debug, Clone)]
pub(super) enum AuthorizationOp {
    Insert { account: u8, actor: Option<usize> },
    Step { account: u8, nth: usize, behind: u64, state: usize, is_audited: bool },
    Find { account: u8, number: u32 },
    ListOpen { account: u8 },
    ListOverdue,
    Sweep { seconds: u64 },
}

pub(super) fn op() -> impl Strategy<Value = AuthorizationOp> {
    let account = 0..ACCOUNTS;
    let actor = prop::option::weighted(0.2, 0..8_usize);
    let behind = prop::sample::select(vec![0_u64, 0, 0, 1]);
    prop_oneof![
        4 => (account.clone(), actor).prop_map(|(account, actor)| AuthorizationOp::Insert { account, actor }),
        6 => (account.clone(), 0..6_usize, behind, 0..6_usize, any::<bool>()).prop_map(
            |(account, nth, behind, state, is_audited)| AuthorizationOp::Step {
                account, nth, behind, state, is_audited }),
        1 => account.clone().prop_map(|account| AuthorizationOp::ListOpen { account }),
        2 => (account, 0..200_u32).prop_map(|(account, number)| AuthorizationOp::Find { account, number }),
        1 => Just(AuthorizationOp::ListOverdue),
        1 => (1..200_u64).prop_map(|seconds| AuthorizationOp::Sweep { seconds }),
    ]
}

pub(super) async fn step(store: &dyn Store, run: &mut Run, op: &AuthorizationOp) -> String {
    let now = samples::at(run.second);
    match *op {
        AuthorizationOp::Insert { account, actor } => {
            let account = run.account(account);
            let event = run.event(&account, actor);
            let mut new = new(&account, run.number);
            new.authorization.expires_at = now.plus_seconds(30);
            new.event = event;
            describe(store.insert_authorization(&account, new).await)
        }
        AuthorizationOp::Step { account, nth, behind, state, is_audited } => {
            let account = run.account(account);
            let rows = store.list_authorizations(&account, None, 100).await.unwrap();
            let event = is_audited.then(|| run.event(&account, None));
            let Some(row) = rows.get(nth % rows.len().max(1)) else { return "no authorization".to_owned() };
            let number = run.next();
            let connection_id = connection_id(number);
            let state = match state {
                0 | 1 => AuthorizationState::Started,
                2 => AuthorizationState::Exchanging { since: now, connection_id },
                3 => AuthorizationState::Completed { at: now, connection_id },
                4 => AuthorizationState::Failed { at: now, reason: FailureReason::VimeoError },
                _ => AuthorizationState::Denied { at: now },
            };
            let mut update = AuthorizationUpdate { event, ..step_of(&row.authorization, state) };
            update.expected_version -= behind.min(update.expected_version);
            update.authorization.browser = Some(browser(number));
            describe(store.update_authorization(&account, update).await)
        }
        AuthorizationOp::Find { account, number } => {
            let account = run.account(account);
            let mut found = Vec::new();
            for key in
                [AuthorizationKey::ConnectToken(hash(number)), AuthorizationKey::State(browser(number).state)]
            {
                found.push(describe(store.find_authorization(&account, &key).await));
            }
            found.join(" ")
        }
        AuthorizationOp::ListOpen { account } => {
            describe(store.list_open_authorizations(&run.account(account), now, 3).await)
        }
        AuthorizationOp::ListOverdue => {
            let mut overdue = store.list_overdue_authorizations(now, 10_000).await.unwrap();
            // Other sequences use the same database.
            overdue.retain(|overdue| (0..ACCOUNTS).any(|number| run.account(number) == overdue.account_id));
            overdue.sort_by(|a, b| (&a.account_id, &a.id).cmp(&(&b.account_id, &b.id)));
            format!("{overdue:?}")
        }
        AuthorizationOp::Sweep { seconds } => {
            let expired = Expired { kept: Duration::from_secs(seconds), limit: 10_000, now };
            describe(store.delete_ended_authorizations(&expired).await)
        }
    }
}
