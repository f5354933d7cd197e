//! The versions of a video's file. A new version replaces the file and keeps the video's number, link and settings.

use std::cmp::Reverse;
use std::time::Duration;

use domain::video::{VersionNumber, VideoNumber};
use reqwest::Method;
use serde::Serialize;
use serde_json::Value;

use super::videos::{TranscodeStatus, UploadStatus, transcode_status, upload_status};
use super::{Session, created, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::tus::UploadLink;
use crate::wire::VersionOut;

const LIST: &str = "/versions?fields=uri,filename,file_name,upload.status,upload.error&per_page=100&page=";
const STATE_FIELDS: &str = "?fields=uri,filename,file_name,active,upload.status,upload.error,upload.upload_link,\
                            transcode.status,is_playable,duration";
/// Limit for an error code, in characters.
const CODE_MAX: usize = 100;

/// A version that Vimeo created.
#[derive(Debug, Clone)]
pub struct Version {
    /// Its number.
    pub number: VersionNumber,
    /// Where its bytes are sent.
    pub link: UploadLink,
}

/// The state of a version.
#[derive(Debug, Clone)]
pub struct VersionState {
    /// The state of its upload.
    pub upload: UploadStatus,
    /// The state of its own transcoding: the video's is that of the version before, until this one is active.
    pub transcode: TranscodeStatus,
    /// Whether it is the version that plays, if Vimeo shows it.
    pub is_active: Option<bool>,
    /// Whether it can be played, perhaps not in every quality yet. False if Vimeo does not show it.
    pub is_playable: bool,
    /// How long it plays, in seconds, once known.
    pub duration_seconds: Option<u64>,
    /// Where its bytes are sent, while the upload is in progress. `None` if the link is not accepted.
    pub upload_link: Option<UploadLink>,
    /// The name of its file, if Vimeo shows it.
    pub file_name: Option<String>,
}

/// A version as returned by a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSummary {
    /// Its number.
    pub number: VersionNumber,
    /// The name of its file, if Vimeo shows it.
    pub file_name: Option<String>,
    /// The state of its upload.
    pub upload: UploadStatus,
}

#[derive(Serialize)]
struct VersionIn<'a> {
    file_name: &'a str,
    upload: UploadIn,
}

#[derive(Serialize)]
struct UploadIn {
    approach: &'static str,
    size: u64,
}

impl Session {
    /// `POST /videos/{video}/versions`: a version for a tus upload of `size` bytes. Only the video's owner may create one.
    /// Not idempotent: after [`Failure::Unknown`] a version may exist.
    pub async fn create_version(
        &self,
        video: VideoNumber,
        file_name: &str,
        size: u64,
        timeout: Duration,
    ) -> Result<Version, Failure> {
        let path = ApiPath::video(video).then("/versions?fields=uri,upload.upload_link,upload.status");
        let body = VersionIn { file_name, upload: UploadIn { approach: "tus", size } };
        let response = self.send(self.request_with(Method::POST, &path, &body), timeout).await?;
        let created = created::<VersionOut>(&response).and_then(|version_out| {
            let number = VersionNumber::parse_uri(version_out.uri.as_deref()?)?;
            let link = self.accepted_link(version_out.upload.as_ref()?)?;
            (number.video == video).then_some(Version { number, link })
        });
        if created.is_none() {
            tracing::warn!(
                "Vimeo's response to the creation of a version has no version or no accepted upload link"
            );
        }
        created.ok_or_else(unexpected_response)
    }

    /// `GET {version}`; `None` if it does not exist.
    pub async fn find_version(
        &self,
        version: VersionNumber,
        timeout: Duration,
    ) -> Result<Option<VersionState>, Failure> {
        let request = self.request(Method::GET, &ApiPath::version(version).then(STATE_FIELDS));
        let response = match self.send(request, timeout).await {
            Err(Failure::NotFound) => return Ok(None),
            response => response?,
        };
        let mut version_out: VersionOut = response.json().ok_or_else(unexpected_response)?;
        if version_out.uri.as_deref().and_then(VersionNumber::parse_uri) != Some(version) {
            return Err(unexpected_response());
        }
        let upload = version_out.upload.as_ref().ok_or_else(unexpected_response)?;
        let status = match upload_status(upload).ok_or_else(unexpected_response)? {
            UploadStatus::Failed(code) => {
                let redactor = self.redactor(None);
                UploadStatus::Failed(code.map(|code| redactor.clean(&code, CODE_MAX)))
            }
            status => status,
        };
        let transcode = version_out.transcode.as_ref().and_then(|transcode| transcode.status.as_deref());
        Ok(Some(VersionState {
            upload: status,
            transcode: transcode_status(transcode),
            is_active: version_out.active,
            is_playable: version_out.is_playable == Some(true),
            duration_seconds: version_out.duration.filter(|seconds| *seconds > 0),
            upload_link: self.accepted_link(upload),
            file_name: version_out.take_file_name(),
        }))
    }

    /// `GET /videos/{video}/versions`, newest first. `timeout` applies to each page.
    pub async fn list_versions(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Vec<VersionSummary>, Failure> {
        let is_own = |version: &VersionSummary| version.number.video == video;
        let list = ApiPath::video(video).then(LIST);
        let mut versions = self.list_parsed(&list, timeout, summary, is_own).await?;
        // The list has no documented order; numbers ascend.
        versions.sort_by_key(|version| Reverse(version.number));
        Ok(versions)
    }

    /// `DELETE {version}`. A version that does not exist counts as deleted.
    pub async fn delete_version(&self, version: VersionNumber, timeout: Duration) -> Result<(), Failure> {
        self.delete(&ApiPath::version(version), timeout).await
    }
}

/// An item of a list, if it can be parsed.
fn summary(item: Value) -> Option<VersionSummary> {
    let mut version_out: VersionOut = serde_json::from_value(item).ok()?;
    Some(VersionSummary {
        number: VersionNumber::parse_uri(version_out.uri.as_deref()?)?,
        upload: upload_status(version_out.upload.as_ref()?)?,
        file_name: version_out.take_file_name(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_version_is_parsed_from_a_list_with_either_spelling_of_its_file_name() {
        for names in [
            json!({ "filename": "b.mp4" }),
            json!({ "file_name": "b.mp4" }),
            json!({ "filename": "b.mp4", "file_name": "b.mp4" }),
        ] {
            let mut item = json!({ "uri": "/videos/1/versions/2", "upload": { "status": "complete" } });
            item.as_object_mut().unwrap().extend(names.as_object().unwrap().clone());
            let version = summary(item).unwrap();
            assert_eq!(version.number.to_string(), "/videos/1/versions/2");
            assert_eq!(
                (version.file_name.as_deref(), version.upload),
                (Some("b.mp4"), UploadStatus::Complete)
            );
        }
        for bad in [
            json!({ "uri": "/videos/1/versions/2" }),
            json!({ "uri": "/videos/1", "upload": { "status": "complete" } }),
            json!([]),
        ] {
            assert_eq!(summary(bad), None);
        }
    }
}
