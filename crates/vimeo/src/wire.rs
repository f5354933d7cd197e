//! The parts of Vimeo's JSON that are used. Everything else is ignored.

use domain::secret::Secret;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The token in a response of a token endpoint.
#[derive(Deserialize)]
pub(crate) struct TokenOut {
    pub(crate) access_token: String,
}

/// Scope, app and user of a token, in responses of the token endpoints and of `/oauth/verify`.
#[derive(Deserialize)]
pub(crate) struct AuthOut {
    pub(crate) scope: Option<String>,
    pub(crate) app: Option<AppOut>,
    pub(crate) user: Option<UserOut>,
}

/// An app, identified by its `uri`.
#[derive(Deserialize)]
pub(crate) struct AppOut {
    pub(crate) uri: Option<String>,
}

/// A user.
#[derive(Deserialize)]
pub(crate) struct UserOut {
    pub(crate) uri: Option<String>,
}

/// Vimeo's error formats: the full one, the legacy one, and RFC 6749's.
#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    /// A message, or the code of RFC 6749.
    pub(crate) error: String,
    /// Only in the full format.
    pub(crate) error_code: Option<i64>,
    /// Only for rejected parameters. An unexpected type must not make the rest unreadable.
    #[serde(default)]
    invalid_parameters: Value,
}

/// A rejected parameter.
#[derive(Deserialize)]
pub(crate) struct ParameterOut {
    pub(crate) field: String,
    pub(crate) error_code: Option<i64>,
    #[serde(default)]
    pub(crate) error: String,
}

impl ErrorBody {
    /// The rejected parameters that can be parsed.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = ParameterOut> {
        let parameters = self.invalid_parameters.as_array().into_iter().flatten();
        parameters.filter_map(|parameter| ParameterOut::deserialize(parameter).ok())
    }
}

/// A video.
#[derive(Deserialize)]
pub(crate) struct VideoOut {
    pub(crate) uri: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) created_time: Option<String>,
    pub(crate) upload: Option<UploadOut>,
    pub(crate) transcode: Option<StatusOut>,
    /// Deprecated, but the only field that reports some failures.
    pub(crate) status: Option<String>,
    pub(crate) is_playable: Option<bool>,
    /// In seconds; 0 until the file was read.
    pub(crate) duration: Option<u64>,
    pub(crate) link: Option<String>,
    pub(crate) player_embed_url: Option<String>,
    pub(crate) privacy: Option<PrivacyOut>,
    /// Declared; an unexpected type must not make the rest unreadable.
    #[serde(default)]
    pub(crate) allowed_privacies: Option<Value>,
    pub(crate) user: Option<UserOut>,
    #[serde(default, deserialize_with = "boolean")]
    pub(crate) is_cold_privacy_restricted: Option<bool>,
}

/// The upload of a video.
#[derive(Deserialize)]
pub(crate) struct UploadOut {
    pub(crate) status: Option<String>,
    pub(crate) error: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) upload_link: Option<Secret>,
}

/// An object with a status.
#[derive(Deserialize)]
pub(crate) struct StatusOut {
    pub(crate) status: Option<String>,
}

/// Who may see a video.
#[derive(Deserialize)]
pub(crate) struct PrivacyOut {
    pub(crate) view: Option<String>,
}

/// Anything with a URI and perhaps a name: a folder or a showcase, for example.
#[derive(Deserialize)]
pub(crate) struct NamedOut {
    pub(crate) uri: Option<String>,
    pub(crate) name: Option<String>,
}

/// A text track or a picture that was created, with the link for its file.
#[derive(Deserialize)]
pub(crate) struct CreatedFileOut {
    pub(crate) uri: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) link: Option<Secret>,
}

/// A text track.
#[derive(Deserialize)]
pub(crate) struct TextTrackOut {
    pub(crate) uri: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) language: Option<String>,
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "boolean")]
    pub(crate) active: Option<bool>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) link: Option<Secret>,
}

/// A picture of a video.
#[derive(Deserialize)]
pub(crate) struct PictureOut {
    pub(crate) uri: Option<String>,
    #[serde(default, deserialize_with = "boolean")]
    pub(crate) active: Option<bool>,
    #[serde(default, deserialize_with = "boolean")]
    pub(crate) default_picture: Option<bool>,
}

/// A chapter of a video.
#[derive(Deserialize)]
pub(crate) struct ChapterOut {
    pub(crate) title: Option<String>,
    /// In seconds.
    pub(crate) timecode: Option<f64>,
}

/// A version of a video's file.
#[derive(Deserialize)]
pub(crate) struct VersionOut {
    pub(crate) uri: Option<String>,
    /// As in Vimeo's description of the response.
    filename: Option<String>,
    /// As in the request. Two fields, because a response may contain both.
    file_name: Option<String>,
    #[serde(default, deserialize_with = "boolean")]
    pub(crate) active: Option<bool>,
    pub(crate) upload: Option<UploadOut>,
    pub(crate) transcode: Option<StatusOut>,
    #[serde(default, deserialize_with = "boolean")]
    pub(crate) is_playable: Option<bool>,
    /// In seconds; 0 until the file was read.
    pub(crate) duration: Option<u64>,
}

impl VersionOut {
    /// The name of its file, in either spelling.
    pub(crate) fn take_file_name(&mut self) -> Option<String> {
        self.filename.take().or_else(|| self.file_name.take())
    }
}

/// A page of a list. Items are parsed one by one, so that an unexpected one does not hide the others.
#[derive(Deserialize)]
pub(crate) struct PageOut {
    pub(crate) data: Vec<Value>,
    paging: Option<PagingOut>,
}

#[derive(Deserialize)]
struct PagingOut {
    next: Option<String>,
}

impl PageOut {
    /// Whether this is the last page. Without paging information, a page of fewer than `per_page` items is the last.
    pub(crate) fn is_last(&self, per_page: usize) -> bool {
        match &self.paging {
            Some(paging) => paging.next.is_none(),
            None => self.data.len() < per_page,
        }
    }
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    Option::<String>::deserialize(deserializer).map(|text| text.map(Secret::new))
}

fn boolean<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Value::deserialize(deserializer).map(|value| value.as_bool())
}
