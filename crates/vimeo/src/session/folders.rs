//! Folders, which the API also calls projects.

use std::time::Duration;

use domain::video::{FolderNumber, VideoNumber};
use reqwest::{Method, StatusCode};
use serde::Serialize;

use super::{Session, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::{FolderOut, PageOut};

const PER_PAGE: usize = 100;
/// How many pages are searched.
const PAGES_MAX: u32 = 20;
/// Oldest first, so that a folder created meanwhile does not shift the pages.
const LIST: &str = "/me/projects?sort=date&direction=asc&per_page=100&fields=uri,name&page=";

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
    /// oldest 2000 folders. `timeout` applies to each page.
    pub async fn find_folder_by_name(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<FolderNumber>, Failure> {
        let mut found: Option<FolderNumber> = None;
        for page in 1..=PAGES_MAX {
            let request = self.request(Method::GET, &ApiPath::fixed(LIST).then_number(page));
            let response = match self.send(request, timeout).await {
                // Vimeo answers 404 for a page past the end.
                Err(Failure::NotFound) if page > 1 => break,
                response => response?,
            };
            let page_out: PageOut = response.json().ok_or_else(unexpected_response)?;
            let is_last = page_out.is_last(PER_PAGE);
            let named = page_out.data.into_iter().filter_map(|item| {
                let folder: FolderOut = serde_json::from_value(item).ok()?;
                (folder.name? == name).then_some(())?;
                FolderNumber::parse_uri(&folder.uri?).ok()
            });
            found = found.into_iter().chain(named).min_by_key(|folder| folder.number);
            if is_last {
                break;
            }
        }
        Ok(found)
    }

    /// `POST /me/projects`. Not idempotent: Vimeo allows several folders with one name.
    pub async fn create_folder(&self, name: &str, timeout: Duration) -> Result<FolderNumber, Failure> {
        let path = ApiPath::fixed("/me/projects?fields=uri");
        let response = self.send(self.request_with(Method::POST, &path, &FolderIn { name }), timeout).await?;
        let folder = match response.status {
            StatusCode::OK | StatusCode::CREATED => response.json::<FolderOut>(),
            _ => None,
        };
        let created = folder.and_then(|folder| FolderNumber::parse_uri(&folder.uri?).ok());
        created.ok_or_else(unexpected_response)
    }
}
