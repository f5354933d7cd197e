//! Every way in which a step can end, and what the executor makes of it.

use domain::id::{AccountId, ConnectionId};
use domain::job::{CleaningUp, Configuring, Ending, Fetch, JobId, Queued, SourceKind, Uploading, Webhook};

use super::*;

const POLICY: RetryPolicy =
    RetryPolicy { source_attempts: 10, deadline: Duration::from_hours(24), confirm: Duration::from_mins(10) };

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn video() -> Target {
    domain::video::VideoNumber::from_stored(12).into()
}

fn job(state: JobState) -> Job {
    Job {
        id: JobId::make(at(0), [7; 10]),
        account_id: AccountId::from_random([1; 16]),
        connection_id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
        created_at: at(0),
        updated_at: at(0),
        version: 1,
        source: SourceKind::Url,
        retry_of: None,
        replaces: None,
        request_format: 1,
        publish_at: None,
        is_playable: false,
        facts: None,
        state,
        bytes_per_second: None,
        warnings: Vec::new(),
        undeleted: Vec::new(),
        unconfirmed_since: None,
        retry: RetryState::progressed(at(0)),
        waiting_for: None,
        webhook: Webhook::None,
        is_connection_deleted: false,
    }
}

fn uploading() -> Job {
    job(JobState::Uploading(Uploading { target: video(), size: 9, sent: 3, restarts: 0 }))
}

fn configuring() -> Job {
    job(JobState::Configuring(Configuring::new(video(), 9)))
}

fn failure(code: FailureCode) -> Failure {
    Failure { code, message: "No.".to_owned() }
}

fn decided(job: &Job, then: Then, now: Timestamp) -> Decision {
    decide(job, then, &POLICY, now, 255)
}

fn with_retries(job: Job, count: u32) -> Job {
    Job { retry: RetryState { count, ..job.retry }, ..job }
}

#[test]
fn an_attempt_within_the_lease_changes_no_retries() {
    let job = with_retries(uploading(), 3);
    let delay = Duration::from_secs(2);
    for retry in [LeaseRetry::Link, LeaseRetry::Source] {
        let then = Then::RetryInLease(retry, delay);
        assert_eq!(decided(&job, then, at(60)), Decision::RetryInLease(retry, delay));
    }
}

#[test]
fn progress_resets_the_retries() {
    let job = with_retries(uploading(), 5);
    let decision = decided(&job, Then::Continue(Progress::Made), at(50));
    assert_eq!(decision, Decision::Continue(RetryState::progressed(at(50))));
}

#[test]
fn a_step_without_progress_keeps_the_retries() {
    let job = with_retries(uploading(), 5);
    let decision = decided(&job, Then::Continue(Progress::None), at(50));
    assert_eq!(decision, Decision::Continue(job.retry));
}

#[test]
fn a_snooze_keeps_the_retries_and_names_what_is_waited_for() {
    let job = with_retries(uploading(), 5);
    for reason in WaitingFor::ALL {
        let decision = decided(&job, Then::Snooze(Duration::from_secs(7), reason), at(50));
        let (delay, waiting_for) = (Duration::from_secs(7), Some(reason));
        assert_eq!(decision, Decision::Release { delay, waiting_for, retry: job.retry, cause: None });
    }
}

#[test]
fn a_client_that_sends_bytes_resets_the_retries() {
    let job = with_retries(uploading(), 5);
    let then = Then::ProgressThenSnooze(Duration::from_secs(2), WaitingFor::Client);
    let (delay, waiting_for) = (Duration::from_secs(2), Some(WaitingFor::Client));
    let retry = RetryState::progressed(at(50));
    assert_eq!(decided(&job, then, at(50)), Decision::Release { delay, waiting_for, retry, cause: None });
}

#[test]
fn a_failed_attempt_is_counted_and_retried_after_the_backoff() {
    for count in 0..4 {
        let job = with_retries(uploading(), count);
        let decision = decided(&job, Then::Retry(failure(FailureCode::VimeoUnavailable)), at(50));
        let delay = Duration::from_secs(1 << count);
        let waiting_for = Some(WaitingFor::Vimeo);
        let cause = Some(failure(FailureCode::VimeoUnavailable));
        assert_eq!(decision, Decision::Release { delay, waiting_for, retry: job.retry.failed(), cause });
    }
}

#[test]
fn a_retry_can_have_a_least_delay_and_is_counted_like_any_other() {
    let unavailable = || failure(FailureCode::VimeoUnavailable);
    for (count, seconds) in [(0, 5), (2, 5), (3, 8)] {
        let job = with_retries(uploading(), count);
        let decision = decided(&job, Then::RetryAfter(unavailable(), Duration::from_secs(5)), at(50));
        let Decision::Release { delay, retry, .. } = decision else { panic!("{decision:?}") };
        assert_eq!((delay, retry), (Duration::from_secs(seconds), job.retry.failed()), "{count}");
    }
    let then = Then::RetryAfter(unavailable(), Duration::from_secs(5));
    assert_eq!(decided(&with_retries(uploading(), 10), then, at(25 * 3_600)), Decision::Fail(unavailable()));
}

#[test]
fn what_a_retry_waits_for_follows_from_its_failure() {
    for code in FailureCode::ALL {
        let decision = decided(&uploading(), Then::Retry(failure(*code)), at(50));
        let Decision::Release { waiting_for: Some(reason), .. } = decision else { panic!("{code:?}") };
        let is_source = matches!(
            code,
            FailureCode::SourceUnreachable | FailureCode::SourceBroken | FailureCode::SourceTooSlow
        );
        assert_eq!(reason == WaitingFor::Source, is_source, "{code:?}");
    }
}

#[test]
fn exhausted_retries_fail_the_job() {
    let broken = failure(FailureCode::SourceBroken);
    let job = with_retries(uploading(), 10);
    assert_eq!(decided(&job, Then::Retry(broken.clone()), at(50)), Decision::Fail(broken));
    let unavailable = failure(FailureCode::VimeoUnavailable);
    let late = decided(&job, Then::Retry(unavailable.clone()), at(25 * 3_600));
    assert_eq!(late, Decision::Fail(unavailable));
}

#[test]
fn a_failure_fails_the_job_in_every_state() {
    let refused = failure(FailureCode::VimeoRefused);
    for job in [job(JobState::Queued(Queued::default())), uploading(), configuring()] {
        assert_eq!(decided(&job, Then::Fail(refused.clone()), at(1)), Decision::Fail(refused.clone()));
    }
}

#[test]
fn a_refusal_is_retried_until_it_is_confirmed() {
    let refused = failure(FailureCode::VimeoRefused);
    let refuse = || Then::Refused(refused.clone(), Refusal::Other);
    let mut job = configuring();
    for (second, count) in [(0, 1), (300, 2), (599, 3)] {
        let Decision::Release { retry, .. } = decided(&job, refuse(), at(second)) else {
            panic!("at {second}");
        };
        assert_eq!((retry.count, retry.refused_since), (count, Some(at(0))));
        job.retry = retry;
    }
    assert_eq!(decided(&job, refuse(), at(600)), Decision::Fail(refused));
}

#[test]
fn a_missing_video_is_looked_up_in_the_list_before_the_job_fails() {
    let missing = failure(FailureCode::VimeoRefused);
    let refuse = || Then::Refused(missing.clone(), Refusal::Missing);
    let mut job = configuring();
    for second in [0, 300, 599] {
        let Decision::Release { retry, .. } = decided(&job, refuse(), at(second)) else {
            panic!("at {second}");
        };
        job.retry = retry;
    }
    assert_eq!(decided(&job, refuse(), at(600)), Decision::ConfirmDeletion(missing));
}

#[test]
fn a_refusal_says_nothing_about_missing_once_vimeo_returned_the_video() {
    let mut job = configuring();
    job.retry = RetryState { count: 5, ..job.retry.refused(Refusal::Missing, at(0)) };
    let found = apply(&job, job.state.clone(), &JobPatch { is_found: true, ..JobPatch::default() });
    assert_eq!((found.retry.missing_since, found.retry.refused_since), (None, Some(at(0))));
    let accepted = apply(&job, job.state.clone(), &JobPatch { is_accepted: true, ..JobPatch::default() });
    assert_eq!(accepted.retry, RetryState::progressed(at(0)));
}

#[test]
fn a_cleanup_that_keeps_failing_ends_after_an_hour() {
    let cleaning = CleaningUp { ending: Ending::Cancelled, unconfirmed: None, target: None, size: None };
    let job = job(JobState::CleaningUp(cleaning));
    let unavailable = || Then::Retry(failure(FailureCode::VimeoUnavailable));
    assert!(matches!(decided(&job, unavailable(), at(3_600)), Decision::Release { .. }));
    assert!(matches!(decided(&job, unavailable(), at(3_601)), Decision::Fail(_)));
}

#[test]
fn a_patch_changes_only_what_it_names() {
    let job = uploading();
    let unchanged = apply(&job, job.state.clone(), &JobPatch::default());
    assert_eq!(unchanged, job);
}

#[test]
fn a_patch_sets_and_clears_what_is_known_of_the_source() {
    let facts = SourceFacts { length: 9, validator: None, marks: None, fetch: Fetch::Ranged };
    let job = uploading();
    let set = JobPatch { facts: Change::Set(facts.clone()), ..JobPatch::default() };
    let known = apply(&job, job.state.clone(), &set);
    assert_eq!(known.facts, Some(facts));
    let cleared = JobPatch { facts: Change::Clear, ..JobPatch::default() };
    assert_eq!(apply(&known, known.state.clone(), &cleared).facts, None);
}

#[test]
fn warnings_and_undeleted_videos_are_added_once() {
    let patch = || JobPatch {
        warnings: vec!["a".to_owned(), "a".to_owned()],
        undeleted: vec![video(), video()],
        ..JobPatch::default()
    };
    let job = uploading();
    let once = apply(&job, job.state.clone(), &patch());
    let twice = apply(&once, once.state.clone(), &patch());
    assert_eq!(
        (twice.warnings.as_slice(), twice.undeleted.as_slice()),
        (&["a".to_owned()][..], &[video()][..])
    );
    assert_eq!(once, twice);
}

#[test]
fn the_first_unconfirmed_create_counts() {
    let job = uploading();
    let unconfirmed = |job: &Job, second| {
        let patch = JobPatch { unconfirmed_since: Some(at(second)), ..JobPatch::default() };
        apply(job, job.state.clone(), &patch)
    };
    let first = unconfirmed(&job, 50);
    assert_eq!(first.unconfirmed_since, Some(at(50)));
    assert_eq!(unconfirmed(&first, 90).unconfirmed_since, Some(at(50)));
    assert_eq!(unconfirmed(&first, 20).unconfirmed_since, Some(at(20)));
}

#[test]
fn the_next_state_is_that_of_the_step() {
    let next = JobState::Transcoding(Configuring::new(video(), 9).configured());
    let outcome = StepOutcome::advance(next.clone());
    assert_eq!(outcome.then, Then::Continue(Progress::Made));
    assert_eq!(apply(&configuring(), outcome.next, &outcome.patch).state, next);
    let entered = StepOutcome::enter(next.clone());
    assert_eq!((entered.then, entered.next), (Then::Continue(Progress::None), next));
}

#[test]
fn a_job_sleeps_until_an_instant_of_the_database_and_its_retries_start_from_zero() {
    let failed = with_retries(configuring(), 3);
    let until = at(500);
    let decision = decide(&failed, Then::SleepUntil(until, WaitingFor::PublishTime), &POLICY, at(9), 0);
    let retry = RetryState::progressed(at(9));
    assert_eq!(decision, Decision::Sleep { until, waiting_for: WaitingFor::PublishTime, retry });
}

#[test]
fn a_file_that_could_be_played_once_stays_playable() {
    let playable = JobPatch { is_playable: true, ..JobPatch::default() };
    let job = configuring();
    let job = apply(&job, job.state.clone(), &playable);
    let job = apply(&job, job.state.clone(), &JobPatch::default());
    assert!(job.is_playable);
}
