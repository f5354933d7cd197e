//! The JSON of uploads: the schema of the request body, and the responses. `upload_body` parses the body.

use app::ClientUpload;
use domain::job::JobId;
use serde::Serialize;
use utoipa::ToSchema;

/// A new upload. Only `source` is required; every other field may be `null`, which counts as not given. Unknown fields
/// are errors at every level; the error names the field that was probably meant.
#[derive(ToSchema)]
#[schema(
    as = NewUpload,
    example = json!({
        "source": { "url": "https://media.example.com/film.mp4" },
        "name": "Launch",
        "folder_uri": "/users/12345/projects/6789",
        "content_rating": ["safe"],
        "privacy": { "view": "unlisted", "embed": "public", "download": false },
        "webhook": "https://hooks.example.com/vimeo",
        "webhookInput": { "order": 17 },
    })
)]
#[expect(
    dead_code,
    reason = "for its schema; a body is read field by field, so that all errors are reported at once"
)]
pub(crate) struct NewUploadIn {
    source: SourceIn,
    /// The video's name.
    #[schema(min_length = 1, max_length = 128, example = "Launch")]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 5000, example = "What we made this year")]
    description: Option<String>,
    /// The folder of the video, in any form that Vimeo uses.
    #[schema(
        pattern = "^(https://api\\.vimeo\\.com)?(/users/[1-9][0-9]*|/me)?/(projects|folders)/[1-9][0-9]*$",
        example = "/users/12345/projects/6789"
    )]
    folder_uri: Option<String>,
    /// Instead of `folder_uri`: the name of the folder, which is created if it does not exist.
    #[schema(min_length = 1, max_length = 128)]
    folder_name: Option<String>,
    /// `safe`, `unrated`, `drugs`, `language`, `nudity`, `violence`, `advertisement`; a single one may be a string.
    #[schema(value_type = Option<serde_json::Value>, example = json!(["safe"]))]
    content_rating: Option<Vec<String>>,
    privacy: Option<PrivacyIn>,
    /// Required if `privacy.view` is `password`, else an error.
    #[schema(min_length = 1, max_length = 32, write_only)]
    password: Option<String>,
    /// Required if `privacy.embed` is `whitelist`, else an error.
    #[schema(max_items = 50)]
    embed_domains: Option<Vec<String>>,
    /// `by`, `by-nc`, `by-nc-nd`, `by-nc-sa`, `by-nd`, `by-sa` or `cc0`.
    #[schema(pattern = "^(by|by-nc|by-nc-nd|by-nc-sa|by-nd|by-sa|cc0)$")]
    license: Option<String>,
    /// A language tag.
    #[schema(max_length = 35, pattern = "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", example = "pt-BR")]
    locale: Option<String>,
    thumbnail: Option<ThumbnailIn>,
    /// An older form of `thumbnail.timeSeconds`.
    #[schema(minimum = 0, maximum = 86400, example = 12.5)]
    thumbnail_time: Option<f64>,
    /// At most 20; a single one may be a string.
    #[schema(value_type = Option<serde_json::Value>, example = json!(["launch", "2026"]))]
    tags: Option<Vec<String>>,
    /// Up to 20 showcases, each by its URI or its name. One with that name is created if there is none; a single one may be a
    /// string.
    #[schema(value_type = Option<serde_json::Value>, example = json!(["/me/albums/123", "Product films"]))]
    showcases: Option<Vec<String>>,
    /// The URI of an embed preset.
    #[schema(
        rename = "embedPreset",
        pattern = "^(https://api\\.vimeo\\.com)?(/users/[1-9][0-9]*|/me)?/presets/[1-9][0-9]*$",
        example = "/me/presets/123"
    )]
    embed_preset: Option<String>,
    /// Captions, subtitles and other tracks, each from its own URL. One that cannot be made is a warning, unless it is
    /// `required`.
    #[schema(rename = "textTracks", max_items = 50)]
    text_tracks: Option<Vec<TextTrackIn>>,
    #[schema(max_items = 200)]
    chapters: Option<Vec<ChapterIn>>,
    /// When the video is opened to its viewers: in the future, at most a year ahead. Everything else is done before, and the
    /// video stays closed until then. It can be changed with `PATCH /v1/jobs/{jobId}`.
    // No example: its time would pass.
    #[schema(rename = "publishAt", format = "future-time")]
    publish_at: Option<String>,
    /// Instead of a new video: the URI of a video of the connection's account whose file is replaced. Its link, settings,
    /// thumbnail, text tracks and statistics stay, so that no setting can be given beside it. The earlier file plays until the
    /// new one is transcoded.
    #[schema(
        pattern = "^/videos/[1-9][0-9]*(:[A-Za-z0-9]+)?$",
        format = "replaced-video",
        example = "/videos/123456789"
    )]
    replaces: Option<String>,
    /// Receives the job when it ends, by POST, signed with the account's webhook secret. Never returned.
    #[schema(format = "public-url", max_length = 8192, write_only)]
    webhook: Option<String>,
    /// Any JSON of up to 16 KiB, included unchanged in the webhook. Never returned.
    #[schema(value_type = Option<serde_json::Value>, write_only, rename = "webhookInput")]
    webhook_input: Option<String>,
    destination: Option<DestinationIn>,
}

/// Where the bytes come from: exactly one of the two.
#[derive(ToSchema)]
#[schema(as = UploadSource)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct SourceIn {
    /// The service fetches the file from this public URL. Never returned.
    #[schema(
        format = "public-url",
        max_length = 8192,
        write_only,
        example = "https://media.example.com/film.mp4"
    )]
    url: Option<String>,
    /// Up to 10 request headers for the origin of `url`, such as `Authorization`. They are not sent to another origin after a
    /// redirect. `Host`, `Range`, `Content-…`, `If-…` and headers of the connection are refused. Never returned.
    #[schema(value_type = Option<std::collections::BTreeMap<String, String>>, write_only)]
    headers: Option<String>,
    /// The size in bytes of the file that the client sends itself to the link in the response.
    #[schema(minimum = 1, maximum = 300_000_000_000_i64)]
    size: Option<i64>,
}

/// The thumbnail: exactly one of the two.
#[derive(ToSchema)]
#[schema(as = UploadThumbnail)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct ThumbnailIn {
    /// A JPEG, PNG or GIF of at most 10 MiB at this public URL. Never returned.
    #[schema(
        format = "public-url",
        max_length = 8192,
        write_only,
        example = "https://media.example.com/poster.jpg"
    )]
    url: Option<String>,
    /// The frame at this position, in seconds from the beginning.
    #[schema(rename = "timeSeconds", minimum = 0, maximum = 86400, example = 12.5)]
    time_seconds: Option<f64>,
}

/// A text track. Two of them must differ in type, language or name; of a type and language one can be active.
#[derive(ToSchema)]
#[schema(as = UploadTextTrack)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct TextTrackIn {
    /// A `WebVTT`, `SRT`, `SBV` or `TTML` file in UTF-8 of at most 5 MiB at this public URL. Never returned.
    #[schema(
        format = "public-url",
        max_length = 8192,
        write_only,
        example = "https://media.example.com/en.vtt"
    )]
    url: String,
    /// A language tag that Vimeo has for text tracks.
    #[schema(max_length = 35, pattern = "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$", example = "en")]
    language: String,
    /// `captions`, `subtitles`, `chapters`, `descriptions` or `metadata`.
    #[schema(pattern = "^(captions|subtitles|chapters|descriptions|metadata)$", example = "captions")]
    r#type: String,
    /// Its name in players; otherwise its language.
    #[schema(min_length = 1, max_length = 128, example = "English")]
    name: Option<String>,
    /// Whether players offer it. `true` unless said otherwise.
    active: Option<bool>,
    /// Whether the upload fails, with the video still closed, if the track cannot be made.
    required: Option<bool>,
}

/// A chapter. Two chapters must not have the same timecode.
#[derive(ToSchema)]
#[schema(as = UploadChapter)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct ChapterIn {
    /// Where it begins, in whole seconds.
    #[schema(minimum = 0, maximum = 86400, example = 95)]
    timecode: i64,
    #[schema(min_length = 1, max_length = 128, example = "Questions")]
    title: String,
}

/// Who may do what with the video. Anyone may watch it unless `view` says otherwise; other settings keep Vimeo's
/// defaults.
#[derive(ToSchema)]
#[schema(as = UploadPrivacy)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct PrivacyIn {
    /// `anybody`, `nobody`, `password`, `unlisted`, `disable`, `users` or `contacts`.
    #[schema(pattern = "^(nobody|anybody|password|unlisted|disable|users|contacts)$", example = "unlisted")]
    view: Option<String>,
    /// `public`, `private` or `whitelist`.
    #[schema(pattern = "^(public|private|whitelist)$", example = "public")]
    embed: Option<String>,
    /// `anybody`, `contacts` or `nobody`.
    #[schema(pattern = "^(anybody|contacts|nobody)$", example = "nobody")]
    comments: Option<String>,
    /// Whether it may be downloaded.
    #[schema(example = false)]
    download: Option<bool>,
    /// Whether others may add it to their collections.
    #[schema(example = false)]
    add: Option<bool>,
}

/// An entry of the `destinations` of a render request, unchanged. A setting may be here or at the top level, but not in
/// both.
#[derive(ToSchema)]
#[schema(as = UploadDestination)]
#[expect(dead_code, reason = "for its schema")]
pub(crate) struct DestinationIn {
    /// `vimeo` in any case, if given.
    #[schema(pattern = "^[Vv][Ii][Mm][Ee][Oo]$", example = "vimeo")]
    r#type: Option<String>,
    /// The same as in the path, if given.
    #[schema(rename = "connectionId", format = "same-connection")]
    connection_id: Option<String>,
    /// Another spelling of `connectionId`.
    #[schema(rename = "connection_id", format = "same-connection")]
    connection_id_too: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    name: Option<String>,
    #[schema(min_length = 1, max_length = 5000)]
    description: Option<String>,
    folder_uri: Option<String>,
    #[schema(min_length = 1, max_length = 128)]
    folder_name: Option<String>,
    #[schema(value_type = Option<serde_json::Value>)]
    content_rating: Option<Vec<String>>,
    privacy: Option<PrivacyIn>,
    #[schema(min_length = 1, max_length = 32, write_only)]
    password: Option<String>,
    #[schema(max_items = 50)]
    embed_domains: Option<Vec<String>>,
    license: Option<String>,
    locale: Option<String>,
    #[schema(minimum = 0, maximum = 86400)]
    thumbnail_time: Option<f64>,
}

/// An accepted upload whose bytes the service fetches.
#[derive(Serialize, ToSchema)]
#[schema(as = AcceptedUpload)]
pub(crate) struct AcceptedUploadOut<'a> {
    #[schema(example = true)]
    success: bool,
    data: AcceptedJobOut<'a>,
}

/// Its job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AcceptedJob)]
struct AcceptedJobOut<'a> {
    #[schema(format = "uuid", example = "019c1234-5678-7abc-8def-0123456789ab")]
    job_id: &'a str,
}

/// A started upload whose bytes the client sends.
#[derive(Serialize, ToSchema)]
#[schema(as = UploadLink)]
pub(crate) struct UploadLinkOut<'a> {
    #[schema(example = true)]
    success: bool,
    data: LinkedJobOut<'a>,
}

/// Its job, and the link for the bytes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LinkedJob)]
struct LinkedJobOut<'a> {
    #[schema(format = "uuid", example = "019c1234-5678-7abc-8def-0123456789ab")]
    job_id: &'a str,
    /// Receives the bytes by the tus protocol, without an API key. Returned only once.
    #[schema(example = "https://asia-files.tus.vimeo.com/files/vimeo-prod-src-tus-asia/0123456789abcdef")]
    upload_link: &'a str,
    /// The video that is created.
    #[schema(pattern = "^/videos/[1-9][0-9]*$", example = "/videos/123456789")]
    vimeo_uri: String,
}

impl<'a> From<&'a JobId> for AcceptedUploadOut<'a> {
    fn from(job: &'a JobId) -> Self {
        Self { success: true, data: AcceptedJobOut { job_id: job.as_str() } }
    }
}

impl<'a> From<&'a ClientUpload> for UploadLinkOut<'a> {
    fn from(upload: &'a ClientUpload) -> Self {
        let data = LinkedJobOut {
            job_id: upload.job_id.as_str(),
            upload_link: upload.link.expose(),
            vimeo_uri: upload.video.to_string(),
        };
        Self { success: true, data }
    }
}
