//! What a video is published with beside its settings, as options, with the rules of the API.

use app::{RequestedSource, UploadRequest};
use clap::Args;
use domain::moment::{Moment, MomentError};
use domain::publication::{
    CHAPTERS_MAX, Chapter, ChapterTitle, Requirement, SHOWCASES_MAX, Showcase, TAGS_MAX, TEXT_TRACKS_MAX,
    Tag, TextTrack, TextTrackType, Thumbnail,
};
use domain::secret::Secret;
use domain::time::Timestamp;
use domain::upload::{Locale, UploadSettings};
use domain::video::{PresetNumber, VideoNumber};

use super::addresses::{check_form, lenient_egress};
use super::file::FileToSend;
use crate::cli::BoxError;

/// What the video is published with.
#[derive(Args)]
pub(super) struct PublicationArguments {
    /// A tag; may be repeated
    #[arg(long = "tag", value_name = "TAG", value_parser = Tag::parse)]
    tags: Vec<Tag>,
    /// A showcase for it: a URI such as /albums/1, or a name, which is created if it does not exist; may be repeated
    #[arg(long = "showcase", value_name = "URI|NAME", value_parser = Showcase::parse)]
    showcases: Vec<Showcase>,
    /// The embed preset that is applied to it, such as /presets/1
    #[arg(long, value_name = "URI", value_parser = PresetNumber::parse_uri)]
    embed_preset: Option<PresetNumber>,
    /// The https:// URL of its thumbnail: JPEG, PNG or GIF
    #[arg(long, value_name = "URL", conflicts_with = "thumbnail_at")]
    thumbnail_url: Option<String>,
    /// Captions: the language, such as en, and the https:// URL of the file (VTT, SRT, SBV or TTML); may be repeated
    #[arg(long, value_name = "LANGUAGE=URL")]
    captions: Vec<String>,
    /// Subtitles; may be repeated
    #[arg(long, value_name = "LANGUAGE=URL")]
    subtitles: Vec<String>,
    /// A chapter; may be repeated
    #[arg(long = "chapter", value_name = "SECONDS=TITLE", value_parser = read_chapter)]
    chapters: Vec<Chapter>,
    /// When it is opened to its viewers, such as 2026-01-31T09:05:00Z: until then only its owner sees it
    #[arg(long, value_name = "TIME", value_parser = Timestamp::parse)]
    publish_at: Option<Timestamp>,
    /// The video whose file is replaced, such as /videos/1: it keeps its link and settings
    #[arg(long, value_name = "URI", value_parser = read_video, conflicts_with_all = ["SettingsArguments", "tags",
        "showcases", "embed_preset", "thumbnail_url", "captions", "subtitles", "chapters", "publish_at"])]
    replaces: Option<VideoNumber>,
}

/// Everything about the video, except where its bytes come from.
#[derive(Debug, Clone, Default)]
pub(super) struct VideoOptions {
    pub(super) settings: UploadSettings,
    pub(super) replaces: Option<VideoNumber>,
    pub(super) publish_at: Option<Timestamp>,
}

impl VideoOptions {
    /// With the name of the file, unless there is another one.
    pub(super) fn named(mut self, file: &FileToSend) -> Self {
        if self.replaces.is_none() && self.settings.name.is_none() {
            self.settings.name = file.video_name();
        }
        self
    }

    pub(super) fn request(self, source: RequestedSource) -> UploadRequest {
        let Self { settings, replaces, publish_at } = self;
        UploadRequest { replaces, publish_at, ..UploadRequest::new(source, settings) }
    }
}

impl PublicationArguments {
    /// The options, if they are consistent.
    pub(super) fn read(self, mut settings: UploadSettings) -> Result<VideoOptions, BoxError> {
        let counts = [
            ("--tag", self.tags.len(), TAGS_MAX),
            ("--showcase", self.showcases.len(), SHOWCASES_MAX),
            ("--chapter", self.chapters.len(), CHAPTERS_MAX),
            ("--captions and --subtitles", self.captions.len() + self.subtitles.len(), TEXT_TRACKS_MAX),
        ];
        if let Some((option, _, most)) = counts.into_iter().find(|(_, count, most)| count > most) {
            return Err(format!("{option} can be given at most {most} times").into());
        }
        let publication = &mut settings.publication;
        if let Some(url) = &self.thumbnail_url {
            publication.thumbnail = Some(Thumbnail::Image(read_url("--thumbnail-url", url)?));
        }
        let captions = self.captions.iter().map(|text| ("--captions", TextTrackType::Captions, text));
        let subtitles = self.subtitles.iter().map(|text| ("--subtitles", TextTrackType::Subtitles, text));
        for (option, kind, text) in captions.chain(subtitles) {
            publication.text_tracks.push(read_track(option, kind, text)?);
        }
        publication.tags = self.tags;
        publication.showcases = self.showcases;
        publication.preset = self.embed_preset;
        publication.chapters = self.chapters;
        let faults: Vec<_> = publication.check().iter().map(|error| in_words(error.field(), error)).collect();
        if !faults.is_empty() {
            return Err(faults.join("; ").into());
        }
        Ok(VideoOptions { settings, replaces: self.replaces, publish_at: self.publish_at })
    }
}

fn in_words(field: &str, error: &dyn std::error::Error) -> String {
    let options = if field == "chapters" { "--chapter" } else { "--captions and --subtitles" };
    format!("{options}: {error}")
}

/// The URL is not repeated in an error: it may contain a secret.
fn read_url(option: &str, text: &str) -> Result<Secret, BoxError> {
    check_form(&lenient_egress()?, text).map_err(|error| format!("{option}: the address {error}"))?;
    Ok(Secret::new(text.to_owned()))
}

fn read_track(option: &str, kind: TextTrackType, text: &str) -> Result<TextTrack, BoxError> {
    let (language, url) = text.split_once('=').ok_or_else(|| {
        format!("{option} needs the language and the URL, such as en=https://example.com/en.vtt")
    })?;
    let language = Locale::parse(language).map_err(|error| format!("{option}: the language {error}"))?;
    let (url, requirement) = (read_url(option, url)?, Requirement::Optional);
    Ok(TextTrack { url, kind, language, name: None, is_active: true, requirement })
}

fn read_chapter(text: &str) -> Result<Chapter, String> {
    let (seconds, title) =
        text.split_once('=').ok_or("needs the second and the title, such as 90=The second act")?;
    let millis = seconds.parse::<u64>().ok().and_then(|seconds| seconds.checked_mul(1_000));
    let starts_at =
        millis.ok_or(MomentError).and_then(Moment::from_millis).map_err(|error| error.to_string())?;
    let title = ChapterTitle::parse(title).map_err(|errors| format!("the title {errors}"))?;
    Ok(Chapter { starts_at, title })
}

fn read_video(text: &str) -> Result<VideoNumber, &'static str> {
    VideoNumber::parse_uri(text).ok_or("must be a video's URI such as /videos/123456789")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_has_a_second_and_a_title() {
        let chapter = read_chapter("90=One = two").unwrap();
        assert_eq!((chapter.starts_at.as_millis(), chapter.title.as_str()), (90_000, "One = two"));
        for bad in ["90", "=One", "-1=One", "1.5=One", "90=", "18446744073709551615=One", "86401=One"] {
            assert!(read_chapter(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_track_has_a_language_and_a_url_which_no_error_repeats() {
        let read = |text| read_track("--captions", TextTrackType::Captions, text);
        let track = read("pt-BR=https://a.example/x.vtt?a=b").unwrap();
        assert_eq!(track.language.as_str(), "pt-BR");
        assert_eq!(track.url.expose(), "https://a.example/x.vtt?a=b");
        for bad in ["https://canary.example", "en=canary", "canary=https://a.example/", "en="] {
            let error = read(bad).unwrap_err().to_string();
            assert!(!error.contains("canary") && error.starts_with("--captions"), "{bad}: {error}");
        }
    }
}
