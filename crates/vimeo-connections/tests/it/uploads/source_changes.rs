//! Sources whose file changes during the upload: a video is one whole file, never a mix of two.

use std::time::SystemTime;

use serde_json::Value;

use crate::support::uploads::scripted::{File, Reply, Scripted};
use crate::support::uploads::{CONFIG, UploadEnv};

const SIZE: u64 = 600_000;
const CUT: u64 = 400_000;
const OLD: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT";
const OLD_BY_A_SECOND: &str = "Last-Modified: Sun, 06 Nov 1994 08:49:38 GMT";

/// The current time of a server.
#[expect(clippy::disallowed_methods, reason = "the sources are servers with clocks of their own")]
fn present() -> SystemTime {
    SystemTime::now()
}

fn date(line: &str, at: SystemTime) -> String {
    format!("{line}: {}", httpdate::fmt_http_date(at))
}

/// A file with validators, and the current time as the date of its responses.
fn file(version: u64, marks: &[&str]) -> File {
    let mut file = File::new(version, SIZE, marks);
    file.marks.push(date("Date", present()));
    file
}

/// Asserts that a job failed because its file changed, and that the video is kept private and named.
async fn assert_kept_closed(uploads: &UploadEnv, job: &Value) {
    assert_eq!(job["data"]["error_code"], "SOURCE_CHANGED", "{job}\n{}", uploads.env.log());
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), 1, "nothing is deleted after the last byte: {videos:#?}");
    let uri = videos[0]["uri"].as_str().unwrap();
    assert!(job["data"]["error_message"].as_str().unwrap().contains(uri), "{job}");
    let opened = uploads.journal("PATCH /videos/{video}").await;
    assert!(opened.iter().all(|change| change["body"]["privacy"]["view"].is_null()), "{opened:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_overwritten_in_place_fails_and_stays_private() {
    // The complete length arrives, but of two files; each validator alone reveals it.
    for (before, after) in
        [("ETag: \"a\"", "ETag: \"b\""), ("ETag: W/\"a\"", "ETag: W/\"b\""), (OLD, OLD_BY_A_SECOND)]
    {
        let uploads = UploadEnv::start().await;
        let source = Scripted::start(move |asked| match asked.number {
            0 => file(0, &[before]).answer(asked),
            1 => file(0, &[before]).answer(asked).overwritten_from(CUT, 1),
            _ => file(1, &[after]).answer(asked),
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        assert_kept_closed(&uploads, &job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overwritten_file_with_equal_headers_is_detected_by_bytes() {
    for marks in [&[][..], &["ETag: \"seconds-and-size\"", OLD]] {
        let uploads = UploadEnv::start().await;
        let source = Scripted::start(move |asked| match asked.number {
            0 => file(0, marks).answer(asked),
            1 => file(0, marks).answer(asked).overwritten_from(CUT, 1),
            _ => file(1, marks).answer(asked),
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        assert_kept_closed(&uploads, &job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_start_always_differs_counts_as_unchanged() {
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(|asked| file(asked.number as u64, &["ETag: \"a\""]).answer(asked)).await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &file(1, &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_length_after_the_last_byte_fails_the_upload() {
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(|asked| match asked.number {
        0 | 1 => file(0, &[]).answer(asked),
        _ => File { size: SIZE + 1, ..file(0, &[]) }.answer(asked),
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    assert_kept_closed(&uploads, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_a_length_is_also_compared_at_the_end() {
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(|asked| match asked.number {
        0 | 1 => {
            file(0, &["ETag: \"a\""]).whole().without_length().overwritten_from(CUT, asked.number as u64)
        }
        _ => file(1, &["ETag: \"b\""]).whole().without_length(),
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    assert_kept_closed(&uploads, &job).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_overwritten_in_its_first_second_is_read_once_settled() {
    let uploads = UploadEnv::start().await;
    let written_at = present();
    let marks = move || [date("Last-Modified", written_at), "ETag: \"seconds-and-size\"".to_owned()];
    let now = move |version: u64| {
        let marks = marks();
        file(version, &[&marks[0], &marks[1]])
    };
    // The first complete response mixes two files, and no validator reveals it.
    let source = Scripted::start(move |asked| match asked.plain_before {
        0 if asked.range.is_none() => now(0).answer(asked).overwritten_from(CUT, 1),
        0 => now(0).answer(asked),
        _ => now(1).answer(asked),
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &now(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_last_modified_of_now_is_ignored_and_bytes_are_compared() {
    for (last, is_same) in [(0, true), (1, false)] {
        let uploads = UploadEnv::start().await;
        let source = Scripted::start(move |asked| {
            // Three responses are waited for, one is read, and one is compared.
            let version = if asked.plain_before >= 4 { last } else { 0 };
            file(version, &[&date("Last-Modified", present())]).answer(asked)
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        if is_same {
            uploads.assert_film(&job, &file(0, &[])).await;
        } else {
            assert_kept_closed(&uploads, &job).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replaced_at_a_disconnect_is_uploaded_again() {
    // Each pair of validators differs in one: an ETag, a weak ETag, a time, or only the length.
    for (before, after, size) in [
        (["ETag: \"a\"", OLD], ["ETag: \"b\"", OLD], SIZE),
        (["ETag: W/\"5-18c1\"", OLD], ["ETag: W/\"5-18c2\"", OLD], SIZE),
        (["X: y", OLD], ["X: y", OLD_BY_A_SECOND], SIZE),
        (["ETag: \"a\"", OLD], ["ETag: \"a\"", OLD], SIZE - 1),
    ] {
        let uploads = UploadEnv::start().await;
        let new = move || File { size, ..file(1, &after) };
        // This server ignores conditional requests.
        let source = Scripted::start(move |asked| match asked.number {
            0 => file(0, &before).answer(asked),
            1 => file(0, &before).answer(asked).cut_after(CUT),
            _ => new().answer(asked),
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        uploads.assert_film(&job, &new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_supports_only_if_match_works() {
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(|asked| match asked.number {
        0 => file(0, &["ETag: \"a\""]).answer(asked),
        1 => file(0, &["ETag: \"a\""]).answer(asked).cut_after(CUT),
        _ if asked.header("if-match").is_some_and(|tag| tag != "\"b\"") => Reply::status(412),
        // Without a validator of its own, the part would prove nothing.
        _ if asked.range.is_some_and(|(from, _)| from > 0) => file(1, &[]).answer(asked),
        _ => file(1, &["ETag: \"b\""]).answer(asked),
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &file(1, &[])).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_without_validators_or_ranges_is_compared_by_bytes() {
    for (version, plain) in [(0, 2), (1, 3)] {
        let uploads = UploadEnv::start().await;
        let source = Scripted::start(move |asked| match asked.plain_before {
            // The range of the probe is ignored.
            _ if asked.number == 0 => file(0, &[]).whole(),
            0 => file(0, &[]).whole().cut_after(CUT),
            _ => file(version, &[]).whole(),
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        uploads.assert_film(&job, &file(version, &[])).await;
        let asked = source.asked();
        let count = asked.iter().filter(|head| !head.contains("\nrange: ")).count();
        assert_eq!(count, plain, "{asked:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_different_validators_count_as_one_source() {
    let uploads = UploadEnv::start().await;
    let node = |number: usize| file(0, &[["ETag: \"a\"", "ETag: \"b\""][number % 2]]);
    let source = Scripted::start(move |asked| node(asked.number).answer(asked)).await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &node(0)).await;
    // And with a disconnect in the middle.
    let uploads = UploadEnv::start().await;
    let source = Scripted::start(move |asked| {
        let answer = node(asked.number).answer(asked);
        if asked.number == 1 { answer.cut_after(CUT) } else { answer }
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &node(0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_replaced_before_the_first_read_counts_as_unchanged() {
    for size in [SIZE, SIZE / 2] {
        let uploads = UploadEnv::start().await;
        let new = move || File { size, ..file(1, &["ETag: \"b\""]) };
        let source = Scripted::start(move |asked| match asked.number {
            0 => file(0, &["ETag: \"a\""]).answer(asked),
            _ => new().answer(asked),
        })
        .await;
        let job = uploads.upload_scripted(&source).await;
        uploads.assert_film(&job, &new()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_cache_with_a_changed_origin_fails_early() {
    let uploads = UploadEnv::start().await;
    // It answers a conditional request with the validators of the first slice, and disconnects at the first slice of
    // the other file.
    let source = Scripted::start(|asked| match asked.range {
        Some((from, None)) if from >= CUT && asked.header("if-range").is_some() => {
            file(0, &["ETag: \"a\""]).answer(asked).cut_after(0)
        }
        Some((from, None)) if from >= CUT => file(1, &["ETag: \"b\""]).answer(asked),
        asked_for => {
            // After a disconnect, Vimeo may have less than what was sent.
            let from = asked_for.map_or(0, |(from, _)| from);
            file(0, &["ETag: \"a\""]).answer(asked).cut_after(CUT - from)
        }
    })
    .await;
    let job = uploads.upload_scripted(&source).await;
    assert_eq!(job["data"]["error_code"], "SOURCE_CHANGED", "{job}");
    assert_eq!(uploads.videos().await, Vec::<Value>::new(), "an incomplete video is deleted");
    let count = source.asked().len();
    assert!(count <= 28, "four placeholders, and seven requests for each at most: {count}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_starting_at_the_end_is_never_requested() {
    let config = format!("{CONFIG}uploads.chunk_mebibytes = 1\n");
    let uploads = UploadEnv::with(&config, crate::support::uploads::fast_sandbox()).await;
    // Vimeo stores everything, and its response is lost.
    uploads
        .env
        .inject_fault(serde_json::json!({"route": "PATCH /files/*", "kind": "cut-after", "times": 1}))
        .await;
    let source = Scripted::start(|asked| file(0, &["ETag: \"a\""]).answer(asked)).await;
    let job = uploads.upload_scripted(&source).await;
    uploads.assert_film(&job, &file(0, &[])).await;
    let asked = source.asked();
    assert!(asked.iter().all(|head| !head.contains(&format!("bytes={SIZE}-"))), "{asked:#?}");
}
