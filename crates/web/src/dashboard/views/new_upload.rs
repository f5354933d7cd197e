//! Starting an upload: from a URL, or from the person's computer.

use askama::Template;

use super::parts::{Choice, Errors};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// What a person entered about a video.
#[derive(Clone, Default)]
pub(crate) struct VideoFields {
    pub(crate) name: String,
    pub(crate) description: String,
    /// The name of a folder at Vimeo.
    pub(crate) folder: String,
}

/// `GET` and `POST /dashboard/uploads/new?connection=`. Posts `csrf`, `requestId`, `connection`, `source` (a URL), `name`,
/// `description`, `privacy`, `password`, `folder`.
///
/// The form for a file posts the same fields with `size` and `fileName` instead of `source` to
/// `/dashboard/uploads/from-computer` by script, as a form with `Accept: application/json`. The answer is `201`
/// `{"uploadLink","href","jobId","cancelHref"}`, or an error `{"message","fields":[{"name","message"}]}`.
#[derive(Template)]
#[template(path = "dashboard/upload_new.html")]
pub(crate) struct NewUploadPage {
    pub(crate) shell: Shell,
    /// Identifies the form, so that sending it twice creates one upload.
    pub(crate) request_id: String,
    /// Connections that can be used. Empty: there is none.
    pub(crate) connections: Vec<Choice>,
    pub(crate) privacies: Vec<Choice>,
    pub(crate) source: String,
    pub(crate) video: VideoFields,
    pub(crate) errors: Errors,
    /// Whether a password was entered and must be entered again.
    pub(crate) must_reenter: bool,
}
