//! A job in columns: read back as it was written, and authenticated.

use proptest::prelude::*;

use super::*;
use crate::contract::job_samples;

proptest! {
    #[test]
    fn every_job_is_read_back_as_it_was_written(job in job_samples::any_job()) {
        let mut row = JobRow::of(&job);
        // As the engines keep it.
        row.sent_bytes.get_or_insert(0);
        prop_assert_eq!(row.into_job(), Ok(job));
    }
}

#[test]
fn a_column_that_the_service_cannot_have_written_is_named() {
    let account = AccountId::from_random([1; 16]);
    let job = |number| job_samples::job(&account, number, 1);
    let broken = |job: &Job, breaks: fn(&mut JobRow)| {
        let mut row = JobRow::of(job);
        breaks(&mut row);
        row.into_job().unwrap_err()
    };
    let mut failed = job(1);
    let failure = Failure { code: FailureCode::SourceBroken, message: "It broke.".to_owned() };
    failed.state = JobState::CleaningUp(CleaningUp {
        ending: Ending::Failed(failure),
        unconfirmed: None,
        target: None,
        size: None,
    });
    assert_eq!(broken(&job(1), |row| row.state = "lost".to_owned()), "state");
    assert_eq!(broken(&job(1), |row| row.state = "creating".to_owned()), "deadline_at");
    assert_eq!(broken(&job(1), |row| row.state = "uploading".to_owned()), "video_number");
    assert_eq!(broken(&job(1), |row| row.restarts = -1), "restarts");
    assert_eq!(broken(&job(1), |row| row.webhook = "lost".to_owned()), "webhook");
    assert_eq!(broken(&job(1), |row| row.source = String::new()), "source");
    assert_eq!(broken(&failed, |row| row.ending = None), "ending");
    assert_eq!(broken(&failed, |row| row.failure_code = Some("X".to_owned())), "failure_code");
    assert_eq!(broken(&failed, |row| row.failure_message = None), "failure_message");
}

#[test]
fn characters_that_a_column_cannot_keep_are_replaced() {
    let account = AccountId::from_random([1; 16]);
    let mut job = job_samples::job(&account, 1, 1);
    job.warnings = vec!["one\r\nstill one\0".to_owned(), String::new(), "two".to_owned()];
    let read = JobRow { sent_bytes: Some(0), ..JobRow::of(&job) }.into_job().unwrap();
    assert_eq!(read.warnings, ["one  still one ", "", "two"]);
}

#[test]
fn a_job_that_repeats_no_other_has_the_bytes_of_earlier_versions() {
    let job = job_samples::job(&AccountId::from_random([1; 16]), 1, 1);
    let text = String::from_utf8(authenticated_bytes(&job)).unwrap();
    let created_at = job.created_at.as_micros();
    let start = format!(
        "{{\"account_id\":\"{}\",\"job_id\":\"{}\",\"connection_id\":\"{}\",\"source\":\"url\",\
         \"created_at\":{created_at},\"updated_at\":{created_at},\"version\":1,",
        job.account_id, job.id, job.connection_id
    );
    assert!(
        text.starts_with(&start)
            && [
                "retry_of",
                "replaces",
                "request_format",
                "publish_at",
                "is_playable",
                "parts_done",
                "unique_request",
                "newest_picture"
            ]
            .iter()
            .all(|name| !text.contains(name)),
        "{text}"
    );
}

fn configuring_after(parts_done: u32) -> JobState {
    let configuring = Configuring::new(VideoNumber::from_stored(3).into(), 9);
    JobState::Configuring(Configuring { parts_done, ..configuring })
}

#[test]
fn every_column_that_an_upload_acts_on_is_authenticated() {
    let account = AccountId::from_random([1; 16]);
    let job = job_samples::job(&account, 1, 1);
    let bytes = authenticated_bytes(&job);
    let changes: [fn(&mut Job); 18] = [
        |job| job.account_id = AccountId::from_random([2; 16]),
        |job| job.id = job_samples::job_id(2),
        |job| job.connection_id = job_samples::connection_id(2),
        |job| job.version += 1,
        |job| job.source = SourceKind::Client,
        |job| job.state = job_samples::uploading(7, 3),
        |job| job.retry_of = Some(job_samples::job_id(2)),
        |job| job.undeleted.push(VideoNumber::from_stored(7).into()),
        |job| job.warnings.push("Forged.".to_owned()),
        |job| job.unconfirmed_since = Some(Timestamp::from_millis(5)),
        |job| job.retry.count += 1,
        |job| job.webhook = Webhook::Waiting { attempts: 0 },
        |job| job.created_at = Timestamp::from_millis(1),
        |job| job.replaces = Some(VideoNumber::from_stored(7)),
        |job| job.request_format = 2,
        |job| job.publish_at = Some(Timestamp::from_millis(1)),
        |job| job.is_playable = true,
        |job| job.state = configuring_after(1),
    ];
    for change in changes {
        let mut forged = job.clone();
        change(&mut forged);
        assert_ne!(authenticated_bytes(&forged), bytes, "{forged:?}");
    }
    let displayed = Job { bytes_per_second: Some(5), waiting_for: Some(WaitingFor::Vimeo), ..job };
    assert_eq!(authenticated_bytes(&displayed), bytes);
}

proptest! {
    #[test]
    fn a_job_has_the_same_bytes_after_it_was_stored(job in job_samples::any_job()) {
        let mut row = JobRow::of(&job);
        row.sent_bytes.get_or_insert(7);
        let read = row.into_job().unwrap();
        prop_assert_eq!(authenticated_bytes(&read), authenticated_bytes(&job));
    }
}
