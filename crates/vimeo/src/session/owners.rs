//! Who owns a video, and whose token this is.

use std::time::Duration;

use domain::video::VideoNumber;
use reqwest::Method;

use super::videos::is_about;
use super::{Session, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;
use crate::wire::{UserOut, VideoOut};

/// The owner of a video.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoOwnership {
    /// The URI of the user who owns it: `/users/123`.
    pub owner_uri: String,
}

impl Session {
    /// `GET /videos/{video}`: its owner; `None` if the video does not exist.
    pub async fn find_owner(
        &self,
        video: VideoNumber,
        timeout: Duration,
    ) -> Result<Option<VideoOwnership>, Failure> {
        let request = self.request(Method::GET, &ApiPath::video(video).then("?fields=uri,user.uri"));
        let response = match self.send(request, timeout).await {
            Err(Failure::NotFound) => return Ok(None),
            response => response?,
        };
        let video_out = response.json::<VideoOut>().filter(|video_out| is_about(video_out, video));
        let owner_uri = video_out.and_then(|video_out| user_uri(video_out.user?));
        owner_uri.map(|owner_uri| Some(VideoOwnership { owner_uri })).ok_or_else(unexpected_response)
    }

    /// `GET /me`: the URI of the token's user, such as `/users/123`.
    pub async fn own_uri(&self, timeout: Duration) -> Result<String, Failure> {
        let request = self.request(Method::GET, &ApiPath::fixed("/me?fields=uri"));
        let response = self.send(request, timeout).await?;
        response.json::<UserOut>().and_then(user_uri).ok_or_else(unexpected_response)
    }
}

/// A user's URI, if it has the form `/users/N`, so that two of them can be compared as texts.
fn user_uri(user_out: UserOut) -> Option<String> {
    let uri = user_out.uri?;
    let number = uri.strip_prefix("/users/")?;
    let is_plain = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && number.parse::<i64>().is_ok()).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_user_uri_is_accepted() {
        let parse = |uri: &str| user_uri(UserOut { uri: Some(uri.to_owned()) });
        assert_eq!(parse("/users/123").as_deref(), Some("/users/123"));
        for bad in
            ["", "/me", "/users/", "/users/0", "/users/01", "/users/name", "/users/1/videos", "users/1"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(user_uri(UserOut { uri: None }), None);
    }
}
