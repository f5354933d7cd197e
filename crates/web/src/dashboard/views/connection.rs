//! The page of a connection.

use askama::Template;

use super::parts::{AuditRow, Badge, Health, Tone, When};
use super::shell::Shell;
use crate::dashboard::messages as m;

/// The result of a check.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum CheckResult {
    Pass,
    Warn,
    Fail,
    Unknown,
}

impl CheckResult {
    /// Its name.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Pass => m::CHECK_PASS,
            Self::Warn => m::CHECK_WARN,
            Self::Fail => m::CHECK_FAIL,
            Self::Unknown => m::CHECK_UNKNOWN,
        }
    }

    /// How good or bad it is.
    pub(crate) const fn tone(self) -> Tone {
        match self {
            Self::Pass => Tone::Good,
            Self::Warn => Tone::Warn,
            Self::Fail => Tone::Bad,
            Self::Unknown => Tone::Muted,
        }
    }
}

/// A check of the health, with its last result.
#[derive(Clone)]
pub(crate) struct Check {
    /// In words.
    pub(crate) name: String,
    pub(crate) result: CheckResult,
    /// Lines of text.
    pub(crate) message: String,
}

/// One of the newest uploads of the connection.
pub(crate) struct BriefUpload {
    /// The path of its page.
    pub(crate) href: String,
    /// The name of the video, or of the file.
    pub(crate) name: String,
    pub(crate) phase: Badge,
    pub(crate) created: When,
}

/// Where the button of a problem leads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cure {
    /// `…/credentials`
    ReplaceCredentials,
    /// `…/renew`, a form.
    Renew,
    /// `…/test`, a form.
    Test,
    /// `…/enable`, a form.
    Enable,
    /// Nothing that this page can do.
    Elsewhere,
}

/// What is wrong with a connection.
#[derive(Clone)]
pub(crate) struct ConnectionProblem {
    pub(crate) tone: Tone,
    /// What happened, in a few words.
    pub(crate) title: String,
    /// Why, and what to do; one line each.
    pub(crate) text: String,
    pub(crate) cure: Cure,
    /// Since when; `None`: not shown.
    pub(crate) since: Option<When>,
}

/// The Vimeo account of a connection.
#[derive(Clone)]
pub(crate) struct VimeoAccount {
    pub(crate) name: String,
    /// The address of its page at Vimeo, `https` only; empty: not known.
    pub(crate) link: String,
    /// The plan; empty: not known.
    pub(crate) plan: String,
}

/// Space of the Vimeo account.
#[derive(Clone)]
pub(crate) struct Quota {
    /// What for, for example "In this period".
    pub(crate) label: String,
    /// What is free, for example "12.4 GiB of 20 GiB free", or "Unlimited".
    pub(crate) text: String,
    /// How much is used; `None`: not known, no bar is shown.
    pub(crate) percent_used: Option<u8>,
}

/// `GET /dashboard/connections/{id}`. Forms post `csrf` to `…/test`, `…/enable`, `…/disable` and `…/renew`.
#[derive(Template)]
#[template(path = "dashboard/connection.html")]
pub(crate) struct ConnectionPage {
    pub(crate) shell: Shell,
    /// The path of this page.
    pub(crate) href: String,
    pub(crate) id: String,
    pub(crate) name: String,
    /// Empty: none.
    pub(crate) description: String,
    pub(crate) health: Health,
    pub(crate) is_enabled: bool,
    pub(crate) problem: Option<ConnectionProblem>,
    pub(crate) checks: Vec<Check>,
    pub(crate) checked: Option<When>,
    pub(crate) next_check: Option<When>,
    pub(crate) vimeo_account: Option<VimeoAccount>,
    pub(crate) quotas: Vec<Quota>,
    /// The privacies that the account may use, in words; empty: not known.
    pub(crate) privacies: Vec<String>,
    /// The scopes of the token; empty: not known.
    pub(crate) scopes: Vec<String>,
    pub(crate) client_identifier: String,
    pub(crate) created: When,
    pub(crate) updated: When,
    pub(crate) version: String,
    /// The latest ones; `None`: the person may not see uploads.
    pub(crate) uploads: Option<Vec<BriefUpload>>,
    /// The list of all its uploads.
    pub(crate) uploads_href: String,
    /// The latest events; `None`: the person may not see them.
    pub(crate) history: Option<Vec<AuditRow>>,
    pub(crate) history_href: String,
    /// The form for a new upload with it; `None`: it is disabled, or the person may not upload.
    pub(crate) new_upload_href: Option<String>,
    pub(crate) can_write: bool,
    /// Whether its token can be renewed at Vimeo by somebody's approval.
    pub(crate) can_renew: bool,
}
