//! The transitions between the states of a job.

use std::time::Duration;

use super::*;
use crate::video::VersionNumber;

fn video(number: i64) -> VideoNumber {
    VideoNumber::from_stored(number)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// A job of a URL in this state.
pub(super) fn job_in(state: JobState) -> Job {
    let at = at(1_000);
    Job {
        id: JobId::make(at, [7; 10]),
        account_id: AccountId::from_random([1; 16]),
        connection_id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
        created_at: at,
        updated_at: at,
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
        retry: RetryState::progressed(at),
        waiting_for: None,
        webhook: Webhook::None,
        is_connection_deleted: false,
    }
}

#[test]
fn job_ids_sort_by_time_and_are_parsed_back() {
    let ids: Vec<_> = (1..50).map(|millis| JobId::make(at(millis * 977), [0xab; 10])).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    for id in ids {
        assert_eq!(JobId::parse(id.as_str()), Some(id));
    }
    for bad in ["", "x", "0192F0C1-0000-7000-8000-000000000000", "{0192f0c1-0000-7000-8000-000000000000}"] {
        assert_eq!(JobId::parse(bad), None, "{bad}");
    }
}

#[test]
fn an_unconfirmed_create_is_searched_for_three_times_before_another_one() {
    let creating = Queued { restarts: 1, orphan: Some(video(7).into()) }.begin_creating(at(20_000));
    let (grace, span) = (Duration::from_secs(15), Duration::from_mins(1));
    assert_eq!(creating.next_probe_at(grace, span), at(35_000));
    let ProbeMissed::Again(creating) = creating.probe_missed() else { panic!("a second probe") };
    assert_eq!(creating.next_probe_at(grace, span), at(65_000));
    let ProbeMissed::Again(creating) = creating.probe_missed() else { panic!("a third probe") };
    assert_eq!(creating.next_probe_at(grace, span), at(95_000));
    let queued = Queued { restarts: 1, orphan: Some(video(7).into()) };
    assert_eq!(creating.probe_missed(), ProbeMissed::Absent(queued));
}

#[test]
fn an_offset_beyond_the_end_of_the_file_is_an_error() {
    let uploading = Uploading { target: video(1).into(), size: 10, sent: 0, restarts: 0 };
    assert_eq!(uploading.acknowledge(9), Ok(Progress::More(Uploading { sent: 9, ..uploading })));
    assert_eq!(uploading.acknowledge(10), Ok(Progress::Whole(Configuring::new(video(1).into(), 10))));
    assert_eq!(uploading.acknowledge(11), Err(OffsetOutOfRange { reported: 11, size: 10 }));
}

#[test]
fn an_upload_restarts_at_most_three_times_and_keeps_its_orphan() {
    let mut uploading = Uploading { target: video(1).into(), size: 10, sent: 3, restarts: 0 };
    for restarts in 1..=RESTARTS_MAX {
        let queued = uploading.restart().unwrap();
        assert_eq!(queued, Queued { restarts, orphan: Some(uploading.target) });
        uploading = queued.begin_creating(at(1)).created(video(i64::from(restarts) + 1), 10);
    }
    assert_eq!(uploading.restart(), None);
}

#[test]
fn stored_names_are_parsed_back() {
    for code in FailureCode::ALL {
        assert_eq!(FailureCode::from_stored(code.as_str()), Some(*code));
    }
    for webhook in [Webhook::None, Webhook::Waiting { attempts: 3 }, Webhook::Delivered, Webhook::Exhausted] {
        let (name, attempts) = webhook.to_stored();
        assert_eq!(Webhook::from_stored(name, attempts), Some(webhook));
    }
    for reason in WaitingFor::ALL {
        assert_eq!(WaitingFor::from_stored(reason.as_str()), Some(reason));
    }
    assert_eq!(FailureCode::from_stored("X"), None);
}

#[test]
fn a_part_that_is_done_leaves_no_request_in_doubt() {
    let configuring = Configuring::new(video(1).into(), 10);
    let sent = Configuring { request: UniqueRequest::Sent, ..configuring };
    assert_eq!(sent.part_done(), Configuring { parts_done: 1, ..configuring });
}

#[test]
fn a_target_is_read_back_from_its_number() {
    for target in [Target::Video(video(3)), Target::Version(VersionNumber::from_stored(video(3), 8))] {
        let replaces = matches!(target, Target::Version(_)).then_some(video(3));
        assert_eq!(Target::from_stored(replaces, target.number()), target);
        assert_eq!(target.video(), video(3));
    }
    assert_eq!(Target::from_stored(Some(video(3)), 8).to_string(), "/videos/3/versions/8");
}
