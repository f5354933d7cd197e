//! Parses what a video is published with beside its settings, when it is opened, and which video it replaces.

use app::RequestHeaders;
use domain::moment::{Moment, MomentError};
use domain::publication::{
    CHAPTERS_MAX, Chapter, ChapterTitle, Publication, Requirement, SHOWCASES_MAX, Showcase, TAGS_MAX,
    TEXT_TRACKS_MAX, Tag, TextTrack, TextTrackName, TextTrackType, Thumbnail,
};
use domain::time::Timestamp;
use domain::upload::Locale;
use domain::video::{PresetNumber, VideoNumber};

use super::upload_body::{Places, Rules};
use super::upload_fields::{BODY, CHAPTER, TEXT_TRACK, THUMBNAIL};
use crate::fields::{Fields, safe_name};

/// The fields that go together with `replaces`: the video keeps everything else.
const WITH_REPLACES: [&str; 5] = ["source", "replaces", "webhook", "webhookInput", "destination"];

/// The headers for the origin of `source.url`.
pub(super) fn read_headers(source: &mut Fields, has_url: HasUrl) -> RequestHeaders {
    let is_set = source.is_set("headers");
    let pairs = source.optional_pairs("headers");
    if is_set && has_url == HasUrl::No {
        source.error::<()>("headers", "needs url");
        return RequestHeaders::default();
    }
    match RequestHeaders::parse(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))) {
        Ok(headers) => headers,
        Err(errors) => {
            for error in errors {
                let name = error.name.as_deref().map_or_else(|| "?".to_owned(), header_name);
                source.error::<()>(&format!("headers.{name}"), &error.to_string());
            }
            RequestHeaders::default()
        }
    }
}

/// Whether the source has a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HasUrl {
    Yes,
    No,
}

/// A header's name with its hyphens, if it is safe to echo.
fn header_name(name: &str) -> String {
    name.split('-').map(safe_name).collect::<Vec<_>>().join("-")
}

/// The video whose file is replaced. Everything that would change the video is an error beside it.
pub(super) fn read_replaces(places: &mut Places<'_>) -> Option<VideoNumber> {
    if !places.top.is_set("replaces") {
        return None;
    }
    for name in BODY.names.iter().filter(|name| !WITH_REPLACES.contains(name)) {
        let errors = "cannot be given together with replaces: the video keeps its settings";
        if places.top.is_set(name) {
            places.top.reject(name, errors);
        }
        if let Some(inside) = &mut places.inside
            && inside.is_set(name)
        {
            inside.reject(name, errors);
        }
    }
    places.top.optional_text("replaces", |text| {
        VideoNumber::parse_uri(text).map(Some).ok_or("must be a video's URI such as /videos/123456789")
    })
}

/// When the video is opened. Whether that is in the future is decided once it is known that the request is not a repeated
/// one.
pub(super) fn read_publish_at(top: &mut Fields) -> Option<Timestamp> {
    top.optional_text("publishAt", |text| Timestamp::parse(text).map(Some))
}

pub(super) fn read_publication(places: &mut Places<'_>, rules: &Rules<'_>) -> Publication {
    let frame = places.of("thumbnail_time").optional_number("thumbnail_time", &rule(), moment);
    let top = &mut *places.top;
    let thumbnail = read_thumbnail(top, frame, rules);
    let publication = Publication {
        thumbnail,
        text_tracks: read_text_tracks(top, rules),
        tags: top.optional_texts("tags", TAGS_MAX, Tag::parse),
        showcases: top.optional_texts("showcases", SHOWCASES_MAX, Showcase::parse),
        preset: top.optional_text("embedPreset", |text| PresetNumber::parse_uri(text).map(Some)),
        chapters: read_chapters(top),
    };
    for error in publication.check() {
        top.error::<()>(error.field(), &error.to_string());
    }
    publication
}

fn rule() -> String {
    MomentError.to_string()
}

fn moment(number: &crate::json::Number) -> Option<Moment> {
    Moment::from_millis(number.thousandths()?).ok()
}

fn read_thumbnail(top: &mut Fields, frame: Option<Moment>, rules: &Rules<'_>) -> Option<Thumbnail> {
    let Some(mut thumbnail) = top.optional_object("thumbnail", THUMBNAIL) else {
        return frame.map(Thumbnail::At);
    };
    let (has_url, has_time) = (thumbnail.is_set("url"), thumbnail.is_set("timeSeconds"));
    let url = thumbnail.optional_text("url", |text| (rules.check_address)(text).map(Some));
    let time = thumbnail.optional_number("timeSeconds", &rule(), moment);
    if has_url == has_time {
        thumbnail.object_error("must have either url or timeSeconds");
    } else if frame.is_some() {
        thumbnail.object_error("cannot be given together with thumbnail_time");
    }
    top.merge(thumbnail);
    url.map(|url| Thumbnail::Image(url.secret().clone())).or(time.map(Thumbnail::At))
}

fn read_text_tracks(top: &mut Fields, rules: &Rules<'_>) -> Vec<TextTrack> {
    let mut tracks = Vec::new();
    for mut fields in top.optional_objects("textTracks", TEXT_TRACKS_MAX, TEXT_TRACK) {
        let url = fields.required_text("url", |text| (rules.check_address)(text));
        let language = fields.required_text("language", Locale::parse);
        let kind = fields.required_text("type", TextTrackType::parse);
        let name = fields.optional_text("name", |text| TextTrackName::parse(text).map(Some));
        let is_active = fields.optional_bool("active").unwrap_or(true);
        let requirement = match fields.optional_bool("required") {
            Some(true) => Requirement::Required,
            Some(false) | None => Requirement::Optional,
        };
        if let (Some(url), Some(language), Some(kind)) = (url, language, kind) {
            let url = url.secret().clone();
            tracks.push(TextTrack { url, kind, language, name, is_active, requirement });
        }
        top.merge(fields);
    }
    tracks
}

fn read_chapters(top: &mut Fields) -> Vec<Chapter> {
    let mut chapters = Vec::new();
    for mut fields in top.optional_objects("chapters", CHAPTERS_MAX, CHAPTER) {
        let rule = "must be a whole number of seconds from 0 to 86400";
        if !fields.is_set("timecode") {
            fields.reject("timecode", "is required");
        }
        let starts_at = fields.optional_number("timecode", rule, |number| {
            Moment::from_millis(number.whole()?.checked_mul(1_000)?).ok()
        });
        let title = fields.required_text("title", ChapterTitle::parse);
        if let (Some(starts_at), Some(title)) = (starts_at, title) {
            chapters.push(Chapter { starts_at, title });
        }
        top.merge(fields);
    }
    chapters
}

#[cfg(test)]
mod tests;
