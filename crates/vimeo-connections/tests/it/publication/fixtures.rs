//! An environment for publications: a server of small files, a request with everything, and what Vimeo has afterwards.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::time::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::canaries::Canaries;
use crate::support::harness::{EnvOptions, Response};
use crate::support::postgres::{SharedPostgres, Version};
use crate::support::uploads::scripted::{Asked, Reply, Scripted};
use crate::support::uploads::source::sha256_of;
use crate::support::uploads::{CONFIG, UploadEnv, fast_sandbox};

/// The length of the film.
pub(super) const SIZE: u64 = 100_000;
const ENGLISH: &[u8] = b"WEBVTT\n\n00:00.000 --> 00:01.000\nHello\n";
const GERMAN: &[u8] = b"1\r\n00:00:00,000 --> 00:00:01,000\r\nHallo\r\n";
const FRENCH: &[u8] = b"WEBVTT\n\n00:00.000 --> 00:01.000\nBonjour\n";
/// A PNG image of one pixel.
const PIXEL: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// The name of the showcase that exists before the request.
const EXISTING: &str = "Existing";
const CREATED: &str = "Created";
const FOLDER: &str = "Films";

/// The database of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres(Version),
}

pub(super) const ENGINES: [Engine; 3] =
    [Engine::Sqlite, Engine::Postgres(Version::V15), Engine::Postgres(Version::V18)];

pub(super) struct PublicationEnv {
    pub(super) uploads: UploadEnv,
    pub(super) files: Scripted,
    postgres: Option<SharedPostgres>,
    /// The URI of an embed preset of the account.
    preset: String,
}

/// The present, in whole milliseconds, as requests carry it.
pub(super) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "it is compared with the time of the service and of the sandbox"
    )]
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Timestamp::from_millis(i64::try_from(now.as_millis()).unwrap())
}

pub(super) fn png() -> Vec<u8> {
    STANDARD.decode(PIXEL).unwrap()
}

/// The small files.
fn answer(asked: &Asked) -> Reply {
    match asked.path() {
        "/en.vtt" => Reply::bytes(&[], ENGLISH),
        "/de.srt" => Reply::bytes(&[], GERMAN),
        "/fr.vtt" => Reply::bytes(&[], FRENCH),
        "/thumbnail.png" => Reply::bytes(&[], &png()),
        "/page.vtt" => Reply::bytes(&[], b"<!DOCTYPE html><html><body>Sign in</body></html>"),
        "/text.vtt" => Reply::bytes(&[], b"Not a text track"),
        "/large.vtt" => Reply::bytes(&[], &vec![b'a'; 5 * 1024 * 1024 + 1]),
        _ => Reply::status(404),
    }
}

impl PublicationEnv {
    pub(super) async fn start() -> Self {
        Self::with(Engine::Sqlite, fast_sandbox(), CONFIG).await.unwrap()
    }

    /// `None`, and reported, if the engine is missing.
    pub(super) async fn on(engine: Engine) -> Option<Self> {
        Self::with(engine, fast_sandbox(), CONFIG).await
    }

    /// The same with other options of the sandbox, and this configuration.
    pub(super) async fn with(engine: Engine, sandbox: sandbox::Options, config: &str) -> Option<Self> {
        let postgres = match engine {
            Engine::Sqlite => None,
            Engine::Postgres(version) => Some(SharedPostgres::database(version)?),
        };
        let database_url = postgres.as_ref().map(SharedPostgres::url);
        let config = config.to_owned();
        let options = EnvOptions { config, database_url, sandbox: Some(sandbox), ..EnvOptions::default() };
        let uploads = UploadEnv::with_options(options).await;
        let files = Scripted::start(answer).await;
        let mut env = Self { uploads, files, postgres, preset: String::new() };
        let presets = env.vimeo(Method::GET, "/me/presets", Value::Null).await;
        env.preset = presets["data"][0]["uri"].as_str().unwrap().to_owned();
        env.vimeo(Method::POST, "/me/albums", json!({"name": EXISTING})).await;
        Some(env)
    }

    /// A request to Vimeo's API as the owner of the videos; the response, which must be a success.
    pub(super) async fn vimeo(&self, method: Method, path: &str, body: Value) -> Value {
        let token = self.uploads.env.sandbox.access_token.clone();
        self.vimeo_as(&token, method, path, body).await
    }

    /// The same with another token.
    pub(super) async fn vimeo_as(&self, token: &str, method: Method, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.uploads.env.sandbox.base_url);
        let mut request = self.uploads.env.http.request(method, url).bearer_auth(token);
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let accept = "application/vnd.vimeo.*+json;version=3.4";
        let answer = request.header("accept", accept).send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// The body of a request with everything.
    pub(super) fn everything(&self, publish_at: Timestamp) -> Value {
        let file = |path: &str| self.files.url_of(path);
        json!({
            "source": {"url": self.uploads.source.url("film.mp4", SIZE)},
            "name": "A film",
            "folder_name": FOLDER,
            "license": "by",
            "locale": "en",
            "tags": ["sea", "summer"],
            "showcases": [EXISTING, CREATED],
            "embedPreset": self.preset,
            "chapters": [{"timecode": 0, "title": "Start"}, {"timecode": 60, "title": "End"}],
            "textTracks": [
                {"url": file("/en.vtt"), "type": "captions", "language": "en", "name": "English"},
                {"url": file("/de.srt"), "type": "subtitles", "language": "de"},
                {"url": file("/fr.vtt"), "type": "subtitles", "language": "fr", "active": false},
            ],
            "thumbnail": {"url": file("/thumbnail.png")},
            "publishAt": publish_at.to_string(),
        })
    }

    /// A video as the sandbox records it.
    pub(super) async fn recorded(&self, uri: &str) -> Value {
        let number = uri.rsplit('/').next().unwrap();
        self.uploads.env.control(Method::GET, &format!("videos/{number}"), Value::Null).await
    }

    /// Everything that Vimeo has: the only video with its parts, and the names of all showcases and folders.
    pub(super) async fn published(&self) -> Value {
        let videos: Vec<Value> = self.uploads.videos().await;
        let names = async |path: &str| {
            let listed = self.vimeo(Method::GET, path, Value::Null).await;
            sorted(&listed["data"], |item| item["name"].clone())
        };
        let videos: Vec<Value> = videos.iter().map(parts).collect();
        json!({
            "videos": videos,
            "showcases": names("/me/albums?per_page=100").await,
            "folders": names("/me/projects?per_page=100").await,
        })
    }

    /// What [`Self::published`] has to be after a request with everything.
    pub(super) fn expected(&self, view: &str) -> Value {
        let file = |bytes: &[u8]| sha256_of(bytes);
        json!({
            "videos": [{
                "name": "A film",
                "view": view,
                "text_tracks": [
                    ["captions", "en", "English", true, file(ENGLISH)],
                    ["subtitles", "de", "de", true, file(GERMAN)],
                    ["subtitles", "fr", "fr", false, file(FRENCH)],
                ],
                "pictures": [[true, file(&png())]],
                "tags": ["sea", "summer"],
                "chapters": [[0, "Start"], [60, "End"]],
                "showcases": [CREATED, EXISTING],
                "preset": self.preset.rsplit('/').next(),
                "is_in_folder": true,
                "versions": 1,
            }],
            "showcases": [CREATED, EXISTING],
            "folders": [FOLDER],
        })
    }

    /// What is wrong with a job that must have completed after this instant, or with its video; `Ok` if nothing is.
    pub(super) async fn check(&self, job: &Value, publish_at: Timestamp) -> Result<(), String> {
        let (published, expected) = (self.published().await, self.expected("anybody"));
        let videos = self.uploads.videos().await;
        let changes: Vec<&Value> =
            videos.iter().flat_map(|video| video["view_changes"].as_array().unwrap()).collect();
        let early = changes.iter().filter(|change| instant(&change["at"]) < publish_at).count();
        let data = &job["data"];
        let wrong = [
            (data["status"] != "completed", "it is not completed"),
            (data["warnings"] != json!([]), "it has warnings"),
            (data["playable"] != true, "it is not playable"),
            (published != expected, "Vimeo does not have what was requested"),
            (early > 0, "it was opened too early"),
            (changes.is_empty(), "it was not opened"),
        ];
        let wrong: Vec<&str> = wrong.into_iter().filter_map(|(is, what)| is.then_some(what)).collect();
        if wrong.is_empty() {
            return Ok(());
        }
        Err(format!("{}: {job}\n{published:#}\nexpected: {expected:#}", wrong.join(", ")))
    }

    /// Deletes what a request with everything has made, and the journal.
    pub(super) async fn clean(&self) {
        for video in self.uploads.videos().await {
            self.vimeo(Method::DELETE, video["uri"].as_str().unwrap(), Value::Null).await;
        }
        for (list, kept) in [("/me/albums", EXISTING), ("/me/projects", "")] {
            for item in self.vimeo(Method::GET, list, Value::Null).await["data"].as_array().unwrap() {
                if item["name"] != kept {
                    self.vimeo(Method::DELETE, item["uri"].as_str().unwrap(), Value::Null).await;
                }
            }
        }
        self.uploads.env.control(Method::DELETE, "journal", Value::Null).await;
    }

    /// The lease of a killed worker expires. It does so anyway, 30 seconds later.
    pub(super) fn expire_leases(&self) {
        let sql = "UPDATE jobs SET lease_until = 0 WHERE lease_until IS NOT NULL";
        match &self.postgres {
            None => self.uploads.env.database().execute(sql, []).map(drop).unwrap(),
            Some(database) => drop(database.sql(sql)),
        }
    }

    /// Kills the service with SIGKILL, and starts it again.
    pub(super) fn kill_and_restart(&mut self) {
        self.uploads.env.service.kill();
        self.expire_leases();
        self.uploads.env.kill_and_restart();
    }

    /// Changes when the video of a job is opened.
    pub(super) async fn reschedule(&self, id: &str, publish_at: Option<Timestamp>) -> Response {
        let body = json!({"publishAt": publish_at.map(|at| at.to_string())}).to_string();
        let headers = [("content-type", "application/json")];
        let path = format!("/pictoryapis/v1/jobs/{id}");
        self.uploads.env.send(Method::PATCH, &path, &headers, body.into_bytes()).await
    }

    /// Where these secrets are shown: in the answers, in lists, in the log, or in the plain text of the database.
    pub(super) async fn exposures(&self, secrets: &[&str], mut answers: Vec<String>) -> Vec<String> {
        for list in ["jobs", "audit-events"] {
            answers.push(self.uploads.env.get(&format!("/pictoryapis/v1/{list}")).await.text);
        }
        answers.push(self.uploads.env.log());
        if let Some(database) = &self.postgres {
            let tables = ["jobs", "job_secrets", "audit_events"];
            answers.extend(tables.map(|table| database.sql(&format!("SELECT t::text FROM {table} t"))));
        }
        let named: Vec<(&str, &[u8])> = secrets.iter().map(|secret| (*secret, secret.as_bytes())).collect();
        let canaries = Canaries::of(&named);
        let directory = self.uploads.env.path();
        let mut found = canaries.in_files(directory, &[&directory.join("vimeo-connections.keyring")]);
        for answer in answers {
            let shown = canaries.in_bytes(answer.as_bytes());
            found.extend(shown.into_iter().map(|secret| format!("{secret} in {answer}")));
        }
        found
    }
}

/// A time from now on, in whole milliseconds.
pub(super) fn after(duration: Duration) -> Timestamp {
    now().plus(duration).floor_to_millis()
}

/// An instant of the sandbox.
pub(super) fn instant(value: &Value) -> Timestamp {
    Timestamp::parse(value.as_str().unwrap()).unwrap()
}

/// The parts of a video that a request with everything makes.
fn parts(video: &Value) -> Value {
    json!({
        "name": video["name"],
        "view": video["view"],
        "text_tracks": sorted(&video["text_tracks"], |track| {
            json!([track["type"], track["language"], track["name"], track["active"], track["file"]["sha256"]])
        }),
        "pictures": sorted(&video["pictures"], |picture| json!([picture["active"], picture["file"]["sha256"]])),
        "tags": sorted(&video["tags"], Value::clone),
        "chapters": sorted(&video["chapters"], |chapter| json!([chapter["timecode"], chapter["title"]])),
        "showcases": sorted(&video["showcases"], |showcase| showcase["name"].clone()),
        "preset": video["preset"].as_str().and_then(|uri| uri.rsplit('/').next()),
        "is_in_folder": !video["folder"].is_null(),
        "versions": video["versions"].as_array().unwrap().len(),
    })
}

/// What is shown of the items of a list, in a fixed order.
fn sorted(list: &Value, show: impl Fn(&Value) -> Value) -> Vec<Value> {
    let mut shown: Vec<Value> = list.as_array().unwrap().iter().map(show).collect();
    shown.sort_by_key(Value::to_string);
    shown
}

/// How many videos, folders and showcases the account has.
pub(super) async fn parts_of_account(env: &PublicationEnv) -> [u64; 3] {
    let mut counts = [0; 3];
    for (count, list) in counts.iter_mut().zip(["/me/videos", "/me/projects", "/me/albums"]) {
        let listed = env.vimeo(Method::GET, &format!("{list}?per_page=1"), Value::Null).await;
        *count = listed["total"].as_u64().unwrap();
    }
    counts
}

impl PublicationEnv {
    /// Gives the account this many videos, folders and showcases.
    pub(super) async fn fill(&self, count: usize) {
        for number in 0..count {
            let name = format!("Number {number}");
            let upload = json!({"approach": "tus", "size": 1});
            self.vimeo(Method::POST, "/me/videos", json!({"name": name, "upload": upload})).await;
            self.vimeo(Method::POST, "/me/projects", json!({"name": name})).await;
            self.vimeo(Method::POST, "/me/albums", json!({"name": name})).await;
        }
    }
}
