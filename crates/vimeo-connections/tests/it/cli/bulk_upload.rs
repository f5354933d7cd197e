//! `upload --from` on the database: what the lines of a file name becomes one video each, with the right bytes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use reqwest::Method;
use serde_json::{Value, json};

use super::upload::{film, with_service};
use crate::support::harness::{ACCOUNT, TestEnv, binary, finish, printed, until};
use crate::support::uploads::source::{Behaviour, Source, bytes, sha256, sha256_of};

const LIST: &str = "films.csv";
const REPORT: &str = "films.csv.report.jsonl";

fn arguments<'a>(list: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["upload", "--from", list, "--account", ACCOUNT, "--connection", "films"][..], more].concat()
}

fn upload(env: &TestEnv, list: &str, more: &[&str]) -> Output {
    env.cli(&arguments(list, more), "")
}

/// The SHA-256 of each video at Vimeo, sorted.
pub(super) async fn hashes(env: &TestEnv) -> Vec<String> {
    let videos = env.control(Method::GET, "videos", Value::Null).await["videos"].as_array().unwrap().clone();
    let hash = |video: &Value| video["versions"][0]["sha256"].as_str().unwrap_or_default().to_owned();
    let mut hashes: Vec<_> = videos.iter().map(hash).collect();
    hashes.sort();
    hashes
}

/// The records of a report.
pub(super) fn records(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The lines with this status, sorted.
pub(super) fn lines_with(records: &[Value], status: &str) -> Vec<u64> {
    let with = records.iter().filter(|record| record["status"] == status);
    let mut lines: Vec<_> = with.map(|record| record["line"].as_u64().unwrap()).collect();
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_urls_of_a_table_are_uploaded_without_a_service() {
    let mut env = with_service().await;
    env.service.kill();
    let source = Source::start(Behaviour::Good).await;
    fs::create_dir(env.path().join("list")).unwrap();
    let film = film(3_000_001);
    fs::write(env.path().join("list/My film.mp4"), &film).unwrap();
    let url = source.url("film.mp4", 40_000);
    let list = format!(
        "\u{feff}source,connection,description,privacy.view,privacy.download,thumbnail_time,content_rating\r\n\
         My film.mp4,,,,,,\r\n\
         {url},films,\"Two\r\nlines\",unlisted,FALSE,0.5,drugs;language\r\n\
         ,,,,,,\r\n\
         {url},films,\"Two\r\nlines\",unlisted,false,0.5,drugs; language\r\n"
    );
    fs::write(env.path().join("list").join(LIST), list).unwrap();
    let output = upload(&env, "list/films.csv", &["--json"]);
    assert!(output.status.success(), "{}", printed(&output));
    let expected = {
        let mut both = vec![sha256_of(&film), sha256(40_000)];
        both.sort();
        both
    };
    assert_eq!(hashes(&env).await, expected);
    let shown = printed(&output);
    assert!(shown.contains("line 6 is the same as line 3: one upload"), "{shown}");
    assert!(shown.contains("2 completed, 1 duplicate"), "{shown}");
    let report = records(&env.path().join("list").join(REPORT));
    assert_eq!(lines_with(&report, "accepted"), [2, 3]);
    assert_eq!(lines_with(&report, "completed"), [2, 3]);
    let in_output: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(in_output, report, "the output is the report");
    assert!(
        !shown.contains("canary-source-query") && !json!(report).to_string().contains("canary"),
        "{shown}"
    );
    for record in report.iter().filter(|record| record["status"] == "completed") {
        let url = format!("{}{}", env.sandbox.base_url, record["vimeoUri"].as_str().unwrap());
        let shown = env.http.get(url).bearer_auth(&env.sandbox.access_token).send().await.unwrap();
        let video: Value = serde_json::from_str(&shown.text().await.unwrap()).unwrap();
        let shown =
            (video["name"].as_str(), video["description"].as_str(), video["privacy"]["view"].as_str());
        let expected = match record["line"].as_u64() {
            Some(2) => (Some("My film"), None, Some("anybody")),
            _ => (shown.0, Some("Two\r\nlines"), Some("unlisted")),
        };
        assert_eq!(shown, expected, "{video}");
    }
    let requests = source.requests();
    let again = upload(&env, "list/films.csv", &[]);
    assert!(again.status.success(), "{}", printed(&again));
    assert_eq!((hashes(&env).await, source.requests()), (expected, requests), "nothing is sent again");
    fs::remove_file(env.path().join("list").join(REPORT)).unwrap();
    let without_report = upload(&env, "list/films.csv", &[]);
    assert!(without_report.status.success(), "{}", printed(&without_report));
    assert_eq!(hashes(&env).await.len(), 2, "within a day the service knows the uploads");
    let report = records(&env.path().join("list").join(REPORT));
    assert_eq!(lines_with(&report, "completed"), [2, 3]);
    let once_more = upload(&env, "list/films.csv", &["--again"]);
    assert!(once_more.status.success(), "{}", printed(&once_more));
    assert_eq!(hashes(&env).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_uploaded_if_a_line_is_invalid() {
    let env = with_service().await;
    let list = "{\"source\":\"https://media.example.com/1.mp4?canary\"}\n\
         {\"source\":\"canary.mp4\"}\n\
         {\"source\":\"https://10.0.0.1/canary\",\"privacy\":{\"view\":\"canary\"}}\n\
         {\"source\":\"https://media.example.com/2.mp4\",\"connection\":\"canary\"}\n\
         {canary\n\
         {\"source\":\"https://media.example.com/2.mp4\",\"title\":\"canary\"}\n";
    fs::write(env.path().join("films.jsonl"), list).unwrap();
    let output = upload(&env, "films.jsonl", &[]);
    let shown = printed(&output);
    assert_eq!(output.status.code(), Some(2), "{shown}");
    for error in [
        "line 2: source cannot be read",
        "line 3: source.url must be a public address",
        "line 3: privacy.view must be",
        "line 4: connection is the ID or name of no connection",
        "line 5: is not valid JSON",
        "line 6: title is not a known field; did you mean name?",
        "films.jsonl has invalid lines (6), so nothing was uploaded",
    ] {
        assert!(shown.contains(error), "{error}: {shown}");
    }
    assert!(!shown.contains("canary"), "{shown}");
    assert_eq!(hashes(&env).await, [] as [String; 0]);
    assert!(!env.path().join("films.jsonl.report.jsonl").exists());
    let jobs: usize = env.database().query_row("SELECT count(*) FROM jobs", [], |row| row.get(0)).unwrap();
    assert_eq!(jobs, 0);
    for (arguments, error) in [
        (&["--from", "-"][..], "--input-format"),
        (&["--from", "-", "--input-format", "csv"], "--report PATH is missing"),
        (&["--from", "films.jsonl", "--view", "unlisted"], "cannot be used with"),
        (&["--from", "films.jsonl", "film.mp4"], "cannot be used with"),
        (&["film.mp4", "--connection", "films", "--retry-failed"], "cannot be used with"),
        (&["--from", "films.jsonl", "--parallel", "65"], "65 is not in 1..=64"),
        (&["--from", "missing.csv"], "missing.csv cannot be read"),
    ] {
        let output = env.cli(&[&["upload", "--account", ACCOUNT][..], arguments].concat(), "");
        assert!(!output.status.success(), "{arguments:?}");
        assert!(printed(&output).contains(error), "{arguments:?}: {}", printed(&output));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failed_lines_are_uploaded_again_only_on_request_and_a_damaged_report_is_continued() {
    let env = with_service().await;
    let source = Source::start(Behaviour::Good).await;
    let list: String = (1..=3_u64)
        .map(|n| json!({"source": source.url("film.mp4", 1_000 + n)}).to_string() + "\n")
        .collect();
    fs::write(env.path().join("films.jsonl"), list).unwrap();
    let path = env.path().join("films.jsonl.report.jsonl");
    env.inject_fault(json!({"route": "POST /me/videos", "kind": "status", "status": 403, "times": 1})).await;
    let failed = upload(&env, "films.jsonl", &[]);
    assert_eq!(failed.status.code(), Some(1), "{}", printed(&failed));
    assert!(printed(&failed).contains("2 completed, 1 failed"), "{}", printed(&failed));
    let report = records(&path);
    let line = lines_with(&report, "failed")[0];
    assert!(printed(&failed).contains(&format!("line {line} failed: ")), "{}", printed(&failed));
    // Killed in the middle of a write.
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str("{\"digest\":\"abc");
    fs::write(&path, text).unwrap();
    let unchanged = upload(&env, "films.jsonl", &[]);
    assert_eq!(unchanged.status.code(), Some(1), "{}", printed(&unchanged));
    assert_eq!((records(&path), hashes(&env).await.len()), (report, 2));
    let repeated = upload(&env, "films.jsonl", &["--retry-failed"]);
    assert!(repeated.status.success(), "{}", printed(&repeated));
    let mut expected: Vec<_> = (1..=3).map(|n| sha256(1_000 + n)).collect();
    expected.sort();
    assert_eq!(hashes(&env).await, expected);
    assert_eq!(lines_with(&records(&path), "completed"), [1, 2, 3]);
    fs::write(&path, "{\"digest\":\n{}\n").unwrap();
    let damaged = upload(&env, "films.jsonl", &[]);
    assert!(printed(&damaged).contains("line 1 of the report"), "{}", printed(&damaged));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_used_by_one_command_at_once_and_an_interrupted_command_can_be_repeated() {
    let mut env = with_service().await;
    env.service.kill();
    fs::write(env.path().join("films.jsonl"), "{\"source\":{\"file\":\"film.mp4\"}}\n").unwrap();
    let bytes = bytes(12_000_000);
    fs::write(env.path().join("film.mp4"), &bytes).unwrap();
    super::upload::slow_down(&env).await;
    let start = || {
        let mut command = binary(env.path());
        command.args(arguments("films.jsonl", &[]));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut child = start();
    until("some bytes have arrived", async || super::upload::received(&env).await > 200_000).await;
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let before = super::upload::received(&env).await;
    let mut child = start();
    until("more bytes have arrived", async || super::upload::received(&env).await > before + 200_000).await;
    let second = upload(&env, "films.jsonl", &[]);
    assert_eq!(second.status.code(), Some(1), "{}", printed(&second));
    assert!(printed(&second).contains("another command uses the report"), "{}", printed(&second));
    child.kill().unwrap();
    child.wait().unwrap();
    super::upload::speed_up(&env).await;
    let mut command = binary(env.path());
    command.args(arguments("films.jsonl", &[]));
    let last = finish(command, crate::support::uploads::WAIT_LIMIT);
    assert!(last.status.success(), "{}", printed(&last));
    assert_eq!(hashes(&env).await, [sha256_of(&bytes)]);
    let asked = env.control(Method::GET, "journal?route=POST%20/me/videos", Value::Null).await;
    assert_eq!(asked["requests"].as_array().unwrap().len(), 1, "no second video was requested");
}
