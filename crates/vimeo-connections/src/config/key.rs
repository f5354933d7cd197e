//! A configuration key.

use super::kind::Kind;

/// A configuration key.
pub(crate) struct Key {
    /// Section and name, separated by a dot.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Empty: not set.
    pub(crate) default: &'static str,
    /// Never shown.
    pub(crate) is_secret: bool,
    pub(crate) reload: Reload,
    pub(crate) meaning: &'static str,
}

/// What SIGHUP does with a changed value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reload {
    /// Nothing, until a restart.
    No,
    /// It is applied.
    Yes,
    /// It is applied if the key was set before and is set now.
    WhileSet,
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, is_secret: false, reload: Reload::No, meaning }
}

pub(super) const fn secret(name: &'static str, meaning: &'static str) -> Key {
    Key { name, kind: Kind::Text, default: "", is_secret: true, reload: Reload::No, meaning }
}

impl Key {
    /// The same key, of which SIGHUP applies changes.
    pub(super) const fn on_reload(self, reload: Reload) -> Self {
        Self { reload, ..self }
    }
}

impl Reload {
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::No => "restart",
            Self::Yes => "reload",
            Self::WhileSet => "reload, while set",
        }
    }
}
