//! What a video is published with beside its settings: text tracks, a thumbnail, tags, showcases, chapters and an embed preset.
//! Each is parsed alone; [`Publication::check`] finds contradictions between them.

use std::collections::HashSet;

use thiserror::Error;

use crate::moment::Moment;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::upload::{Locale, TextError};
use crate::validation::ValidationErrors;
use crate::video::{PresetNumber, ShowcaseNumber, ShowcaseUriError};

/// Vimeo's limit for the tags of a video.
pub const TAGS_MAX: usize = 20;
/// Limit for a tag, in Unicode scalar values.
pub const TAG_MAX_CHARS: usize = 128;
/// Maximum number of showcases of an upload.
pub const SHOWCASES_MAX: usize = 20;
/// Limit for the name of a showcase, in Unicode scalar values.
pub const SHOWCASE_NAME_MAX_CHARS: usize = 128;
/// Maximum number of text tracks of an upload.
pub const TEXT_TRACKS_MAX: usize = 50;
/// Limit for the name of a text track, in Unicode scalar values.
pub const TEXT_TRACK_NAME_MAX_CHARS: usize = 128;
/// Limit for the file of a text track: 5 MiB.
pub const TEXT_TRACK_MAX_BYTES: usize = 5 * 1024 * 1024;
/// Limit for the image of a thumbnail: 10 MiB.
pub const THUMBNAIL_MAX_BYTES: usize = 10 * 1024 * 1024;
/// Maximum number of chapters of an upload.
pub const CHAPTERS_MAX: usize = 200;
/// Limit for the title of a chapter, in Unicode scalar values.
pub const CHAPTER_TITLE_MAX_CHARS: usize = 128;
/// How far ahead a video can be scheduled: a year.
pub const SCHEDULE_MAX_SECONDS: u64 = 366 * 24 * 60 * 60;

macro_rules! plain_text {
    ($(#[$doc:meta])* $name:ident, $max_chars:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name(String);

        impl $name {
            /// Parses a text from a client.
            pub fn parse(text: &str) -> Result<Self, ValidationErrors<TextError>> {
                ValidationErrors::none()
                    .add_if(text.trim().is_empty(), TextError::Blank)
                    .add_if(text.chars().count() > $max_chars, TextError::TooLong($max_chars))
                    .add_if(text.chars().any(char::is_control), TextError::Control)
                    .or(Self(text.to_owned()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

plain_text! {
    /// A tag.
    Tag, TAG_MAX_CHARS
}
plain_text! {
    /// The name of a showcase.
    ShowcaseName, SHOWCASE_NAME_MAX_CHARS
}
plain_text! {
    /// The name of a text track, as players show it.
    TextTrackName, TEXT_TRACK_NAME_MAX_CHARS
}
plain_text! {
    /// The title of a chapter.
    ChapterTitle, CHAPTER_TITLE_MAX_CHARS
}

/// The type of a text track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TextTrackType {
    /// The speech and the sounds, for people who do not hear them.
    Captions,
    /// The speech, perhaps translated.
    Subtitles,
    /// The titles of chapters.
    Chapters,
    /// What can be seen, for people who do not see it.
    Descriptions,
    /// Data for scripts.
    Metadata,
}

/// The text is not the name of a [`TextTrackType`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be captions, subtitles, chapters, descriptions or metadata")]
pub struct TextTrackTypeError;

impl TextTrackType {
    const ALL: [Self; 5] =
        [Self::Captions, Self::Subtitles, Self::Chapters, Self::Descriptions, Self::Metadata];

    /// Parses a value of Vimeo's API.
    pub fn parse(text: &str) -> Result<Self, TextTrackTypeError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(TextTrackTypeError)
    }

    /// The value in Vimeo's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Captions => "captions",
            Self::Subtitles => "subtitles",
            Self::Chapters => "chapters",
            Self::Descriptions => "descriptions",
            Self::Metadata => "metadata",
        }
    }
}

/// What happens to an upload if one of its text tracks cannot be made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Requirement {
    /// It gets a warning that names the track.
    #[default]
    Optional,
    /// It fails, with the video still closed.
    Required,
}

/// A text track.
#[derive(Debug, Clone)]
pub struct TextTrack {
    /// The syntactically valid URL of its file.
    pub url: Secret,
    /// Its type.
    pub kind: TextTrackType,
    /// Its language.
    pub language: Locale,
    /// Its name. `None`: its language.
    pub name: Option<TextTrackName>,
    /// Whether players show it. Vimeo keeps one active track for each language and type.
    pub is_active: bool,
    /// What happens if it cannot be made.
    pub requirement: Requirement,
}

impl TextTrack {
    /// The name that Vimeo stores.
    pub fn stored_name(&self) -> &str {
        self.name.as_ref().map_or_else(|| self.language.as_str(), TextTrackName::as_str)
    }
}

/// Shown to people: type, language and name, which tell it from the other tracks of its video.
impl std::fmt::Display for TextTrack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str(), self.language.as_str())?;
        match &self.name {
            Some(name) => write!(f, " “{}”", name.as_str()),
            None => Ok(()),
        }
    }
}

/// The thumbnail of a video.
#[derive(Debug, Clone)]
pub enum Thumbnail {
    /// The frame at this time.
    At(Moment),
    /// The image at this syntactically valid URL.
    Image(Secret),
}

/// A showcase that a video is added to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Showcase {
    /// An existing one.
    Number(ShowcaseNumber),
    /// The one with this name, which is created if it does not exist.
    Named(ShowcaseName),
}

/// Why a text is not a valid showcase.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ShowcaseError {
    /// It is not the URI of one.
    #[error(transparent)]
    Uri(#[from] ShowcaseUriError),
    /// It is not a valid name.
    #[error(transparent)]
    Name(#[from] ValidationErrors<TextError>),
}

impl Showcase {
    /// Parses a URI such as `/albums/123`, or else a name.
    pub fn parse(text: &str) -> Result<Self, ShowcaseError> {
        if text.starts_with('/') || text.starts_with("https://") {
            return Ok(Self::Number(ShowcaseNumber::parse_uri(text)?));
        }
        Ok(Self::Named(ShowcaseName::parse(text)?))
    }
}

/// A chapter of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chapter {
    /// Where it begins.
    pub starts_at: Moment,
    /// Its title.
    pub title: ChapterTitle,
}

/// What a video is published with beside its settings.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// Its thumbnail.
    pub thumbnail: Option<Thumbnail>,
    /// Its text tracks.
    pub text_tracks: Vec<TextTrack>,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The showcases that it is added to.
    pub showcases: Vec<Showcase>,
    /// Its embed preset.
    pub preset: Option<PresetNumber>,
    /// Its chapters.
    pub chapters: Vec<Chapter>,
}

/// A contradiction within a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublicationError {
    /// Vimeo could not tell two tracks apart, and neither could the service after a lost response.
    #[error("must not have two text tracks with the same type, language and name")]
    SameTextTrack,
    /// Vimeo keeps one active track of a type and language.
    #[error("must not have two active text tracks with the same type and language")]
    TwoActiveTextTracks,
    /// Two chapters begin at the same time.
    #[error("must not have two chapters with the same timecode")]
    SameTimecode,
}

impl PublicationError {
    /// The invalid field, by its name in the contract.
    pub fn field(self) -> &'static str {
        match self {
            Self::SameTextTrack | Self::TwoActiveTextTracks => "textTracks",
            Self::SameTimecode => "chapters",
        }
    }
}

impl Publication {
    /// Whether there is nothing to make.
    pub fn is_empty(&self) -> bool {
        let Self { thumbnail, text_tracks, tags, showcases, preset, chapters } = self;
        thumbnail.is_none()
            && preset.is_none()
            && text_tracks.is_empty()
            && tags.is_empty()
            && showcases.is_empty()
            && chapters.is_empty()
    }

    /// Whether it has something else than a frame as the thumbnail, which is all that the first format of a stored request has.
    pub fn is_newer_than_first_format(&self) -> bool {
        let thumbnail = self.thumbnail.clone().filter(|thumbnail| !matches!(thumbnail, Thumbnail::At(_)));
        !Self { thumbnail, ..self.clone() }.is_empty()
    }

    /// All contradictions.
    pub fn check(&self) -> Vec<PublicationError> {
        let tracks = &self.text_tracks;
        let names = tracks.iter().map(|track| (track.kind, track.language.as_str(), track.stored_name()));
        let active = tracks.iter().filter(|track| track.is_active);
        let active = active.map(|track| (track.kind, track.language.as_str()));
        let starts = self.chapters.iter().map(|chapter| chapter.starts_at.as_millis());
        [
            (has_repeated(names), PublicationError::SameTextTrack),
            (has_repeated(active), PublicationError::TwoActiveTextTracks),
            (has_repeated(starts), PublicationError::SameTimecode),
        ]
        .into_iter()
        .filter_map(|(has_error, error)| has_error.then_some(error))
        .collect()
    }
}

fn has_repeated<T: Eq + std::hash::Hash>(items: impl Iterator<Item = T>) -> bool {
    let mut seen = HashSet::new();
    !items.into_iter().all(|item| seen.insert(item))
}

/// The instant is not valid for the publication of a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PublishAtError {
    /// It has passed.
    #[error("must be in the future")]
    Past,
    /// It is more than a year ahead.
    #[error("must be at most a year ahead")]
    TooFar,
}

/// Checks the instant at which a video is to be opened.
pub fn check_publish_at(at: Timestamp, now: Timestamp) -> Result<(), PublishAtError> {
    if at <= now {
        Err(PublishAtError::Past)
    } else if at.seconds_after(now) > SCHEDULE_MAX_SECONDS {
        Err(PublishAtError::TooFar)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
