use domain::job::{CleaningUp, Ending, Failed, Failure, Kept, Publishing, Queued, RetryState};
use domain::time::Timestamp;
use domain::video::VideoNumber;

use super::*;
use crate::v1::job::tests::{job, uploading};

fn connection() -> ShownConnection {
    let href = Some("/dashboard/connections/1".to_owned());
    ShownConnection { name: "Main".to_owned(), href, is_deleted: false }
}

fn completed(link: &str, player: Option<&str>) -> Job {
    let publishing = Publishing { video: VideoNumber::from_stored(12), size: 200 };
    job(JobState::Completed(publishing.published(link.to_owned(), player.map(str::to_owned))))
}

fn failed(code: FailureCode) -> Job {
    let failure = Failure { code, message: "It <failed>.".to_owned() };
    job(JobState::Failed(Failed { failure, target: None, kept: None, size: None }))
}

fn names(job: &Job) -> Vec<(String, bool, bool)> {
    let steps = view(job, &connection()).steps;
    steps.into_iter().map(|step| (step.name, step.is_current, step.at.is_some())).collect()
}

fn named(rows: &[(&str, bool, bool)]) -> Vec<(String, bool, bool)> {
    rows.iter().map(|(name, is_current, has_time)| ((*name).to_owned(), *is_current, *has_time)).collect()
}

#[test]
fn the_phases_have_a_time_only_where_it_is_known() {
    let rows = [
        ("Queued", false, true),
        ("Creating", false, false),
        ("Uploading", true, true),
        ("Configuring", false, false),
        ("Transcoding", false, false),
        ("Publishing", false, false),
        ("Completed", false, false),
    ];
    assert_eq!(names(&job(uploading(5))), named(&rows));
    let queued = names(&job(JobState::Queued(Queued::default())));
    assert_eq!(queued.iter().map(|step| step.1).collect::<Vec<_>>()[..2], [true, false]);
    assert_eq!(
        names(&completed("https://vimeo.com/12", None)).last().unwrap(),
        &named(&[("Completed", true, true)])[0]
    );
    // In which phase it failed is not recorded.
    let ended = named(&[("Queued", false, true), ("Failed", true, true)]);
    assert_eq!(names(&failed(FailureCode::SourceEmpty)), ended);
    let cancelled = job(job(uploading(5)).cancel().unwrap());
    assert_eq!(names(&cancelled), named(&[("Queued", false, true), ("Cleaning up", true, true)]));
}

#[test]
fn attempts_and_restarts_are_counted() {
    let retry = RetryState { count: 2, ..RetryState::progressed(Timestamp::from_millis(1)) };
    let tried = Job { retry, ..job(JobState::Queued(Queued { restarts: 1, orphan: None })) };
    assert_eq!(attempts(&tried), "attempt 3, restarted once");
    assert_eq!(attempts(&Job { retry, ..failed(FailureCode::SourceEmpty) }), "");
    assert_eq!(attempts(&job(uploading(1))), "");
}

#[test]
fn what_holds_a_job_up_is_a_warning_and_its_own_sentence() {
    let mut texts = Vec::new();
    for reason in WaitingFor::ALL {
        let waiting = Job { waiting_for: Some(reason), ..job(uploading(5)) };
        let row = row(&waiting, "n".to_owned(), &connection(), Access::Read);
        assert!(row.phase.tone == if is_held_up(reason) { Tone::Warn } else { Tone::Busy }, "{reason:?}");
        assert_eq!(row.note, view(&waiting, &connection()).waiting);
        texts.push(row.note);
    }
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), WaitingFor::ALL.len());
    let ended = Job { waiting_for: Some(WaitingFor::Vimeo), ..completed("", None) };
    assert_eq!(view(&ended, &connection()).waiting, "");
}

#[test]
fn every_failure_has_its_own_cure() {
    let mut cures: Vec<_> = FailureCode::ALL.iter().map(|code| cure(*code)).collect();
    cures.sort_unstable();
    cures.dedup();
    assert_eq!(cures.len(), FailureCode::ALL.len());
    let shown = |code| view(&failed(code), &connection()).error.unwrap();
    let token = shown(FailureCode::CredentialsRejected);
    assert_eq!((&*token.code, &*token.text), ("VIMEO_CREDENTIALS_REJECTED", "It <failed>."));
    assert_eq!(token.link.unwrap().1, "/dashboard/connections/1");
    assert!(shown(FailureCode::SourceEmpty).link.is_none());
    assert!(view(&job(uploading(1)), &connection()).error.is_none());
    let failure = Failure { code: FailureCode::VimeoRefused, message: "No.".to_owned() };
    let video = Some(VideoNumber::from_stored(12).into());
    let kept = JobState::Failed(Failed { failure, target: video, kept: Some(Kept::Closed), size: None });
    assert!(view(&job(kept), &connection()).error.unwrap().text.contains("/videos/12"));
}

#[test]
fn only_https_addresses_are_links() {
    let player = Some("https://player.vimeo.com/video/12");
    let links = view(&completed("https://vimeo.com/12", player), &connection()).links;
    assert_eq!(
        links.iter().map(|(_, href)| &**href).collect::<Vec<_>>(),
        ["https://vimeo.com/12", "https://player.vimeo.com/video/12",]
    );
    for bad in ["", "http://vimeo.com/12", "javascript:alert(1)", "//evil.example", " https://a"] {
        assert!(view(&completed(bad, Some(bad)), &connection()).links.is_empty(), "{bad}");
    }
}

#[test]
fn only_who_may_cancels_only_what_can_be_cancelled() {
    let can = |job: &Job, access| row(job, String::new(), &connection(), access).can_cancel;
    assert!(can(&job(uploading(5)), Access::Write) && !can(&job(uploading(5)), Access::Read));
    let failing = Ending::Failed(Failure { code: FailureCode::SourceEmpty, message: String::new() });
    let cleaning = |ending| CleaningUp { ending, unconfirmed: None, target: None, size: None };
    assert!(can(&job(JobState::CleaningUp(cleaning(failing))), Access::Write));
    for ended in [
        job(JobState::CleaningUp(cleaning(Ending::Cancelled))),
        failed(FailureCode::SourceEmpty),
        completed("", None),
        Job { is_connection_deleted: true, ..job(uploading(5)) },
    ] {
        assert!(!can(&ended, Access::Write), "{ended:?}");
    }
}

#[test]
fn progress_is_shown_only_before_completion() {
    let shown = |job: &Job| {
        let view = view(job, &connection());
        (view.is_in_progress, view.has_progress, view.amount, view.rate, view.left)
    };
    let sending = Job { bytes_per_second: Some(30), ..job(uploading(100)) };
    let texts = ("100 B of 200 B".to_owned(), "30 B/s".to_owned(), "about 4 seconds left".to_owned());
    assert_eq!(shown(&sending), (true, true, texts.0, texts.1, texts.2));
    let none = String::new;
    assert_eq!(shown(&completed("", None)), (false, false, "200 B".to_owned(), none(), none()));
    let cancelled = job(job(uploading(5)).cancel().unwrap());
    assert_eq!(shown(&cancelled), (true, false, "200 B".to_owned(), none(), none()));
}

#[test]
fn numbers_are_readable() {
    let shown = [0, 1_023, 1_024, 1_536, 104_857_600, 3_650_722_202, u64::MAX].map(bytes);
    assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "100 MiB", "3.4 GiB", "16383 PiB"]);
    let left = [1, 89, 90, 5_399, 5_400, 36_001].map(time_left);
    let expected = ["1 second", "89 seconds", "2 minutes", "90 minutes", "2 hours", "11 hours"];
    assert_eq!(left, expected.map(|time| format!("about {time} left")));
}

#[test]
fn an_upload_is_named_by_what_is_known() {
    let queued = job(JobState::Queued(Queued::default()));
    assert_eq!(name(&queued, None), "Upload 000000000000");
    assert_eq!(name(&job(uploading(1)), None), "Video 12");
    let title = domain::upload::VideoName::parse("<b>Launch").unwrap();
    let settings = UploadSettings { name: Some(title), ..UploadSettings::default() };
    assert_eq!(name(&job(uploading(1)), Some(&settings)), "<b>Launch");
}
