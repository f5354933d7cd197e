//! Once Vimeo has all bytes, no response makes the service delete the video: every status from 400 to 599 and every
//! disconnect, at every request after the last byte, once and permanently.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::uploads::faulty_proxy::{Fault, FaultyProxy, Plan, Seen};
use crate::support::uploads::source::{bytes, sha256};
use crate::support::uploads::{CONFIG, UploadEnv, assert_whole, fast_sandbox, is_finished};

pub(crate) const SIZE: u64 = 1_000;
const MANY: &str = "uploads.concurrency = 500\nuploads.per_account = 500\nuploads.per_connection = 500\n";
/// Refusals are confirmed quickly.
pub(crate) const CONFIRM: &str = "uploads.confirm_seconds = 2\n";

/// Requests after the last byte, in the order of an upload.
pub(crate) const FIRST: [&str; 6] = ["bytes", "offset", "look", "thumbnail", "open", "last look"];
pub(crate) const SECOND: [&str; 5] = ["describe", "privacy", "domain", "folder", "transcoding look"];

/// Definite refusals: of a setting that is required before publishing, and of the token.
const DEFINITE: [Fault; 3] = [Fault::Status(400), Fault::Status(401), Fault::Status(422)];

impl UploadEnv {
    /// A service that reaches Vimeo through a faulty proxy, and the body of an upload that makes every request.
    pub(crate) async fn behind_faults(config: &str) -> (Self, FaultyProxy, Value) {
        let proxy = FaultyProxy::start().await;
        let config = format!("{CONFIG}{MANY}{config}vimeo.proxy = \"{}\"\n", proxy.url);
        let uploads = Self::with(&config, fast_sandbox()).await;
        let env = &uploads.env;
        let folder = env
            .http
            .post(format!("{}/me/projects", env.sandbox.base_url))
            .bearer_auth(&env.sandbox.access_token)
            .header("content-type", "application/json")
            .body("{\"name\": \"Films\"}")
            .send()
            .await
            .unwrap();
        let folder: Value = serde_json::from_str(&folder.text().await.unwrap()).unwrap();
        let body = json!({
            "name": "A film",
            "privacy": {"view": "unlisted", "embed": "whitelist", "comments": "nobody"},
            "embed_domains": ["example.com"],
            "folder_uri": folder["uri"],
            "thumbnail_time": 0.5,
        });
        (uploads, proxy, body)
    }

    pub(crate) async fn begin_url(&self, body: &Value) -> String {
        let mut body = body.clone();
        body["source"] = json!({"url": self.source.url("film.mp4", SIZE)});
        self.submit_with(body).await
    }

    /// An upload whose bytes are sent by the client, whatever the responses.
    async fn begin_client(&self, body: &Value, client: &reqwest::Client) -> String {
        let mut body = body.clone();
        body["source"] = json!({"size": SIZE});
        let mut made = self.post(&body).await;
        // Waits for the end of a rate limit of another upload.
        for _ in 0..60 {
            if made.status != 503 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            made = self.post(&body).await;
        }
        assert_eq!(made.status, 201, "{}", made.text);
        let data = made.json()["data"].clone();
        let request = client
            .patch(data["uploadLink"].as_str().unwrap())
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", "0")
            .header("content-type", "application/offset+octet-stream");
        let _ = request.body(bytes(SIZE)).send().await;
        data["jobId"].as_str().unwrap().to_owned()
    }

    /// Waits until all these jobs have ended.
    pub(crate) async fn ends(&self, ids: &[String]) -> Vec<Value> {
        let mut ended = Vec::new();
        for id in ids {
            ended.push(self.wait_for_end(id).await);
        }
        ended
    }

    /// Asserts that the video of each job is complete, that its deletion was never requested, and that each point had
    /// its fault; the videos as seen by the proxy.
    pub(crate) async fn assert_all_kept(&self, jobs: &[Value], proxy: &FaultyProxy) -> Vec<Seen> {
        let seen = proxy.videos();
        let stored: HashMap<String, Value> = self
            .videos()
            .await
            .into_iter()
            .map(|video| (video["uri"].as_str().unwrap().split(':').next().unwrap().to_owned(), video))
            .collect();
        assert_eq!(seen.len(), jobs.len(), "one placeholder for each upload");
        let mut by_job: HashMap<String, (String, Seen)> = HashMap::new();
        for (uri, seen) in seen {
            assert_eq!(seen.deletions, 0, "{seen:?}");
            let version =
                &stored.get(&uri).unwrap_or_else(|| panic!("{uri} was deleted: {seen:?}"))["versions"][0];
            assert_eq!((&version["received"], &version["sha256"]), (&json!(SIZE), &json!(sha256(SIZE))));
            by_job.insert(seen.name.rsplit(' ').next().unwrap().to_owned(), (uri, seen));
        }
        let found = jobs.iter().map(|job| {
            let (uri, seen) = by_job.remove(job["job_id"].as_str().unwrap()).unwrap();
            if job["data"]["status"] == "completed" {
                assert_eq!(job["data"]["vimeoUri"], uri, "{job}");
            } else if job["data"]["error_code"] != "VIMEO_VIDEO_DELETED" {
                assert!(job["data"]["error_message"].as_str().unwrap().contains(&uri), "{job}");
            }
            seen
        });
        found.collect()
    }
}

/// Asserts that an upload recovered from its faults, or that a definite refusal ended it.
pub(crate) fn assert_recovered(job: &Value, seen: &Seen, points: &[&'static str]) {
    let fault = seen.fault.unwrap();
    if DEFINITE.contains(&fault) && job["data"]["status"] == "failed" {
        assert!(!seen.faulted.is_empty(), "{seen:?}");
        return;
    }
    assert_eq!(job["data"]["status"], "completed", "{seen:?}: {job}");
    let missed: Vec<_> = points.iter().filter(|point| !seen.faulted.contains(point)).collect();
    assert!(missed.is_empty(), "{missed:?} were never requested: {seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_per_request_keeps_and_completes_a_url_upload() {
    let (uploads, proxy, body) = UploadEnv::behind_faults("").await;
    let faults = Fault::all();
    let plans = faults.iter().flat_map(|fault| [Plan::once(*fault, &FIRST), Plan::once(*fault, &SECOND)]);
    proxy.plan(plans, &[]);
    let mut ids = Vec::new();
    for _ in 0..faults.len() * 2 {
        ids.push(uploads.begin_url(&body).await);
    }
    let jobs = uploads.ends(&ids).await;
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, &proxy).await) {
        let is_first = seen.faulted.iter().any(|point| FIRST.contains(point));
        // If the response to the last byte confirms it, the offset is not requested.
        let points = if is_first { &FIRST[..] } else { &SECOND[..] };
        assert_recovered(job, &seen, points);
    }
    assert_eq!(uploads.journal("GET /me/videos").await, Vec::<Value>::new(), "every create was confirmed");
}

/// Lists are requested only after a create whose response was lost: here after each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_per_list_keeps_and_completes_an_unconfirmed_upload() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let lists = [
        json!({"kind": "status", "status": 500}),
        json!({"kind": "status", "status": 503, "error_code": 7100}),
        json!({"kind": "cut"}),
        json!({"kind": "cut-after"}),
        json!({"kind": "truncate"}),
        json!({"kind": "html", "status": 502}),
        json!({"kind": "garbage"}),
    ];
    let lost = json!({"route": "POST /me/videos", "kind": "cut-after", "times": lists.len()});
    uploads.env.inject_fault(lost).await;
    for mut fault in lists.clone() {
        fault["route"] = json!("GET /me/videos");
        uploads.env.inject_fault(fault).await;
    }
    let mut ids = Vec::new();
    for _ in &lists {
        ids.push(uploads.submit(SIZE).await);
    }
    for job in uploads.ends(&ids).await {
        assert_eq!(job["data"]["status"], "completed", "{job}");
    }
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), lists.len(), "one for each upload: {videos:#?}");
    assert!(videos.iter().all(|video| video["versions"][0]["received"] == SIZE), "{videos:#?}");
    // One for each fault; and for each upload at most one to find its placeholder, and two for duplicates.
    let requested = uploads.journal("GET /me/videos").await.len();
    assert!((lists.len()..=4 * lists.len()).contains(&requested), "{requested} lists");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_fault_per_request_keeps_and_completes_a_client_upload() {
    let (uploads, proxy, body) = UploadEnv::behind_faults("").await;
    let faults = Fault::all();
    proxy.plan(faults.iter().map(|fault| Plan::once(*fault, &FIRST)), &[]);
    let through = reqwest::Proxy::all(&proxy.url).unwrap();
    let client = reqwest::Client::builder().proxy(through).build().unwrap();
    let mut ids = Vec::new();
    for _ in &faults {
        ids.push(uploads.begin_client(&body, &client).await);
    }
    let jobs = uploads.ends(&ids).await;
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, &proxy).await) {
        assert_recovered(job, &seen, &FIRST);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permanent_fault_fails_the_upload_and_keeps_the_video() {
    let (uploads, proxy, body) = UploadEnv::behind_faults(CONFIRM).await;
    // A rate limit is waited out, however long it lasts.
    let refusals = (400..=499).filter(|status| *status != 429).map(Fault::Status);
    let refused: Vec<Plan> = refusals
        .clone()
        .map(|fault| Plan::lasting(fault, &["look"]))
        .chain(refusals.clone().map(|fault| Plan::lasting(fault, &["transcoding look", "last look"])))
        .chain(
            [403, 404, 410].map(|status| Plan::lasting(Fault::Status(status), &["bytes", "offset", "look"])),
        )
        .collect();
    let count = refused.len();
    proxy.plan(refused, &[]);
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(uploads.begin_url(&body).await);
    }
    let jobs = uploads.ends(&ids).await;
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, &proxy).await) {
        assert_eq!(job["data"]["status"], "failed", "{seen:?}: {job}");
        let code = match seen.fault.unwrap() {
            Fault::Status(404) => "VIMEO_VIDEO_DELETED",
            Fault::Status(401) => "VIMEO_CREDENTIALS_REJECTED",
            _ => "VIMEO_REFUSED",
        };
        assert_eq!(job["data"]["error_code"], code, "{seen:?}: {job}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_or_a_dead_link_after_the_last_byte_is_survived() {
    let (uploads, proxy, body) = UploadEnv::behind_faults("").await;
    let broken = [500, 501, 502, 503, 504, 520, 599].map(Fault::Status);
    let cuts = Fault::all().into_iter().filter(|fault| !matches!(fault, Fault::Status(_)));
    let waiting = broken.into_iter().chain(cuts).map(|fault| Plan::lasting(fault, &["look"]));
    let waiting: Vec<Plan> = waiting.collect();
    let dead = [400, 403, 404, 405, 409, 410, 412, 413, 415, 423, 500, 503];
    let dead = dead.map(|status| Plan::lasting(Fault::Status(status), &["bytes", "offset"]));
    let (waits, deads) = (waiting.len(), dead.len());
    proxy.plan(waiting.into_iter().chain(dead), &[]);
    let mut ids = Vec::new();
    for _ in 0..waits + deads {
        ids.push(uploads.begin_url(&body).await);
        // So that the next placeholder belongs to the next upload.
        let id = ids.last().unwrap();
        uploads.until(id, |job| job["data"]["vimeoUri"].is_string() || is_finished(job)).await;
    }
    uploads.ends(&ids[waits..]).await;
    for id in &ids[..waits] {
        assert_eq!(uploads.job(id).await["data"]["status"], "in-progress");
    }
    proxy.clear_faults();
    let jobs = uploads.ends(&ids).await;
    for (job, seen) in jobs.iter().zip(uploads.assert_all_kept(&jobs, &proxy).await) {
        assert_eq!(job["data"]["status"], "completed", "{seen:?}: {job}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_counts_as_deleted_only_if_the_list_lacks_it_too() {
    let config = format!("{CONFIG}{CONFIRM}");
    let by_hand = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    let uploads = UploadEnv::with(&config, by_hand).await;
    let id = uploads.submit(SIZE).await;
    let uri =
        uploads.wait_for_phase(&id, "transcoding").await["data"]["vimeoUri"].as_str().unwrap().to_owned();
    let missing = json!({"route": "GET /videos/{video}", "kind": "status", "status": 404, "times": "always"});
    uploads.env.inject_fault(missing).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_UNAVAILABLE", "{job}");
    assert!(job["data"]["error_message"].as_str().unwrap().contains(&uri), "{job}");
    assert_eq!(uploads.videos().await.len(), 1);
    uploads.env.control(Method::DELETE, "faults", Value::Null).await;

    let id = uploads.submit(SIZE).await;
    let uri =
        uploads.wait_for_phase(&id, "transcoding").await["data"]["vimeoUri"].as_str().unwrap().to_owned();
    let path = format!("{}{uri}", uploads.env.sandbox.base_url);
    let deleted = uploads.env.http.delete(path).bearer_auth(&uploads.env.sandbox.access_token);
    assert_eq!(deleted.send().await.unwrap().status(), 204);
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_VIDEO_DELETED", "{job}");
    let asked = uploads.journal("DELETE /videos/{video}").await;
    assert_eq!(asked.len(), 1, "only the request of the owner: {asked:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelling_deletes_even_a_complete_video() {
    let by_hand = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    let uploads = UploadEnv::with(CONFIG, by_hand).await;
    let id = uploads.submit(SIZE).await;
    uploads.wait_for_phase(&id, "transcoding").await;
    let path = format!("/pictoryapis/v1/jobs/{id}");
    assert_eq!(uploads.env.send(Method::DELETE, &path, &[], Vec::new()).await.status, 204);
    uploads.until(&id, |job| job["data"]["phase"] == "cancelled").await;
    assert_eq!(uploads.videos().await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_video_that_cannot_be_transcoded_is_reported_and_kept() {
    let uploads = UploadEnv::with(CONFIG, fast_sandbox()).await;
    let outcome = json!({"route": "POST /me/videos", "kind": "outcome", "status": "transcoding_error"});
    uploads.env.inject_fault(outcome).await;
    let id = uploads.submit(SIZE).await;
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["error_code"], "VIMEO_FILE_UNUSABLE", "{job}");
    let videos = uploads.videos().await;
    assert_eq!(videos.len(), 1, "one response deletes nothing");
    let uri = videos[0]["uri"].as_str().unwrap();
    assert!(job["data"]["error_message"].as_str().unwrap().contains(uri), "{job}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_complete_video_is_kept_and_reported() {
    let by_hand = sandbox::Options { pace: sandbox::Pace::ByHand, ..sandbox::Options::default() };
    let uploads = UploadEnv::with(CONFIG, by_hand).await;
    // The response of its create is lost: only then may there be a second video with the name of the placeholder. Its
    // settings wait until there is one.
    for fault in [
        json!({"route": "POST /me/videos", "kind": "cut-after"}),
        json!({"route": "GET /me/videos", "kind": "status", "status": 503, "after": 1, "times": 2}),
    ] {
        uploads.env.inject_fault(fault).await;
    }
    let id = uploads.submit(SIZE).await;
    uploads.wait_for_phase(&id, "configuring").await;
    let second = uploads.second_video(&format!("vimeo-connections upload {id}")).await;
    let job = uploads.wait_for_phase(&id, "transcoding").await;
    assert_eq!(uploads.videos().await.len(), 2, "{job}");
    let warnings = job["data"]["warnings"].to_string();
    assert!(warnings.contains(&format!("{second} is a second copy")), "{warnings}");
    let step =
        format!("videos/{}/step", job["data"]["vimeoUri"].as_str().unwrap().rsplit('/').next().unwrap());
    for _ in 0..2 {
        uploads.env.control(Method::POST, &step, Value::Null).await;
    }
    let job = uploads.wait_for_end(&id).await;
    assert_eq!(job["data"]["status"], "completed", "{job}");
    let videos = uploads.videos().await;
    let own = videos.iter().find(|video| video["uri"] == job["data"]["vimeoUri"]).unwrap();
    assert_whole(&job, own, SIZE);
    assert_eq!(videos.len(), 2);
}

impl UploadEnv {
    /// Creates a complete video with this name, without the service; its URI.
    async fn second_video(&self, name: &str) -> String {
        let sandbox = &self.env.sandbox;
        let options = json!({"name": name, "upload": {"approach": "tus", "size": SIZE}}).to_string();
        let request = self.env.http.post(format!("{}/me/videos", sandbox.base_url)).body(options);
        let made = request
            .bearer_auth(&sandbox.access_token)
            .header("content-type", "application/json")
            .header("accept", "application/vnd.vimeo.*+json;version=3.4")
            .send()
            .await
            .unwrap();
        let made: Value = serde_json::from_str(&made.text().await.unwrap()).unwrap();
        let link = made["upload"]["upload_link"].as_str().unwrap();
        let sent = self
            .env
            .http
            .patch(link)
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", "0")
            .header("content-type", "application/offset+octet-stream")
            .body(bytes(SIZE));
        assert_eq!(sent.send().await.unwrap().status(), 204);
        made["uri"].as_str().unwrap().to_owned()
    }
}
