//! What the states of a job lead to.

use super::*;

fn video(number: i64) -> VideoNumber {
    VideoNumber::from_stored(number)
}

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

#[test]
fn an_identifier_sorts_by_its_time_and_is_read_back() {
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
fn a_creation_in_doubt_is_looked_for_three_times_before_another_one() {
    let creating = Accepted { restarts: 1, discarded: Some(video(7)) }.begin_creating(at(20_000));
    let (grace, span) = (Duration::from_secs(15), Duration::from_mins(1));
    assert_eq!(creating.next_look_at(grace, span), at(35_000));
    let Looked::Again(creating) = creating.looked_in_vain() else { panic!("a second look") };
    assert_eq!(creating.next_look_at(grace, span), at(65_000));
    let Looked::Again(creating) = creating.looked_in_vain() else { panic!("a third look") };
    assert_eq!(creating.next_look_at(grace, span), at(95_000));
    let accepted = Accepted { restarts: 1, discarded: Some(video(7)) };
    assert_eq!(creating.looked_in_vain(), Looked::Nothing(accepted));
}

#[test]
fn what_vimeo_holds_is_never_more_than_there_is() {
    let sending = Sending { video: video(1), size: 10, sent: 0, restarts: 0 };
    assert_eq!(sending.acknowledge(9), Ok(Progress::More(Sending { sent: 9, ..sending })));
    assert_eq!(sending.acknowledge(10), Ok(Progress::Whole(Finishing { video: video(1), size: 10 })));
    assert_eq!(sending.acknowledge(11), Err(OffsetOutOfRange { reported: 11, size: 10 }));
}

#[test]
fn a_job_begins_anew_a_few_times_and_remembers_what_to_take_away() {
    let mut sending = Sending { video: video(1), size: 10, sent: 3, restarts: 0 };
    for restarts in 1..=RESTARTS_MAX {
        let accepted = sending.restart().unwrap();
        assert_eq!(accepted, Accepted { restarts, discarded: Some(sending.video) });
        sending = accepted.begin_creating(at(1)).created(video(i64::from(restarts) + 1), 10);
    }
    assert_eq!(sending.restart(), None);
}

#[test]
fn giving_up_takes_away_whatever_may_be_at_vimeo() {
    let accepted = JobState::Accepted(Accepted::default());
    assert_eq!(
        accepted.abandon(&End::Cancelled, None),
        Some(JobState::Cancelled(Cancelled { video: None, size: None }))
    );
    let creating = Accepted::default().begin_creating(at(5));
    let given_up = JobState::Creating(creating).abandon(&End::Cancelled, Some(10));
    let Some(JobState::Abandoning(abandoning)) = given_up else { panic!("{given_up:?}") };
    assert_eq!(abandoning.doubt, Some(creating));
    let sending = JobState::Sending(creating.created(video(3), 10));
    let Some(JobState::Abandoning(abandoning)) = sending.abandon(&End::Cancelled, Some(10)) else { panic!() };
    assert_eq!(abandoning.video, Some(video(3)));
    let ended = abandoning.ended(None);
    assert_eq!(ended, JobState::Cancelled(Cancelled { video: None, size: Some(10) }));
    assert_eq!(ended.abandon(&End::Cancelled, None), None, "what is over stays as it is");
}

#[test]
fn names_are_read_back() {
    for code in FailureCode::ALL {
        assert_eq!(FailureCode::from_stored(code.as_str()), Some(*code));
    }
    for webhook in [Webhook::None, Webhook::Waiting { attempts: 3 }, Webhook::Delivered, Webhook::GivenUp] {
        let (name, attempts) = webhook.to_stored();
        assert_eq!(Webhook::from_stored(name, attempts), Some(webhook));
    }
    assert_eq!(FailureCode::from_stored("X"), None);
}
