//! The list of uploads.

use askama::Template;

use super::parts::{Badge, Choice, Pager, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// An upload in a list.
#[derive(Clone)]
pub(crate) struct UploadRow {
    /// The ID of the job.
    pub(crate) id: String,
    /// The path of its page.
    pub(crate) href: String,
    /// The name of the video, or of the file.
    pub(crate) name: String,
    pub(crate) connection: String,
    /// `None`: the connection was deleted, or this person may not see it.
    pub(crate) connection_href: Option<String>,
    pub(crate) is_connection_deleted: bool,
    pub(crate) phase: Badge,
    /// In percent; shown while it is in progress.
    pub(crate) progress: u8,
    pub(crate) is_in_progress: bool,
    /// For example "1.2 of 3.4 GiB"; empty: not known.
    pub(crate) amount: String,
    /// For example "12.3 MiB/s"; empty: not known.
    pub(crate) rate: String,
    /// For example "about 4 minutes left"; empty: not known.
    pub(crate) left: String,
    /// What it waits for, or why it failed, in a sentence; empty: nothing.
    pub(crate) note: String,
    pub(crate) created: When,
    /// Whether this person can cancel it.
    pub(crate) can_cancel: bool,
}

/// A row alone, for the event `update`.
#[derive(Template)]
#[template(path = "dashboard/upload_row.html")]
pub(crate) struct UploadRowUpdate {
    pub(crate) row: UploadRow,
    /// The same as on the page: whether the list has a column of checkboxes.
    pub(crate) can_write: bool,
}

/// A state with the number of uploads in it, as a link that filters.
#[derive(Clone)]
pub(crate) struct StateTab {
    pub(crate) href: String,
    pub(crate) label: String,
    /// For example `1,204`; empty: not known.
    pub(crate) count: String,
    pub(crate) is_current: bool,
}

/// The counts alone, for the event `update`.
#[derive(Template)]
#[template(path = "dashboard/upload_tabs.html")]
pub(crate) struct UploadTabsUpdate {
    pub(crate) tabs: Vec<StateTab>,
}

/// `GET /dashboard/uploads?status=&phase=&connection=&page=`. Posts `csrf`, `back` and `jobId` (repeated) to
/// `/dashboard/uploads/cancel`, which answers with [`CancelUploadsPage`].
#[derive(Template)]
#[template(path = "dashboard/uploads.html")]
pub(crate) struct UploadsPage {
    pub(crate) shell: Shell,
    pub(crate) tabs: Vec<StateTab>,
    /// The value of `status`, kept by the other filters.
    pub(crate) status: String,
    /// The first one is "any", with an empty value.
    pub(crate) phases: Vec<Choice>,
    /// The first one is "any", with an empty value.
    pub(crate) connections: Vec<Choice>,
    pub(crate) is_filtered: bool,
    pub(crate) rows: Vec<UploadRow>,
    /// For example "1,204 uploads".
    pub(crate) count: String,
    pub(crate) pager: Pager,
    /// This page with all its filters.
    pub(crate) href: String,
    /// `/dashboard/uploads/events` with all filters of this page.
    pub(crate) events_href: String,
    /// Whether this person can start and cancel uploads.
    pub(crate) can_write: bool,
    /// Whether the account has no upload at all.
    pub(crate) is_first_visit: bool,
}

/// `POST /dashboard/uploads/cancel` without `confirmed`: what will be cancelled. Posts `csrf`, `back`, `jobId`
/// (repeated), `confirmed=true`.
#[derive(Template)]
#[template(path = "dashboard/uploads_cancel.html")]
pub(crate) struct CancelUploadsPage {
    pub(crate) shell: Shell,
    /// The IDs and the names.
    pub(crate) uploads: Vec<(String, String)>,
    /// Where "Keep" leads.
    pub(crate) back_href: String,
}
