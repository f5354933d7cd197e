//! The transitions between the states of a job.

use std::time::Duration;

use super::*;

fn video(number: i64) -> VideoNumber {
    VideoNumber::from_stored(number)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
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
    let creating = Queued { restarts: 1, orphan: Some(video(7)) }.begin_creating(at(20_000));
    let (grace, span) = (Duration::from_secs(15), Duration::from_mins(1));
    assert_eq!(creating.next_probe_at(grace, span), at(35_000));
    let ProbeMissed::Again(creating) = creating.probe_missed() else { panic!("a second probe") };
    assert_eq!(creating.next_probe_at(grace, span), at(65_000));
    let ProbeMissed::Again(creating) = creating.probe_missed() else { panic!("a third probe") };
    assert_eq!(creating.next_probe_at(grace, span), at(95_000));
    let queued = Queued { restarts: 1, orphan: Some(video(7)) };
    assert_eq!(creating.probe_missed(), ProbeMissed::Absent(queued));
}

#[test]
fn an_offset_beyond_the_end_of_the_file_is_an_error() {
    let uploading = Uploading { video: video(1), size: 10, sent: 0, restarts: 0 };
    assert_eq!(uploading.acknowledge(9), Ok(Progress::More(Uploading { sent: 9, ..uploading })));
    assert_eq!(uploading.acknowledge(10), Ok(Progress::Whole(Configuring { video: video(1), size: 10 })));
    assert_eq!(uploading.acknowledge(11), Err(OffsetOutOfRange { reported: 11, size: 10 }));
}

#[test]
fn an_upload_restarts_at_most_three_times_and_keeps_its_orphan() {
    let mut uploading = Uploading { video: video(1), size: 10, sent: 3, restarts: 0 };
    for restarts in 1..=RESTARTS_MAX {
        let queued = uploading.restart().unwrap();
        assert_eq!(queued, Queued { restarts, orphan: Some(uploading.video) });
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
