//! Ten thousand random sequences of requests, compared with a model after each step.

mod folders;
mod publication;
mod steps;
mod tokens;
mod uploads;
mod versions;

use std::thread;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use steps::{METHODS, QUERIES, Step, settings, steps};

use crate::support::connection::Connection;
use crate::support::test_sandbox::{Reply, TestSandbox};

const RUNS: u32 = 10_000;
const THREADS: u32 = 2;

struct Video {
    uri: String,
    is_deleted: bool,
    folder: Option<usize>,
    tags: Vec<String>,
}

struct Link {
    path: String,
    video: usize,
    size: u64,
    offset: u64,
    is_dead: bool,
}

/// A version of a video.
struct Version {
    uri: String,
    video: usize,
    /// Its link, if it has one.
    link: Option<usize>,
    is_deleted: bool,
}

/// A text track of a video.
struct Track {
    uri: String,
    /// The path to which its file is sent.
    path: String,
    video: usize,
    language: usize,
    is_active: bool,
    is_filled: bool,
    is_deleted: bool,
}

struct Token {
    value: String,
    /// Whether it belongs to a user.
    has_user: bool,
    is_revoked: bool,
}

struct Code {
    value: String,
    is_used: bool,
    /// By the clock of the run, in seconds.
    made_at: i64,
}

struct Folder {
    uri: String,
    parent: Option<usize>,
    is_deleted: bool,
}

/// The expected state of the sandbox.
#[derive(Default)]
struct Model {
    videos: Vec<Video>,
    links: Vec<Link>,
    folders: Vec<Folder>,
    versions: Vec<Version>,
    tracks: Vec<Track>,
    tokens: Vec<Token>,
    codes: Vec<Code>,
    /// How many seconds have passed.
    clock: i64,
}

struct ModelRun {
    sandbox: TestSandbox,
    connection: Connection,
    token: String,
    model: Model,
}

type Outcome = Result<(), TestCaseError>;

/// The byte at an offset of every file.
fn byte_at(place: u64) -> u8 {
    u8::try_from((place * 31 + 7) % 251).unwrap()
}

fn number(reply: &Reply, header: &str) -> Option<u64> {
    reply.header(header)?.parse().ok()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl ModelRun {
    async fn run(&mut self, steps: &[Step]) -> Outcome {
        self.model = Model::default();
        for step in steps {
            self.step(step).await?;
        }
        self.check_all().await
    }

    async fn api(&mut self, method: &str, path: &str, body: &Value) -> Result<Reply, TestCaseError> {
        let reply = self.connection.api(&self.token, method, path, body).await;
        prop_assert!((200..500).contains(&reply.status), "{} {} {}", method, path, reply.text());
        Ok(reply)
    }

    async fn step(&mut self, step: &Step) -> Outcome {
        match step {
            Step::Create { size, settings, folder } => self.create(*size, *settings, folder.as_ref()).await,
            Step::Replace { video, size } => self.replace(video, *size).await,
            Step::Show { video } => self.show(video).await,
            Step::Edit { video, settings } => self.edit(video, *settings).await,
            Step::Delete { video } => self.delete(video).await,
            Step::List { query } => {
                let path = format!("/me/videos{}", QUERIES[*query]);
                self.api("GET", &path, &Value::Null).await.map(drop)
            }
            Step::Head { link } => self.head(link).await,
            Step::Patch { link, ahead, length } => self.patch(link, *ahead, *length).await,
            Step::MakeFolder { parent } => self.make_folder(parent.as_ref()).await,
            Step::Place { folder, video } => self.place(folder, video).await,
            Step::DropFolder { folder, deletes_clips } => self.drop_folder(folder, *deletes_clips).await,
            Step::Control { video, what } => self.control(video, *what).await,
            Step::DropVersion { version } => self.drop_version(version).await,
            Step::ShowVersion { version } => self.show_version(version).await,
            Step::MakeTrack { video, language } => self.make_track(video, *language).await,
            Step::FillTrack { track, is_text } => self.fill_track(track, *is_text).await,
            Step::ChangeTrack { track, is_active } => self.change_track(track, *is_active).await,
            Step::DropTrack { track } => self.drop_track(track).await,
            Step::Tag { video, words } => self.tag(video, words).await,
            Step::Grant => self.grant().await,
            Step::MakeCode => self.make_code().await,
            Step::Exchange { code } => self.exchange(code).await,
            Step::Verify { token } => self.verify(token).await,
            Step::Revoke { token } => self.revoke(token).await,
            Step::PassSeconds(seconds) => {
                self.model.clock += seconds;
                self.sandbox.pass_seconds(*seconds);
                Ok(())
            }
            Step::Malformed { method, path, body } => {
                let authorization = format!("bearer {}", self.token);
                let headers = [("Authorization", authorization.as_str())];
                // Excludes the controls, which might reset the state.
                let path = path.replace("/_", "/");
                let reply = self.connection.request(METHODS[*method], &path, &headers, body.as_bytes()).await;
                prop_assert!((200..500).contains(&reply.status), "{} {}", path, reply.text());
                Ok(())
            }
        }
    }

    async fn create(&mut self, size: u64, choice: usize, folder: Option<&Index>) -> Outcome {
        let mut body = settings(choice);
        body["upload"] = json!({"approach": "tus", "size": size});
        let folder =
            folder.filter(|_| !self.model.folders.is_empty()).map(|at| at.index(self.model.folders.len()));
        if let Some(folder) = folder {
            body["folder_uri"] = json!(self.model.folders[folder].uri);
        }
        let reply = self.api("POST", "/me/videos", &body).await?;
        let is_lost = folder.is_some_and(|folder| self.model.folders[folder].is_deleted);
        let is_bad = matches!(choice, 4 | 5 | 7);
        prop_assert_eq!(reply.status == 200, !is_lost && !is_bad, "{}", reply.text());
        if reply.status == 200 {
            let made = reply.json();
            let uri = made["uri"].as_str().unwrap().to_owned();
            self.model.videos.push(Video { uri, is_deleted: false, folder, tags: Vec::new() });
            let at = self.model.videos.len() - 1;
            let link = self.note_link(at, size, &made);
            self.note_first_version(at, link).await?;
        }
        Ok(())
    }

    fn note_link(&mut self, video: usize, size: u64, made: &Value) -> Option<usize> {
        // An upload of 0 bytes is complete at once, and shows no link.
        let link = made["upload"]["upload_link"].as_str()?;
        let path = link.strip_prefix(&self.sandbox.running.base_url).unwrap().to_owned();
        self.model.links.push(Link { path, video, size, offset: 0, is_dead: false });
        Some(self.model.links.len() - 1)
    }

    async fn replace(&mut self, video: &Index, size: u64) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        let (path, is_deleted) =
            (format!("{}/versions", self.model.videos[at].uri), self.model.videos[at].is_deleted);
        let body = json!({"upload": {"approach": "tus", "size": size}, "file_name": "b.mp4"});
        let reply = self.api("POST", &path, &body).await?;
        prop_assert_eq!(reply.status, if is_deleted { 404 } else { 201 });
        if reply.status == 201 {
            let link = self.note_link(at, size, &reply.json());
            self.note_version(at, &reply.json(), link);
        }
        Ok(())
    }

    fn pick(&self, video: Index) -> Option<usize> {
        (!self.model.videos.is_empty()).then(|| video.index(self.model.videos.len()))
    }

    async fn show(&mut self, video: &Index) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        self.check_video(at).await
    }

    async fn check_video(&mut self, at: usize) -> Outcome {
        let reply = self.api("GET", &self.model.videos[at].uri.clone(), &Value::Null).await?;
        let video = &self.model.videos[at];
        prop_assert_eq!(reply.status, if video.is_deleted { 404 } else { 200 });
        if !video.is_deleted {
            let parent = reply.json()["parent_folder"]["uri"].clone();
            let expected = video.folder.map(|folder| self.model.folders[folder].uri.clone());
            prop_assert_eq!(parent, json!(expected));
            let tags: Vec<Value> =
                reply.json()["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
            prop_assert_eq!(json!(tags), json!(video.tags));
        }
        Ok(())
    }

    async fn edit(&mut self, video: &Index, choice: usize) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        let reply = self.api("PATCH", &self.model.videos[at].uri.clone(), &settings(choice)).await?;
        let is_good = reply.status == 200 || (400..404).contains(&reply.status);
        prop_assert_eq!(is_good, !self.model.videos[at].is_deleted, "{}", reply.text());
        Ok(())
    }

    async fn delete(&mut self, video: &Index) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        let reply = self.api("DELETE", &self.model.videos[at].uri.clone(), &Value::Null).await?;
        prop_assert_eq!(reply.status, if self.model.videos[at].is_deleted { 404 } else { 204 });
        self.model.videos[at].is_deleted = true;
        Ok(())
    }

    async fn control(&mut self, video: &Index, what: usize) -> Outcome {
        let Some(at) = self.pick(*video) else { return Ok(()) };
        let number = self.model.videos[at].uri.rsplit('/').next().unwrap();
        let (path, body) = match what {
            0 => (format!("videos/{number}/step"), Value::Null),
            1 => (format!("videos/{number}/fail"), json!({"status": "transcoding_error", "when": "due"})),
            _ => (format!("videos/{number}/expire-link"), Value::Null),
        };
        let reply = self.connection.control("POST", &path, &body).await;
        let is_there = !self.model.videos[at].is_deleted;
        prop_assert_eq!(reply.status != 404, is_there, "{}", reply.text());
        prop_assert!((200..500).contains(&reply.status), "{}", reply.text());
        if what == 2 && is_there {
            // The link of the newest version expires.
            let newest = reply.json()["versions"].as_array().unwrap().last().unwrap().clone();
            for link in &mut self.model.links {
                let key = link.path.rsplit('/').next().unwrap();
                link.is_dead |= newest["link_fingerprint"] == sha256(key.as_bytes())[..12];
            }
        }
        Ok(())
    }

    /// At the end of a run: deleted resources are gone, and the others have the bytes that were sent.
    async fn check_all(&mut self) -> Outcome {
        for at in 0..self.model.videos.len() {
            self.check_video(at).await?;
        }
        for at in 0..self.model.versions.len() {
            self.check_version(at).await?;
        }
        for at in 0..self.model.tracks.len() {
            self.check_track(at).await?;
        }
        for at in 0..self.model.tokens.len() {
            self.check_token(at).await?;
        }
        let shown = self.connection.control("GET", "videos", &Value::Null).await.json();
        let live = self.model.videos.iter().filter(|video| !video.is_deleted).count();
        let mut mine = 0;
        for video in shown["videos"].as_array().unwrap() {
            let Some(at) = self.model.videos.iter().position(|known| video["uri"] == known.uri) else {
                continue;
            };
            prop_assert!(!self.model.videos[at].is_deleted);
            mine += 1;
            for version in video["versions"].as_array().unwrap() {
                let (size, received) =
                    (version["size"].as_u64().unwrap(), version["received"].as_u64().unwrap());
                prop_assert!(received <= size);
                let bytes: Vec<u8> = (0..received).map(byte_at).collect();
                prop_assert_eq!(&version["sha256"], &json!(sha256(&bytes)));
            }
        }
        prop_assert_eq!(mine, live);
        Ok(())
    }
}

fn run_many(runs: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig { cases: runs, failure_persistence: None, ..ProptestConfig::default() };
    let mut run = runtime.block_on(async {
        let sandbox = TestSandbox::strict().await;
        let connection = Connection::open(sandbox.running.addr).await;
        let token = sandbox.running.access_token.clone();
        ModelRun { sandbox, connection, token, model: Model::default() }
    });
    let run = std::cell::RefCell::new(&mut run);
    let outcome = TestRunner::new(config).run(&steps(), |steps| {
        let mut run = run.borrow_mut();
        runtime.block_on(async {
            // Each run starts with an empty state.
            let reset = run.connection.control("POST", "reset", &Value::Null).await;
            assert_eq!(reset.status, 204);
            run.run(&steps).await
        })
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn random_sequences_of_requests_match_the_model() {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| run_many(RUNS / THREADS));
        }
    });
}
