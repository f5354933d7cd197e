//! Pages for an account's own customers, who approve a connection: no session, no navigation.

use askama::Template;

use super::authorization::DeviceCode;
use super::parts::When;
use super::shell::Bare;
use crate::dashboard::messages as m;

/// `GET /connect/{token}`: who asks for what. Forms post `csrf` to `…/start` and `…/decline`.
#[derive(Template)]
#[template(path = "connect/ask.html")]
pub(crate) struct AskPage {
    pub(crate) bare: Bare,
    /// The path of this page.
    pub(crate) href: String,
    /// The name of the account that asks.
    pub(crate) account: String,
    /// The name of the connection.
    pub(crate) connection: String,
    /// What the app will be allowed to do, a sentence for each scope.
    pub(crate) permissions: Vec<String>,
    pub(crate) expires: When,
    /// Whether an existing connection's approval is renewed.
    pub(crate) is_renewal: bool,
    /// Why the attempt before did not succeed, in a sentence; empty: there was none.
    pub(crate) problem: String,
}

/// Sends the browser on to another origin. A redirect would not do after a form: the content security policy holds for all
/// redirects that follow one, also for those of Vimeo.
#[derive(Template)]
#[template(path = "connect/leave.html")]
pub(crate) struct LeavePage {
    pub(crate) bare: Bare,
    pub(crate) url: String,
}

/// What limits a connection that was made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectWarning {
    NoUploadAccess,
}

impl ConnectWarning {
    /// As sentences.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::NoUploadAccess => m::HOSTED_NO_UPLOAD_ACCESS,
        }
    }
}

/// The account was connected.
#[derive(Template)]
#[template(path = "connect/result.html")]
pub(crate) struct ConnectResultPage {
    pub(crate) bare: Bare,
    pub(crate) account: String,
    /// The name of the Vimeo account.
    pub(crate) vimeo_name: String,
    /// Its page at Vimeo, `https` only; empty: not known.
    pub(crate) vimeo_link: String,
    /// Empty: not known.
    pub(crate) vimeo_plan: String,
    pub(crate) warnings: Vec<ConnectWarning>,
    /// Where the person came from, `https` only.
    pub(crate) return_url: Option<String>,
}

/// Why a link to connect does not work, or did not lead to a connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum HostedProblem {
    Used,
    Expired,
    Unknown,
    /// The person chose "No" here or at Vimeo.
    Denied,
    /// It was started in another browser.
    OtherBrowser,
    /// The code is being exchanged.
    InProgress,
    /// The account withdrew it.
    Withdrawn,
    Failed,
    /// Vimeo could not be reached.
    VimeoUnavailable,
}

impl HostedProblem {
    /// As a title.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Used => m::HOSTED_USED_TITLE,
            Self::Expired => m::HOSTED_EXPIRED_TITLE,
            Self::Unknown => m::HOSTED_UNKNOWN_TITLE,
            Self::Denied => m::HOSTED_DENIED_TITLE,
            Self::OtherBrowser => m::HOSTED_OTHER_BROWSER_TITLE,
            Self::InProgress => m::HOSTED_IN_PROGRESS_TITLE,
            Self::Withdrawn => m::HOSTED_WITHDRAWN_TITLE,
            Self::Failed => m::HOSTED_FAILED_TITLE,
            Self::VimeoUnavailable => m::HOSTED_UNAVAILABLE_TITLE,
        }
    }

    /// What happened and what to do next.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Used => m::HOSTED_USED,
            Self::Expired => m::HOSTED_EXPIRED,
            Self::Unknown => m::HOSTED_UNKNOWN,
            Self::Denied => m::HOSTED_DENIED,
            Self::OtherBrowser => m::HOSTED_OTHER_BROWSER,
            Self::InProgress => m::HOSTED_IN_PROGRESS,
            Self::Withdrawn => m::HOSTED_WITHDRAWN,
            Self::Failed => m::HOSTED_FAILED,
            Self::VimeoUnavailable => m::HOSTED_UNAVAILABLE,
        }
    }
}

/// The account was not connected.
#[derive(Template)]
#[template(path = "connect/problem.html")]
pub(crate) struct ConnectProblemPage {
    pub(crate) bare: Bare,
    pub(crate) problem: HostedProblem,
    /// What Vimeo answered, in sentences; empty: nothing is shown.
    pub(crate) reason: String,
    /// The path to try again, where that is possible.
    pub(crate) retry_href: Option<String>,
    pub(crate) return_url: Option<String>,
}

/// `GET /connect/{token}` for a device code. `{href}/events` sends `reload` once it is decided.
#[derive(Template)]
#[template(path = "connect/device.html")]
pub(crate) struct ConnectDevicePage {
    pub(crate) bare: Bare,
    pub(crate) href: String,
    pub(crate) account: String,
    pub(crate) connection: String,
    pub(crate) permissions: Vec<String>,
    pub(crate) device: DeviceCode,
    pub(crate) expires: When,
}
