//! Showcases, which the API calls albums. A video may be in many.

use std::time::Duration;

use domain::video::{ShowcaseNumber, VideoNumber};
use reqwest::Method;
use serde::Serialize;

use super::{Session, created, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::NamedOut;

/// Oldest first, so that a showcase created meanwhile does not shift the pages.
const ORDER: &str = "&sort=date&direction=asc&per_page=100&fields=uri,name&page=";

#[derive(Serialize)]
struct ShowcaseIn<'a> {
    name: &'a str,
}

impl Session {
    /// `GET /me/albums`: the user's showcase with exactly this name; the one with the lowest number if there are
    /// several. Searches the oldest 2000 showcases that Vimeo finds for the name: one request, unless very many match.
    /// `timeout` applies to each page.
    pub async fn find_showcase_by_name(
        &self,
        name: &str,
        timeout: Duration,
    ) -> Result<Option<ShowcaseNumber>, Failure> {
        let list = ApiPath::fixed("/me/albums?query=").then_value(name).then(ORDER);
        let uris = self.list_uris_by_name(&list, name, timeout).await?;
        let found = uris.iter().filter_map(|uri| ShowcaseNumber::parse_uri(uri).ok());
        Ok(found.min_by_key(|showcase| showcase.number))
    }

    /// `POST /me/albums`. Not idempotent: Vimeo allows several showcases with one name.
    pub async fn create_showcase(&self, name: &str, timeout: Duration) -> Result<ShowcaseNumber, Failure> {
        let path = ApiPath::fixed("/me/albums?fields=uri");
        let request = self.request_with(Method::POST, &path, &ShowcaseIn { name });
        let response = self.send(request, timeout).await?;
        let showcase = created::<NamedOut>(&response);
        let created = showcase.and_then(|showcase| ShowcaseNumber::parse_uri(&showcase.uri?).ok());
        created.ok_or_else(unexpected_response)
    }

    /// `PUT {showcase}/videos/{video}`: adds the video to this showcase.
    pub async fn put_in_showcase(
        &self,
        showcase: ShowcaseNumber,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let path = ApiPath::showcase(showcase).then_video(video);
        self.execute(self.request(Method::PUT, &path), timeout).await
    }
}
