//! Scopes: what an API key allows.

use std::fmt;

use thiserror::Error;

/// A permission of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Read connections.
    ConnectionsRead,
    /// Create, update and delete connections.
    ConnectionsWrite,
    /// Read uploads.
    UploadsRead,
    /// Create, cancel and retry uploads.
    UploadsWrite,
    /// Create webhook secrets.
    WebhooksManage,
    /// Read the audit log.
    AuditRead,
    /// Create, rename, rotate and revoke keys.
    KeysManage,
}

impl Scope {
    /// All scopes, in the order in which they are listed.
    pub const ALL: [Self; 7] = [
        Self::ConnectionsRead,
        Self::ConnectionsWrite,
        Self::UploadsRead,
        Self::UploadsWrite,
        Self::WebhooksManage,
        Self::AuditRead,
        Self::KeysManage,
    ];

    /// Its name in the contract and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionsRead => "connections:read",
            Self::ConnectionsWrite => "connections:write",
            Self::UploadsRead => "uploads:read",
            Self::UploadsWrite => "uploads:write",
            Self::WebhooksManage => "webhooks:manage",
            Self::AuditRead => "audit:read",
            Self::KeysManage => "keys:manage",
        }
    }

    /// Parses a name.
    pub fn parse(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is not the name of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be one of connections:read, connections:write, uploads:read, uploads:write, webhooks:manage, audit:read, keys:manage"
)]
pub struct UnknownScope;

/// A set of scopes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);
    /// Every scope.
    pub const ALL: Self = Self((1 << Scope::ALL.len()) - 1);

    /// Whether the set has the scope.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// The first scope of `self` that `other` does not have.
    pub fn first_beyond(self, other: Self) -> Option<Scope> {
        self.iter().find(|scope| !other.has(*scope))
    }

    /// The scopes in their order.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// The stored form: the names, separated by spaces.
    pub fn to_stored(self) -> String {
        self.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
    }

    /// Reads the stored form. Unknown names, of a later version, are left out: the MAC of such a row does not verify here.
    pub fn from_stored(text: &str) -> Self {
        text.split(' ').filter_map(|name| Scope::parse(name).ok()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_of_scopes_is_read_back_as_it_was_stored() {
        for bits in 0..=Scopes::ALL.0 {
            let set = Scopes(bits);
            assert_eq!(Scopes::from_stored(&set.to_stored()), set);
            assert_eq!(set.iter().collect::<Scopes>(), set);
            for scope in Scope::ALL {
                assert_eq!(set.has(scope), set.iter().any(|own| own == scope));
            }
        }
        assert_eq!(
            Scopes::from_stored("audit:read future:thing keys:manage").to_stored(),
            "audit:read keys:manage"
        );
    }

    #[test]
    fn the_first_scope_beyond_another_set_is_found() {
        let set = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
        assert_eq!(Scopes::ALL.first_beyond(Scopes::ALL), None);
        assert_eq!(Scopes::NONE.first_beyond(Scopes::NONE), None);
        let held = set(&[Scope::ConnectionsRead, Scope::KeysManage]);
        assert_eq!(held.first_beyond(Scopes::ALL), None);
        assert_eq!(Scopes::ALL.first_beyond(held), Some(Scope::ConnectionsWrite));
        assert_eq!(set(&[Scope::AuditRead]).first_beyond(held), Some(Scope::AuditRead));
    }

    #[test]
    fn the_error_names_every_scope() {
        let text = UnknownScope.to_string();
        let names: Vec<_> = Scope::ALL.map(Scope::as_str).into();
        assert_eq!(text, format!("must be one of {}", names.join(", ")));
        assert_eq!(Scope::parse("Keys:manage"), Err(UnknownScope));
    }
}
