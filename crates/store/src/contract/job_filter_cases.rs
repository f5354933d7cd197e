//! Jobs: the filters of the list.

use domain::job::{Job, JobPhase, JobStatus};
use domain::time::Timestamp;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

use super::TestDatabase;
use super::job_samples::{any_job, connection_id, job_id, new_job};
use super::samples::{insert_account, insert_connection};
use crate::{JobFilter, StatusCounts, Store};

/// The statements repeat the rule of `Job::status` in SQL.
pub(crate) async fn jobs_are_filtered_by_the_status_and_phase_that_clients_see(db: &TestDatabase) {
    let (store, jobs) = with_jobs(db).await;
    for connection_id in [None, Some(connection_id(1))] {
        for status in JobStatus::ALL {
            let filter = JobFilter {
                status: Some(status),
                connection_id: connection_id.clone(),
                ..JobFilter::default()
            };
            assert_eq!(list(&*store, &filter).await, of(&jobs, |job| job.status() == status), "{status:?}");
            assert_ne!(list(&*store, &filter).await, [], "{status:?}");
        }
        for phase in JobPhase::ALL {
            let filter = JobFilter {
                phase: Some(phase),
                connection_id: connection_id.clone(),
                ..JobFilter::default()
            };
            assert_eq!(
                list(&*store, &filter).await,
                of(&jobs, |job| job.state.phase() == phase),
                "{phase:?}"
            );
            assert_ne!(list(&*store, &filter).await, [], "{phase:?}");
        }
    }
    let both = JobFilter {
        status: Some(JobStatus::Cancelled),
        phase: Some(JobPhase::CleaningUp),
        before: Some(job_id(150)),
        ..JobFilter::default()
    };
    let is_both = |job: &Job| {
        job.status() == JobStatus::Cancelled
            && job.state.phase() == JobPhase::CleaningUp
            && job.id < job_id(150)
    };
    assert_eq!(list(&*store, &both).await, of(&jobs, is_both));
}

pub(crate) async fn jobs_are_filtered_by_when_they_were_created(db: &TestDatabase) {
    let (store, jobs) = with_jobs(db).await;
    let micros = |micros: i64| Timestamp::from_micros(micros);
    for job in jobs.iter().take(20) {
        let at = job.created_at.as_micros();
        let from = JobFilter { created_from: Some(job.created_at), ..JobFilter::default() };
        assert_eq!(list(&*store, &from).await, of(&jobs, |job| job.created_at >= micros(at)));
        let until = JobFilter { created_until: Some(job.created_at), ..JobFilter::default() };
        assert_eq!(list(&*store, &until).await, of(&jobs, |job| job.created_at < micros(at)));
        let exactly = JobFilter { created_until: Some(micros(at + 1)), ..from };
        assert_eq!(list(&*store, &exactly).await, of(&jobs, |job| job.created_at == micros(at)));
    }
}

/// The statement repeats the rule of `Job::status` in SQL, like the filters.
pub(crate) async fn the_newest_jobs_are_counted_by_status(db: &TestDatabase) {
    let (store, jobs) = with_jobs(db).await;
    let two = insert_account(&*store, 2).await;
    assert_eq!(store.count_jobs(&two, 1_000).await.unwrap(), StatusCounts::default());
    let one = super::samples::account(1).id;
    for newest in [1_000, jobs.len(), 50, 1, 0] {
        let counts = store.count_jobs(&one, u32::try_from(newest).unwrap()).await.unwrap();
        let counted = &jobs[..newest.min(jobs.len())];
        for status in JobStatus::ALL {
            let expected = counted.iter().filter(|job| job.status() == status).count();
            assert_eq!(counts.with(status), expected as u64, "{status:?} of {newest}");
        }
        assert_eq!(counts.total(), counted.len() as u64);
    }
}

/// A store with many jobs of one connection, and the jobs, newest first.
async fn with_jobs(db: &TestDatabase) -> (std::sync::Arc<dyn Store>, Vec<Job>) {
    let store = db.open().await;
    let one = insert_account(&*store, 1).await;
    insert_connection(&*store, &one, 1, "c").await.unwrap();
    let mut runner = TestRunner::deterministic();
    let mut jobs = Vec::new();
    for number in 1..200 {
        let any = any_job().new_tree(&mut runner).unwrap().current();
        let job = Job { id: job_id(number), ..any };
        store.insert_job(&one, new_job(job.clone(), 2)).await.unwrap();
        jobs.insert(0, job);
    }
    (store, jobs)
}

async fn list(store: &dyn Store, filter: &JobFilter) -> Vec<Job> {
    let one = super::samples::account(1).id;
    store.list_jobs(&one, filter, 1_000).await.unwrap()
}

fn of(jobs: &[Job], is_listed: impl Fn(&Job) -> bool) -> Vec<Job> {
    jobs.iter().filter(|job| is_listed(job)).cloned().collect()
}
