//! Sample jobs for the cases.

use std::time::Duration;

use domain::audit::{Action, Actor, AuditEvent};
use domain::id::{AccountId, ConnectionId};
use domain::job::{
    Cancelled, CleaningUp, Completed, Configuring, Creating, Ending, Failed, Failure, FailureCode, Fetch,
    Job, JobId, JobState, Kept, Publishing, Queued, RetryState, Scheduled, SourceFacts, SourceKind, Target,
    Transcoding, UniqueRequest, Uploading, WaitingFor, Webhook,
};
use domain::secret::{Sealed, WrappedKey};
use domain::time::Timestamp;
use domain::video::VideoNumber;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::samples::{self, at};
use crate::{
    Changed, DueLimits, JobGuard, JobStart, JobUpdate, LeaseAfter, LeaseTerms, LeasedJob, NewJob, SealedPart,
    SentBytes, Store, Work,
};

/// The duration of leases in the cases.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// The identifier of a connection of the samples.
pub(crate) fn connection_id(number: u32) -> ConnectionId {
    samples::connection(&samples::account(1).id, number, "any").0.id
}

/// The identifier of the job of that number; later ones have higher numbers.
pub(crate) fn job_id(number: u32) -> JobId {
    JobId::make(at(i64::from(number)), [7; 10])
}

/// A queued job, through the sample connection of that number.
pub(crate) fn job(account: &AccountId, number: u32, connection: u32) -> Job {
    Job {
        id: job_id(number),
        account_id: account.clone(),
        connection_id: connection_id(connection),
        created_at: at(2),
        updated_at: at(2),
        version: 1,
        source: SourceKind::Url,
        retry_of: None,
        replaces: None,
        request_format: 1,
        publish_at: None,
        is_playable: false,
        facts: None,
        state: JobState::Queued(Queued::default()),
        bytes_per_second: None,
        warnings: Vec::new(),
        undeleted: Vec::new(),
        unconfirmed_since: None,
        retry: RetryState::progressed(at(2)),
        waiting_for: None,
        webhook: Webhook::None,
        is_connection_deleted: false,
    }
}

pub(crate) fn uploading(video: i64, sent: u64) -> JobState {
    JobState::Uploading(Uploading {
        target: VideoNumber::from_stored(video).into(),
        size: 1_000,
        sent,
        restarts: 0,
    })
}

/// A placeholder for the MAC of a job, which the store does not verify.
pub(crate) fn mac(job: &Job) -> Vec<u8> {
    Sha256::digest(crate::authenticated_bytes(job)).to_vec()
}

/// A sealed value filled with one byte.
pub(crate) fn sealed(fill: u8) -> Sealed {
    Sealed { envelope: vec![fill; 70], sealing_key: WrappedKey([fill; 60]) }
}

/// An event of the service itself.
pub(crate) fn service_event(account: &AccountId, number: u32) -> AuditEvent {
    AuditEvent { action: Action::EndUpload, ..samples::event(account, number, Actor::Service, "job") }
}

/// A job that is queued at a second.
pub(crate) fn new_job(job: Job, second: i64) -> NewJob {
    let number = u32::try_from(second).unwrap() * 1_000;
    let mut event = samples::event(&job.account_id, number, Actor::Operator, job.id.as_str());
    event.id = domain::id::AuditEventId::from_stored(format!("{}-{}", job.id, job.account_id));
    event.at = at(second);
    let (request, row_mac) = (sealed(100), mac(&job));
    NewJob { job, row_mac, request, start: JobStart::Queued, event, completion: None, now: at(second) }
}

/// Adds the job of that number at second 2.
pub(crate) async fn insert_job(store: &dyn Store, account: &AccountId, number: u32, connection: u32) -> Job {
    let job = job(account, number, connection);
    store.insert_job(account, new_job(job.clone(), 2)).await.unwrap();
    job
}

/// Terms without an effective limit of running jobs.
pub(crate) fn terms(fence: u64, second: i64) -> LeaseTerms {
    LeaseTerms { expected_fence: fence, lease: LEASE, per_account: 100, per_connection: 100, now: at(second) }
}

/// Takes the job's lease, which must be free.
pub(crate) async fn lease(
    store: &dyn Store,
    account: &AccountId,
    number: u32,
    terms: &LeaseTerms,
) -> LeasedJob {
    store.lease_job(account, &job_id(number), terms).await.unwrap().expect("the lease is free")
}

/// The update of a worker: the next version of the job, due again after a second, with unchanged sealed parts.
pub(crate) fn update(mut job: Job, fence: u64, state: JobState, second: i64) -> JobUpdate {
    job.version += 1;
    job.updated_at = at(second);
    job.state = state;
    JobUpdate {
        delivery: None,
        guard: JobGuard::Fence(fence),
        row_mac: mac(&job),
        due_not_before: None,
        due_in: (!job.state.has_ended()).then_some(Duration::from_secs(1)),
        job,
        lease: LeaseAfter::Kept(LEASE),
        request: SealedPart::Kept,
        link: SealedPart::Kept,
        answer: None,
        event: None,
        completion: None,
        now: at(second),
    }
}

/// Writes an update that must succeed.
pub(crate) async fn write(store: &dyn Store, update: JobUpdate) -> Job {
    let job = update.job.clone();
    let account = job.account_id.clone();
    assert_eq!(store.update_job(&account, update).await.unwrap(), Changed::Yes);
    job
}

/// The due uploads in their order: numbers of account and job.
pub(crate) async fn due(store: &dyn Store, second: i64, limit: u32) -> Vec<(u8, u32)> {
    due_for(store, Work::Upload, second, limit).await
}

/// The same for one kind of work.
pub(crate) async fn due_for(store: &dyn Store, work: Work, second: i64, limit: u32) -> Vec<(u8, u32)> {
    let due = store.list_due_jobs(at(second), work, &at_most(limit)).await.unwrap();
    let number = |due: crate::DueJob| {
        let account = (1..9).find(|number| samples::account(*number).id == due.account_id).unwrap();
        (account, (0..99).find(|number| job_id(*number) == due.id).unwrap())
    };
    due.into_iter().map(number).collect()
}

fn instant() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_000_000_i64).prop_map(Timestamp::from_micros)
}

fn video() -> impl Strategy<Value = VideoNumber> {
    (1..i64::MAX).prop_map(VideoNumber::from_stored)
}

fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 ./:,\"'\\\\\u{e9}\u{1f600}|]{0,40}"
}

fn target(replaces: Option<VideoNumber>) -> impl Strategy<Value = Target> {
    video().prop_map(move |video| Target::from_stored(replaces, video.as_i64()))
}

fn unique_request() -> impl Strategy<Value = UniqueRequest> {
    prop_oneof![
        Just(UniqueRequest::NotSent),
        Just(UniqueRequest::Sent),
        instant().prop_map(|lookup_at| UniqueRequest::Unconfirmed { lookup_at }),
    ]
}

fn creating(replaces: Option<VideoNumber>) -> impl Strategy<Value = Creating> {
    (instant(), any::<u32>(), any::<u32>(), prop::option::of(target(replaces))).prop_map(
        |(deadline_at, probes, restarts, orphan)| Creating { deadline_at, probes, restarts, orphan },
    )
}

fn failure() -> impl Strategy<Value = Failure> {
    (prop::sample::select(FailureCode::ALL), text()).prop_map(|(code, message)| Failure { code, message })
}

fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![failure().prop_map(Ending::Failed), Just(Ending::Cancelled)]
}

/// Any state of a job of this size in bytes (`None`: the size is unknown), which replaces a video if one is given.
fn state(size: Option<u64>, replaces: Option<VideoNumber>) -> BoxedStrategy<JobState> {
    let left = move || prop::option::of(target(replaces));
    let queued =
        (any::<u32>(), left()).prop_map(|(restarts, orphan)| JobState::Queued(Queued { restarts, orphan }));
    let cleaning_up = (ending(), prop::option::of(creating(replaces)), left()).prop_map(
        move |(ending, unconfirmed, target)| {
            JobState::CleaningUp(CleaningUp { ending, unconfirmed, target, size })
        },
    );
    let kept = prop::sample::select(vec![None, Some(Kept::Closed), Some(Kept::AsIs)]);
    let failed = (failure(), left(), kept)
        .prop_map(move |(failure, target, kept)| JobState::Failed(Failed { failure, target, kept, size }));
    let cancelled = left().prop_map(move |target| JobState::Cancelled(Cancelled { target, size }));
    let creating = creating(replaces).prop_map(JobState::Creating);
    let Some(size) = size else {
        return prop_oneof![queued, creating, cleaning_up, failed, cancelled].boxed();
    };
    let uploading = (target(replaces), 0..=size, any::<u32>()).prop_map(move |(target, sent, restarts)| {
        JobState::Uploading(Uploading { target, size, sent, restarts })
    });
    let configuring =
        (target(replaces), any::<u32>(), unique_request()).prop_map(move |(target, parts_done, request)| {
            JobState::Configuring(Configuring { target, size, parts_done, request })
        });
    let transcoding = (target(replaces), unique_request(), prop::option::of(0..i64::MAX)).prop_map(
        move |(target, request, newest_picture)| {
            JobState::Transcoding(Transcoding { target, size, request, newest_picture })
        },
    );
    // Only a video of its own is opened, and a replacement keeps the number of its video.
    let own = move || video().prop_map(move |video| replaces.unwrap_or(video));
    let scheduled = own().prop_map(move |video| JobState::Scheduled(Scheduled { video, size }));
    let publishing = own().prop_map(move |video| JobState::Publishing(Publishing { video, size }));
    let completed = (own(), text(), prop::option::of(text()))
        .prop_map(move |(video, link, player)| JobState::Completed(Completed { video, size, link, player }));
    prop_oneof![
        queued,
        creating,
        uploading,
        configuring,
        transcoding,
        scheduled,
        publishing,
        cleaning_up,
        completed,
        failed,
        cancelled
    ]
    .boxed()
}

fn size_and_facts() -> impl Strategy<Value = (Option<u64>, Option<SourceFacts>)> {
    let fetch = prop::sample::select(vec![Fetch::Ranged, Fetch::Whole, Fetch::Spooled]);
    let facts = (0..i64::MAX.unsigned_abs(), prop::option::of(text()), prop::option::of(text()), fetch)
        .prop_map(|(length, validator, marks, fetch)| SourceFacts { length, validator, marks, fetch });
    let size = prop::option::of(0..i64::MAX.unsigned_abs());
    prop_oneof![
        1 => size.prop_map(|size| (size, None)),
        3 => facts.prop_map(|facts| (Some(facts.length), Some(facts))),
    ]
}

fn retry() -> impl Strategy<Value = RetryState> {
    let since = || prop::option::of(instant());
    (any::<u32>(), instant(), since(), since()).prop_map(
        |(count, last_progress_at, refused_since, missing_since)| RetryState {
            count,
            last_progress_at,
            refused_since,
            missing_since,
        },
    )
}

/// Numbers of what could not be deleted, an unconfirmed create, what the job waits for, whether its connection was deleted, and
/// the job that it repeats.
type Extras = (Vec<VideoNumber>, Option<Timestamp>, Option<WaitingFor>, bool, Option<JobId>);

/// The format of the request, when the video is opened, and whether it can be played.
fn publication() -> impl Strategy<Value = (u32, Option<Timestamp>, bool)> {
    (1..4_u32, prop::option::of(instant()), any::<bool>())
}

fn extras() -> impl Strategy<Value = Extras> {
    (
        prop::collection::vec(video(), 0..3),
        prop::option::of(instant()),
        prop::option::of(prop::sample::select(WaitingFor::ALL.to_vec())),
        any::<bool>(),
        // Each a job of its own, because a job is retried once.
        prop::option::of(any::<[u8; 10]>().prop_map(|random| JobId::make(at(1), random))),
    )
}

/// Any job of the sample account 1.
pub(crate) fn any_job() -> impl Strategy<Value = Job> {
    let webhook = prop_oneof![
        Just(Webhook::None),
        any::<u32>().prop_map(|attempts| Webhook::Waiting { attempts }),
        Just(Webhook::Delivered),
        Just(Webhook::Exhausted),
    ];
    let rest = (
        prop::sample::select(vec![SourceKind::Url, SourceKind::Client]),
        prop::option::of(0..i64::MAX.unsigned_abs()),
        prop::collection::vec(text(), 0..4),
        retry(),
        webhook,
        extras(),
        (instant(), instant(), 1..1_000_000_u64),
        publication(),
    );
    let state = (size_and_facts(), prop::option::of(video()))
        .prop_flat_map(|((size, facts), replaces)| (state(size, replaces), Just(facts), Just(replaces)));
    (state, rest).prop_map(|((state, facts, replaces), rest)| {
        let (source, bytes_per_second, warnings, retry, webhook, extras, times, publication) = rest;
        let (request_format, publish_at, is_playable) = publication;
        let (undeleted, unconfirmed_since, waiting_for, is_connection_deleted, retry_of) = extras;
        let (created_at, updated_at, version) = times;
        Job {
            created_at,
            updated_at,
            version,
            source,
            retry_of,
            replaces,
            request_format,
            publish_at,
            is_playable,
            facts,
            state,
            bytes_per_second,
            warnings,
            undeleted: undeleted
                .into_iter()
                .map(|video| Target::from_stored(replaces, video.as_i64()))
                .collect(),
            unconfirmed_since,
            retry,
            waiting_for,
            webhook,
            is_connection_deleted,
            ..job(&samples::account(1).id, 1, 1)
        }
    })
}

/// At most this many due jobs, without other limits.
pub(crate) fn at_most(total: u32) -> DueLimits {
    DueLimits { total, per_account: u32::MAX, per_connection: u32::MAX }
}

/// The progress of a transfer of this job.
pub(crate) fn sent(job: &Job, bytes: u64, bytes_per_second: u64) -> SentBytes {
    SentBytes {
        version: job.version,
        bytes,
        row_mac: vec![u8::try_from(bytes % 251).unwrap(); 32],
        bytes_per_second,
    }
}
