//! The order in which due jobs are started: fair between accounts, and between the connections of an account.

use std::collections::HashMap;

use domain::id::{AccountId, ConnectionId};

use crate::{DueJob, DueLimits};

/// A due job before the jobs of all accounts are ordered: what that needs to know of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) job: DueJob,
    pub(crate) is_queued: bool,
    pub(crate) due_at: i64,
}

/// How many jobs of a connection are running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Running {
    pub(crate) account_id: AccountId,
    pub(crate) connection_id: ConnectionId,
    pub(crate) count: u32,
}

/// Orders due jobs fairly: of each account one job, then of each the next one, and so on, where those that run count as the
/// first of their account. In an account started jobs come before queued ones, and connections take turns. Jobs that the
/// limits forbid are left out.
pub(crate) fn order_due(
    mut candidates: Vec<Candidate>,
    running: &[Running],
    limits: &DueLimits,
) -> Vec<DueJob> {
    let mut accounts: HashMap<AccountId, u32> = HashMap::new();
    let mut connections: HashMap<(AccountId, ConnectionId), u32> = HashMap::new();
    for Running { account_id, connection_id, count } in running {
        *accounts.entry(account_id.clone()).or_default() += count;
        *connections.entry((account_id.clone(), connection_id.clone())).or_default() += count;
    }
    // In each connection: started jobs first, then by the time at which they are due.
    candidates.sort_by(|a, b| (a.is_queued, a.due_at, &a.job.id).cmp(&(b.is_queued, b.due_at, &b.job.id)));
    let mut placed = Vec::with_capacity(candidates.len());
    let mut counted: HashMap<(AccountId, ConnectionId), u32> = HashMap::new();
    for candidate in candidates {
        let key = (candidate.job.account_id.clone(), candidate.job.connection_id.clone());
        let place = counted.entry(key.clone()).or_default();
        *place += 1;
        let is_allowed = *place + connections.get(&key).copied().unwrap_or(0) <= limits.per_connection;
        if is_allowed {
            placed.push((*place, candidate));
        }
    }
    placed.sort_by(|(a_place, a), (b_place, b)| {
        let key = |place: u32, candidate: &Candidate| (candidate.is_queued, place, candidate.due_at);
        key(*a_place, a).cmp(&key(*b_place, b)).then_with(|| a.job.id.cmp(&b.job.id))
    });
    let mut turns = Vec::with_capacity(placed.len());
    for (_, candidate) in placed {
        let turn = accounts.entry(candidate.job.account_id.clone()).or_default();
        *turn += 1;
        if *turn <= limits.per_account {
            turns.push((*turn, candidate));
        }
    }
    turns.sort_by(|(a_turn, a), (b_turn, b)| {
        (a_turn, a.due_at, &a.job.account_id).cmp(&(b_turn, b.due_at, &b.job.account_id))
    });
    turns.truncate(limits.total as usize);
    turns.into_iter().map(|(_, candidate)| candidate.job).collect()
}

#[cfg(test)]
mod tests {
    use domain::job::JobId;

    use super::*;
    use crate::contract::job_samples::{connection_id, job_id};
    use crate::contract::samples::account;

    const NO_LIMITS: DueLimits = DueLimits { total: 100, per_account: 100, per_connection: 100 };

    fn candidate(
        account_number: u8,
        connection: u32,
        number: u32,
        is_queued: bool,
        due_at: i64,
    ) -> Candidate {
        let job = DueJob {
            account_id: account(account_number).id,
            id: job_id(number),
            connection_id: connection_id(connection),
            fence: 0,
        };
        Candidate { job, is_queued, due_at }
    }

    fn running(account_number: u8, connection: u32, count: u32) -> Running {
        let account_id = account(account_number).id;
        Running { account_id, connection_id: connection_id(connection), count }
    }

    fn ordered(candidates: Vec<Candidate>, running: &[Running], limits: DueLimits) -> Vec<JobId> {
        order_due(candidates, running, &limits).into_iter().map(|due| due.id).collect()
    }

    fn ids(numbers: &[u32]) -> Vec<JobId> {
        numbers.iter().map(|number| job_id(*number)).collect()
    }

    #[test]
    fn accounts_take_turns() {
        let due = vec![
            candidate(1, 1, 1, true, 1),
            candidate(1, 1, 2, true, 2),
            candidate(1, 1, 3, true, 3),
            candidate(2, 1, 4, true, 9),
        ];
        assert_eq!(ordered(due, &[], NO_LIMITS), ids(&[1, 4, 2, 3]));
    }

    #[test]
    fn an_account_with_running_jobs_waits_for_its_turn() {
        let due = vec![candidate(1, 1, 1, true, 1), candidate(2, 1, 2, true, 9)];
        assert_eq!(ordered(due, &[running(1, 1, 1)], NO_LIMITS), ids(&[2, 1]));
    }

    #[test]
    fn connections_of_an_account_take_turns() {
        let due = vec![candidate(1, 1, 1, true, 1), candidate(1, 1, 2, true, 2), candidate(1, 2, 3, true, 5)];
        assert_eq!(ordered(due, &[], NO_LIMITS), ids(&[1, 3, 2]));
    }

    #[test]
    fn started_jobs_come_before_queued_ones() {
        let due =
            vec![candidate(1, 1, 1, true, 1), candidate(1, 1, 2, false, 7), candidate(1, 2, 3, false, 6)];
        assert_eq!(ordered(due, &[], NO_LIMITS), ids(&[3, 2, 1]));
    }

    #[test]
    fn no_limit_is_exceeded() {
        let due =
            || (1..=6).map(|number| candidate(1, number % 2, number, true, i64::from(number))).collect();
        let limited = |total, per_account, per_connection| DueLimits { total, per_account, per_connection };
        assert_eq!(ordered(due(), &[], limited(2, 9, 9)), ids(&[1, 2]));
        assert_eq!(ordered(due(), &[], limited(9, 3, 9)), ids(&[1, 2, 3]));
        assert_eq!(ordered(due(), &[], limited(9, 9, 1)), ids(&[1, 2]));
        assert_eq!(ordered(due(), &[running(1, 1, 1)], limited(9, 9, 1)), ids(&[2]));
        assert_eq!(ordered(due(), &[running(1, 1, 3)], limited(9, 3, 9)), ids(&[]));
    }
}
