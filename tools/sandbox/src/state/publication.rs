//! What a video is published with, apart from its settings and its bytes: text tracks, thumbnails, tags and chapters.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{LinkTarget, Video, VideoId, VimeoState, hex};

/// How many tags a video may have.
pub(crate) const TAGS_MAX: usize = 20;

/// A file other than a video, as it was sent to a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredFile {
    /// The length in bytes.
    pub(crate) size: u64,
    /// In hexadecimal.
    pub(crate) sha256: String,
    /// `vtt`, `srt`, `sbv` or `ttml` for a text track; `jpeg`, `png` or `gif` for an image.
    pub(crate) format: String,
    pub(crate) received_at: Timestamp,
    /// The content in base64; empty for images, of which nothing is read again.
    pub(crate) content: String,
}

impl StoredFile {
    /// Describes bytes; their content is not kept.
    pub(crate) fn of(bytes: &[u8], format: &str, now: Timestamp) -> Self {
        Self {
            size: bytes.len() as u64,
            sha256: hex(&Sha256::digest(bytes)),
            format: format.to_owned(),
            received_at: now,
            content: String::new(),
        }
    }
}

/// A text track of a video, such as its subtitles in one language.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TextTrack {
    pub(crate) number: u64,
    /// One of [`TextTrack::TYPES`].
    pub(crate) kind: String,
    pub(crate) language: String,
    pub(crate) name: String,
    pub(crate) is_active: bool,
    pub(crate) link: FileLink,
    /// Absent as long as no file has arrived.
    pub(crate) file: Option<StoredFile>,
}

impl TextTrack {
    pub(crate) const TYPES: [&str; 5] = ["captions", "subtitles", "chapters", "descriptions", "metadata"];
}

/// A link to which a file is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileLink {
    /// The secret part: 32 hexadecimal characters.
    pub(crate) key: String,
    /// The status of every request to it, if a fault has made it expire.
    pub(crate) dead_status: Option<u16>,
}

/// A thumbnail that the owner has added.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Picture {
    pub(crate) number: u64,
    /// The time in the video that it shows, in milliseconds; 0 for an image.
    pub(crate) at_millis: u64,
    pub(crate) is_active: bool,
    /// Present if it is an image instead of a frame of the video.
    #[serde(default)]
    pub(crate) image: Option<Image>,
}

impl Picture {
    /// Whether it is the video's thumbnail. An image is one only if it arrived at `processed_until` or before.
    pub(crate) fn is_shown_active(&self, processed_until: Timestamp) -> bool {
        let file = self.image.as_ref().and_then(|image| image.file.as_ref());
        self.is_active && file.is_none_or(|file| file.received_at <= processed_until)
    }
}

/// The image of a thumbnail.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) link: FileLink,
    /// Absent as long as no file has arrived.
    pub(crate) file: Option<StoredFile>,
}

/// A chapter of a video.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chapter {
    pub(crate) number: u64,
    pub(crate) title: String,
    /// Where it begins, in seconds.
    pub(crate) timecode: u64,
}

/// A value that a video's `privacy.view` has had, from the time on at which it was set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ViewChange {
    pub(crate) view: String,
    pub(crate) at: Timestamp,
}

/// The properties of a new text track.
pub(crate) struct NewTextTrack {
    pub(crate) kind: String,
    pub(crate) language: String,
    pub(crate) name: String,
    pub(crate) is_active: bool,
}

/// A part of a publication that a plan may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Feature {
    TextTracks,
    Thumbnails,
    Tags,
    Showcases,
    Presets,
    Chapters,
    Versions,
}

impl Feature {
    pub(crate) const ALL: [Self; 7] = [
        Self::TextTracks,
        Self::Thumbnails,
        Self::Tags,
        Self::Showcases,
        Self::Presets,
        Self::Chapters,
        Self::Versions,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TextTracks => "text_tracks",
            Self::Thumbnails => "thumbnails",
            Self::Tags => "tags",
            Self::Showcases => "showcases",
            Self::Presets => "presets",
            Self::Chapters => "chapters",
            Self::Versions => "versions",
        }
    }
}

/// The canonical form of a tag, by which Vimeo recognises it: its letters and digits in lower case.
pub(crate) fn canonical_tag(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Video {
    /// Makes the link of a text track or an image expire; its status is then this one.
    pub(crate) fn kill_link(&mut self, target: LinkTarget, status: u16) {
        let tracks = self.text_tracks.iter_mut();
        let tracks = tracks.map(|track| (LinkTarget::TextTrack(track.number), &mut track.link));
        let images = self.pictures.iter_mut().filter_map(|picture| {
            let link = &mut picture.image.as_mut()?.link;
            Some((LinkTarget::Picture(picture.number), link))
        });
        for (_, link) in tracks.chain(images).filter(|(known, _)| *known == target) {
            link.dead_status = Some(status);
        }
    }

    pub(crate) fn text_track(&self, number: u64) -> Option<&TextTrack> {
        self.text_tracks.iter().find(|track| track.number == number)
    }

    /// Changes a text track. Activating it deactivates those of the same language and type.
    pub(crate) fn edit_text_track(&mut self, number: u64, edit: impl FnOnce(&mut TextTrack)) -> bool {
        let Some(track) = self.text_tracks.iter_mut().find(|track| track.number == number) else {
            return false;
        };
        edit(track);
        let (kind, language, is_active) = (track.kind.clone(), track.language.clone(), track.is_active);
        for other in self.text_tracks.iter_mut().filter(|other| is_active && other.number != number) {
            if other.kind == kind && other.language == language {
                other.is_active = false;
            }
        }
        true
    }

    /// Whether Vimeo has made a thumbnail of it, which it does once the video can be played.
    pub(crate) fn has_automatic_picture(&self) -> bool {
        self.active_version().is_some_and(|version| version.upload.is_playable())
    }

    pub(crate) fn picture(&self, number: u64) -> Option<&Picture> {
        self.pictures.iter().find(|picture| picture.number == number)
    }

    /// Activates or deactivates a thumbnail; a video has one active thumbnail at most.
    pub(crate) fn edit_picture(&mut self, number: u64, activity: PictureActivity) -> bool {
        if self.picture(number).is_none() {
            return false;
        }
        for picture in &mut self.pictures {
            match activity {
                PictureActivity::Active => picture.is_active = picture.number == number,
                PictureActivity::Inactive if picture.number == number => picture.is_active = false,
                PictureActivity::Inactive => {}
            }
        }
        true
    }

    /// Adds a tag, unless the video has it. Returns whether it had space for it.
    pub(crate) fn add_tag(&mut self, name: &str) -> bool {
        let canonical = canonical_tag(name);
        if self.tags.iter().any(|tag| canonical_tag(tag) == canonical) {
            return true;
        }
        let has_space = self.tags.len() < TAGS_MAX;
        if has_space {
            self.tags.push(name.to_owned());
        }
        has_space
    }
}

/// Whether a thumbnail is to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PictureActivity {
    Active,
    Inactive,
}

impl VimeoState {
    fn make_file_link(&self) -> FileLink {
        FileLink { key: self.random_hex::<16>(), dead_status: None }
    }

    /// Adds a text track without a file. `None` if there is no such video.
    pub(crate) fn add_text_track(&mut self, id: VideoId, new: NewTextTrack) -> Option<u64> {
        let (number, link) = (self.take_number(), self.make_file_link());
        self.videos.edit(id, |video| {
            let NewTextTrack { kind, language, name, is_active } = new;
            video.text_tracks.push(TextTrack { number, kind, language, name, is_active, link, file: None });
            video.edit_text_track(number, |_| {});
            number
        })
    }

    /// Adds a thumbnail that shows a frame of the video. `None` if there is no such video.
    pub(crate) fn add_picture(&mut self, id: VideoId, at_millis: u64, is_active: bool) -> Option<u64> {
        let number = self.take_number();
        self.videos.edit(id, |video| {
            video.pictures.push(Picture { number, at_millis, is_active: false, image: None });
            if is_active {
                video.edit_picture(number, PictureActivity::Active);
            }
            number
        })
    }

    /// Adds a thumbnail whose image will be sent. `None` if there is no such video.
    pub(crate) fn add_image(&mut self, id: VideoId) -> Option<u64> {
        let (number, link) = (self.take_number(), self.make_file_link());
        self.videos.edit(id, |video| {
            let image = Some(Image { link, file: None });
            video.pictures.push(Picture { number, at_millis: 0, is_active: false, image });
            number
        })
    }

    /// Adds a chapter. `None` if there is no such video, or it has a chapter that begins at the same time.
    pub(crate) fn add_chapter(&mut self, id: VideoId, title: String, timecode: u64) -> Option<Chapter> {
        let number = self.take_number();
        let added = self.videos.edit(id, |video| {
            let is_taken = video.chapters.iter().any(|chapter| chapter.timecode == timecode);
            let chapter = Chapter { number, title, timecode };
            (!is_taken).then(|| {
                video.chapters.push(chapter.clone());
                video.chapters.sort_by_key(|chapter| chapter.timecode);
                chapter
            })
        });
        added.flatten()
    }
}
