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
/// How many pages of folders are looked through.
const PAGES_MAX: u32 = 20;
/// The oldest first, so that no folder that is made meanwhile shifts the pages.
const LIST: &str = "/me/projects?sort=date&direction=asc&per_page=100&fields=uri,name&page=";

#[derive(Serialize)]
struct FolderIn<'a> {
    name: &'a str,
}

impl Session {
    /// `PUT {folder}/videos/{video}`: out of whatever folder it was in, into this one.
    pub async fn put_in_folder(
        &self,
        folder: FolderNumber,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let path = ApiPath::folder(folder).then_video(video);
        self.execute(self.request(Method::PUT, &path), timeout).await
    }

    /// The user's folder with exactly this name: the one with the lowest number, if there are several. Only the 2000
    /// oldest are looked at. `timeout` is that of each page.
    pub async fn find_folder_by_name(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<FolderNumber>, Failure> {
        let mut found: Option<FolderNumber> = None;
        for page in 1..=PAGES_MAX {
            let request = self.request(Method::GET, &ApiPath::fixed(LIST).then_number(page));
            let answer = match self.send(request, timeout).await {
                // What lies past the end of a list is not found.
                Err(Failure::NotFound) if page > 1 => break,
                answer => answer?,
            };
            let shown: PageOut = answer.json().ok_or_else(unexpected_response)?;
            let is_last = shown.is_last(PER_PAGE);
            let named = shown.data.into_iter().filter_map(|item| {
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

    /// `POST /me/projects`. Vimeo makes a second folder of the same name if there is one already.
    pub async fn create_folder(&self, name: &str, timeout: Duration) -> Result<FolderNumber, Failure> {
        let path = ApiPath::fixed("/me/projects?fields=uri");
        let answer = self.send(self.request_with(Method::POST, &path, &FolderIn { name }), timeout).await?;
        let shown = match answer.status {
            StatusCode::OK | StatusCode::CREATED => answer.json::<FolderOut>(),
            _ => None,
        };
        let made = shown.and_then(|shown| FolderNumber::parse_uri(&shown.uri?).ok());
        made.ok_or_else(unexpected_response)
    }
}
