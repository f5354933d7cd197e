//! The scopes of a token, in the order in which they were asked for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Every scope that Vimeo has. `ai` is newer than the published list.
const KNOWN: [&str; 14] = [
    "public",
    "private",
    "create",
    "edit",
    "delete",
    "interact",
    "upload",
    "video_files",
    "stats",
    "promo_codes",
    "purchased",
    "purchase",
    "email",
    "ai",
];

/// Vimeo has no such scope, but integration guides in the wild ask for it by this name. A test needs tokens that
/// claim it, to show that a service neither relies on it nor stumbles over it.
const DOCUMENTED_BUT_NONEXISTENT: &str = "video";

/// What a token may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Scopes(Vec<String>);

impl Scopes {
    pub(crate) fn all() -> Self {
        Self(KNOWN.into_iter().map(str::to_owned).collect())
    }

    /// Takes known scopes (and the one that is only documented), each once.
    ///
    /// # Errors
    /// A sentence that names the first unknown scope.
    pub(crate) fn parse<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut scopes: Vec<String> = Vec::new();
        for name in names {
            if !KNOWN.contains(&name) && name != DOCUMENTED_BUT_NONEXISTENT {
                return Err(format!(
                    "Vimeo has no scope `{name}`; it has {}. (`{DOCUMENTED_BUT_NONEXISTENT}` is let \
                     through although it does not exist.)",
                    KNOWN.join(", ")
                ));
            }
            if !scopes.iter().any(|scope| scope == name) {
                scopes.push(name.to_owned());
            }
        }
        if scopes.is_empty() {
            return Err("A token needs at least one scope.".to_owned());
        }
        Ok(Self(scopes))
    }

    /// What a client-credentials grant gives of what was asked: the scopes that exist, and never less than `public`.
    pub(crate) fn granted(asked: &str) -> Self {
        let mut scopes = vec!["public".to_owned()];
        for name in asked.split_ascii_whitespace() {
            if KNOWN.contains(&name) && !scopes.iter().any(|scope| scope == name) {
                scopes.push(name.to_owned());
            }
        }
        Self(scopes)
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.0.iter().any(|scope| scope == name)
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}
