//! Folders, which the API also calls projects.

use std::time::Duration;

use domain::video::{FolderNumber, VideoNumber};
use reqwest::Method;
use serde::Serialize;

use super::{Session, created, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::NamedOut;

/// Oldest first, so that a folder created meanwhile does not shift the pages.
const ORDER: &str = "&sort=date&direction=asc&per_page=100&fields=uri,name&page=";

#[derive(Serialize)]
struct FolderIn<'a> {
    name: &'a str,
}

impl Session {
    /// `PUT {folder}/videos/{video}`: moves the video into this folder.
    pub async fn put_in_folder(
        &self,
        folder: FolderNumber,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let path = ApiPath::folder(folder).then_video(video);
        self.execute(self.request(Method::PUT, &path), timeout).await
    }

    /// The user's folder with exactly this name; the one with the lowest number if there are several. Searches the
    /// oldest 2000 folders that Vimeo finds for the name: one request, unless very many match. `timeout` applies to
    /// each page.
    pub async fn find_folder_by_name(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<FolderNumber>, Failure> {
        let list = ApiPath::fixed("/me/projects?query=").then_value(name).then(ORDER);
        let uris = self.list_uris_by_name(&list, name, timeout).await?;
        let found = uris.iter().filter_map(|uri| FolderNumber::parse_uri(uri).ok());
        Ok(found.min_by_key(|folder| folder.number))
    }

    /// `POST /me/projects`. Not idempotent: Vimeo allows several folders with one name.
    pub async fn create_folder(&self, name: &str, timeout: Duration) -> Result<FolderNumber, Failure> {
        let path = ApiPath::fixed("/me/projects?fields=uri");
        let response = self.send(self.request_with(Method::POST, &path, &FolderIn { name }), timeout).await?;
        let folder = created::<NamedOut>(&response);
        let created = folder.and_then(|folder| FolderNumber::parse_uri(&folder.uri?).ok());
        created.ok_or_else(unexpected_response)
    }
}
