//! What surrounds a page: the bar at the top, the navigation and the notices.

use crate::dashboard::{assets, messages as m};

/// The paths of the assets, with a hash of their content.
#[derive(Clone, Default)]
pub(crate) struct Assets {
    /// `dashboard.css`
    pub(crate) css: String,
    /// `dashboard.js`
    pub(crate) js: String,
    /// `htmx.min.js`
    pub(crate) htmx: String,
    /// `tus.min.js`, loaded on the page for new uploads only.
    pub(crate) tus: String,
    /// `favicon.svg`
    pub(crate) icon: String,
}

/// A part of the dashboard that the navigation leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Connections,
    Uploads,
    Keys,
    Webhooks,
    Audit,
    Settings,
}

impl Section {
    /// All of them, in the order of the navigation.
    pub(crate) const ALL: [Self; 6] =
        [Self::Connections, Self::Uploads, Self::Keys, Self::Webhooks, Self::Audit, Self::Settings];

    /// The path of its first page.
    pub(crate) const fn href(self) -> &'static str {
        match self {
            Self::Connections => "/dashboard/connections",
            Self::Uploads => "/dashboard/uploads",
            Self::Keys => "/dashboard/keys",
            Self::Webhooks => "/dashboard/webhooks",
            Self::Audit => "/dashboard/audit",
            Self::Settings => "/dashboard/settings",
        }
    }

    /// Its name in the navigation.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Connections => m::NAV_CONNECTIONS,
            Self::Uploads => m::NAV_UPLOADS,
            Self::Keys => m::NAV_KEYS,
            Self::Webhooks => m::NAV_WEBHOOKS,
            Self::Audit => m::NAV_AUDIT,
            Self::Settings => m::NAV_SETTINGS,
        }
    }

    /// Whether the navigation marks it.
    pub(crate) fn is_current(self, shell: &Shell) -> bool {
        shell.current == Some(self)
    }
}

/// Whether a notice reports a success or a failure.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum FlashKind {
    Done,
    Failed,
}

/// A notice at the top of a page, about what the person has just done.
#[derive(Clone)]
pub(crate) struct Flash {
    pub(crate) kind: FlashKind,
    pub(crate) text: String,
}

impl Flash {
    /// Whether it reports a failure.
    pub(crate) fn is_failure(&self) -> bool {
        self.kind == FlashKind::Failed
    }
}

/// Whether a response is a whole page, or the part of it that htmx swaps in: `<title>` and `<main>`.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Extent {
    #[default]
    Page,
    Fragment,
}

/// What surrounds a page for a person who is signed in.
#[derive(Clone)]
pub(crate) struct Shell {
    pub(crate) assets: Assets,
    /// The token that each form posts as `csrf`.
    pub(crate) csrf: String,
    pub(crate) account: String,
    pub(crate) person: String,
    /// The person's role, as text.
    pub(crate) role: String,
    /// The sections that the person may see.
    pub(crate) sections: Vec<Section>,
    pub(crate) current: Option<Section>,
    pub(crate) flash: Option<Flash>,
    pub(crate) extent: Extent,
}

impl Shell {
    /// Whether only the part that htmx swaps in is rendered.
    pub(crate) fn is_fragment(&self) -> bool {
        self.extent == Extent::Fragment
    }

    /// The first letter of the person's name.
    pub(crate) fn initial(&self) -> String {
        self.person
            .chars()
            .find(|letter| letter.is_alphanumeric())
            .map_or_else(|| "?".to_owned(), |letter| letter.to_uppercase().collect())
    }
}

/// What surrounds a page for a visitor without a session.
#[derive(Clone)]
pub(crate) struct Bare {
    pub(crate) assets: Assets,
    /// The token that each form posts as `csrf`.
    pub(crate) csrf: String,
    pub(crate) extent: Extent,
}

impl Bare {
    /// Of a page without a form.
    pub(crate) fn without_form(extent: Extent) -> Self {
        Self { assets: assets::paths(), csrf: String::new(), extent }
    }

    /// Whether only the part that htmx swaps in is rendered.
    pub(crate) fn is_fragment(&self) -> bool {
        self.extent == Extent::Fragment
    }
}
