//! Vimeo's JSON, as far as we read it. What we do not read may be anything.

use domain::secret::Secret;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The token in the answer of a token endpoint.
#[derive(Deserialize)]
pub(crate) struct TokenOut {
    pub(crate) access_token: String,
}

/// Whose the token is and what for, in the answers of the token endpoints and of `/oauth/verify`.
#[derive(Deserialize)]
pub(crate) struct AuthOut {
    pub(crate) scope: Option<String>,
    pub(crate) app: Option<AppOut>,
    pub(crate) user: Option<UserOut>,
}

/// An app; its `uri` tells apps apart.
#[derive(Deserialize)]
pub(crate) struct AppOut {
    pub(crate) uri: Option<String>,
}

/// A user.
#[derive(Deserialize)]
pub(crate) struct UserOut {
    pub(crate) uri: Option<String>,
}

/// Any of Vimeo's error shapes: the full one, the legacy one, and that of RFC 6749.
#[derive(Deserialize)]
pub(crate) struct ErrorBody {
    /// A text for people, or the RFC's code.
    pub(crate) error: String,
    /// Only in the full shape.
    pub(crate) error_code: Option<i64>,
    /// Only where a request's members were judged. Whatever else it is must not hide the rest.
    #[serde(default)]
    invalid_parameters: Value,
}

/// One thing that was wrong with a request.
#[derive(Deserialize)]
pub(crate) struct ParameterOut {
    pub(crate) field: String,
    pub(crate) error_code: Option<i64>,
    #[serde(default)]
    pub(crate) error: String,
}

impl ErrorBody {
    /// What was wrong in particular, as far as it can be read.
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
    /// Deprecated, and the only place where some failures stand.
    pub(crate) status: Option<String>,
    pub(crate) is_playable: Option<bool>,
    /// In seconds; 0 until the file was read.
    pub(crate) duration: Option<u64>,
    pub(crate) link: Option<String>,
    pub(crate) player_embed_url: Option<String>,
    pub(crate) privacy: Option<PrivacyOut>,
}

/// How the bytes of a video come.
#[derive(Deserialize)]
pub(crate) struct UploadOut {
    pub(crate) status: Option<String>,
    pub(crate) error: Option<String>,
    #[serde(default, deserialize_with = "secret")]
    pub(crate) upload_link: Option<Secret>,
}

/// Something with a status.
#[derive(Deserialize)]
pub(crate) struct StatusOut {
    pub(crate) status: Option<String>,
}

/// Who may see a video.
#[derive(Deserialize)]
pub(crate) struct PrivacyOut {
    pub(crate) view: Option<String>,
}

/// A folder.
#[derive(Deserialize)]
pub(crate) struct FolderOut {
    pub(crate) uri: Option<String>,
    pub(crate) name: Option<String>,
}

/// A page of a list. Its items are read one by one, so that one which is odd does not hide the others.
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
    /// Whether no page comes behind this one, which has `per_page` items if one does.
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
