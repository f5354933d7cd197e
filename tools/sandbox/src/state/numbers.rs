//! The numbers in Vimeo's URIs, one type for each kind.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(super) u64);

        impl $name {
            /// The number, as in a path.
            pub(crate) fn number(self) -> u64 {
                self.0
            }

            /// Parses a number in a path, in the canonical form.
            pub(crate) fn parse(text: &str) -> Option<Self> {
                let is_canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
                is_canonical.then(|| text.parse().ok().map(Self)).flatten()
            }
        }
    )+};
}

numbers! {
    /// Names an app; shown as `/apps/N`.
    AppId;
    /// Names a user; shown as `/users/N`.
    UserId;
    /// Names a video; shown as `/videos/N`.
    VideoId;
    /// Names one version of a video's file; shown as `/videos/N/versions/M`.
    VersionId;
    /// Names a folder; shown as `/users/N/projects/M`.
    FolderId;
    /// Names a showcase; shown as `/users/N/albums/M`.
    ShowcaseId;
    /// Names an embed preset; shown as `/users/N/presets/M`.
    PresetId;
}

impl UserId {
    #[cfg(test)]
    pub(crate) fn first() -> Self {
        Self(super::FIRST_NUMBER)
    }
}

impl VersionId {
    pub(super) const MIN: Self = Self(0);
}

impl VideoId {
    pub(super) const MAX: Self = Self(u64::MAX);

    /// A video in a path or URI: `N` or, for an unlisted one, `N:hash`.
    pub(crate) fn parse_named(text: &str) -> Option<(Self, Option<&str>)> {
        match text.split_once(':') {
            Some((number, hash)) => Self::parse(number).map(|id| (id, Some(hash))),
            None => Self::parse(text).map(|id| (id, None)),
        }
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/apps/{}", self.number())
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/users/{}", self.0)
    }
}

impl fmt::Display for VideoId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/videos/{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_only_as_vimeo_writes_it() {
        assert_eq!(VideoId::parse("240001"), Some(VideoId(240_001)));
        for text in ["", "0", "01", "+1", "-1", "1a", "99999999999999999999", "\u{661}"] {
            assert_eq!(VideoId::parse(text), None, "{text}");
        }
    }
}
