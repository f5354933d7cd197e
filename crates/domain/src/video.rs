//! Numbers of Vimeo's videos, of what belongs to a video, and of folders, showcases and presets. URIs from users and Vimeo
//! are parsed into these and rebuilt, so that their paths are never requested as they are.

use std::fmt;

use thiserror::Error;

/// A video at Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VideoNumber(i64);

impl VideoNumber {
    /// Parses `/videos/123` as Vimeo writes it, also with the hash of an unlisted video (`/videos/123:abc`).
    pub fn parse_uri(uri: &str) -> Option<Self> {
        let rest = uri.strip_prefix("/videos/")?;
        let (number, hash) = rest.split_once(':').map_or((rest, None), |(number, hash)| (number, Some(hash)));
        let is_hash = |hash: &str| !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !hash.is_none_or(is_hash) {
            return None;
        }
        positive(number).map(Self)
    }

    /// A number from the store.
    pub fn from_stored(number: i64) -> Self {
        Self(number)
    }

    /// The number; positive.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

/// Displayed as Vimeo's `uri`.
impl fmt::Display for VideoNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/videos/{}", self.0)
    }
}

/// A folder at Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderNumber {
    /// Its owner, if given; otherwise the token's user.
    pub owner: Option<i64>,
    /// Its number.
    pub number: i64,
}

/// The text is not a valid [`FolderNumber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a folder's URI such as /users/123/projects/456, /me/projects/456 or /folders/456")]
pub struct FolderUriError;

impl FolderNumber {
    /// Parses a folder's URI in any common form: `/users/N/projects/M`, `/users/N/folders/M`, `/me/projects/M`,
    /// `/me/folders/M`, `/projects/M`, `/folders/M`, each optionally after `https://api.vimeo.com`.
    pub fn parse_uri(uri: &str) -> Result<Self, FolderUriError> {
        let parts = path_parts(uri).ok_or(FolderUriError)?;
        let (owner, kind, number) = match parts.as_slice() {
            ["users", owner, kind, number] => (Some(positive(owner).ok_or(FolderUriError)?), *kind, *number),
            ["me", kind, number] | [kind, number] => (None, *kind, *number),
            _ => return Err(FolderUriError),
        };
        if !matches!(kind, "projects" | "folders") {
            return Err(FolderUriError);
        }
        Ok(Self { owner, number: positive(number).ok_or(FolderUriError)? })
    }
}

/// The folder's path in the API.
impl fmt::Display for FolderNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Some(owner) => write!(f, "/users/{owner}/projects/{}", self.number),
            None => write!(f, "/me/projects/{}", self.number),
        }
    }
}

/// Defines the number of something that belongs to a video: its URI is that of the video, then a name and a number.
macro_rules! part_of_video {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name {
            /// The video that it belongs to.
            pub video: VideoNumber,
            number: i64,
        }

        impl $name {
            /// Parses its URI as Vimeo writes it; the video's may contain a hash.
            pub fn parse_uri(uri: &str) -> Option<Self> {
                let (video, number) = uri.split_once(concat!("/", $kind, "/"))?;
                Some(Self { video: VideoNumber::parse_uri(video)?, number: positive(number)? })
            }

            /// A number from the store, with its video.
            pub fn from_stored(video: VideoNumber, number: i64) -> Self {
                Self { video, number }
            }

            /// The number without the video's; positive.
            pub fn as_i64(self) -> i64 {
                self.number
            }
        }

        /// Displayed as Vimeo's `uri`.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("{}/", $kind, "/{}"), self.video, self.number)
            }
        }
    };
}

part_of_video!(
    /// A text track of a video: `/videos/1/texttracks/2`.
    TextTrackNumber,
    "texttracks"
);
part_of_video!(
    /// A picture (thumbnail) of a video: `/videos/1/pictures/2`.
    PictureNumber,
    "pictures"
);
part_of_video!(
    /// A version of a video's file: `/videos/1/versions/2`.
    VersionNumber,
    "versions"
);

/// A showcase at Vimeo, which the API also calls an album.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShowcaseNumber {
    /// Its owner, if given; otherwise the token's user.
    pub owner: Option<i64>,
    /// Its number.
    pub number: i64,
}

/// The text is not a valid [`ShowcaseNumber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be a showcase's URI such as /users/123/albums/456, /me/albums/456 or https://vimeo.com/showcase/456"
)]
pub struct ShowcaseUriError;

impl ShowcaseNumber {
    /// Parses a showcase's URI in any common form: `/users/N/albums/M`, `/me/albums/M`, `/albums/M`, `/showcases/M`, each
    /// optionally after `https://api.vimeo.com`, or the address of its page, `https://vimeo.com/showcase/M`.
    pub fn parse_uri(uri: &str) -> Result<Self, ShowcaseUriError> {
        let (owner, number) = match uri.strip_prefix("https://vimeo.com/showcase/") {
            Some(number) => (None, positive(number)),
            None => match path_parts(uri).ok_or(ShowcaseUriError)?.as_slice() {
                ["users", owner, "albums", number] => {
                    (Some(positive(owner).ok_or(ShowcaseUriError)?), positive(number))
                }
                ["me", "albums", number] | ["albums" | "showcases", number] => (None, positive(number)),
                _ => return Err(ShowcaseUriError),
            },
        };
        Ok(Self { owner, number: number.ok_or(ShowcaseUriError)? })
    }

    /// A number from the store, of a showcase of the token's user.
    pub fn from_stored(number: i64) -> Self {
        Self { owner: None, number }
    }

    /// The number; positive. The owner is not part of it: store the displayed URI if the owner matters.
    pub fn as_i64(self) -> i64 {
        self.number
    }
}

/// The showcase's path in the API.
impl fmt::Display for ShowcaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.owner {
            Some(owner) => write!(f, "/users/{owner}/albums/{}", self.number),
            None => write!(f, "/me/albums/{}", self.number),
        }
    }
}

/// An embed preset at Vimeo.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PresetNumber(i64);

/// The text is not a valid [`PresetNumber`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a preset's URI such as /users/123/presets/456, /me/presets/456 or /presets/456")]
pub struct PresetUriError;

impl PresetNumber {
    /// Parses a preset's URI in any common form: `/users/N/presets/M`, `/me/presets/M`, `/presets/M`, each optionally
    /// after `https://api.vimeo.com`. The owner is not kept, because no request names it.
    pub fn parse_uri(uri: &str) -> Result<Self, PresetUriError> {
        let number = match path_parts(uri).ok_or(PresetUriError)?.as_slice() {
            ["users", owner, "presets", number] if positive(owner).is_some() => positive(number),
            ["me", "presets", number] | ["presets", number] => positive(number),
            _ => None,
        };
        number.map(Self).ok_or(PresetUriError)
    }

    /// A number from the store.
    pub fn from_stored(number: i64) -> Self {
        Self(number)
    }

    /// The number; positive.
    pub fn as_i64(self) -> i64 {
        self.0
    }
}

/// The preset's path in the API.
impl fmt::Display for PresetNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/me/presets/{}", self.0)
    }
}

/// The segments of a path, which may follow the address of Vimeo's API.
fn path_parts(uri: &str) -> Option<Vec<&str>> {
    let path = uri.strip_prefix("https://api.vimeo.com").unwrap_or(uri);
    Some(path.strip_prefix('/')?.split('/').collect())
}

/// A plain positive number: digits only, without a leading zero.
fn positive(text: &str) -> Option<i64> {
    let is_plain = !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_videos_uri_is_parsed_strictly() {
        for good in ["/videos/123", "/videos/123:9f2ab0c1"] {
            assert_eq!(VideoNumber::parse_uri(good).unwrap().to_string(), "/videos/123");
        }
        for bad in [
            "",
            "/videos/",
            "/videos/0",
            "/videos/-1",
            "/videos/+1",
            "/videos/12a",
            "/videos/1/../me",
            "/videos/1?x",
            "/videos/1:",
            "/videos/1:../x",
            "/videos/9223372036854775808",
            "videos/1",
            "//videos/1",
            "/videos/01",
            "https://api.vimeo.com/videos/1",
            "/videos/1:a/b",
            "/videos/\u{661}",
        ] {
            assert_eq!(VideoNumber::parse_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_folders_uri_is_parsed_in_each_form() {
        for (spelling, path) in [
            ("/users/12345/folders/6789", "/users/12345/projects/6789"),
            ("/users/12345/projects/6789", "/users/12345/projects/6789"),
            ("https://api.vimeo.com/users/12345/projects/6789", "/users/12345/projects/6789"),
            ("/me/projects/6789", "/me/projects/6789"),
            ("/me/folders/6789", "/me/projects/6789"),
            ("/projects/6789", "/me/projects/6789"),
            ("/folders/6789", "/me/projects/6789"),
        ] {
            assert_eq!(FolderNumber::parse_uri(spelling).unwrap().to_string(), path, "{spelling}");
        }
        for bad in [
            "",
            "6789",
            "folders/6789",
            "/folders/",
            "/folders/0",
            "/folders/x",
            "/folders/6789/",
            "/folders/6789/videos",
            "/users/me/projects/1",
            "/users/0/projects/1",
            "/albums/1",
            "/me/videos/1",
            "//folders/1",
            "/folders/1?x=2",
            "https://vimeo.com/folders/1",
            "https://api.vimeo.com.evil.example/folders/1",
            "/users/1/../2/projects/3",
        ] {
            assert_eq!(FolderNumber::parse_uri(bad), Err(FolderUriError), "{bad}");
        }
    }

    #[test]
    fn the_uri_of_a_part_of_a_video_is_parsed_strictly_with_its_video() {
        for good in ["/videos/12/texttracks/34", "/videos/12:ab0c/texttracks/34"] {
            let track = TextTrackNumber::parse_uri(good).unwrap();
            assert_eq!(track, TextTrackNumber::from_stored(VideoNumber::from_stored(12), 34));
            assert_eq!((track.to_string().as_str(), track.as_i64()), ("/videos/12/texttracks/34", 34));
        }
        let picture = PictureNumber::parse_uri("/videos/12/pictures/34").unwrap();
        assert_eq!(picture.to_string(), "/videos/12/pictures/34");
        let version = VersionNumber::parse_uri("/videos/12/versions/34").unwrap();
        assert_eq!(version.to_string(), "/videos/12/versions/34");
        for bad in [
            "",
            "/videos/12",
            "/videos/12/versions",
            "/videos/12/versions/",
            "/videos/12/versions/0",
            "/videos/12/versions/034",
            "/videos/12/versions/34/",
            "/videos/12/versions/34/versions/56",
            "/videos/12/versions/34?x",
            "/videos/0/versions/34",
            "/videos/12/pictures/34",
            "/videos/12/../versions/34",
            "/me/videos/12/versions/34",
            "https://api.vimeo.com/videos/12/versions/34",
        ] {
            assert_eq!(VersionNumber::parse_uri(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_showcases_uri_is_parsed_in_each_form() {
        for (spelling, path) in [
            ("/users/12/albums/34", "/users/12/albums/34"),
            ("https://api.vimeo.com/users/12/albums/34", "/users/12/albums/34"),
            ("/me/albums/34", "/me/albums/34"),
            ("/albums/34", "/me/albums/34"),
            ("/showcases/34", "/me/albums/34"),
            ("https://api.vimeo.com/albums/34", "/me/albums/34"),
            ("https://vimeo.com/showcase/34", "/me/albums/34"),
        ] {
            assert_eq!(ShowcaseNumber::parse_uri(spelling).unwrap().to_string(), path, "{spelling}");
        }
        for bad in [
            "",
            "34",
            "albums/34",
            "/albums/",
            "/albums/0",
            "/albums/034",
            "/albums/34/videos",
            "/albums/34?x",
            "/users/me/albums/34",
            "/users/0/albums/34",
            "/users/12/showcases/34",
            "/showcase/34",
            "/projects/34",
            "https://vimeo.com/albums/34",
            "https://vimeo.com/showcase/34/embed",
            "http://vimeo.com/showcase/34",
            "https://vimeo.com.evil.example/showcase/34",
        ] {
            assert_eq!(ShowcaseNumber::parse_uri(bad), Err(ShowcaseUriError), "{bad}");
        }
    }

    #[test]
    fn a_presets_uri_is_parsed_in_each_form() {
        for good in
            ["/presets/34", "/me/presets/34", "/users/12/presets/34", "https://api.vimeo.com/me/presets/34"]
        {
            let preset = PresetNumber::parse_uri(good).unwrap();
            assert_eq!((preset.to_string().as_str(), preset.as_i64()), ("/me/presets/34", 34), "{good}");
        }
        for bad in [
            "",
            "34",
            "/presets/",
            "/presets/0",
            "/users/x/presets/34",
            "/users/12/presets/34/videos",
            "/videos/12/presets/34",
            "/albums/34",
            "https://vimeo.com/presets/34",
        ] {
            assert_eq!(PresetNumber::parse_uri(bad), Err(PresetUriError), "{bad}");
        }
    }
}
