//! Counts of jobs.

use std::time::Duration;

use domain::job::{Cancelled, Job, JobState, WaitingFor, Webhook};

use super::TestDatabase;
use super::job_samples::{insert_job, lease, terms, update, uploading, write};
use super::samples::{at, insert_account, insert_connection};
use crate::{JobCount, JobUpdate, LeaseAfter};

/// A metric that counted ended jobs would grow forever, and one of another account is a job, too.
pub(crate) async fn open_jobs_are_counted_by_state_reason_and_lease(db: &TestDatabase) {
    let store = db.open().await;
    let accounts = [insert_account(&*store, 1).await, insert_account(&*store, 2).await];
    assert_eq!(store.count_open_jobs(at(1)).await.unwrap(), []);
    let mut created = Vec::new();
    for (number, account) in [(1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 1), (7, 1)] {
        let account = &accounts[account];
        if number == 1 || number == 6 {
            insert_connection(&*store, account, 1, "c").await.unwrap();
        }
        created.push(insert_job(&*store, account, number, 1).await.created_at);
    }
    let leased = lease(&*store, &accounts[0], 2, &terms(0, 2)).await;
    let waiting = lease(&*store, &accounts[0], 3, &terms(0, 2)).await;
    let job = Job { waiting_for: Some(WaitingFor::Vimeo), ..waiting.job };
    let released = JobUpdate {
        lease: LeaseAfter::Released,
        due_in: Some(Duration::from_mins(1)),
        ..update(job, waiting.fence, uploading(1, 1), 3)
    };
    let waiting = write(&*store, released).await;
    let ended = JobState::Cancelled(Cancelled { target: None, size: None });
    for (number, webhook) in [(4, Webhook::None), (5, Webhook::Waiting { attempts: 0 })] {
        let running = lease(&*store, &accounts[0], number, &terms(0, 3)).await;
        let is_due = webhook != Webhook::None;
        let ending = JobUpdate {
            lease: LeaseAfter::Released,
            due_in: is_due.then_some(Duration::from_secs(5)),
            ..update(Job { webhook, ..running.job }, running.fence, ended.clone(), 4)
        };
        write(&*store, ending).await;
    }
    let mut found = store.count_open_jobs(at(5)).await.unwrap();
    found.sort();
    let group = |state: &str, reason: Option<WaitingFor>, count, created, due| JobCount {
        state: state.to_owned(),
        waiting_for: reason.map(|reason| reason.as_str().to_owned()),
        is_leased: false,
        count,
        oldest_created_at: created,
        earliest_due_at: due,
    };
    let (shortest, leased_due) = (*created.iter().min().unwrap(), found[2].earliest_due_at);
    assert_eq!(
        found,
        [
            group("cancelled", None, 1, created[4], at(9)),
            group("queued", None, 3, shortest, found[1].earliest_due_at),
            JobCount { is_leased: true, ..group("queued", None, 1, leased.job.created_at, leased_due) },
            group("uploading", Some(WaitingFor::Vimeo), 1, waiting.created_at, at(63)),
        ]
    );
    let later = store.count_open_jobs(at(1_000)).await.unwrap();
    assert_eq!(later.iter().filter(|group| group.is_leased).count(), 0, "the lease has expired: {later:?}");
}
