//! The tags of a video.

use std::time::Duration;

use domain::video::VideoNumber;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::{Session, unexpected_response};
use crate::failure::Failure;
use crate::path::ApiPath;

/// One tag in the list that is the request body.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct TagIn<'a> {
    name: &'a str,
}

impl Session {
    /// `PUT /videos/{video}/tags`. Vimeo refuses more than 20 with 403. An empty list sends no request.
    ///
    /// The body is `[{"name": "…"}, …]`: Vimeo's description of the API declares an object with `name` and refers to
    /// batch requests, which are lists of such objects, and callers of its client libraries send those (vimeo.js#196). A
    /// list of plain strings is not declared. That a JSON body is required is known (vimeo.php#13); whether tags that are
    /// not in the list are removed is not.
    pub async fn set_tags(
        &self,
        video: VideoNumber,
        tags: &[&str],
        timeout: Duration,
    ) -> Result<(), Failure> {
        if tags.is_empty() {
            return Ok(());
        }
        let body: Vec<TagIn<'_>> = tags.iter().map(|name| TagIn { name }).collect();
        let path = ApiPath::video(video).then("/tags?fields=uri");
        let response = self.send(self.request_with(Method::PUT, &path, &body), timeout).await?;
        // The response is a list of tags, bare or in a page.
        let is_list = || response.json::<Value>().is_some_and(|body| body.is_array() || body.is_object());
        if response.status == StatusCode::NO_CONTENT || is_list() {
            Ok(())
        } else {
            Err(unexpected_response())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_sent_as_a_list_of_objects() {
        let body = [TagIn { name: "talks" }, TagIn { name: "2024, \"live\"" }];
        let text = serde_json::to_string(&body).unwrap();
        assert_eq!(text, r#"[{"name":"talks"},{"name":"2024, \"live\""}]"#);
    }
}
