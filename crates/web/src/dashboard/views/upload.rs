//! The page of an upload.

use askama::Template;

use super::parts::{Badge, Tone, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// A phase of an upload, in the order in which they happen.
#[derive(Clone)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) tone: Tone,
    /// When it started or ended; `None`: not known or not yet.
    pub(crate) at: Option<When>,
    /// For example "attempt 3", or what it waits for; empty: nothing.
    pub(crate) note: String,
    pub(crate) is_current: bool,
}

/// Why an upload failed.
#[derive(Clone)]
pub(crate) struct UploadError {
    /// What happened, in sentences.
    pub(crate) text: String,
    /// What to do; empty: nothing is shown.
    pub(crate) cure: String,
    /// As the API names it.
    pub(crate) code: String,
    /// The page where it can be fixed, and its name.
    pub(crate) link: Option<(String, String)>,
}

/// What changes while an upload is watched.
#[derive(Clone)]
pub(crate) struct UploadView {
    pub(crate) phase: Badge,
    /// Whether it can still change.
    pub(crate) is_in_progress: bool,
    /// Whether it may still complete, so that the progress is shown.
    pub(crate) has_progress: bool,
    pub(crate) progress: u8,
    /// For example "1.2 of 3.4 GiB"; empty: not known.
    pub(crate) amount: String,
    /// For example "12.3 MiB/s"; empty: not known.
    pub(crate) rate: String,
    /// For example "about 4 minutes left"; empty: not known.
    pub(crate) left: String,
    /// What it waits for, in a sentence; empty: nothing.
    pub(crate) waiting: String,
    pub(crate) error: Option<UploadError>,
    /// In sentences.
    pub(crate) warnings: Vec<String>,
    pub(crate) steps: Vec<Step>,
    /// The video's page and player, `https` only: label and address.
    pub(crate) links: Vec<(String, String)>,
}

/// The changing part alone, for the event `update` of `GET /dashboard/uploads/{jobId}/events`.
#[derive(Template)]
#[template(path = "dashboard/upload_view.html")]
pub(crate) struct UploadUpdate {
    pub(crate) view: UploadView,
}

/// `GET /dashboard/uploads/{jobId}`. Forms post `csrf` to `…/retry`, and `csrf`, `jobId` and `back` to
/// `/dashboard/uploads/cancel`.
#[derive(Template)]
#[template(path = "dashboard/upload.html")]
pub(crate) struct UploadPage {
    pub(crate) shell: Shell,
    /// The path of this page.
    pub(crate) href: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) connection: String,
    /// `None`: the connection was deleted, or this person may not see it.
    pub(crate) connection_href: Option<String>,
    pub(crate) is_connection_deleted: bool,
    pub(crate) view: UploadView,
    /// Settings and other facts: label and value.
    pub(crate) settings: Vec<(String, String)>,
    pub(crate) created: When,
    pub(crate) updated: When,
    /// The failed upload that this one repeats: its path.
    pub(crate) retry_of_href: Option<String>,
    /// The upload that repeats this one: its path.
    pub(crate) retried_as_href: Option<String>,
    pub(crate) can_cancel: bool,
    pub(crate) can_retry: bool,
}
