//! The JSON of jobs, for responses, lists, event streams and webhooks.

use domain::job::{Completed, Job, JobId, JobState, WaitingFor};
use domain::secret::Secret;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// An upload as a job.
#[derive(Serialize, ToSchema)]
#[schema(as = Job)]
pub(crate) struct JobOut<'a> {
    #[schema(format = "uuid", example = "019c1234-5678-7abc-8def-0123456789ab")]
    job_id: &'a str,
    /// `false` once it failed or was cancelled.
    success: bool,
    data: JobDataOut<'a>,
}

/// The state of a job. Fields without a value are omitted.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobData)]
struct JobDataOut<'a> {
    /// `in-progress`, `completed`, `failed` or `cancelled`.
    #[schema(pattern = "^(in-progress|completed|failed|cancelled)$", example = "in-progress")]
    status: &'static str,
    /// The current step: `queued`, `creating`, `uploading`, `configuring`, `transcoding`, `scheduled` (until
    /// `publishAt`), `publishing`, `cleaning_up` (what the upload created at Vimeo is deleted), and at its end `completed`, `failed` or `cancelled`.
    #[schema(
        pattern = "^(queued|creating|uploading|configuring|transcoding|scheduled|publishing|cleaning_up|completed|failed|cancelled)$",
        example = "uploading"
    )]
    phase: &'static str,
    #[schema(minimum = 0, maximum = 100, example = 45)]
    progress: u8,
    /// Bytes that Vimeo has acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 52_428_800)]
    bytes_sent: Option<u64>,
    /// The total number of bytes, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 104_857_600)]
    bytes_total: Option<u64>,
    /// The recent rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 10_485_760)]
    bytes_per_second: Option<u64>,
    /// Estimated time for the remaining bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, example = 5)]
    seconds_left: Option<u64>,
    /// The video at Vimeo. For a failed or cancelled job, what is left there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^/videos/[1-9][0-9]*$", example = "/videos/123456789")]
    vimeo_uri: Option<String>,
    /// The URL of the video's page, once it is completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://vimeo.com/123456789")]
    vimeo_url: Option<&'a str>,
    /// The URL of its player.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "https://player.vimeo.com/video/123456789")]
    player_url: Option<&'a str>,
    /// Whether Vimeo can play the file, perhaps not in every size yet.
    #[schema(example = false)]
    playable: bool,
    /// What the job waits for while no worker runs it: `rate-limit`, `vimeo-unavailable`, `source-unavailable`,
    /// `connection-disabled`, `client` (which sends the bytes), `transcoding`, `publish-time`, or `confirmation` (whether
    /// Vimeo carried out an earlier request).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z-]+$", example = "rate-limit")]
    waiting_for: Option<&'static str>,
    /// Settings that could not be applied and other problems, in sentences.
    #[schema(example = json!([]))]
    warnings: Vec<String>,
    /// Why it failed, for programs.
    #[serde(rename = "error_code", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[A-Z_]+$", example = "SOURCE_UNREACHABLE")]
    error_code: Option<&'static str>,
    /// Why it failed, for people.
    #[serde(rename = "error_message", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "The source cannot be reached.")]
    error_message: Option<String>,
    #[schema(pattern = "^[0-9]{17}[a-z0-9]{15}$", example = "20260131090500042k3v9x0q2m7t1b8z")]
    connection_id: &'a str,
    /// ISO 8601 in UTC, with milliseconds.
    #[schema(format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2026-01-31T09:05:00.042Z")]
    created_date: String,
    /// When the current step started.
    #[schema(format = DateTime, pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$", example = "2026-01-31T09:05:03.711Z")]
    updated_date: String,
    /// When the video is opened to its viewers, if that was requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime, example = "2026-03-01T09:00:00.000Z")]
    publish_at: Option<String>,
    /// The video whose file this upload replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^/videos/[1-9][0-9]*$", example = "/videos/123456789")]
    replaces: Option<String>,
    /// The failed job that this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = "uuid", example = "019c1234-0000-7abc-8def-0123456789ab")]
    retry_of: Option<&'a str>,
    /// The state of the webhook: `none` (not requested), `waiting`, `delivered` or `given-up`.
    #[schema(pattern = "^(none|waiting|delivered|given-up)$", example = "none")]
    webhook: &'static str,
}

impl<'a> From<&'a Job> for JobOut<'a> {
    fn from(job: &'a Job) -> Self {
        let status = job.status();
        let completed = match &job.state {
            JobState::Completed(completed) => Some(completed),
            _ => None,
        };
        let failure = job.failure();
        let (webhook, _) = job.webhook.to_stored();
        Self {
            job_id: job.id.as_str(),
            success: status.may_complete(),
            data: JobDataOut {
                status: status.as_str(),
                phase: job.state.as_str(),
                progress: job.progress_percent(),
                bytes_sent: job.bytes_sent(),
                bytes_total: job.bytes_total(),
                bytes_per_second: job.bytes_per_second,
                seconds_left: job.seconds_left(),
                vimeo_uri: job.video().map(|video| video.to_string()),
                vimeo_url: completed
                    .map(|Completed { link, .. }| link.as_str())
                    .filter(|link| !link.is_empty()),
                player_url: completed.and_then(|Completed { player, .. }| player.as_deref()),
                playable: job.is_playable || completed.is_some(),
                waiting_for: job.waiting_for.map(WaitingFor::as_str),
                warnings: job.all_warnings(),
                error_code: failure.map(|failure| failure.code.as_str()),
                error_message: job.failure_message(),
                connection_id: job.connection_id.as_str(),
                created_date: job.created_at.to_string(),
                updated_date: job.updated_at.to_string(),
                publish_at: job.publish_at.map(|at| at.to_string()),
                replaces: job.replaces.map(|video| video.to_string()),
                retry_of: job.retry_of.as_ref().map(JobId::as_str),
                webhook,
            },
        }
    }
}

/// A page of jobs, newest first.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = JobPage)]
pub(crate) struct JobsOut<'a> {
    pub(crate) items: Vec<JobOut<'a>>,
    /// Requests the next page; omitted on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[A-Za-z0-9_-]+={0,2}$")]
    pub(crate) next_page_key: Option<String>,
}

/// The payload of a webhook.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WebhookPayloadOut<'a> {
    #[serde(flatten)]
    job: JobOut<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_input: Option<&'a RawValue>,
}

/// A job as JSON, exactly as `GET /v1/jobs/{jobId}` returns it, with the webhook input (raw JSON), if any, as its last
/// member.
pub fn job_object(job: &Job, webhook_input: Option<&Secret>) -> Vec<u8> {
    let webhook_input = webhook_input.and_then(|input| {
        let read = serde_json::from_str::<&RawValue>(input.expose());
        if read.is_err() {
            tracing::error!(job = %job.id, "the webhook input of an ended job is not JSON and is omitted");
        }
        read.ok()
    });
    // Serialising strings, numbers and JSON does not fail.
    serde_json::to_vec(&WebhookPayloadOut { job: JobOut::from(job), webhook_input }).unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests {
    use domain::id::{AccountId, ConnectionId};
    use domain::job::{
        Configuring, Failure, FailureCode, Fetch, JobId, Publishing, Queued, RetryState, Scheduled,
        SourceFacts, SourceKind, Uploading, Webhook,
    };
    use domain::time::Timestamp;
    use domain::video::VideoNumber;

    use super::*;

    const LAST_FIELDS: &str = r#""connectionId":"20260131090500042k3v9x0q2m7t1b8z","createdDate":"1970-01-01T00:00:01.000Z","updatedDate":"1970-01-01T00:00:02.500Z","webhook":"none"}}"#;

    pub(crate) fn job(state: JobState) -> Job {
        let at = Timestamp::from_millis(1_000);
        Job {
            id: JobId::from_stored("0192f0c1-0000-7000-8000-000000000000".to_owned()),
            account_id: AccountId::from_random([1; 16]),
            connection_id: ConnectionId::from_stored("20260131090500042k3v9x0q2m7t1b8z".to_owned()),
            created_at: at,
            updated_at: Timestamp::from_millis(2_500),
            version: 1,
            source: SourceKind::Url,
            retry_of: None,
            replaces: None,
            request_format: 1,
            publish_at: None,
            is_playable: false,
            facts: Some(SourceFacts { length: 200, validator: None, marks: None, fetch: Fetch::Ranged }),
            state,
            bytes_per_second: None,
            warnings: Vec::new(),
            undeleted: Vec::new(),
            unconfirmed_since: None,
            retry: RetryState::progressed(at),
            waiting_for: None,
            webhook: Webhook::None,
            is_connection_deleted: false,
        }
    }

    pub(crate) fn uploading(sent: u64) -> JobState {
        JobState::Uploading(Uploading {
            target: VideoNumber::from_stored(12).into(),
            size: 200,
            sent,
            restarts: 0,
        })
    }

    fn assert_shown(job: &Job, success: bool, data: &str) {
        let shown = String::from_utf8(job_object(job, None)).unwrap();
        let id = &job.id;
        let expected = format!("{{\"job_id\":\"{id}\",\"success\":{success},\"data\":{{{data},{LAST_FIELDS}");
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_running_job_shows_its_progress() {
        let video = VideoNumber::from_stored(12);
        let queued = Job { facts: None, ..job(JobState::Queued(Queued::default())) };
        assert_shown(
            &queued,
            true,
            r#""status":"in-progress","phase":"queued","progress":0,"bytesSent":0,"playable":false,"warnings":[]"#,
        );
        let creating = Queued::default().begin_creating(Timestamp::from_millis(9));
        assert_shown(
            &job(JobState::Creating(creating)),
            true,
            r#""status":"in-progress","phase":"creating","progress":0,"bytesSent":0,"bytesTotal":200,"playable":false,"warnings":[]"#,
        );
        assert_shown(
            &Job { bytes_per_second: Some(30), ..job(uploading(100)) },
            true,
            r#""status":"in-progress","phase":"uploading","progress":45,"bytesSent":100,"bytesTotal":200,"bytesPerSecond":30,"secondsLeft":4,"vimeoUri":"/videos/12","playable":false,"warnings":[]"#,
        );
        let configuring = Configuring::new(video.into(), 200);
        for (state, phase, progress) in [
            (JobState::Configuring(configuring), "configuring", 92),
            (JobState::Transcoding(configuring.configured()), "transcoding", 95),
            (JobState::Scheduled(Scheduled { video, size: 200 }), "scheduled", 99),
            (JobState::Publishing(Publishing { video, size: 200 }), "publishing", 99),
        ] {
            let data = format!(
                r#""status":"in-progress","phase":"{phase}","progress":{progress},"bytesSent":200,"bytesTotal":200,"vimeoUri":"/videos/12","playable":false,"warnings":[]"#
            );
            assert_shown(&job(state), true, &data);
        }
    }

    #[test]
    fn an_ended_job_shows_its_result() {
        let video = VideoNumber::from_stored(12);
        let completed = Publishing { video, size: 200 }.published(
            "https://vimeo.com/12/ab".to_owned(),
            Some("https://player.vimeo.com/video/12".to_owned()),
        );
        let warnings = vec!["The \"licence\" is not in the plan.".to_owned()];
        assert_shown(
            &Job { warnings, ..job(JobState::Completed(completed)) },
            true,
            r#""status":"completed","phase":"completed","progress":100,"bytesSent":200,"bytesTotal":200,"vimeoUri":"/videos/12","vimeoUrl":"https://vimeo.com/12/ab","playerUrl":"https://player.vimeo.com/video/12","playable":true,"warnings":["The \"licence\" is not in the plan."]"#,
        );
        let failure = Failure { code: FailureCode::SourceChanged, message: "It changed.".to_owned() };
        let failing = job(uploading(5)).fail(failure).unwrap();
        assert_shown(
            &job(failing.clone()),
            true,
            r#""status":"in-progress","phase":"cleaning_up","progress":0,"bytesTotal":200,"vimeoUri":"/videos/12","playable":false,"warnings":[]"#,
        );
        let JobState::CleaningUp(cleaning) = failing else { panic!() };
        assert_shown(
            &job(cleaning.clone().ended(None)),
            false,
            r#""status":"failed","phase":"failed","progress":0,"bytesTotal":200,"playable":false,"warnings":[],"error_code":"SOURCE_CHANGED","error_message":"It changed.""#,
        );
        assert_shown(
            &job(cleaning.ended(Some(video.into()))),
            false,
            r#""status":"failed","phase":"failed","progress":0,"bytesTotal":200,"vimeoUri":"/videos/12","playable":false,"warnings":["/videos/12 is left at Vimeo."],"error_code":"SOURCE_CHANGED","error_message":"It changed.""#,
        );
        let cancelling = job(uploading(5)).cancel().unwrap();
        assert_shown(
            &job(cancelling.clone()),
            false,
            r#""status":"cancelled","phase":"cleaning_up","progress":0,"bytesTotal":200,"vimeoUri":"/videos/12","playable":false,"warnings":[]"#,
        );
        let JobState::CleaningUp(cleaning) = cancelling else { panic!() };
        assert_shown(
            &job(cleaning.ended(None)),
            false,
            r#""status":"cancelled","phase":"cancelled","progress":0,"bytesTotal":200,"playable":false,"warnings":[]"#,
        );
    }

    #[test]
    fn the_webhook_input_comes_last_and_unchanged() {
        let job = job(uploading(1));
        let shown = String::from_utf8(job_object(&job, None)).unwrap();
        let start = shown.strip_suffix('}').unwrap();
        for input in [r#"{ "b": 1.50, "a": [null] }"#, "\"x\"", "1e400", "true"] {
            let payload = job_object(&job, Some(&Secret::new(input.to_owned())));
            let payload = String::from_utf8(payload).unwrap();
            assert_eq!(payload, format!("{start},\"webhookInput\":{input}}}"));
        }
        assert_eq!(job_object(&job, Some(&Secret::new("{".to_owned()))), shown.as_bytes());
    }
}
