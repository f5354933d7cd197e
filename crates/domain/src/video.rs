//! Numbers of Vimeo's videos and folders. URIs from users and Vimeo are parsed into these and rebuilt, so that their
//! paths are never requested as they are.

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
        let path = uri.strip_prefix("https://api.vimeo.com").unwrap_or(uri);
        let parts: Vec<&str> = path.strip_prefix('/').ok_or(FolderUriError)?.split('/').collect();
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
}
