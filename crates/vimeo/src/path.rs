//! API paths, built only from fixed parts, numbers, and single percent-encoded segments, so that neither a user's nor
//! Vimeo's text can change the target.

use std::fmt::Write as _;

use domain::video::{
    FolderNumber, PictureNumber, PresetNumber, ShowcaseNumber, TextTrackNumber, VersionNumber, VideoNumber,
};

/// A path with an optional query; starts with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiPath(String);

impl ApiPath {
    /// A fixed path.
    pub(crate) fn fixed(path: &'static str) -> Self {
        Self(path.to_owned())
    }

    /// `/videos/{video}`.
    pub(crate) fn video(video: VideoNumber) -> Self {
        Self(format!("/videos/{}", video.as_i64()))
    }

    /// The path of a folder.
    pub(crate) fn folder(folder: FolderNumber) -> Self {
        Self(folder.to_string())
    }

    /// The path of a showcase.
    pub(crate) fn showcase(showcase: ShowcaseNumber) -> Self {
        Self(showcase.to_string())
    }

    /// The path of a text track.
    pub(crate) fn text_track(track: TextTrackNumber) -> Self {
        Self(track.to_string())
    }

    /// The path of a picture.
    pub(crate) fn picture(picture: PictureNumber) -> Self {
        Self(picture.to_string())
    }

    /// The path of a version.
    pub(crate) fn version(version: VersionNumber) -> Self {
        Self(version.to_string())
    }

    /// Appends a fixed part.
    pub(crate) fn then(mut self, more: &'static str) -> Self {
        self.0.push_str(more);
        self
    }

    /// Appends a number.
    pub(crate) fn then_number(mut self, number: u32) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{number}");
        self
    }

    /// Appends the path of a video.
    pub(crate) fn then_video(mut self, video: VideoNumber) -> Self {
        self.0.push_str(&Self::video(video).0);
        self
    }

    /// Appends the path of a preset, without an owner.
    pub(crate) fn then_preset(mut self, preset: PresetNumber) -> Self {
        // Writing to a string does not fail.
        let _ = write!(self.0, "/presets/{}", preset.as_i64());
        self
    }

    /// Appends any text as the value of a query parameter.
    pub(crate) fn then_value(mut self, text: &str) -> Self {
        self.push_encoded(text);
        self
    }

    /// Appends any text as one segment. `None` for an empty text, `.` and `..`, which URL parsers resolve even if
    /// encoded.
    pub(crate) fn then_segment(mut self, text: &str) -> Option<Self> {
        if matches!(text, "" | "." | "..") {
            return None;
        }
        self.0.push('/');
        self.push_encoded(text);
        Some(self)
    }

    /// Appends a text with everything percent-encoded that could have a meaning in a URL.
    fn push_encoded(&mut self, text: &str) {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                self.0.push(char::from(byte));
            } else {
                let _ = write!(self.0, "%{byte:02X}");
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_within_its_segment() {
        let domains = || ApiPath::video(VideoNumber::from_stored(7)).then("/privacy/domains");
        for (text, path) in [
            ("www.example.com", "www.example.com"),
            ("localhost:3000", "localhost%3A3000"),
            ("*.example.com", "%2A.example.com"),
            ("../../me?x=1#y", "..%2F..%2Fme%3Fx%3D1%23y"),
            ("bücher.example", "b%C3%BCcher.example"),
            ("%2e%2e", "%252e%252e"),
            ("a b\\c\n", "a%20b%5Cc%0A"),
        ] {
            let built = domains().then_segment(text).unwrap();
            assert_eq!(built.as_str(), format!("/videos/7/privacy/domains/{path}"));
            let url = url::Url::parse(&format!("https://api.vimeo.com{}", built.as_str())).unwrap();
            assert_eq!(url.path(), built.as_str(), "a URL reads it as it was meant");
        }
        for nowhere in ["", ".", ".."] {
            assert_eq!(domains().then_segment(nowhere), None);
        }
    }

    #[test]
    fn a_text_stays_within_its_query_parameter() {
        for text in ["Talks 2024", "a&page=2#x", "100% + 1=?", "b\u{fc}cher/..", ""] {
            let built = ApiPath::fixed("/me/albums?query=").then_value(text).then("&page=1");
            let url = url::Url::parse(&format!("https://api.vimeo.com{}", built.as_str())).unwrap();
            let pairs: Vec<_> = url.query_pairs().into_owned().collect();
            let expected = [("query", text), ("page", "1")];
            assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())), "{text}");
            assert_eq!((url.path(), url.fragment()), ("/me/albums", None), "{text}");
        }
    }
}
