//! Links that receive the file of a text track or of a picture. The link alone authorises the request, so no token, API
//! version or cookie is sent.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use domain::secret::Secret;
use metrics::VimeoOutcome;
use reqwest::StatusCode;
use reqwest::header::CONTENT_TYPE;

use crate::Client;
use crate::failure::{Failure, Refused};
use crate::http::{TransportError, classify, failed_outcome};
use crate::tus::{LinkRules, UploadLinkError, accepted, record};

/// Where one file is sent. Anyone who has it can send the file, so it is a secret.
#[derive(Clone)]
pub struct FileLink(Secret);

impl FileLink {
    /// Parses a link from Vimeo, or a stored one. Accepted are the upload hosts and all hosts under vimeo.com, otherwise
    /// by the same rules as an [`UploadLink`](crate::UploadLink).
    pub fn parse(text: &str, rules: &LinkRules) -> Result<Self, UploadLinkError> {
        accepted(text, &rules.for_files()).map(Self)
    }

    /// The link itself, for requests and for sealing. The caller is responsible for where it goes.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for FileLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<file link>")
    }
}

impl Client {
    /// `PUT` a whole file. Idempotent. Redirects are not followed, and the body of a response is not read.
    ///
    /// [`Failure::NotFound`] means that the link is not valid any more (401, 403, 404 or 410), [`Failure::Refused`] that
    /// the file is refused. No response says anything about the token, which is not sent.
    pub async fn put_file(
        &self,
        link: &FileLink,
        content_type: &str,
        bytes: Bytes,
        timeout: Duration,
    ) -> Result<(), Failure> {
        let request = self.links.put(link.expose()).header(CONTENT_TYPE, content_type).body(bytes);
        match request.timeout(timeout).send().await {
            Ok(response) => {
                record(VimeoOutcome::of_status(response.status().as_u16()));
                evaluate(response.status())
            }
            Err(error) => {
                let is_unsent = error.is_connect();
                let error = classify(&error);
                record(failed_outcome(&error));
                Err(if is_unsent {
                    Failure::RetryLater { not_before: None, error }
                } else {
                    Failure::Unknown(error)
                })
            }
        }
    }
}

/// Maps the status of a response to success or failure.
fn evaluate(status: StatusCode) -> Result<(), Failure> {
    Err(match status {
        _ if status.is_success() => return Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Failure::NotFound
        }
        StatusCode::TOO_MANY_REQUESTS => {
            Failure::RetryLater { not_before: None, error: TransportError::RateLimited { not_before: None } }
        }
        // The server gave up waiting, or refuses a possible replay: both can be retried.
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            Failure::Unknown(TransportError::Status(status.as_u16()))
        }
        _ if status.is_client_error() => Failure::Refused(Refused {
            status: status.as_u16(),
            code: None,
            text: "The file was refused.".to_owned(),
            parameters: Vec::new(),
        }),
        // Redirects are not followed: the target may not be a host of Vimeo.
        _ => Failure::Unknown(TransportError::Status(status.as_u16())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base_url::BaseUrl;
    use crate::tus::UploadHost;

    fn rules(base_url: &str) -> LinkRules {
        let hosts = vec![UploadHost::parse(".uploads.example").unwrap()];
        LinkRules::new(hosts, &BaseUrl::parse(base_url).unwrap())
    }

    #[test]
    fn file_links_are_accepted_at_vimeo_the_upload_hosts_or_with_a_sandbox_on_this_machine() {
        let (vimeo, sandbox) = ("https://api.vimeo.com", "http://127.0.0.1:9300");
        let (foreign, extras) = (Some(UploadLinkError::Foreign), Some(UploadLinkError::Extras));
        let insecure = Some(UploadLinkError::Insecure);
        for (link, at_vimeo, at_sandbox) in [
            ("https://captions.cloud.vimeo.com/captions/1.vtt?expires=1&sig=2", None, None),
            ("https://i.cloud.vimeo.com/video/1", None, None),
            ("https://eu.uploads.example/x", None, None),
            ("http://127.0.0.1:9300/x", insecure, None),
            ("http://captions.cloud.vimeo.com/x", insecure, insecure),
            ("https://vimeo.com.evil.example/x", foreign, foreign),
            ("https://evilvimeo.com/x", foreign, foreign),
            ("https://i.cloud.vimeo.com:8443/x", foreign, foreign),
            ("https://169.254.169.254/x", foreign, foreign),
            ("https://i.cloud.vimeo.com@evil.example/x", extras, extras),
            ("https://i.cloud.vimeo.com/x#y", extras, extras),
            ("/x", Some(UploadLinkError::NotAUrl), Some(UploadLinkError::NotAUrl)),
        ] {
            assert_eq!(FileLink::parse(link, &rules(vimeo)).err(), at_vimeo, "{link}");
            assert_eq!(FileLink::parse(link, &rules(sandbox)).err(), at_sandbox, "{link}");
        }
    }

    #[test]
    fn a_link_is_redacted_in_debug_output() {
        let link = FileLink::parse("https://i.cloud.vimeo.com/canary", &rules("https://api.vimeo.com"));
        assert_eq!(format!("{:?}", link.unwrap()), "<file link>");
    }

    #[test]
    fn no_status_is_reported_as_an_invalid_token() {
        let failure = |status: u16| evaluate(StatusCode::from_u16(status).unwrap()).unwrap_err();
        for status in [200, 201, 204] {
            assert_eq!(evaluate(StatusCode::from_u16(status).unwrap()), Ok(()), "{status}");
        }
        for status in [401, 403, 404, 410] {
            assert_eq!(failure(status), Failure::NotFound, "{status}");
        }
        for status in [301, 307, 408, 425, 500, 503] {
            assert_eq!(failure(status), Failure::Unknown(TransportError::Status(status)), "{status}");
        }
        for status in [400, 405, 411, 413, 415] {
            assert!(matches!(failure(status), Failure::Refused(refused) if refused.status == status));
        }
        assert!(matches!(failure(429), Failure::RetryLater { .. }));
    }
}
