//! The audit log.

use askama::Template;

use super::parts::{AuditRow, Choice, Errors, Pager};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// The filters of the log, as entered.
#[derive(Clone, Default)]
pub(crate) struct AuditFilterFields {
    /// A date and time in UTC, for `datetime-local`: `2026-01-31T09:05`.
    pub(crate) after: String,
    pub(crate) before: String,
    /// The first one is "any", with an empty value.
    pub(crate) actions: Vec<Choice>,
    /// The ID of a record.
    pub(crate) subject: String,
    /// The first one is "any", with an empty value.
    pub(crate) actors: Vec<Choice>,
    pub(crate) is_active: bool,
    pub(crate) errors: Errors,
}

/// `GET /dashboard/audit?after=&before=&action=&subject=&actor=&page=`
#[derive(Template)]
#[template(path = "dashboard/audit.html")]
pub(crate) struct AuditPage {
    pub(crate) shell: Shell,
    pub(crate) filter: AuditFilterFields,
    pub(crate) rows: Vec<AuditRow>,
    pub(crate) pager: Pager,
    /// For example "50 events"; empty: not counted.
    pub(crate) count: String,
    /// The export with the same filters.
    pub(crate) export_href: String,
}
