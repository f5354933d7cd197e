//! The domains that may embed a video.

use std::time::Duration;

use domain::video::VideoNumber;
use reqwest::{Method, StatusCode};

use super::Session;
use crate::failure::{Failure, Refused};
use crate::path::ApiPath;

impl Session {
    /// `PUT /videos/{video}/privacy/domains/{domain}`. Vimeo rejects it unless `privacy.embed` is `whitelist`. A text
    /// that cannot be a path segment is rejected without a request.
    pub async fn add_domain(
        &self,
        video: VideoNumber,
        domain: &str,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let Some(path) = ApiPath::video(video).then("/privacy/domains").then_segment(domain) else {
            return Err(Failure::Refused(Refused {
                status: StatusCode::BAD_REQUEST.as_u16(),
                code: None,
                text: "It is not a domain.".to_owned(),
                parameters: Vec::new(),
            }));
        };
        self.execute(self.request(Method::PUT, &path), timeout).await
    }
}
