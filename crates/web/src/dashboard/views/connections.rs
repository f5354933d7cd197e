//! The list of connections.

use askama::Template;

use super::authorization::WaitingRow;
use super::parts::{Choice, Health, Pager, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// A connection in the list.
#[derive(Clone)]
pub(crate) struct ConnectionRow {
    /// The path of its page.
    pub(crate) href: String,
    pub(crate) name: String,
    pub(crate) health: Health,
    /// Why it is not healthy, in a sentence; empty: nothing is shown.
    pub(crate) reason: String,
    /// What to do about it; empty: nothing is shown.
    pub(crate) cure: String,
    pub(crate) is_enabled: bool,
    /// The name of the Vimeo account; empty: not known.
    pub(crate) vimeo_account: String,
    pub(crate) checked: Option<When>,
    pub(crate) updated: When,
}

/// The filters of the list.
#[derive(Clone)]
pub(crate) struct ConnectionFilter {
    pub(crate) search: String,
    /// The first one is "any", with an empty value.
    pub(crate) health: Vec<Choice>,
    pub(crate) enabled: Vec<Choice>,
    pub(crate) is_active: bool,
}

/// `GET /dashboard/connections?search=&health=&enabled=&page=`
#[derive(Template)]
#[template(path = "dashboard/connections.html")]
pub(crate) struct ConnectionsPage {
    pub(crate) shell: Shell,
    pub(crate) rows: Vec<ConnectionRow>,
    pub(crate) filter: ConnectionFilter,
    /// How many there are, for example `1,204 connections`.
    pub(crate) count: String,
    /// Which part was searched, if not all of it; empty: all of it.
    pub(crate) note: String,
    pub(crate) pager: Pager,
    pub(crate) can_write: bool,
    /// What waits for approval at Vimeo, the newest first.
    pub(crate) waiting: Vec<WaitingRow>,
    /// Whether the account has no connection at all.
    pub(crate) is_first_visit: bool,
}
