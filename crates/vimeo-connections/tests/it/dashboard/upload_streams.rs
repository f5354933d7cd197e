//! Pages of uploads that are kept up to date: only what has changed is sent, and only to those who are still signed in.

use std::time::Duration;

use reqwest::Method;

use super::person::Person;
use super::uploads::{cancel, connect, env, submit};
use crate::support::connections::revoke_key;
use crate::support::harness::{EnvOptions, TestEnv};

/// Longer than any test here takes.
const WAIT_LIMIT: Duration = Duration::from_mins(1);

/// A stream of events.
struct Stream {
    response: reqwest::Response,
    text: String,
}

#[derive(Debug, PartialEq, Eq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Stream {
    async fn open(person: &Person, path: &str, headers: &[(&str, &str)]) -> Self {
        let response =
            person.start(Method::GET, path, headers).await.timeout(WAIT_LIMIT).send().await.unwrap();
        assert_eq!(response.status(), 200);
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        let mut stream = Self { response, text: String::new() };
        assert_eq!(stream.block().await.unwrap(), ["retry: 2000"]);
        stream
    }

    /// The lines of the next block, without comments; `None` after a clean end.
    async fn block(&mut self) -> Option<Vec<String>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let lines = block.lines().filter(|line| *line != ": heartbeat").map(str::to_owned).collect();
                let rest = rest.to_owned();
                self.text = rest;
                return Some(lines);
            }
            let Some(chunk) = self.response.chunk().await.unwrap() else {
                assert!(self.text.lines().all(|line| line == ": heartbeat"), "{}", self.text);
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        let lines = self.block().await?;
        let field = |name: &str| {
            let start = format!("{name}: ");
            lines.iter().filter_map(move |line| line.strip_prefix(&*start)).collect::<Vec<_>>()
        };
        assert!(field("event").len() == 1 && !field("data").is_empty(), "{lines:?}");
        let id = field("id").first().map(|id| (*id).to_owned());
        Some(Event { name: field("event")[0].to_owned(), id, data: field("data").join("\n") })
    }

    /// The next event, which must have this name.
    async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.unwrap();
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// Whether no event follows before the next heartbeats.
    async fn is_silent(&mut self) -> bool {
        let before = self.text.matches(": heartbeat\n").count();
        while self.text.matches(": heartbeat\n").count() == before {
            let chunk = self.response.chunk().await.unwrap().unwrap();
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
        !self.text.contains("\n\n")
    }
}

/// The address of a page's stream.
async fn stream_of(person: &Person, path: &str) -> String {
    let page = person.page(path).await;
    let (_, rest) = page.split_once("data-live=\"").unwrap_or_else(|| panic!("{page}"));
    rest.split('"').next().unwrap().replace("&#38;", "&").replace("&amp;", "&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_gets_only_what_has_changed() {
    let env = env().await;
    let connection = connect(&env, "Main").await;
    let (one, two) = (submit(&env, &connection, "One").await, submit(&env, &connection, "<b>Two").await);
    let person = Person::sign_in(&env).await;
    let path = stream_of(&person, "/dashboard/uploads?status=in-progress").await;
    let mut stream = Stream::open(&person, &path, &[]).await;
    assert!(stream.is_silent().await, "the page has everything: {}", stream.text);

    let three = submit(&env, &connection, "Three").await;
    assert_eq!(stream.expect("new").await.data, "1 new upload. Show it.");
    let tabs = stream.expect("update").await;
    assert!(tabs.data.contains("upload-tabs") && !tabs.data.contains("<tr"), "{tabs:?}");
    assert!(!tabs.data.contains(&three));

    // A browser that reconnects names what it has.
    let last = [("last-event-id", tabs.id.as_deref().unwrap())];
    let mut again = Stream::open(&person, &path, &last).await;
    assert_eq!(again.expect("new").await.data, "1 new upload. Show it.");
    assert!(again.is_silent().await, "{}", again.text);

    cancel(&env, &two).await;
    let update = stream.expect("update").await;
    assert!(update.data.contains(&format!("id=\"job-{two}\"")) && !update.data.contains(&one), "{update:?}");
    assert!(update.data.contains("Cancelled") && update.data.contains("&#60;b&#62;Two"), "{update:?}");
    assert!(!update.data.contains("jobId"), "it cannot be cancelled again");
    assert!(update.data.contains("id=\"upload-tabs\"") && update.data.contains("aria-current"), "{update:?}");
    assert_eq!(stream.expect("announce").await.data, "<b>Two: Cancelled.");
    let mut behind = Stream::open(&person, &path, &last).await;
    let all = behind.expect("update").await;
    assert!(all.data.contains(&one) && all.data.contains(&two), "{all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_of_another_page_has_no_news() {
    let env = env().await;
    let connection = connect(&env, "Main").await;
    let mut jobs = Vec::new();
    for number in 0..51 {
        jobs.push(submit(&env, &connection, &number.to_string()).await);
    }
    let person = Person::sign_in(&env).await;
    let page = person.page("/dashboard/uploads").await;
    let (_, rest) = page.split_once("rel=\"next\" href=\"").unwrap();
    let path = stream_of(&person, rest.split('"').next().unwrap()).await;
    let mut stream = Stream::open(&person, &path, &[]).await;
    submit(&env, &connection, "new").await;
    let tabs = stream.expect("update").await;
    assert!(tabs.data.contains(">52<") && !tabs.data.contains("<tr"), "{tabs:?}");
    cancel(&env, &jobs[0]).await;
    let update = stream.expect("update").await;
    assert!(update.data.contains(&jobs[0]), "{update:?}");
    // Newer uploads push the others off their page; they are watched all the same.
    let first = stream_of(&person, "/dashboard/uploads").await;
    let mut stream = Stream::open(&person, &first, &[]).await;
    for number in 0..3 {
        submit(&env, &connection, &format!("newer {number}")).await;
    }
    cancel(&env, &jobs[2]).await;
    let mut seen = String::new();
    while !seen.contains(&format!("id=\"job-{}\"", jobs[2])) {
        seen.push_str(&stream.next().await.unwrap().data);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_upload_is_watched_until_it_ends() {
    let env = env().await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let person = Person::sign_in(&env).await;
    let path = stream_of(&person, &format!("/dashboard/uploads/{job}")).await;
    let mut stream = Stream::open(&person, &path, &[]).await;
    let first = stream.expect("update").await;
    assert!(
        first.data.starts_with("<div class=\"stack\" id=\"upload-view\"") && first.data.contains("Queued")
    );
    assert!(stream.is_silent().await, "{}", stream.text);
    cancel(&env, &job).await;
    stream.expect("reload").await;
    assert_eq!(stream.next().await, None);
    let mut ended = Stream::open(&person, &path, &[]).await;
    ended.expect("reload").await;
    assert_eq!(ended.next().await, None);
}

/// Opens both kinds of streams.
async fn streams(person: &Person, job: &str) -> [Stream; 2] {
    let list = stream_of(person, "/dashboard/uploads").await;
    let list = Stream::open(person, &list, &[]).await;
    let mut one = Stream::open(person, &format!("/dashboard/uploads/{job}/events"), &[]).await;
    one.expect("update").await;
    [list, one]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_ends_with_its_session() {
    let env = env().await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let (person, other) = (Person::sign_in(&env).await, Person::sign_in(&env).await);
    let (own, mut others) = (streams(&person, &job).await, streams(&other, &job).await);
    assert_eq!(person.post("/dashboard/sign-out", &[]).await.status, 303);
    for mut stream in own {
        assert_eq!(stream.next().await, None, "it ends without another event");
    }
    // Another session of the same key continues until the key is revoked.
    assert!(others[0].is_silent().await, "{}", others[0].text);
    env.make_key("acme", &[]);
    revoke_key(&env, &env.api_key);
    for mut stream in others {
        stream.text.clear();
        assert_eq!(stream.next().await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_limited_and_end_at_shutdown() {
    let config = "uploads.work = false\nlimits.event_streams = 2\n".to_owned();
    let mut env = TestEnv::with(EnvOptions { config, verification_off: true, ..EnvOptions::default() }).await;
    let job = submit(&env, &connect(&env, "Main").await, "One").await;
    let person = Person::sign_in(&env).await;
    let open = streams(&person, &job).await;
    let refused = person.get(&format!("/dashboard/uploads/{job}/events")).await;
    assert_eq!((refused.status.as_u16(), refused.header("content-type")), (422, "text/html; charset=utf-8"));
    env.service.signal("TERM");
    for mut stream in open {
        assert_eq!(stream.next().await, None);
    }
    assert_eq!(env.service.wait(), Some(0));
}
